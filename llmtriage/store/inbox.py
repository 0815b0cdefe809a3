"""Tickets that came as messages and are not decided yet. The text goes once they are; which messages came is known for a month."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.store import schema
from llmtriage.store.recording import DAY, last_event, now
from llmtriage.store.records import name, storable, text_hmac, ticket_key
from llmtriage.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.store.store import SqlStore

HELD = 120_000_000
"""Microseconds for which a process has messages to itself: if it is killed, another one goes on with them after that."""
KNOWN = 30 * DAY
"""Microseconds for which a message that comes again is known."""

_inbox = schema.inbox.c


@dataclass(frozen=True, slots=True)
class Received:
    """A message.

    Attributes:
        id: Its number in the store.
        hook: Where it came.
        ticket: What it holds.
    """

    id: int
    hook: str
    ticket: Ticket


def put(store: SqlStore, hook: str, message: str, ticket: Ticket) -> bool:
    """Keep the ticket of a message until it is decided. On disk when this returns; False where the message came before. Raises StoreError."""
    said = {key: value for key, value in asdict(ticket).items() if key not in ("numbered", "as_of")}
    at = now()
    row = {
        "hook": hook,
        "message": name(message),
        "source": store.source,
        "ticket_key": ticket_key(ticket, text_hmac(store.key, ticket)),
        "ticket": _storable(said),
        "received_at": at,
        "next_at": at,
    }
    insert = store.database.insert(schema.inbox).on_conflict_do_nothing(index_elements=["hook", "message"])
    with store.database.writing() as connection:
        return connection.execute(insert.returning(_inbox.id), row).first() is not None


def take(store: SqlStore, most: int) -> list[Received]:
    """Messages of the store's source whose time has come, those due first before the others; held from now on. Raises StoreError.

    Of several messages about one ticket the first is given out, the next once that is decided: else the older text might come last.
    """
    at = now()
    due = _due(store, at)
    with store.database.reading() as connection:  # without the lock that writers need
        if connection.execute(due.limit(1)).first() is None:
            return []
    with store.database.writing() as connection:
        rows = connection.execute(due.limit(most)).all()
        held = schema.inbox.update().where(_inbox.id.in_([row.id for row in rows]))
        connection.execute(held.values(next_at=at + HELD))
        as_of = last_event(connection)
    return [Received(row.id, row.hook, Ticket(**row.ticket, as_of=as_of)) for row in rows]


def done(store: SqlStore, ids: Sequence[int]) -> None:
    """Their tickets are decided: nothing of them stays here but that they came. Raises StoreError."""
    _change(store, ids, **emptied())


def give_back(store: SqlStore, ids: Sequence[int], *, seconds: float = 0) -> None:
    """Let others have them, at once or after some time. Raises StoreError."""
    _change(store, ids, next_at=now() + round(seconds * 1e6) if seconds else _inbox.received_at)


def emptied() -> dict[str, Any]:
    """What a message becomes of which only that it came is still to be known."""
    return {"ticket": None, "ticket_key": None, "next_at": None, "done_at": now()}


def waiting(store: SqlStore) -> int:
    """How many are not decided yet, of whatever source. Raises StoreError."""
    return backlog(store)[0]


def backlog(store: SqlStore) -> tuple[int, int | None]:
    """How many are not decided yet, of whatever source, and when the oldest came, in microseconds since 1970. Raises StoreError."""
    counted = sa.select(sa.func.count(), sa.func.min(_inbox.received_at)).where(_inbox.next_at.is_not(None))
    with store.database.reading() as connection:
        n, oldest = connection.execute(counted).one()
    return n, oldest


def forget(store: SqlStore) -> None:
    """Delete messages that were decided so long ago that they cannot come again. Raises StoreError."""
    old = now() - KNOWN
    with store.database.reading() as connection:
        found = connection.scalar(sa.select(_inbox.id).where(_inbox.done_at < old).limit(1))
    if found is not None:
        with store.database.writing() as connection:
            connection.execute(schema.inbox.delete().where(_inbox.done_at < old))


def _due(store: SqlStore, at: int) -> sa.Select[Any]:
    earlier = schema.inbox.alias("earlier")
    is_next = ~sa.exists().where(
        earlier.c.ticket_key == _inbox.ticket_key,
        earlier.c.source == _inbox.source,
        earlier.c.id < _inbox.id,
        earlier.c.next_at.is_not(None),
    )
    due = sa.select(schema.inbox).where(_inbox.source == store.source, _inbox.next_at <= at, is_next)
    return due.order_by(_inbox.next_at, _inbox.id)


def _change(store: SqlStore, ids: Sequence[int], **values: Any) -> None:
    if ids:
        with store.database.writing() as connection:
            connection.execute(schema.inbox.update().where(_inbox.id.in_(ids), _inbox.next_at.is_not(None)).values(values))


def _storable(value: Any) -> Any:
    """What every database takes, also inside of JSON."""
    if isinstance(value, str):
        return storable(value)
    return {storable(key): _storable(one) for key, one in value.items()} if isinstance(value, dict) else value
