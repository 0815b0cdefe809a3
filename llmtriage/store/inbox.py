"""Tickets that came as messages and are not decided yet. The text goes once they are; which messages came is known for a month."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.store import schema
from llmtriage.store.recording import DAY, last_event, now
from llmtriage.store.records import name, storable
from llmtriage.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.store.store import SqlStore

HELD = 120_000_000
"""Microseconds for which a process has messages to itself: if it is killed, another one goes on with them after that."""
KNOWN = 30 * DAY
"""Microseconds for which a message that comes again is known."""

_LOOKED_AT = 4  # times as many messages as are wanted: among them are those that others hold
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
    row = {
        "hook": hook,
        "message": name(message),
        "ticket": {"source": store.source, **_storable(said)},
        "received_at": now(),
    }
    insert = store.database.insert(schema.inbox).on_conflict_do_nothing(index_elements=["hook", "message"])
    with store.database.writing() as connection:
        return connection.execute(insert.returning(_inbox.id), row).first() is not None


def take(store: SqlStore, most: int) -> list[Received]:
    """The oldest messages of the store's source that nobody holds, held from now on. Raises StoreError.

    Of several messages about one ticket the first is given out, the next once that is decided: else the older text might come last.
    """
    if not _waiting(store):  # without the lock that writers need
        return []
    at = now()
    with store.database.writing() as connection:
        rows = connection.execute(_undone(store).order_by(_inbox.id).limit(_LOOKED_AT * most)).all()
        chosen = _free(rows, at)[:most]
        held = schema.inbox.update().where(_inbox.id.in_([row.id for row in chosen]))
        connection.execute(held.values(held_until=at + HELD))
        as_of = last_event(connection)
    return [Received(row.id, row.hook, ticket_of(row.ticket, as_of=as_of)) for row in chosen]


def done(store: SqlStore, ids: Sequence[int]) -> None:
    """Their tickets are decided: nothing of them stays here but that they came. Raises StoreError."""
    _change(store, ids, ticket=None, held_until=None, done_at=now())


def give_back(store: SqlStore, ids: Sequence[int], *, seconds: float = 0) -> None:
    """Let others have them, at once or after some time. Raises StoreError."""
    _change(store, ids, held_until=now() + round(seconds * 1e6) if seconds else None)


def waiting(store: SqlStore) -> int:
    """How many are not decided yet, of whatever source. Raises StoreError."""
    counted = sa.select(sa.func.count()).where(_inbox.done_at.is_(None))
    with store.database.reading() as connection:
        return connection.execute(counted).scalar_one()


def forget(store: SqlStore) -> None:
    """Delete messages that were decided so long ago that they cannot come again. Raises StoreError."""
    old = now() - KNOWN
    with store.database.reading() as connection:
        found = connection.scalar(sa.select(_inbox.id).where(_inbox.done_at < old).limit(1))
    if found is not None:
        with store.database.writing() as connection:
            connection.execute(schema.inbox.delete().where(_inbox.done_at < old))


def _waiting(store: SqlStore) -> bool:
    free = sa.or_(_inbox.held_until.is_(None), _inbox.held_until < now())
    with store.database.reading() as connection:
        return connection.execute(_undone(store).where(free).limit(1)).first() is not None


def _undone(store: SqlStore) -> sa.Select[Any]:
    return sa.select(schema.inbox).where(_inbox.done_at.is_(None), _inbox.ticket["source"].as_string() == store.source)


def _free(rows: Sequence[Any], at: int) -> list[Any]:
    """Those that nobody holds, and that are the first of their ticket."""
    seen: set[str] = set()
    found = []
    for row in rows:
        ticket = row.ticket["id"]
        is_first = ticket is None or ticket not in seen
        seen.add(ticket)
        if is_first and (row.held_until is None or row.held_until < at):
            found.append(row)
    return found


def _change(store: SqlStore, ids: Sequence[int], **values: Any) -> None:
    if ids:
        with store.database.writing() as connection:
            connection.execute(schema.inbox.update().where(_inbox.id.in_(ids), _inbox.done_at.is_(None)).values(values))


def ticket_of(said: dict[str, Any], *, as_of: int | None = None) -> Ticket:
    """The ticket of a row."""
    return Ticket(as_of=as_of, **{key: value for key, value in said.items() if key != "source"})


def _storable(value: Any) -> Any:
    """What every database takes, also inside of JSON."""
    if isinstance(value, str):
        return storable(value)
    return {storable(key): _storable(one) for key, one in value.items()} if isinstance(value, dict) else value
