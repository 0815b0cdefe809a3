"""What goes wrong on a page is told on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from llmtriage.errors import LlmtriageError
from llmtriage.service.access.people import signed_in
from llmtriage.service.pages.rendering import page
from llmtriage.service.problems import Problem, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import Request


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route, with its errors caught."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except (Problem, LlmtriageError, RequestValidationError, HTTPException) as error:
                return _told(request, problem_of(error))

        return told


def _told(request: Request, problem: Problem) -> Response:
    if 300 <= problem.status < 400:
        return _sent(request, problem)
    response = page(
        request, "error.html.j2", person=signed_in(request), status=problem.status, title=problem.title, detail=problem.detail
    )
    response.headers.update(problem.headers)
    return response


def _sent(request: Request, problem: Problem) -> Response:
    """To another page; the script is told to go there as a whole."""
    where = problem.headers["Location"]
    if "HX-Request" in request.headers:
        return Response(status_code=204, headers={"HX-Redirect": where})
    return RedirectResponse(where, problem.status)
