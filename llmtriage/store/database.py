"""Connections: SQLite or PostgreSQL, what each needs to be safe, and its errors in one line."""

from __future__ import annotations

import math
import os
import re
import sqlite3
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from llmtriage.errors import InputError, MissingExtraError, StoreError, short
from llmtriage.store.records import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUSY_SECONDS = 5
_LONG_LOG = 64 * 2**20  # bytes
_PAGE = 4096  # SQLite's, in bytes
_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 30  # of PostgreSQL; an address may say otherwise: options=-cstatement_timeout=...
_GRACE_SECONDS = 5  # more than it has itself, for a server that is stopped ends no statement
_QUIET = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 30_000}
_CACHE = 16 * 2**10  # KiB of pages that who writes keeps, so that a page that a group fills again and again is written once
_POSTGRESQL = re.compile(r"postgres(ql)?(\+psycopg)?://")
_HEADER = b"SQLite format 3\0"


class Database:
    """One store's connections. Writers take turns; readers see the last commit.

    Attributes:
        name: What people read: the file, or the address without the password.
        path: The file; None for a server.
        engine: SQLAlchemy's, for what is read.
        writer: The same for what is written: a reader of an SQLite file throws its pages away with every commit of another one, so it keeps few,
            and the one connection that keeps many is the writer's.
    """

    def __init__(self, where: str | Path, *, create: bool = True, busy_seconds: float = _BUSY_SECONDS) -> None:
        """Prepare the connections; a file is made if there is none and `create` says so.

        Args:
            where: The path of an SQLite file, or the URL of a PostgreSQL database.
            create: Whether to make a file that is missing.
            busy_seconds: How long to wait for another writer.

        Raises:
            InputError: It cannot be used.
            MissingExtraError: PostgreSQL without its driver.
        """
        url = str(where)
        self.path = None if _POSTGRESQL.match(url) else Path(url)
        if self.path is None:
            self.engine = self.writer = _postgresql(url, busy_seconds)
            self.name = _shown(self.engine.url)
        else:
            self.name = str(self.path)
            _usable(self.path, create=create)
            self.engine, self.writer = _sqlite(self.path, busy_seconds), _sqlite(self.path, busy_seconds, f"cache_size=-{_CACHE}")
        self._too_long = _LONG_LOG
        self._place = Path(url).absolute()  # wherever the process goes meanwhile
        self._file: int | None = None
        _OPEN.add(self)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read with. Raises StoreError."""
        self._find()
        with self._told(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction: all of it is kept, or nothing. Raises StoreError."""
        self._find()
        with self._told(), self.writer.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def changing_tables(self) -> Iterator[sa.Connection]:
        """A transaction in which tables may be made anew.

        SQLite changes a table by copying it and dropping the old one; with foreign keys on, dropping deletes or refuses the rows that
        point to it. So they are off meanwhile, and every reference is checked at the end.
        """
        with self._told(), self.writer.connect().execution_options(writes=True) as connection:
            own: Any = connection.connection.driver_connection
            with self._patient(own), connection.begin():
                if self.path is None:
                    connection.exec_driver_sql("set local statement_timeout = 0")
                yield connection
                self._check_references(connection)

    @contextmanager
    def _patient(self, own: Any) -> Iterator[None]:
        """A connection for what may take long, and in which a reference may lead nowhere for a while."""
        if self.path is not None:
            _set(own, "foreign_keys=OFF")
            try:
                yield
            finally:
                _set(own, "foreign_keys=ON")
            return
        patience, own.patience = own.patience, math.inf
        try:
            yield
        finally:
            own.patience = patience

    @contextmanager
    def alone(self) -> Iterator[sa.Connection]:
        """A connection without a transaction, for what SQLite does only outside of one. Raises StoreError."""
        with self._told(), self.writer.connect().execution_options(outside=True) as connection:
            yield connection

    def settle(self) -> None:
        """Let readers go on while one writes. SQLite notes it in the file, so only in one that is ours. Raises StoreError."""
        if self.path is not None:
            with self.alone() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def keep_log_short(self) -> None:
        """Begin SQLite's write-ahead log anew where it has become long.

        SQLite does so by itself only in a moment without readers, and a run that looks tickets up while others are written leaves no such moment: the
        log grows without end, and every look-up with it. Whoever reads now is waited for; if that takes too long, it is tried again when the log has
        grown by as much again. Raises StoreError.
        """
        if self.path is None:
            return
        log = Path(f"{self._place}-wal")
        size = log.stat().st_size if log.exists() else 0
        if size > self._too_long:
            with self.alone() as connection:
                is_held, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)").one()
            # The file keeps its size when it is written from its beginning again.
            self._too_long = size + _LONG_LOG if is_held else max(size, _LONG_LOG)

    def _find(self) -> None:
        """See that the file still has its name: a connection goes on with one that was moved or deleted, and what it writes there is lost."""
        if self.path is None:
            return
        try:
            found = self._place.stat()
        except OSError:
            remedy = "put it back, or name another store"
            raise StoreError("the file is gone", store=self.name, remedy=remedy, is_away=True) from None
        if self._file not in (None, found.st_ino):
            self.close()  # another one was put in its place
        self._file = found.st_ino

    def _check_references(self, connection: sa.Connection) -> None:
        if self.path is None:
            return
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            raise StoreError(
                f"{len(broken)} rows of {broken[0][0]} would point nowhere",
                store=self.name,
                remedy="nothing was changed; tell us",
            )

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An insert that can say what happens where the row is there already."""
        return postgresql.insert(table) if self.engine.dialect.name == "postgresql" else sqlite.insert(table)

    def close(self) -> None:
        """Close every connection."""
        _dispose(self, close=True)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """What stays as it is makes the store one that cannot be used: InputError in place of StoreError."""
        try:
            yield
        except StoreError as error:
            if _code(error.__cause__).startswith(_LASTING):
                raise InputError(error.problem, file=self.name, field="--store", remedy=error.remedy) from error.__cause__
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except exc.IntegrityError:
            raise
        except exc.TimeoutError as error:
            problem, remedy = "all its connections are in use", "try again in a moment"
            raise StoreError(problem, store=self.name, remedy=remedy, is_away=True) from error
        except (exc.DBAPIError, sqlite3.Error) as error:  # the settings of a new connection are the driver's own
            raise told(error, self.name) from error


_OPEN: weakref.WeakSet[Database] = weakref.WeakSet()


def _let_go(*, close: bool) -> None:
    for database in list(_OPEN):
        _dispose(database, close=close)


def _dispose(database: Database, *, close: bool) -> None:
    for engine in (database.engine, database.writer):
        engine.dispose(close=close)


if hasattr(os, "register_at_fork"):
    # A child with its parent's connections would talk into them; and of an SQLite file it would take for its own the locks that the parent
    # holds: once the parent has closed the file, what the child commits is gone. https://sqlite.org/howtocorrupt.html
    os.register_at_fork(before=lambda: _let_go(close=True), after_in_child=lambda: _let_go(close=False))


def told(error: exc.DBAPIError | sqlite3.Error, name: str) -> StoreError:
    """What a driver's error means, without what was to be written."""
    code = _code(error)
    known = [meaning for beginning, meaning in _MEANINGS.items() if code.startswith(beginning)]
    first = (str(_driver_error(error)).splitlines() or [type(error).__name__])[0]
    unknown = (short(_without_values(first), 200), "see whether the store can be reached and written")
    problem, remedy = known[0] if known else unknown
    return StoreError(problem, store=name, remedy=remedy, is_away=bool(known))


def _driver_error(error: BaseException | None) -> Any:
    return error.orig if isinstance(error, exc.DBAPIError) else error


def _code(error: BaseException | None) -> str:
    """SQLite's name of an error, or PostgreSQL's five characters; empty where there is none."""
    own = _driver_error(error)
    if hasattr(own, "sqlstate"):
        return own.sqlstate or next(code for said, code in _CONNECTING.items() if re.search(said, str(own)))
    return getattr(own, "sqlite_errorname", None) or ""


_MEANINGS = {
    "SQLITE_FULL": ("the disk is full", "make room and go on; what was committed is kept"),
    "SQLITE_IOERR": ("the disk cannot be written or read", "see whether it is full or gone; what was committed is kept"),
    "SQLITE_BUSY": ("another program holds the store", "wait for it to end, or name another store"),
    "SQLITE_LOCKED": ("another program holds the store", "wait for it to end, or name another store"),
    "SQLITE_READONLY": ("it is read-only", "give write permission for the file and its folder, or use --no-store"),
    "SQLITE_CANTOPEN": ("the file cannot be opened", "see whether its folder is there and may be written, or use --no-store"),
    "SQLITE_NOTADB": ("this is no database of llmtriage", "name another file with --store"),
    "SQLITE_CORRUPT": ("the file is damaged", "put a backup in its place, or name another store"),
    "53100": ("the server's disk is full", "make room and go on; what was committed is kept"),
    "25006": ("the server takes no writes", "name the primary server"),
    "28": ("the server refuses this user", "mend user and password in the address"),
    "3D000": ("there is no such database", "make it with createdb, or mend the address"),
    "3F000": ("there is no such schema", "make it, or mend search_path in the address"),
    "42501": ("this user may not write there", "give it the rights on the schema"),
    "08": ("the server cannot be reached", "see whether it runs and the address is right"),
    "55P03": ("another program holds the store", "wait for it to end, or name another store"),
    "57014": ("the server does not answer in time", "see whether it runs and how busy it is, and whether it was kept"),
    "57P": ("the server ended the connection", "start it again and go on; what was committed is kept"),
}


# Who could not connect is told in words alone.
_CONNECTING = {
    "timeout expired|no answer in time": "57014",
    'database ".*" does not exist': "3D000",
    'authentication failed|role ".*" does not exist|no password supplied|pg_hba.conf': "28000",
    "": "08000",
}
_LASTING = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_NOTADB", "SQLITE_CORRUPT", "25006", "28", "3D000", "3F000", "42501")


def _without_values(message: str) -> str:
    """A driver's message without what stands in quotes or brackets: it may be a ticket's."""
    return re.sub(r'"[^"]*"|\([^)]*\)=\([^)]*\)', "...", message)


def _usable(path: Path, *, create: bool) -> None:
    """See whether the file is a database, or make an empty one that its owner alone may read."""
    if path.is_dir():
        raise InputError("this is a folder", file=path, field="--store", remedy="name a file")
    if not path.exists():
        if not create:
            raise InputError("there is no store", file=path, field="--store", remedy="classify a file first, or name another one")
        _make(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_HEADER))
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", file=path, field="--store", remedy="mend its permissions"
        ) from None
    if start and start != _HEADER:
        raise InputError("this is no database", file=path, field="--store", remedy="name another file")


def _make(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        pass  # another run was quicker
    except OSError as error:
        remedy = "name a file in a folder that may be written, or use --no-store"
        raise InputError(f"cannot be made ({error.strerror})", file=path, field="--store", remedy=remedy) from None


def _sqlite(path: Path, busy_seconds: float, *settings: str) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=str(path.absolute())),  # else a file named :memory: is none
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
        hide_parameters=True,
        json_serializer=json_text,
        pool_use_lifo=True,  # one after another, few connections do all
    )

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # else the driver begins transactions by itself, and others than asked for
        # Usually every commit behind the first thousand pages would copy its pages, most of which the next ones write again.
        checkpoint = f"wal_autocheckpoint={_LONG_LOG // _PAGE}"
        _set(connection, "foreign_keys=ON", "secure_delete=ON", "synchronous=FULL", checkpoint, *settings)

    @sa.event.listens_for(engine, "begin")
    def _began(connection: sa.Connection) -> None:
        # A reader that became a writer could not wait for another one: https://sqlite.org/lang_transaction.html
        options = connection.get_execution_options()
        if not options.get("outside"):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")

    return engine


def _set(connection: sqlite3.Connection, *settings: str) -> None:
    cursor = connection.cursor()
    for setting in settings:
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _shown(url: sa.URL) -> str:
    """An address without what only its user may know: a password may also stand behind the question mark."""
    where = {key: value for key, value in url.query.items() if key in ("host", "port", "service")}
    return url.set(drivername="postgresql", query=where).render_as_string(hide_password=True)


def _postgresql(url: str, busy_seconds: float) -> sa.Engine:
    try:
        address = sa.make_url(_POSTGRESQL.sub("postgresql+psycopg://", url, count=1))
    except (exc.ArgumentError, ValueError):
        remedy = "write it like postgresql://user@host/database"
        raise InputError("not the address of a database", field="--store", remedy=remedy) from None
    try:
        # Writers that took turns must see what the one before wrote, whatever the server's default is.
        engine = sa.create_engine(
            address,
            isolation_level="READ COMMITTED",
            hide_parameters=True,
            json_serializer=json_text,
            pool_pre_ping=True,
            pool_timeout=_CONNECT_SECONDS,
        )
    except ModuleNotFoundError:
        raise MissingExtraError.of("postgres", "a store in PostgreSQL") from None
    from llmtriage.store.patient import Connection

    @sa.event.listens_for(engine, "do_connect")
    def _connect(_: Any, __: Any, ___: Any, wanted: dict[str, Any]) -> Connection:
        return Connection.connect(**{"connect_timeout": _CONNECT_SECONDS, **_QUIET, **wanted})

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Connection, _: Any) -> None:
        connection.be_patient(_STATEMENT_SECONDS, grace=_GRACE_SECONDS)

    @sa.event.listens_for(engine, "begin")
    def _began(connection: sa.Connection) -> None:
        # Writers take turns as in SQLite: two that touch the same rows in another order would wait for each other for ever.
        if connection.get_execution_options().get("writes"):
            connection.exec_driver_sql(f"set local lock_timeout = {round(busy_seconds * 1000)}")
            connection.exec_driver_sql("select pg_advisory_xact_lock(hashtext('llmtriage.' || current_schema()))")

    return engine
