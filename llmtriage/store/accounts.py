"""People who sign in with a password. Only a slow hash of it is stored, with all that is needed to check it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import unicodedata
from base64 import b64decode, b64encode
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from llmtriage.errors import InputError, StoreError, UnknownNameError, short
from llmtriage.reviewing import person_name
from llmtriage.store import schema, sessions
from llmtriage.store.recording import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmtriage.store.database import Database

Role = Literal["reviewer", "lead"]
"""What somebody does on the pages: a lead also sees where people disagree."""
ROLES: tuple[Role, ...] = ("reviewer", "lead")
SHORTEST, LONGEST = 10, 200  # characters of a password

_account = schema.account.c
_N, _R, _P = 2**15, 8, 1
_ROOM = 2  # a hash takes 128 * n * r bytes, and a little more
_SALT_BYTES, _HASH_BYTES = 16, 32
_AT_ONCE = threading.BoundedSemaphore(2)  # each takes 32 MiB
_IN_LINE = threading.BoundedSemaphore(8)  # with those: each holds a thread of the service
_PATIENCE = 2.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may sign in.

    Attributes:
        name: What stands beside the answers.
        role: What they do on the pages.
        created: When it was made, UTC.
        disabled: Since when they may not sign in, UTC; None: they may.
        password: Its hash, as stored: a session begins only while it is this one.
    """

    name: str
    role: Role
    created: datetime
    disabled: datetime | None
    password: str = field(repr=False)


def add(database: Database, name: str, password: str, role: Role = "reviewer") -> Account:
    """Let somebody sign in; who was removed may again, with a new password. Sessions under this name end.

    Raises:
        InputError: The name or the password is none, or somebody has this name.
        StoreError: It cannot be kept.
    """
    name, stored = person_name(name, field="NAME"), _hashed(_fit(password))
    row = {"name": name, "password": stored, "role": role, "created_at": now(), "disabled_at": None}
    with database.writing() as connection:
        there = connection.execute(_chosen(name)).one_or_none()
        if there is not None and there.disabled_at is None:
            remedy = "take another name, or give a new password: llmtriage reviewers password"
            raise InputError(f"there is a reviewer {short(name)!r} already", file=database.name, remedy=remedy)
        connection.execute(schema.account.delete().where(_account.name == name))
        connection.execute(schema.account.insert(), row)
        sessions.end_all(connection, name)
        return _of(connection.execute(_chosen(name)).one())


def listed(database: Database) -> list[Account]:
    """Everybody, the oldest first, also those who were removed. Raises StoreError."""
    with database.reading() as connection:
        rows = connection.execute(sa.select(schema.account).order_by(_account.created_at, _account.name))
        return [_of(row) for row in rows]


def change_password(database: Database, name: str, password: str) -> None:
    """Give somebody a new password; their sessions end.

    Raises:
        InputError: The password is none.
        UnknownNameError: Nobody has this name.
        StoreError: It cannot be kept.
    """
    _change(database, name, {"password": _hashed(_fit(password))})


def remove(database: Database, name: str) -> None:
    """Let somebody sign in no more; their sessions end, their answers stay.

    Raises:
        UnknownNameError: Nobody has this name.
        StoreError: It cannot be kept.
    """
    _change(database, name, {"disabled_at": now()})


def exist(database: Database) -> bool:
    """Whether there ever was an account: then a name alone is not enough. Raises StoreError."""
    with database.reading() as connection:
        return connection.execute(sa.select(_account.name).limit(1)).first() is not None


def named(database: Database, name: str) -> Account | None:
    """Somebody's account, also one that was removed. Raises StoreError."""
    with database.reading() as connection:
        row = connection.execute(_chosen(name)).one_or_none()
    return None if row is None else _of(row)


def verify(database: Database, name: str, password: str) -> Account | None:
    """Who signs in, if name and password belong together. It takes as long where nobody has this name.

    Raises:
        StoreError: The store cannot be read, or too many sign in at this moment.
    """
    found = named(database, name)
    if len(password) > LONGEST:
        return None
    with _turn(database):
        is_right = _is_of(password, found.password if found else _NOBODY)
    return found if found and is_right and found.disabled is None else None


def _change(database: Database, name: str, values: dict[str, Any]) -> None:
    standing = sa.select(_account.name).where(_account.disabled_at.is_(None))
    with database.writing() as connection:
        known = list(connection.scalars(standing.order_by(_account.name)))
        if name in known:
            connection.execute(schema.account.update().where(_account.name == name), values)
            sessions.end_all(connection, name)
    if name not in known:
        raise UnknownNameError.among("reviewer", name, known, file=database.name)


def _fit(password: str) -> str:
    if SHORTEST <= len(password) <= LONGEST:
        return password
    raise InputError(f"a password has {SHORTEST} to {LONGEST} characters, this one {len(password)}", remedy="choose another one")


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _scrypt(password, salt, n=_N, r=_R, p=_P)
    return _written(salt, digest)


def _written(salt: bytes, digest: bytes) -> str:
    return f"scrypt$n={_N},r={_R},p={_P}${b64encode(salt).decode()}${b64encode(digest).decode()}"


_NOBODY = _written(bytes(_SALT_BYTES), bytes(_HASH_BYTES))


def _is_of(password: str, stored: str) -> bool:
    _, cost, salt, digest = stored.split("$")
    parameters = {name: int(value) for name, _, value in (one.partition("=") for one in cost.split(","))}
    return hmac.compare_digest(_scrypt(password, b64decode(salt), **parameters), b64decode(digest))


def _scrypt(password: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    # The same text typed with another input method must be the same password.
    typed = unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
    return hashlib.scrypt(typed, salt=salt, n=n, r=r, p=p, maxmem=_ROOM * 128 * n * r, dklen=_HASH_BYTES)


@contextmanager
def _turn(database: Database) -> Iterator[None]:
    """Wait for a slow hash, not long and not with many others. Raises StoreError."""
    with ExitStack() as held:
        for one, patience in ((_IN_LINE, 0.0), (_AT_ONCE, _PATIENCE)):
            if not one.acquire(timeout=patience):
                raise StoreError("too many sign in at this moment", store=database.name, remedy="try again in a few seconds")
            held.callback(one.release)
        yield


def _chosen(name: str) -> sa.Select[Any]:
    return sa.select(schema.account).where(_account.name == name)


def _of(row: sa.Row[Any]) -> Account:
    return Account(
        name=row.name,
        role=row.role,
        created=_time(row.created_at),
        disabled=None if row.disabled_at is None else _time(row.disabled_at),
        password=row.password,
    )


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
