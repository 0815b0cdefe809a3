"""Pages out of templates. Everything that comes into one is escaped; a value that is missing is an error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jinja2
from fastapi.responses import HTMLResponse

from llmtriage.service.access.people import csrf_token
from llmtriage.service.pages.words import Words, words_of
from llmtriage.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import Request

    from llmtriage.service.access.people import Person

_TEMPLATES = Path(__file__).parent / "templates"
_HEADERS = {"Vary": "HX-Request, Accept-Language, Cookie"}  # more are added to every response
_A_YEAR = 365 * 24 * 3600  # seconds


@dataclass(frozen=True, slots=True)
class Here:
    """The address of a page.

    Attributes:
        path: Without the question mark.
        address: With what stands behind it.
        other_language: The same page in the other language.
    """

    path: str
    address: str
    other_language: str


def page(
    request: Request,
    template: str,
    *,
    person: Person | None,
    status: int = 200,
    path: str | None = None,
    pushed: bool = False,
    **facts: Any,
) -> HTMLResponse:
    """A page as a response.

    Args:
        request: What asked for it.
        template: The file in `templates/`.
        person: Who is signed in.
        status: The HTTP status.
        path: Its own address, where that is another one than was asked for.
        pushed: Whether the script is to show that address.
        facts: What the template needs besides. `said` is a line about what was done.
    """
    words = words_of(request)
    shown = {
        "words": words,
        "person": person,
        "csrf": csrf_token(request),
        "here": _here(request, words, path),
        "said": "",
        "status": status,
        **facts,
    }
    response = HTMLResponse(environment().get_template(template).render(shown), status, _HEADERS)
    if pushed:
        response.headers["HX-Push-Url"] = shown["here"].address
    if request.query_params.get("lang") == words.language:
        response.set_cookie("lang", words.language, max_age=_A_YEAR, httponly=True, samesite="lax")
    return response


@cache
def environment() -> jinja2.Environment:
    """What makes the pages."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: object) -> object:
    """Every value on its way into a page: without characters that are not printable, such as marks that turn the direction."""
    return value if hasattr(value, "__html__") else visible(str(value))


def _here(request: Request, words: Words, path: str | None) -> Here:
    """Filters stay in the address; what was said once does not."""
    asked = {name: value for name, value in request.query_params.items() if name not in ("lang", "said", "of")}
    path = path or request.url.path
    return Here(path, _address(path, asked), _address(path, {**asked, "lang": words.other}))


def _address(path: str, asked: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(asked)}" if asked else path
