"""What is known of one ticket: what was decided of it, its place in the queue, and the answers that stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from llmtriage.errors import InputError, UnknownNameError, short
from llmtriage.outcomes import Pending, Reason, blind
from llmtriage.store import schema
from llmtriage.store.reading import OF_TICKET, asked_again, item_of, items, moment, review_of, reviews, ticket_of
from llmtriage.store.recording import now
from llmtriage.store.records import name, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmtriage.outcomes import Outcome
    from llmtriage.reviewing import Item, Lane, Review
    from llmtriage.store.database import Database
    from llmtriage.tickets import Ticket

MOST = 100  # outcomes and answers that are read of one ticket: the latest

_entry, _outcome, _review, _ticket, _text = (
    schema.queue_entry.c,
    schema.outcome.c,
    schema.review.c,
    schema.ticket.c,
    schema.ticket_text.c,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An outcome, as it may be told.

    Attributes:
        outcome: What was decided; of a text that waits to be decided blind nothing that a model suggests.
        version: Which run decided.
        text_id: Which of the ticket's texts it is about.
        at: When, UTC.
    """

    outcome: Outcome
    version: str
    text_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that stands, and which of the ticket's texts it is about."""

    text_id: int
    review: Review

    @property
    def category(self) -> str | None:
        """What the person said."""
        return self.review.category


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketHistory:
    """What is known of one ticket.

    Attributes:
        ticket: The ticket with its current text, as far as the store keeps it.
        text_id: Which text that is.
        source: Where it comes from.
        received_at: When it first came, UTC.
        outcomes: What was decided, the latest first; at most `MOST`.
        waiting: Its entries in the queue that wait, the oldest first.
        answers: The answers that stand, one for each text at most, the latest first.
    """

    ticket: Ticket
    text_id: int
    source: str
    received_at: datetime
    outcomes: tuple[Decided, ...]
    waiting: tuple[Item, ...]
    answers: tuple[Answered, ...]


def history(database: Database, ticket_id: str, source: str | None = None, *, sees_all: bool = True) -> TicketHistory:
    """What is known of a ticket.

    Args:
        database: Where.
        ticket_id: Its id.
        source: Where it comes from; None: from anywhere.
        sees_all: Whether it is for somebody who is never asked to decide blind; others see neither answer nor category while that waits.

    Raises:
        UnknownNameError: It is not known, or was erased.
        InputError: Several sources have a ticket of this id.
        StoreError: The store cannot be read.
    """
    with database.reading() as connection:
        row = _found(connection, ticket_id, source)
        waiting = connection.execute(items().where(_entry.ticket_id == row.id, _entry.state == "open").order_by(_entry.id)).all()
        decided = sa.select(schema.outcome).where(_outcome.ticket_id == row.id).order_by(_outcome.id.desc()).limit(MOST)
        outcomes = connection.execute(decided).all()
        text_id = outcomes[0].ticket_text_id if outcomes else connection.scalar(_last_text(row.id))
        current = connection.execute(_with_text(text_id)).one()
        standing = schema.standing().where(_review.ticket_id == row.id).with_only_columns(_review.id)
        standing = standing if sees_all else standing.where(asked_again(_review.ticket_text_id).is_(None))
        given = connection.execute(reviews().where(_review.id.in_(standing)).order_by(_review.id.desc()).limit(MOST)).all()
    lanes: dict[int, list[Lane]] = {}
    for one in waiting:
        lanes.setdefault(one.ticket_text_id, []).append(one.lane)
    at = now()
    return TicketHistory(
        ticket=ticket_of(current),
        text_id=text_id,
        source=row.source,
        received_at=moment(row.received_at),
        outcomes=tuple(_decided(one, ticket_id, lanes.get(one.ticket_text_id, ()), sees_all=sees_all) for one in outcomes),
        waiting=tuple(item_of(one, at) for one in waiting),
        answers=tuple(Answered(one.ticket_text_id, review_of(one)) for one in given),
    )


def _found(connection: sa.Connection, ticket_id: str, source: str | None) -> Any:
    chosen = sa.select(schema.ticket).where(_ticket.external_id == name(ticket_id))
    if source is not None:
        chosen = chosen.where(_ticket.source == name(source))
    found = connection.execute(chosen.order_by(_ticket.id).limit(9)).all()
    if not found:
        raise UnknownNameError(f"no ticket {short(ticket_id)!r} is known")
    if len(found) > 1:
        sources = ", ".join(repr(short(row.source)) for row in found[:8])
        raise InputError(f"several sources have a ticket {short(ticket_id)!r}", field="source", remedy=f"name one of {sources}")
    return found[0]


def _last_text(ticket: int) -> sa.Select[Any]:
    return sa.select(sa.func.max(_text.id)).where(_text.ticket_id == ticket)


def _with_text(text: int) -> sa.Select[Any]:
    joined = schema.ticket.join(schema.ticket_text, _text.ticket_id == _ticket.id)
    return sa.select(*OF_TICKET).select_from(joined).where(_text.id == text)


def _decided(row: Any, ticket_id: str, lanes: Iterable[Lane], *, sees_all: bool) -> Decided:
    """An outcome as it may be told while its text waits in these lanes.

    Of a probe, also one that was answered, what was told when it was decided: that a person decides. That another ticket was accepted is
    what became of it, and told even where it is in a planned sample to those who act on it. Who may be
    asked for a second opinion is told of neither.
    """
    outcome = outcome_of(row, ticket_id=ticket_id, text="")
    blind_lanes: list[Literal["probe", "sample", "second"]] = [lane for lane in lanes if lane != "pending"]
    if row.probe is not None or "probe" in blind_lanes:
        outcome = blind(outcome)
    elif blind_lanes and (isinstance(outcome, Pending) or ("second" in blind_lanes and not sees_all)):
        outcome = Pending(suggestion=None, reasons=(Reason(code=blind_lanes[0]),), ticket_id=ticket_id, recalled=True)
    return Decided(outcome=outcome, version=row.run_id, text_id=row.ticket_text_id, at=moment(row.created_at))
