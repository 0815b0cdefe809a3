"""A request is refused before all of it was read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llmtriage.service import problems

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from llmtriage.service.problems import Problem

_LISTEN = 2.0  # seconds


async def refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
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
            while _is_more(await receive()):
                pass
    await send({"type": "http.response.body", "body": b""})


def _is_more(message: Message) -> Any:
    return message["type"] == "http.request" and message.get("more_body", False)
