"""Whether it lives, whether it can work, and what the categories are."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from llmtriage.errors import StoreError
from llmtriage.service.access import Caller, may
from llmtriage.service.serving import Service, service_of
from llmtriage.taxonomy import Category

router = APIRouter(tags=["service"])


@router.get("/health")
def health() -> dict[str, str]:
    """Whether the process lives."""
    return {"status": "alive"}


@router.get("/ready", responses={503: {"description": "Something cannot be used; the body says what."}})
async def ready(request: Request) -> JSONResponse:
    """Whether store, backend and calibration can be used, each by itself."""
    service = service_of(request)
    version = service.versions.current
    calibration = version.triage.calibration
    parts = {
        "store": await asyncio.to_thread(_store, service),
        "backend": service.trouble or "ok",
        "calibration": "none" if calibration is None else "ok",
    }
    is_ready = all(said in ("ok", "none") for said in parts.values())
    body = {"ready": is_ready, "version": version.id, **parts}
    return JSONResponse(body, 200 if is_ready else 503)


def _store(service: Service) -> str:
    try:
        service.store.check()
    except StoreError as error:
        return error.problem
    return "ok"


@router.get("/categories")
def categories(request: Request, _: Annotated[Caller, Depends(may("classify"))]) -> dict[str, Any]:
    """The tree of categories, as it is now."""
    taxonomy = service_of(request).taxonomy
    return {"hash": taxonomy.hash, "categories": [_node(one) for one in taxonomy.categories]}


def _node(category: Category) -> dict[str, Any]:
    said = category.model_dump(mode="json", exclude={"children", "examples"}, exclude_defaults=True)
    return {**said, "children": [_node(child) for child in category.children]}
