"""Several processes at one queue, and a queue that many have skipped through."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from decided import decision, pending, record, ticket

from llmtriage import Taxonomy
from llmtriage.store import SqlStore, schema

LABELS = Taxonomy.from_labels(["refund", "parcel"])
PEOPLE, TICKETS, SKIPPED = 4, 60, 10_000


def work(where: str, reviewer: str, start: object, out: object) -> None:
    """Take and answer until nothing waits, and tell which tickets these were."""
    answered = []
    with SqlStore(where) as store:
        start.wait()  # type: ignore[attr-defined]
        while found := store.queue.claim(reviewer, n=3):
            for item in found:
                store.queue.answer(item, reviewer, "parcel", taxonomy=LABELS, shown=True)
                answered.append(item.ticket.id)
    out.put(answered)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_four_processes_are_given_nothing_twice(where: str) -> None:
    """And everything is answered."""
    with SqlStore(where) as store:
        record(store, *[decision(ticket(f"text {n}", f"T{n}"), pending()) for n in range(TICKETS)])
    context = multiprocessing.get_context("spawn")
    start, out = context.Barrier(PEOPLE), context.Queue()
    people = [context.Process(target=work, args=(where, f"p{n}", start, out)) for n in range(PEOPLE)]
    for one in people:
        one.start()
    answered = Counter(name for _ in people for name in out.get(timeout=120))
    for one in people:
        one.join(timeout=60)
    assert answered == Counter(f"T{n}" for n in range(TICKETS))


@pytest.fixture
def skipped_through(where: str) -> Iterator[SqlStore]:
    """A store of which one person skipped 10,000 entries; one more waits."""
    with SqlStore(where) as store:
        every = [decision(ticket(f"text {n}", f"T{n}"), pending()) for n in range(SKIPPED + 1)]
        for place in range(0, len(every), 500):
            record(store, *every[place : place + 500])
        rows = [{"queue_entry_id": item.entry, "reviewer": "ann", "at": 1} for item in store.queue.each()]
        with store.database.writing() as connection:
            connection.execute(schema.skip.insert(), rows[:SKIPPED])
        yield store


@pytest.mark.slow
def test_ten_thousand_skips(skipped_through: SqlStore) -> None:
    """The one that is left is found, within a blink; others begin at the beginning."""
    began = time.perf_counter()
    (item,) = skipped_through.queue.claim("ann")
    assert time.perf_counter() - began < 1
    assert item.ticket.id == f"T{SKIPPED}"
    assert skipped_through.queue.claim("bob")[0].ticket.id == "T0"
