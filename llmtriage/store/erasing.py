"""Personal data that goes for good. What was decided and what people answered stays, without it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.errors import StoreError
from llmtriage.store import schema
from llmtriage.store.inbox import emptied
from llmtriage.store.recording import DAY, last_event, now
from llmtriage.store.records import erased_subject, name, of_customer, storable
from llmtriage.store.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from llmtriage.store.store import SqlStore

_TOGETHER = 1000  # tickets of one transaction: other writers wait no longer than a moment
_WAIT = 0.05  # seconds between two looks at who reads
PATIENCE = 5.0  # seconds to wait for them


@dataclass(frozen=True, slots=True)
class Named:
    """Whose data are erased.

    Attributes:
        ids: The caller's names for tickets.
        customer: Of whom also all tickets.
        source: Where they come from; None: from anywhere.
    """

    ids: Sequence[str] = ()
    customer: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of whom.

    Attributes:
        tickets: Numbers of tickets in the store.
        messages: Numbers of messages of the inbox that are not decided yet.
        missing: Ids of which there is neither.
    """

    tickets: Sequence[int]
    messages: Sequence[int]
    missing: Sequence[str]


def find(store: SqlStore, named: Named) -> Found:
    """What there is now. Raises StoreError."""
    tickets, messages = tickets_named(store, named.ids, named.source), messages_named(store, named.ids, named.source)
    missing = [one for one in named.ids if not tickets[one] and not messages[one]]
    of_customer = [] if named.customer is None else tickets_of(store, named.customer, named.source)
    also = [] if named.customer is None else messages_of(store, named.customer, named.source)
    return Found(_all(of_customer, tickets), _all(also, messages), missing)


def _all(of_customer: Sequence[int], named: Mapping[str, Sequence[int]]) -> list[int]:
    return sorted({*of_customer, *(number for numbers in named.values() for number in numbers)})


def erase_named(store: SqlStore, named: Named) -> int:
    """Erase all there is, also what others have in their hands: who read it before this cannot keep it any more. What comes after this is new.

    Returns:
        How many tickets and messages.

    Raises:
        StoreError: As of `erase`.
    """
    whats = [f"id:{name(one)}" for one in named.ids] + ([] if named.customer is None else [of_customer(named.customer)])
    source = None if named.source is None else name(named.source)
    with store.database.writing() as connection:
        _note(connection, "erase", "person", [None])
        _refuse(store, connection, [(source, what) for what in whats])
    found = find(store, named)  # all of it is there by now
    erase(store, found.tickets, found.messages)
    return len(found.tickets) + len(found.messages)


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
    return {one: list(_messages(store, source, schema.inbox.c.ticket_key == f"id:{name(one)}")) for one in ids}


def messages_of(store: SqlStore, customer: str, source: str | None = None) -> list[int]:
    """The messages of the inbox about tickets of a customer that are not decided yet, as `tickets_of`. Raises StoreError."""
    return list(_messages(store, source, schema.inbox.c.ticket["customer"].as_string() == storable(customer)))


def _messages(store: SqlStore, source: str | None, *conditions: sa.ColumnElement[bool]) -> Sequence[int]:
    table = schema.inbox.c
    chosen = sa.select(table.id).where(table.next_at.is_not(None), *conditions).order_by(table.id)
    if source is not None:
        chosen = chosen.where(table.source == name(source))
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
    ticket, inbox = schema.ticket.c, schema.inbox.c
    for start in range(0, len(tickets), _TOGETHER):
        group = tickets[start : start + _TOGETHER]
        with store.database.writing() as connection:
            keys = connection.execute(sa.select(ticket.source, ticket.key).where(ticket.id.in_(group))).all()
            _erase(connection, group, "erase")
            _refuse(store, connection, [(row.source, row.key) for row in keys])
    for start in range(0, len(messages), _TOGETHER):
        which = sa.and_(inbox.id.in_(messages[start : start + _TOGETHER]), inbox.next_at.is_not(None))
        with store.database.writing() as connection:
            rows = connection.execute(sa.select(inbox.id, inbox.source, inbox.ticket_key).where(which)).all()
            _empty(connection, which)
            _note(connection, "erase", "message", [row.id for row in rows])
            _refuse(store, connection, [(row.source, row.ticket_key) for row in rows])
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
    erased = last = 0
    while True:
        with store.database.writing() as connection:  # chosen in here, so that no ticket comes again in between
            number = schema.ticket.c.id
            tickets = connection.scalars(_old(before).where(number > last).order_by(number).limit(_TOGETHER)).all()
            if not tickets:
                break
            _erase(connection, tickets, "prune")
        erased, last = erased + len(tickets), tickets[-1]
    with store.database.writing() as connection:
        erased += _empty(connection, _left(before))
    clear(store)
    return erased


def _old(before: int) -> sa.Select[int]:
    ticket, text, entry = schema.ticket, schema.ticket_text, schema.queue_entry
    newer = sa.exists().where(text.c.ticket_id == ticket.c.id, text.c.received_at >= before)
    # A second opinion may never come; the first answer stands without it.
    waits = sa.exists().where(entry.c.ticket_id == ticket.c.id, entry.c.state == "open", entry.c.lane != "second")
    return sa.select(ticket.c.id).where(ticket.c.received_at < before, ticket.c.erased_at.is_(None), ~newer, ~waits)


def _left(before: int) -> sa.ColumnElement[bool]:
    """Messages that nobody has decided and nobody works on."""
    table = schema.inbox.c
    return sa.and_(table.received_at < before, table.next_at <= now())


def _empty(connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
    """Messages that are not decided lose what they hold; that they came is still known. Returns how many."""
    return connection.execute(schema.inbox.update().where(which).values(emptied())).rowcount


def _refuse(store: SqlStore, connection: sa.Connection, whom: Iterable[tuple[str | None, str]]) -> None:
    """Who read these tickets before the newest event keeps nothing of them: `Ticket.as_of`. After a day nobody has them any more."""
    table, at = schema.erasure, now()
    connection.execute(table.update().where(table.c.at < at - DAY, table.c.subject != b"").values(subject=b""))
    event = last_event(connection)
    rows = [{"subject": erased_subject(store.key, source, what), "event": event, "at": at} for source, what in whom]
    if rows:
        connection.execute(table.insert(), rows)


def _erase(connection: sa.Connection, tickets: Sequence[int], kind: str) -> None:
    ticket, text, entry, review = schema.ticket, schema.ticket_text, schema.queue_entry, schema.review
    key = sa.literal("erased:") + sa.cast(ticket.c.id, sa.Text)
    bare: dict[str, Any] = {"key": key, "external_id": None, "customer": None, "metadata": {}, "erased_at": now()}
    connection.execute(ticket.update().where(ticket.c.id.in_(tickets)).values(bare))
    connection.execute(text.update().where(text.c.ticket_id.in_(tickets)).values(title=None, content=None, hmac=None))
    connection.execute(review.update().where(review.c.ticket_id.in_(tickets)).values(note=None))
    waiting = entry.update().where(entry.c.ticket_id.in_(tickets), entry.c.state == "open")
    ended = {"state": "withdrawn", "lease_owner": None, "lease_until": None, "lease_token": entry.c.lease_token + 1}
    connection.execute(waiting.values(ended))
    told = schema.delivery.update().where(schema.delivery.c.ticket_id.in_(tickets))  # it names them, so it goes, told or not
    connection.execute(told.values(body={}, next_at=None, held_until=None))
    _note(connection, kind, "ticket", tickets)


def _note(connection: sa.Connection, kind: str, subject: str, numbers: Sequence[int | None]) -> None:
    common = {"at": now(), "actor": "db", "kind": kind, "subject": subject, "data": {}}
    if numbers:
        connection.execute(schema.event.insert(), [{**common, "subject_id": one} for one in numbers])


def clear(store: SqlStore) -> None:
    """Empty what was answered to requests, for it may name tickets; and the file beside SQLite's, in which pages as they were before may stand.

    Raises:
        StoreError: Another program reads it, and went on for `PATIENCE` seconds.
    """
    Requests(store.database).empty()
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
