"""To sign in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from llmtriage.errors import InputError
from llmtriage.service.access.people import check, may_sign_in_without_password, sign_in, sign_out, signed_in
from llmtriage.service.pages.faults import PageRoute
from llmtriage.service.pages.rendering import page
from llmtriage.service.pages.words import words_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_FIRST = "/review"


@router.get("/login")
def ask(request: Request, next: str = _FIRST, said: str = "") -> Response:  # noqa: A002 - the name in the address
    """The page where a person signs in."""
    done = words_of(request)("said signed out") if said == "signed out" else ""
    return _form(request, next, said=done)


@router.post("/login", dependencies=[Depends(check)])
def begin(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = _FIRST,  # noqa: A002 - the name of the field
) -> Response:
    """Sign a person in, and go on where they came from."""
    response = RedirectResponse(_local(next), 303)
    try:
        person = sign_in(request, response, name, password)
    except InputError:
        return _form(request, next, name=name, problem="bad name", status=422)
    if person is None:
        return _form(request, next, name=name, problem="wrong password", status=403)
    return response


@router.post("/logout", dependencies=[Depends(check)])
def end(request: Request) -> Response:
    """Sign out."""
    response = RedirectResponse("/login?said=signed+out", 303)
    sign_out(request, response)
    return response


def _form(request: Request, wanted: str, *, name: str = "", problem: str = "", status: int = 200, said: str = "") -> Response:
    return page(
        request,
        "login.html.j2",
        person=signed_in(request),
        status=status,
        path="/login",
        next=_local(wanted),
        name=name,
        problem=problem,
        without_password=may_sign_in_without_password(request),
        said=said,
    )


def _local(wanted: str) -> str:
    """A path of this service: an address elsewhere is not gone to."""
    is_path = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_path else _FIRST
