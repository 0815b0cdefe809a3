"""Is the error of some tickets larger than chance allows? Against scipy's own tests, and by counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llmtriage.errors import InputError
from llmtriage.probability.metrics import excess_over_limit, excess_over_rest, holm

COUNTS = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, st.floats(0.01, 0.99))
def test_over_a_limit_it_is_the_binomial_test(counts: tuple[int, int], limit: float) -> None:
    """One-sided, as scipy has it."""
    errors, n = counts
    assert excess_over_limit(errors, n, limit) == pytest.approx(
        stats.binomtest(errors, n, limit, alternative="greater").pvalue, rel=1e-9, abs=1e-12
    )


@given(COUNTS, COUNTS)
def test_over_the_rest_it_is_fishers_test(counts: tuple[int, int], rest: tuple[int, int]) -> None:
    """One-sided, as scipy has it."""
    (errors, n), (others, m) = counts, rest
    table = np.array([[errors, n - errors], [others, m - others]])
    wanted = stats.fisher_exact(table, alternative="greater").pvalue
    assert excess_over_rest(errors, n, errors + others, n + m) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_by_hand() -> None:
    """Two errors among two at a limit of 0.1; all three errors of ten among four."""
    assert excess_over_limit(2, 2, 0.1) == pytest.approx(0.01)
    assert excess_over_rest(3, 4, 3, 10) == pytest.approx(4 / math.comb(10, 3))
    assert excess_over_rest(3, 10, 3, 10) == 1
    assert excess_over_limit(0, 5, 0.1) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm(p: list[float]) -> None:
    """Between the plain value and Bonferroni's, in the same order; the smallest is Bonferroni's."""
    found = holm(p)
    assert all(one <= more <= min(1, len(p) * one) + 1e-12 for one, more in zip(p, found, strict=True))
    order = np.argsort(p)
    assert np.all(np.diff(np.array(found)[order]) >= 0)
    assert found[order[0]] == pytest.approx(min(1, len(p) * min(p)))


def test_holm_keeps_its_level() -> None:
    """Where nothing is wrong, some value is below 0.05 in at most one of twenty cases."""
    random = np.random.default_rng(0)
    hits = sum(min(holm(random.random(8))) < 0.05 for _ in range(4000))
    assert hits / 4000 < 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5


@pytest.mark.parametrize(
    "call",
    [
        lambda: excess_over_limit(3, 2, 0.1),
        lambda: excess_over_limit(0, 0, 0.1),
        lambda: excess_over_limit(1, 2, 0.0),
        lambda: excess_over_rest(1, 2, 0, 5),
        lambda: excess_over_rest(1, 6, 2, 5),
        lambda: holm([]),
        lambda: holm([0.5, 1.5]),
        lambda: holm([math.nan]),
    ],
)
def test_what_cannot_be_tested(call: object) -> None:
    """One line."""
    with pytest.raises(InputError):
        call()  # type: ignore[operator]
