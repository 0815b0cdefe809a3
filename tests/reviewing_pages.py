"""A person at the pages, by a plain client."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from html import unescape
from typing import Any

from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx2 import Response
from serving import URL, Served

Serve = Callable[..., Served]


def person(served: Served, name: str = "Mei", language: str = "en") -> TestClient:
    """A browser without script in which a person has signed in."""
    browser = TestClient(served.client.app, base_url=URL, headers={"Accept-Language": language})
    browser.portal = served.client.portal  # one loop for all, as a server has
    browser.post("/login", data={"csrf": field(browser.get("/login"), "csrf"), "name": name})
    return browser


def field(page: Response, name: str) -> str:
    """The value of the first field of a form with this name."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, f"no field {name!r} on {page.url}"
    return unescape(found[1])


def answer(browser: TestClient, page: Response, *, script: bool = False, **given: str) -> Response:
    """What comes of a button on the page of a ticket."""
    shown = {name: field(page, name) for name in ("csrf", "token", "text")}
    action = re.search(r'id="answer" method="post" action="([^"]*)"', page.text)
    assert action
    headers = {"HX-Request": "true"} if script else {}
    return browser.post(unescape(action[1]), data={**shown, **given}, headers=headers)


def enqueue(served: Served, n: int = 3, **fields: str) -> None:
    """Tickets that wait."""
    for place in range(n):
        ticket = {"id": f"T{place}", "title": f"Refund {place}", "content": "我的退款还没有到账 where is my money", **fields}
        assert served.client.post("/classify/single", json=ticket).status_code == 200


def routes(found: Iterable[Any]) -> Iterator[APIRoute]:
    """All routes of an app or a router; one that somebody adds is among them."""
    for one in found:
        if hasattr(one, "original_router"):
            yield from routes(one.original_router.routes)
        elif isinstance(one, APIRoute):
            yield one
