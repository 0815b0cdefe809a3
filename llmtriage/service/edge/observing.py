"""Each request has an id, one line in the log and a place in the figures; a fault of this program is told as one."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
import traceback
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders

from llmtriage.service import problems
from llmtriage.service.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from llmtriage.service.metrics import Metrics

_log = logging.getLogger("llmtriage.service")
_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_GONE = 499  # who asked did not wait for the answer


class Observing:
    """Sees every request first, and its answer last."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """Count in `metrics`."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own = _own_id(scope)
        scope.setdefault("state", {})["id"] = own
        start, status, fault = time.perf_counter(), _GONE, None

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = own
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told without what it says
            fault = _place(error)
            if status == _GONE:
                await problems.response(Problem(500, "a fault of this program"), own)(scope, receive, named)
        finally:
            self._note(scope, status, time.perf_counter() - start, fault)

    def _note(self, scope: Scope, status: int, seconds: float, fault: str | None) -> None:
        route = getattr(scope.get("route"), "path", None)
        self._metrics.answered(route or "", scope["method"], status, seconds)
        line: dict[str, Any] = {
            "id": scope["state"]["id"],
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 3),
            "caller": scope["state"].get("caller"),
        }
        _log.log(logging.ERROR if fault else logging.INFO, "%s", json.dumps(line | ({"fault": fault} if fault else {})))


def _own_id(scope: Scope) -> str:
    sent = Headers(scope=scope).get("x-request-id", "")
    return sent if _ID.fullmatch(sent) else secrets.token_hex(16)


def _place(error: Exception) -> str:
    """What kind of error it was and where, without its message: that may hold a ticket."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join([type(error).__name__, *(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))])
