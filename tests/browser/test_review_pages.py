"""The review pages in a real Chromium: by keyboard, on a phone, without script, and two people at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.conftest import Seen
from listening import House, listening
from playwright.sync_api import Browser, Locator, Page, expect
from support import ROOT

PICTURES = {"en": ROOT / "docs" / "review-page.png", "zh": ROOT / "docs" / "review-page-zh.png"}
MAKE_PICTURES = bool(os.environ.get("MAKE_PICTURES"))  # `make docs`
PHONE = {"width": 360, "height": 740}
TWENTY = 20
READ = 500  # ms: a key that comes sooner is not counted
TEXTS = (
    ("Refund not received", "I sent the lamp back two weeks ago, where is my money?"),
    ("退款", "我的订单已经退货两周了，钱还没有退回来"),
    ("Parcel lost", "My parcel never arrived. Call me at 13812345678, please."),
    ("无法登录", "验证码一直收不到，账户登录不了"),
)
OVERLAP = "() => document.documentElement.scrollWidth"

Enter = Callable[..., Seen]


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
            seen = Seen(page)
            page.on("console", lambda message: seen.troubles.append(message.text))
            page.on("pageerror", lambda error: seen.troubles.append(str(error)))
            page.on("request", lambda request: seen.asked.append(request.url))
            page.goto(f"{house.url}/login")
            page.locator("input[name=name]").fill(name)
            page.locator("button.main").click()
            return seen

        yield sign_in


def card(page: Page, not_entry: str = "") -> str:
    """The number of the ticket on the page, once it is another one, and can be answered."""
    found = page.locator("#card" if not not_entry else f"#card:not([data-entry='{not_entry}'])")
    expect(found).to_be_visible()
    page.wait_for_load_state("load")  # the script knows by then since when the ticket is shown
    page.wait_for_timeout(READ)
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


# -- twenty tickets --------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "saved"), [("en", "Saved:"), ("zh", "已保存：")])
def test_twenty_tickets_by_keyboard(enter: Enter, house: House, language: str, saved: str) -> None:
    """By number, by confirming, by none of these, skipped, taken back; on a phone's width, with the focus on each new heading."""
    seen = enter(language=language, viewport=PHONE)
    page, keys, entry = seen.page, seen.page.keyboard, begin(seen)
    check_whole(seen)
    for turn in range(TWENTY):
        keys.press(("1", "c", "0", "2")[turn % 4])
        if turn == TWENTY - 1:
            break
        entry = card(page, entry)
        expect(focused(page)).to_have_id("head")
        expect(page.locator("#said")).to_contain_text(saved)
        if turn == 4:  # takes the fifth answer back, and gives it again
            keys.press("u")
            again = card(page, entry)
            keys.press("1")
            entry = card(page, again)
    expect(page.locator("#counts")).to_be_visible()
    assert house.store.queue.counts().entries == 0
    given = [one for one in house.store.queue.history("Mei", 100) if not one.taken_back]
    assert len({one.entry for one in given}) == TWENTY
    assert {one.verdict for one in given} == {"confirm", "correct"}
    assert all(one.active_ms is not None and 300 <= one.active_ms < 60_000 for one in given)
    check_whole(seen)


def test_without_script(enter: Enter, house: House) -> None:
    """The same forms: answer, search, a group of the tree, skip, take back, on a phone."""
    seen = enter(java_script_enabled=False, viewport=PHONE)
    page = seen.page
    page.locator("#counts a.button").click()
    for _ in range(TWENTY - 2):
        page.locator("button.main").click()
        expect(page.locator("#said")).to_contain_text("Saved:")
    page.locator("#find").fill("退款")
    page.get_by_role("button", name="Search").click()
    page.locator("#found button[name=answer]").first.click()
    page.locator("button[value=undo]").click()
    expect(page.locator("#said")).to_contain_text("Taken back:")
    page.locator("button.main").click()
    page.locator(".tree > summary").click()
    page.locator(".tree .group > summary").first.click()
    page.locator(".tree .group button[name=answer]").first.click()
    expect(page.locator(".big")).to_contain_text("Nothing waits.")
    given = [one for one in house.store.queue.history("Mei", 100) if not one.taken_back]
    assert len(given) == TWENTY
    assert {one.active_ms for one in given} == {None}


def test_two_people_at_once(enter: Enter, house: House) -> None:
    """They never have the same ticket, and clear the queue together."""
    both = [enter(name) for name in ("Mei", "Tom")]
    entries = [begin(seen) for seen in both]
    seen_by: list[list[str]] = [[entries[0]], [entries[1]]]
    for turn in range(TWENTY):
        place = turn % 2
        both[place].page.keyboard.press("1")
        if turn >= TWENTY - 2:
            expect(both[place].page.locator("#counts")).to_be_visible()
            continue
        entries[place] = card(both[place].page, entries[place])
        assert entries[0] != entries[1]
        seen_by[place].append(entries[place])
    assert not set(seen_by[0]) & set(seen_by[1])
    assert house.store.queue.counts().entries == 0


# -- keys ------------------------------------------------------------------------------------------


def test_an_input_method_presses_nothing(enter: Enter, house: House) -> None:
    """A digit that chooses a Chinese word is no answer, wherever the focus is; nor is one in a text field."""
    seen = enter(language="zh")
    page, entry = seen.page, begin(seen)
    press = """(target, event) => target.dispatchEvent(
        Object.defineProperty(new KeyboardEvent("keydown", {bubbles: true, ...event}), "keyCode", {get: () => event.code229 ? 229 : 49}))"""
    for where in ("body", "#find", "textarea[name=note]"):
        for event in ({"key": "1", "isComposing": True}, {"key": "1", "code229": True}):
            page.locator(where).evaluate(press, event)
    page.keyboard.press("n")
    page.keyboard.type("s1c0u")
    expect(page.locator("textarea[name=note]")).to_have_value("s1c0u")
    page.wait_for_timeout(300)
    expect(page.locator("#card")).to_have_attribute("data-entry", entry)
    assert house.store.queue.history("Mei") == ()
    page.locator("body").evaluate(press, {"key": "1"})  # the same without an input method answers
    card(page, entry)
    assert [one.note for one in house.store.queue.history("Mei")] == ["s1c0u"]


def test_a_key_that_is_held_down_answers_once(enter: Enter, house: House) -> None:
    """However long."""
    seen = enter()
    entry = begin(seen)
    for _ in range(3):
        seen.page.keyboard.down("1")  # from the second time on a repetition
    following = card(seen.page, entry)
    for _ in range(3):
        seen.page.keyboard.down("1")
    seen.page.wait_for_timeout(READ)
    expect(seen.page.locator("#card")).to_have_attribute("data-entry", following)
    assert len(house.store.queue.history("Mei")) == 1


def test_a_category_is_found_by_typing(enter: Enter, house: House) -> None:
    """In any language; Enter goes to what was found, and answers only there."""
    seen = enter()
    page, entry = seen.page, begin(seen)
    page.keyboard.press("/")
    page.keyboard.type("发票")
    expect(page.locator("#found button").first).to_have_attribute("value", "payment_invoice")
    page.keyboard.press("Enter")
    expect(focused(page)).to_have_attribute("value", "payment_invoice")
    assert house.store.queue.history("Mei") == ()
    page.keyboard.press("Enter")
    card(page, entry)
    assert [one.category for one in house.store.queue.history("Mei")] == ["payment_invoice"]
    check_whole(seen)


def test_shortcuts_can_be_switched_off(enter: Enter, house: House) -> None:
    """And stay off; help and similar tickets open by key before."""
    seen = enter()
    page, entry = seen.page, begin(seen)
    page.keyboard.press("v")
    expect(page.locator(".similar")).to_contain_text("None yet.")
    page.keyboard.press("?")
    page.locator("#shortcuts").click()
    expect(page.locator("#shortcuts")).to_have_attribute("aria-pressed", "false")
    page.locator("#head").focus()
    page.keyboard.press("1")
    page.reload()
    page.wait_for_timeout(READ)
    page.keyboard.press("1")
    page.wait_for_timeout(300)
    expect(page.locator("#card")).to_have_attribute("data-entry", entry)
    assert house.store.queue.history("Mei") == ()


def test_a_service_that_does_not_answer_is_told(enter: Enter, house: House) -> None:
    """The ticket stays, and nothing is lost."""
    seen = enter()
    page, entry = seen.page, begin(seen)
    page.route("**/review/*", lambda route: route.abort())
    page.keyboard.press("1")
    expect(page.locator("#said")).to_contain_text("Not saved")
    page.unroute("**/review/*")
    page.wait_for_timeout(READ)
    page.keyboard.press("1")
    card(page, entry)
    assert len(house.store.queue.history("Mei")) == 1


def test_a_ticket_that_somebody_else_took(enter: Enter, house: House) -> None:
    """The answer is not kept; a friendly line and the next ticket come."""
    seen = enter()
    entry = begin(seen)
    house.store.queue.release(house.store.queue.item(int(entry)), "Mei")
    assert [item.entry for item in house.store.queue.claim("Tom")] == [int(entry)]
    seen.page.keyboard.press("1")
    card(seen.page, entry)
    expect(seen.page.locator("#said")).to_contain_text("Not saved: somebody else has that ticket now")
    assert house.store.queue.history("Mei") == ()


# -- looks -----------------------------------------------------------------------------------------


def test_a_blind_ticket_is_answered_by_two_digits(chromium: Browser, tmp_path: Path) -> None:
    """A group, then a category in it; nothing on the page tells what the model said."""
    with listening(tmp_path, triage={"probe": 1.0}) as one:
        one.enqueue({"id": "P1", "title": "退款", "content": "钱还没有退回来"})
        page = chromium.new_page()
        page.goto(f"{one.url}/login?next=/review/next")
        page.locator("input[name=name]").fill("Mei")
        page.locator("button.main").click()
        card(page)
        assert page.locator("[data-key=c], em, .similar").count() == 0
        page.keyboard.press("3")
        page.keyboard.press("4")
        expect(page.locator("#counts")).to_be_visible()
        assert [each.category for each in one.store.queue.history("Mei")] == ["refund_status"]
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_fault_that_axe_finds(enter: Enter, scheme: str) -> None:
    """On each page, in light and dark, with everything opened; what is pressed is at least 44 pixels high."""
    seen = enter(color_scheme=scheme, viewport=PHONE)
    page = seen.page
    for path in ("/review", "/review/next", "/review/history", "/review/99", "/login"):
        page.goto(page.url.split("/review")[0] + path)
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.wait_for_timeout(READ)
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
        small = page.evaluate(
            "() => [...document.querySelectorAll('button, a.button, summary, nav a, input:not([type=hidden]), select')]"
            ".filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 44).map((one) => one.outerHTML)"
        )
        assert small == []
        assert page.evaluate(OVERLAP) <= PHONE["width"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_picture_of_the_documentation(request: pytest.FixtureRequest, language: str) -> None:
    """It is the page of a ticket."""
    picture = PICTURES[language]
    if MAKE_PICTURES:
        seen = request.getfixturevalue("enter")(language=language, viewport={"width": 900, "height": 820})
        shown = begin(seen)
        for _ in range(2 if language == "en" else 1):  # a ticket in the language of the page
            seen.page.keyboard.press("1")
            shown = card(seen.page, shown)
        seen.page.screenshot(path=picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 200_000
