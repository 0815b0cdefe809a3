"""Who is signed in: a stand-in with the names of `access.people`, till that is there."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, unquote

from fastapi import Form, Request

from llmtriage.reviewing import reviewer_name
from llmtriage.service.problems import Problem

if TYPE_CHECKING:
    from starlette.responses import Response

_COOKIE = "person"
_KEY = secrets.token_bytes(32)


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
    """Who is signed in. Raises Problem (303 to the page where one signs in)."""
    found = signed_in(request)
    if found is None:
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        wanted = asked if request.method == "GET" else "/review"
        raise Problem(303, "sign in first", headers={"Location": f"/login?next={quote(wanted)}"})
    return found


def signed_in(request: Request) -> Person | None:
    """Who is signed in, if anybody."""
    name, _, mark = unquote(request.cookies.get(_COOKIE, "")).rpartition(".")
    return Person(name) if name and hmac.compare_digest(mark, _mark(name)) else None


def may_sign_in_without_password(request: Request) -> bool:  # noqa: ARG001
    """Whether a name is enough."""
    return True


def sign_in(request: Request, response: Response, name: str, password: str) -> Person | None:  # noqa: ARG001
    """Begin a session; None where name and password do not belong together. Raises InputError for a name that is none."""
    person = Person(reviewer_name(name, field="name"))
    cookie = quote(f"{person.name}.{_mark(person.name)}")
    response.set_cookie(_COOKIE, cookie, httponly=True, samesite="lax")
    return person


def sign_out(request: Request, response: Response) -> None:  # noqa: ARG001
    """End the session."""
    response.delete_cookie(_COOKIE)


def csrf_token(request: Request) -> str:
    """What a form of this session carries."""
    return _mark("form" + request.cookies.get(_COOKIE, ""))


def check(request: Request, csrf: Annotated[str, Form()] = "") -> None:
    """A dependency of what changes something. Raises Problem (403)."""
    site = request.headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none") or not hmac.compare_digest(csrf, csrf_token(request)):
        raise Problem(403, "this form is not of this session", "load the page anew")


def _mark(text: str) -> str:
    return hmac.new(_KEY, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
