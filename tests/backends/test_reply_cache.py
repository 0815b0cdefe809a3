"""The cache of replies, on real SQLite files: what it keeps, what it refuses to open, and that trouble with it stops no run."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import InputError
from llmtriage.backends.reply_cache import ReplyCache
from llmtriage.backends.sharing import key_of

MIB = 2**20
BODY = {"choices": [{"message": {"content": '{"category": "退货", "confidence": 0.9}'}}], "usage": None}


def key(number: int) -> bytes:
    """A key of its own for each number."""
    return key_of("http://h/v1", "/chat/completions", str(number).encode(), {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet, in a folder whose name needs quoting in a URI."""
    return tmp_path / "缓存 100%? #1" / "replies.sqlite"


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as any program sees it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def files(path: Path) -> list[Path]:
    """The file and what lies beside it."""
    return sorted(path.parent.iterdir())


# -- keys ------------------------------------------------------------------------------------------


REQUEST: dict[str, Any] = {
    "url": "http://h/v1",
    "path": "/chat",
    "content": b'{"a": [1, 2]}',
    "headers": {"X": "1"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://h/v2"},
        {"path": "/classify"},
        {"content": b'{"a": [2, 1]}'},
        {"content": "退货".encode()},
        {"headers": {"X": "2"}},
        {"headers": {}},
        {"url": "http://h", "path": "/v1/chat"},
    ],
)
def test_another_request_has_another_key(change: dict[str, Any]) -> None:
    """Whatever part of it differs."""
    assert key_of(**{**REQUEST, **change}) != key_of(**REQUEST)


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"x": "1"}},
        {"headers": {"X": "1", "Authorization": "Bearer sk-1", "api-key": "sk-2", "X-API-Key": "sk-3"}},
    ],
)
def test_the_same_request_has_the_same_key(change: dict[str, Any]) -> None:
    """The case of header names and who asks do not count."""
    assert key_of(**{**REQUEST, **change}) == key_of(**REQUEST)
    assert len(key_of(**REQUEST)) == 32


# -- keeping ---------------------------------------------------------------------------------------


def test_a_reply_is_there_after_the_file_is_opened_again(path: Path) -> None:
    """And before it is written; what was never kept is a miss."""
    with ReplyCache(path) as cache:
        assert cache.get(key(1)) is None
        cache.put(key(1), BODY)
        assert cache.get(key(1)) == BODY
        assert (cache.hits, cache.misses) == (1, 1)
    with ReplyCache(path) as cache:
        assert cache.get(key(1)) == BODY
        assert cache.get(key(2)) is None
        assert (cache.hits, cache.misses) == (1, 1)


json_bodies = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.lists(json_bodies, max_size=5))
def test_what_comes_out_is_what_went_in(bodies: list[Any]) -> None:
    """Any JSON, lone surrogates too, and the last one put under a key."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cache"
        with ReplyCache(file) as cache:
            for number, body in enumerate(bodies):
                cache.put(key(number), "an older one")
                cache.put(key(number), body)
        with ReplyCache(file) as cache:
            assert [cache.get(key(number)) for number in range(len(bodies))] == bodies


def test_a_reply_that_was_taken_may_be_changed(path: Path) -> None:
    """The next one who takes it has it as it was."""
    with ReplyCache(path) as cache:
        cache.put(key(1), {"a": [1]})
        cache.get(key(1))["a"].append(2)  # type: ignore[index]
        assert cache.get(key(1)) == {"a": [1]}


@pytest.mark.parametrize("body", [None, {1, 2}, object(), "x" * (MIB // 10)])
def test_what_cannot_be_kept_is_not(path: Path, body: object) -> None:
    """Null, what is no JSON, and what would fill a tenth of the cache."""
    with ReplyCache(path, most_bytes=MIB) as cache:
        cache.put(key(1), body)
        assert cache.get(key(1)) is None


def test_the_file_holds_no_request(path: Path) -> None:
    """Hashes and replies alone, though the request had a text and a key."""
    body = "我的订单 private text".encode()
    with ReplyCache(path) as cache:
        cache.put(key_of("http://secret-host/v1", "/chat", body, {"authorization": "Bearer sk-secret"}), BODY)
    raw = path.read_bytes()
    assert "退货".encode() in raw
    for text in ("我的订单", "private text", "secret-host", "sk-secret"):
        assert text.encode() not in raw


def test_only_this_user_can_read_it(path: Path) -> None:
    """The file, its logs while it is open, and the folder that was made for it; whatever the umask."""
    umask = os.umask(0)
    try:
        with ReplyCache(path) as cache:
            cache.put(key(1), BODY)
            cache._write()
            names = [file.name for file in files(path)]
            assert names == ["replies.sqlite", "replies.sqlite-shm", "replies.sqlite-wal"]
            assert [stat.S_IMODE(file.stat().st_mode) for file in files(path)] == [0o600] * 3
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert files(path) == [path]


@pytest.mark.slow
def test_what_waits_is_written_within_a_moment(path: Path) -> None:
    """Without another call, so that a run that stands still and is killed loses nothing."""
    with ReplyCache(path) as cache:
        cache.put(key(1), BODY)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not count(path):
            time.sleep(0.05)
        assert count(path) == 1
        assert cache.get(key(1)) == BODY


def count(path: Path) -> int:
    """The replies that are in the file."""
    with database(path) as connection:
        return int(connection.execute("SELECT count(*) FROM replies").fetchone()[0])


def test_replies_are_written_in_groups(path: Path) -> None:
    """Of 64, or of a MiB."""
    with ReplyCache(path) as cache:
        for number in range(64):
            cache.put(key(number), BODY)
        assert count(path) == 64
        cache.put(key(64), "x" * MIB)
        assert count(path) == 65


# -- the bound -------------------------------------------------------------------------------------


def test_the_file_stays_within_its_bound(path: Path) -> None:
    """What was used least recently goes; what was used last stays."""
    body = "退" * 1000
    with ReplyCache(path, most_bytes=MIB) as cache:
        for number in range(2000):
            cache.put(key(number), [number, body])
            assert cache.get(key(0)) == [0, body]
        there = [cache.get(key(number)) == [number, body] for number in range(2000)]
    assert path.stat().st_size < 1.5 * MIB
    assert there[0]
    assert not any(there[1:1500])
    assert all(there[1900:])
    assert 100 < sum(there) < 400


def test_a_use_counts_after_the_file_is_opened_again(path: Path) -> None:
    """The last uses are part of the file."""
    with ReplyCache(path, most_bytes=MIB) as cache:
        for number in range(200):
            cache.put(key(number), "x" * 3000)
    with ReplyCache(path, most_bytes=MIB) as cache:
        assert cache.get(key(7)) is not None
    with ReplyCache(path, most_bytes=MIB) as cache:
        for number in range(200, 400):
            cache.put(key(number), "x" * 3000)
        cache._write()
        assert cache.get(key(7)) is not None
        assert cache.get(key(8)) is None


def test_a_bound_that_holds_nothing_is_refused(path: Path) -> None:
    """Below a MiB."""
    with pytest.raises(InputError, match="at least 1 MiB; give at least 1048576"):
        ReplyCache(path, most_bytes=MIB - 1)
    assert not path.exists()


# -- files that are something else -----------------------------------------------------------------


def foreign(path: Path, *statements: str) -> None:
    """A database made by these statements."""
    with database(path) as connection:
        for statement in statements:
            connection.execute(statement)


def damaged(path: Path, start: int, stop: int | None = None) -> None:
    """A cache with bytes overwritten, or cut off at `start`."""
    with ReplyCache(path) as cache:
        for number in range(300):
            cache.put(key(number), BODY)
    raw = bytearray(path.read_bytes())
    raw[start:stop] = b"" if stop is None else b"\xaa" * (stop - start)
    path.write_bytes(raw)


def versioned(path: Path, version: int) -> None:
    """A cache of another version."""
    ReplyCache(path).close()
    foreign(path, f"PRAGMA user_version = {version}")


def crowded(path: Path) -> None:
    """A cache with a table that is not its own."""
    ReplyCache(path).close()
    foreign(path, "CREATE TABLE more (a)")


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda p: p.write_text("my notes, longer than a header of SQLite would be\n" * 9), "is a file of another kind"),
    "one byte": (lambda p: p.write_text("x"), "is a file of another kind"),
    "a few bytes": (lambda p: p.write_text("a note"), "is a file of another kind"),
    "an empty database": (lambda p: foreign(p, "VACUUM"), "is the database of another program"),
    "another program's": (lambda p: foreign(p, "CREATE TABLE notes (a)"), "is the database of another program; name another"),
    "another program's mark": (lambda p: foreign(p, "PRAGMA application_id = 5"), "is the database of another program"),
    "in WAL mode": (
        lambda p: foreign(p, "PRAGMA journal_mode = WAL", "CREATE TABLE notes (a)"),
        "is the database of another program",
    ),
    "newer": (lambda p: versioned(p, 2), "is of another version of llmtriage (format 2, not 1); delete it or name another file"),
    "older": (lambda p: versioned(p, 0), "is of another version of llmtriage (format 0, not 1); delete it or name another file"),
    "other tables": (crowded, "is damaged; delete it or name another file"),
    "cut off": (lambda p: damaged(p, 5000), "is damaged; delete it or name another file"),
    "damaged head": (lambda p: damaged(p, 0, 100), "is a file of another kind"),
    "damaged tables": (lambda p: damaged(p, 100, 4096), "is damaged; delete it or name another file"),
    "a folder": (lambda p: p.mkdir(), "is a folder or a device; name another file"),
    "a pipe": (os.mkfifo, "is a folder or a device; name another file"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_file_that_is_no_cache_is_refused_and_left_as_it_is(path: Path, kind: str) -> None:
    """In one line with the file and what to do; not a byte of it changes and nothing appears beside it."""
    make, words = UNUSABLE[kind]
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError) as caught:
        ReplyCache(path)
    assert f"{path}: the reply cache {words}" in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert files(path) == [path]


def test_another_programs_log_is_left_alone(path: Path) -> None:
    """A database that is open elsewhere keeps its write-ahead log, byte for byte."""
    path.parent.mkdir()
    with database(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE notes (a)")
        before = [file.read_bytes() for file in files(path)]
        assert len(before) == 3
        with pytest.raises(InputError, match="another program"):
            ReplyCache(path)
        assert [file.read_bytes() for file in files(path)] == before


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, for whom every place is writable."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_place_where_one_cannot_write_is_refused() -> None:
    """A new file in a folder that is read-only, and a cache there that was made before."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made = place / "made"
        ReplyCache(made).close()
        made.chmod(0o444)
        place.chmod(0o555)
        try:
            with as_nobody():
                with pytest.raises(InputError, match=r"new: the reply cache cannot be opened or created \(Permission denied\)"):
                    ReplyCache(place / "new")
                with pytest.raises(InputError, match=r"made: the reply cache cannot be written; name another file"):
                    ReplyCache(made)
        finally:
            place.chmod(0o755)
        assert sorted(place.iterdir()) == [made]


@pytest.mark.parametrize("name", ["file/cache", "a\0b"])
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    """Below a file, or with a null in it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be opened or created"):
        ReplyCache(tmp_path / name)


def test_an_empty_file_becomes_a_cache(tmp_path: Path) -> None:
    """Nobody loses anything; also where a link leads."""
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("empty", "link"):
        with ReplyCache(tmp_path / name) as cache:
            cache.put(key(1), BODY)
    with ReplyCache(tmp_path / "target") as cache:
        assert cache.get(key(1)) == BODY
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o600


def test_a_locked_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a wait; another program is writing to it."""
    monkeypatch.setattr("llmtriage.backends.reply_cache._LOCK_SECONDS", 0.1)
    ReplyCache(path).close()
    with database(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match="is locked by another program; close that or name another file"):
            ReplyCache(path)


# -- trouble in mid-run ----------------------------------------------------------------------------


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def fill_disk(cache: ReplyCache) -> None:
    """No page more."""
    assert cache._connection is not None
    cache._connection.execute("PRAGMA max_page_count = 1")


def lock(cache: ReplyCache) -> None:
    """A table that is gone, as after a damaged page."""
    assert cache._connection is not None
    cache._connection.execute("DROP TABLE uses")


@pytest.mark.parametrize(("trouble", "kind"), [(fill_disk, "SQLITE_FULL"), (lock, "SQLITE_ERROR")])
def test_trouble_turns_the_cache_off_and_stops_nothing(
    path: Path, caplog: pytest.LogCaptureFixture, trouble: Callable[[ReplyCache], None], kind: str
) -> None:
    """One warning, without content; from then on everything is a miss, and the file is whole."""
    with ReplyCache(path) as cache:
        cache.put(key(0), BODY)
        cache._write()
        trouble(cache)
        for number in range(500):
            cache.put(key(number), {"text": "客户的话 private", "filler": "x" * 1000})
        assert cache.get(key(0)) is None
        cache.put(key(0), BODY)
        assert cache.get(key(0)) is None
    assert warnings(caplog) == [f"the reply cache {path} cannot be used ({kind}); the run goes on without it"]
    with database(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM replies").fetchone() == (1,)


def test_a_lock_that_stays_turns_the_cache_off(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was known before can be read until then."""
    monkeypatch.setattr("llmtriage.backends.reply_cache._LOCK_SECONDS", 0.1)
    with ReplyCache(path) as cache:
        cache.put(key(1), BODY)
        cache._write()
        with database(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            assert cache.get(key(1)) == BODY
            cache.put(key(2), BODY)
            cache._write()
            assert cache.get(key(1)) is None
    assert len(warnings(caplog)) == 1
    assert "SQLITE_BUSY" in warnings(caplog)[0]


def test_a_damaged_page_turns_the_cache_off(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that opens and then proves to be damaged gives nothing wrong: each reply is as it was, or a miss."""
    damaged(path, 8 * 4096, 12 * 4096)
    with ReplyCache(path) as cache:
        found = [cache.get(key(number)) for number in range(300)]
    assert all(body in (None, BODY) for body in found)
    assert None in found
    assert len(warnings(caplog)) == 1
    assert "SQLITE_CORRUPT" in warnings(caplog)[0]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE replies SET body = CAST(replace(CAST(body AS TEXT), '0.9', '0.1') AS BLOB)",
        "UPDATE replies SET body = x'ff'",
        "UPDATE replies SET body = 5",
        "UPDATE replies SET body = 'text'",
        "UPDATE replies SET checksum = 5",
        "UPDATE replies SET (body, checksum) = (SELECT body, checksum FROM replies ORDER BY id DESC)",
    ],
)
def test_a_reply_that_was_changed_is_a_miss(path: Path, change: str) -> None:
    """Another number, another text, another reply's body; a new one takes its place."""
    with ReplyCache(path) as cache:
        cache.put(key(1), BODY)
        cache.put(key(2), ["another"])
    with database(path) as connection:
        connection.execute(change)
    with ReplyCache(path) as cache:
        assert cache.get(key(1)) is None
        cache.put(key(1), BODY)
    with ReplyCache(path) as cache:
        assert cache.get(key(1)) == BODY


def test_a_closed_cache_knows_nothing(path: Path) -> None:
    """And closing it again does no harm."""
    cache = ReplyCache(path)
    cache.put(key(1), BODY)
    cache.close()
    cache.close()
    cache.put(key(1), BODY)
    assert cache.get(key(1)) is None


def test_an_interrupt_leaves_the_cache_usable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a write: what waited still waits, and is written later."""
    with ReplyCache(path) as cache:
        cache.put(key(1), BODY)
        with monkeypatch.context() as patch:
            patch.setattr("llmtriage.backends.reply_cache._evict", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                cache._write()
    with ReplyCache(path) as cache:
        assert cache.get(key(1)) == BODY


# -- several at once -------------------------------------------------------------------------------

WRITER = """
import os, sys
from llmtriage.backends.reply_cache import ReplyCache
from llmtriage.backends.sharing import key_of
path, first, last, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
cache = ReplyCache(path)
for n in range(first, last):
    cache.put(key_of("http://h/v1", "/chat/completions", str(n).encode(), {}), {"n": n, "text": "退货"})
    cache.get(key_of("http://h/v1", "/chat/completions", str(n // 2).encode(), {}))
if end == "crash":
    os._exit(9)
cache.close()
"""


def start(path: Path, first: int, last: int, end: str = "close") -> subprocess.Popen[bytes]:
    """A process that puts these numbers."""
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(first), str(last), end], stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """How it ended and what it said."""
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.slow
def test_processes_write_at_once(path: Path) -> None:
    """Into a file that none of them made before: nothing is lost, nobody gives up."""
    processes = [start(path, first, first + 1000) for first in (0, 1000, 500)]
    assert [finish(process) for process in processes] == [(0, b"")] * 3
    with ReplyCache(path) as cache:
        assert all(cache.get(key(number)) == {"n": number, "text": "退货"} for number in range(2000))
    with database(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_crash_loses_at_most_the_last_group(path: Path) -> None:
    """The file opens again, with all that was written before."""
    assert finish(start(path, 0, 200, "crash")) == (9, b"")
    with ReplyCache(path) as cache:
        assert all(cache.get(key(number)) == {"n": number, "text": "退货"} for number in range(192))


def test_threads_share_one_cache(path: Path) -> None:
    """Each finds what it put, and the counters are exact."""
    with ReplyCache(path) as cache:

        def work(worker: int) -> bool:
            numbers = range(worker * 200, worker * 200 + 200)
            for number in numbers:
                cache.put(key(number), number)
            return all(cache.get(key(number)) == number for number in numbers)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
        assert (cache.hits, cache.misses) == (1600, 0)
    assert threading.active_count() == 1 or not any(type(thread) is threading.Timer for thread in threading.enumerate())
    assert count(path) == 1600


def test_two_caches_of_one_process_share_a_file(path: Path) -> None:
    """Opened one after the other; the second sees what the first has written, and closing one does not hurt the other."""
    with ReplyCache(path) as first:
        first.put(key(1), BODY)
        with ReplyCache(path) as second:
            first._write()
            assert second.get(key(1)) == BODY
        first.put(key(2), BODY)
    with ReplyCache(path) as cache:
        assert [cache.get(key(number)) for number in (1, 2)] == [BODY, BODY]
