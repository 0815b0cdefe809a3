"""What goes over the wire about the queue."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from llmtriage.outcomes import ReasonCode
from llmtriage.reviewing import Counts, Filters, Item, Lane, Order, Review, State, Verdict, below
from llmtriage.service.api.models import CandidateOut, ReasonOut, Wire
from llmtriage.service.api.reviewers import ReviewerIn
from llmtriage.taxonomy import Taxonomy

MOST = 10  # entries one person is lent at a time
Seconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Token = Annotated[
    int,
    Field(strict=True, ge=0, le=2**31 - 1, description="Of the entry as it was shown; another one means that it changed since."),
]
Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
_Note = Annotated[str | None, Field(max_length=10_000, description="Kept beside the answer, and erased with the ticket's text.")]

_ENTRY = {
    "entry": 17,
    "token": 1,
    "id": "T-1001",
    "title": "Parcel lost",
    "content": "My parcel never arrived.",
    "channel": "mail",
    "language": "en",
    "customer": None,
    "metadata": {},
    "lane": "pending",
    "sample": None,
    "blind": False,
    "state": "open",
    "round": 1,
    "reasons": [{"code": "below_threshold", "text": "The model is not sure enough."}],
    "suggestion": "shipping.lost",
    "candidates": [{"category": "shipping.lost", "score": 0.61}],
    "confidence": None,
    "score": 0.61,
    "calibrated": False,
    "since": "2026-01-05T08:30:00Z",
    "held_by": "crm/王芳",
    "held_until": "2026-01-05T09:10:00Z",
}
_REVIEW = {
    "review": 5,
    "entry": 17,
    "id": "T-1001",
    "reviewer": "crm/王芳",
    "verdict": "correct",
    "category": "shipping.lost",
    "lane": "pending",
    "round": 1,
    "at": "2026-01-05T09:02:00Z",
}


def _example(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class EntryOut(BaseModel):
    """An entry of the queue as a person may see it. Of a blind one nothing that a model, or another person, said."""

    model_config = _example(_ENTRY)

    entry: int
    token: Annotated[int, Field(description="Goes back with the answer.")]
    id: Annotated[str | None, Field(description="Of the ticket.")]
    title: str
    content: Annotated[str, Field(description="Empty where the store keeps no text.")]
    channel: str | None
    language: str | None
    customer: str | None
    metadata: dict[str, str]
    lane: Lane
    sample: str | None
    blind: Annotated[bool, Field(description="Whether the answer is to be the person's own.")]
    state: State
    round: int
    reasons: list[ReasonOut]
    suggestion: str | None
    candidates: list[CandidateOut]
    confidence: float | None
    score: float | None
    calibrated: bool
    since: datetime
    held_by: str | None
    held_until: datetime | None

    @classmethod
    def of(cls, item: Item, language: str) -> Self:
        """An entry for a caller."""
        same = ("entry", "token", "lane", "sample", "blind", "state", "round", "suggestion", "confidence", "score", "calibrated")
        ticket = item.ticket
        return cls(
            **{name: getattr(item, name) for name in (*same, "held_by", "held_until")},
            **{name: getattr(ticket, name) for name in ("id", "title", "content", "channel", "language", "customer")},
            metadata=dict(ticket.metadata),
            reasons=[ReasonOut(code=one.code, text=one.sentence(language)) for one in item.reasons],
            candidates=[CandidateOut(category=one.category, score=one.score) for one in item.candidates],
            since=item.enqueued_at,
        )


class CountsOut(BaseModel):
    """How many entries wait."""

    entries: int
    lanes: dict[Lane, int]
    reasons: Annotated[dict[ReasonCode, int], Field(description="An entry may have several.")]
    oldest: Annotated[datetime | None, Field(description="Since when the first of them waits.")]

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Counts for a caller."""
        return cls(entries=counts.entries, lanes=dict(counts.lanes), reasons=dict(counts.reasons), oldest=counts.oldest)


class PageOut(BaseModel):
    """Some entries that wait, whoever has them. Nothing is lent."""

    model_config = _example(
        {
            "items": [_ENTRY],
            "next": "WyJvbGRlc3QiLCAtMC4zOSwgMTdd",
            "counts": {
                "entries": 2,
                "lanes": {"pending": 2},
                "reasons": {"below_threshold": 2},
                "oldest": "2026-01-05T08:30:00Z",
            },
        }
    )

    items: list[EntryOut]
    next: Annotated[str | None, Field(description="Where the next page begins; null where there is none.")]
    counts: Annotated[CountsOut | None, Field(description="Of all that the filters let through; with the first page alone.")]


class ItemsOut(BaseModel):
    """Entries that were lent, for ten minutes."""

    model_config = _example({"items": [_ENTRY]})

    items: list[EntryOut]


class ReviewOut(BaseModel):
    """An answer that was kept. It says nothing of what a model said to a blind entry: the verdict on it is always "correct"."""

    model_config = _example(_REVIEW)

    review: int
    entry: int | None
    id: Annotated[str | None, Field(description="Of the ticket.")]
    reviewer: str
    verdict: Verdict
    category: str | None
    lane: Lane
    round: int
    at: datetime

    @classmethod
    def of(cls, review: Review) -> Self:
        """An answer for a caller."""
        same = ("entry", "reviewer", "verdict", "category", "lane", "round", "at")
        return cls(review=review.id, id=review.ticket_id, **{name: getattr(review, name) for name in same})


class UndoneOut(BaseModel):
    """An answer that was taken back, and where it waits again. The ticket itself is not told: a reply that is kept holds no text."""

    model_config = _example({"taken_back": _REVIEW, "entry": 17, "token": 2, "held_until": "2026-01-05T09:12:00Z"})

    taken_back: ReviewOut
    entry: Annotated[int, Field(description="It waits again; GET /queue/{entry} shows it.")]
    token: Annotated[int, Field(description="Goes back with the next answer.")]
    held_until: datetime | None


class FiltersIn(Wire):
    """Which entries; all that is given must hold."""

    reason: ReasonCode | None = None
    category: Annotated[
        Name | None, Field(description="Those with this suggestion, or one below it; a blind entry has none.")
    ] = None
    ticket_language: Annotated[Name | None, Field(description="Those in this language, as their tickets say.")] = None
    lane: Lane | None = None
    sample: Annotated[Name | None, Field(description="Those of this planned sample.")] = None
    older_than: Annotated[Seconds | None, Field(description="Those that wait longer, in seconds.")] = None
    newer_than: Annotated[Seconds | None, Field(description="Those that wait less long, in seconds.")] = None

    def to_filters(self, taxonomy: Taxonomy) -> Filters:
        """As the library knows them. Raises UnknownNameError."""
        return Filters(
            reason=self.reason,
            categories=frozenset() if self.category is None else below(self.category, taxonomy, field="category"),
            language=self.ticket_language,
            lane=self.lane,
            sample=self.sample,
            older_than=_span(self.older_than),
            newer_than=_span(self.newer_than),
        )


class ClaimIn(Wire):
    """What a person wants to be lent."""

    model_config = _example({"reviewer": "王芳", "n": 3, "filters": {"category": "shipping"}, "order": "oldest"})

    reviewer: ReviewerIn = None
    n: Annotated[int, Field(strict=True, ge=1, le=MOST)] = 1
    filters: FiltersIn = FiltersIn()
    order: Order = "oldest"


class HoldIn(Wire):
    """Who has an entry, and as what it was shown."""

    model_config = _example({"token": 1, "reviewer": "王芳"})

    token: Token
    reviewer: ReviewerIn = None


class ConfirmIn(HoldIn):
    """Says that the suggestion is right."""

    model_config = _example({"token": 1, "reviewer": "王芳", "active_ms": 5400})

    note: _Note = None
    active_ms: Annotated[
        int | None,
        Field(strict=True, ge=0, le=2**31 - 1, description="How long the person had the ticket before them, in milliseconds."),
    ] = None


class CorrectIn(ConfirmIn):
    """Says which category is right."""

    model_config = _example({"token": 1, "category": "shipping.lost", "reviewer": "王芳", "note": "催过两次"})

    category: Annotated[Name, Field(description="A leaf.")]
    shown: Annotated[bool, Field(description="Whether the person saw the suggestion. Of a blind entry nobody did.")] = True


class UndoIn(Wire):
    """Whose answer is taken back."""

    model_config = _example({"reviewer": "王芳"})

    reviewer: ReviewerIn = None
    entry: Annotated[Number | None, Field(strict=True, description="Null: the last answer.")] = None


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
