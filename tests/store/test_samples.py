"""What is drawn by chance stays a sample: no choice among it, no second thoughts, and every look at it is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from decided import accepted, decision, entries, pending, record, ticket
from drawn import LIKE, SHOP, decide, decide_all, draw, erase, tickets
from sqlalchemy.exc import IntegrityError

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.reviewing import Filters
from llmtriage.store import SqlStore
from llmtriage.store.samples import keys_of, look, looks_at, plan, planned, planned_sample, probes

OpenStore = Callable[..., SqlStore]


def ids(store: SqlStore) -> list[str | None]:
    """The tickets of the probes that may be used."""
    return [row.ticket.id for row in probes(store.database).rows]


# -- probes ----------------------------------------------------------------------------------------


def test_probes_come_in_the_order_of_drawing_up_to_the_first_that_waits(store: SqlStore) -> None:
    """What was labelled behind it would be a choice: the easy ones first."""
    draw(store, range(6))
    for answered in (4, 1, 0):
        decide(store, f"T{answered}", "parcel")
    found = probes(store.database)
    assert [row.ticket.id for row in found.rows] == ["T0", "T1"]
    assert [row.category for row in found.rows] == ["parcel", "parcel"]
    assert found.rows[0].ticket.content == LIKE.format(0)
    assert (found.name, found.waiting, found.behind) == ("probe-0.02", 3, 1)
    decide_all(store, "login")
    found = probes(store.database)
    assert [row.category for row in found.rows] == ["parcel", "parcel", "login", "login", "parcel", "login"]
    assert (found.waiting, found.behind) == (0, 0)


def test_what_waited_for_another_reason_is_no_label(store: SqlStore) -> None:
    """Corrected tickets that were pending become examples, never evidence."""
    draw(store, range(3))
    record(store, decision(ticket("物流", "P1"), pending()))
    decide_all(store)
    assert ids(store) == ["T0", "T1", "T2"]


def test_the_first_blind_answer_counts(store: SqlStore) -> None:
    """A mind that is changed later may have seen what the model says."""
    draw(store, range(3))
    decide_all(store, "parcel", by="ann")
    _, item = store.queue.undo("ann")
    store.queue.answer(item, "ann", "refund", taxonomy=SHOP, shown=False)
    found = probes(store.database)
    assert [row.category for row in found.rows] == ["parcel"] * 3
    assert found.changed == 1
    assert sorted(label.category for label in store.queue.labels()) == ["parcel", "parcel", "refund"]


def test_an_answer_taken_back_does_not_open_the_sample_again(store: SqlStore) -> None:
    """Else the end of the sample could be moved at will."""
    draw(store, range(3))
    decide_all(store, "parcel", by="ann")
    store.queue.undo("ann")
    found = probes(store.database)
    assert len(found.rows) == 3
    assert (found.waiting, found.changed) == (0, 0)


def test_erased_probes_are_left_out_and_counted(store: SqlStore) -> None:
    """Whether they were answered or not; one that waited no longer holds up the others."""
    draw(store, range(4))
    for answered in ("T0", "T2", "T3"):
        decide(store, answered, "refund")
    erase(store, "T0")
    erase(store, "T1")
    found = probes(store.database)
    assert [row.ticket.id for row in found.rows] == ["T2", "T3"]
    assert (found.erased, found.waiting, found.behind) == (2, 0, 0)


def test_only_the_latest_probability_counts(store: SqlStore) -> None:
    """0.02, then 0.05: tickets of two shares together are no uniform sample."""
    draw(store, range(3), 0.02)
    decide_all(store)
    draw(store, range(3, 5), 0.05)
    found = probes(store.database)
    assert (found.name, found.rows, found.waiting, found.others) == ("probe-0.05", (), 2, 3)
    decide_all(store)
    assert ids(store) == ["T3", "T4"]


def test_texts_that_are_not_kept_carry_no_promise(open_store: OpenStore) -> None:
    """They cannot be classified again; they are counted with those that were erased."""
    store = open_store(kept="none")
    draw(store, range(2))
    decide_all(store)
    assert (probes(store.database).rows, probes(store.database).erased) == ((), 2)


def test_no_probes_at_all(store: SqlStore) -> None:
    """One line says how to get some."""
    draw(store, range(3), None)
    with pytest.raises(InputError, match=r"no ticket was drawn for a blind review; classify with --probe 0\.02"):
        probes(store.database)


# -- planned samples -------------------------------------------------------------------------------


def test_a_planned_sample_is_decided_blind(store: SqlStore) -> None:
    """Its entries name the sample and how probable each ticket was, and nothing of a model."""
    plan(store, "uniform-3-甲", tickets(3), 0.25)
    found = list(store.queue.claim("ann", Filters(lane="sample", sample="uniform-3-甲"), n=9))
    assert [item.ticket.content for item in found] == [LIKE.format(n) for n in range(3)]
    assert all(item.blind and item.suggestion is None for item in found)
    assert {row.inclusion_p for row in entries(store)} == {0.25}
    assert [one.reasons[0].code for one in found] == ["sample"] * 3


def test_a_planned_sample_comes_with_what_is_missing(store: SqlStore) -> None:
    """Both in the list of samples and in the sample itself."""
    plan(store, "a", tickets(4), 0.5)
    plan(store, "b", tickets(6)[4:], 0.5)
    for answered in ("S0", "S3"):
        decide(store, answered, "login")
    erase(store, "S1")
    found = planned_sample(store.database, "a")
    assert [(row.ticket.id, row.category) for row in found.rows] == [("S0", "login"), ("S3", "login")]
    assert (found.waiting, found.erased) == (1, 1)
    assert [(one.name, one.tickets, one.waiting, one.looks) for one in planned(store.database)] == [
        ("a", 4, 1, 0),
        ("b", 2, 2, 0),
    ]
    assert len(keys_of(store)) == 5
    assert len(keys_of(store, "b")) == 2


def test_an_unknown_sample(store: SqlStore) -> None:
    """The nearest name is told."""
    plan(store, "uniform-2-abc", tickets(2), 0.5)
    with pytest.raises(UnknownNameError, match=r"unknown sample 'uniform-2-abd'; did you mean 'uniform-2-abc'\?"):
        planned_sample(store.database, "uniform-2-abd")


def test_a_sample_that_is_planned_twice_is_one(store: SqlStore, open_store: OpenStore) -> None:
    """Two people may begin at the same moment; what was answered in between stays."""
    plan(store, "a", tickets(3), 0.5)
    decide(store, "S1", "parcel")
    plan(open_store(), "a", tickets(3), 0.5)
    assert [(one.tickets, one.waiting) for one in planned(store.database)] == [(3, 2)]


def test_a_sample_is_planned_whole_or_not_at_all(store: SqlStore) -> None:
    """What one row must not be takes the others with it."""
    with pytest.raises(IntegrityError):
        plan(store, "a", tickets(3), 2.0)
    assert planned(store.database) == []
    assert entries(store) == []


def test_a_ticket_of_a_sample_may_be_classified_too(store: SqlStore) -> None:
    """Before its answer it waits in both lanes; the two answers are told apart. After it, it waits no more."""
    plan(store, "a", tickets(2), 0.5)
    record(store, decision(tickets(2)[0][0], pending()))
    assert sorted(row.lane for row in entries(store)) == ["pending", "sample", "sample"]
    decide(store, "S0", "parcel", lane="pending")
    assert planned_sample(store.database, "a").rows == ()
    decide_all(store, "login", lane="sample")
    assert [row.category for row in planned_sample(store.database, "a").rows] == ["login", "login"]
    record(store, decision(tickets(2)[1][0], pending()))
    assert entries(store) == []


@pytest.mark.parametrize("kept", ["original", "redacted"])
def test_the_text_is_kept_as_told(open_store: OpenStore, kept: str) -> None:
    """As received, or as a model would see it."""
    store = open_store(kept=kept)
    plan(store, "a", [(replace(ticket("电话 13812345678", "S1"), title="退款"), "退款 <PHONE_1>")], 0.5)
    decide_all(store)
    (row,) = planned_sample(store.database, "a").rows
    assert (row.ticket.title, row.ticket.content) == (
        ("退款", "电话 13812345678") if kept == "original" else ("", "退款 <PHONE_1>")
    )


# -- looks -----------------------------------------------------------------------------------------


def test_looks_are_counted_for_each_sample(store: SqlStore) -> None:
    """From 1, whatever came of them."""
    asked: dict[str, Any] = {"labels": 100, "alphas": [0.05, 0.1], "delta": 0.1}
    assert [look(store.database, "probe-0.02", **asked) for _ in range(3)] == [1, 2, 3]
    assert look(store.database, "probe-0.05", **asked) == 1
    assert looks_at(store.database, "probe-0.02") == 3
    assert looks_at(store.database, "another") == 0


def test_two_looks_at_once_have_two_numbers(store: SqlStore, open_store: OpenStore) -> None:
    """Both would else spend the share of the first."""
    stores = [store, open_store(), open_store()]
    numbers: list[int] = []

    def look_often(one: SqlStore) -> None:
        numbers.extend(look(one.database, "s", labels=1, alphas=[0.1], delta=0.1) for _ in range(5))

    threads = [threading.Thread(target=look_often, args=(one,)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 16))


def test_accepted_probes_are_told_from_the_rest(store: SqlStore) -> None:
    """A ticket that was drawn and one that was not, with the same text: each is itself."""
    record(store, decision(ticket("一样", "A"), accepted(), probe=0.02), decision(ticket("一样", "B"), accepted()))
    decide_all(store)
    assert ids(store) == ["A"]
