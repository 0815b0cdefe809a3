"""A real Chromium, for the tests that look at a page. Each of them gets the marker `browser` by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from listening import House, listening
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PROGRAM = os.environ.get("CHROMIUM") or next((found for name in _NAMES if (found := shutil.which(name))), None)
_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
TWENTY = 20
TEXTS = (
    ("Refund not received", "I sent the lamp back two weeks ago, where is my money?"),
    ("退款", "我的订单已经退货两周了，钱还没有退回来"),
    ("Parcel lost", "My parcel never arrived. Call me at 13812345678, please."),
    ("无法登录", "验证码一直收不到，账户登录不了"),
)
OVERLAP = "() => document.documentElement.scrollWidth"

Enter = Callable[..., "Seen"]
expect.set_options(timeout=20_000)  # a machine that does other work too is no reason to fail


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need it."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@dataclass(frozen=True)
class Seen:
    """A page that is shown.

    Attributes:
        page: To look at.
        troubles: What the console says, and errors.
        asked: Addresses that were asked for, the page's own among them.
        posted: Those of them to which a form was sent.
    """

    page: Page
    troubles: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)

    def watch(self) -> Seen:
        """Note from now on."""
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("request", lambda request: self.posted.extend([request.url] * (request.method == "POST")))
        return self


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser; without one, the test is skipped and the reason told.

    Playwright's event loop runs in this thread as long as it is there, so it ends with the module: other tests have loops of their own.
    """
    if _PROGRAM is None:
        pytest.skip("no Chromium here: install chromium, or name it in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_PROGRAM, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(chromium: Browser, tmp_path: Path) -> Iterator[Callable[..., Seen]]:
    """Show a page: its text, the width of the window, and what else a context of playwright takes."""
    with ExitStack() as stack:

        def open_it(text: str, width: int = 1200, **options: Any) -> Seen:
            context = stack.enter_context(chromium.new_context(viewport={"width": width, "height": 900}, **options))
            seen = Seen(context.new_page()).watch()
            file = tmp_path / "page.html"
            file.write_text(text, encoding="utf-8")
            seen.page.goto(file.as_uri())
            return seen

        yield open_it


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A service in which twenty tickets wait."""
    with listening(tmp_path) as one:
        for n in range(TWENTY):
            title, content = TEXTS[n % len(TEXTS)]
            one.enqueue({"id": f"T{n}", "title": title, "content": f"{content} ({n})"})
        yield one


@pytest.fixture
def enter(chromium: Browser, house: House) -> Iterator[Enter]:
    """Sign in and open the queue: the name, the language, and what else a context of playwright takes."""
    with ExitStack() as stack:

        def sign_in(name: str = "Mei", language: str = "en", **options: Any) -> Seen:
            usual = {"viewport": {"width": 1100, "height": 900}, "locale": {"en": "en-US", "zh": "zh-CN"}[language]}
            page = stack.enter_context(chromium.new_context(**{**usual, **options})).new_page()
            seen = Seen(page).watch()
            page.goto(f"{house.url}/login")
            page.locator("input[name=name]").fill(name)
            page.locator("button.main").click()
            return seen

        yield sign_in


def card(page: Page, not_entry: str = "") -> str:
    """The number of the ticket on the page, once it is another one, and can be answered."""
    found = page.locator("#main[data-read] #card" + (f":not([data-entry='{not_entry}'])" if not_entry else ""))
    expect(found).to_be_visible()
    return found.get_attribute("data-entry") or ""


def begin(seen: Seen) -> str:
    """The first ticket."""
    seen.page.locator("#counts a.button").click()
    return card(seen.page)


def check_whole(seen: Seen) -> None:
    """Nothing sticks out, nothing was asked of others, nothing went wrong."""
    page = seen.page
    assert page.evaluate(OVERLAP) <= page.evaluate("() => innerWidth")
    assert [line for line in seen.troubles if line] == []
    assert {url.split("/")[2] for url in seen.asked if not url.startswith("data:")} == {page.url.split("/")[2]}


def focused(page: Page) -> Locator:
    """What has the focus."""
    return page.locator(":focus")
