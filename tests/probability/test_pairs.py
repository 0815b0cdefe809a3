"""Two runs over the same tickets: tests and intervals of the difference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llmtriage.errors import InputError
from llmtriage.probability.metrics import mcnemar, mcnemar_mid_p, mean_interval, paired_bootstrap, paired_interval


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_the_interval_of_accuracy_holds_the_difference(lost: int, gained: int, same: int) -> None:
    """It lies in [-1, 1] and is never a point, whatever the tickets."""
    n = max(1, lost + gained + same)
    low, high = paired_interval(lost, gained, n)
    assert -1 <= low <= (gained - lost) / n <= high <= 1
    assert low < high


def test_the_interval_of_accuracy_by_hand() -> None:
    """22 of 48 more, 26 against 4: (27 - 5) / 50 and 1.96 standard errors of sqrt((0.54 + 0.1 - 0.44^2) / 50)."""
    assert paired_interval(4, 26, 48) == pytest.approx((0.44 - 1.959964 * 0.09448809, 0.44 + 1.959964 * 0.09448809))


@pytest.mark.parametrize(("better", "worse"), [(0.1, 0.1), (0.3, 0.1), (0.05, 0.0), (0.5, 0.3)])
@pytest.mark.parametrize("n", [20, 50])
def test_the_interval_of_accuracy_covers(n: int, better: float, worse: float) -> None:
    """The true difference in at least 94 of 100 samples, counted over every possible sample."""
    same, covered = 1 - better - worse, 0.0
    for gained in range(n + 1):
        for lost in range(n + 1 - gained):
            low, high = paired_interval(lost, gained, n)
            if low <= better - worse <= high:
                covered += stats.multinomial.pmf([gained, lost, n - gained - lost], n, [better, worse, same])
    assert covered >= 0.94


@pytest.mark.parametrize(
    ("lost", "gained", "p"), [(0, 0, 1.0), (3, 3, 1.0), (0, 6, 2 / 64), (1, 7, 2 * 9 / 256), (7, 1, 2 * 9 / 256)]
)
def test_mcnemar_by_hand(lost: int, gained: int, p: float) -> None:
    """From the coefficients of the binomial distribution."""
    assert mcnemar(lost, gained) == pytest.approx(p)


@given(st.integers(0, 60))
def test_mcnemar_errs_at_most_once_in_twenty(discordant: int) -> None:
    """Counted over every possible split, where neither is better."""
    errs = sum(math.comb(discordant, k) for k in range(discordant + 1) if mcnemar(discordant - k, k) < 0.05)
    assert errs / 2**discordant <= 0.05


@pytest.mark.slow
def test_the_interval_of_log_loss_covers() -> None:
    """The true mean of skewed differences in at least 90 of 100 samples of 30."""
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(30):
        interval = mean_interval(random.exponential(size=30) - 1)
        assert interval is not None
        covered += interval[0] <= 0 <= interval[1]
    assert covered >= 27


def test_the_interval_of_log_loss_is_wider_than_plain_percentiles_and_repeats() -> None:
    """About as wide as Student's t on well-behaved differences; the seed is fixed."""
    values = np.random.default_rng(1).normal(size=25)
    interval = mean_interval(values)
    assert interval == mean_interval(values)
    assert interval is not None
    half = stats.t.ppf(0.975, 24) * values.std(ddof=1) / 5
    assert interval[1] - interval[0] == pytest.approx(2 * half, rel=0.06)


def test_nine_differences_have_no_interval() -> None:
    """They say too little about their own spread; ten that are equal have a point."""
    assert mean_interval(np.zeros(9)) is None
    assert mean_interval(np.zeros(10)) == (0.0, 0.0)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_agrees_with_scipy(lost: int, gained: int) -> None:
    """The exact two-sided binomial test; the mid-p value takes half the chance of splits as likely."""
    exact = mcnemar(lost, gained)
    if lost + gained == 0:
        assert (exact, mcnemar_mid_p(lost, gained)) == (1, 1)
        return
    assert exact == pytest.approx(stats.binomtest(lost, lost + gained).pvalue)
    chances = stats.binom.pmf(np.arange(lost + gained + 1), lost + gained, 0.5)
    as_likely = chances[np.isclose(chances, chances[lost], rtol=1e-9, atol=0)].sum()
    assert mcnemar_mid_p(lost, gained) == pytest.approx(exact - as_likely / 2)
    assert mcnemar_mid_p(lost, gained) == mcnemar_mid_p(gained, lost)


@pytest.mark.parametrize(("lost", "gained", "p"), [(1, 7, 0.0390625), (3, 3, 0.84375), (0, 0, 1.0), (0, 6, 0.015625)])
def test_mid_p_by_hand(lost: int, gained: int, p: float) -> None:
    """The first is the worked example of Fagerland et al."""
    assert mcnemar_mid_p(lost, gained) == pytest.approx(p)


def test_the_paired_bootstrap_keeps_pairs_together() -> None:
    """Two runs that differ by the same on every ticket differ by just that, however uneven the tickets; few have none."""
    first = np.random.default_rng(0).exponential(size=40)
    assert paired_bootstrap(first, first + 0.25) == pytest.approx((0.25, 0.25))
    assert paired_bootstrap(first[:29], first[:29]) is None
    low, high = paired_bootstrap(first, first[::-1]) or (math.nan, math.nan)
    assert low < 0 < high


@pytest.mark.parametrize("function", [mcnemar, mcnemar_mid_p, lambda lost, gained: paired_interval(lost, gained, 9)])
def test_counts_are_not_negative(function: Any) -> None:
    """In one line."""
    with pytest.raises(InputError, match="a count is negative"):
        function(-1, 2)


@pytest.mark.parametrize("n", [0, 2])
def test_all_tickets_are_at_least_those_that_differ(n: int) -> None:
    """Else something was not counted."""
    with pytest.raises(InputError, match=r"^interval of a difference"):
        paired_interval(1, 2, n)


@pytest.mark.parametrize(
    ("first", "second"),
    [([1], [1, 2]), ([math.nan], [1]), ([math.inf], [1]), ([[1]], [[1]]), (["x"], [1])],
    ids=["lengths differ", "NaN", "infinite", "a table", "a word"],
)
def test_unusable_pairs_are_refused(first: Any, second: Any) -> None:
    """In one line."""
    with pytest.raises(InputError, match=r"^paired bootstrap: "):
        paired_bootstrap(first, second)
