"""API keys: what other programs show. Only a hash of each is stored: a key is 256 random bits, which nobody guesses from it."""

from __future__ import annotations

import hmac
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from llmtriage.errors import InputError, StoreError, UnknownNameError, nearest
from llmtriage.store import schema
from llmtriage.store.reading import moment
from llmtriage.store.recording import DAY, now
from llmtriage.store.records import secret_hash

if TYPE_CHECKING:
    from collections.abc import Collection

    from llmtriage.store.database import Database

Scope = Literal["classify", "review", "admin"]
"""What a key allows: to have tickets decided, to work on the queue, to change what decides."""
SCOPES: tuple[Scope, ...] = ("classify", "review", "admin")

_key = schema.api_key.c
_WRITTEN = re.compile(r"lt_([0-9a-f]{12})_[\w-]{43}", re.ASCII)
_NOBODY = "0" * 12
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is known of a key.

    Attributes:
        prefix: Its beginning, by which it is named; no secret.
        name: Of the program that shows it.
        scopes: What it allows.
        created: When it was made, UTC.
        expires: Until when it can be used, UTC; None: for good.
        revoked: When it was revoked, UTC; None: it was not.
        used: The day on which it was last used, UTC; None: never.
    """

    prefix: str
    name: str
    scopes: frozenset[str]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    used: datetime | None

    @property
    def is_usable(self) -> bool:
        """Whether it can be used now."""
        return self.revoked is None and (self.expires is None or self.expires > moment(now()))


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made.

    Attributes:
        key: What is known of it.
        secret: The key itself, which nobody can show again.
    """

    key: Key
    secret: str = field(repr=False)


def create(database: Database, name: str, scopes: Collection[str], *, days: int | None = None) -> NewKey:
    """Make a key.

    Args:
        database: Where.
        name: Of the program that will show it; several keys may have one name, so that a new one can take over.
        scopes: What it allows, of `SCOPES`.
        days: How long it can be used; None: for good.

    Raises:
        InputError: The name or a scope is none.
        StoreError: It cannot be kept.
    """
    name = _fit(name)
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise UnknownNameError.among("scope", unknown[0], SCOPES, field="--scope")
    if not scopes:
        raise InputError("no scope", field="--scope", remedy=f"say what the key allows: {', '.join(SCOPES)}")
    prefix, at = secrets.token_hex(6), now()
    secret = f"lt_{prefix}_{secrets.token_urlsafe(32)}"
    row = {
        "prefix": prefix,
        "name": name,
        "hash": secret_hash(secret),
        "scopes": " ".join(one for one in SCOPES if one in scopes),
        "created_at": at,
        "expires_at": None if days is None else at + days * DAY,
    }
    with database.writing() as connection:
        connection.execute(schema.api_key.insert(), row)
        kept = connection.execute(sa.select(schema.api_key).where(_key.prefix == prefix)).one()
    return NewKey(_of(kept), secret)


def listed(database: Database) -> list[Key]:
    """All keys, the oldest first, also those that cannot be used any more. Raises StoreError."""
    with database.reading() as connection:
        return [_of(row) for row in connection.execute(sa.select(schema.api_key).order_by(_key.created_at, _key.prefix))]


def revoke(database: Database, prefix: str) -> Key:
    """End a key, from the next request on; one that was revoked stays so. Whoever gives a whole key means the one that begins so.

    Raises:
        InputError: There is none with this prefix.
        StoreError: It cannot be kept.
    """
    whole = _WRITTEN.fullmatch(prefix)
    prefix = whole[1] if whole else prefix
    with database.writing() as connection:
        rows = {row.prefix: row for row in connection.execute(sa.select(schema.api_key).order_by(_key.created_at.desc()))}
        row = rows.get(prefix)
        if row is not None and row.revoked_at is None:
            connection.execute(schema.api_key.update().where(_key.prefix == prefix), {"revoked_at": now()})
            row = connection.execute(sa.select(schema.api_key).where(_key.prefix == prefix)).one()
    if row is None:  # what was given is not told: it may be most of a key
        raise InputError("no key begins so", file=database.name, field="PREFIX", remedy=nearest(prefix, rows))
    return _of(row)


def exist(database: Database) -> bool:
    """Whether a key was ever made: then every call needs one. Raises StoreError."""
    with database.reading() as connection:
        return connection.execute(sa.select(_key.prefix).limit(1)).first() is not None


def find(database: Database, secret: str) -> Key | None:
    """The key that somebody shows, if it can be used. A wrong one takes as long as one of which only the end is wrong. Raises StoreError."""
    written = _WRITTEN.fullmatch(secret)
    prefix = written[1] if written else _NOBODY
    with database.reading() as connection:
        row = connection.execute(sa.select(schema.api_key).where(_key.prefix == prefix)).one_or_none()
    is_right = hmac.compare_digest(bytes(row.hash) if row else bytes(32), secret_hash(secret))
    if row is None or not is_right:
        return None
    key = _of(row)
    if not key.is_usable:
        return None
    _note_use(database, row)
    return key


def _fit(name: str) -> str:
    name = name.strip()
    if name and name.isprintable() and "/" not in name and len(name) <= _LONGEST_NAME:
        return name
    problem = f'the name of a key is visible text on one line without "/", at most {_LONGEST_NAME} characters'
    raise InputError(problem, field="--name", remedy="name the program that will show it")


def _note_use(database: Database, row: sa.Row[Any]) -> None:
    """The day of use, written once a day. That it cannot be noted is no reason to refuse a caller."""
    today = now() // DAY
    if row.used_day == today:
        return
    with suppress(StoreError), database.writing() as connection:
        connection.execute(schema.api_key.update().where(_key.prefix == row.prefix), {"used_day": today})


def _of(row: sa.Row[Any]) -> Key:
    return Key(
        prefix=row.prefix,
        name=row.name,
        scopes=frozenset(row.scopes.split()),
        created=moment(row.created_at),
        expires=None if row.expires_at is None else moment(row.expires_at),
        revoked=None if row.revoked_at is None else moment(row.revoked_at),
        used=None if row.used_day is None else moment(row.used_day * DAY),
    )
