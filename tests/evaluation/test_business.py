"""What a run is worth."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage.errors import InputError
from llmtriage.evaluation import Judged, Rates, evaluate, report_text
from llmtriage.evaluation.business import business_figures
from llmtriage.evaluation.figures import figure
from llmtriage.outcomes import Pending
from llmtriage.probability.metrics import clopper_pearson, wilson
from llmtriage.taxonomy import Taxonomy

RIGHT: list[bool | None] = [True] * 60 + [False] * 4 + [None] * 36
NULLS = ("minutes_saved_per_1000", "minutes_saved_interval", "error_cost_per_1000", "error_cost_interval", "net_per_1000")


def test_by_hand() -> None:
    """The formulas of the docs."""
    rates = Rates(minutes_manual=3, minutes_review=1, minutes_repair=10, error_cost=25, wage_per_hour=30)
    found = business_figures(RIGHT, rates)
    assert (found.handled, found.handled_interval) == (0.64, wilson(64, 100))
    assert found.minutes_saved_per_1000 == pytest.approx(10 * (100 * 3 - 36 * 1 - 4 * 10))
    assert found.error_cost_per_1000 == pytest.approx(10 * 25 * 4)
    assert found.error_cost_interval == pytest.approx(tuple(25_000 * end for end in clopper_pearson(4, 100)))
    assert found.net_per_1000 == pytest.approx(2240 * 30 / 60 - 1000)
    assert found.minutes_saved_interval is not None
    assert found.minutes_saved_interval[0] < 2240 < found.minutes_saved_interval[1]


def test_what_nobody_said_is_null() -> None:
    """Never 0."""
    nothing = business_figures(RIGHT, Rates())
    assert [getattr(nothing, name) for name in NULLS] == [None] * 5
    assert nothing.handled == 0.64
    cost = business_figures(RIGHT, Rates(error_cost=5))
    assert (cost.error_cost_per_1000, cost.minutes_saved_per_1000, cost.net_per_1000) == (200, None, None)
    assert business_figures(RIGHT, Rates(minutes_manual=3, error_cost=5)).net_per_1000 is None
    assert business_figures([True] * 29, Rates(minutes_manual=3)).minutes_saved_interval is None


def test_no_error_may_still_cost_something() -> None:
    """The interval says how much, where a bootstrap would say nothing."""
    found = business_figures([True] * 50, Rates(error_cost=10))
    assert found.error_cost_per_1000 == 0
    assert found.error_cost_interval == pytest.approx((0, 10_000 * clopper_pearson(0, 50)[1]))


@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=60), st.floats(0.1, 60))
def test_without_acceptance_nothing_is_saved(right: list[bool | None], minutes: float) -> None:
    """By default a review takes as long as sorting by hand, and so does a repair: what is saved is a * m - e * m."""
    assert business_figures([None] * len(right), Rates(minutes_manual=minutes)).minutes_saved_per_1000 == pytest.approx(
        0, abs=1e-9
    )
    saved = business_figures(right, Rates(minutes_manual=minutes)).minutes_saved_per_1000
    gained = sum(one is not None for one in right) - sum(one is False for one in right)
    assert saved == pytest.approx(1000 * minutes * gained / len(right), abs=1e-7)


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({"minutes_review": 1}, "--minutes-review: this alone tells no minutes saved; say with --minutes-manual"),
        ({"wage_per_hour": 30, "error_cost": 2}, "--wage-per-hour: this alone tells no minutes saved"),
        ({"minutes_manual": -1}, "minutes manual is -1"),
        ({"minutes_manual": 0}, "minutes manual is 0"),
        ({"minutes_manual": float("nan")}, "minutes manual is nan"),
        ({"error_cost": float("inf")}, "error cost is inf"),
    ],
)
def test_rates_that_say_nothing(rates: dict[str, Any], words: str) -> None:
    """One line."""
    with pytest.raises(InputError, match=words):
        Rates(**rates)


def test_in_the_report() -> None:
    """Text in both languages only where somebody asked; figures by name always."""
    tickets = [Judged(gold="a", outcome=Pending(suggestion=None, reasons=()), text="t")] * 3
    taxonomy = Taxonomy.from_labels(["a", "b"])
    plain = evaluate(tickets, taxonomy)
    assert "What it is worth" not in report_text(plain)
    assert figure(plain, "business.minutes_saved_per_1000") is None
    rated = evaluate(tickets, taxonomy, rates=Rates(minutes_manual=2.5, minutes_review=0.5, error_cost=4, wage_per_hour=60))
    assert figure(rated, "business.minutes_saved_per_1000") == pytest.approx(2000)
    assert figure(rated, "business.net_per_1000") == pytest.approx(2000)
    assert "= 1,000 × 2.5 by hand - 1,000 that wait × 0.5 - 0 wrong × 2.5" in report_text(rated)
    assert "= 人工 1,000 × 2.5 - 等待 1,000 × 0.5 - 错误 0 × 2.5" in report_text(rated, language="zh")
