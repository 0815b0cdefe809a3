"""The review pages in a real Chromium: by keyboard, on a phone, without script, and two people at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.conftest import OVERLAP, TWENTY, Enter, Seen, begin, card, check_whole, focused
from listening import House, listening
from playwright.sync_api import Browser, expect
from reviewing_pages import routes
from support import ROOT

from llmtriage.service import pages

PICTURES = {"en": ROOT / "docs" / "review-page.png", "zh": ROOT / "docs" / "review-page-zh.png"}
MAKE_PICTURES = bool(os.environ.get("MAKE_PICTURES"))  # `make docs`
PHONE = {"width": 360, "height": 740}


# -- twenty tickets --------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "saved"), [("en", "Saved:"), ("zh", "已保存：")])
def test_twenty_tickets_by_keyboard(enter: Enter, house: House, language: str, saved: str) -> None:
    """By number, by confirming, by none of these, skipped, taken back; on a phone's width, with the focus on each new heading."""
    seen = enter(language=language, viewport=PHONE)
    page, keys, entry = seen.page, seen.page.keyboard, begin(seen)
    check_whole(seen)
    said = page.locator("#said")
    said.evaluate("one => { one.stays = true; }")
    for turn in range(TWENTY):
        keys.press(("1", "c", "0", "2")[turn % 4])
        if turn == TWENTY - 1:
            break
        entry = card(page, entry)
        expect(focused(page)).to_have_id("head")
        expect(said).to_contain_text(saved)
        if turn == 4:  # takes the fifth answer back, and gives it again
            keys.press("u")
            again = card(page, entry)
            keys.press("1")
            entry = card(page, again)
    expect(page.locator("#counts")).to_be_visible()
    assert said.evaluate("one => one.stays && one.role === 'status'")  # or a screen reader says nothing of what comes into it
    assert house.store.queue.counts().entries == 0
    given = [one for one in house.store.queue.history("Mei", 100) if not one.taken_back]
    assert len({one.entry for one in given}) == TWENTY
    assert {one.verdict for one in given} == {"confirm", "correct"}
    assert all(one.active_ms is not None and 300 <= one.active_ms < 60_000 for one in given)
    check_whole(seen)


def test_a_category_may_be_called_find(enter: Enter) -> None:
    """It is chosen like any other: only the button of the search answers nothing."""
    page = (seen := enter()).page
    begin(seen)
    page.locator("button.main").evaluate("one => { one.value = 'find'; }")
    with page.expect_request(lambda request: request.method == "POST") as asked:
        page.locator("button.main").click()
    assert "answer=find" in (asked.value.post_data or "")


def test_without_script(enter: Enter, house: House) -> None:
    """The same forms: answer, search, a group of the tree, skip, take back, on a phone."""
    seen = enter(java_script_enabled=False, viewport=PHONE)
    page = seen.page
    page.locator("#counts a.button").click()
    for _ in range(TWENTY - 2):
        page.locator("button.main").click()
        expect(page.locator("#said")).to_contain_text("Saved:")
    page.locator("textarea[name=note]").fill("两周前退货")
    page.locator("#find").fill("退款")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("textarea[name=note]")).to_have_value("两周前退货")
    page.locator("#find").fill("tk")
    page.locator("#find").press("Enter")  # searches, and answers nothing
    expect(page.locator("#found button[name=answer]")).to_have_count(2)
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


def posts(seen: Seen) -> list[str]:
    """The answers that were sent: a key that sends one has done so by now."""
    seen.page.evaluate("() => 0")
    return [url for url in seen.posted if "/login" not in url and "/extend" not in url]


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
    assert posts(seen) == []
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
    assert len(posts(seen)) == 1
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
    told = set(page.locator(".help dt").all_inner_texts())
    keys = page.locator("[data-key], [data-focus]").evaluate_all(
        "found => found.map(one => one.dataset.key ?? one.dataset.focus)"
    )
    assert {key for key in keys if not key.isdigit()} | {"0", "1-9"} <= told
    page.locator("#shortcuts").click()
    expect(page.locator("#shortcuts")).to_have_attribute("aria-pressed", "false")
    page.locator("#head").focus()
    page.keyboard.press("1")
    page.reload()
    assert card(page) == entry
    page.keyboard.press("1")
    assert posts(seen) == []


def test_a_service_that_does_not_answer_is_told(enter: Enter, house: House) -> None:
    """The ticket stays, and nothing is lost."""
    seen = enter()
    page, entry = seen.page, begin(seen)
    page.route("**/review/*", lambda route: route.abort())
    page.keyboard.press("1")
    expect(page.locator("#said")).to_contain_text("Not saved")
    page.unroute("**/review/*")
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


PARTS = ("/static/", "/review/categories")  # of a page
PATHS = sorted(
    route.path
    for route in routes(pages.router.routes)
    if "GET" in (route.methods or ()) and "{" not in route.path and not route.path.startswith(PARTS)
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_fault_that_axe_finds(enter: Enter, scheme: str) -> None:
    """On each page that there is, in light and dark, with everything opened; what is pressed is at least 44 pixels high."""
    seen = enter(color_scheme=scheme, viewport=PHONE, language={"light": "en", "dark": "zh"}[scheme])
    page = seen.page
    begin(seen)
    page.keyboard.press("1")
    card(page)
    for path in (*PATHS, "/review/1", "/review/99", "/nothing"):
        page.goto(page.url.split("/review")[0] + path)
        page.locator("#main[data-read]").wait_for(state="attached")
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
        small = page.evaluate(
            "() => [...document.querySelectorAll('button, a.button, summary, nav a, input:not([type=hidden]), select')]"
            ".filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 44).map((one) => one.outerHTML)"
        )
        assert small == []
        assert page.evaluate(OVERLAP) <= PHONE["width"]


def test_what_is_answered_with_is_in_sight_on_a_phone(enter: Enter, house: House) -> None:
    """However long a ticket is; it does not cover what has the focus."""
    house.enqueue({"id": "long", "content": "我的退款还没有到账，已经等了两周。" * 120, "language": "long"})
    seen = enter(language="zh", viewport=PHONE, has_touch=True, is_mobile=True)
    page = seen.page
    page.goto(f"{house.url}/review/next?language=long")
    card(page)
    assert page.evaluate("() => document.documentElement.scrollHeight") > 2 * PHONE["height"]
    expect(page.locator(".actions")).to_be_in_viewport(ratio=1)
    page.locator("textarea[name=note]").focus()
    bar, note = page.locator(".actions").bounding_box(), page.locator("textarea[name=note]").bounding_box()
    assert bar is not None
    assert note is not None
    assert note["y"] + note["height"] <= bar["y"] or note["y"] >= bar["y"] + bar["height"]
    page.locator(".actions .main").tap()
    expect(page.locator("#said")).to_contain_text("已保存：")


def test_the_queue_counts_while_somebody_looks(enter: Enter, house: House) -> None:
    """In the page and in the title of its tab."""
    seen = enter(language="zh")
    page = seen.page
    page.clock.install()
    page.reload()
    expect(page).to_have_title("(20) 队列 · llmtriage")
    house.enqueue({"id": "new", "title": "退款", "content": "新的工单，钱还没有退回来"})
    page.clock.fast_forward(15_000)
    expect(page.locator("#counts")).to_contain_text("21 张工单等待处理")
    expect(page).to_have_title("(21) 队列 · llmtriage")
    check_whole(seen)


def test_nothing_hostile_runs(enter: Enter, house: House) -> None:
    """No dialog opens, the policy has nothing to refuse, and letters that are written from right to left stay where they are."""
    hebrew = "שלום \u202e(1) <b>"
    script = "<script>alert(1)</script><img src=x onerror=alert(1)><svg onload=alert(1)>{{7*7}} javascript:alert(1)"
    house.enqueue(
        {
            "id": f"{hebrew}{script}",
            "title": f"{hebrew}{script}",
            "content": f"退款 {hebrew}\n{script}",
            "channel": hebrew,
            "language": "he",
        }
    )
    seen = enter(name="מאי <img src=x onerror=alert(1)>")
    page = seen.page
    page.on("dialog", lambda dialog: seen.troubles.append(dialog.message))
    page.goto(f"{house.url}/review/next?language=he")
    card(page)
    page.locator("textarea[name=note]").fill(f"{hebrew}{script}")
    for path in ("", "/review", "/review/history", "/overview"):
        if path:
            page.goto(house.url + path)
        alone = page.evaluate(
            "() => { const found = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), loose = [];"
            "while (found.nextNode()) { const text = found.currentNode; if (!/[\u0590-\u05ff]/.test(text.data)) continue;"
            "let one = text.parentElement; while (one && !/isolate|plaintext/.test(getComputedStyle(one).unicodeBidi)) one = one.parentElement;"
            "if (!one || one.matches('main, body, html')) loose.push(text.data); } return loose; }"
        )
        assert alone == []
        if not path:
            page.locator("#head").focus()
            page.keyboard.press("1")
            expect(page.locator("#counts")).to_be_visible()
    page.goto(f"{house.url}/review/history")
    expect(page.locator(".answers")).to_contain_text("onerror=alert(1)")
    check_whole(seen)


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
