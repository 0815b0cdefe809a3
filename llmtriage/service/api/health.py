"""Whether it lives, whether it can work, and what the categories are."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from llmtriage.service.access import Caller, known_caller, may
from llmtriage.service.readiness import Readiness
from llmtriage.service.serving import service_of
from llmtriage.taxonomy import Category

router = APIRouter(tags=["service"])

_LEAF = {"id": "shipping.lost", "name": {"en": "Lost parcel", "zh": "包裹丢失"}, "team": "logistics", "children": []}
_WELL = ("ok", "none")
_TREE = {"hash": "1f6c2f7d0c9b4a55", "categories": [{"id": "shipping", "name": {"en": "Shipping"}, "children": [_LEAF]}]}


def _example(reply: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": reply}}}}


class ReadyOut(BaseModel):
    """What can be used; of each part "ok", or what is wrong with it: without a key, "failing"."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ready": True,
                    "version": "8c1f0e2d7a6b5c43",
                    "store": "ok",
                    "writable": "ok",
                    "backend": "ok",
                    "calibration": "none",
                }
            ]
        }
    )

    ready: bool
    version: Annotated[str | None, Field(description="What decides now; null without a key.")]
    store: Annotated[str, Field(description="Whether it can be read.")]
    writable: Annotated[str, Field(description="Whether it can be written.")]
    backend: Annotated[str, Field(description="Whether the engine worked when it was last asked.")]
    calibration: Annotated[str, Field(description='"none": no promise, so that without a threshold every ticket waits.')]


@router.get("/health", summary="Whether the process lives", responses=_example({"status": "alive"}))
async def health() -> dict[str, str]:
    """Whether the process lives."""
    return {"status": "alive"}


@router.get(
    "/ready",
    summary="Whether it can work",
    response_model=ReadyOut,
    responses={503: {"model": ReadyOut, "description": "Something cannot be used; the body says what."}},
)
async def ready(request: Request, caller: Annotated[Caller | None, Depends(known_caller)]) -> JSONResponse:
    """Whether store, backend and calibration can be used, each by itself. What is wrong with it is told to those who show a key."""
    service = service_of(request)
    version = service.versions.current
    readiness: Readiness = request.app.state.readiness
    store, writable = await readiness.store()
    calibration = "none" if version.triage.calibration is None else "ok"
    parts = {"store": store, "writable": writable, "backend": service.trouble or "ok", "calibration": calibration}
    is_ready = all(said in _WELL for said in parts.values())
    if caller is None:
        parts = {part: said if said in _WELL else "failing" for part, said in parts.items()}
    told = ReadyOut(ready=is_ready, version=version.id if caller else None, **parts)
    return JSONResponse(told.model_dump(), 200 if is_ready else 503)


@router.get("/categories", summary="The tree of categories", responses=_example(_TREE))
def categories(request: Request, _: Annotated[Caller, Depends(may("classify"))]) -> dict[str, Any]:
    """The tree of categories, as it is now."""
    taxonomy = service_of(request).taxonomy
    return {"hash": taxonomy.hash, "categories": [_node(one) for one in taxonomy.categories]}


def _node(category: Category) -> dict[str, Any]:
    said = category.model_dump(mode="json", exclude={"children", "examples"}, exclude_defaults=True)
    return {**said, "children": [_node(child) for child in category.children]}
