"""How things stand, for other programs."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from llmtriage.probability.audit import State
from llmtriage.service.access import Caller, may
from llmtriage.service.serving import service_of
from llmtriage.store.agreement import ENOUGH, Opinions, disagreements
from llmtriage.store.audit_words import audit_words
from llmtriage.store.overview import Agreement, Audited, Overview, audit_data, overview

router = APIRouter(tags=["overview"])
_FIGURES = ConfigDict(from_attributes=True)


class DayOut(BaseModel):
    """What was decided on a day, UTC."""

    model_config = _FIGURES

    day: date
    accepted: int
    pending: int
    probes: Annotated[int, Field(description="Drawn for a blind review, whatever routing said.")]


class WaitingOut(BaseModel):
    """What waits for people."""

    model_config = _FIGURES

    entries: int
    lanes: dict[str, int]
    reasons: Annotated[dict[str, int], Field(description="A ticket may have several.")]
    oldest: Annotated[datetime | None, Field(description="Since when the first of them waits, UTC.")]


class AgreementOut(BaseModel):
    """How often people said what the model said."""

    model_config = _FIGURES

    same: int
    other: int
    share: Annotated[float | None, Field(description="In [0, 1]; null where there is no answer.")]


class AgreementsOut(BaseModel):
    """The same by what people saw, in the last 30 days."""

    shown: Annotated[AgreementOut, Field(description="They saw the suggestion.")]
    unshown: Annotated[AgreementOut, Field(description="There was a suggestion that they did not see.")]
    blind: Annotated[AgreementOut, Field(description="Tickets drawn by chance: the only one that speaks of all tickets.")]


class DisputedOut(BaseModel):
    """Two categories between which people differ."""

    model_config = _FIGURES

    one: str
    other: str
    pairs: int


class OpinionsOut(BaseModel):
    """Pairs of answers of two people to the same ticket, the second given blind, in the last 30 days."""

    pairs: int
    same: Annotated[int, Field(description="In how many both say the same.")]
    share: Annotated[float | None, Field(description=f"In [0, 1]; null below {ENOUGH} pairs.")]
    low: Annotated[float | None, Field(description="Lower end of its exact 95 % interval (Clopper and Pearson).")]
    high: Annotated[float | None, Field(description="Upper end.")]
    kappa: Annotated[
        float | None,
        Field(description=f"Cohen's kappa, in [-1, 1]; null below {ENOUGH} pairs, and where all answers name one category."),
    ]
    disputed: Annotated[list[DisputedOut], Field(description="The categories between which people differ most often.")]

    @classmethod
    def of(cls, found: Opinions) -> Self:
        """For a caller."""
        low, high = found.interval or (None, None)
        disputed = [DisputedOut.model_validate(one) for one in found.disputed]
        pairs, same = found.people.n, found.people.agree
        return cls(pairs=pairs, same=same, share=found.share, low=low, high=high, kappa=found.kappa, disputed=disputed)


class DisagreementOut(BaseModel):
    """Two answers to one ticket that differ. Whose they are is not told: it is the ticket that is to be decided."""

    model_config = _FIGURES

    entry: Annotated[int, Field(description="Of the first answer.")]
    ticket_id: str | None
    first: Annotated[str, Field(description="What stands.")]
    second: str
    shown: Annotated[bool, Field(description="Whether the first person saw a suggestion.")]
    at: Annotated[datetime, Field(description="When the second answer was given, UTC.")]


class DisagreementsOut(BaseModel):
    """Some of them, the latest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "entry": 17,
                            "ticket_id": "T-1001",
                            "first": "shipping.lost",
                            "second": "shipping.late",
                            "shown": True,
                            "at": "2026-01-31T09:02:00Z",
                        }
                    ],
                    "next": None,
                }
            ]
        }
    )

    items: list[DisagreementOut]
    next: Annotated[int | None, Field(description="Goes into `before` for the next page; null where there is none.")]


class CategoryOut(BaseModel):
    """What came of a category in the last 30 days."""

    model_config = _FIGURES

    category: str
    accepted: int
    confirmed: Annotated[int, Field(description="Answers that name it where it was suggested.")]
    corrected: Annotated[int, Field(description="Answers that name another one where it was suggested.")]


class AuditOut(BaseModel):
    """A promise in the light of the probes drawn under it that routing would have accepted."""

    categories: list[str]
    state: Annotated[
        State,
        Field(
            description="broken: the promise does not hold. early: too few probes. open: no alarm, and the upper bound is larger than promised. "
            "holds: it is not."
        ),
    ]
    words: str
    alpha: Annotated[float, Field(description="The largest share of wrong tickets among those accepted, as promised.")]
    false_alarm: Annotated[float, Field(description="The probability that an alarm is ever given though the promise holds.")]
    probes: Annotated[int, Field(description="Answered ones, up to the oldest that waits.")]
    wrong: int
    needed: Annotated[int, Field(description="Probes from which on something can be said, if none is wrong.")]
    limit: Annotated[float, Field(description="Upper bound of the share of wrong tickets, to be read at any time.")]
    since: Annotated[
        datetime | None,
        Field(description="Since when its calibration decides here, UTC: all that counts came after. Null: not yet."),
    ]

    @classmethod
    def of(cls, one: Audited, language: str) -> Self:
        """An audit for a caller."""
        return cls(categories=list(one.promise.categories), words=audit_words(one, language, to_come=False), **_figures(one))


def _figures(one: Audited) -> dict[str, Any]:
    """Without how many probes still wait that would have been accepted: whoever answers them must not know."""
    return {name: value for name, value in audit_data(one).items() if name not in ("waiting", "behind")}


class OverviewOut(BaseModel):
    """How things stand."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "at": "2026-01-31T09:30:00Z",
                    "days": [{"day": "2026-01-31", "accepted": 640, "pending": 210, "probes": 17}],
                    "waiting": {
                        "entries": 31,
                        "lanes": {"pending": 25, "probe": 6},
                        "reasons": {"below_threshold": 25, "probe": 6},
                        "oldest": "2026-01-31T07:12:44Z",
                    },
                    "agreement": {
                        "shown": {"same": 310, "other": 52, "share": 0.856},
                        "unshown": {"same": 120, "other": 31, "share": 0.795},
                        "blind": {"same": 190, "other": 22, "share": 0.896},
                    },
                    "opinions": {
                        "pairs": 40,
                        "same": 34,
                        "share": 0.85,
                        "low": 0.702,
                        "high": 0.943,
                        "kappa": 0.81,
                        "disputed": [{"one": "shipping.late", "other": "shipping.lost", "pairs": 4}],
                    },
                    "categories": [{"category": "shipping.lost", "accepted": 412, "confirmed": 40, "corrected": 9}],
                    "promises": [
                        {
                            "categories": ["shipping.lost"],
                            "state": "early",
                            "words": "not enough probes yet: 41 accepted ones are answered, 1 of them wrong; 90 are needed",
                            "alpha": 0.05,
                            "false_alarm": 0.05,
                            "probes": 41,
                            "wrong": 1,
                            "needed": 90,
                            "limit": 0.148,
                            "since": "2026-01-12T08:00:00Z",
                        }
                    ],
                }
            ]
        }
    )

    at: Annotated[datetime, Field(description="When this was read, UTC.")]
    days: Annotated[list[DayOut], Field(description="The last 30 days, the oldest first; the last one is today.")]
    waiting: WaitingOut
    agreement: AgreementsOut
    opinions: OpinionsOut
    categories: list[CategoryOut]
    promises: Annotated[list[AuditOut] | None, Field(description="Null without a calibration.")]

    @classmethod
    def of(cls, found: Overview, language: str) -> Self:
        """An overview for a caller."""
        return cls(
            at=found.at,
            days=[DayOut.model_validate(one) for one in found.days],
            waiting=WaitingOut.model_validate(found.waiting),
            agreement=AgreementsOut(shown=_told(found.shown), unshown=_told(found.unshown), blind=_told(found.blind)),
            opinions=OpinionsOut.of(found.opinions),
            categories=[CategoryOut.model_validate(one) for one in found.categories],
            promises=None if found.promises is None else [AuditOut.of(one, language) for one in found.promises],
        )


@router.get("/overview.json")
def overview_data(request: Request, _: Annotated[Caller, Depends(may("review"))]) -> OverviewOut:
    """Volume, what waits, how far people and model agree, and whether the promise still holds."""
    service = service_of(request)
    found = overview(service.store, service.taxonomy, service.versions.current.triage.calibration)
    return OverviewOut.of(found, service.settings.language)


@router.get("/disagreements")
def disagreements_data(
    request: Request,
    _: Annotated[Caller, Depends(may("admin"))],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
) -> DisagreementsOut:
    """Tickets that two people answered differently, the latest second opinion first."""
    service = service_of(request)
    found = disagreements(service.store.database, service.taxonomy, limit=limit + 1, before=before)
    items = [DisagreementOut.model_validate(one) for one in found[:limit]]
    return DisagreementsOut(items=items, next=found[limit - 1].number if len(found) > limit else None)


def _told(agreement: Agreement) -> AgreementOut:
    return AgreementOut.model_validate(agreement)
