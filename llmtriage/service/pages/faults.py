"""What goes wrong on a page is told on a page."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from llmtriage.errors import LlmtriageError, StoreError
from llmtriage.service.access.people import signed_in
from llmtriage.service.pages.rendering import page
from llmtriage.service.problems import Problem, problem_of, response

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import FastAPI, Request

    from llmtriage.service.access.people import Person


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route, with its errors caught."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except (Problem, LlmtriageError, RequestValidationError, HTTPException) as error:
                return await run_in_threadpool(_told, request, error)

        return told


def install(app: FastAPI) -> None:
    """Have a browser that asks for a path that is none told so on a page; other programs get a problem."""

    def tell(request: Request, error: HTTPException) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return _told(request, error)
        return response(problem_of(error), getattr(request.state, "id", None))

    app.add_exception_handler(HTTPException, tell)  # type: ignore[arg-type]


def _told(request: Request, error: Exception) -> Response:
    """To be called in a thread: who is signed in stands in the store."""
    problem = problem_of(error)
    if 300 <= problem.status < 400:
        return _sent(request, problem)
    says_more = problem.title != HTTPStatus(problem.status).phrase
    told = page(
        request,
        "error.html.j2",
        person=None if isinstance(error, StoreError) else _person(request),
        status=problem.status,
        title=problem.title if says_more else "",
        detail=problem.detail,
    )
    told.headers.update(problem.headers)
    return told


def _person(request: Request) -> Person | None:
    """Who is signed in, as far as that can be found out."""
    try:
        return signed_in(request)
    except (Problem, LlmtriageError):
        return None


def _sent(request: Request, problem: Problem) -> Response:
    """To another page; the script is told to go there as a whole."""
    where = problem.headers["Location"]
    if "HX-Request" in request.headers:
        return Response(status_code=204, headers={"HX-Redirect": where})
    return RedirectResponse(where, problem.status)
