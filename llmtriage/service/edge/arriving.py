"""A request's body: how long, how slow, and whether it is JSON."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from llmtriage.service.edge import json_body
from llmtriage.service.edge.refusing import Incoming, refuse
from llmtriage.service.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from llmtriage.service.settings import ServiceSettings

_BATCHES = ("/classify/batch",)
_SIGNED = "/hooks/"  # their sender's signature is over the bytes, and what they mean is looked at behind it
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Arriving:
    """Waits until a body is there, as long and as much of it as is allowed; the routes get it whole."""

    def __init__(self, app: ASGIApp, *, settings: ServiceSettings) -> None:
        """Take the limits from the settings."""
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming = Incoming(receive)
        try:
            body = await self._body(scope, incoming)
            _check(scope, body)
        except ClientDisconnect:
            return
        except Problem as problem:
            await refuse(problem, scope, incoming, send)
            return
        await self._app(scope, _given(body, receive), send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        most = self._settings.batch_bytes if scope["path"] in _BATCHES else self._settings.body_bytes
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and _number(declared) > most:
            raise _too_long(most)
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                return await _read(receive, most)
        except TimeoutError:
            problem = f"its body was not there after {self._settings.body_seconds:g} s"
            raise Problem(408, "the request came too slowly", problem) from None


async def _read(receive: Receive, most: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_long(most)
        if not message.get("more_body", False):
            return bytes(body)


def _number(digits: str) -> float:
    return float(digits) if len(digits) < 20 else float("inf")


def _too_long(most: int) -> Problem:
    return Problem(413, "the request is too long", f"at most {most} bytes are taken here")


def _check(scope: Scope, body: bytes) -> None:
    """Raises Problem."""
    if not body or scope["path"].startswith(_SIGNED):
        return
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        json_body.check(body)
    elif kind not in _FORMS:
        raise Problem(415, "the body is of a kind that is not taken", "send JSON, with Content-Type: application/json")


def _given(body: bytes, receive: Receive) -> Receive:
    """What the app receives: the body at once, then whatever comes."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return whole.pop() if whole else await receive()

    return given
