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
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PROGRAM = os.environ.get("CHROMIUM") or next((found for name in _NAMES if (found := shutil.which(name))), None)
_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


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
    """

    page: Page
    troubles: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


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
            seen = Seen(context.new_page())
            seen.page.on("console", lambda message: seen.troubles.append(message.text))
            seen.page.on("pageerror", lambda error: seen.troubles.append(str(error)))
            seen.page.on("request", lambda request: seen.asked.append(request.url))
            file = tmp_path / "page.html"
            file.write_text(text, encoding="utf-8")
            seen.page.goto(file.as_uri())
            return seen

        yield open_it
