"""Personal data goes for good: not a byte of it stays in the files, and what was decided is still counted."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from decided import OTHER_RUN, accepted, answer, decision, entries, pending, recall, record, rows, ticket

from llmtriage import Category, Pending, Taxonomy, Ticket, Triage
from llmtriage.errors import InputError, OutdatedError, StoreError
from llmtriage.predictions import Question
from llmtriage.store import SqlStore, erasing, inbox, schema
from llmtriage.store.requests import Claim, Reply, Requests, State
from llmtriage.testing import ScriptedBackend

OpenStore = Callable[..., SqlStore]

_DAY = 86_400_000_000
_TAXONOMY = Taxonomy(categories=(Category(id="refund"), Category(id="parcel")))


def _private(n: int, **more: Any) -> Ticket:
    """A ticket of which every field can be found again."""
    fields = {
        "title": f"标题{n}号",
        "customer": f"客户{n}号",
        "metadata": {f"字段{n}号": f"值{n}号", "mail": f"a{n}@例子.cn"},
        **more,
    }
    return ticket(
        f"内容{n}号：我的电话是1381234{n:04}，" + "请退款。" * (n % 7 * 60),
        f"编号{n}号",
        channel="chat",
        language="zh",
        **fields,
    )


def _held(folder: Path) -> bytes:
    """All files of a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def _traces(held: bytes, n: int) -> list[str]:
    """What is found of ticket `n`, as text or as JSON escapes it."""
    words = [f"{kind}{n}号" for kind in ("内容", "标题", "客户", "字段", "值", "编号", "备注", "新内容")]
    words += [f"1381234{n:04}", f"a{n}@例子.cn"]
    forms = {form for word in words for form in (word.encode(), json.dumps(word)[1:-1].encode())}
    return sorted(form.decode(errors="replace") for form in forms if form in held)


def _numbers(store: SqlStore, *which: int) -> list[int]:
    named = erasing.tickets_named(store, [f"编号{n}号" for n in which])
    return [number for numbers in named.values() for number in numbers]


@pytest.mark.slow
def test_no_byte_of_an_erased_ticket_is_in_the_files(made_file: Path, tmp_path: Path) -> None:
    """Of all its versions, of its fields, of notes about it; neither in the file nor beside it. The others are whole."""
    folder = tmp_path / "store"
    folder.mkdir()
    chance = random.Random(7)  # noqa: S311
    with SqlStore(shutil.copy(made_file, folder / "s.db")) as store:
        numbers = list(range(150))
        chance.shuffle(numbers)
        for start in range(0, 150, 50):
            record(store, *(decision(_private(n), pending()) for n in numbers[start : start + 50]))
        later = [Ticket(content=f"新内容{n}号" * 50, id=f"编号{n}号", customer=f"客户{n}号") for n in range(20)]
        record(store, *(decision(one, pending()) for one in later))
        for entry in entries(store)[:60]:
            answer(store, entry, note=f"备注{numbers[entry.ticket_id - 1]}号")
        gone = [0, 7, 13, 19, *chance.sample(range(20, 150), 12)]
        before = _held(folder)
        assert all(len(_traces(before, n)) >= 4 for n in gone)
        erasing.erase(store, _numbers(store, *gone))
        after = _held(folder)
        assert {n: found for n in gone if (found := _traces(after, n))} == {}
        kept = sorted(set(numbers) - set(gone))[:5]
        assert all(len(_traces(after, n)) >= 4 for n in kept)
        assert recall(store, _private(kept[0]), _private(gone[0]))[1] is None
        assert recall(store, _private(kept[0]))[0] is not None
    closed = _held(folder)
    assert {n: found for n in gone if (found := _traces(closed, n))} == {}


def test_what_was_decided_and_answered_stays_without_the_text(store: SqlStore) -> None:
    """Outcomes, reviews, events and counts are as they were; nobody waits for the ticket any more."""
    record(
        store, decision(_private(1), pending()), decision(_private(2), pending()), decision(_private(3), accepted(), probe=0.1)
    )
    answer(store, entries(store)[0], note="备注1号")
    before = {table.name: rows(store, table) for table in (schema.outcome, schema.daily_count, schema.event)}
    erasing.erase(store, _numbers(store, 1, 2))
    assert rows(store, schema.outcome) == before["outcome"]
    assert rows(store, schema.daily_count) == before["daily_count"]
    assert rows(store, schema.event)[:3] == before["event"]
    assert [(row.kind, row.actor, row.data) for row in rows(store, schema.event)[3:]] == [("erase", "db", {})] * 2
    (review,) = rows(store, schema.review)
    assert (review.category, review.note) == ("parcel", None)
    assert [entry.lane for entry in entries(store)] == ["probe"]
    first, second, third = rows(store, schema.ticket)
    for row in (first, second):
        assert (row.key, row.external_id, row.customer, row.metadata) == (f"erased:{row.id}", None, None, {})
        assert (row.channel, row.language) == ("chat", "zh")
        assert row.erased_at
    assert (third.external_id, third.erased_at) == ("编号3号", None)
    texts = rows(store, schema.ticket_text)
    assert [(row.title, row.content, row.hmac) for row in texts[:2]] == [(None, None, None)] * 2


def test_whoever_holds_an_erased_ticket_loses_it(store: SqlStore) -> None:
    """The lease ends, so an answer that comes later is not taken for one."""
    record(store, decision(_private(1), pending()))
    with store.database.writing() as connection:
        connection.execute(schema.queue_entry.update().values(lease_owner="王芳", lease_until=2**60, lease_token=3))
    erasing.erase(store, _numbers(store, 1))
    (entry,) = entries(store, "withdrawn")
    assert (entry.lease_owner, entry.lease_until, entry.lease_token) == (None, None, 4)


def test_an_answer_to_an_erased_ticket_is_refused(store: SqlStore) -> None:
    """Who has it on the screen is told; nothing of what they write is kept."""
    record(store, decision(_private(1), pending()))
    (item,) = store.queue.claim("王芳")
    erasing.erase(store, _numbers(store, 1))
    with pytest.raises(OutdatedError, match="it waits no longer; go on with the next one"):
        store.queue.answer(item, "王芳", "refund", taxonomy=_TAXONOMY, shown=True, note="备注1号")
    assert not rows(store, schema.review)


def test_an_answer_to_a_ticket_that_was_erased_stands_and_teaches_nothing(store: SqlStore) -> None:
    """It cannot be taken back, for nobody could answer again; without the text it is no example."""
    record(store, decision(_private(1), pending()), decision(_private(2), pending()))
    for item in store.queue.claim("王芳", n=2):
        store.queue.answer(item, "王芳", "refund", taxonomy=_TAXONOMY, shown=True)
    erasing.erase(store, _numbers(store, 2))
    assert [label.ticket.id for label in store.queue.labels()] == ["编号1号"]
    with pytest.raises(InputError, match="the ticket of this answer was erased; the answer stands as it is"):
        store.queue.undo("王芳")
    assert len(rows(store, schema.review)) == 2
    assert not entries(store)


def test_an_erased_ticket_that_comes_again_is_a_new_one(store: SqlStore) -> None:
    """It is asked about, waits, and can be erased again."""
    for _ in range(2):
        assert recall(store, _private(1)) == [None]
        record(store, decision(_private(1), pending()))
        assert len(entries(store)) == 1
        erasing.erase(store, _numbers(store, 1))
    assert len({row.key for row in rows(store, schema.ticket)}) == 2


def test_tickets_are_found_by_id_and_by_customer_from_one_source_or_any(open_store: OpenStore) -> None:
    """Also a name that was cut because it is long, and one that no database takes."""
    shop, app = open_store(source="商城"), open_store(source="app")
    names = ["李雷", "长" * 5000, "a\0b"]
    for store in (shop, app):
        record(store, *(decision(ticket(f"{name[:9]}", name, customer=name), accepted()) for name in names))
    for name in names:
        assert len(erasing.tickets_of(shop, name)) == len(erasing.tickets_named(shop, [name])[name]) == 2
        (own,) = erasing.tickets_of(shop, name, "app")
        assert erasing.tickets_named(shop, [name], "app") == {name: [own]}
    assert erasing.tickets_named(shop, ["韩梅梅"]) == {"韩梅梅": []}
    assert erasing.tickets_of(shop, "") == []


@pytest.mark.slow
def test_many_tickets_are_erased_in_groups(store: SqlStore) -> None:
    """More than one transaction takes."""
    for start in range(0, 2500, 500):
        record(store, *(decision(ticket(f"t{n}", f"T{n}", customer="公司"), accepted()) for n in range(start, start + 500)))
    erasing.erase(store, erasing.tickets_of(store, "公司"))
    assert all(row.content is None for row in rows(store, schema.ticket_text))
    assert len([row for row in rows(store, schema.event) if row.kind == "erase"]) == 2500


def test_who_reads_meanwhile_is_told_of_and_the_last_to_close_takes_it_out(
    made_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old page stands beside the file as long as somebody may still want it."""
    folder = tmp_path / "store"
    folder.mkdir()
    monkeypatch.setattr(erasing, "PATIENCE", 0.1)
    with SqlStore(shutil.copy(made_file, folder / "s.db"), busy_seconds=0.1) as store:
        record(store, decision(_private(1), pending()), decision(_private(2), pending()))
        with closing(sqlite3.connect(folder / "s.db", isolation_level=None)) as reader:
            reader.execute("begin")
            reader.execute("select * from ticket").fetchall()
            with pytest.raises(StoreError, match=r"erased, but another program has the file open.*end that program"):
                erasing.erase(store, _numbers(store, 1))
            assert _traces(_held(folder), 1)
            assert rows(store, schema.ticket_text)[0].content is None
            reader.execute("rollback")
        erasing.clear(store)
        assert not _traces(_held(folder), 1)
        assert _traces(_held(folder), 2)


# -- what others have in their hands ---------------------------------------------------------------


def _read(store: SqlStore, one: Ticket) -> Ticket:
    """A ticket as a run has it while the engine thinks."""
    return replace(one, as_of=store.recall([(one, OTHER_RUN.id)]).as_of)


@pytest.mark.parametrize(
    "named",
    [erasing.Named(["编号1号"]), erasing.Named(["编号1号"], source="shop"), erasing.Named(customer="客户1号")],
    ids=["id", "id and source", "customer"],
)
def test_who_read_a_ticket_before_it_was_erased_keeps_nothing_of_it(open_store: OpenStore, named: erasing.Named) -> None:
    """Nor of a text that was not there yet; another ticket of the group is kept, and so is what the customer writes after that."""
    store, other = open_store(source="shop"), open_store(source="shop")
    record(store, decision(_private(1), pending()))
    held = [_read(store, Ticket(content="新内容1号", id="编号1号", customer="客户1号")), _read(store, _private(2))]
    assert erasing.erase_named(other, named) == 1
    kept = store.record([decision(one, pending(), run=OTHER_RUN) for one in held]).result(timeout=60)
    assert kept == [False, True]
    assert [row.content and row.content[:5] for row in rows(store, schema.ticket_text)] == [None, "内容2号："]
    assert len(entries(store)) == 1
    again = _read(store, _private(1))
    record(store, decision(again, pending(), run=OTHER_RUN))
    assert recall(store, again, run=OTHER_RUN) != [None]
    assert len(entries(store)) == 2


def test_a_ticket_that_is_erased_while_the_engine_thinks_is_not_kept(open_store: OpenStore) -> None:
    """Who waits for it is told what was decided."""
    store, other = open_store(), open_store()
    record(store, decision(_private(1), pending()))

    def says(_: Question) -> str:
        erasing.erase_named(other, erasing.Named(["编号1号"]))
        return "refund"

    sorter = Triage(taxonomy=_TAXONOMY, backend=ScriptedBackend(says), store=store)
    [outcome] = list(sorter.classify_many([_private(1)]))
    assert isinstance(outcome, Pending)
    assert outcome.suggestion == "refund"
    assert [row.content for row in rows(store, schema.ticket_text)] == [None]
    assert len(rows(store, schema.outcome)) == 1
    assert entries(store) == []


def test_a_ticket_that_was_erased_by_its_number_is_not_kept_by_who_read_it_before(store: SqlStore) -> None:
    """Also one without an id, which is known by its text."""
    nameless = Ticket(content="内容1号", customer="客户1号")
    record(store, decision(nameless, pending()))
    held = _read(store, Ticket(content="内容1号"))
    erasing.erase(store, erasing.tickets_of(store, "客户1号"))
    record(store, decision(held, pending(), run=OTHER_RUN))
    assert [row.content for row in rows(store, schema.ticket_text)] == [None]


@pytest.mark.parametrize("named", [erasing.Named(["编号1号"]), erasing.Named(customer="客户1号")], ids=["id", "customer"])
def test_a_message_that_somebody_works_on_is_erased_with_what_becomes_of_it(open_store: OpenStore, named: erasing.Named) -> None:
    """Whether it is decided before the erasure or after it; a later message is a new ticket."""
    store, other = open_store(), open_store()
    for message, one in (("m1", _private(1)), ("m2", Ticket(content="新内容1号", customer="客户1号", id="编号1号"))):
        inbox.put(store, "crm", message, one)
    [first] = inbox.take(store, 9)
    record(store, decision(first.ticket, pending()))
    inbox.done(store, [first.id])
    [held] = inbox.take(store, 9)
    assert erasing.erase_named(other, named) == 2
    record(store, decision(held.ticket, pending()))
    inbox.done(store, [held.id])
    assert [row.content for row in rows(store, schema.ticket_text)] == [None]
    assert entries(store) == []
    inbox.put(store, "crm", "m3", _private(1))
    [new] = inbox.take(store, 9)
    record(store, decision(new.ticket, pending()))
    assert len(entries(store)) == 1


def test_a_message_that_was_erased_by_its_number_is_not_kept_by_who_works_on_it(open_store: OpenStore) -> None:
    """Another ticket, taken with it, is."""
    store, other = open_store(), open_store()
    inbox.put(store, "crm", "m1", _private(1))
    inbox.put(store, "crm", "m2", _private(2))
    held = [one.ticket for one in inbox.take(store, 9)]
    erasing.erase(other, [], [1])
    record(store, *(decision(one, pending()) for one in held))
    assert [row.external_id for row in rows(store, schema.ticket)] == ["编号2号"]


def test_of_whom_all_was_erased_is_known_for_a_day_and_not_by_name(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody has it in hand any more."""
    record(store, decision(_private(1), pending()), decision(_private(2), pending()))
    erasing.erase_named(store, erasing.Named(["编号1号"]))
    assert "编号" not in str(rows(store, schema.erasure))
    (*_, first) = rows(store, schema.erasure)
    monkeypatch.setattr(erasing, "now", lambda: first.at + _DAY + 1)
    erasing.erase_named(store, erasing.Named(["编号2号"]))
    assert [bool(row.subject) for row in rows(store, schema.erasure)] == [
        row.at > first.at for row in rows(store, schema.erasure)
    ]


def test_what_was_answered_to_requests_is_emptied_and_nothing_is_done_twice(store: SqlStore) -> None:
    """What still runs is left alone, and its reply is kept."""
    requests = Requests(store.database)
    record(store, decision(_private(1), pending()))
    done, running = (requests.claim("crm", key, b"asked") for key in "KR")
    assert isinstance(done, Claim)
    assert isinstance(running, Claim)
    reply = Reply(200, "application/json", '"编号1号"')
    requests.keep(done, reply)
    erasing.erase_named(store, erasing.Named(["编号1号"]))
    assert requests.claim("crm", "K", b"asked") is State.EMPTIED
    assert requests.claim("crm", "K", b"other") is State.OTHER
    assert requests.claim("crm", "R", b"asked") is State.RUNNING
    assert "编号" not in str(rows(store, schema.idempotency))
    requests.keep(running, reply)
    assert requests.claim("crm", "R", b"asked") == reply


# -- a limit of time -------------------------------------------------------------------------------


def _aged(store: SqlStore, days: int) -> None:
    """Make all that is there `days` older."""
    with store.database.writing() as connection:
        for table in (schema.ticket, schema.ticket_text):
            connection.execute(table.update().values(received_at=table.c.received_at - days * _DAY))


def _limit(days: int) -> int:
    from llmtriage.store.recording import now

    return now() - days * _DAY


def test_what_is_old_loses_its_text_unless_somebody_waits_or_it_came_again(store: SqlStore) -> None:
    """Accepted or answered long ago: gone. Waiting, new, or with a new message: kept."""
    record(store, decision(_private(1), accepted()), decision(_private(2), pending()), decision(_private(3), pending()))
    record(store, decision(_private(4), accepted()), decision(_private(5), accepted(), probe=0.5))
    answer(store, entries(store)[0], note="备注2号")
    _aged(store, 100)
    record(store, decision(_private(6), accepted()))
    record(store, decision(Ticket(content="还有一个问题", id="编号4号"), accepted()))
    assert erasing.count_old(store, _limit(101)) == 0
    assert erasing.count_old(store, _limit(90)) == 2
    assert erasing.prune(store, _limit(90)) == 2
    assert [row.external_id for row in rows(store, schema.ticket)] == [None, None, *(f"编号{n}号" for n in (3, 4, 5, 6))]
    assert [row.kind for row in rows(store, schema.event)][-2:] == ["prune", "prune"]
    assert erasing.prune(store, _limit(90)) == 0
    assert [row.category for row in rows(store, schema.review)] == ["parcel"]
    assert sum(row.n for row in rows(store, schema.daily_count)) == 7


def test_more_old_tickets_than_go_at_a_time_all_go(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time, with some among them that stay."""
    monkeypatch.setattr(erasing, "_TOGETHER", 2)
    waiting = {3, 4, 8}
    record(store, *(decision(_private(n), pending() if n in waiting else accepted()) for n in range(1, 10)))
    _aged(store, 100)
    assert erasing.prune(store, _limit(90)) == 6
    assert {row.external_id for row in rows(store, schema.ticket)} == {None, *(f"编号{n}号" for n in waiting)}
    assert erasing.prune(store, _limit(90)) == 0


def test_a_second_opinion_that_never_comes_does_not_keep_a_text(open_store: OpenStore) -> None:
    """It is asked for no longer; the first answer stands."""
    store = open_store(second=1.0)
    record(store, decision(_private(1), pending()))
    (item,) = store.queue.claim("王芳")
    store.queue.answer(item, "王芳", "refund", taxonomy=_TAXONOMY, shown=True)
    assert [entry.lane for entry in entries(store)] == ["second"]
    _aged(store, 100)
    assert erasing.count_old(store, _limit(90)) == erasing.prune(store, _limit(90)) == 1
    assert entries(store) == []
    assert len(rows(store, schema.review)) == 1


def test_no_byte_of_what_was_pruned_is_in_the_files(made_file: Path, tmp_path: Path) -> None:
    """As of what was erased."""
    folder = tmp_path / "store"
    folder.mkdir()
    with SqlStore(shutil.copy(made_file, folder / "s.db")) as store:
        record(store, *(decision(_private(n), accepted()) for n in range(50)))
        _aged(store, 400)
        record(store, decision(_private(99), accepted()))
        assert erasing.prune(store, _limit(365)) == 50
        held = _held(folder)
        assert not any(_traces(held, n) for n in range(50))
        assert _traces(held, 99)


def test_a_pruned_text_that_comes_again_under_a_new_run_waits_for_nobody_who_answered(store: SqlStore) -> None:
    """It is a new ticket, so it is asked about: what was known of it is gone."""
    record(store, decision(_private(1), accepted()))
    _aged(store, 100)
    erasing.prune(store, _limit(90))
    assert recall(store, _private(1)) == [None]
    record(store, decision(_private(1), pending(), run=OTHER_RUN))
    assert len(entries(store)) == 1
