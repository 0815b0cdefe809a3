"""Tickets split by what they have in common."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from evaluation.paged import calibrated, promise, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage.evaluation import Judged, evaluate, report_text
from llmtriage.evaluation.judging import Tickets
from llmtriage.evaluation.report import SliceFigures
from llmtriage.evaluation.slicing import guessed_language, sliced_fields, slices
from llmtriage.outcomes import Accepted, Pending, Reason
from llmtriage.predictions import Prediction, SingleLabel
from llmtriage.probability.metrics import excess_over_rest
from llmtriage.taxonomy import Taxonomy
from llmtriage.tickets import Ticket

AB = Taxonomy.from_labels(["a", "b"])


def judged(value: str | None, *, right: bool = True, accepted: bool = True, sure: float = 0.9, taxonomy: Taxonomy = AB) -> Judged:
    """A ticket of a channel."""
    gold, other = (leaf.id for leaf in taxonomy.leaves[:2])
    said = gold if right else other
    prediction = Prediction(answer=SingleLabel(category=said, score=sure), source="stored", model="m")
    outcome: Accepted | Pending = Pending(suggestion=said, reasons=(Reason(code="below_threshold"),), prediction=prediction)
    if accepted:
        outcome = Accepted(category=said, team=None, confidence=None, score=sure, prediction=prediction)
    return Judged(gold=gold, outcome=outcome, text="t", fields={} if value is None else {"channel": value})


def groups(tickets: list[Judged]) -> tuple[SliceFigures, ...]:
    """By channel."""
    return evaluate(tickets, AB, by=["channel"]).slices[0].groups


@settings(max_examples=3)
@given(
    st.lists(st.tuples(st.sampled_from(["mail", "chat", "电话", None]), st.booleans(), st.booleans()), min_size=1, max_size=40)
)
def test_the_parts_are_the_whole(rows: list[tuple[str | None, bool, bool]]) -> None:
    """Each ticket is in one part: counts add up, and shares do by their weights."""
    tickets = [judged(value, right=right, accepted=accepted) for value, right, accepted in rows]
    report = evaluate(tickets, AB, by=["channel"])
    parts = report.slices[0].groups
    assert {part.value: part.n for part in parts} == Counter(value for value, _, _ in rows)
    assert sum(part.accuracy * part.n for part in parts) == pytest.approx(report.accuracy * report.n)
    assert sum(part.accepted.n for part in parts) == report.accepted.n
    assert sum(part.accepted.errors for part in parts) == report.accepted.errors
    for part in parts:
        alone = evaluate([ticket for ticket in tickets if ticket.fields.get("channel") == part.value], AB)
        assert (part.accuracy_interval, part.accepted) == (alone.accuracy_interval, alone.accepted)


def test_rare_values_are_taken_together() -> None:
    """20 by name, most frequent first; then the others, then tickets without a value."""
    tickets = [judged(f"c{i}") for i in range(23) for _ in range(30 - i)] + [judged(None)] * 50
    found = groups(tickets)
    assert [part.value for part in found[:20]] == [f"c{i}" for i in range(20)]
    assert [(part.value, part.merged, part.n) for part in found[20:]] == [(None, 3, 10 + 9 + 8), (None, 0, 50)]


def test_a_bad_slice_is_named() -> None:
    """Fisher's test against all others, corrected for both slices that have accepted tickets; a third has none."""
    good = [judged("mail")] * 95 + [judged("mail", right=False)] * 5
    bad = [judged("电话")] * 20 + [judged("电话", right=False)] * 10
    report = evaluate([*good, *bad, judged("chat", accepted=False)], AB, by=["channel"])
    (found,) = report.slices
    assert (found.against, found.tests) == ("all", 2)
    assert found.limit == pytest.approx(15 / 130)
    by_value = {part.value: part for part in found.groups}
    assert [by_value[name].worse for name in ("mail", "电话", "chat")] == [False, True, False]
    assert by_value["chat"].p is None
    assert by_value["电话"].p == pytest.approx(2 * excess_over_rest(10, 30, 15, 130))
    english, chinese = report_text(report), report_text(report, language="zh")
    assert (
        "channel 电话: 10 of 30 routed tickets are wrong (33.3 %), more than the 11.5 % of all by more than chance"
        in " ".join(english.split())
    )
    assert "Fisher's exact test" in english
    assert "渠道 电话：自动分派的 30 张中有 10 张错误（33.3 %），显著高于总体的 11.5 %" in chinese.replace("\n", "").replace(
        " （", "（"
    )


def test_a_slice_is_held_against_the_promise() -> None:
    """With a calibration: the binomial test at its alpha."""
    leaves = tree(3)
    calibration = calibrated(("category_0 category_1", promise(alpha=0.1)))
    tickets = [judged("mail", taxonomy=leaves)] * 60 + [judged("chat", right=False, taxonomy=leaves)] * 6
    report = evaluate(tickets, leaves, calibration=calibration, by=["channel"])
    (found,) = report.slices
    assert (found.against, found.limit) == ("promise", 0.1)
    assert {part.value: part.worse for part in found.groups} == {"mail": False, "chat": True}
    assert {part.value: part.p for part in found.groups}["chat"] == pytest.approx(2 * 0.1**6)
    assert "The promise is about all tickets together." in " ".join(report_text(report).split())


def test_nothing_wrong_gives_no_warning() -> None:
    """However many slices there are: few of many reports warn."""
    random, warned = np.random.default_rng(1), 0
    for _ in range(80):
        tickets = [judged(f"c{random.integers(8)}") for _ in range(200)]
        right = [bool(one > 0.1) for one in random.random(200)]
        (found,) = slices(Tickets(tickets, AB), right, ["channel"], None)
        warned += any(part.worse for part in found.groups)
    assert warned <= 11  # of 80 at 5 %: more has chance 0.001


def test_calibration_of_a_slice_needs_100_tickets() -> None:
    """Below that it is null, never a number that says nothing."""
    tickets = [judged("mail", right=bool(i % 10)) for i in range(100)] + [judged("chat")] * 99
    mail, chat = groups(tickets)
    assert mail.ece == pytest.approx(0.0, abs=1e-9)
    assert mail.ece_limit is not None
    assert (chat.ece, chat.ece_limit) == (None, None)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("我的快递到哪里了", "guessed zh"),
        ("Xiaomi 路由器 AX3000 连不上 WiFi", "guessed zh"),
        ("where is my parcel", "guessed other"),
        ("返品したいのですが、どうすればいいですか", "guessed other"),
        ("Wo ist mein 包裹?", "guessed other"),
        ("12345 !!!", None),
        ("", None),
    ],
)
def test_a_language_is_guessed(text: str, language: str | None) -> None:
    """Chinese or other."""
    assert guessed_language(text) == language


@pytest.mark.parametrize(
    ("n", "length"), [(0, None), (1, "short"), (100, "short"), (101, "medium"), (500, "medium"), (501, "long")]
)
def test_the_edges_of_length(n: int, length: str | None) -> None:
    """As the docs say."""
    assert sliced_fields(Ticket(content=""), "字" * n, ["length"]).get("length") == length


def test_what_a_ticket_tells_comes_first() -> None:
    """Its own language is not guessed; a column may be called length; fields it does not have are left out."""
    ticket = Ticket(content="x", language="de", channel=" mail ", metadata={"Length": "3", "region": ""})
    found = sliced_fields(ticket, "我的快递到哪里了", ["language", "channel", "length", "region", "shop"])
    assert found == {"language": "de", "channel": "mail", "length": "3"}


def test_a_value_is_only_text() -> None:
    """It comes from a file."""
    report = evaluate([judged("\x1b[2Jtitle\u202e")] * 3, AB, by=["channel"])
    text = report_text(report)
    assert "\x1b" not in text
    assert "\u202e" not in text
