"""The overview page: the same figures for people, in both languages, with plots that a strict policy takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from decided import accepted, decision, pending, record, ticket
from fastapi.testclient import TestClient
from overseen import accept_probes, answer_twice, decide_probes, promise, promised, run_under
from reviewing_pages import field, person
from serving import URL, Served
from signing_in import PASSWORD

from llmtriage.probability.audit import Audit
from llmtriage.service.pages import drawing
from llmtriage.service.pages import overview as overview_page
from llmtriage.service.pages.overview_words import OVERVIEW_WORDS
from llmtriage.store import accounts
from llmtriage.store.overview import Day

Serve = Callable[..., Served]
HOSTILE = "<script>alert(1)</script>\u202e{{7*7}}=cmd"


def shown(served: Served, language: str = "en") -> str:
    """The page as a person sees it."""
    page = person(served, language=language).get("/overview")
    assert page.status_code == 200
    return page.text


def in_force(served: Served, monkeypatch: pytest.MonkeyPatch, *promises: Any) -> Any:
    """Let a calibration be in force that no engine was asked for."""
    calibration = promised(*promises, words=f"at most 5% {HOSTILE}")
    monkeypatch.setattr(served.service.versions.current.triage, "calibration", calibration)
    return calibration


def plots(page: str) -> list[ET.Element]:
    """Its pictures, which are well formed."""
    return [ET.fromstring(one) for one in re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL)]  # noqa: S314


def test_who_is_not_signed_in_sees_nothing(serve: Serve) -> None:
    """The page asks who it is first."""
    assert serve().client.get("/overview", follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ("No calibration is in force", "Nothing waits.", "Nothing yet.")),
        ("zh", ("没有生效的校准", "没有等待处理的工单", "暂无")),
    ],
)
def test_a_new_service_has_an_overview(serve: Serve, language: str, said: tuple[str, ...]) -> None:
    """Without tickets, answers and promises, in both languages."""
    page = shown(serve(), language)
    assert all(one in page for one in said)
    assert 'aria-current="page"' in page
    other = {"en": "zh", "zh": "en"}[language]
    texts = {pair[other == "zh"] for pair in OVERVIEW_WORDS.values() if "{" not in pair[0]}
    alike = {pair[0] for pair in OVERVIEW_WORDS.values() if pair[0] == pair[1]}
    assert not [one for one in texts - alike if f">{one}<" in page]


def test_what_was_decided_is_shown(serve: Serve) -> None:
    """Today's tickets, what waits and since when, and the categories under their names."""
    served = serve()
    record(served.store, decision(ticket("a", "T1"), accepted("refund_status")), decision(ticket("b", "T2"), pending()))
    page = shown(served)
    assert re.search(r"Accepted</th><td class=\"number\">1</td>", page)
    assert '<a href="/review">1 ticket waits</a>, the oldest for 0 min' in page
    assert "not sure enough</th>" in page
    assert served.service.taxonomy["refund_status"].label("en") in page
    assert "refund_status" not in page


def test_names_of_categories_are_text(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in them, also in what was promised."""
    served = serve()
    in_force(served, monkeypatch, promise(HOSTILE), promise("login", alpha=0.1))
    record(served.store, decision(ticket("a", "T1"), accepted(HOSTILE)))
    page = shown(served)
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 3
    assert "{{7*7}}" in page


@pytest.mark.parametrize(("language", "alarm", "early"), [("en", "Alarm: ", "Not known yet: "), ("zh", "警报：", "尚不清楚：")])
def test_a_broken_promise_is_an_alarm(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, language: str, alarm: str, early: str
) -> None:
    """Before it is known nothing is claimed; then it is said aloud, with the figures in a table and as a line."""
    served = serve()
    calibration = in_force(served, monkeypatch)
    accept_probes(served.store, run_under(calibration), [f"P{n}" for n in range(10)])
    page = shown(served, language)
    assert early in page
    assert 'role="alert"' not in page
    decide_probes(served.store, ["login"] * 8)
    page = shown(served, language)
    assert alarm in page
    assert page.count('role="alert"') == 1
    assert "100.0%" in page
    assert re.search(r'<td class="number">8</td>', page)


@pytest.mark.parametrize(
    ("language", "few", "told_so", "list_of"),
    [
        ("en", "too few", "8.3% (0.2% to 38.5%)", "Tickets that were answered differently"),
        ("zh", "数量太少", "8.3%（0.2% 至 38.5%）", "回答不一致的工单"),
    ],
)
def test_how_far_people_agree_is_shown(serve: Serve, language: str, few: str, told_so: str, list_of: str) -> None:
    """From ten pairs on in numbers; what they differ in is listed for leads, in pages, as text."""
    served = serve(second=1.0)
    one, other = served.service.taxonomy.leaves[:2]
    answer_twice(served, [(one.id, one.id)])
    assert shown(served, language).count(f">{few}<") == 2
    answer_twice(served, [(one.id, other.id)] * 11, start=1)
    page = shown(served, language)
    assert few not in page
    assert told_so in page
    assert re.search(r">0\.\d\d</td>|>-0\.\d\d</td>", page)
    assert list_of in page
    lead = person(served, language=language)
    listed = lead.get("/overview/disagreements").text
    assert listed.count("<section") == 11
    assert "退款 11" in listed
    assert "<b>" not in listed
    assert one.label(language) in listed
    assert "王芳" not in listed


def test_older_disagreements_are_on_the_next_page(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them once."""
    monkeypatch.setattr(overview_page, "_LISTED", 2)
    served = serve(second=1.0)
    one, other = served.service.taxonomy.leaves[:2]
    answer_twice(served, [(one.id, other.id)] * 3)
    lead = person(served)
    first = lead.get("/overview/disagreements").text
    (older,) = re.findall(r'href="(/overview/disagreements\?before=\d+)"', first)
    rest = lead.get(older).text
    assert [re.findall(r"<h2[^>]*>Ticket <bdi>(P\d)", text) for text in (first, rest)] == [["P2", "P1"], ["P0"]]
    assert ">Older ones<" in first
    assert ">Older ones<" not in rest


@pytest.mark.slow
def test_disagreements_are_for_leads(serve: Serve) -> None:
    """Others are told so, and see no link."""
    served = serve()
    accounts.add(served.store.database, "赵敏", PASSWORD, "reviewer")
    browser = TestClient(served.client.app, base_url=URL)
    login = {"csrf": field(browser.get("/login"), "csrf"), "name": "赵敏", "password": PASSWORD}
    browser.post("/login", data=login)
    assert "/overview/disagreements" not in browser.get("/overview").text
    assert browser.get("/overview/disagreements").status_code == 403


def test_a_policy_without_styles_takes_the_page(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """No style, no script and no handler stands in it; every picture is told in words, or only repeats a table."""
    served = serve()
    accept_probes(served.store, run_under(in_force(served, monkeypatch)), ["P1"], "refund_status")
    record(served.store, decision(ticket("a", "T1"), accepted("refund_status")), decision(ticket("b", "T2"), pending()))
    page = person(served).get("/overview")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?! src=\"/static/)", page.text)
    pictures = plots(page.text)
    assert len(pictures) == 6
    for picture in pictures:
        assert picture.get("aria-hidden") == "true" or (picture.get("role") == "img" and picture.get("aria-label"))


def test_bars_stand_on_each_other() -> None:
    """The fullest day is as high as the plot, and its parts are its shares of it."""
    day = Day(day=date(2026, 1, 1), accepted=5, pending=3, probes=2)
    empty, full, half = drawing.bars([Day(day=day.day), day, Day(day=day.day, pending=5)])
    assert empty.parts == ()
    assert [(part.kind, part.y, part.height) for part in full.parts] == [
        ("accepted", 60.0, 60.0),
        ("pending", 24.0, 36.0),
        ("probes", 0.0, 24.0),
    ]
    assert [(part.y, part.height) for part in half.parts] == [(60.0, 60.0)]
    assert full.x + full.width < half.x < half.x + half.width <= drawing.WIDTH
    assert drawing.bars([Day(day=day.day)])[0].parts == ()


def test_what_was_promised_lies_in_the_middle() -> None:
    """Unless more is wrong than fits."""
    good = drawing.gauge(Audit.of([False] * 200, alpha=0.05, delta=0.05))
    assert (good.share, good.alpha) == (0, drawing.WIDTH / 2)
    assert 0 < good.limit < good.alpha
    bad = drawing.gauge(Audit.of([True] * 10, alpha=0.05, delta=0.05))
    assert bad.alpha < drawing.WIDTH / 10 < bad.share <= bad.limit <= drawing.WIDTH
    assert drawing.gauge(Audit.of([], alpha=0.05, delta=0.05)).share == 0
