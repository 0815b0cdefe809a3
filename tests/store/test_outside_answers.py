"""What the helpdesk itself says of tickets is kept, once, and leads nobody; the same in SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from decided import OTHER_RUN, RUN, accepted, decision, entries, pending, record, rows, ticket
from store.test_queue import TAXONOMY, answer

from llmtriage.errors import InputError, OutdatedError, UnknownNameError
from llmtriage.reviewing import Filled
from llmtriage.store import SqlStore, answered, erasing, samples, schema
from llmtriage.store.outside_answers import Told, keep

SAID = Told(ticket_id="T1", category="refund", reviewer="crm/王芳", at=datetime(2026, 1, 5, 9, tzinfo=UTC), note="电话里说的")
MINUTE = timedelta(minutes=1)


def kept(store: SqlStore, *told: Told, **more: Any) -> list[Any]:
    """What became of them, errors as their kinds."""
    return [type(one) if isinstance(one, Exception) else one for one in keep(store, told, TAXONOMY, **more)]


def standing(store: SqlStore) -> list[tuple[str, str]]:
    """Who said what, of the answers that stand."""
    with store.database.reading() as connection:
        return [(row.reviewer, row.category) for row in connection.execute(schema.standing().order_by(schema.review.c.id))]


def test_an_entry_that_waits_is_done_with_it(store: SqlStore) -> None:
    """The answer stands without an entry, and says what was suggested then."""
    record(store, decision(ticket(), pending("refund")))
    (held,) = store.queue.claim("ann")
    assert kept(store, SAID) == ["kept"]
    assert not entries(store)
    (review,) = rows(store, schema.review)
    assert (review.queue_entry_id, review.lane, review.verdict, review.suggested) == (None, "pending", "confirm", "refund")
    assert (review.suggestion_shown, review.inclusion_p, review.note) == (True, None, "电话里说的")
    assert (review.created_at, standing(store)) == (1_767_603_600_000_000, [("crm/王芳", "refund")])
    with pytest.raises(OutdatedError, match="T1 was answered already"):
        answer(store, held, "ann")
    assert [row.kind for row in rows(store, schema.event)] == ["outcome", "confirm"]
    record(store, decision(ticket(), pending("parcel"), run=OTHER_RUN))
    assert not entries(store)


def test_the_same_again_changes_nothing(store: SqlStore) -> None:
    """In one call or in the next; another time, person or category is another answer."""
    record(store, decision(ticket(), accepted("refund")))
    assert kept(store, SAID, SAID) == ["kept", "known"]
    assert kept(store, SAID, replace(SAID, category="money")) == ["known", "known"]
    others = [replace(SAID, reviewer="crm/李强"), replace(SAID, category="login"), replace(SAID, at=SAID.at + MINUTE)]
    assert kept(store, *others) == ["kept"] * 3
    assert kept(store, SAID, *others) == ["known"] * 4
    assert len(rows(store, schema.review)) == 4


def test_each_by_itself(store: SqlStore) -> None:
    """A bad one changes nothing about the others."""
    record(store, decision(ticket("a", "A"), accepted()), decision(ticket("b", "B"), pending()))
    a = replace(SAID, ticket_id="A")
    future = datetime.now(UTC) + timedelta(hours=1)
    told = [a, replace(a, ticket_id="Z"), replace(a, category="nope"), replace(a, category="sales"), replace(a, at=future)]
    told += [
        replace(a, ticket_id="Z", category="nope"),
        replace(a, at=datetime(1969, 1, 1, tzinfo=UTC)),
        replace(a, ticket_id="B"),
    ]
    found = keep(store, told, TAXONOMY)
    assert [type(one) for one in found[1:7]] == [
        UnknownNameError,
        InputError,
        InputError,
        InputError,
        UnknownNameError,
        InputError,
    ]
    assert (found[0], found[7]) == ("kept", "kept")
    assert str(found[1]) == "no ticket 'Z' is known; send the ticket first"
    assert len(rows(store, schema.review)) == 2


@pytest.mark.parametrize("lane", ["probe", "sample"])
def test_what_waits_blind_goes_on_waiting(store: SqlStore, lane: str) -> None:
    """And no verdict tells what a model said; the blind answer is what a promise counts."""
    record(store, decision(ticket(), pending("refund"), probe=0.5))
    with store.database.writing() as connection:
        name = "s1" if lane == "sample" else None
        connection.execute(schema.queue_entry.update().values(lane=lane, sample=name))
    assert kept(store, SAID) == ["kept"]
    (entry,) = entries(store)
    assert entry.lane == lane
    (review,) = rows(store, schema.review)
    assert (review.verdict, review.suggested, review.suggestion_shown) == ("correct", None, False)
    (item,) = store.queue.claim("ann")
    assert store.queue.answers_to(item) == ()
    answer(store, item, "ann", "parcel")
    sample = samples.probes(store.database) if lane == "probe" else samples.planned_sample(store.database, "s1")
    assert [row.category for row in sample.rows] == ["parcel"]
    assert answered.count_answers(store.database)[lane] == 1  # type: ignore[index]


def test_it_is_no_evidence(store: SqlStore) -> None:
    """Not of a ticket that was accepted, nor of one that waited."""
    record(store, decision(ticket(), accepted()))
    assert kept(store, SAID) == ["kept"]
    assert answered.count_answers(store.database) == {"probe": 0, "sample": 0, "pending": 1, "all": 1}
    with pytest.raises(InputError, match="no ticket was drawn"):
        samples.probes(store.database)


def test_what_is_older_puts_nothing_back(store: SqlStore) -> None:
    """An answer of the queue, or a later one from elsewhere, stands."""
    record(store, decision(ticket(), pending()))
    (item,) = store.queue.claim("ann")
    answer(store, item, "ann", "parcel")
    assert kept(store, SAID) == [OutdatedError]
    assert standing(store) == [("ann", "parcel")]
    now = datetime.now(UTC) + MINUTE
    later = replace(SAID, at=now, category="login")
    assert kept(store, replace(later, at=now + MINUTE), later) == ["kept", OutdatedError]
    assert standing(store) == [("crm/王芳", "login")]


def test_it_is_about_the_current_text(store: SqlStore) -> None:
    """That of the last outcome, also where an earlier text came again."""
    for number, content in enumerate(["one", "two", "one"]):
        record(store, decision(ticket(content), accepted(), run=OTHER_RUN if number == 2 else RUN))
    kept(store, SAID)
    assert [row.ticket_text_id for row in rows(store, schema.review)] == [1]


def test_sources_and_erased_tickets(store: SqlStore, open_store: Any) -> None:
    """A ticket of another source is another ticket; one that was erased is not known."""
    record(store, decision(ticket(), pending()))
    record(open_store(source="crm"), decision(ticket(), pending()))
    assert kept(store, SAID, source="crm") == ["kept"]
    assert [entry.ticket_id for entry in entries(store)] == [1]
    erasing.erase(store, [1, 2])
    assert kept(store, SAID) == kept(store, SAID, source="crm") == [UnknownNameError]
    assert [row.note for row in rows(store, schema.review)] == [None]


def test_a_file_does_not_answer_what_was_closed(store: SqlStore) -> None:
    """Its row is refused, with its line."""
    record(store, decision(ticket(), pending()))
    item = store.queue.item("T1")
    kept(store, SAID)
    filled = Filled(entry=item.entry, text_id=item.text_id, ticket_id="T1", category="login", reviewer="b", shown=True, line=2)
    with pytest.raises(OutdatedError, match="2: entry 1 was closed by an answer from elsewhere"):
        store.queue.fill([filled], TAXONOMY)


def test_twice_at_once(store: SqlStore) -> None:
    """One call keeps it, the other finds it."""
    record(store, *[decision(ticket(f"text {n}", f"T{n}"), pending()) for n in range(20)])
    told = [replace(SAID, ticket_id=f"T{n}") for n in range(20)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: kept(store, *told), range(2)))
    assert sorted(found) == [["kept"] * 20, ["known"] * 20]
    assert len(rows(store, schema.review)) == 20
    assert not entries(store)
