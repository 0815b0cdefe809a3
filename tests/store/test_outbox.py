"""What is to be told is a part of the store: it outlives a kill, several processes share it, and nothing is told twice under two names."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from decided import accepted, decision, entries, pending, record, rows, ticket

from llmtriage import Category, Taxonomy, Ticket
from llmtriage.errors import UnknownNameError
from llmtriage.store import SqlStore, erasing, inbox, outbox, schema

OpenStore = Callable[..., SqlStore]

_TAXONOMY = Taxonomy(categories=(Category(id="refund", team="money"), Category(id="parcel", team="post")))
_BOTH: tuple[outbox.Told, ...] = ("accepted", "reviewed")


def _fill(store: SqlStore, callback: str = "crm", told: tuple[outbox.Told, ...] = _BOTH) -> bool:
    return outbox.fill(store, callback, told, _TAXONOMY.team)


def _later(monkeypatch: pytest.MonkeyPatch, microseconds: int) -> None:
    """Let time pass for what waits."""
    for module in (outbox, inbox):
        clock = module.now
        monkeypatch.setattr(module, "now", lambda clock=clock: clock() + microseconds)


def test_a_new_callback_begins_with_what_comes_next(store: SqlStore) -> None:
    """What was decided before is not told; known again it goes on where it was."""
    record(store, decision(ticket("one", "T1"), accepted()))
    outbox.follow(store, "crm")
    assert not _fill(store)
    record(store, decision(ticket("two", "T2"), accepted()))
    outbox.follow(store, "crm")
    assert _fill(store)
    assert not _fill(store)
    assert [one.body["data"]["id"] for one in outbox.take(store, "crm", 9)] == ["T2"]


def test_each_event_is_told_once_and_each_kind_as_it_is(store: SqlStore) -> None:
    """Accepted by a model, answered, taken back; what waits and what is a probe is not told, nor a second opinion."""
    outbox.follow(store, "crm")
    record(
        store,
        decision(ticket("one", "T1"), accepted()),
        decision(ticket("two", "T2"), pending()),
        decision(ticket("three", "T3"), accepted("parcel"), probe=0.5),
        decision(ticket("four", None), accepted("parcel", score=0.7)),
    )
    [first] = store.queue.claim("王芳", n=1)
    store.queue.answer(first, "王芳", "parcel", taxonomy=_TAXONOMY, shown=True)
    store.queue.undo("王芳")
    _second_opinion(store)
    while _fill(store):
        pass
    told = outbox.take(store, "crm", 99)
    assert [
        (one.body["type"], one.body["data"]["id"], one.body["data"]["category"], one.body["data"]["team"]) for one in told
    ] == [
        ("ticket.accepted", "T1", "refund", "sales"),
        ("ticket.accepted", None, "parcel", "sales"),
        ("ticket.reviewed", "T2", "parcel", "post"),
        ("ticket.review_retracted", "T2", "parcel", "post"),
    ]
    assert len({one.message for one in told}) == 4


def _second_opinion(store: SqlStore) -> None:
    """An answer of the lane "second", as another person gives it."""
    with store.database.writing() as connection:
        review = connection.execute(sa.select(schema.review).limit(1)).one()._asdict()
        review |= {"id": None, "lane": "second", "verdict": "correct", "reviewer": "李雷", "queue_entry_id": None}
        del review["id"]
        number = connection.scalar(schema.review.insert().returning(schema.review.c.id), review)
        event = {"at": 1, "actor": "李雷", "kind": "correct", "subject": "ticket", "subject_id": review["ticket_id"]}
        connection.execute(schema.event.insert(), {**event, "data": {"review": number, "lane": "second"}})


def test_a_kill_between_sending_and_noting_sends_again_under_the_same_name(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else has it while it is held; then it is taken again."""
    first, other = open_store(), open_store()
    outbox.follow(first, "crm")
    record(first, decision(ticket(), accepted()))
    _fill(first)
    [sent] = outbox.take(first, "crm", 9)
    assert outbox.take(other, "crm", 9) == []
    _later(monkeypatch, outbox.HELD + 1)
    [again] = outbox.take(other, "crm", 9)
    assert again == sent
    outbox.arrived(other, {again.id: 200})
    outbox.failed(first, {sent.id: (None, 5.0)})  # the first one lives after all, and is late
    [row] = rows(other, schema.delivery)
    assert (row.status, row.next_at, row.attempts) == (200, None, 1)


def test_two_processes_share_the_work(open_store: OpenStore) -> None:
    """What one has taken the other does not get, and no event becomes two deliveries."""
    stores = [open_store(), open_store()]
    outbox.follow(stores[0], "crm")
    record(stores[0], *(decision(ticket(f"text {n}", f"T{n}"), accepted()) for n in range(30)))
    taken: list[int] = []

    def work(store: SqlStore) -> None:
        for _ in range(10):
            _fill(store)
            taken.extend(one.id for one in outbox.take(store, "crm", 4))

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 30


def test_what_failed_is_due_again_later_or_never(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever sends says."""
    outbox.follow(store, "crm")
    record(store, decision(ticket("one", "T1"), accepted()), decision(ticket("two", "T2"), accepted()))
    _fill(store)
    one, two = outbox.take(store, "crm", 9)
    outbox.failed(store, {one.id: (500, 5.0), two.id: (410, None)})
    assert outbox.take(store, "crm", 9) == []
    _later(monkeypatch, 5_100_000)
    [again] = outbox.take(store, "crm", 9)
    assert (again.message, again.attempts) == (one.message, 1)


def test_what_was_told_is_forgotten_in_time(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not arrive stays to be seen."""
    outbox.follow(store, "crm")
    record(store, decision(ticket("one", "T1"), accepted()), decision(ticket("two", "T2"), accepted()))
    _fill(store)
    one, two = outbox.take(store, "crm", 9)
    outbox.arrived(store, {one.id: 200})
    outbox.failed(store, {two.id: (None, None)})
    _later(monkeypatch, outbox.KEPT + 1_000_000)
    outbox.forget(store)
    assert [row.id for row in rows(store, schema.delivery)] == [two.id]


def test_how_callbacks_do_and_what_was_given_up_is_told_again(store: SqlStore) -> None:
    """All that was given up, of one of them or of all; under the same names."""
    for callback in ("crm", "erp"):
        outbox.follow(store, callback)
    record(store, decision(ticket("one", "T1"), accepted()), decision(ticket("two", "T2"), accepted()))
    names = {}
    for callback in ("crm", "erp"):
        _fill(store, callback)
        one, two = outbox.take(store, callback, 9)
        outbox.arrived(store, {one.id: 200})
        outbox.failed(store, {two.id: (410, None)})
        names[callback] = two.message
    assert outbox.standings(store) == [outbox.Standing("crm", 0, 1, 1), outbox.Standing("erp", 0, 1, 1)]
    assert outbox.retry(store, "erp") == 1
    assert [(one.message, one.attempts) for one in outbox.take(store, "erp", 9)] == [(names["erp"], 0)]
    assert outbox.take(store, "crm", 9) == []
    with pytest.raises(UnknownNameError, match="did you mean 'crm'"):
        outbox.retry(store, "cmr")
    assert outbox.retry(store) == 1


def test_looking_for_work_needs_no_walk_through_the_tables(tmp_path: Path) -> None:
    """It is done every second, and most of what is there is done."""
    with SqlStore(tmp_path / "s.db") as store:
        asked: list[Any] = []
        for engine in (store.database.engine, store.database.writer):
            sa.event.listen(engine, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
        outbox.take(store, "crm", 9)
        _fill(store)
        inbox.take(store, 9)
        inbox.forget(store)
        with store.database.reading() as connection:
            queries = [(sql, values) for sql, values in asked if sql.lstrip().startswith("SELECT")]
            plans = [
                [row[3] for row in connection.exec_driver_sql(f"explain query plan {sql}", values)] for sql, values in queries
            ]
    assert len(plans) == 4
    assert [step for plan in plans for step in plan if "SCAN" in step] == []


def test_of_an_erased_ticket_nothing_is_told(store: SqlStore) -> None:
    """Neither what was to be told nor what will be: its id leads to the person."""
    outbox.follow(store, "crm")
    record(store, decision(ticket("one", "编号1"), accepted()), decision(ticket("two", "T2"), accepted()))
    _fill(store)
    record(store, decision(ticket("another text", "编号1"), accepted()))
    erasing.erase(store, erasing.tickets_named(store, ["编号1"])["编号1"])
    _fill(store)
    assert [one.body["data"]["id"] for one in outbox.take(store, "crm", 9)] == ["T2"]
    assert rows(store, schema.delivery)[0].body == {}


# -- what comes in ---------------------------------------------------------------------------------


def _put(store: SqlStore, message: str, content: str = "我的包裹没到", ticket_id: str | None = "T1", **more: Any) -> bool:
    return inbox.put(store, "crm", message, Ticket(content=content, id=ticket_id, **more))


def test_a_message_is_kept_once(store: SqlStore) -> None:
    """By hook and id; what it holds comes out as it went in."""
    sent = Ticket(content="a\0b 包裹 \ud800", title="标题", id="T1", customer="李雷", metadata={"plan": "gold"})
    assert inbox.put(store, "crm", "m1", sent)
    assert not inbox.put(store, "crm", "m1", sent)
    assert inbox.put(store, "erp", "m1", Ticket(content="another"))
    first, second = inbox.take(store, 9)
    assert first.ticket == Ticket(
        content="a\ufffdb 包裹 \ufffd", title="标题", id="T1", customer="李雷", metadata={"plan": "gold"}
    )
    assert (second.hook, second.ticket.id) == ("erp", None)


def test_messages_are_held_and_go_on_after_a_kill(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one process has, another does not get before the time is over; what is decided nobody gets again."""
    first, other = open_store(), open_store()
    _put(first, "m1")
    _put(first, "m2", ticket_id=None)
    [held] = inbox.take(first, 1)
    [free] = inbox.take(other, 9)
    assert (held.id, free.id) == (1, 2)
    inbox.done(other, [free.id])
    inbox.give_back(other, [free.id])
    assert inbox.take(other, 9) == []
    _later(monkeypatch, inbox.HELD + 1)
    assert inbox.take(other, 9) == [held]


def test_of_one_ticket_the_texts_are_decided_in_their_order(open_store: OpenStore) -> None:
    """The second comes out when the first is done, whoever asks: the newest text must be decided last."""
    first, other = open_store(), open_store()
    for n, ticket_id in enumerate(["T1", "T1", "T2", "T1"]):
        _put(first, f"m{n}", f"text {n}", ticket_id)
    taken = inbox.take(first, 9)
    assert [one.ticket.content for one in taken] == ["text 0", "text 2"]
    assert inbox.take(other, 9) == []
    inbox.done(first, [one.id for one in taken])
    assert [one.ticket.content for one in inbox.take(other, 9)] == ["text 1"]


def test_messages_that_are_put_off_hold_up_no_others(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are; only what else came about their own ticket waits for them."""
    for n in range(12):
        _put(store, f"m{n}", ticket_id=f"T{n}")
    put_off = inbox.take(store, 10)
    inbox.give_back(store, [one.id for one in put_off], seconds=600)
    _put(store, "again", "text 2", "T0")
    assert [one.ticket.id for one in inbox.take(store, 1)] == ["T10"]
    assert [one.ticket.id for one in inbox.take(store, 9)] == ["T11"]
    assert inbox.take(store, 9) == []
    _later(monkeypatch, 601_000_000)
    assert [one.ticket.id for one in inbox.take(store, 3)] == ["T10", "T11", "T0"]  # two were held by somebody who is gone


def test_what_is_given_back_is_taken_next(store: SqlStore) -> None:
    """It keeps its place."""
    for n in range(3):
        _put(store, f"m{n}", ticket_id=f"T{n}")
    inbox.give_back(store, [one.id for one in inbox.take(store, 2)])
    assert [one.ticket.id for one in inbox.take(store, 9)] == ["T0", "T1", "T2"]


def test_the_backlog_is_counted_with_its_oldest(store: SqlStore) -> None:
    """Also what somebody works on."""
    assert inbox.backlog(store) == (0, None)
    for n in range(3):
        _put(store, f"m{n}", ticket_id=f"T{n}")
    inbox.done(store, [one.id for one in inbox.take(store, 1)])
    inbox.take(store, 1)
    assert inbox.backlog(store) == (2, rows(store, schema.inbox)[1].received_at)


def test_a_service_decides_what_came_for_it(open_store: OpenStore) -> None:
    """Two services with one store and two sources do not take each other's."""
    shop, bank = open_store(source="shop"), open_store(source="bank")
    _put(shop, "m1")
    assert inbox.take(bank, 9) == []
    assert len(inbox.take(shop, 9)) == 1


def test_a_message_is_known_for_a_month(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from when it was decided; what is not decided stays however old it is."""
    _put(store, "m1")
    _put(store, "m2", ticket_id="T2")
    inbox.done(store, [1])
    _later(monkeypatch, inbox.KNOWN - 60_000_000)
    inbox.forget(store)
    assert not _put(store, "m1")
    _later(monkeypatch, 120_000_000)
    inbox.forget(store)
    assert [row.message for row in rows(store, schema.inbox)] == ["m2"]


def test_erasing_finds_what_is_not_decided_yet(open_store: OpenStore) -> None:
    """By id and by customer, in one source or all of them; nothing of it is left, and it is not decided any more."""
    shop, bank = open_store(source="shop"), open_store(source="bank")
    _put(shop, "m1", "电话1381234", "编号1", customer="李雷")
    _put(shop, "m2", "another", "编号2", customer="李雷")
    _put(bank, "m3", "a third", "编号1", customer="韩梅梅")
    assert erasing.messages_named(shop, ["编号1", "编号9"]) == {"编号1": [1, 3], "编号9": []}
    assert erasing.messages_named(shop, ["编号1"], "shop") == {"编号1": [1]}
    assert erasing.messages_of(shop, "李雷") == [1, 2]
    erasing.erase(shop, [], erasing.messages_named(shop, ["编号1"], "shop")["编号1"])
    assert [row.ticket is None for row in rows(shop, schema.inbox)] == [True, False, False]
    assert [one.ticket.id for one in inbox.take(shop, 9)] == ["编号2"]
    assert not _put(shop, "m1")


def test_pruning_finds_what_nobody_decided(store: SqlStore) -> None:
    """A service that is not started any more must not keep texts for ever."""
    _put(store, "m1")
    [old] = rows(store, schema.inbox)
    _put(store, "m2", ticket_id="T2")
    before = rows(store, schema.inbox)[1].received_at
    assert old.received_at < before
    assert erasing.count_old(store, before) == 1
    assert erasing.prune(store, before) == 1
    assert [row.ticket is None for row in rows(store, schema.inbox)] == [True, False]
    assert entries(store) == []
