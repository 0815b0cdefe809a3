"""The overview in a real Chromium: its plots can be seen and its tables read, in both languages, on a phone and on a desk."""

from __future__ import annotations

from typing import Any

import pytest
from browser.conftest import Enter, check_whole
from decided import accepted, decision, record, ticket
from listening import House
from overseen import accept_probes, decide_probes, promised, run_under
from playwright.sync_api import expect

PHONE, DESK = {"width": 375, "height": 812}, {"width": 1280, "height": 800}
SMALLEST = 9  # pixels of a letter


@pytest.fixture
def watched(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A service with a promise, probes of it, and tickets that were accepted."""
    calibration = promised()
    monkeypatch.setattr(house.service.versions.current.triage, "calibration", calibration)
    accept_probes(house.store, run_under(calibration), [f"P{n}" for n in range(10)])
    decide_probes(house.store, ["refund"] * 7 + ["login"])
    record(house.store, *(decision(ticket(f"退款 {n}", f"A{n}"), accepted("refund_status")) for n in range(5)))
    return house


@pytest.mark.parametrize(
    ("language", "viewport", "scheme"),
    [("en", PHONE, "light"), ("zh", PHONE, "dark"), ("en", DESK, "dark"), ("zh", DESK, "light")],
)
def test_plots_and_tables_can_be_seen(enter: Enter, watched: House, language: str, viewport: Any, scheme: str) -> None:
    """Nothing sticks out; every bar has a height, every word in a plot can be read, every row of a table has its name and figures."""
    seen = enter(language=language, viewport=viewport, color_scheme=scheme)
    page = seen.page
    page.goto(f"{watched.url}/overview")
    expect(page.locator("h1")).to_have_text({"en": "Overview", "zh": "总览"}[language])
    page.locator("details > summary").first.click()
    check_whole(seen)
    plots = page.locator("svg[role=img]")
    expect(plots).to_have_count(2)
    for plot in plots.all():
        box = plot.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert 250 < box["width"] <= viewport["width"]
        assert plot.get_attribute("aria-label")
    assert page.locator("svg[role=img] g rect").evaluate_all(
        "found => found.some(one => one.getBoundingClientRect().height > 20)"
    )
    sizes = page.locator("svg text").evaluate_all(
        "found => found.map(one => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a)"
    )
    assert [size for size in sizes if size < SMALLEST] == []
    for row in page.locator("tbody tr").all():
        expect(row.locator("th[scope=row]")).to_be_visible()
        assert all(cell.strip() for cell in row.locator("td").all_inner_texts())
    expect(page.locator("#waits + p a, section p a[href='/review']").first).to_be_visible()


def test_the_overview_leads_to_the_queue_by_keyboard(enter: Enter, watched: House) -> None:
    """From the top: past the navigation into the content, and on to what waits."""
    seen = enter()
    page = seen.page
    page.goto(f"{watched.url}/overview")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("To the content")
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.locator(":focus").get_attribute("href") == "/review":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#counts")).to_be_visible()
    check_whole(seen)
