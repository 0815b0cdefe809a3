"""What people said beside what a run decided, on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from decided import OTHER_RUN, RUN, accepted, decision, entries, pending, record, ticket

from llmtriage import Accepted, Pending, Taxonomy
from llmtriage.remembering import Run
from llmtriage.store import SqlStore, answered, schema
from llmtriage.store.answered import count_answers, count_waiting, deciding_runs, review_times
from llmtriage.store.erasing import erase, tickets_named

LEAVES = Taxonomy.from_labels(["refund", "parcel", "login"])


def say(store: SqlStore, ticket_id: str, category: str, *, shown: bool = False, who: str = "王芳", ms: int | None = None) -> None:
    """A person answers the ticket that waits."""
    item = store.queue.item(ticket_id)
    store.queue.answer(item, who, category, taxonomy=LEAVES, shown=shown, active_ms=ms)


def found(store: SqlStore, which: Any = "probe", run: str = RUN.id) -> Sequence[answered.Answered]:
    """The tickets with an answer that a run decided."""
    return list(answered.answered(store.database, which, run))


def labels(store: SqlStore, which: Any, run: str = RUN.id) -> dict[str | None, str]:
    """What people said, by ticket."""
    return {one.ticket.id: one.category for one in found(store, which, run)}


def planned(store: SqlStore, ticket_id: str) -> None:
    """A ticket of the store is drawn for a planned sample."""
    with store.database.writing() as connection:
        text = schema.ticket_text.join(schema.ticket, schema.ticket_text.c.ticket_id == schema.ticket.c.id)
        chosen = sa.select(schema.ticket.c.id, schema.ticket_text.c.id).select_from(text)
        row = connection.execute(chosen.where(schema.ticket.c.external_id == ticket_id)).one()
        of = {
            "ticket_id": row[0],
            "ticket_text_id": row[1],
            "lane": "sample",
            "sample": "一月",
            "blind": True,
            "inclusion_p": 0.1,
        }
        rest = {"state": "open", "reasons": " sample ", "rank": -0.5, "round": 1, "enqueued_at": 1, "lease_token": 0}
        connection.execute(schema.queue_entry.insert(), {**of, **rest})


def test_of_a_probe_the_first_blind_answer_and_what_routing_said(store: SqlStore) -> None:
    """A mind changed later changes nothing; the outcome is not the blinded one."""
    record(store, decision(ticket(channel="电话", metadata={"店": "北京"}), accepted("refund", 0.9), probe=0.5))
    say(store, "T1", "parcel")
    store.queue.undo("王芳")
    say(store, "T1", "refund")
    (one,) = found(store)
    assert (one.category, one.changed, one.shown, one.confirmed, one.inclusion_p) == ("parcel", True, False, False, 0.5)
    assert isinstance(one.outcome, Accepted)
    assert (one.outcome.category, one.outcome.score, len(one.outcome.candidates)) == ("refund", 0.9, 2)
    assert (one.ticket.content, one.ticket.channel, one.ticket.metadata) == ("我要退款", "电话", {"店": "北京"})
    assert not one.erased


def test_each_lane_has_its_own_answers(store: SqlStore) -> None:
    """All of them: one for each text, the blind one where there is one."""
    record(
        store,
        decision(ticket("a", "P"), accepted(), probe=0.5),
        decision(ticket("b", "W"), pending("refund")),
        decision(ticket("c", "S"), pending("refund")),
        decision(ticket("d", "open"), pending("refund")),
    )
    planned(store, "S")
    say(store, "P", "refund")
    say(store, "W", "refund", shown=True)
    blind, waiting = (
        next(row for row in entries(store) if (row.lane == lane) and row.ticket_id == 3) for lane in ("sample", "pending")
    )
    store.queue.answer(store.queue.item(blind.id), "甲", "login", taxonomy=LEAVES, shown=False)
    store.queue.answer(store.queue.item(waiting.id), "乙", "refund", taxonomy=LEAVES, shown=True)
    assert labels(store, "probe") == {"P": "refund"}
    assert labels(store, "sample") == {"S": "login"}
    assert labels(store, "pending") == {"W": "refund", "S": "refund"}
    assert labels(store, "all") == {"P": "refund", "S": "login", "W": "refund"}
    assert count_answers(store.database) == {"probe": 1, "sample": 1, "pending": 2, "all": 3}
    assert [one.confirmed for one in found(store, "pending")] == [True, True]


def test_of_what_waited_the_answer_that_stands(store: SqlStore) -> None:
    """One that was taken back is none."""
    record(store, decision(ticket(), pending("refund")), decision(ticket("b", "T2"), pending("refund")))
    say(store, "T1", "parcel", shown=True)
    say(store, "T2", "parcel", shown=True)
    store.queue.undo("王芳")
    assert labels(store, "pending") == {"T1": "parcel"}


def test_runs_are_told_apart(store: SqlStore) -> None:
    """The one with the latest outcome first; each with what it decided of the tickets with an answer, its last word."""
    later = Run("run-3", "引擎", {"backend": "x"})
    record(store, decision(ticket(), accepted("refund"), probe=1.0), decision(ticket("b", "T2"), accepted(), probe=1.0))
    record(store, decision(ticket(), pending(None, "timeout", score=None), run=OTHER_RUN))
    record(store, decision(ticket(), accepted("login"), run=OTHER_RUN))
    record(store, decision(ticket("nobody answers", "T9"), accepted(), run=later))
    say(store, "T1", "refund")
    say(store, "T2", "parcel")
    runs = deciding_runs(store.database, "probe")
    assert [(run.id, run.backend, run.answers) for run in runs] == [("run-2", "toy", 1), ("run-1", "toy", 2)]
    assert runs[0].fingerprint == {"backend": "toy", "policy": "p2"}
    (one,) = found(store, run="run-2")
    assert isinstance(one.outcome, Accepted)
    assert one.outcome.category == "login"
    assert len(found(store)) == 2
    assert found(store, run="run-3") == []
    assert deciding_runs(store.database, "pending") == []


def test_a_changed_text_is_another_one(store: SqlStore) -> None:
    """What was said of the old text is no answer about the new one."""
    record(store, decision(ticket(), accepted("refund"), probe=1.0))
    say(store, "T1", "refund")
    record(store, decision(ticket("另一段文字"), accepted("login"), run=OTHER_RUN))
    assert found(store, run="run-2") == []
    assert [one.ticket.content for one in found(store)] == ["我要退款"]


def test_drawn_tickets_without_an_answer_are_counted(store: SqlStore) -> None:
    """Of this run; one whose first answer was taken back has one."""
    record(store, *(decision(ticket(name, name), accepted(), probe=1.0) for name in "abc"))
    record(store, decision(ticket("w", "w"), pending()))
    say(store, "a", "refund")
    store.queue.undo("王芳")
    assert [count_waiting(store.database, which, RUN.id) for which in ("probe", "sample", "pending", "all")] == [2, 0, 0, 2]
    assert count_waiting(store.database, "probe", OTHER_RUN.id) == 0


def test_an_erased_ticket_counts_without_its_text(store: SqlStore) -> None:
    """What was decided and what was said stays."""
    record(store, decision(ticket(customer="李雷", metadata={"店": "北京"}), accepted(), probe=1.0))
    say(store, "T1", "parcel")
    erase(store, tickets_named(store, ["T1"])["T1"])
    (one,) = found(store)
    assert (one.erased, one.category, one.ticket.id, one.ticket.content, one.ticket.metadata) == (True, "parcel", None, "", {})


@pytest.mark.parametrize(("kept", "content"), [("redacted", "what the model saw"), ("none", "")])
def test_texts_as_far_as_they_are_kept(open_store: Any, kept: Any, content: str) -> None:
    """And how they were kept is told."""
    store = open_store(kept=kept)
    record(store, decision(ticket(), replace(accepted(), text="what the model saw"), probe=1.0))
    say(store, "T1", "refund")
    (one,) = found(store)
    assert (one.kept, one.ticket.content) == (kept, content)


def test_times_of_reviews(store: SqlStore) -> None:
    """Of those that see a suggestion, where there are any."""
    record(store, decision(ticket(), accepted(), probe=1.0), decision(ticket("b", "W"), pending()))
    assert review_times(store.database) == []
    say(store, "T1", "refund", ms=40_000)
    assert review_times(store.database) == [40_000]
    say(store, "W", "refund", shown=True, ms=9_000)
    assert review_times(store.database) == [9_000]


def test_read_in_pages(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """None twice, none left out, the oldest answer first."""
    monkeypatch.setattr(answered, "_AT_ONCE", 2)
    names = ["e", "d", "c", "b", "a"]
    record(store, *(decision(ticket(name, name), pending() if name == "b" else accepted(), probe=1.0) for name in names))
    for name in names:
        say(store, name, "refund")
    assert [one.ticket.id for one in found(store)] == names
    assert [one.ticket.id for one in found(store) if isinstance(one.outcome, Pending)] == ["b"]
