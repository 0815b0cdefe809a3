"""What went wrong, as `application/problem+json` (RFC 9457): no trace, and nothing of the ticket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from llmtriage.errors import (
    BackendError,
    CalibrationError,
    InputError,
    LlmtriageError,
    OutdatedError,
    StoreError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_STATUS: Mapping[type[LlmtriageError], int] = {
    OutdatedError: 409,
    UnknownNameError: 404,
    InputError: 422,
    CalibrationError: 409,
    StoreError: 503,
    BackendError: 503,
}

_LATER = "5"  # seconds
_OWN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A request that is not answered as asked.

    Args:
        status: The HTTP status.
        title: What kind of problem it is, the same each time.
        detail: What it is here; nothing of the ticket.
        headers: Of the response.
        errors: Which parts of the request are wrong.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail
        self.headers, self.errors = dict(headers or {}), list(errors)


def response(problem: Problem, request_id: str | None = None) -> JSONResponse:
    """The response that tells a problem."""
    body: dict[str, Any] = {"type": "about:blank", "title": problem.title, "status": problem.status}
    if problem.detail:
        body["detail"] = problem.detail
    if request_id:
        body["instance"] = f"urn:request:{request_id}"
    if problem.errors:
        body["errors"] = problem.errors
    return JSONResponse(body, problem.status, problem.headers, media_type="application/problem+json")


def place(parts: Iterable[str | int]) -> str:
    """Where in a request something is wrong. A name that callers make up may be anything, so only one that looks like a name is told."""
    return "/".join(str(part) if isinstance(part, int) or _OWN_NAME.fullmatch(part) else "…" for part in parts)


def install(app: FastAPI) -> None:
    """Have every error of the app told as a problem."""

    async def tell(request: Request, error: Exception) -> JSONResponse:
        return response(problem_of(error), getattr(request.state, "id", None))

    for kind in (Problem, HTTPException, RequestValidationError, LlmtriageError, Exception):
        app.add_exception_handler(kind, tell)


def problem_of(error: Exception) -> Problem:
    """An error as a problem: no trace, and nothing of the ticket."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        parts = [{"place": place(one["loc"]), "problem": one["msg"]} for one in error.errors()[:20]]
        return Problem(422, "the request is not what is wanted", errors=parts)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, str(error.detail), headers=error.headers)
    if isinstance(error, LlmtriageError):
        status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        headers = {"Retry-After": _LATER} if status == 503 else {}
        detail = ": ".join(filter(None, (_file(error) if status != 503 else None, getattr(error, "remedy", None))))
        return Problem(status, getattr(error, "problem", str(error)), detail, headers=headers)
    return Problem(500, "a fault of this program")


def _file(error: LlmtriageError) -> str | None:
    """The file an error is about, by its name alone: where it lies is nobody's business."""
    file, line = getattr(error, "file", None), getattr(error, "line", None)
    return file and f"{Path(file).name}{f':{line}' if line else ''}"
