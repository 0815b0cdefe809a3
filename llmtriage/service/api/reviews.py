"""Answers that were given elsewhere: what the helpdesk itself says of its tickets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from llmtriage.errors import InputError, OutdatedError, UnknownNameError
from llmtriage.service.access import Caller
from llmtriage.service.api.models import Wire
from llmtriage.service.api.reviewers import ReviewerIn, answering
from llmtriage.service.edge.idempotency import once
from llmtriage.service.edge.json_body import JsonRoute
from llmtriage.service.problems import place
from llmtriage.service.serving import service_of
from llmtriage.store.outside_answers import Became, Told, keep

router = APIRouter(prefix="/reviews", tags=["reviews"], route_class=JsonRoute)
MOST = 1_000
_Short = Annotated[str, Field(min_length=1, max_length=200)]
_EXAMPLE: dict[str, JsonValue] = {"id": "T-1001", "category": "shipping.lost", "reviewer": "王芳", "at": "2026-01-05T09:02:00Z"}


class LabelIn(Wire):
    """What a person in the helpdesk says of a ticket."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: _Short
    category: Annotated[_Short, Field(description="A leaf.")]
    reviewer: ReviewerIn = None
    at: Annotated[
        AwareDatetime, Field(description="When it was said, with its zone. The same label at the same time is kept once.")
    ]
    note: Annotated[str | None, Field(max_length=10_000)] = None


class LabelsIn(Wire):
    """Labels; each is checked by itself, so that a bad one fails alone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_EXAMPLE], "source": None}]})

    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST, description="Each as LabelIn.")]
    source: Annotated[
        str | None, Field(max_length=200, description="Where the tickets come from; null: where those of this service do.")
    ] = None


class LabelOut(BaseModel):
    """What became of one label."""

    index: int
    status: Annotated[
        int, Field(description="200; 404: the ticket is not known; 409: a later answer stands; 422: it cannot be used.")
    ]
    became: Annotated[
        Literal["kept", "known"] | None, Field(description='"known": it was there already; null: it was refused.')
    ] = None
    errors: list[dict[str, str]] | None = None


class LabelsOut(BaseModel):
    """What became of each label, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"index": 0, "status": 200, "became": "kept", "errors": None},
                        {
                            "index": 1,
                            "status": 404,
                            "became": None,
                            "errors": [{"place": "items/1/id", "problem": "no ticket 'T9' is known"}],
                        },
                    ]
                }
            ]
        }
    )

    items: list[LabelOut]


@router.post("")
def reviews(request: Request, sent: LabelsIn, caller: Annotated[Caller, Depends(once("review"))]) -> LabelsOut:
    """Keep up to 1,000 labels that people gave in the helpdesk, as answers to the current texts of their tickets.

    A ticket that waits because routing said so waits no longer then. They are examples, never evidence for a promise. The same label again
    changes nothing. A ticket that was drawn to be decided blind goes on waiting.
    """
    service = service_of(request)
    found = [_checked(index, item, caller) for index, item in enumerate(sent.items)]
    told = [one for one in found if isinstance(one, Told)]
    became = iter(keep(service.store, told, service.taxonomy, source=sent.source))
    items = [_told(index, next(became)) if isinstance(one, Told) else one for index, one in enumerate(found)]
    return LabelsOut(items=items)


def _checked(index: int, item: dict[str, Any], caller: Caller) -> Told | LabelOut:
    try:
        label = LabelIn.model_validate(item)
        reviewer = answering(caller, label.reviewer)
    except ValidationError as error:
        parts = [{"place": place(("items", index, *one["loc"])), "problem": one["msg"]} for one in error.errors()[:5]]
        return LabelOut(index=index, status=422, errors=parts)
    except InputError as error:
        return _refused(index, error, 422)
    return Told(ticket_id=label.id, category=label.category, reviewer=reviewer, at=label.at, note=label.note)


def _told(index: int, became: Became) -> LabelOut:
    if not isinstance(became, InputError):
        return LabelOut(index=index, status=200, became=became)
    status = 404 if isinstance(became, UnknownNameError) else 409 if isinstance(became, OutdatedError) else 422
    return _refused(index, became, status)


def _refused(index: int, error: InputError, status: int) -> LabelOut:
    place = f"items/{index}/{error.field or 'id'}"
    return LabelOut(index=index, status=status, errors=[{"place": place, "problem": error.problem}])
