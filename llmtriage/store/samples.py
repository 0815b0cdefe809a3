"""Tickets that were drawn by chance, with what people said of them blind: the only labels that carry a promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.store import schema
from llmtriage.store.reading import OF_TICKET, ticket_of
from llmtriage.store.recording import anywhere, keep_texts, keep_tickets, now
from llmtriage.store.records import text_columns, text_hmac, ticket_key, ticket_row
from llmtriage.tickets import TicketRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.store.database import Database
    from llmtriage.store.store import SqlStore
    from llmtriage.tickets import Ticket

_entry, _review, _text = schema.queue_entry.c, schema.review.c, schema.ticket_text.c
_TOGETHER = 1_000  # rows of one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Tickets that were drawn by chance, and what the first person to decide each of them said, blind.

    Attributes:
        name: "probe-0.02", or the name of a planned sample.
        rows: The tickets with an answer that may be used, in the order in which they were drawn.
        waiting: Tickets without an answer.
        behind: Of probes: those that have an answer but were drawn after one without. Used, they would be a choice among the drawn ones.
        erased: Tickets whose text is gone or was never stored.
        others: Probes with an answer that were drawn with another probability than the latest.
        grows: Whether more tickets are drawn every day: probes.
        changed: Of `rows`: those of which somebody said something else later. The first answer counts, which nobody had seen a model's before.
    """

    name: str
    rows: tuple[TicketRow, ...]
    grows: bool = False
    waiting: int = 0
    behind: int = 0
    erased: int = 0
    others: int = 0
    changed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A planned sample in a store.

    Attributes:
        name: Its name.
        tickets: How many tickets were drawn.
        waiting: How many of them have no answer.
        looks: How often its labels were looked at.
    """

    name: str
    tickets: int
    waiting: int
    looks: int


def probes(database: Database) -> Sample:
    """The probes of the latest probability, up to the oldest one that waits.

    Raises:
        InputError: There are none.
        StoreError: The store cannot be read.
    """
    found = _drawn(database, _entry.lane == "probe")
    if not found:
        remedy = "classify with --probe 0.02, or plan a sample with llmtriage init"
        raise InputError("no ticket was drawn for a blind review", file=database.name, field="--store", remedy=remedy)
    latest = found[-1].inclusion_p
    same = [row for row in found if row.inclusion_p == latest]
    kept = [row for row in same if row.content is not None]
    first_open = next((place for place, row in enumerate(kept) if row.category is None), len(kept))
    return Sample(
        name=f"probe-{latest:g}",
        grows=True,
        rows=_labelled(kept[:first_open]),
        waiting=sum(row.category is None for row in kept),
        behind=sum(row.category is not None for row in kept[first_open:]),
        erased=len(same) - len(kept),
        others=sum(row.category is not None for row in found) - sum(row.category is not None for row in same),
        changed=sum(row.changed for row in kept[:first_open]),
    )


def planned_sample(database: Database, name: str) -> Sample:
    """A planned sample.

    Raises:
        UnknownNameError: There is none of this name.
        StoreError: The store cannot be read.
    """
    found = _drawn(database, _entry.sample == name)
    if not found:
        known = [one.name for one in planned(database)]
        raise UnknownNameError.among("sample", name, known, file=database.name, field="--sample")
    kept = [row for row in found if row.content is not None]
    answered = [row for row in kept if row.category is not None]
    return Sample(
        name=name,
        rows=_labelled(answered),
        waiting=len(kept) - len(answered),
        erased=len(found) - len(kept),
        changed=sum(row.changed for row in answered),
    )


def planned(database: Database) -> list[Planned]:
    """The planned samples, the oldest first. Raises StoreError."""
    answered = sa.exists().where(_review.queue_entry_id == _entry.id, *_BLIND)
    grouped = (
        sa.select(_entry.sample, sa.func.count(), sa.func.sum(sa.case((sa.or_(answered, _text.content.is_(None)), 0), else_=1)))
        .select_from(schema.queue_entry.join(schema.ticket_text, _entry.ticket_text_id == _text.id))
        .where(_entry.lane == "sample")
        .group_by(_entry.sample)
        .order_by(sa.func.min(_entry.id))
    )
    with database.reading() as connection:
        looks = _looks(connection)
        rows = connection.execute(grouped).all()
    return [Planned(name=name, tickets=n, waiting=waiting, looks=looks.get(name, 0)) for name, n, waiting in rows]


def keys_of(store: SqlStore, sample: str | None = None) -> set[str]:
    """The keys of the tickets of a planned sample; None: of all of them. Only of this store's source, and none that was erased. Raises StoreError."""
    ticket = schema.ticket.c
    joined = schema.queue_entry.join(schema.ticket, _entry.ticket_id == ticket.id)
    chosen = (
        sa.select(ticket.key)
        .select_from(joined)
        .where(_entry.lane == "sample", ticket.source == store.source, ticket.erased_at.is_(None))
    )
    if sample is not None:
        chosen = chosen.where(_entry.sample == sample)
    with store.database.reading() as connection:
        return set(connection.scalars(chosen))


def key_of(store: SqlStore, ticket: Ticket) -> str:
    """What makes a ticket the same as an earlier one in this store."""
    return ticket_key(ticket, text_hmac(store.key, ticket))


def plan(store: SqlStore, name: str, tickets: Sequence[tuple[Ticket, str]], inclusion_p: float) -> None:
    """Put the tickets of a planned sample into the queue, to be decided blind: all of them or none. Those that are there already stay.

    Args:
        store: Where.
        name: Of the sample.
        tickets: The tickets with their prepared texts, each ticket once.
        inclusion_p: With which probability each was drawn, in (0, 1].

    Raises:
        StoreError: The store cannot be written.
    """
    at = now()
    common = {"lane": "sample", "sample": name, "blind": True, "inclusion_p": inclusion_p, "state": "open", "round": 1}
    common |= {"reasons": " sample ", "enqueued_at": at, "lease_token": 0}
    new = store.database.insert(schema.queue_entry).on_conflict_do_nothing(index_elements=["ticket_text_id", "sample"])
    with store.database.writing() as connection:
        for start in range(0, len(tickets), _TOGETHER):
            rows = _known(connection, store, tickets[start : start + _TOGETHER], at)
            connection.execute(new, [{**row, **common} for row in rows])
        event = {"at": at, "actor": "init", "kind": "sample", "subject": "sample", "data": {"tickets": len(tickets)}}
        connection.execute(schema.event.insert(), event)


def looks_at(database: Database, sample: str) -> int:
    """How often the labels of a sample were looked at. Raises StoreError."""
    with database.reading() as connection:
        return _looks(connection).get(sample, 0)


def look(database: Database, sample: str, *, labels: int, alphas: Sequence[float], delta: float) -> int:
    """Write down that the labels of a sample are looked at, before anybody sees what comes of it. Raises StoreError.

    Args:
        database: Where.
        sample: Its name.
        labels: How many labels there are.
        alphas: The limits that are tried.
        delta: What all looks together may fail.

    Returns:
        The how manyth look it is, from 1.
    """
    row = {"sample": sample, "labels": labels, "alphas": list(alphas), "delta": delta, "at": now()}
    with database.writing() as connection:
        if database.path is None:  # two looks at once must not have one number
            connection.execute(sa.text("lock table look in exclusive mode"))
        connection.execute(schema.look.insert(), row)
        return _looks(connection)[sample]


def _looks(connection: sa.Connection) -> Mapping[str, int]:
    grouped = sa.select(schema.look.c.sample, sa.func.count()).group_by(schema.look.c.sample)
    return {row[0]: row[1] for row in connection.execute(grouped)}


_BLIND = (_review.verdict != "retract", _review.suggestion_shown.is_(False))


def _drawn(database: Database, which: sa.ColumnElement[bool]) -> Sequence[Any]:
    """The tickets drawn by chance, in the order of drawing, with the category of the first blind answer; None where there is none yet."""
    first = (
        sa.select(_review.queue_entry_id, sa.func.min(_review.id).label("review_id"))
        .where(_review.lane != "pending", *_BLIND)
        .group_by(_review.queue_entry_id)
        .subquery("first")
    )
    later = schema.review.alias("later")
    changed = sa.exists().where(
        later.c.queue_entry_id == _entry.id, later.c.verdict != "retract", later.c.category != _review.category
    )
    joined = (
        schema.queue_entry.join(schema.ticket, _entry.ticket_id == schema.ticket.c.id)
        .join(schema.ticket_text, _entry.ticket_text_id == _text.id)
        .outerjoin(first, first.c.queue_entry_id == _entry.id)
        .outerjoin(schema.review, _review.id == first.c.review_id)
    )
    chosen = sa.select(_entry.id, _entry.inclusion_p, _review.category, changed.label("changed"), *OF_TICKET)
    with database.reading() as connection:
        return connection.execute(chosen.select_from(joined).where(which).order_by(_entry.id)).all()


def _labelled(rows: Sequence[Any]) -> tuple[TicketRow, ...]:
    return tuple(TicketRow(ticket=ticket_of(row), category=row.category, line=number) for number, row in enumerate(rows, start=1))


def _known(connection: sa.Connection, store: SqlStore, tickets: Sequence[tuple[Ticket, str]], at: int) -> list[dict[str, Any]]:
    """Keep tickets with their texts; what an entry of the queue says of them."""
    hmacs = [text_hmac(store.key, ticket) for ticket, _ in tickets]
    keys = [ticket_key(ticket, digest) for (ticket, _), digest in zip(tickets, hmacs, strict=True)]
    common: dict[str, Any] = {"source": store.source, "kept": store.kept, "at": at}
    rows = [ticket_row(ticket, key=key, **common) for (ticket, _), key in zip(tickets, keys, strict=True)]
    ids = keep_tickets(connection, rows)
    undecided: dict[str, Any] = {"kept": store.kept, "received_at": at, "costly": False}
    texts = [
        {"ticket_id": ids[key], "hmac": digest, **text_columns(ticket, text, store.kept), **undecided}
        for (ticket, text), key, digest in zip(tickets, keys, hmacs, strict=True)
    ]
    text_of = keep_texts(connection, texts)
    entries = [(ids[key], text_of[ids[key], digest], row["language"]) for key, digest, row in zip(keys, hmacs, rows, strict=True)]
    return [
        {"ticket_id": ticket, "ticket_text_id": text, "language": language, "rank": anywhere(text)}
        for ticket, text, language in entries
    ]
