"""Whatever people and runs do to a ticket: it waits in one place, and a second opinion is independent of the first."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import pytest
from decided import OTHER_RUN, RUN, accepted, decision, pending, record, rows, ticket
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from store.conftest import OpenStore
from store.test_queue import answer

from llmtriage.errors import InputError, OutdatedError
from llmtriage.reviewing import Filters, Item
from llmtriage.store import SqlStore, schema
from llmtriage.store.second import first_reviewers

_people, _categories = st.sampled_from(["甲", "乙", "丙"]), st.sampled_from(["refund", "parcel", "login"])
_entry, _outcome = schema.queue_entry.c, schema.outcome.c


class Desk(RuleBasedStateMachine):
    """One ticket, which comes again and again, and three people."""

    def __init__(self, store: SqlStore) -> None:
        """Let the ticket come; tickets of other examples are in the store too, and other people's."""
        super().__init__()
        self.store = store
        self.name = f"T{len(rows(store, schema.ticket)) + 1}"
        self.held: dict[str, Item] = {}
        self.comes("我要退款", pending(), RUN)
        (row,) = rows(store, schema.ticket, schema.ticket.c.external_id == self.name)
        self.id = row.id

    def _open(self, lane: str) -> Any:
        return rows(self.store, schema.queue_entry, _entry.ticket_id == self.id, _entry.lane == lane, _entry.state == "open")

    def _firsts(self, text: int) -> set[str]:
        with self.store.database.reading() as connection:
            return first_reviewers(connection, text)

    @rule(
        text=st.sampled_from(["我要退款", "where is it", "算了"]),
        outcome=st.sampled_from([pending(), accepted()]),
        run=st.sampled_from([RUN, OTHER_RUN]),
    )
    def comes(self, text: str, outcome: Any, run: Any) -> None:
        """The ticket comes, with this text, and is decided."""
        record(self.store, decision(ticket(f"{text} {self.name}", self.name, language=self.name), outcome, run=run))

    @rule(who=_people)
    def claims(self, who: str) -> None:
        """A person is lent what waits."""
        for item in self.store.queue.claim(f"{who} {self.name}", Filters(language=self.name)):
            self.held[who] = item

    @precondition(lambda self: self.held)
    @rule(who=_people, category=_categories)
    def answers(self, who: str, category: str) -> None:
        """What a person was lent is answered, however much later; who is too late is told."""
        if who in self.held:
            with suppress(OutdatedError):
                answer(self.store, self.held.pop(who), f"{who} {self.name}", category)

    @precondition(lambda self: self.held)
    @rule(who=_people)
    def skips(self, who: str) -> None:
        """What a person was lent is left to others."""
        if who in self.held:
            self.store.queue.skip(self.held.pop(who), f"{who} {self.name}")

    @rule(who=_people)
    def takes_back(self, who: str) -> None:
        """The last answer; what waits again is before the person."""
        with suppress(InputError):
            _, item = self.store.queue.undo(f"{who} {self.name}")
            self.held[who] = item

    @invariant()
    def waits_in_one_place(self) -> None:
        """The text that came last, unless it was accepted or answered."""
        waiting = [entry.ticket_text_id for entry in self._open("pending")]
        last = rows(self.store, schema.outcome, _outcome.ticket_id == self.id)[-1]
        with self.store.database.reading() as connection:
            answered = {row.ticket_text_id for row in connection.execute(schema.standing())}
        needs_a_person = last.kind == "pending" and last.ticket_text_id not in answered
        assert not needs_a_person or waiting == [last.ticket_text_id]
        assert len(waiting) <= 1

    @invariant()
    def second_opinions_are_of_others(self) -> None:
        """Behind an answer that stands, and with nobody who gave one."""
        for entry in self._open("second"):
            firsts = self._firsts(entry.ticket_text_id)
            assert firsts
            assert entry.lease_owner not in firsts


@pytest.mark.parametrize("examples", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_what_becomes_of_a_ticket(open_store: OpenStore, examples: int) -> None:
    """In SQLite and PostgreSQL."""
    store = open_store(second=1.0, newest_waits=True)
    more = settings(max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(cast("type[Desk]", lambda: Desk(store)), settings=more)
