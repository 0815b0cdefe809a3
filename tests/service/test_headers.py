"""What every response tells a browser not to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient
from serving import Served

Serve = Callable[..., Served]
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture
def pages(serve: Serve) -> TestClient:
    """A service with pages of a test."""
    client = serve().client
    app = cast("FastAPI", client.app)

    @app.get("/try/page", response_class=HTMLResponse)
    def _page() -> str:
        return "<p>退款</p>"

    @app.get("/try/own", response_class=HTMLResponse)
    def _own() -> HTMLResponse:
        return HTMLResponse("", headers={"Cache-Control": "max-age=60"})

    @app.get("/try/broken")
    def _broken() -> Any:
        raise RuntimeError("a fault")

    return client


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/try/page", 200),
        ("/health", 200),
        ("/nowhere", 404),
        ("/try/broken", 500),
        ("/classify/single", 405),
        ("/static/app.css", 200),
    ],
)
def test_every_response_has_them(pages: TestClient, path: str, status: int) -> None:
    """Also errors, and those of a fault of the program."""
    reply = pages.get(path)
    assert reply.status_code == status
    assert reply.headers["content-security-policy"] == STRICT
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "same-origin"
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert reply.headers.get("cache-control") == ("no-cache" if path.startswith("/static/") else "no-store")
    assert "server" not in reply.headers


def test_also_what_is_refused_for_its_host(pages: TestClient) -> None:
    """The refusal is made before any route."""
    reply = pages.get("/health", headers={"Host": "evil.example"})
    assert (reply.status_code, reply.headers["content-security-policy"]) == (421, STRICT)


def test_what_a_route_says_itself_stays(pages: TestClient) -> None:
    """How long something may be kept."""
    assert pages.get("/try/own").headers.get_list("cache-control") == ["max-age=60"]


def test_the_page_of_the_api_is_no_exception(pages: TestClient) -> None:
    """It works without what is elsewhere, and without script in the page."""
    reply = pages.get("/docs")
    assert (reply.status_code, reply.headers["content-security-policy"]) == (200, STRICT)
    assert re.findall(r'(?:src|href)="(?![/#])([^"]*)"', reply.text) == ["data:,"]
    assert re.findall(r"<script[^>]*>(.*?)</script>", reply.text) == [""] * 3
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert pages.get(path).status_code == 404
