"""Who calls the API, and what that caller may do."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from llmtriage.errors import StoreError
from llmtriage.service.access.hosts import check_origin, is_forwarded
from llmtriage.service.access.people import check_token, signed_in
from llmtriage.service.access.remembered import MOMENT, OUTAGE
from llmtriage.service.access.state import access_of
from llmtriage.service.problems import Problem
from llmtriage.service.serving import service_of
from llmtriage.store import keys
from llmtriage.store.keys import SCOPES, Scope
from llmtriage.store.records import secret_hash

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_Said = TypeVar("_Said")
_BEARER = HTTPBearer(scheme_name="key", bearerFormat="lt_...", description="A key of `llmtriage keys create`.", auto_error=False)
_SAFE = ("GET", "HEAD", "OPTIONS")
_FIGURES = "/metrics"
_MAKE_ONE = "make a key with: llmtriage keys create"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        kind: What vouches for the name: a key, that somebody is signed in, or only that the call came from this machine.
        name: Of the key, or of the person.
        scopes: What the caller may do.
    """

    kind: Literal["key", "person", "local"]
    name: str
    scopes: frozenset[str]

    @property
    def id(self) -> str:
        """One caller's alone: a key may be named like a person."""
        return f"{self.kind} {self.name}"


def caller_of(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> Caller:
    """A dependency: who calls the API, counted. Raises Problem (401, 403, 415, 429)."""
    known: Caller | None = getattr(request.state, "known", None)
    return known or identify(request)


def identify(request: Request) -> Caller:
    """Who calls, by the head of the request alone; counted. Raises Problem (401, 403, 415, 429)."""
    if "authorization" in request.headers:
        scheme, secret = get_authorization_scheme_param(request.headers["authorization"])
        caller = _by_key(request, secret if scheme.lower() == "bearer" else "")
    elif _is_open(request):
        caller = _at_this_machine(request)
    else:
        caller = _by_session(request)
    request.state.caller = caller.name
    wait = access_of(request).rates.take(caller.id)
    if wait:
        seconds = str(math.ceil(wait))
        raise Problem(429, "too many requests", f"come again in {seconds} seconds", headers={"Retry-After": seconds})
    return caller


async def known_caller(request: Request) -> Caller | None:
    """A dependency: who calls, where that can be said. Nobody is refused."""
    try:
        return await asyncio.to_thread(caller_of, request, None)
    except (Problem, StoreError):
        return None


def may(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, who may do this. Raises Problem (401, 403, 415, 429)."""

    async def check(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        if scope not in caller.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            detail = f"this needs the scope {scope}"
            raise Problem(403, "this caller may not do this", detail, headers={"WWW-Authenticate": challenge})
        return caller

    return check


def _by_key(request: Request, secret: str) -> Caller:
    database = service_of(request).store.database
    key = _ask(request, secret_hash(secret), lambda: keys.find(database, secret))
    if key is None or not key.is_usable:
        challenge = 'Bearer error="invalid_token"'
        raise Problem(401, "this key cannot be used", _MAKE_ONE, headers={"WWW-Authenticate": challenge})
    return Caller("key", key.name, key.scopes)


def _is_open(request: Request) -> bool:
    """Whether no key is needed: on this machine alone, with no proxy before it, while none was made."""
    service = service_of(request)
    if not service.settings.is_alone or is_forwarded(request):
        return False
    return not _ask(request, "keys", lambda: keys.exist(service.store.database))


def _ask(request: Request, about: object, look: Callable[[], _Said | None]) -> _Said | None:
    """What the store says, or said: for who reads figures alone it counts longer, so that they tell of an outage. Raises StoreError."""
    longest = OUTAGE if request.scope["path"] == _FIGURES else MOMENT
    return access_of(request).remembered.ask(about, look, longest=longest)


def _at_this_machine(request: Request) -> Caller:
    """Whoever is on this machine, but no page of another site that somebody on it reads: such a page cannot send JSON unasked."""
    check_origin(request)
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method not in _SAFE and has_body and kind != "application/json":
        raise Problem(415, "not sent as JSON", "send it with content-type: application/json")
    return Caller("local", "local", frozenset(SCOPES))


def _by_session(request: Request) -> Caller:
    """Somebody who is signed in works on the queue, also by script; a cookie alone changes nothing."""
    person = signed_in(request)
    if person is None:
        raise Problem(
            401, "a key is needed", f"send Authorization: Bearer lt_...; {_MAKE_ONE}", headers={"WWW-Authenticate": "Bearer"}
        )
    if request.method not in _SAFE:
        check_origin(request)
        check_token(request)
    return Caller("person", person.name, frozenset({"review"}))
