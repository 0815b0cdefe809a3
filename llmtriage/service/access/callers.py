"""Who calls the API, and what that caller may do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from llmtriage.service.access.hosts import check_origin, is_forwarded
from llmtriage.service.access.people import check_token, signed_in
from llmtriage.service.access.state import access_of
from llmtriage.service.problems import Problem
from llmtriage.service.serving import service_of
from llmtriage.store import keys
from llmtriage.store.keys import SCOPES, Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_BEARER = HTTPBearer(scheme_name="key", bearerFormat="lt_...", description="A key of `llmtriage keys create`.", auto_error=False)
_SAFE = ("GET", "HEAD", "OPTIONS")
_MAKE_ONE = "make a key with: llmtriage keys create"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        name: Of the key, or of the person.
        scopes: What the caller may do.
    """

    name: str
    scopes: frozenset[str]


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
    wait = access_of(request).rates.take(caller.name)
    if wait:
        seconds = str(math.ceil(wait))
        raise Problem(429, "too many requests", f"come again in {seconds} seconds", headers={"Retry-After": seconds})
    return caller


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
    key = keys.find(service_of(request).store.database, secret)
    if key is None:
        challenge = 'Bearer error="invalid_token"'
        raise Problem(401, "this key cannot be used", _MAKE_ONE, headers={"WWW-Authenticate": challenge})
    return Caller(key.name, key.scopes)


def _is_open(request: Request) -> bool:
    """Whether no key is needed: on this machine alone, with no proxy before it, while none was made."""
    service = service_of(request)
    return service.settings.is_alone and not is_forwarded(request) and not keys.exist(service.store.database)


def _at_this_machine(request: Request) -> Caller:
    """Whoever is on this machine, but no page of another site that somebody on it reads: such a page cannot send JSON unasked."""
    check_origin(request)
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method not in _SAFE and has_body and kind != "application/json":
        raise Problem(415, "not sent as JSON", "send it with content-type: application/json")
    return Caller("local", frozenset(SCOPES))


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
    return Caller(person.name, frozenset({"review"}))
