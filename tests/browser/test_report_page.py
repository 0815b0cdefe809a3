"""The page of a report in a real Chromium: at every width, in light and dark, on paper."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.conftest import Seen
from evaluation.paged import NAMES, cases, page_of
from support import ROOT

PICTURE = ROOT / "docs" / "report.png"
MAKE_PICTURE = bool(os.environ.get("MAKE_PICTURES"))  # `make docs`
WIDTH, HEIGHT = 1200, 1408
DESKTOP, PHONE = 1200, 375

Show = Callable[..., Seen]


def luminance(colour: str) -> float:
    """How bright a colour of CSS is, 0 to 1."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG counts it, 1 to 21."""
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def style(seen: Seen, selector: str, name: str) -> str:
    """What the first such element really looks like."""
    return str(seen.page.eval_on_selector(selector, f"element => getComputedStyle(element)['{name}']"))


def check_whole(seen: Seen) -> None:
    """Nothing sticks out, every plot can be seen, nothing was asked for, nothing went wrong."""
    width = seen.page.evaluate("innerWidth")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    for plot in seen.page.query_selector_all(".plot svg"):
        box = plot.bounding_box()
        assert box is not None
        assert 250 < box["width"] <= width
        assert box["height"] > 60
    assert seen.troubles == []
    assert len(seen.asked) == 1


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_whole(show: Show, name: str, width: int) -> None:
    """Also with 77 categories, names of 200 characters, or nothing to draw."""
    check_whole(show(page_of(name), width))


def test_chinese_on_a_phone(show: Show) -> None:
    """The other language has other lengths."""
    check_whole(show(page_of("usual", "zh"), PHONE))


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_light_and_dark(show: Show, scheme: Any, *, is_dark: bool) -> None:
    """Words can be read on what is behind them, in the plots too."""
    seen = show(page_of("usual"), color_scheme=scheme)
    check_whole(seen)
    ground, paper = style(seen, "body", "backgroundColor"), style(seen, ".plot", "backgroundColor")
    assert (luminance(ground) < 0.2) == is_dark
    for selector, behind in [
        ("h2", ground),
        (".keys", ground),
        (".card dt", paper),
        (".card .value", paper),
        ("figcaption", paper),
    ]:
        assert contrast(style(seen, selector, "color"), behind) >= 4.5
    assert contrast(style(seen, ".badge", "color"), style(seen, ".badge", "backgroundColor")) >= 4.5
    fills = set(seen.page.eval_on_selector_all(".plot svg text", "found => found.map(one => getComputedStyle(one).fill)"))
    assert all(contrast(fill, paper) >= 4.5 for fill in fills)
    assert contrast(style(seen, ".plot svg path[stroke='var(--main)']", "stroke"), paper) >= 3


def test_plots_are_legible_on_a_phone(show: Show) -> None:
    """One below the other, their smallest words at least 9 pixels high."""
    seen = show(page_of("usual"), PHONE)
    boxes = [box for plot in seen.page.query_selector_all(".plot") if (box := plot.bounding_box())]
    assert len({box["x"] for box in boxes}) == 1
    sizes = seen.page.eval_on_selector_all(
        ".plot svg text", "found => found.map(one => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a)"
    )
    assert min(size for size in sizes if size) >= 9


def test_a_wide_table_scrolls_in_its_box(show: Show) -> None:
    """And can be reached by keyboard."""
    seen = show(page_of("usual"), PHONE)
    [wide] = seen.page.query_selector_all('[aria-labelledby="categories"]')
    assert wide.evaluate("box => box.scrollWidth > box.clientWidth")
    wide.focus()
    seen.page.keyboard.press("ArrowRight")
    seen.page.wait_for_function("box => box.scrollLeft > 0", arg=wide)


def test_paper_is_white(show: Show) -> None:
    """Whatever the screen is; nothing is cut off on A4."""
    seen = show(page_of("usual"), 703, color_scheme="dark")  # 186 mm
    seen.page.emulate_media(media="print", color_scheme="dark")
    assert luminance(style(seen, "body", "backgroundColor")) == 1
    assert luminance(style(seen, "h2", "color")) < 0.1
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 703
    assert seen.page.pdf(format="A4").startswith(b"%PDF")


def test_nothing_hostile_works(show: Show) -> None:
    """No dialog opens, no script runs, no element is born."""
    seen = show(cases()["hostile"].page(command="<img src=x onerror=alert(1)>"))
    check_whole(seen)
    assert seen.page.query_selector("script, img, iframe") is None
    assert seen.page.inner_text("pre") == "<img src=x onerror=alert(1)>"


def test_the_picture_of_the_documentation(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """It is the beginning of the page of `make demo`."""
    if MAKE_PICTURE:
        command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--out", str(tmp_path / "demo")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        show = request.getfixturevalue("show")
        seen = show((tmp_path / "demo" / "report.html").read_text(encoding="utf-8"), WIDTH)
        seen.page.screenshot(path=PICTURE, clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}, full_page=True)
    head = PICTURE.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert (int.from_bytes(head[16:20]), int.from_bytes(head[20:24])) == (WIDTH, HEIGHT)
    assert PICTURE.stat().st_size < 300_000
