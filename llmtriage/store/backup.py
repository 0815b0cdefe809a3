"""A copy of an SQLite store, made while others write to it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from llmtriage.errors import InputError
from llmtriage.store import versions

if TYPE_CHECKING:
    from pathlib import Path

    from llmtriage.store.database import Database


def backup(database: Database, copy: Path) -> int:
    """Copy a store as it is at one moment. Nobody waits meanwhile, and what was erased is not in the copy.

    The copy gets its name when it is whole and on disk.

    Args:
        database: The store; an older version is copied too.
        copy: A file that is not there yet. Its owner alone may read it.

    Returns:
        The bytes of the copy.

    Raises:
        InputError: The copy is there already or cannot be made; or the store is none of ours, or in PostgreSQL.
        StoreError: The store cannot be read, or the disk is full.
    """
    if database.path is None:
        raise InputError(
            "a store in PostgreSQL is copied by its own tools", field="--store", remedy="use pg_dump --format=custom"
        )
    if copy.exists():
        raise _is_there(copy)
    if versions.version(database) is None:
        raise InputError("nothing is in it", file=database.name, field="--store", remedy="name another store")
    part = copy.with_name(copy.name + ".part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        remedy = "see that the folder is there and may be written, and that no other backup left this file"
        raise InputError(f"cannot be made ({error.strerror})", file=part, remedy=remedy) from None
    try:
        with database.alone() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(part),))
        size = _onto_disk(part)
        _give_name(part, copy)
    finally:
        part.unlink(missing_ok=True)
    return size


def _is_there(copy: Path) -> InputError:
    return InputError("exists already", file=copy, remedy="name another file")


def _onto_disk(path: Path) -> int:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
        return os.fstat(stream.fileno()).st_size


def _give_name(part: Path, copy: Path) -> None:
    """Name a file without replacing another one."""
    try:
        os.link(part, copy)
    except FileExistsError:
        raise _is_there(copy) from None
    except OSError:  # a file system without links
        part.rename(copy)
    with contextlib.suppress(OSError):  # a system that cannot open folders
        folder = os.open(copy.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
