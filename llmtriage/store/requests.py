"""Requests that were answered under a key of the caller's, so that one that is sent again has no second effect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import sqlalchemy as sa

from llmtriage.store import schema
from llmtriage.store.recording import now

if TYPE_CHECKING:
    from llmtriage.store.database import Database

_row = schema.idempotency.c
_SECOND = 10**6  # microseconds
_DEAD = 60 * _SECOND  # since a run last gave a sign of life
_KEPT = 24 * 3600 * _SECOND


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a request.

    Attributes:
        caller: Who sent it.
        key: The caller's name of it.
        at: When it was claimed or last renewed, in microseconds: whoever takes over has another time.
    """

    caller: str
    key: str
    at: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered; it holds no ticket text.

    Attributes:
        status: Of HTTP.
        kind: Its content type.
        body: As it was sent.
    """

    status: int
    kind: str
    body: str


class State(Enum):
    """Why a request is neither worked on nor answered."""

    RUNNING = "running"
    OTHER = "other"
    EMPTIED = "emptied"


class Requests:
    """The table of requests. May be used from any thread and by several processes: of two that claim at once exactly one may work."""

    def __init__(self, database: Database) -> None:
        """Use the table in `database`."""
        self._database = database

    def claim(self, caller: str, key: str, request: bytes) -> Claim | Reply | State:
        """Say that a request begins, unless it is known.

        Args:
            caller: Who sends it.
            key: The caller's name of it.
            request: A hash of all that was asked.

        Returns:
            The right to work on it, the reply of the first time, or why there is neither.

        Raises:
            StoreError: It cannot be known.
        """
        at = now()
        new = {"caller": caller, "key": key, "request": request, "status": None, "reply": None, "created_at": at}
        with self._database.writing() as connection:
            connection.execute(_older(at))
            known = connection.execute(sa.select(schema.idempotency).where(_row.caller == caller, _row.key == key)).one_or_none()
            if known is None:
                connection.execute(sa.insert(schema.idempotency), new)
                return Claim(caller, key, at)
            if bytes(known.request) != request:
                return State.OTHER
            if known.status is not None:
                return State.EMPTIED if known.reply is None else Reply(known.status, **known.reply)
            if known.created_at > at - _DEAD:
                return State.RUNNING
            connection.execute(_of(caller, key).values(created_at=at))
            return Claim(caller, key, at)

    def forget_old(self) -> None:
        """Let go of what is older than a day. Raises StoreError."""
        with self._database.writing() as connection:
            connection.execute(_older(now()))

    def renew(self, claim: Claim) -> Claim:
        """Say that it is still worked on. Raises StoreError."""
        later = replace(claim, at=now())
        with self._database.writing() as connection:
            connection.execute(_held(claim).values(created_at=later.at))
        return later

    def keep(self, claim: Claim, reply: Reply) -> None:
        """Keep what is answered, unless somebody took the request over. Raises StoreError."""
        kept = {"kind": reply.kind, "body": reply.body}
        with self._database.writing() as connection:
            connection.execute(_held(claim).values(status=reply.status, reply=kept))

    def empty(self) -> None:
        """Let nobody have the replies of before again: none of these requests is done a second time either. Raises StoreError."""
        with self._database.writing() as connection:
            connection.execute(sa.update(schema.idempotency).where(_row.status.is_not(None)).values(reply=sa.null()))

    def let_go(self, claim: Claim) -> None:
        """Forget it: the same request may be tried again at once. Raises StoreError."""
        unanswered = (_row.caller == claim.caller, _row.key == claim.key, _row.created_at == claim.at, _row.status.is_(None))
        with self._database.writing() as connection:
            connection.execute(sa.delete(schema.idempotency).where(*unanswered))


def _older(at: int) -> sa.Delete:
    return sa.delete(schema.idempotency).where(_row.created_at < at - _KEPT)


def _of(caller: str, key: str) -> sa.Update:
    return sa.update(schema.idempotency).where(_row.caller == caller, _row.key == key)


def _held(claim: Claim) -> sa.Update:
    return _of(claim.caller, claim.key).where(_row.created_at == claim.at, _row.status.is_(None))
