"""A request's body: whose it is, how long, how slow, and whether it is JSON."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from llmtriage.errors import LlmtriageError
from llmtriage.service.access.callers import identify
from llmtriage.service.edge import json_body
from llmtriage.service.edge.refusing import Incoming, refuse
from llmtriage.service.problems import Problem, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from llmtriage.service.settings import ServiceSettings

_BATCHES = ("/classify/batch",)
_SIGNED = "/hooks/"  # their sender's signature is over the bytes, and what they mean is looked at behind it
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_QUICK = 64 * 1024  # bytes; longer JSON is read beside the loop
_SOON = {"Retry-After": "1"}
_Kind = Literal["signed", "json", "form", "other"]


class Arriving:
    """Waits until a body is there, as long and as much of it as is allowed; the routes get it whole.

    Who may send much must be known first. What is known of a request by then is in its state: `known`, who sent it, and `json`, what was read.
    """

    def __init__(self, app: ASGIApp, *, settings: ServiceSettings) -> None:
        """Take the limits from the settings."""
        self._app, self._settings = app, settings
        self._waiting = 0
        self._held = Counter[bool]()  # bytes of bodies that come or are worked on, by whether their sender is known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        incoming, kind = Incoming(receive), _kind(scope)
        with self._share(is_known=kind == "json") as hold:
            try:
                body = await self._body(scope, kind, incoming, hold)
            except ClientDisconnect:
                return
            except (Problem, LlmtriageError) as error:
                problem = problem_of(error)
            else:
                await self._app(scope, _given(body, receive), send)
                return
        await refuse(problem, scope, incoming, send)

    async def _body(self, scope: Scope, kind: _Kind, receive: Receive, hold: Callable[[int], None]) -> bytes:
        """Raises Problem, ClientDisconnect, StoreError."""
        most = self._most(scope["path"], kind)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and _number(declared) > most:
            raise _too_long(most)
        with self._place():
            if kind == "json":
                scope["state"]["known"] = await run_in_threadpool(identify, Request(scope))
            body = await self._whole(receive, most, hold)
        if body and kind == "json":
            scope["state"]["json"] = await _read_json(body)
        elif body and kind == "other":
            raise Problem(415, "the body is of a kind that is not taken", "send JSON, with Content-Type: application/json")
        return body

    def _most(self, path: str, kind: _Kind) -> int:
        """The longest body: what everybody may send is short, but for what is signed for a hook that there is."""
        is_nobodys = kind == "signed" and path.removeprefix(_SIGNED) not in self._settings.hooks
        if is_nobodys or kind in ("form", "other"):
            return self._settings.form_bytes
        return self._settings.batch_bytes if path in _BATCHES else self._settings.body_bytes

    async def _whole(self, receive: Receive, most: int, hold: Callable[[int], None]) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                return await _read(receive, most, hold)
        except TimeoutError:
            problem = f"its body was not there after {self._settings.body_seconds:g} s"
            raise Problem(408, "the request came too slowly", problem) from None

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the requests that arrive. Raises Problem where there are too many."""
        if self._waiting >= self._settings.arriving:
            raise Problem(503, "too many requests at a time", "come again in a moment", headers=_SOON)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @contextmanager
    def _share(self, *, is_known: bool) -> Iterator[Callable[[int], None]]:
        """What one request holds of the memory for bodies, until it is answered; what is given raises Problem where no more is left.

        Forms and messages to hooks, whose sender is not known by then, have a share that leaves room for the others.
        """
        own = 0

        def hold(count: int) -> None:
            nonlocal own
            is_too_much = self._held.total() + count > self._settings.bodies_bytes
            if is_too_much or (not is_known and self._held[False] + count > self._settings.unknown_bytes):
                raise Problem(503, "too much is sent at a time", "come again in a moment", headers=_SOON)
            self._held[is_known] += count
            own += count

        try:
            yield hold
        finally:
            self._held[is_known] -= own


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _kind(scope: Scope) -> _Kind:
    if scope["path"].startswith(_SIGNED):
        return "signed"
    said = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if said == "application/json" or (said.startswith("application/") and said.endswith("+json")):
        return "json"
    return "form" if said in _FORMS else "other"


async def _read(receive: Receive, most: int, hold: Callable[[int], None]) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece = message.get("body", b"")
        if len(body) + len(piece) > most:
            raise _too_long(most)
        hold(len(piece))
        body += piece
        if not message.get("more_body", False):
            return bytes(body)


async def _read_json(body: bytes) -> Any:
    """Raises Problem."""
    return json_body.read(body) if len(body) <= _QUICK else await run_in_threadpool(json_body.read, body)


def _number(digits: str) -> float:
    return float(digits) if len(digits) < 20 else float("inf")


def _too_long(most: int) -> Problem:
    return Problem(413, "the request is too long", f"at most {most} bytes are taken here")


def _given(body: bytes, receive: Receive) -> Receive:
    """What the app receives: the body at once, then whatever comes."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return whole.pop() if whole else await receive()

    return given
