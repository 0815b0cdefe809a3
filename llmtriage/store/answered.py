"""What people said of tickets, beside what one run decided about the same texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa

from llmtriage.store import schema
from llmtriage.store.reading import OF_TICKET, ticket_of
from llmtriage.store.records import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llmtriage.outcomes import Outcome
    from llmtriage.reviewing import Lane
    from llmtriage.store.database import Database
    from llmtriage.store.records import Kept
    from llmtriage.tickets import Ticket

Which = Literal["probe", "sample", "pending", "all"]
"""Whose answers: to tickets drawn from all that came, to a planned sample, to what waited because routing said so, or to any of them."""

WHICH: tuple[Which, ...] = get_args(Which)

_AT_ONCE = 1_000  # answers read at a time
_entry, _outcome, _review, _run = schema.queue_entry.c, schema.outcome.c, schema.review.c, schema.run.c
_BLIND = (_review.verdict != "retract", _review.suggestion_shown.is_(False), _review.lane.in_(("probe", "sample")))
_SAME_TEXT = sa.and_(_outcome.ticket_id == _review.ticket_id, _outcome.ticket_text_id == _review.ticket_text_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidingRun:
    """A run that decided tickets which people answered too.

    Attributes:
        id: Its fingerprint in short.
        backend: The engine's name.
        fingerprint: All of it.
        answers: How many of the tickets with an answer it decided.
    """

    id: str
    backend: str
    fingerprint: Mapping[str, str]
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A ticket that a person decided, and what a run said of it.

    Attributes:
        text_id: Which text of which ticket it is.
        ticket: The ticket, with its text as far as the store has it.
        kept: What is stored of its text.
        erased: Whether its personal data were erased, the text among them.
        category: What the person said: of a ticket that was drawn the first thing anybody said blind, else what stands.
        shown: Whether the person saw a suggestion.
        confirmed: Whether the person said what was suggested then; never of a ticket that was drawn.
        changed: Whether somebody said something else of the same text later.
        inclusion_p: With which probability the ticket was drawn; None where it was not.
        outcome: What routing said, also of a probe.
        usage: What the answer cost, as the store has it; empty where the engine was not asked.
    """

    text_id: int
    ticket: Ticket
    kept: Kept
    erased: bool
    category: str
    shown: bool
    confirmed: bool
    changed: bool
    inclusion_p: float | None
    outcome: Outcome
    usage: Mapping[str, Any]


def deciding_runs(database: Database, which: Which) -> list[DecidingRun]:
    """The runs that decided tickets with such an answer, the one with the latest outcome first. Raises StoreError."""
    joined = schema.review.join(schema.outcome, _SAME_TEXT).join(schema.run, _outcome.run_id == _run.id)
    grouped = (
        sa.select(_run.id, _run.backend, _run.fingerprint, sa.func.count(_review.id.distinct()).label("answers"))
        .select_from(joined)
        .where(_review.id.in_(_chosen(which)))
        .group_by(_run.id)
        .order_by(sa.func.max(_outcome.id).desc())
    )
    with database.reading() as connection:
        rows = connection.execute(grouped).all()
    return [DecidingRun(id=row.id, backend=row.backend, fingerprint=row.fingerprint, answers=row.answers) for row in rows]


def count_answers(database: Database) -> dict[Which, int]:
    """How many tickets have an answer, by whose answers are meant. Raises StoreError."""
    with database.reading() as connection:
        found = [connection.scalar(sa.select(sa.func.count()).select_from(_chosen(which).subquery())) for which in WHICH]
    return {which: n or 0 for which, n in zip(WHICH, found, strict=True)}


def answered(database: Database, which: Which, run: str) -> Iterator[Answered]:
    """The tickets with such an answer that this run decided, the oldest answer first, read in pages. Raises StoreError."""
    with database.reading() as connection:
        ids = sorted(connection.scalars(_chosen(which)))
    for start in range(0, len(ids), _AT_ONCE):
        with database.reading() as connection:
            rows = connection.execute(_rows(ids[start : start + _AT_ONCE], run)).all()
        yield from map(_answered, rows)


def count_waiting(database: Database, which: Which, run: str) -> int:
    """How many tickets that were drawn, and that this run decided, have no answer yet. Raises StoreError."""
    lanes: tuple[Lane, ...] = ("probe", "sample")
    wanted = [lane for lane in lanes if which in (lane, "all")]
    decided = sa.exists().where(_outcome.ticket_text_id == _entry.ticket_text_id, _outcome.ticket_id == _entry.ticket_id)
    said = sa.exists().where(_review.queue_entry_id == _entry.id, *_BLIND)
    chosen = sa.select(sa.func.count()).where(
        _entry.lane.in_(wanted), _entry.state == "open", decided.where(_outcome.run_id == run), ~said
    )
    with database.reading() as connection:
        return (connection.scalar(chosen) or 0) if wanted else 0


def review_times(database: Database) -> Sequence[int]:
    """How long people had tickets before them, in milliseconds: those that waited because routing said so, else those that were drawn.

    Raises:
        StoreError: The store cannot be read.
    """
    timed = sa.select(_review.active_ms).where(_review.active_ms.is_not(None), _review.verdict != "retract")
    with database.reading() as connection:
        return connection.scalars(timed.where(_review.lane == "pending")).all() or connection.scalars(timed).all()


def _chosen(which: Which) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """One answer for each text, by its number."""
    first = sa.select(sa.func.min(_review.id).label("id")).where(*_BLIND).group_by(_review.ticket_text_id)
    if which in ("probe", "sample"):
        return first.where(_review.lane == which)
    standing = schema.standing().subquery("standing")
    pending = sa.select(standing.c.id).where(standing.c.lane == "pending")
    if which == "pending":
        return pending
    return sa.union_all(first, pending.where(standing.c.ticket_text_id.not_in(sa.select(_review.ticket_text_id).where(*_BLIND))))


def _rows(ids: Sequence[int], run: str) -> sa.Select[Any]:
    """Answers with their tickets and with the last outcome of a run, those that have one."""
    said, later = schema.review, schema.review.alias("later")
    last = sa.select(sa.func.max(_outcome.id)).where(_SAME_TEXT, _outcome.run_id == run).correlate(said).scalar_subquery()
    changed = sa.exists().where(
        later.c.ticket_text_id == _review.ticket_text_id,
        later.c.id > _review.id,
        later.c.verdict != "retract",
        later.c.lane != "second",
        later.c.category != _review.category,
    )
    decided = schema.outcome.alias("decided")
    joined = (
        said.join(schema.ticket, _review.ticket_id == schema.ticket.c.id)
        .join(schema.ticket_text, _review.ticket_text_id == schema.ticket_text.c.id)
        .join(decided, decided.c.id == last)
    )
    of_person = [_review[name] for name in ("ticket_text_id", "suggestion_shown", "verdict", "inclusion_p")]
    of_run = [decided.c[name] for name in ("kind", "category", "team", "confidence", "score", "calibrated")]
    of_run += [decided.c[name] for name in ("reasons", "candidates", "usage")]
    own = (*OF_TICKET, schema.ticket.c.erased_at, schema.ticket_text.c.kept)
    chosen = sa.select(*of_person, _review.category.label("said"), changed.label("changed"), *of_run, *own).select_from(joined)
    return chosen.where(_review.id.in_(ids)).order_by(_review.id)


def _answered(row: Any) -> Answered:
    return Answered(
        text_id=row.ticket_text_id,
        ticket=ticket_of(row),
        kept=row.kept,
        erased=row.erased_at is not None,
        category=row.said,
        shown=row.suggestion_shown,
        confirmed=row.verdict == "confirm",
        changed=bool(row.changed),
        inclusion_p=row.inclusion_p,
        outcome=outcome_of(row, ticket_id=row.external_id, text=""),
        usage=row.usage,
    )
