"""Intervals of shares and of any figure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from llmtriage.errors import InputError
from llmtriage.probability import metrics

counts = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=60, deadline=None)
@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_of_a_share_agree_with_scipy(counted: tuple[int, int], level: float) -> None:
    """Both hold the share and touch 0 and 1 exactly at the ends."""
    test = stats.binomtest(*counted)
    exact = test.proportion_ci(confidence_level=level, method="exact")
    score = test.proportion_ci(confidence_level=level, method="wilson")
    for figure, theirs in ((metrics.clopper_pearson, exact), (metrics.wilson, score)):
        low, high = figure(*counted, level=level)
        assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert low <= counted[0] / counted[1] <= high
        assert (low == 0) == (counted[0] == 0)
        assert (high == 1) == (counted[0] == counted[1])


@pytest.mark.parametrize("figure", [metrics.clopper_pearson, metrics.wilson])
@pytest.mark.parametrize(("successes", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 0.0), (1, 2, 1.0), (1, 2, math.nan)])
def test_an_impossible_share_has_no_interval(figure: Any, successes: int, n: int, level: float) -> None:
    """One line."""
    with pytest.raises(InputError, match="interval of"):
        figure(successes, n, level=level)


def plain_bootstrap(figure: Any, *columns: Any) -> tuple[float, float]:
    """The same draws, all at once."""
    n = len(columns[0])
    picks = np.random.default_rng(0).integers(0, n, (2000, n))
    values = [figure(*(np.asarray(column)[pick] for column in columns)) for pick in picks]
    low, high = np.percentile([value for value in values if value is not None], [2.5, 97.5])
    return float(low), float(high)


@pytest.mark.slow
@pytest.mark.parametrize("figure", [metrics.auroc, metrics.ece, metrics.top_brier], ids=["AUROC", "ECE", "Brier"])
def test_the_bootstrap_draws_whole_tickets(figure: Any) -> None:
    """2,000 times with a fixed seed, and takes the percentiles."""
    generator = np.random.default_rng(2)
    confidence = generator.random(40)
    correct = generator.random(40) < confidence
    found = metrics.bootstrap_interval(figure, confidence, correct)
    assert found == pytest.approx(plain_bootstrap(figure, confidence, correct))
    assert found == metrics.bootstrap_interval(figure, confidence, correct)
    assert found != metrics.bootstrap_interval(figure, confidence, correct, seed=1)


def test_the_bootstrap_takes_rows_of_a_table() -> None:
    """As the log loss needs."""
    rows, gold = np.random.default_rng(0).dirichlet([1, 1, 1], 30), np.arange(30) % 3
    assert metrics.bootstrap_interval(metrics.log_loss, rows, gold) == pytest.approx(
        plain_bootstrap(metrics.log_loss, rows, gold)
    )


def test_few_tickets_have_no_bootstrap() -> None:
    """29 say too little about their own spread."""
    assert metrics.bootstrap_interval(np.mean, np.arange(29)) is None
    assert metrics.bootstrap_interval(np.mean, np.arange(30)) is not None


def test_a_figure_that_hardly_ever_exists() -> None:
    """Draws without it are left out; if none is left there is no interval."""
    one_wrong = ([0.9] * 29 + [0.1], [1] * 29 + [0])
    assert metrics.bootstrap_interval(metrics.auroc, *one_wrong) == (1.0, 1.0)
    assert metrics.bootstrap_interval(metrics.auroc, [0.9] * 30, [1] * 30) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"draws": 0}, "the number of draws is 0"), ({"level": 1.0}, "the level is 1.0"), ({"level": math.nan}, "the level is nan")],
)
def test_a_bootstrap_out_of_range_is_refused(arguments: dict[str, Any], words: str) -> None:
    """One line, also below thirty tickets."""
    with pytest.raises(InputError, match=f"^bootstrap interval: {words}"):
        metrics.bootstrap_interval(np.mean, [1.0], **arguments)


def test_columns_of_different_lengths_are_refused() -> None:
    """They are about other tickets."""
    with pytest.raises(InputError, match=r"^bootstrap interval: 2 and 3 values"):
        metrics.bootstrap_interval(metrics.auroc, [0.1, 0.2], [1, 0, 1])


@pytest.mark.slow
def test_the_bootstrap_covers() -> None:
    """The true AUROC of a normal pair in about 95 of 100 samples of 100; 88 in 100 of 150 samples are few enough to notice a fault."""
    generator, covered = np.random.default_rng(7), 0
    truth = float(stats.norm.cdf(1 / math.sqrt(2)))
    for _ in range(150):
        correct = np.arange(100) % 2
        confidence = stats.norm.cdf(generator.normal(size=100) + correct)
        interval = metrics.bootstrap_interval(metrics.auroc, confidence, correct, draws=300)
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
    assert covered >= 0.88 * 150
