"""How many requests are worked on at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtriage.service.edge.refusing import Incoming, refuse
from llmtriage.service.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_ALWAYS = ("/health", "/metrics")  # who watches a busy service must see that it is busy


class InFlight:
    """Refuses a request where too many are worked on, rather than have all of them wait too long."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        """Let `most` requests through at a time."""
        self._app, self._most, self._now = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._now >= self._most:
            problem = Problem(503, "too many requests at a time", "come again in a moment", headers={"Retry-After": "1"})
            await refuse(problem, scope, Incoming(receive), send)
            return
        self._now += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._now -= 1
