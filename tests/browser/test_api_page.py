"""The page of the API in a real Chromium that reaches nothing but the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.conftest import Seen
from listening import House, listening
from playwright.sync_api import Browser, Locator, Page, Route, expect

from llmtriage.store import keys

PHONE = {"width": 360, "height": 740}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A service that needs a key."""
    with listening(tmp_path) as one:
        yield one


@pytest.fixture
def seen(chromium: Browser, house: House) -> Iterator[Seen]:
    """The page, opened where nothing else can be reached."""
    with chromium.new_context(viewport=PHONE, locale="en-US") as context:  # type: ignore[arg-type]
        context.route("**/*", lambda route: _only(route, house.url))
        one = Seen(context.new_page())
        one.page.on("console", lambda message: one.troubles.append(message.text))
        one.page.on("pageerror", lambda error: one.troubles.append(str(error)))
        one.page.on("request", lambda request: one.asked.append(request.url))
        one.page.goto(f"{house.url}/docs")
        yield one


def _only(route: Route, url: str) -> None:
    if route.request.url.startswith(url):
        route.continue_()
    else:
        route.abort()


def opened(page: Page, name: str) -> Locator:
    """A call, to be read and made."""
    found = page.locator("details.call").filter(has=page.locator("summary code", has_text=name))
    found.locator("summary").click()
    return found


def test_a_call_is_read_and_made(seen: Seen, house: House) -> None:
    """With what is sent in it, a name in its path, a query and a key; a refusal is shown as well."""
    secret = keys.create(house.store.database, "crm", ["classify", "review"]).secret
    one = opened(seen.page, "POST /classify/single")
    expect(one).to_contain_text("Decide on one ticket.")
    one.get_by_role("button").click()
    expect(one.locator("output")).to_contain_text("401")
    seen.troubles.clear()  # the browser notes a refusal
    seen.page.locator("#key").fill(secret)
    one.locator("textarea").fill('{"id": "T 1/2", "content": "退款一直没有到账，都两周了"}')
    one.get_by_role("button").click()
    expect(one.locator("output")).to_contain_text('"outcome": "pending"')
    ticket = opened(seen.page, "GET /tickets/{ticket_id}")
    ticket.locator("input[name=ticket_id]").fill("T 1/2")
    ticket.locator("input[name=text]").fill("true")
    ticket.get_by_role("button").click()
    expect(ticket.locator("output")).to_contain_text("退款一直没有到账")
    assert seen.troubles == []
    assert [url for url in seen.asked if not url.startswith((house.url, "data:"))] == []


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_fault_that_axe_finds_in_the_page_of_the_api(seen: Seen, house: House, language: str, scheme: str) -> None:
    """With every call opened, on a phone; nothing sticks out."""
    page = seen.page
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{house.url}/docs?lang={language}")
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    expect(page.get_by_role("button").first).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    assert seen.troubles == []
