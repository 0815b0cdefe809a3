"""Who is signed in. The token is with the browser alone; the store has its hash."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from llmtriage.errors import StoreError
from llmtriage.store import schema
from llmtriage.store.recording import now
from llmtriage.store.records import secret_hash

if TYPE_CHECKING:
    from llmtriage.store.database import Database

LONGEST = 7 * 24 * 3600  # seconds
_IDLE, _LONGEST = 8 * 3600 * 1_000_000, LONGEST * 1_000_000  # microseconds
_SEEN_AGAIN = 60 * 1_000_000  # use is noted once a minute

_session, _account = schema.session.c, schema.account.c


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in.

    Attributes:
        name: Who.
        role: "reviewer" or "lead", as it is now.
        has_account: Whether there is an account of this name; without one, a name was enough.
    """

    name: str
    role: str
    has_account: bool


def begin(database: Database, name: str, role: str, *, password: str | None) -> str | None:
    """Begin a session; what ended by itself is let go of.

    Args:
        database: Where.
        name: Who signed in.
        role: "reviewer" or "lead".
        password: The hash of the password that was right; None: a name was enough.

    Returns:
        The token; None if the account has changed since the password was looked at.

    Raises:
        StoreError: It cannot be kept.
    """
    token, at = secrets.token_urlsafe(32), now()
    row = {"hash": secret_hash(token), "reviewer": name, "role": role, "created_at": at, "seen_at": at}
    with database.writing() as connection:
        connection.execute(
            schema.session.delete().where(sa.or_(_session.created_at < at - _LONGEST, _session.seen_at < at - _IDLE))
        )
        own = sa.and_(_account.name == name, _account.disabled_at.is_(None))
        standing = sa.select(_account.password).where(own if password is not None else sa.true()).limit(1)
        if connection.scalar(standing) != password:  # a name is enough only while there is no account
            return None
        connection.execute(schema.session.insert(), row)
    return token


def find(database: Database, token: str) -> Session | None:
    """Who shows this token, if the session goes on: used within 8 hours, begun within 7 days, the account not removed. Raises StoreError."""
    digest, at = secret_hash(token), now()
    chosen = (
        sa.select(schema.session, _account.role.label("role_now"), _account.disabled_at)
        .select_from(schema.session.outerjoin(schema.account, _session.reviewer == _account.name))
        .where(_session.hash == digest)
    )
    with database.reading() as connection:
        row = connection.execute(chosen).one_or_none()
    if row is None or row.disabled_at is not None or row.created_at < at - _LONGEST or row.seen_at < at - _IDLE:
        return None
    if row.seen_at < at - _SEEN_AGAIN:
        with suppress(StoreError), database.writing() as connection:  # no reason to refuse somebody who only reads
            connection.execute(schema.session.update().where(_session.hash == digest), {"seen_at": at})
    return Session(row.reviewer, row.role_now or row.role, row.role_now is not None)


def end(database: Database, token: str) -> None:
    """End a session, if there is one. Raises StoreError."""
    with database.writing() as connection:
        connection.execute(schema.session.delete().where(_session.hash == secret_hash(token)))


def end_all(connection: sa.Connection, name: str) -> None:
    """End all sessions of somebody, in a transaction that changes their account."""
    connection.execute(schema.session.delete().where(_session.reviewer == name))
