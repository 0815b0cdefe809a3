"""Who is signed in, for pages: `person_of`, `sign_in`, `sign_out`, and the token that each form carries."""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import Form, Request

from llmtriage.errors import InputError, StoreError
from llmtriage.reviewing import person_name
from llmtriage.service.access.hosts import check_origin, is_forwarded, is_https, is_trusted, network_of
from llmtriage.service.access.state import access_of
from llmtriage.service.problems import Problem
from llmtriage.service.serving import service_of
from llmtriage.store import accounts, sessions

if TYPE_CHECKING:
    from starlette.responses import Response

_COOKIE = "llmtriage"
_SAFE = ("GET", "HEAD", "OPTIONS")
_LONGEST_NEXT = 2_000


@dataclass(frozen=True, slots=True)
class Person:
    """Who works on the pages.

    Attributes:
        name: What stands beside the answers.
        role: "reviewer" or "lead".
    """

    name: str
    role: str = "reviewer"


def person_of(request: Request) -> Person:
    """A dependency: who is signed in. Raises Problem (303 to the page where one signs in; 401 that says so to htmx)."""
    found = signed_in(request)
    if found is not None:
        return found
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    place = f"/login?next={quote(local_path(asked if request.method in _SAFE else '/'))}"
    if "hx-request" in request.headers:
        raise Problem(401, "sign in first", headers={"HX-Redirect": place})
    raise Problem(303, "sign in first", headers={"Location": place})


def signed_in(request: Request) -> Person | None:
    """Who is signed in, if anybody: whom a trusted proxy names, else whose session this is."""
    if (named := _named_by_proxy(request)) is not None:
        return _of_proxy(request, named)
    token = request.cookies.get(_cookie(request))
    found = sessions.find(service_of(request).store.database, token) if token else None
    if found is None or not (found.has_account or may_sign_in_without_password(request)):
        return None
    return Person(found.name, found.role)


def may_sign_in_without_password(request: Request) -> bool:
    """Whether a name is enough: on this machine alone, with no proxy before it, while there is no account."""
    service = service_of(request)
    is_alone = service.settings.is_alone and not is_forwarded(request)
    return is_alone and not accounts.exist(service.store.database)


def sign_in(request: Request, response: Response, name: str, password: str) -> Person | None:
    """Begin a session, whose cookie is set on `response`.

    Returns:
        Who signed in; None where name and password do not belong together.

    Raises:
        InputError: The name is none.
        Problem: Too many sign-ins failed of late (429).
        StoreError: The store cannot be used.
    """
    service, name = service_of(request), person_name(name, field="name")
    if may_sign_in_without_password(request):
        person, password_hash = Person(name, "lead"), None
    else:
        account = _verified(request, name, password)
        if account is None:
            return None
        person, password_hash = Person(account.name, account.role), account.password
    token = sessions.begin(service.store.database, person.name, person.role, password=password_hash)
    if token is None:
        return None
    _end(request)  # nobody is two people at once in one browser
    response.set_cookie(
        _cookie(request), token, max_age=sessions.LONGEST, path="/", httponly=True, samesite="lax", secure=_is_secure(request)
    )
    return person


def sign_out(request: Request, response: Response) -> None:
    """End the session, if there is one. Raises StoreError."""
    _end(request)
    response.delete_cookie(_cookie(request), path="/", httponly=True, samesite="lax", secure=_is_secure(request))


def local_path(text: str) -> str:
    """Where to go after signing in: a path of this service, or "/" where `text` is none."""
    is_local = text.startswith("/") and not text.startswith("//") and len(text) <= _LONGEST_NEXT
    return text if is_local and text.isprintable() and "\\" not in text else "/"


def csrf_token(request: Request) -> str:
    """What each form of this session carries in its field `csrf`, and each request of a script in the header X-CSRF-Token."""
    key = service_of(request).store.key
    of = f"session {request.cookies.get(_cookie(request), '')}"
    try:
        named = _named_by_proxy(request)
    except Problem:
        named = None
    of = of if named is None else f"proxy {named}"
    return hmac.new(key, f"csrf {of}".encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def check(request: Request, csrf: Annotated[str, Form()] = "") -> None:
    """A dependency of every form: it was sent from a page of this service, in this session. Raises Problem (403)."""
    check_origin(request)
    if signed_in(request) is not None:  # whoever is not signed in has nothing that a form could take from them
        check_token(request, csrf)


def check_token(request: Request, token: str = "") -> None:
    """See that a request carries the token of its session, here or in its header. Raises Problem (403)."""
    sent = request.headers.get("x-csrf-token") or token
    if not hmac.compare_digest(sent.encode(errors="surrogatepass"), csrf_token(request).encode()):
        raise Problem(403, "this form is not of this session", "load the page anew")


def _end(request: Request) -> None:
    token = request.cookies.get(_cookie(request))
    if token:
        sessions.end(service_of(request).store.database, token)


def _verified(request: Request, name: str, password: str) -> accounts.Account | None:
    service, attempts = service_of(request), access_of(request).attempts
    keys = (f"name {name}", f"address {network_of(request, service.settings)}")
    wait = attempts.begin(keys)
    if wait:
        seconds = str(math.ceil(wait))
        raise Problem(429, "too many sign-ins failed", f"try again in {seconds} seconds", headers={"Retry-After": seconds})
    try:
        account = accounts.verify(service.store.database, name, password)
    except StoreError:
        attempts.take_back(keys)
        raise
    if account is not None:
        attempts.take_back(keys)
    return account


def _named_by_proxy(request: Request) -> str | None:
    """Whom a trusted proxy says has signed in. Raises Problem (400) where what it says is no name."""
    settings = service_of(request).settings
    if settings.user_header is None or not is_trusted(request, settings):
        return None
    said = request.headers.getlist(settings.user_header)
    if not said:
        return None
    try:
        [name] = said
        return person_name(name.encode("latin-1").decode("utf-8"), field=settings.user_header)
    except (ValueError, InputError):
        raise Problem(400, "what the proxy says is not one name", f"see the header {settings.user_header}") from None


def _of_proxy(request: Request, name: str) -> Person:
    account = accounts.named(service_of(request).store.database, name)
    if account is not None and account.disabled is not None:
        raise Problem(403, "this person may not sign in", "llmtriage reviewers add lets them in again")
    return Person(name, account.role if account else "reviewer")


def _is_secure(request: Request) -> bool:
    settings = service_of(request).settings
    return not settings.is_local or is_https(request, settings)


def _cookie(request: Request) -> str:
    """A browser takes a name that begins with __Host- from this very host alone, by https."""
    return f"__Host-{_COOKIE}" if _is_secure(request) else _COOKIE
