"""What the service counts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from llmtriage.service.access import Caller, may
from llmtriage.service.access.state import access_of
from llmtriage.service.serving import service_of

router = APIRouter(tags=["service"])

_EXAMPLE = '# TYPE llmtriage_queue_open gauge\nllmtriage_queue_open{lane="pending"} 12.0\n'


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"description": "In Prometheus' text format.", "content": {"text/plain": {"example": _EXAMPLE}}}},
)
def metrics(request: Request, _: Annotated[Caller, Depends(may("admin"))]) -> PlainTextResponse:
    """Requests, outcomes, tokens, money and what waits for a person."""
    service = service_of(request)
    page = service.metrics.page(
        service.store,
        service.versions.current.triage,
        backend_is_up=not service.trouble,
        store_is_silent=access_of(request).remembered.store_is_silent,
    )
    return PlainTextResponse(page, media_type=CONTENT_TYPE_LATEST)
