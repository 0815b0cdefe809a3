"""Tickets that belong to no category."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage.errors import UnknownNameError
from llmtriage.evaluation import Judged, evaluate
from llmtriage.evaluation.outside import caught
from llmtriage.evaluation.text import report_text
from llmtriage.outcomes import Accepted, Pending, Reason
from llmtriage.predictions import Prediction, Scores, SingleLabel
from llmtriage.taxonomy import Category, Taxonomy

OPEN = Taxonomy(categories=(Category(id="refund"), Category(id="invoice")))
CLOSED = Taxonomy(categories=(*OPEN.categories, Category(id="none", catch_all=True)))


def judged(gold: str, shares: list[float], *, category: str | None = None, mass: float | None = None) -> Judged:
    """A ticket with this distribution, accepted as `category` if there is one."""
    answer = Scores(values=np.log(shares), label_mass=mass)
    prediction = Prediction(answer=answer, source="logprobs", model="m")
    if category is None:
        waiting = Pending(suggestion=None, reasons=(Reason(code="below_threshold"),), prediction=prediction)
        return Judged(gold=gold, outcome=waiting, text="t")
    done = Accepted(category=category, team=None, confidence=None, score=max(shares), prediction=prediction)
    return Judged(gold=gold, outcome=done, text="t")


def test_a_ticket_that_belongs_nowhere_is_an_error_whatever_is_accepted() -> None:
    """It counts in accuracy and in the error of the accepted; not in what needs a true category's probability."""
    tickets = [
        judged("refund", [0.9, 0.1], category="refund"),
        judged("invoice", [0.2, 0.8], category="invoice"),
        judged("oos", [0.7, 0.3], category="refund"),
        judged("oos", [0.55, 0.45]),
    ]
    report = evaluate(tickets, OPEN, none_label="oos")
    assert (report.accuracy, report.accepted.n, report.accepted.errors) == (0.5, 3, 1)
    assert (report.n_scored, report.n_confidence) == (2, 4)
    assert report.log_loss == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)
    assert (report.outside.n, report.outside.accepted, report.outside.share) == (2, 1, 0.5)
    assert report.outside.auroc == {"confidence": 1.0, "catch_all": None, "label_mass": None}
    assert report.outside.caught["confidence"] == 1.0
    assert {row.category: (row.n, row.recall, row.accepted) for row in report.per_category}["oos"] == (2, 0.0, 0)
    assert {(pair.gold, pair.predicted): pair.n for pair in report.confusions} == {("oos", "refund"): 2}
    assert "1 of 2 accepted as one all the same (AUROC 1.000 by confidence)" in report_text(report)
    assert "2 张中仍有 1 张被接受为某一类别（AUROC 1.000 按置信度）" in report_text(report, language="zh")


def test_without_being_named_it_is_an_unknown_category() -> None:
    """No label is taken for another by accident."""
    with pytest.raises(UnknownNameError, match="'oos'"):
        evaluate([judged("oos", [0.7, 0.3])], OPEN)
    with pytest.raises(UnknownNameError, match="'refnd'"):
        evaluate([judged("refnd", [0.7, 0.3])], OPEN, none_label="oos")


def test_a_catch_all_has_a_signal_of_its_own() -> None:
    """By its margin over the others; and the surest real category, not the surest of all, is what confidence says."""
    tickets = [
        judged("refund", [0.6, 0.1, 0.3], mass=0.9),
        judged("invoice", [0.1, 0.5, 0.4], mass=0.9),
        judged("none", [0.05, 0.05, 0.9], category="none", mass=0.4),
        judged("none", [0.45, 0.1, 0.45], category="refund", mass=0.95),
    ]
    report = evaluate(tickets, CLOSED)
    assert (report.outside.n, report.outside.accepted) == (2, 1)
    assert report.outside.auroc == {"confidence": 1.0, "catch_all": 1.0, "label_mass": 0.5}
    assert report.outside.caught == {"confidence": 1.0, "catch_all": 1.0, "label_mass": 0.5}


def test_labels_with_a_number_of_their_own_have_one_signal() -> None:
    """The number."""

    def said(gold: str, number: float | None) -> Judged:
        prediction = Prediction(answer=SingleLabel(category="refund", score=number), source="verbalized", model="m")
        return Judged(gold=gold, outcome=Pending(suggestion="refund", reasons=(), prediction=prediction), text="t")

    report = evaluate([said("refund", 0.9), said("oos", 0.5), said("oos", 0.95), said("refund", None)], OPEN, none_label="oos")
    assert report.outside.auroc == {"confidence": 0.5, "catch_all": None, "label_mass": None}


def test_none_at_all_is_said() -> None:
    """A world without them is another world."""
    report = evaluate([judged("refund", [0.9, 0.1])], OPEN)
    assert (report.outside.n, report.outside.share) == (0, None)
    assert set(report.outside.auroc.values()) == {None}
    assert "none of these tickets: nothing is known about such" in report_text(report)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.lists(st.integers(0, 6), min_size=1, max_size=20))
def test_no_more_than_one_in_twenty_of_the_others_is_flagged(inside: list[int], outside: list[int]) -> None:
    """And a larger limit would miss none that it finds: the share is that above the limit."""
    signal = np.array([*inside, *outside], np.float64)
    is_out = np.arange(len(signal)) >= len(inside)
    found = caught(signal, is_out)
    limits = [limit for limit in range(-1, 7) if np.mean(np.array(inside) > limit) <= 0.05]
    assert found == max(np.mean(np.array(outside) > limit) for limit in limits)
