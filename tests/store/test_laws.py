"""Laws of the store: whatever is decided in whatever order, by however many runs, nobody is lost and nobody is asked twice."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import postgresql
import pytest
from decided import OTHER_RUN, RUN, accepted, answer, decision, entries, pending, recall, record, rows, ticket
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage.outcomes import Outcome
from llmtriage.store import SqlStore, schema

_IDS, _TEXTS, _RUNS = ("甲", "乙"), ("退款", "快递", "登录"), {run.id: run for run in (RUN, OTHER_RUN)}
_OUTCOMES: dict[str, Callable[[], Outcome]] = {
    "accepted": accepted,
    "pending": pending,
    "timeout": lambda: pending(None, "timeout", score=None),
}

Key = tuple[str, str, str]  # id, text, run
_decided = st.tuples(
    st.sampled_from(_IDS), st.sampled_from(_TEXTS), st.sampled_from(sorted(_RUNS)), st.sampled_from(sorted(_OUTCOMES))
)
# A group of decisions; "again": another process opens the store; a number: a person answers what stands there in the queue.
_steps = st.lists(st.lists(_decided, min_size=1, max_size=4) | st.just("again") | st.integers(0, 5), min_size=1, max_size=10)


@dataclass
class Expected:
    """What must be so, in plain Python.

    Attributes:
        final: The outcome that is known of a text in a run: the first that is final.
        latest: What was decided last about a text, by whomever.
        here: Texts that this process decided about.
        newest: The text of each ticket that was decided about last.
        answered: Texts that a person answered.
        recorded: How many outcomes there are.
    """

    final: dict[Key, str] = field(default_factory=dict)
    latest: dict[tuple[str, str], str] = field(default_factory=dict)
    here: set[tuple[str, str]] = field(default_factory=set)
    newest: dict[str, str] = field(default_factory=dict)
    answered: set[tuple[str, str]] = field(default_factory=set)
    recorded: int = 0

    def decide(self, ticket_id: str, text: str, run: str, kind: str) -> None:
        """One decision, that is nothing where a final one is known."""
        if (ticket_id, text, run) in self.final:
            return
        if kind != "timeout":
            self.final[ticket_id, text, run] = kind
        self.latest[ticket_id, text] = kind
        self.newest[ticket_id] = text
        self.here.add((ticket_id, text))
        self.recorded += 1

    def waiting(self) -> set[tuple[str, str]]:
        """Who must have a place in the queue: what this process left open, and the newest text of each ticket."""
        looked_at = self.here | set(self.newest.items())
        return {key for key in looked_at if self.latest[key] != "accepted" and key not in self.answered}


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def blank(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Make a store in which nothing is, again and again."""
    if request.param == "sqlite":
        made: Path = request.getfixturevalue("made_file")
        return lambda folder: str(shutil.copy(made, folder / "store.db"))
    server: postgresql.Server = request.getfixturevalue("server")
    schema_name: str = request.getfixturevalue("made_schema")

    def emptied(_: Path) -> str:
        server.empty(schema_name)
        return server.url(schema=schema_name)

    return emptied


@pytest.mark.slow
@given(steps=_steps)
@settings(max_examples=25)
def test_nobody_is_lost_and_nobody_is_asked_twice(blank: Callable[[Path], str], steps: list[object]) -> None:
    """Who must wait has one place; who is answered or accepted has none; what is known is the first final outcome; all is counted."""
    with tempfile.TemporaryDirectory() as folder:
        where, expected = blank(Path(folder)), Expected()
        store = SqlStore(where)
        for step in steps:
            if step == "again":
                store.close()
                store = SqlStore(where)
                expected.here.clear()
            elif isinstance(step, int):
                _answer(store, step, expected)
            elif isinstance(step, list):
                _record(store, step, expected)
            _check(store, expected)
        store.close()


def _record(store: SqlStore, group: list[tuple[str, str, str, str]], expected: Expected) -> None:
    once = {(ticket_id, text, run): kind for ticket_id, text, run, kind in group}
    run = next(iter(once))[2]  # a group of one process is of one run
    chosen = {key: kind for key, kind in once.items() if key[2] == run}
    record(store, *(decision(ticket(text, one), _OUTCOMES[kind](), run=_RUNS[run]) for (one, text, _), kind in chosen.items()))
    for key, kind in chosen.items():
        expected.decide(*key, kind)


def _answer(store: SqlStore, place: int, expected: Expected) -> None:
    found = entries(store)
    if place < len(found):
        answer(store, found[place])
        expected.answered.add(_names(store)[found[place].ticket_text_id])


def _names(store: SqlStore) -> dict[int, tuple[str, str]]:
    ids = {row.id: row.external_id for row in rows(store, schema.ticket)}
    return {row.id: (ids[row.ticket_id], row.content) for row in rows(store, schema.ticket_text)}


def _check(store: SqlStore, expected: Expected) -> None:
    names = _names(store)
    places = Counter(names[entry.ticket_text_id] for entry in entries(store))
    assert set(places) >= expected.waiting()
    assert set(places.values()) <= {1}
    assert not expected.answered & set(places)
    assert all(expected.latest[key] != "accepted" for key in places)
    for run_id, run in _RUNS.items():
        keys = [(one, text) for one in _IDS for text in _TEXTS]
        known = recall(store, *(ticket(text, one) for one, text in keys), run=run)
        for (one, text), found in zip(keys, known, strict=True):
            kind = expected.final.get((one, text, run_id))
            own = "pending" if found and hasattr(found.outcome, "reasons") else "accepted"
            assert (own if found and found.own else None) == kind
    counted = sum(row.n for row in rows(store, schema.daily_count))
    assert counted == len(rows(store, schema.outcome)) == len(rows(store, schema.event)) == expected.recorded
