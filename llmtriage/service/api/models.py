"""What goes over the wire, with an example of each."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from llmtriage.outcomes import Accepted, Outcome
from llmtriage.tickets import Ticket

_NO_NUL = r"^[^\x00]*$"
_Text = Annotated[str, Field(pattern=_NO_NUL)]
_Id = Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL)]
_Short = Annotated[str, Field(max_length=200, pattern=_NO_NUL)]
_Long = Annotated[str, Field(max_length=2000, pattern=_NO_NUL)]


TICKET: JsonValue = {"id": "T-1001", "title": "Parcel lost", "content": "My parcel never arrived.", "language": "en"}
OUTCOME: JsonValue = {
    "id": "T-1001",
    "outcome": "pending",
    "category": None,
    "suggestion": "shipping.lost",
    "team": None,
    "confidence": None,
    "score": 0.61,
    "calibrated": False,
    "reasons": [{"code": "uncalibrated", "text": "No calibration says what may be accepted"}],
    "candidates": [{"category": "shipping.lost", "score": 0.61}],
    "version": "8c1f0e2d7a6b5c43",
    "recalled": False,
    "processing_time": 0.004,
}


class Wire(BaseModel):
    """What callers send: an unknown field is an error, not a silent loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TicketIn(Wire):
    """A ticket as a caller sends it."""

    model_config = ConfigDict(json_schema_extra={"examples": [TICKET]})

    title: _Text = ""
    content: _Text
    id: Annotated[_Id | None, Field(description="What you call it. The same id again is the same ticket.")] = None
    channel: _Short | None = None
    language: _Short | None = None
    customer: Annotated[_Short | None, Field(description="Whose it is, so that it can be erased on request.")] = None
    metadata: Annotated[dict[_Short, _Long], Field(max_length=50)] = {}

    def to_ticket(self) -> Ticket:
        """As the library knows it."""
        return Ticket(**self.model_dump())


class ReasonOut(BaseModel):
    """Why a ticket waits."""

    code: str
    text: str


class CandidateOut(BaseModel):
    """A category with its probability, or an uncalibrated score."""

    category: str
    score: float | None


class OutcomeOut(BaseModel):
    """What was decided of a ticket."""

    model_config = ConfigDict(json_schema_extra={"examples": [OUTCOME]})

    id: str | None
    outcome: Literal["accepted", "pending"]
    category: Annotated[str | None, Field(description="Where it was routed; null while it waits.")]
    suggestion: Annotated[str | None, Field(description="What a model would say of a ticket that waits; null for a blind one.")]
    team: str | None
    confidence: Annotated[float | None, Field(description="Calibrated probability that it is right, in [0, 1].")]
    score: Annotated[float | None, Field(description="The engine's own number, in [0, 1].")]
    calibrated: bool
    reasons: list[ReasonOut]
    candidates: list[CandidateOut]
    version: Annotated[str, Field(description="What decided: taxonomy, prompt, model, calibration and all else, in short.")]
    recalled: Annotated[bool, Field(description="Whether it was decided earlier and no engine was asked.")]
    processing_time: Annotated[float, Field(description="Seconds.")]

    @classmethod
    def of(cls, outcome: Outcome, *, version: str, seconds: float, language: str) -> Self:
        """An outcome for a caller."""
        accepted = isinstance(outcome, Accepted)
        reasons = () if isinstance(outcome, Accepted) else outcome.reasons
        return cls(
            id=outcome.ticket_id,
            outcome="accepted" if accepted else "pending",
            category=outcome.category if isinstance(outcome, Accepted) else None,
            suggestion=None if isinstance(outcome, Accepted) else outcome.suggestion,
            team=outcome.team if isinstance(outcome, Accepted) else None,
            confidence=outcome.confidence,
            score=outcome.score,
            calibrated=outcome.calibrated,
            reasons=[ReasonOut(code=one.code, text=one.sentence(language)) for one in reasons],
            candidates=[CandidateOut(category=one.category, score=one.score) for one in outcome.candidates],
            version=version,
            recalled=outcome.recalled,
            processing_time=round(seconds, 6),
        )
