"""What is known of one ticket."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from llmtriage.reviewing import Item, Lane, Review
from llmtriage.service.access import Caller, may
from llmtriage.service.api.models import OutcomeOut
from llmtriage.service.language import Language, language_of
from llmtriage.service.problems import Problem
from llmtriage.service.serving import service_of
from llmtriage.store.ticket_history import Decided, TicketHistory, history

router = APIRouter(prefix="/tickets", tags=["tickets"])


class DecidedOut(BaseModel):
    """An outcome of a ticket, as it was and is told."""

    at: datetime
    text: Annotated[int, Field(description="Which of the ticket's texts it is about: equal numbers, equal texts.")]
    outcome: OutcomeOut

    @classmethod
    def of(cls, decided: Decided, language: str) -> Self:
        """An outcome for a caller."""
        told = OutcomeOut.of(decided.outcome, version=decided.version, seconds=0, language=language)
        return cls(at=decided.at, text=decided.text_id, outcome=told)


class PlaceOut(BaseModel):
    """A place in the queue."""

    entry: int
    lane: Lane
    since: datetime
    held: Annotated[bool, Field(description="Whether somebody has it before them now.")]

    @classmethod
    def of(cls, item: Item) -> Self:
        """A place for a caller."""
        return cls(entry=item.entry, lane=item.lane, since=item.enqueued_at, held=item.held_by is not None)


class AnswerOut(BaseModel):
    """An answer that stands. Who gave it and what they wrote is told to those who may review."""

    category: str
    at: datetime
    lane: Lane
    outside: Annotated[bool, Field(description="Whether it came from elsewhere, as by POST /reviews.")]
    reviewer: str | None = None
    note: str | None = None

    @classmethod
    def of(cls, review: Review, *, named: bool, text: bool) -> Self:
        """An answer for a caller."""
        return cls(
            category=review.category or "",
            at=review.at,
            lane=review.lane,
            outside=review.entry is None,
            reviewer=review.reviewer if named else None,
            note=review.note if text else None,
        )


class TicketOut(BaseModel):
    """What is known of a ticket."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "T-1001",
                    "source": "zendesk",
                    "received_at": "2026-01-05T08:30:00Z",
                    "category": "shipping.lost",
                    "decided_by": "person",
                    "current": None,
                    "outcomes": [],
                    "waiting": [],
                    "answers": [{"category": "shipping.lost", "at": "2026-01-05T09:02:00Z", "lane": "pending", "outside": False}],
                    "title": None,
                    "content": None,
                }
            ]
        }
    )

    id: str
    source: str
    received_at: datetime
    category: Annotated[
        str | None, Field(description="Of the current text: what a person said, else where it was routed by itself.")
    ]
    decided_by: Annotated[str | None, Field(description='"person", "model" or, while it waits, null.')]
    current: Annotated[DecidedOut | None, Field(description="The latest outcome; null where no engine was asked.")]
    outcomes: Annotated[list[DecidedOut], Field(description="The latest hundred, the latest first.")]
    waiting: list[PlaceOut]
    answers: Annotated[
        list[AnswerOut], Field(description="Those that stand, one for each text at most; a second opinion stands for nothing.")
    ]
    title: Annotated[str | None, Field(description="With ?text=true.")] = None
    content: Annotated[str | None, Field(description="With ?text=true; empty where the store keeps no text.")] = None

    @classmethod
    def of(cls, ticket_id: str, known: TicketHistory, language: str, *, named: bool, text: bool) -> Self:
        """A ticket for a caller."""
        outcomes = [DecidedOut.of(one, language) for one in known.outcomes]
        current = outcomes[0] if outcomes else None
        said = next((one.category for one in known.answers if one.text_id == known.text_id), None)
        routed = current.outcome.category if current else None
        return cls(
            id=ticket_id,
            source=known.source,
            received_at=known.received_at,
            category=said or routed,
            decided_by="person" if said else "model" if routed else None,
            current=current,
            outcomes=outcomes,
            waiting=[PlaceOut.of(item) for item in known.waiting],
            answers=[AnswerOut.of(one.review, named=named, text=text) for one in known.answers],
            title=known.ticket.title if text else None,
            content=known.ticket.content if text else None,
        )


@router.get("/{ticket_id:path}", responses={404: {"description": "It is not known, or was erased."}})
def ticket(
    request: Request,
    *,
    ticket_id: Annotated[str, Path(min_length=1, max_length=200, description="What you call it.")],
    source: Annotated[
        str | None, Query(max_length=200, description="Where it comes from, where several sources have this id.")
    ] = None,
    text: Annotated[bool, Query(description="Also its text and the notes of people; for those who may review.")] = False,
    caller: Annotated[Caller, Depends(may("classify"))],
    language: Annotated[Language, Depends(language_of)],
) -> TicketOut:
    """What was decided of a ticket, its places in the queue, and the answers that stand. Of a probe nothing that a model said.

    While a second opinion waits, a caller who may review and has not the scope admin sees neither an answer to it nor where it went.
    """
    may_review = "review" in caller.scopes
    if text and not may_review:
        raise Problem(403, "a key of the scope review is needed for text", "leave ?text=true out, or use such a key")
    sees_all = not may_review or "admin" in caller.scopes
    known = history(service_of(request).store.database, ticket_id, source, sees_all=sees_all)
    return TicketOut.of(ticket_id, known, language, named=may_review, text=text)
