"""Decisions to put into a store, and what is found in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from llmtriage import Accepted, Pending, Ticket
from llmtriage.outcomes import Candidate, Outcome, Reason, ReasonCode
from llmtriage.remembering import Decision, Known, Run
from llmtriage.store import SqlStore, schema

RUN = Run("run-1", "toy", {"backend": "toy", "policy": "p1"})
OTHER_RUN = Run("run-2", "toy", {"backend": "toy", "policy": "p2"})


def ticket(content: str = "我要退款", ticket_id: str | None = "T1", **more: Any) -> Ticket:
    """A ticket with an id."""
    return Ticket(content=content, id=ticket_id, **more)


def accepted(category: str = "refund", score: float = 0.9) -> Accepted:
    """An outcome that goes to its team."""
    candidates = (Candidate(category=category, score=score), Candidate(category="parcel", score=1 - score))
    return Accepted(category=category, team="sales", confidence=None, score=score, candidates=candidates)


def pending(suggestion: str | None = "refund", *codes: ReasonCode, score: float | None = 0.4) -> Pending:
    """An outcome that waits for a person."""
    reasons = tuple(Reason(code=code) for code in codes or ("below_threshold",))
    return Pending(suggestion=suggestion, reasons=reasons, score=score)


def decision(of: Ticket, outcome: Outcome, *, run: Run = RUN, probe: float | None = None) -> Decision:
    """What a run decided about a ticket."""
    return Decision(ticket=of, outcome=outcome, run=run, run_key=run.id, probe=probe)


def record(store: SqlStore, *decisions: Decision) -> None:
    """Keep decisions, and wait until they are kept."""
    store.record(decisions).result(timeout=60)


def recall(store: SqlStore, *tickets: Ticket, run: Run = RUN) -> list[Known | None]:
    """What a store knows of tickets in a run."""
    return list(store.recall([(one, run.id) for one in tickets]).known)


def rows(store: SqlStore, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> Sequence[Any]:
    """The rows of a table, the oldest first."""
    order = [column for column in (table.c.get("id"),) if column is not None]
    with store.database.reading() as connection:
        return connection.execute(sa.select(table).where(*conditions).order_by(*order)).all()


def entries(store: SqlStore, state: str = "open") -> Sequence[Any]:
    """The entries of the queue in a state."""
    return rows(store, schema.queue_entry, schema.queue_entry.c.state == state)


def answer(store: SqlStore, entry: Any, category: str = "parcel", *, note: str | None = None) -> None:
    """A person answers an entry of the queue: the rows that this leaves."""
    row = {
        "queue_entry_id": entry.id,
        "ticket_id": entry.ticket_id,
        "ticket_text_id": entry.ticket_text_id,
        "reviewer": "王芳",
        "verdict": "correct",
        "category": category,
        "suggested": entry.category,
        "suggestion_shown": not entry.blind,
        "lane": entry.lane,
        "inclusion_p": entry.inclusion_p,
        "round": entry.round,
        "note": note,
        "taxonomy": "t1",
        "created_at": 1,
    }
    table = schema.queue_entry
    with store.database.writing() as connection:
        connection.execute(schema.review.insert(), row)
        connection.execute(table.update().where(table.c.id == entry.id).values(state="done"))
