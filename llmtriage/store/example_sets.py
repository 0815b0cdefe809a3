"""Frozen sets of examples: confirmed and corrected tickets under a name. Answers given later change nothing in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.errors import InputError, UnknownNameError, short
from llmtriage.store import schema
from llmtriage.store.reading import OF_TICKET, ticket_of
from llmtriage.store.recording import now
from llmtriage.taxonomy import digest
from llmtriage.tickets import TicketRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.store.database import Database
    from llmtriage.taxonomy import Taxonomy

_set, _member = schema.example_set.c, schema.example_member.c
_LONGEST_NAME = 60
_TOGETHER = 1_000  # rows of one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What came of freezing.

    Attributes:
        name: Of the set.
        tickets: How many it holds.
        hash: Identity of texts and categories, in their order.
        drawn: How many of them were drawn by chance, so that their labels carry no promise any more.
        lost: Answers that were left out because the taxonomy has no leaf for their category.
        without_text: Answers that were left out because their text is gone or was never stored.
    """

    name: str
    tickets: int
    hash: str
    drawn: int = 0
    lost: int = 0
    without_text: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A set in a store.

    Attributes:
        name: Its name.
        tickets: How many it holds.
        hash: Identity of texts and categories, in their order.
        made: When, UTC.
        erased: How many of its tickets were erased since; with any, it cannot be used.
    """

    name: str
    tickets: int
    hash: str
    made: datetime
    erased: int


def freeze(
    database: Database, name: str, taxonomy: Taxonomy, *, drawn: bool = False, most: int | None = None, overwrite: bool = False
) -> Frozen:
    """Keep the answers that stand as a set of examples, in the order in which they were given; of equal texts the latest alone.

    Args:
        database: Where.
        name: Of the set: any word.
        taxonomy: What the categories must be leaves of, or former ids that it carries.
        drawn: Also tickets that were drawn by chance, as probes or for a planned sample: calibration leaves out what stands among the examples.
        most: The latest so many at most.
        overwrite: Whether a set of this name may be replaced.

    Raises:
        InputError: The name is no word or is taken, or there are no such answers.
        StoreError: The store cannot be written.
    """
    _check_name(name)
    with database.writing() as connection:
        if not overwrite and connection.scalar(sa.select(_set.name).where(_set.name == name)) is not None:
            remedy = "take another name, or add --overwrite: a calibration made with the old set is then refused"
            raise InputError(f"there is a set {short(name)!r} already", file=database.name, remedy=remedy)
        answers = connection.execute(_answers(drawn=drawn)).all()
        latest = {row.hmac: row for row in answers if row.content is not None}
        fitting = sorted((row for row in latest.values() if taxonomy.carried(row.category)), key=lambda row: row.review_id)
        chosen = fitting if most is None else fitting[-most:]
        if not chosen:
            raise InputError("no answer can be an example", file=database.name, remedy="confirm or correct some tickets first")
        found = Frozen(
            name=name,
            tickets=len(chosen),
            hash=_hash(chosen),
            drawn=sum(row.drawn for row in chosen),
            lost=len(latest) - len(fitting),
            without_text=sum(row.content is None for row in answers),
        )
        _write(connection, found, chosen)
    return found


def members(database: Database, name: str) -> list[TicketRow]:
    """The tickets of a set with their categories, in their order.

    Raises:
        UnknownNameError: There is no such set.
        InputError: Some of its tickets were erased.
        StoreError: The store cannot be read.
    """
    chosen = _members(_member.category, *OF_TICKET).where(_member.set_name == name).order_by(_member.position)
    with database.reading() as connection:
        known = list(connection.scalars(sa.select(_set.name).order_by(_set.created_at)))
        wanted = connection.scalar(sa.select(_set.hash).where(_set.name == name))
        rows = connection.execute(chosen).all()
    if name not in known:
        raise UnknownNameError.among("set of examples", name, known, file=database.name, field="--examples")
    erased = sum(row.content is None for row in rows)
    if erased:
        problem = f"{erased} of the {len(rows)} tickets of the set {short(name)!r} were erased"
        raise InputError(problem, file=database.name, field="--examples", remedy="freeze a new one: llmtriage examples freeze")
    if _hash(rows) != wanted:
        problem = f"the set {short(name)!r} is not what was frozen"
        raise InputError(problem, file=database.name, field="--examples", remedy="freeze a new one: llmtriage examples freeze")
    return [TicketRow(ticket=ticket_of(row), category=row.category, line=place) for place, row in enumerate(rows, start=1)]


def listed(database: Database) -> list[Listed]:
    """The sets, the oldest first. Raises StoreError."""
    erased = sa.func.sum(sa.case((schema.ticket_text.c.content.is_(None), 1), else_=0))
    counted = _members(_member.set_name, sa.func.count(), erased).group_by(_member.set_name)
    with database.reading() as connection:
        counts = {name: (n, gone) for name, n, gone in connection.execute(counted)}
        rows = connection.execute(sa.select(schema.example_set).order_by(_set.created_at, _set.name)).all()
    return [
        Listed(
            name=row.name,
            tickets=counts[row.name][0],
            hash=row.hash,
            made=datetime.fromtimestamp(row.created_at / 1e6, UTC),
            erased=counts[row.name][1],
        )
        for row in rows
    ]


def _check_name(name: str) -> None:
    if not name or not name.isprintable() or any(letter.isspace() for letter in name) or len(name) > _LONGEST_NAME:
        problem = f"no name for a set: {short(name)!r}"
        raise InputError(problem, remedy=f"take a word of at most {_LONGEST_NAME} characters, without blanks")


def _answers(*, drawn: bool) -> sa.Select[Any]:
    """The answers that stand, the oldest first, each with whether its ticket was ever drawn by chance."""
    standing = schema.standing().subquery("standing")
    entry, text = schema.queue_entry.c, schema.ticket_text.c
    by_chance = sa.exists().where(entry.ticket_id == standing.c.ticket_id, entry.lane.in_(("probe", "sample")))
    chosen = (
        sa.select(
            standing.c.id.label("review_id"),
            standing.c.category,
            standing.c.ticket_text_id,
            text.title,
            text.content,
            text.hmac,
            by_chance.label("drawn"),
        )
        .select_from(standing.join(schema.ticket_text, standing.c.ticket_text_id == text.id))
        .order_by(standing.c.id)
    )
    return chosen if drawn else chosen.where(~by_chance)


def _members(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    text, ticket = schema.ticket_text, schema.ticket
    joined = schema.example_member.join(text, _member.ticket_text_id == text.c.id).join(ticket, text.c.ticket_id == ticket.c.id)
    return sa.select(*columns).select_from(joined)


def _write(connection: sa.Connection, found: Frozen, chosen: Sequence[Any]) -> None:
    at = now()
    connection.execute(schema.example_member.delete().where(_member.set_name == found.name))
    connection.execute(schema.example_set.delete().where(_set.name == found.name))
    connection.execute(schema.example_set.insert(), {"name": found.name, "hash": found.hash, "created_at": at})
    rows = [
        {"set_name": found.name, "position": place, "ticket_text_id": row.ticket_text_id, "category": row.category}
        for place, row in enumerate(chosen, start=1)
    ]
    for start in range(0, len(rows), _TOGETHER):
        connection.execute(schema.example_member.insert(), rows[start : start + _TOGETHER])
    event = {"at": at, "actor": "freeze", "kind": "freeze", "subject": "examples", "data": {"tickets": len(rows)}}
    connection.execute(schema.event.insert(), event)


def _hash(rows: Sequence[Any]) -> str:
    return digest([[row.title, row.content, row.category] for row in rows])
