"""How many labels, and where."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llmtriage.errors import InputError
from llmtriage.probability.certificate import certify
from llmtriage.probability.planning import labels_wanted, threshold_for_budget, worth_labelling


def confidences(n: int, seed: int = 0) -> np.ndarray:
    """Of a model that knows most tickets well."""
    return 1 - 0.6 * np.random.default_rng(seed).random(n) ** 2


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_the_number_that_is_named_is_mostly_enough(alpha: float) -> None:
    """If confidences are true: at least two samples of three get a promise, and of a quarter of it fewer do."""
    wanted = labels_wanted(confidences(2000), 2000, alpha)
    assert wanted is not None

    def enough(n: int) -> float:
        rng = np.random.default_rng(1)
        draws = [confidences(n, seed) for seed in range(60)]
        return float(np.mean([certify(sure, rng.random(n) > sure, alpha).holds for sure in draws]))

    assert enough(wanted) > 0.66
    assert enough(wanted // 4) < enough(wanted)


@pytest.mark.slow
def test_no_number_is_enough_for_a_model_that_does_not_know() -> None:
    """None at all; nor where every ticket is held back."""
    assert labels_wanted(np.full(100, 0.5), 100, 0.1) is None
    assert labels_wanted([], 100, 0.1) is None
    with pytest.raises(InputError, match="a confidence is not in"):
        labels_wanted([1.5], 1, 0.1)


def test_a_part_of_the_labels_fits_the_calibrator() -> None:
    """So more are needed in all."""
    all_of_them, half = labels_wanted(confidences(500), 500, 0.1), labels_wanted(confidences(500), 500, 0.1, used=0.5)
    assert all_of_them is not None
    assert half is not None
    assert 1.8 * all_of_them <= half <= 2.2 * all_of_them


def test_labels_are_worth_most_above_what_can_be_accepted() -> None:
    """A tenth more than the share whose mean error is alpha; the floor is a confidence that occurs."""
    sure = np.sort(confidences(1000))[::-1]
    floor, reach = worth_labelling(sure, 0.05)
    good = max(k for k in range(1, 1001) if (1 - sure[:k]).mean() <= 0.05) / 1000
    assert reach == pytest.approx(1.1 * good, abs=2e-3)
    assert (sure >= floor).mean() == reach
    assert floor in sure


def test_the_floor_keeps_within_bounds() -> None:
    """At least a tenth of the tickets, at most all; tickets that gates stop count as the worst."""
    assert worth_labelling(np.linspace(0.5, 0.6, 100), 0.01)[1] == pytest.approx(0.1)
    assert worth_labelling(np.full(100, 0.99), 0.1) == (0.99, 1.0)
    gated = np.concatenate([np.full(50, 0.99), np.full(50, -math.inf)])
    assert worth_labelling(gated, 0.05)[1] == pytest.approx(0.5, abs=0.06)
    with pytest.raises(InputError, match="worth labelling"):
        worth_labelling([], 0.1)
    with pytest.raises(InputError, match="worth labelling"):
        worth_labelling([math.nan], 0.1)


@pytest.mark.parametrize(("review", "least"), [(0.4, 0.7), (0.41, 0.7), (0.39, 0.6), (0.01, 0.5), (0.99, 0.9)])
def test_people_get_no_more_than_they_can_read(review: float, least: float) -> None:
    """The threshold is the score of the last ticket that must be accepted."""
    assert threshold_for_budget([0.5, 0.9, 0.6, 0.8, 0.7], review) == least


def test_budgets_that_cannot_be() -> None:
    """Gates alone leave more; nothing to look at."""
    with pytest.raises(InputError, match="gates and rules alone leave 60% of tickets to people, the budget is 50%"):
        threshold_for_budget([0.5, 0.9, -math.inf, -math.inf, -math.inf], 0.5)
    for scores, review in (([], 0.5), ([math.nan], 0.5), ([0.5], 1.0)):
        with pytest.raises(InputError, match="review budget: "):
            threshold_for_budget(scores, review)
