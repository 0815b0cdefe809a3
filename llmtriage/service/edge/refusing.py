"""A request is refused before all of it was read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from llmtriage.service import problems

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from llmtriage.service.problems import Problem

_LISTEN = 2.0  # seconds


class Incoming:
    """What comes of a request, and whether that was all."""

    def __init__(self, receive: Receive) -> None:
        """Receive from there."""
        self._receive, self.is_over = receive, False

    async def __call__(self) -> Message:
        """The next message."""
        message = await self._receive()
        self.is_over = message["type"] != "http.request" or not message.get("more_body", False)
        return message


async def refuse(problem: Problem, scope: Scope, incoming: Incoming, send: Send) -> None:
    """Tell a problem and end the connection.

    Whoever sends everything before reading would not see an answer on a connection that was closed under its hands. So what still comes is
    read and thrown away for a moment.
    """
    problem.headers["Connection"] = "close"
    answer = problems.response(problem, scope.get("state", {}).get("id"))
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(_LISTEN):
            while not incoming.is_over:
                await incoming()
    await send({"type": "http.response.body", "body": b""})
