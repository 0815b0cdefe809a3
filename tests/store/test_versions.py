"""The schema from version to version: nothing that is stored is lost, whatever a migration does to the tables."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from decided import accepted, decision, recall, record, rows, ticket
from sqlalchemy import exc
from store.dumps import FOLDER, fill

from llmtriage.errors import InputError, StoreError
from llmtriage.store import SqlStore, schema, versions
from llmtriage.store.database import Database

OpenStore = Callable[..., SqlStore]

LATEST, NEXT = versions.LATEST, "9999"

_NEXT = """\
import sqlalchemy as sa
from alembic import op

revision = "{next}"
down_revision = "{latest}"


def upgrade():
    with op.batch_alter_table("ticket", recreate="auto") as batch:
        batch.add_column(sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.alter_column("channel", new_column_name="way")
    {then}
"""


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have this library be of the next version, whose migration changes a table that others point to, and then does `then`."""

    def make(then: str = "pass") -> None:
        folder = Path(shutil.copytree(Path(versions.__file__).parent / "migrations", tmp_path / "migrations"))
        migration = _NEXT.format(then=then, latest=LATEST, next=NEXT)
        (folder / "versions" / "v9999_next.py").write_text(migration, encoding="utf-8")
        monkeypatch.setattr(versions, "_FOLDER", folder)
        monkeypatch.setattr(versions, "LATEST", NEXT)
        monkeypatch.setattr(versions, "_known", lambda: frozenset({LATEST, NEXT}))

    return make


def _counts(database: Database) -> dict[str, int]:
    """How many rows each table has that is there."""
    with database.reading() as connection:
        there = sa.inspect(connection).get_table_names()
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(sa.table(table.name))).scalar_one()
            for table in schema.metadata.sorted_tables
            if table.name in there
        }


def _differences(database: Database) -> list[object]:
    with database.reading() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), schema.metadata)
    return [one for one in found if "alembic_version" not in str(one)]


def test_the_migrations_make_what_the_schema_says(store: SqlStore) -> None:
    """Tables, columns, types, indexes, constraints."""
    assert _differences(store.database) == []


def test_the_latest_version_is_the_last_migration() -> None:
    """It is written where importing it costs nothing."""
    assert versions._scripts().get_current_head() == versions.LATEST


def test_every_check_of_the_schema_is_in_the_database(store: SqlStore) -> None:
    """The comparison does not see checks."""
    with store.database.reading() as connection:
        found = {
            check["name"]
            for table in schema.metadata.sorted_tables
            for check in sa.inspect(connection).get_check_constraints(table.name)
        }
    wanted = {
        one.name
        for table in schema.metadata.sorted_tables
        for one in table.constraints
        if isinstance(one, sa.CheckConstraint) and not one._type_bound
    }
    assert found == wanted
    assert len(wanted) > 8


@pytest.mark.parametrize("dump", sorted(FOLDER.glob("*.sql")), ids=lambda path: path.stem)
def test_a_store_of_every_released_version_is_upgraded_with_all_its_rows(dump: Path, tmp_path: Path) -> None:
    """And works then: what it knew is known, what is in it can be read, and the log only grows."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
    database = Database(path)
    before = _counts(database)
    assert all(before.values())
    assert versions.upgrade(database) == (dump.stem, versions.LATEST)
    now = _counts(database)
    assert {table: now[table] for table in before} == before
    assert _differences(database) == []
    database.close()
    with SqlStore(path) as store:
        assert rows(store, schema.ticket_text)[0].content == "我的耳机还没有退款"
        assert [row.note for row in rows(store, schema.review)] == ["电话里说的"]
        (known,) = recall(store, ticket("where is my parcel", "T2"))
        assert known
        assert known.own
        with pytest.raises((StoreError, exc.IntegrityError), match=schema.APPEND_ONLY), store.database.writing() as connection:
            connection.execute(schema.event.delete())


def test_there_is_a_dump_of_the_latest_version() -> None:
    """Without it the next version could not be tested."""
    assert (FOLDER / f"{versions.LATEST}.sql").exists()


@pytest.mark.slow
def test_an_older_store_is_upgraded_when_told(nothing: str, next_version: Callable[..., None]) -> None:
    """A run refuses it and says how; rows that point to a table that is made anew stay."""
    with SqlStore(nothing) as store:
        fill(store)
        before = _counts(store.database)
    next_version()
    with pytest.raises(
        InputError, match=f"the store has version {LATEST}, this llmtriage works with {NEXT}; run llmtriage db upgrade"
    ):
        SqlStore(nothing)
    database = Database(nothing)
    assert versions.upgrade(database) == (LATEST, NEXT)
    assert versions.upgrade(database) == (NEXT, NEXT)
    assert _counts(database) == before
    with database.reading() as connection:
        ways = connection.exec_driver_sql("select way, urgent from ticket order by id").all()
    assert [tuple(row) for row in ways] == [("chat", False), (None, False), (None, False), (None, False)]
    database.close()


def test_an_upgrade_that_breaks_changes_nothing(nothing: str, next_version: Callable[..., None]) -> None:
    """Not even what it did before it broke."""
    with SqlStore(nothing) as store:
        fill(store)
        before = _counts(store.database)
    next_version("op.execute('insert into ticket (id) values (1)')")
    database = Database(nothing)
    with pytest.raises(exc.IntegrityError):
        versions.upgrade(database)
    assert versions.version(database) == LATEST
    assert _counts(database) == before
    assert _differences(database) == []
    database.close()


def test_a_reference_that_a_migration_breaks_is_found_and_nothing_is_changed(
    made_file: Path, tmp_path: Path, next_version: Callable[..., None]
) -> None:
    """SQLite does not look while tables are changed, so it is asked at the end."""
    path = shutil.copy(made_file, tmp_path / "store.db")
    with SqlStore(path) as store:
        fill(store)
        before = _counts(store.database)
    next_version("op.execute('delete from ticket where id = 1')")
    database = Database(path)
    with pytest.raises(StoreError, match=r"rows of .* would point nowhere; nothing was changed"):
        versions.upgrade(database)
    assert _counts(database) == before
    database.close()


# -- why tables are changed as they are ------------------------------------------------------------


def _copy_table(connection: sa.Connection, table: str) -> None:
    """What Alembic does in SQLite to change a table: a copy, with the old one dropped."""
    operations = Operations(MigrationContext.configure(connection))
    with operations.batch_alter_table(table, recreate="always") as batch:
        batch.add_column(sa.Column("more", sa.Text()))


@pytest.fixture
def filled(made_file: Path, tmp_path: Path) -> SqlStore:
    """A store in SQLite with rows in every table."""
    store = SqlStore(shutil.copy(made_file, tmp_path / "store.db"))
    fill(store)
    return store


def test_a_copy_in_a_plain_transaction_loses_the_rows_that_point_to_it_or_is_refused(filled: SqlStore) -> None:
    """The trap: with foreign keys on, dropping the old table is a deletion of its rows."""
    with filled, pytest.raises(exc.IntegrityError, match="FOREIGN KEY"), filled.database.writing() as connection:
        _copy_table(connection, "ticket")


@pytest.mark.parametrize("table", ["ticket", "ticket_text", "outcome", "queue_entry", "review", "run"])
def test_every_row_outlives_a_copy_of_a_table(filled: SqlStore, table: str) -> None:
    """Of the table itself and of those that point to it; foreign keys are looked at again afterwards."""
    before = _counts(filled.database)
    with filled, filled.database.changing_tables() as connection:
        _copy_table(connection, table)
    assert _counts(filled.database) == before
    with filled, pytest.raises(exc.IntegrityError), filled.database.writing() as connection:
        connection.execute(schema.ticket.delete())


@pytest.mark.parametrize("table", ["queue_entry", "outcome", "review"])
def test_checks_and_partial_indexes_outlive_a_copy_of_their_table(filled: SqlStore, table: str) -> None:
    """With their names and their conditions."""

    def shape(connection: sa.Connection) -> tuple[object, ...]:
        looked = sa.inspect(connection)
        checks = sorted((check["name"], check["sqltext"]) for check in looked.get_check_constraints(table))
        text = sa.text("select name, sql from sqlite_master where tbl_name = :table and type = 'index' and sql is not null")
        indexes = sorted(map(tuple, connection.execute(text, {"table": table})))
        uniques = sorted(str(one["name"]) for one in looked.get_unique_constraints(table))
        return checks, [(name, " ".join(sql.split()).lower()) for name, sql in indexes], uniques

    with filled:
        with filled.database.reading() as connection:
            before = shape(connection)
        with filled.database.changing_tables() as connection:
            _copy_table(connection, table)
        with filled.database.reading() as connection:
            assert shape(connection) == before
        assert before[0]


def test_a_store_may_be_opened_again_and_again(where: str) -> None:
    """Opening one that is there changes nothing."""
    with SqlStore(where) as store:
        record(store, decision(ticket(), accepted()))
        before, key = _counts(store.database), store.key
    with SqlStore(where) as store:
        assert _counts(store.database) == before
        assert store.key == key
