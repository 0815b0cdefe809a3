"""The write-ahead log of SQLite stays short, also where somebody always reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from decided import decision, pending, recall, record, ticket

from llmtriage.store import SqlStore, database

LIMIT = 400_000  # bytes


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    """A store whose log is soon too long, and that does not wait long for a reader."""
    monkeypatch.setattr(database, "_LONG_LOG", LIMIT)
    with SqlStore(tmp_path / "own.db", busy_seconds=0.2) as own:
        yield own


def keep(store: SqlStore, groups: int, begin: int = 0) -> int:
    """Keep so many groups of 40 tickets; the size of the log in bytes."""
    for n in range(begin, begin + groups):
        record(store, *(decision(ticket(f"{'退款 ' * 60}{n} {k}", f"T{n} {k}"), pending()) for k in range(40)))
    return Path(f"{store.database.path}-wal").stat().st_size


@pytest.mark.slow
def test_the_log_begins_anew_though_somebody_reads_all_the_time(store: SqlStore) -> None:
    """Four readers leave no moment without one, so SQLite alone would not begin it anew."""
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            recall(store, *(ticket(f"{'退款 ' * 60}{n} 0", f"T{n} 0") for n in range(5)))

    readers = [threading.Thread(target=look) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        size = keep(store, 90)
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    assert size < 12 * LIMIT
    assert Path(str(store.database.path)).stat().st_size > LIMIT


@pytest.mark.slow
def test_who_reads_for_ever_holds_nobody_up(store: SqlStore) -> None:
    """The log grows meanwhile, is tried only now and then, and begins anew when the reader has gone."""
    keep(store, 1)
    with store.database.reading() as connection:
        connection.exec_driver_sql("select count(*) from ticket").all()
        long = keep(store, 40, begin=1)
        assert long > 3 * LIMIT
    after = keep(store, 60, begin=41)
    assert after < long + 2 * LIMIT
    assert recall(store, ticket(f"{'退款 ' * 60}100 0", "T100 0"))[0] is not None
