"""Tickets in, outcomes out."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from llmtriage.service.access import Caller
from llmtriage.service.api.models import OUTCOME, TICKET, OutcomeOut, TicketIn, Wire
from llmtriage.service.edge.idempotency import once
from llmtriage.service.edge.json_body import JsonRoute
from llmtriage.service.problems import place
from llmtriage.service.serving import service_of

router = APIRouter(prefix="/classify", tags=["classify"], route_class=JsonRoute)
MOST = 1_000


_OTHERS = {"description": "Anything else is told with what is wrong with it."}
_Item = Annotated[Any, WithJsonSchema({"anyOf": [{"$ref": "#/components/schemas/TicketIn"}, _OTHERS]})]


class Batch(Wire):
    """Tickets; each is checked by itself, so that a bad one fails alone."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [TICKET, {"content": "我的订单已经退货两周了，钱还没有退回来"}]}]}
    )

    items: Annotated[list[_Item], Field(min_length=1, max_length=MOST)]


class ItemOut(BaseModel):
    """What became of one item: its outcome, or what is wrong with it."""

    index: int
    outcome: OutcomeOut | None = None
    errors: list[dict[str, str]] | None = None


class BatchOut(BaseModel):
    """What became of each item, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"index": 0, "outcome": OUTCOME, "errors": None},
                        {"index": 1, "outcome": None, "errors": [{"place": "items/1/content", "problem": "Field required"}]},
                    ],
                    "processing_time": 0.006,
                }
            ]
        }
    )

    items: list[ItemOut]
    processing_time: float


@router.post("/single", summary="Decide on one ticket")
async def single(request: Request, ticket: TicketIn, _: Annotated[Caller, Depends(once("classify"))]) -> OutcomeOut:
    """Decide on one ticket."""
    service = service_of(request)
    start = time.perf_counter()
    version, outcome = await service.decide_one(ticket.to_ticket())
    seconds = time.perf_counter() - start
    return OutcomeOut.of(outcome, version=version.id, seconds=seconds, language=service.settings.language)


@router.post("/batch", summary="Decide on up to 1,000 tickets")
async def batch(request: Request, sent: Batch, _: Annotated[Caller, Depends(once("classify"))]) -> BatchOut:
    """Decide on up to 1,000 tickets. An item that cannot be used is told with its errors; the others are decided."""
    service = service_of(request)
    start = time.perf_counter()
    found = await asyncio.to_thread(_all_checked, sent.items)
    tickets = [one.to_ticket() for one in found if isinstance(one, TicketIn)]
    version, outcomes = await service.decide(tickets)
    seconds = time.perf_counter() - start
    each = seconds / max(len(tickets), 1)
    told = iter(OutcomeOut.of(one, version=version.id, seconds=each, language=service.settings.language) for one in outcomes)
    items = [
        ItemOut(index=index, outcome=next(told)) if isinstance(one, TicketIn) else ItemOut(index=index, errors=one)
        for index, one in enumerate(found)
    ]
    return BatchOut(items=items, processing_time=round(seconds, 6))


_Checked = TicketIn | list[dict[str, str]]


def _all_checked(items: list[Any]) -> list[_Checked]:
    """Long ones take a while."""
    return _without_repeated([_checked(index, item) for index, item in enumerate(items)])


def _checked(index: int, item: Any) -> _Checked:
    try:
        return TicketIn.model_validate(item)
    except ValidationError as error:
        return [{"place": place(("items", index, *one["loc"])), "problem": one["msg"]} for one in error.errors()[:5]]


def _without_repeated(found: list[_Checked]) -> list[_Checked]:
    """Of items with one id the first is decided: which of them is the ticket nobody can say."""
    seen: set[str] = set()
    kept: list[_Checked] = []
    for index, one in enumerate(found):
        if isinstance(one, TicketIn) and one.id is not None:
            if one.id in seen:
                kept.append([{"place": f"items/{index}/id", "problem": "an item before has this id"}])
                continue
            seen.add(one.id)
        kept.append(one)
    return kept
