"""Three small pages on which somebody signs in and changes something, as the pages of the service do."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, FastAPI, Form, Request, Response
from fastapi.testclient import TestClient
from serving import Served

from llmtriage.service.access import people
from llmtriage.store import accounts

NAME, PASSWORD = "王芳", "正确的马电池订书钉!"


def with_pages(served: Served) -> TestClient:
    """Calls a service that has these pages too."""
    app = cast("FastAPI", served.client.app)

    @app.post("/try/in")
    def _in(
        request: Request,
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        _: None = Depends(people.check),
    ) -> Response:
        response = Response()
        if people.sign_in(request, response, name, password) is None:
            response.status_code = 403
        return response

    @app.post("/try/out")
    def _out(request: Request, _: None = Depends(people.check)) -> Response:
        response = Response()
        people.sign_out(request, response)
        return response

    @app.get("/try/me")
    def _me(request: Request, person: Annotated[people.Person, Depends(people.person_of)]) -> dict[str, str]:
        return {"name": person.name, "role": person.role, "csrf": people.csrf_token(request)}

    @app.post("/try/change")
    def _change(person: Annotated[people.Person, Depends(people.person_of)], _: None = Depends(people.check)) -> dict[str, str]:
        return {"changed by": person.name}

    return served.client


def with_account(served: Served, role: accounts.Role = "reviewer") -> TestClient:
    """The same, where somebody has a password."""
    accounts.add(served.store.database, NAME, PASSWORD, role)
    return with_pages(served)


def sign_in(client: TestClient, name: str = NAME, password: str = PASSWORD) -> int:
    """Sign in. Returns the status."""
    return client.post("/try/in", data={"name": name, "password": password}).status_code
