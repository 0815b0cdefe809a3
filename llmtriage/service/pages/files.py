"""What the pages load besides: style sheets and scripts, from this service alone."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from llmtriage.service.problems import Problem

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    "api.css": "text/css",
    "api.js": "text/javascript",
    "app.css": "text/css",
    "overview.css": "text/css",
    "keys.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "NOTICE": "text/plain",
}


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """One of the files. Raises Problem (404)."""
    if name not in _TYPES:
        raise Problem(404, "there is no such file")
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(_FOLDER / name, media_type=_TYPES[name], headers=headers)
