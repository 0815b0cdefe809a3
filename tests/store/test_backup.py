"""A copy of a store that is in use."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from decided import decision, pending, record, rows, ticket

from llmtriage.errors import InputError, StoreError
from llmtriage.store import SqlStore, schema
from llmtriage.store.backup import backup
from llmtriage.store.database import Database

_TABLES = [table for table in schema.metadata.sorted_tables if table.name != "alembic_version"]


def _filled(path: Path) -> SqlStore:
    store = SqlStore(path)
    record(store, *(decision(ticket(f"退款 {n}", f"T{n}"), pending()) for n in range(20)))
    return store


def test_a_copy_holds_every_row_and_can_be_used(tmp_path: Path) -> None:
    """Compared table by table; what is put into the copy is not in the store."""
    with _filled(tmp_path / "a.db") as store:
        size = backup(store.database, tmp_path / "copy.db")
        assert size == (tmp_path / "copy.db").stat().st_size
        assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
        with SqlStore(tmp_path / "copy.db", create=False) as copy:
            assert all(rows(copy, table) == rows(store, table) for table in _TABLES)
            record(copy, decision(ticket("新的", "T99"), pending()))
            assert (len(rows(copy, schema.ticket)), len(rows(store, schema.ticket))) == (21, 20)


def test_a_copy_made_while_others_write_is_of_one_moment(tmp_path: Path) -> None:
    """Whole groups: each ticket with its outcome, its place in the queue and its event; writers go on."""
    done = threading.Event()
    with _filled(tmp_path / "a.db") as store:

        def write() -> None:
            number = 100
            while not done.is_set():
                record(store, *(decision(ticket(f"快递 {number + n}", f"T{number + n}"), pending()) for n in range(5)))
                number += 5

        writer = threading.Thread(target=write)
        writer.start()
        for name in ("one.db", "two.db", "three.db"):
            backup(store.database, tmp_path / name)
        done.set()
        writer.join()
        counts: list[int] = []
        for name in ("one.db", "two.db", "three.db"):
            with SqlStore(tmp_path / name, create=False) as copy:
                found = {len(rows(copy, table)) for table in (schema.ticket, schema.outcome, schema.queue_entry)}
                assert len(found) == 1
                counts += found
        assert all(count % 5 == 0 for count in counts)
        assert counts == sorted(counts)
        assert len(rows(store, schema.ticket)) > 20


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    """Neither a file nor the store itself, nor what a backup that was killed left."""
    (tmp_path / "old.db").write_bytes(b"keep")
    (tmp_path / "new.db.part").write_bytes(b"keep")
    with _filled(tmp_path / "a.db") as store:
        for name in ("old.db", "a.db"):
            with pytest.raises(InputError, match="exists already"):
                backup(store.database, tmp_path / name)
        with pytest.raises(InputError, match="cannot be made"):
            backup(store.database, tmp_path / "new.db")
        with pytest.raises(InputError, match="cannot be made"):
            backup(store.database, tmp_path / "no" / "new.db")
    assert (tmp_path / "old.db").read_bytes() == (tmp_path / "new.db.part").read_bytes() == b"keep"
    assert not (tmp_path / "new.db").exists()


def test_what_was_erased_is_not_in_the_copy(tmp_path: Path) -> None:
    """Nor what was deleted before."""
    from llmtriage.store import erasing

    with _filled(tmp_path / "a.db") as store:
        record(store, decision(ticket("机密：13812345678", "T77"), pending()))
        erasing.erase(store, erasing.tickets_named(store, ["T77"])["T77"])
        backup(store.database, tmp_path / "copy.db")
    assert b"13812345678" not in (tmp_path / "copy.db").read_bytes()


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full: simulated, after half a copy was written."""
    with _filled(tmp_path / "a.db") as store:

        def full(_: Path) -> int:
            raise StoreError("the disk is full", store="a.db", remedy="make room")

        monkeypatch.setattr("llmtriage.store.backup._onto_disk", full)
        with pytest.raises(StoreError, match="full"):
            backup(store.database, tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a USB stick."""

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refused)
    with _filled(tmp_path / "a.db") as store:
        backup(store.database, tmp_path / "copy.db")
    with SqlStore(tmp_path / "copy.db", create=False) as copy:
        assert len(rows(copy, schema.ticket)) == 20
    assert not (tmp_path / "copy.db.part").exists()


def test_a_store_in_postgresql_is_left_to_its_own_tools(schema: str, tmp_path: Path) -> None:
    """One line says which."""
    database = Database(schema)
    with pytest.raises(InputError, match="pg_dump"):
        backup(database, tmp_path / "copy.db")
    database.close()
