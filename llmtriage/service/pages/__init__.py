"""Pages where people clear the queue: made on the server, and working without script."""

from __future__ import annotations

from fastapi import APIRouter

from llmtriage.service.pages import api, files, overview, review, signing
from llmtriage.service.pages.faults import install

__all__ = ["install", "router"]

router = APIRouter()
for _part in (files, signing, review, overview, api):
    router.include_router(_part.router)
