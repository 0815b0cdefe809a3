"""A fresh store for each test, in SQLite and in PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import postgresql
import pytest

from llmtriage.store import SqlStore

OpenStore = Callable[..., SqlStore]


@pytest.fixture(scope="session")
def server() -> Iterator[postgresql.Server]:
    """A PostgreSQL server for all tests of this process; without its programs, the test is skipped and the reason told."""
    if postgresql.programs() is None:
        pytest.skip("no PostgreSQL here: install postgresql")
    with postgresql.running() as server:
        yield server


@pytest.fixture
def schema(server: postgresql.Server) -> Iterator[str]:
    """The address of an empty schema in PostgreSQL."""
    with server.schema() as name:
        yield server.url(schema=name)


@pytest.fixture(params=["sqlite", "postgresql"])
def nothing(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be made: a file that is not there, then an empty schema."""
    return str(request.getfixturevalue("schema") if request.param == "postgresql" else tmp_path / "store.db")


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store in which nothing is, to be copied: making the tables takes a while."""
    path = tmp_path_factory.mktemp("made") / "store.db"
    SqlStore(path).close()
    return path


@pytest.fixture(scope="session")
def made_schema(server: postgresql.Server) -> Iterator[str]:
    """A schema of PostgreSQL with the tables, to be emptied."""
    with server.schema() as name:
        SqlStore(server.url(schema=name)).close()
        yield name


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store is in which nothing is, for this test alone: a file, then a schema of PostgreSQL."""
    if request.param == "sqlite":
        return str(shutil.copy(request.getfixturevalue("made_file"), tmp_path / "store.db"))
    server, schema = request.getfixturevalue("server"), request.getfixturevalue("made_schema")
    server.empty(schema)
    return str(server.url(schema=schema))


@pytest.fixture
def open_store(where: str) -> Iterator[OpenStore]:
    """Open the test's store, as often as wanted, each as another process would; all are closed at the end."""
    with ExitStack() as stack:

        def opened(**options: Any) -> SqlStore:
            return stack.enter_context(SqlStore(where, **options))

        yield opened


@pytest.fixture
def store(open_store: OpenStore) -> SqlStore:
    """A store in which nothing is."""
    return open_store()
