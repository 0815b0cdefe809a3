"""Replies kept in a SQLite file under a hash of what was sent, so that the same request is not paid for twice.

The file holds hashes and replies, never a prompt. A run that meets trouble with it goes on without it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import stat
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

_log = logging.getLogger(__name__)

_APPLICATION, _VERSION = 0x6C6D7472, 1  # "lmtr", and the version of the tables below
# Last uses have a table of their own: noting one there does not write the reply again.
_SCHEMA = (
    "CREATE TABLE replies (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, body BLOB NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE uses (id INTEGER PRIMARY KEY, used INTEGER NOT NULL)",
)
_GET = "SELECT id, body, checksum FROM replies WHERE key = ?"
_PUT = (
    "INSERT INTO replies (key, body, checksum) VALUES (?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET body = excluded.body, checksum = excluded.checksum"
)
_PUT_USE = "INSERT OR REPLACE INTO uses (id, used) SELECT id, ? FROM replies WHERE key = ?"

_LEAST_BYTES = 2**20  # of the bound; an empty file takes some of it
_LARGEST_SHARE = 10  # a reply over a tenth of the bound is not kept: it would push out too many others
_GROUP, _GROUP_BYTES, _GROUP_SECONDS = 64, 2**20, 0.5  # what waits in memory at most before it is written
_NOTED_USES = 4096
_LOCK_SECONDS = 5.0
_SMALLEST_DATABASE = 512  # bytes: one page of the smallest size

# Closing any handle on a file drops all POSIX locks that this process has on it, so creating and opening do not overlap.
_opening = threading.Lock()


class _Entry(NamedTuple):
    body: bytes
    used: int


class ReplyCache:
    """JSON replies under keys, bounded in size; usable from several threads, the file from several processes.

    Attributes:
        path: The file.
        hits: Answers of `get` that were known.
        misses: Answers of `get` that were not.
    """

    def __init__(self, path: str | Path, *, most_bytes: int = 256 * 2**20) -> None:
        """Open the file, or create it for this user alone; a missing folder too.

        Args:
            path: The file.
            most_bytes: The most it takes on disk, beside a write-ahead log of a few MiB; at least 1 MiB. Over that, the
                replies that were used least recently go.

        Raises:
            InputError: The file is something else, of another version, damaged, locked, or in a place where one cannot write.
        """
        if most_bytes < _LEAST_BYTES:
            raise InputError("a reply cache takes at least 1 MiB", field="most_bytes", remedy=f"give at least {_LEAST_BYTES}")
        self.path = Path(path)
        self.hits = self.misses = 0
        self._most_bytes = most_bytes
        self._lock = threading.RLock()
        self._waiting: dict[bytes, _Entry] = {}
        self._waiting_bytes = 0
        self._uses: dict[int, int] = {}
        self._timer: threading.Timer | None = None
        self._connection: sqlite3.Connection | None = _opened(self.path)

    def get(self, key: bytes) -> Any | None:
        """The JSON body under `key`; None where there is none, or none that is whole."""
        with self._lock:
            data = self._find(key)
            body = None if data is None else _parsed(data)
            self.hits += body is not None
            self.misses += body is None
        return body

    def put(self, key: bytes, body: Any) -> None:
        """Keep `body` under `key`. It is written within half a second, with others.

        What is no JSON, is null, or takes more than a tenth of the bound is not kept.
        """
        try:
            data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError, RecursionError):
            return
        with self._lock:
            if self._connection is None or body is None or len(data) > self._most_bytes // _LARGEST_SHARE:
                return
            self._waiting[key] = _Entry(data, _now())
            self._waiting_bytes += len(data)
            if len(self._waiting) >= _GROUP or self._waiting_bytes >= _GROUP_BYTES:
                self._write()
            elif self._timer is None:
                self._timer = self._write_later()

    def close(self) -> None:
        """Write what waits and close the file. Closing twice does no harm."""
        with self._lock:
            self._write()
            self._drop()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _find(self, key: bytes) -> bytes | None:
        if key in self._waiting:
            return self._waiting[key].body
        if self._connection is None:
            return None
        try:
            row = self._connection.execute(_GET, (key,)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        if row is None or not isinstance(row[1], bytes) or row[2] != _checksum(key, row[1]):
            return None
        self._uses[row[0]] = _now()
        if len(self._uses) >= _NOTED_USES:
            self._write()
        return row[1]

    def _write_later(self) -> threading.Timer:
        timer = threading.Timer(_GROUP_SECONDS, self._write)
        timer.daemon = True
        with suppress(RuntimeError):  # there may be no more threads; what waits is then written with the next group
            timer.start()
        return timer

    def _write(self) -> None:
        """Write what waits, in one transaction."""
        with self._lock:
            timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            if self._connection is None or not (self._waiting or self._uses):
                return
            try:
                with _transaction(self._connection):
                    self._write_to(self._connection)
                    _evict(self._connection, self._most_bytes)
            except sqlite3.Error as error:
                self._give_up(error)
            self._forget()

    def _write_to(self, connection: sqlite3.Connection) -> None:
        connection.executemany("UPDATE uses SET used = ? WHERE id = ?", ((used, row) for row, used in self._uses.items()))
        waiting = self._waiting.items()
        connection.executemany(_PUT, ((key, entry.body, _checksum(key, entry.body)) for key, entry in waiting))
        connection.executemany(_PUT_USE, ((entry.used, key) for key, entry in waiting))

    def _forget(self) -> None:
        self._waiting.clear()
        self._uses.clear()
        self._waiting_bytes = 0

    def _give_up(self, error: sqlite3.Error) -> None:
        """Go on without the file. Said once, by the kind of error alone."""
        _log.warning("the reply cache %s cannot be used (%s); the run goes on without it", self.path, _kind(error))
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._forget()
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


# -- entries ---------------------------------------------------------------------------------------


def _now() -> int:
    """Microseconds by the wall clock, which processes share; a clock that is set back only changes who goes first."""
    return time.time_ns() // 1000


def _checksum(key: bytes, body: bytes) -> bytes:
    """Binds a body to its key; SQLite itself does not notice a changed byte."""
    return hashlib.blake2b(key + body, digest_size=16).digest()


def _parsed(data: bytes) -> Any | None:
    try:
        return json.loads(data.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def _evict(connection: sqlite3.Connection, most_bytes: int) -> None:
    """Let the replies that were used least recently go, a hundredth at a time, until the file is within its bound."""
    while _bytes_used(connection) > most_bytes:
        count = _value(connection, "SELECT count(*) FROM uses")
        oldest = connection.execute("SELECT id FROM uses ORDER BY used, id LIMIT ?", (max(1, count // 100),)).fetchall()
        if not oldest:
            return
        connection.executemany("DELETE FROM replies WHERE id = ?", oldest)
        connection.executemany("DELETE FROM uses WHERE id = ?", oldest)


def _bytes_used(connection: sqlite3.Connection) -> int:
    """Of the file, without pages that are free to be used again."""
    pages = _value(connection, "PRAGMA page_count") - _value(connection, "PRAGMA freelist_count")
    return pages * _value(connection, "PRAGMA page_size")


def _value(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


# -- opening ---------------------------------------------------------------------------------------


def _opened(path: Path) -> sqlite3.Connection:
    with _opening:
        try:
            _make(path)
            _refuse_foreign(path)
            return _connected(path)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not a path"
            raise _unusable(path, f"cannot be opened or created ({why})") from None
        except sqlite3.Error as error:
            raise _of_sqlite(error, path) from None


def _make(path: Path) -> None:
    """An empty file that only this user can read, where there is none. SQLite gives its log files the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        # Without O_EXCL: another process may have made it just now, and a link may lead to where it shall be.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if not stat.S_ISREG(path.stat().st_mode):
        raise _unusable(path, "is a folder or a device")


def _refuse_foreign(path: Path) -> None:
    """Look at the file as it lies there, without locks, logs or recovery: nothing in or beside another program's file changes.

    A cache that is not empty bears its marks in the file itself, because they are written before there is a log.
    """
    size = path.stat().st_size
    if size == 0:
        return
    if size < _SMALLEST_DATABASE:  # SQLite takes a file of one byte for an empty one
        raise _unusable(path, *_IN_WORDS["SQLITE_NOTADB"])
    try:
        connection = sqlite3.connect(f"{_uri(path)}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error:
        return  # the real opening says what is wrong
    try:
        if not _check_marks(connection, path):
            raise _unusable(path, "is the database of another program")
    except sqlite3.Error as error:
        if _kind(error) == "SQLITE_NOTADB":
            raise _of_sqlite(error, path) from None
        # Anything else: another process may be at work on it.
    finally:
        connection.close()


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{_uri(path)}?mode=rw", uri=True, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        with _transaction(connection):  # where one cannot write, this fails
            if not _check_marks(connection, path):
                _create(connection)
        mode = _shared_mode(connection)
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        _check_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_marks(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is a reply cache; false where it is empty. Raises InputError where it is anything else."""
    application, version = _value(connection, "PRAGMA application_id"), _value(connection, "PRAGMA user_version")
    if application == _APPLICATION:
        if version != _VERSION:
            problem = f"is of another version of llmtriage (format {version}, not {_VERSION})"
            raise _unusable(path, problem, _DELETE)
        return True
    if application or version or _value(connection, "SELECT count(*) FROM sqlite_master"):
        raise _unusable(path, "is the database of another program")
    return False


def _create(connection: sqlite3.Connection) -> None:
    for statement in (*_SCHEMA, f"PRAGMA application_id = {_APPLICATION}", f"PRAGMA user_version = {_VERSION}"):
        connection.execute(statement)


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    tables = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if tables != set(_SCHEMA):
        raise _unusable(path, "is damaged", _DELETE)
    for table in ("replies", "uses"):
        connection.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608 - the names stand above


def _shared_mode(connection: sqlite3.Connection) -> str:
    """Let readers and a writer work at once; the mode that the place allows. The change itself does not wait for others."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if _kind(error) != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


_NAME, _DELETE = "name another file", "delete it or name another file"
_IN_WORDS = {
    "SQLITE_NOTADB": ("is a file of another kind", _NAME),
    "SQLITE_CORRUPT": ("is damaged", _DELETE),
    "SQLITE_BUSY": ("is locked by another program", "close that or name another file"),
    "SQLITE_READONLY": ("cannot be written", _NAME),
    "SQLITE_CANTOPEN": ("cannot be written", _NAME),
    "SQLITE_FULL": ("cannot be written: the disk is full", "make room or name another file"),
}


def _of_sqlite(error: sqlite3.Error, path: Path) -> InputError:
    kind = _kind(error)
    words = (words for name, words in _IN_WORDS.items() if kind.startswith(name))
    return _unusable(path, *next(words, (f"cannot be used ({kind})", _DELETE)))


def _kind(error: sqlite3.Error) -> str:
    """SQLite's name of an error; its message could quote what a file holds."""
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def _uri(path: Path) -> str:
    return "file:" + quote(str(path.absolute()))


def _unusable(path: Path, problem: str, remedy: str = _NAME) -> InputError:
    return InputError(f"the reply cache {problem}", file=path, remedy=remedy)
