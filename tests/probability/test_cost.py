"""What errors and reviews cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage.errors import InputError
from llmtriage.probability import metrics

decided = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40).map(
    lambda pairs: tuple(map(list, zip(*pairs, strict=True)))
)


@settings(max_examples=60, deadline=None)
@given(decided, st.floats(0, 100), st.floats(0, 100))
def test_the_cost_is_that_of_its_parts(columns: tuple[Any, Any], error: float, review: float) -> None:
    """Accepted errors and pending tickets, over all."""
    accepted, correct = columns
    errors = sum(a and not c for a, c in zip(accepted, correct, strict=True))
    expected = (error * errors + review * accepted.count(False)) / len(accepted)
    assert metrics.expected_cost(accepted, correct, error=error, review=review) == pytest.approx(expected)
    by_ticket = np.full(len(accepted), error)
    assert metrics.expected_cost(accepted, correct, error=by_ticket, review=review) == pytest.approx(expected)


def test_some_confusions_cost_more() -> None:
    """A table of costs, row the true category; a ticket without an answer cannot be accepted."""
    gold, predicted = [0, 0, 1, 1, 1], [0, 1, 1, 0, -1]
    costs = metrics.error_costs(gold, predicted, [[0, 5], [50, 0]])
    np.testing.assert_array_equal(costs, [0, 5, 0, 50, np.nan])
    correct = np.equal(gold, predicted)
    assert metrics.expected_cost([1, 1, 1, 1, 0], correct, error=costs, review=1) == pytest.approx((5 + 50 + 1) / 5)
    with pytest.raises(InputError, match=r"^expected cost: the cost of an error is negative or not finite"):
        metrics.expected_cost([1] * 5, correct, error=costs, review=1)


def test_the_cheapest_threshold_is_the_cheapest() -> None:
    """On confidences that are true, no other threshold costs less than chance allows."""
    generator = np.random.default_rng(0)
    confidence = generator.beta(4, 1, 200_000)
    correct = generator.random(200_000) < confidence
    at = {t: metrics.expected_cost(confidence >= t, correct, error=10, review=1) for t in (0.7, 0.8, 0.9, 0.95, 0.99)}
    assert metrics.cheapest_threshold(error=10, review=1) == pytest.approx(0.9)
    assert min(at, key=at.__getitem__) == 0.9
    assert metrics.cheapest_threshold(error=1, review=2) == 0


def test_the_interval_of_a_cost() -> None:
    """It is that of drawing tickets, up to the draws; few tickets have none."""
    generator = np.random.default_rng(1)
    accepted, correct = generator.random(200) < 0.6, generator.random(200) < 0.9
    found = metrics.expected_cost_interval(accepted, correct, error=20, review=1)

    def figure(a: Any, c: Any) -> float:
        return metrics.expected_cost(a, c, error=20, review=1)

    assert found == pytest.approx(metrics.bootstrap_interval(figure, accepted, correct), abs=0.05)
    assert metrics.expected_cost_interval([0] * 29, [0] * 29, error=20, review=1) is None
    assert metrics.expected_cost_interval([0] * 30, [0] * 30, error=20, review=1) == (1, 1)


@pytest.mark.parametrize(
    ("accepted", "correct", "error", "review"),
    [
        pytest.param([1], [1, 0], 1, 1, id="lengths differ"),
        pytest.param([2], [1], 1, 1, id="neither accepted nor not"),
        pytest.param([1], [0.5], 1, 1, id="half right"),
        pytest.param([1], [math.nan], 1, 1, id="right unknown"),
        pytest.param([1], [1], -1, 1, id="negative error"),
        pytest.param([1], [1], math.inf, 1, id="infinite error"),
        pytest.param([1], [1], math.nan, 1, id="error unknown"),
        pytest.param([1], [1], [1, 1], 1, id="costs of other tickets"),
        pytest.param([1], [1], "much", 1, id="a word"),
        pytest.param([1], [1], 1, -1, id="negative review"),
        pytest.param([1], [1], 1, math.nan, id="review unknown"),
    ],
)
def test_unusable_costs_are_refused(accepted: Any, correct: Any, error: Any, review: float) -> None:
    """In one line."""
    with pytest.raises(InputError, match=r"^expected cost: "):
        metrics.expected_cost(accepted, correct, error=error, review=review)
    with pytest.raises(InputError, match=r"^expected cost interval: "):
        metrics.expected_cost_interval(accepted, correct, error=error, review=review)


@pytest.mark.parametrize(
    "table",
    [[[0, 1]], [[0, -1], [1, 0]], [[0, math.nan], [1, 0]], [[1, 1], [1, 0]], [[0]], 5, [[0, 1], [1]]],
    ids=["not square", "negative", "unknown", "a right answer costs", "too small", "a number", "ragged"],
)
def test_unusable_tables_are_refused(table: Any) -> None:
    """In one line."""
    with pytest.raises(InputError, match=r"^error costs: "):
        metrics.error_costs([0, 1], [1, 0], table)


@pytest.mark.parametrize(("error", "review"), [(0, 1), (-1, 1), (math.nan, 1), (math.inf, 1), (1, -1), (1, math.nan)])
def test_a_threshold_needs_costs(error: float, review: float) -> None:
    """An error that costs nothing has none."""
    with pytest.raises(InputError, match=r"^cheapest threshold: "):
        metrics.cheapest_threshold(error=error, review=review)
