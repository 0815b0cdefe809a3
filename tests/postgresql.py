"""A PostgreSQL server of its own for the tests: in a folder that is gone afterwards, on a socket, so that no port is taken."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

GUEST, PASSWORD = "guest", "s3cret-墙"  # of a server that nobody else can reach
_ACCESS = f"local all {GUEST} scram-sha-256\nlocal all all trust\n"
_QUICK = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, the newest there is."""
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = [*debian, *([Path(on_path)] if on_path else [])]
    return found[-1].parent if found else None


class Server:
    """A server that runs, and fresh schemas in it."""

    def __init__(self, folder: Path, call: Callable[..., None]) -> None:
        """Know the server whose socket is in `folder`; `call` runs its programs."""
        self._folder, self._call = folder, call
        self._names = (f"t{number}" for number in itertools.count(1))
        self._admin = psycopg.connect(self.url(), autocommit=True, options="-c client_min_messages=warning")
        self.run(sql.SQL("create role {} login password {}").format(sql.Identifier(GUEST), sql.Literal(PASSWORD)))

    def url(self, *, schema: str = "public", user: str = "postgres", database: str = "postgres") -> str:
        """An address of it; `user` may hold a password."""
        return f"postgresql://{user}@/{database}?host={self._folder}&options=-csearch_path%3D{schema}"

    def run(self, statement: sql.Composed | str) -> None:
        """Run a statement as the server's owner."""
        self._admin.execute(statement if isinstance(statement, sql.Composed) else statement.encode())

    @contextmanager
    def schema(self) -> Iterator[str]:
        """The name of an empty schema."""
        name = next(self._names)
        self.run(f"create schema {name}")
        yield name
        self.run(f"drop schema {name} cascade")

    def empty(self, schema: str) -> None:
        """Delete every row of a store's tables but its version; whoever is still connected no longer is."""
        self.run(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
        chosen = "select tablename from pg_tables where schemaname = %s and tablename <> 'alembic_version'"
        tables = [sql.Identifier(schema, name) for (name,) in self._admin.execute(chosen, [schema])]
        self.run(sql.SQL("truncate {} restart identity").format(sql.SQL(", ").join(tables)))

    def stop(self) -> None:
        """End it and every connection. Until `start`, nothing else here can be used."""
        self._call("pg_ctl", "-w", "-s", "-m", "fast", "stop")

    def start(self) -> None:
        """Start it again."""
        self._call("pg_ctl", "-w", "-s", "-l", self._folder / "log", "-o", _options(self._folder), "start")

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """While the block goes on it does nothing, and ends nothing either."""
        first = int((self._folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        os.kill(first, signal.SIGSTOP)  # so that it starts no others meanwhile
        others = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="utf-8").split()
        for process in others:
            os.kill(int(process), signal.SIGSTOP)
        try:
            yield
        finally:
            for process in (*others, str(first)):
                os.kill(int(process), signal.SIGCONT)

    def close(self) -> None:
        """Close the owner's connection."""
        self._admin.close()


def _options(folder: Path) -> str:
    return f"{_QUICK} -c listen_addresses= -c unix_socket_directories={folder}"


@contextmanager
def running() -> Iterator[Server]:
    """A server from its making to its end. `programs` must have found some."""
    found = programs()
    assert found is not None
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # a socket's path must be short
    own: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        own = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres")

    def call(program: str, *arguments: str | Path) -> None:
        command = [str(found / program), "-D", str(folder / "data"), *map(str, arguments)]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **own)

    try:
        call("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
        (folder / "data" / "pg_hba.conf").write_text(_ACCESS, encoding="utf-8")
        call("pg_ctl", "-w", "-s", "-l", folder / "log", "-o", _options(folder), "start")
        server = Server(folder, call)
        try:
            yield server
        finally:
            server.close()
            call("pg_ctl", "-w", "-s", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
