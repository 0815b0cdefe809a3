"""Rows of the queue as what people may see: of a blind entry nothing that a model said. Pure but for the statements it makes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.outcomes import Candidate, Reason
from llmtriage.reviewing import Filters, Item, Label, Review
from llmtriage.store import schema
from llmtriage.store.records import storable
from llmtriage.tickets import Ticket

if TYPE_CHECKING:
    from datetime import timedelta

LEASE = 600_000_000  # microseconds: ten minutes
_entry, _skip, _outcome, _ticket, _text, _review = (
    schema.queue_entry.c,
    schema.skip.c,
    schema.outcome.c,
    schema.ticket.c,
    schema.ticket_text.c,
    schema.review.c,
)
OPEN = _entry.state == sa.literal_column("'open'")  # written out: else SQLite does not see that its index of open entries fits
OF_TICKET = (
    _ticket.external_id,
    _ticket.channel,
    _ticket.language.label("ticket_language"),
    _ticket.customer,
    _ticket.metadata.label("ticket_metadata"),
    _text.title,
    _text.content,
)
_SEEN = (
    *(_outcome[name].label(f"outcome_{name}") for name in ("reasons", "candidates", "category")),
    *(_outcome[name] for name in ("confidence", "score", "calibrated")),
)


def asked_again(text: sa.ColumnElement[int]) -> sa.ScalarSelect[str | None]:
    """The lane in which a text waits to be decided blind, if it does: whoever may do that must see neither an answer nor what was suggested."""
    again = schema.queue_entry.alias("again").c
    waits = sa.select(sa.func.max(again.lane)).where(again.ticket_text_id == text, again.lane != "pending", again.state == "open")
    return waits.scalar_subquery()


def waits_as_probe(text: sa.ColumnElement[int]) -> sa.Exists:
    """Whether a text waits for a blind review by chance: beside it, it waits nowhere else, and nobody is told what a run decided of it."""
    probe = schema.queue_entry.alias("probe").c
    return sa.exists().where(probe.ticket_text_id == text, probe.lane == "probe", probe.state == "open")


def free(at: int) -> sa.ColumnElement[bool]:
    """Whether nobody holds an entry. A lease that would last far longer than one lasts was given by a clock that was set back since."""
    return sa.or_(_entry.lease_until.is_(None), _entry.lease_until < at, _entry.lease_until > at + 2 * LEASE)


def is_free(row: Any, at: int) -> bool:
    """The same of a row that was read."""
    return row.lease_until is None or not at <= row.lease_until <= at + 2 * LEASE


def conditions(filters: Filters, at: int) -> list[sa.ColumnElement[bool]]:
    """What open entries must fulfil."""
    chosen: list[sa.ColumnElement[bool]] = [OPEN]
    if filters.reason is not None:
        chosen.append(_entry.reasons.contains(f" {filters.reason} ", autoescape=True))
    if filters.categories:
        chosen.append(_entry.category.in_(sorted(filters.categories)))
    exact = {name: getattr(filters, name) for name in ("language", "lane", "sample")}
    chosen += [_entry[name] == storable(value) for name, value in exact.items() if value is not None]
    if filters.older_than is not None:
        chosen.append(_entry.enqueued_at < at - _microseconds(filters.older_than))
    if filters.newer_than is not None:
        chosen.append(_entry.enqueued_at > at - _microseconds(filters.newer_than))
    if filters.held_by is not None:
        chosen.append(sa.and_(_entry.lease_owner == filters.held_by, ~free(at)))
    if filters.open_to is not None:
        skipped = sa.select(_skip.queue_entry_id).where(_skip.queue_entry_id == _entry.id, _skip.reviewer == filters.open_to)
        chosen.append(~skipped.exists())
    return chosen


def items() -> sa.Select[Any]:
    """Entries with all that an `Item` is made of."""
    joined = (
        schema.queue_entry.join(schema.ticket, _entry.ticket_id == _ticket.id)
        .join(schema.ticket_text, _entry.ticket_text_id == _text.id)
        .outerjoin(schema.outcome, _entry.outcome_id == _outcome.id)
    )
    again = sa.case((_entry.state == "done", asked_again(_entry.ticket_text_id))).label("again")
    return sa.select(schema.queue_entry, again, *OF_TICKET, *_SEEN).select_from(joined)


def item_of(row: Any, at: int, *, sees_all: bool = False) -> Item:
    """An `Item` out of a row of `items`; for who `sees_all` also what nobody may see who could be asked to decide on it blind."""
    held = not is_free(row, at)
    common: dict[str, Any] = {
        "entry": row.id,
        "ticket": ticket_of(row),
        "text_id": row.ticket_text_id,
        "lane": row.lane,
        "sample": row.sample,
        "state": row.state,
        "round": row.round,
        "enqueued_at": moment(row.enqueued_at),
        "token": row.lease_token,
        "held_by": row.lease_owner if held else None,
        "held_until": moment(row.lease_until) if held else None,
    }
    if row.blind or row.lane != "pending":
        return Item(**common, blind=True, reasons=(Reason(code="probe" if row.lane == "pending" else row.lane),))
    if row.state == "withdrawn":  # the same text may have been drawn since, and wait blind
        return Item(**common, blind=True)
    if row.again and not sees_all:
        return Item(**common, blind=True, reasons=(Reason(code=row.again),))
    if row.outcome_reasons is None:
        return Item(**common, blind=False)
    return Item(
        **common,
        blind=False,
        reasons=tuple(Reason(code=code, detail=detail) for code, detail in row.outcome_reasons),
        suggestion=row.outcome_category,
        candidates=tuple(Candidate(category=category, score=score) for category, score in row.outcome_candidates),
        confidence=row.confidence,
        score=row.score,
        calibrated=row.calibrated,
    )


def ticket_of(row: Any) -> Ticket:
    """The ticket of a row that holds its columns; the text is empty where the store keeps none."""
    return Ticket(
        content=row.content or "",
        title=row.title or "",
        id=row.external_id,
        channel=row.channel,
        language=row.ticket_language,
        customer=row.customer,
        metadata=row.ticket_metadata or {},
    )


def reviews() -> sa.Select[Any]:
    """Answers with the names of their tickets and whether they were taken back."""
    retraction = schema.review.alias("retraction")
    taken_back = sa.exists().where(retraction.c.retracts_id == _review.id)
    joined = schema.review.join(schema.ticket, _review.ticket_id == _ticket.id)
    return sa.select(schema.review, _ticket.external_id, taken_back.label("taken_back")).select_from(joined)


def review_of(row: Any) -> Review:
    """A `Review` out of a row of `reviews`."""
    return Review(
        id=row.id,
        entry=row.queue_entry_id,
        ticket_id=row.external_id,
        reviewer=row.reviewer,
        verdict=row.verdict,
        category=row.category,
        suggested=row.suggested,
        shown=row.suggestion_shown,
        lane=row.lane,
        round=row.round,
        note=row.note,
        active_ms=row.active_ms,
        taxonomy=row.taxonomy,
        at=moment(row.created_at),
        taken_back=bool(row.taken_back),
    )


def labels() -> sa.Select[Any]:
    """Answers that stand, with all that a `Label` is made of; without those whose text is not stored, or no longer: they can teach nothing."""
    standing = schema.standing().subquery("standing")
    earlier = schema.review.alias("earlier")
    first = (
        sa.select(earlier.c.category)
        .where(earlier.c.queue_entry_id == standing.c.queue_entry_id, earlier.c.verdict != "retract")
        .order_by(earlier.c.id)
        .limit(1)
        .scalar_subquery()
    )
    joined = (
        standing.join(schema.ticket, standing.c.ticket_id == _ticket.id)
        .join(schema.ticket_text, standing.c.ticket_text_id == _text.id)
        .outerjoin(schema.queue_entry, standing.c.queue_entry_id == _entry.id)
    )
    chosen = sa.select(standing, *OF_TICKET, _entry.sample, first.label("first")).select_from(joined)
    return chosen.where(_text.content.is_not(None)).order_by(standing.c.id)


def label_of(row: Any) -> Label:
    """A `Label` out of a row of `labels`."""
    return Label(
        ticket=ticket_of(row),
        text_id=row.ticket_text_id,
        category=row.category,
        lane=row.lane,
        sample=row.sample,
        inclusion_p=row.inclusion_p,
        shown=row.suggestion_shown,
        first=row.first or row.category,
        reviewer=row.reviewer,
        taxonomy=row.taxonomy,
        at=moment(row.created_at),
    )


def moment(microseconds: int) -> datetime:
    """A stored time."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _microseconds(span: timedelta) -> int:
    return round(span.total_seconds() * 1e6)
