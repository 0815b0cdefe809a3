"""A sitting at a real store, without a terminal: what is kept of each answer, and what others do meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review_screen.desk import Person

from llmtriage import Taxonomy, Ticket
from llmtriage.outcomes import Candidate, Pending, Reason
from llmtriage.remembering import Decision, Run
from llmtriage.review_screen.state import listed
from llmtriage.reviewing import Counts, Filters
from llmtriage.store import SqlStore, queue
from llmtriage.store.recording import now

MINUTE = 60_000_000  # microseconds


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """Two pending tickets and a probe between them; nobody is waited for long."""
    with SqlStore(tmp_path / "s.db", busy_seconds=0.1) as store:
        put(store, "T-1")
        put(store, "T-2", probe=0.02)
        put(store, "T-3")
        yield store


def put(store: SqlStore, name: str, content: str = "退款没到", run: str = "r", **more: Any) -> None:
    """Let a ticket wait."""
    candidates = tuple(Candidate(category=one, score=0.4) for one in ("parcel", "refund"))
    outcome = Pending(suggestion="parcel", reasons=(Reason(code="below_threshold"),), candidates=candidates)
    store.record([Decision(Ticket(id=name, content=content), outcome, Run(run, "fake", {}), f"{run} {name}", **more)]).result()


def test_what_is_kept_of_an_answer(store: SqlStore, shop: Taxonomy) -> None:
    """Whether a suggestion was seen, how long it took, the note; of a probe no verdict."""
    person = Person(store.queue, shop)
    person.press("2", seconds=3)
    assert [node.id for node in listed(person.session.state)] == [leaf.id for leaf in shop.leaves]
    person.press("nwhy", "<enter>", "2", "1", "u", "2")
    kept = [one for one in store.queue.history("li") if not one.taken_back]
    assert [(one.ticket_id, one.category, one.verdict, one.shown) for one in reversed(kept)] == [
        ("T-1", "parcel", "confirm", True),
        ("T-2", "parcel", "correct", False),
        ("T-3", "parcel", "confirm", True),
    ]
    assert [(one.active_ms, one.note) for one in reversed(kept)] == [(3000, None), (6000, "why"), (1000, None)]
    assert (person.session.state.item, person.session.state.labelled, person.session.state.left) == (None, 3, 0)


def test_second_opinions_on_own_answers_are_not_counted(tmp_path: Path, shop: Taxonomy) -> None:
    """They are left to others."""
    with SqlStore(tmp_path / "second.db", second=1.0) as store:
        put(store, "T-1")
        person = Person(store.queue, shop)
        person.press("2")
        assert (person.session.state.item, person.session.state.left) == (None, 0)
        assert Person(store.queue, shop, reviewer="mei").session.state.left == 1


def test_two_people(store: SqlStore, shop: Taxonomy) -> None:
    """Never get the same ticket, but what one skipped the other gets."""
    li, mei = Person(store.queue, shop), Person(store.queue, shop, reviewer="mei")
    assert (name(li), name(mei)) == ("T-1", "T-2")
    li.press("s")
    mei.press("1")
    assert (name(li), name(mei)) == ("T-3", "T-1")
    li.press("q")
    mei.press("s")
    assert name(mei) == "T-3"


def test_a_lease_that_ended(store: SqlStore, shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer counts as long as nobody else has got the ticket; then it is said who has."""
    li = Person(store.queue, shop, filters=Filters(lane="pending"))
    monkeypatch.setattr(queue, "now", lambda: now() + 11 * MINUTE)
    li.press("1")
    assert [label.ticket.id for label in store.queue.labels()] == ["T-1"]
    monkeypatch.setattr(queue, "now", lambda: now() + 22 * MINUTE)
    mei = Person(store.queue, shop, reviewer="mei", filters=Filters(lane="pending"))
    assert name(mei) == name(li) == "T-3"
    li.press("1")
    assert "T-3" in li.session.state.message
    mei.press("1")
    assert [(label.ticket.id, label.reviewer) for label in store.queue.labels()] == [("T-1", "li"), ("T-3", "mei")]


def test_a_ticket_that_changed_meanwhile(store: SqlStore, shop: Taxonomy) -> None:
    """The answer was about another text: it is refused, and the new one is shown."""
    person = Person(store.queue, shop)
    with SqlStore(store.database.path or "") as other:
        put(other, "T-1", content="还没退款，我要投诉", run="r2")
    person.press("1")
    assert "changed meanwhile" in person.session.state.message
    assert list(store.queue.labels()) == []
    item = person.session.state.item
    assert item is not None
    assert item.ticket.content == "还没退款，我要投诉"


def test_a_store_that_another_program_holds(store: SqlStore, shop: Taxonomy) -> None:
    """It is said; the same key saves the answer afterwards."""
    person = Person(store.queue, shop)
    other = sqlite3.connect(store.database.path or "", isolation_level=None)
    other.execute("begin immediate")
    person.press("1", "v", "s", "u")
    assert "holds the store" in person.session.state.message
    assert name(person) == "T-1"
    other.rollback()
    other.close()
    person.press("1")
    assert [label.ticket.id for label in store.queue.labels()] == ["T-1"]


def test_a_million_that_wait(store: SqlStore, shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are counted once: to count them takes longer than to answer."""
    calls = []

    def counts(filters: Filters) -> Counts:
        calls.append(filters)
        return Counts(entries=1_000_000, lanes={}, reasons={}, oldest=None)

    monkeypatch.setattr(store.queue, "counts", counts)
    person = Person(store.queue, shop)
    person.press("1", "1", "u")
    assert (person.session.state.left, len(calls)) == (999_999, 1)


def name(person: Person) -> str:
    """The ticket on the screen."""
    item = person.session.state.item
    return item.name if item else ""


def test_a_second_opinion_comes_among_the_others(tmp_path: Path, shop: Taxonomy) -> None:
    """Blind, to another person; the first one is not asked."""
    with SqlStore(tmp_path / "second.db", second=1.0) as store:
        put(store, "T-1")
        li = Person(store.queue, shop)
        li.press("1")
        assert li.session.state.item is None
        mei = Person(store.queue, shop, reviewer="mei")
        item = mei.session.state.item
        assert item is not None
        assert (item.lane, item.blind, name(mei)) == ("second", True, "T-1")
        assert [node.id for node in listed(mei.session.state)] == [leaf.id for leaf in shop.leaves]
        mei.press("2")
        assert [one.lane for one in store.queue.history("mei")] == ["second"]
