"""Personal data that goes for good. What was decided and what people answered stays, without it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.errors import StoreError
from llmtriage.store import schema
from llmtriage.store.recording import now
from llmtriage.store.records import name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from llmtriage.store.store import SqlStore

_TOGETHER = 1000  # tickets of one transaction: other writers wait no longer than a moment
_WAIT = 0.05  # seconds between two looks at who reads
PATIENCE = 5.0  # seconds to wait for them


def tickets_named(store: SqlStore, ids: Iterable[str], source: str | None = None) -> dict[str, list[int]]:
    """The tickets with these ids, by id; an empty list where there is none.

    Args:
        store: Where they are.
        ids: The caller's names for them.
        source: Where they come from; None: from anywhere.

    Raises:
        StoreError: The store cannot be read.
    """
    table = schema.ticket.c
    return {one: list(_tickets(store, source, table.external_id == name(one))) for one in ids}


def tickets_of(store: SqlStore, customer: str, source: str | None = None) -> list[int]:
    """The tickets of a customer, from one source or (None) from any. Raises StoreError."""
    return list(_tickets(store, source, schema.ticket.c.customer == name(customer)))


def _tickets(store: SqlStore, source: str | None, *conditions: sa.ColumnElement[bool]) -> Sequence[int]:
    table = schema.ticket.c
    chosen = sa.select(table.id).where(*conditions).order_by(table.id)
    if source is not None:
        chosen = chosen.where(table.source == name(source))
    with store.database.reading() as connection:
        return connection.scalars(chosen).all()


def messages_named(store: SqlStore, ids: Iterable[str], source: str | None = None) -> dict[str, list[int]]:
    """The messages of the inbox about tickets with these ids that are not decided yet, as `tickets_named`. Raises StoreError."""
    return {one: list(_messages(store, source, _said("id") == name(one))) for one in ids}


def messages_of(store: SqlStore, customer: str, source: str | None = None) -> list[int]:
    """The messages of the inbox about tickets of a customer that are not decided yet, as `tickets_of`. Raises StoreError."""
    return list(_messages(store, source, _said("customer") == name(customer)))


def _said(field: str) -> sa.ColumnElement[str]:
    said: sa.ColumnElement[str] = schema.inbox.c.ticket[field].as_string()
    return said


def _messages(store: SqlStore, source: str | None, *conditions: sa.ColumnElement[bool]) -> Sequence[int]:
    table = schema.inbox.c
    chosen = sa.select(table.id).where(table.done_at.is_(None), *conditions).order_by(table.id)
    if source is not None:
        chosen = chosen.where(_said("source") == name(source))
    with store.database.reading() as connection:
        return connection.scalars(chosen).all()


def erase(store: SqlStore, tickets: Sequence[int], messages: Sequence[int] = ()) -> None:
    """Take out the text, the id, the customer, the fields and the reviewers' notes of tickets, in all versions; nobody waits for them any more.

    Outcomes, answers, events and counts stay, for they hold none of it. The id goes too: it leads back to the person. If the ticket comes
    again, it is a new one. Tickets are erased a thousand at a time; each of these groups wholly or not at all.

    Args:
        store: Where they are.
        tickets: Their numbers in the store.
        messages: Numbers of messages in the inbox: they are decided no more.

    Raises:
        StoreError: The store cannot be written. Or another program has the file open, so that old pages are still beside it; they go when
            the last one closes it.
    """
    for start in range(0, len(tickets), _TOGETHER):
        with store.database.writing() as connection:
            _erase(connection, tickets[start : start + _TOGETHER], "erase")
    for start in range(0, len(messages), _TOGETHER):
        with store.database.writing() as connection:
            _empty(connection, schema.inbox.c.id.in_(messages[start : start + _TOGETHER]))
    clear(store)


def count_old(store: SqlStore, before: int) -> int:
    """How many tickets `prune` would erase. Raises StoreError."""
    counts = [sa.select(sa.func.count()).select_from(_old(before).subquery()), sa.select(sa.func.count()).where(_left(before))]
    with store.database.reading() as connection:
        return sum(connection.execute(one).scalar_one() for one in counts)


def prune(store: SqlStore, before: int) -> int:
    """Erase the tickets of which nothing came at `before` (microseconds since 1970) or later, and for which nobody waits.

    Also messages of the inbox that came before and that no service has decided since.

    Returns:
        How many.

    Raises:
        StoreError: As of `erase`.
    """
    erased = 0
    while True:
        with store.database.writing() as connection:  # chosen in here, so that no ticket comes again in between
            tickets = connection.scalars(_old(before).limit(_TOGETHER)).all()
            if not tickets:
                break
            _erase(connection, tickets, "prune")
        erased += len(tickets)
    with store.database.writing() as connection:
        erased += _empty(connection, _left(before))
    clear(store)
    return erased


def _old(before: int) -> sa.Select[int]:
    ticket, text, entry = schema.ticket, schema.ticket_text, schema.queue_entry
    newer = sa.exists().where(text.c.ticket_id == ticket.c.id, text.c.received_at >= before)
    waits = sa.exists().where(entry.c.ticket_id == ticket.c.id, entry.c.state == "open")
    return sa.select(ticket.c.id).where(ticket.c.received_at < before, ticket.c.erased_at.is_(None), ~newer, ~waits)


def _left(before: int) -> sa.ColumnElement[bool]:
    """Messages that nobody has decided and nobody works on."""
    table = schema.inbox.c
    return sa.and_(
        table.received_at < before, table.done_at.is_(None), sa.or_(table.held_until.is_(None), table.held_until < now())
    )


def _empty(connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
    """Messages lose what they hold; that they came is still known. Returns how many."""
    emptied = schema.inbox.update().where(which, schema.inbox.c.done_at.is_(None))
    return connection.execute(emptied.values(ticket=None, held_until=None, done_at=now())).rowcount


def _erase(connection: sa.Connection, tickets: Sequence[int], kind: str) -> None:
    at = now()
    ticket, text, entry, review = schema.ticket, schema.ticket_text, schema.queue_entry, schema.review
    key = sa.literal("erased:") + sa.cast(ticket.c.id, sa.Text)
    bare: dict[str, Any] = {"key": key, "external_id": None, "customer": None, "metadata": {}, "erased_at": at}
    connection.execute(ticket.update().where(ticket.c.id.in_(tickets)).values(bare))
    connection.execute(text.update().where(text.c.ticket_id.in_(tickets)).values(title=None, content=None, hmac=None))
    connection.execute(review.update().where(review.c.ticket_id.in_(tickets)).values(note=None))
    waiting = entry.update().where(entry.c.ticket_id.in_(tickets), entry.c.state == "open")
    ended = {"state": "withdrawn", "lease_owner": None, "lease_until": None, "lease_token": entry.c.lease_token + 1}
    connection.execute(waiting.values(ended))
    connection.execute(_untold(tickets))
    # Replies may hold text; without them a request that is sent again is done again.
    connection.execute(schema.idempotency.update().values(status=None, reply=None, created_at=0))
    common = {"at": at, "actor": "db", "kind": kind, "subject": "ticket", "data": {}}
    connection.execute(schema.event.insert(), [{**common, "subject_id": one} for one in tickets])


def _untold(tickets: Sequence[int]) -> sa.Update:
    """What is told of these tickets names them, so it goes, told or not."""
    event, delivery = schema.event.c, schema.delivery
    about = sa.exists().where(event.id == delivery.c.event_id, event.subject == "ticket", event.subject_id.in_(tickets))
    return delivery.update().where(about).values(body={}, next_at=None, held_until=None)


def clear(store: SqlStore) -> None:
    """Have SQLite write back and empty the file beside the store, in which pages as they were before an erasure may stand.

    Raises:
        StoreError: Another program reads it, and went on for `PATIENCE` seconds.
    """
    if store.database.path is None:
        return
    for busy in _tries(store):
        if not busy:
            return
    raise StoreError(
        "erased, but another program has the file open, so old pages still stand in its -wal file",
        store=store.name,
        remedy="end that program: they go when the last one has closed the store",
    )


def _tries(store: SqlStore) -> Iterator[bool]:
    """Whether somebody kept the file from being emptied, each time it is tried."""
    end = time.monotonic() + PATIENCE
    while True:
        with store.database.alone() as connection:
            yield bool(connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0])
        if time.monotonic() > end:
            return
        time.sleep(_WAIT)
