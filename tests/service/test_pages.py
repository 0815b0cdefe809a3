"""The pages without script: a person signs in, answers, skips and takes back, and nothing hostile is more than text."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from reviewing_pages import Serve, answer, enqueue, field, person

from llmtriage.errors import StoreError
from llmtriage.service.pages import faults, rendering
from llmtriage.service.pages.words import WORDS
from llmtriage.service.problems import Problem
from llmtriage.store import Queue, sessions

STATIC = Path(rendering.__file__).parent / "static"
HTMX = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"


# -- who -------------------------------------------------------------------------------------------


def test_who_is_not_signed_in_is_asked_first(client: TestClient) -> None:
    """And comes to the page that was wanted."""
    asked = client.get("/review?lane=pending", follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=/review%3Flane%3Dpending")
    login = client.get(asked.headers["location"])
    form = {"csrf": field(login, "csrf"), "next": field(login, "next"), "name": "Mei 梅"}
    assert client.post("/login", data=form, follow_redirects=False).headers["location"] == "/review?lane=pending"
    assert "Mei 梅" in client.get("/review").text


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_leads_nowhere_else(client: TestClient, wanted: str) -> None:
    """An address elsewhere is not gone to."""
    form = {"csrf": field(client.get("/login"), "csrf"), "next": wanted, "name": "Mei"}
    assert client.post("/login", data=form, follow_redirects=False).headers["location"] == "/review"


def test_signing_out_ends_it(serve: Serve) -> None:
    """The next page asks who it is."""
    browser = person(serve())
    browser.post("/logout", data={"csrf": field(browser.get("/review"), "csrf")})
    assert browser.get("/review", follow_redirects=False).status_code == 303


def test_a_form_of_another_session_changes_nothing(serve: Serve) -> None:
    """It is refused, on a page."""
    served = serve()
    enqueue(served, 1)
    browser = person(served)
    page = browser.get("/review/next")
    form = {"csrf": "0" * 64, "token": field(page, "token"), "text": field(page, "text"), "answer": "other"}
    refused = browser.post(str(page.url), data=form)
    assert (refused.status_code, refused.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert served.store.queue.counts().entries == 1


# -- one ticket after another ----------------------------------------------------------------------


@pytest.mark.parametrize(("language", "said"), [("en", "Saved: Where is my refund"), ("zh", "已保存：")])
def test_an_answer_is_kept_and_the_next_ticket_comes(serve: Serve, language: str, said: str) -> None:
    """In both languages, with the note; without script there is a redirect between."""
    served = serve()
    enqueue(served, 2)
    browser = person(served, language=language)
    page = browser.get("/review/next")
    assert page.url.path == "/review/1"
    following = answer(browser, page, answer="refund_status", note="same as before")
    assert [step.status_code for step in following.history] == [303]
    assert following.url.path == "/review/2"
    assert said in following.text
    [kept] = served.store.queue.history("Mei")
    assert (kept.category, kept.note, kept.shown, kept.active_ms) == ("refund_status", "same as before", True, None)


@pytest.mark.slow
def test_a_script_gets_answer_and_next_ticket_in_one_response(serve: Serve) -> None:
    """With the address to show."""
    served = serve()
    enqueue(served, 2)
    browser = person(served)
    page = browser.get("/review/next")
    following = answer(browser, page, script=True, answer="refund_status", active_ms="2345")
    assert not following.history
    assert following.headers["HX-Push-Url"] == "/review/2"
    assert 'data-entry="2"' in following.text
    assert served.store.queue.history("Mei")[0].active_ms == 2345
    last = answer(browser, following, script=True, answer="other")
    assert "Nothing waits." in last.text
    assert last.headers["HX-Push-Url"] == "/review"


def test_skip_and_undo(serve: Serve) -> None:
    """A skipped ticket does not come again; an answer that was taken back does."""
    served = serve()
    enqueue(served, 3)
    browser = person(served)
    second = answer(browser, browser.get("/review/next"), action="skip")
    assert second.url.path == "/review/2"
    third = answer(browser, second, answer="other")
    again = answer(browser, third, action="undo")
    assert again.url.path == "/review/2"
    assert "Taken back: Other" in again.text
    assert "no answer to take back" in answer(browser, again, action="undo").text
    assert served.store.queue.item(3).held_by is None


def test_the_last_answer_can_be_taken_back_where_nothing_waits(serve: Serve) -> None:
    """From the queue; then its ticket is there again."""
    served = serve()
    enqueue(served, 1)
    browser = person(served)
    empty = answer(browser, browser.get("/review/next"), answer="other")
    assert empty.url.path == "/review"
    again = browser.post("/review/undo", data={"csrf": field(empty, "csrf")})
    assert again.url.path == "/review/1"
    page = browser.post("/review/undo", data={"csrf": field(again, "csrf")})
    assert "no answer to take back" in page.text


@pytest.mark.slow
def test_a_person_is_told_of_no_ticket_that_only_others_can_answer(serve: Serve) -> None:
    """A second opinion on an own answer waits for others alone."""
    served = serve(second=1.0)
    enqueue(served, 1)
    browser, other = person(served), person(served, "李强")
    assert "Nothing waits." in answer(browser, browser.get("/review/next"), answer="other").text
    assert "1 ticket waits" in other.get("/review").text
    last = answer(other, other.get("/review/next"), action="skip")
    assert "Nothing waits." in last.text


def test_own_answers_can_be_taken_back_from_their_list(serve: Serve) -> None:
    """Each once."""
    served = serve()
    enqueue(served, 2)
    browser = person(served)
    answer(browser, answer(browser, browser.get("/review/next"), answer="other"), answer="refund_status")
    page = browser.get("/review/history")
    assert page.text.count("/undo") == 2
    taken = browser.post("/review/1/undo", data={"csrf": field(page, "csrf")})
    assert taken.url.path == "/review/1"
    page = browser.get("/review/history")
    assert (page.text.count("/undo"), page.text.count("<em>taken back</em>")) == (1, 1)
    assert browser.post("/review/1/undo", data={"csrf": field(page, "csrf")}).url.path == "/review/history"


def test_two_people_never_have_the_same_ticket(serve: Serve) -> None:
    """And one cannot look over the other's shoulder."""
    served = serve()
    enqueue(served, 2)
    mei, tom = person(served, "Mei"), person(served, "Tom")
    first, second = mei.get("/review/next"), tom.get("/review/next")
    assert {first.url.path, second.url.path} == {"/review/1", "/review/2"}
    away = tom.get("/review/1")
    assert "somebody else has it" in away.text
    assert "退款" not in away.text


@pytest.mark.slow
def test_an_answer_that_comes_too_late_is_told(serve: Serve) -> None:
    """Nothing is kept, and the next ticket comes."""
    served = serve()
    enqueue(served, 2)
    mei, tom = person(served, "Mei"), person(served, "Tom")
    page = mei.get("/review/next")
    served.store.queue.release(served.store.queue.item(1), "Mei")
    assert tom.get("/review/next").url.path == "/review/1"
    late = answer(mei, page, answer="other")
    assert late.url.path == "/review/2"
    assert "Not saved: somebody else has that ticket" in late.text
    assert served.store.queue.history("Mei") == ()


def test_a_shown_ticket_is_lent_for_longer(serve: Serve) -> None:
    """As long as it is still this person's."""
    served = serve()
    enqueue(served, 1)
    mei, tom = person(served, "Mei"), person(served, "Tom")
    page = mei.get("/review/next")
    before = served.store.queue.item(1).held_until
    form = {"csrf": field(page, "csrf"), "token": field(page, "token")}
    assert mei.post("/review/1/extend", data=form).status_code == 204
    after = served.store.queue.item(1).held_until
    assert before is not None
    assert after is not None
    assert after > before
    served.store.queue.release(served.store.queue.item(1), "Mei")
    tom.get("/review/next")
    assert mei.post("/review/1/extend", data=form).status_code == 409


@pytest.mark.parametrize("category", ["gone", "after_sales", "9" * 5_000])
def test_a_category_that_is_no_leaf_is_told(serve: Serve, category: str) -> None:
    """The ticket stays."""
    served = serve()
    enqueue(served, 1)
    browser = person(served)
    page = answer(browser, browser.get("/review/next"), answer=category, note="what I wrote")
    assert page.url.path == "/review/1"
    assert "no longer in the taxonomy" in page.text
    assert ">what I wrote</textarea>" in page.text
    assert served.store.queue.counts().entries == 1


def test_a_store_that_is_away_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a page, with the status that a script understands."""
    served = serve()
    enqueue(served, 1)
    browser = person(served)
    page = browser.get("/review/next")

    def broken(*_: object, **__: object) -> None:
        raise StoreError("the store is away", store="x")

    monkeypatch.setattr(Queue, "answer", broken)
    told = answer(browser, page, answer="other")
    assert (told.status_code, told.headers["content-type"]) == (503, "text/html; charset=utf-8")
    monkeypatch.setattr(sessions, "find", broken)
    told = browser.get("/review/1", headers={"Accept-Language": "zh"})  # not even who is signed in can be known
    assert (told.status_code, told.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "服务暂时无法工作" in told.text
    assert '<a class="button main" href="/review/1">重试</a>' in told.text
    assert told.headers["retry-after"]


@pytest.mark.parametrize(("fault", "is_asked"), [(StoreError("the store is away", store="x"), False), (Problem(404, "无"), True)])
def test_who_is_signed_in_is_looked_up_beside_the_loop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, fault: Exception, *, is_asked: bool
) -> None:
    """And not at all in a store that is away: others would wait meanwhile."""
    beside: list[bool] = []

    def look(_: object) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            beside.append(True)
        else:
            beside.append(False)

    def broken(*_: object, **__: object) -> None:
        raise fault

    browser = person(serve())
    monkeypatch.setattr(Queue, "history", broken)
    monkeypatch.setattr(faults, "signed_in", look)
    assert browser.get("/review/history").status_code in (404, 503)
    assert beside == [True] * is_asked


@pytest.mark.parametrize(("language", "said"), [("en", "There is nothing here"), ("zh", "这里没有内容")])
def test_a_path_that_is_none_is_told_as_it_is_asked(client: TestClient, language: str, said: str) -> None:
    """A browser gets a page, another program a problem."""
    page = client.get("/nothing", headers={"Accept": "text/html,*/*;q=0.8", "Accept-Language": language})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert f'<h1 tabindex="-1">{said}</h1>' in page.text
    assert "Not Found" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/nothing").headers["content-type"] == "application/problem+json"
    assert client.get("/classify/single", headers={"Accept": "text/html"}).status_code == 405


@pytest.mark.parametrize("path", ["/review/99", "/review/0", "/review?lane=x", "/review?age=1y", "/review/next?category=none"])
def test_what_is_not_there_is_told_on_a_page(serve: Serve, path: str) -> None:
    """With a way back."""
    page = person(serve()).get(path)
    assert page.status_code in (404, 422)
    assert 'href="/review"' in page.text


# -- finding ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["refund st", "退款", "refund_status", "tuikuan", "tk"])
def test_a_category_is_found_without_script(serve: Serve, typed: str) -> None:
    """By name in any language, id, or how it is typed; the note that was begun is still there, and nothing is answered."""
    served = serve()
    enqueue(served, 1)
    browser = person(served)
    page = answer(browser, browser.get("/review/next"), action="find", find=typed, note="第一次来 <b>")
    assert 'value="refund_status"' in page.text.split('id="found"')[1].split("</div>\n<details")[0]
    assert field(page, "find") == typed
    assert ">第一次来 &lt;b&gt;</textarea>" in page.text
    assert served.store.queue.history("Mei") == ()
    assert 'value="refund_status"' in browser.get("/review/categories", params={"find": typed}).text


def test_the_queue_is_counted_and_filtered(serve: Serve) -> None:
    """The filters go with the person from ticket to ticket."""
    served = serve()
    enqueue(served, 2, language="zh")
    enqueue(served, 1, id="E1", language="en", content="Where is my parcel, it is late")
    browser = person(served)
    page = browser.get("/review")
    assert "3 tickets wait, the oldest for 0 min" in page.text
    assert "3 张工单等待处理，最早的已等待 0 分钟" in browser.get("/review", headers={"Accept-Language": "zh"}).text
    assert "<title>(3) Queue · llmtriage</title>" in page.text
    assert "1 ticket waits" in browser.get("/review", params={"language": "en"}).text
    page = browser.get("/review", params={"age": "1h"})
    assert "Nothing waits that fits the filters." in page.text
    assert '<a class="button" href="/review">Show all</a>' in page.text
    page = browser.get("/review/next", params={"language": "en"})
    assert page.url.path == "/review/3"
    done = answer(browser, page, answer="order_tracking")
    assert (done.url.path, done.url.params["language"]) == ("/review", "en")


# -- what is shown ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_was_hidden_and_cut_is_marked(serve: Serve) -> None:
    """And can be read as it was received."""
    served = serve()
    enqueue(served, 1, content="<p>Call me: 13812345678</p>")
    text = person(served).get("/review/next").text
    assert re.search(r"<mark[^>]*>\[PHONE_1\]</mark>", text)
    assert "Removed or changed before the model saw it: markup, personal data." in text
    assert "&lt;p&gt;Call me: 13812345678&lt;/p&gt;" in text.split("As it was received")[1]


def test_similar_tickets_that_people_decided_are_shown(serve: Serve) -> None:
    """When they are asked for, with their category; of a blind ticket never."""
    served = serve()
    enqueue(served, 2)
    browser = person(served)
    answer(browser, browser.get("/review/next"), answer="refund_status")
    assert "Where is my refund" in browser.get("/review/2/similar").text
    page = answer(browser, browser.get("/review/2"), action="similar", note="still here")
    assert "<blockquote" in page.text
    assert ">still here</textarea>" in page.text


def test_who_searches_in_a_ticket_that_is_gone_comes_to_the_next(serve: Serve) -> None:
    """And is told so."""
    served = serve()
    enqueue(served, 2)
    mei, tom = person(served, "Mei"), person(served, "Tom")
    page = mei.get("/review/next")
    served.store.queue.release(served.store.queue.item(1), "Mei")
    tom.get("/review/next")
    late = answer(mei, page, action="find", find="退款")
    assert late.url.path == "/review/2"
    assert "Not saved: somebody else has that ticket" in late.text


def test_a_probe_holds_nothing_of_the_model(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page is the same whatever the model said, and nothing on it is preferred."""
    served = serve(triage={"probe": 1.0, "threshold": 0.0})
    enqueue(served, 1)
    browser = person(served)
    text = browser.get("/review/next").text
    item = served.store.queue.item(1)
    assert item.blind
    for word in ("suggested</em>", 'class="button main"', 'data-key="c"', "<blockquote", "0."):
        assert word not in text.split('id="card"')[1].split('class="help"')[0]
    page = browser.get("/review/1").text
    shown = re.findall(r'name="answer" value="([^"]+)"', page.split('class="tree"')[1])
    assert shown == [leaf.id for leaf in served.service.taxonomy.leaves]
    said = replace(item, suggestion="other")  # were it there, the page would not take it
    monkeypatch.setattr(Queue, "item", lambda *_: said)
    assert browser.get("/review/1").text == page


# -- what they are made of -------------------------------------------------------------------------


def test_templates_escape_everything() -> None:
    """No filter that marks text as safe, no script and no style inside a page."""
    environment = rendering.environment()
    assert environment.autoescape is True
    sources = {name: (Path(rendering.__file__).parent / "templates" / name).read_text() for name in environment.list_templates()}
    assert {"base.html.j2", "ticket.html.j2"} <= set(sources)
    for name, source in sources.items():
        assert not re.search(r"\|\s*safe|autoescape|Markup", source), name
        assert not re.search(r"<style|style=|\son\w+=|<script(?! src=)|javascript:", source), name


def test_every_word_has_both_languages() -> None:
    """And the same places for facts."""
    for key, (english, chinese) in WORDS.items():
        assert english, key
        assert chinese, key
        assert english.count("{}") == chinese.count("{}"), key


@pytest.mark.parametrize(
    ("asked", "accepted", "shown"),
    [("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"), ("", "de,en;q=0.5,zh;q=0.4", "en"), ("zh", "en", "zh-CN"), ("", "fr", "en")],
)
def test_the_language_of_a_page(client: TestClient, asked: str, accepted: str, shown: str) -> None:
    """What the address says, which is remembered; else the browser; else the settings."""
    page = client.get("/login", params={"lang": asked} if asked else {}, headers={"Accept-Language": accepted})
    assert f'<html lang="{shown}">' in page.text
    if asked:
        assert f'<html lang="{shown}">' in client.get("/login", headers={"Accept-Language": accepted}).text


def test_the_vendored_script_is_the_one_that_was_looked_at(client: TestClient) -> None:
    """Unchanged, with its licence beside it."""
    assert hashlib.sha256((STATIC / "htmx.min.js").read_bytes()).hexdigest() == HTMX
    notice = client.get("/static/NOTICE")
    assert "2.0.11" in notice.text
    assert "0BSD" in notice.text
    assert client.get("/static/htmx.min.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/static/..%2fwords.py").status_code == 404
