"""`Idempotency-Key`: a POST that is sent again, because nobody knows whether it came through, has no second effect."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from starlette.datastructures import Headers

from llmtriage.errors import StoreError
from llmtriage.service.access import Caller, Scope, may
from llmtriage.service.problems import Problem
from llmtriage.service.serving import service_of
from llmtriage.store.requests import Claim, Reply, Requests, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette import types
    from starlette.types import ASGIApp, Message, Receive, Send

_log = logging.getLogger("llmtriage.service")
_RENEWED = 20.0  # seconds; a claim that is not renewed for a minute is of a run that died
_OFTEN = 3600.0  # seconds between two looks for what is too old
_NOT_KEPT = (401, 403, 408, 413, 429)  # nothing was done, and it may go otherwise the next time

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,200}$",
        description="Your own name of this request. Sent again with it, it is answered as before and nothing is done twice; kept for a day.",
    ),
]


class Replayed(Exception):  # noqa: N818 - no error: the answer is known
    """A request that was answered before.

    Args:
        reply: What was answered.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__("answered before")
        self.reply = reply


@cache
def once(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency of routes whose replies hold no ticket text: the caller, who may do this; what was answered under this key is answered again.

    The dependency raises:
        Replayed: With the reply of the first time.
        Problem: As of `may`; 409 while the first one runs; 410 where the reply was erased; 422 where the key was of another request.
        StoreError: It cannot be known.
    """

    async def check(request: Request, caller: Caller = Depends(may(scope)), key: Key = None) -> Caller:  # noqa: B008 - an annotation is read where no `scope` is
        if key is not None:
            await _claim(request, caller, key)
        return caller

    return check


async def _claim(request: Request, caller: Caller, key: str) -> None:
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + await request.body()
    requests = Requests(service_of(request).store.database)
    found = await asyncio.to_thread(requests.claim, caller.id, key, hashlib.sha256(asked).digest())
    if isinstance(found, Reply):
        raise Replayed(found)
    if found is State.RUNNING:
        raise Problem(409, "this request still runs", "come again in a moment", headers={"Retry-After": "1"})
    if found is State.OTHER:
        raise Problem(422, "this Idempotency-Key was of another request", "take a new one for each request")
    if found is State.EMPTIED:
        raise Problem(410, "what was answered was erased", "it was done the first time, and is not done again")
    request.state.claim = found


def replay(_: Request, known: Exception) -> Response:
    """Answer as before."""
    assert isinstance(known, Replayed)  # noqa: S101 - what it is registered for
    reply = known.reply
    return Response(reply.body, reply.status, {"Idempotent-Replayed": "true"}, reply.kind)


async def forget_old(requests: Requests) -> None:
    """Let go of replies after their day also where no new key comes, for as long as this runs."""
    while True:
        with suppress(StoreError):
            await asyncio.to_thread(requests.forget_old)
        await asyncio.sleep(_OFTEN)


class KeptReplies:
    """Keeps what was answered to a request that claimed a key, before it is sent: who got an answer gets the same one again."""

    def __init__(self, app: ASGIApp, *, requests: Requests) -> None:
        """Keep them in `requests`."""
        self._app, self._requests = app, requests

    async def __call__(self, scope: types.Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or "idempotency-key" not in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        running = _Running(scope, send, self._requests)
        renewing = asyncio.create_task(running.renew())
        try:
            await self._app(scope, receive, running.send)
        finally:
            renewing.cancel()
            await running.end()


class _Running:
    """A request that is worked on, and its reply as far as it is known."""

    def __init__(self, scope: types.Scope, send: Send, requests: Requests) -> None:
        self._state = scope.setdefault("state", {})
        self._send, self._requests = send, requests
        self._messages: list[Message] = []
        self._claiming = asyncio.Lock()

    async def send(self, message: Message) -> None:
        """Hold the reply of a request with a claim back until it is kept."""
        self._messages.append(message)
        if "claim" in self._state and message.get("type") != "http.response.body":
            return
        if "claim" in self._state and message.get("more_body", False):
            return
        await self._keep()
        messages, self._messages = self._messages, []
        for one in messages:
            await self._send(one)

    async def renew(self) -> None:
        """Say from time to time that it is still worked on."""
        while True:
            await asyncio.sleep(_RENEWED)
            async with self._claiming:
                claim = self._state.get("claim")
                if claim is not None:
                    with suppress(StoreError):
                        self._state["claim"] = await asyncio.to_thread(self._requests.renew, claim)

    async def end(self) -> None:
        """Without a reply that can be kept, the same request may be tried again."""
        async with self._claiming:
            claim: Claim | None = self._state.pop("claim", None)
            if claim is not None:
                with suppress(StoreError):  # then it may be tried again in a minute
                    await asyncio.to_thread(self._requests.let_go, claim)

    async def _keep(self) -> None:
        start = self._messages[0]
        if "claim" not in self._state or start["status"] >= 500 or start["status"] in _NOT_KEPT:
            return
        body = b"".join(one.get("body", b"") for one in self._messages[1:]).decode()
        reply = Reply(start["status"], Headers(raw=start["headers"]).get("content-type", ""), body)
        async with self._claiming:
            claim: Claim = self._state.pop("claim")
            try:
                await asyncio.to_thread(self._requests.keep, claim, reply)
            except StoreError:  # what was done is done, and is told
                _log.warning("a reply could not be kept for its Idempotency-Key")
