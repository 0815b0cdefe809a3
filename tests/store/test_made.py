"""A store is made by opening it."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from decided import accepted, decision, recall, record, ticket

from llmtriage import Triage
from llmtriage.store import SqlStore


def test_a_store_is_made_by_opening_it(nothing: str) -> None:
    """What one process stored, another one knows."""
    with SqlStore(nothing) as store:
        record(store, decision(ticket(), accepted()))
    with SqlStore(nothing) as store:
        (known,) = recall(store, ticket())
    assert known
    assert known.own
    assert known.outcome == replace(accepted(), ticket_id="T1")


def test_a_store_that_is_closed_or_let_go_leaves_no_thread(nothing: str) -> None:
    """A service may open one for each request; and a closed one may be used again."""
    with SqlStore(nothing) as store:
        record(store, decision(ticket(), accepted()))
    assert not _writers()
    record(store, decision(ticket("再来", "T2"), accepted()))
    assert len(_writers()) == 1
    (writer,) = _writers()
    store.database.close()  # its connections alone
    del store
    gc.collect()
    writer.join(timeout=10)
    assert not _writers()


@pytest.mark.slow
def test_a_triage_closes_the_store_it_opened_and_no_other(tmp_path: Path) -> None:
    """It may be used again afterwards."""
    with Triage(backend="lexical", store=tmp_path / "own.db") as triage:
        triage.classify("我要退款")
        assert len(_writers()) == 1
    assert not _writers()
    assert triage.classify("我要退款").recalled
    triage.close()
    with SqlStore(tmp_path / "given.db") as store:
        with Triage(backend="lexical", store=store) as triage:
            triage.classify("我要退款")
        assert len(_writers()) == 1


def test_writers_take_turns_whatever_a_servers_default_is(schema: str) -> None:
    """Where each transaction saw what was there at its beginning, one that waited for another would fail."""
    where = f"{schema}%20-cdefault_transaction_isolation%3Dserializable"
    with SqlStore(where) as one, SqlStore(where) as other:
        waiting = [
            store.record([decision(ticket(f"退款 {n}", f"T{n}"), accepted())]) for n in range(40) for store in (one, other)
        ]
        assert [done.exception(timeout=60) for done in waiting] == [None] * 80


def test_what_was_handed_over_is_kept_before_a_store_is_closed(nothing: str) -> None:
    """Nobody need wait for it first."""
    with SqlStore(nothing) as store:
        waiting = [store.record([decision(ticket(f"退款 {n}", f"T{n}"), accepted())]) for n in range(20)]
    assert all(one.done() for one in waiting)
    with SqlStore(nothing) as store:
        assert None not in recall(store, *(ticket(f"退款 {n}", f"T{n}") for n in range(20)))


def test_a_file_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that means something to SQLite, and wherever the process goes meanwhile."""
    monkeypatch.chdir(tmp_path)
    store = SqlStore(":memory:")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.close()
    record(store, decision(ticket(), accepted()))
    store.close()
    with SqlStore(tmp_path / ":memory:", create=False) as store:
        assert recall(store, ticket()) != [None]


def _writers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "llmtriage-writer" and one not in _BEFORE]


_BEFORE: set[threading.Thread] = set()


@pytest.fixture(autouse=True)
def _of_others() -> None:
    """What another test has left behind is not this one's."""
    gc.collect()
    _BEFORE.update(threading.enumerate())
