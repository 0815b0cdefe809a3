"""The schema's version: made new, checked, upgraded."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from llmtriage.store.database import Database

LATEST = "0003"  # of `migrations/versions`
_TABLE = sa.table("alembic_version", sa.column("version_num", sa.Text))
_FOLDER = Path(__file__).parent / "migrations"


def make_sure(database: Database) -> None:
    """Make the tables of a new store; see that an old one has the version this library works with.

    Raises:
        InputError: It has another version, or tables of something else.
        StoreError: It cannot be read or written.
    """
    found = version(database)
    database.settle()
    if found is None:
        upgrade(database)
    elif found != LATEST:
        raise InputError(
            f"the store has version {found}, this llmtriage works with {LATEST}", file=database.name, remedy=_remedy(found)
        )


def version(database: Database) -> str | None:
    """The version of a store; None for one without tables. Raises InputError if the tables are not ours."""
    with database.reading() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        if not tables:
            return None
        if "alembic_version" not in tables or "queue_entry" not in tables:
            raise InputError("a database of something else", file=database.name, field="--store", remedy="name another file")
        return str(connection.execute(sa.select(_TABLE.c.version_num)).scalar_one())


def upgrade(database: Database, to: str = "head") -> tuple[str | None, str]:
    """Bring the tables to a version, all or nothing; what is stored stays.

    Returns:
        The version before (None: there were no tables) and the one now.

    Raises:
        InputError: The store is newer than this library, or something else.
        StoreError: It cannot be written.
    """
    from alembic import command

    before = version(database)
    if before is not None and before not in _known():
        raise InputError(
            f"the store has version {before}, which is newer", file=database.name, remedy="install the newer llmtriage"
        )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with database.changing_tables() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    now = version(database)
    assert now is not None  # noqa: S101 - the upgrade made the tables
    return before, now


def _remedy(found: str) -> str:
    return "run llmtriage db upgrade" if found in _known() else "install the newer llmtriage"


@cache
def _known() -> frozenset[str]:
    return frozenset(script.revision for script in _scripts().walk_revisions())


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
