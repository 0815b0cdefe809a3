"""What errors and reviews cost together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmtriage.errors import InputError
from llmtriage.probability.metrics.inputs import Floats, Interval, at_least, below, categories, numbers, same_length, truths
from llmtriage.probability.metrics.intervals import DRAWS, LEAST_RESAMPLED, LEVEL, percentiles, resampled_counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def expected_cost(accepted: ArrayLike, correct: ArrayLike, *, error: ArrayLike, review: float) -> float:
    """The mean cost of a ticket: an accepted one costs nothing if right and `error` if wrong, any other costs `review`.

    Source: Chow 1970, doi:10.1109/TIT.1970.1054406

    Args:
        accepted: Shape (n,), 0 or 1.
        correct: Shape (n,), 0 or 1; of tickets that are not accepted it does not matter.
        error: What an accepted error costs, 0 or more: one number, or shape (n,), one a ticket; see `error_costs`.
        review: What a person's decision costs, 0 or more, in the same unit.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> expected_cost([1, 1, 0, 0], [1, 0, 1, 0], error=20, review=1)
        5.5
    """
    return float(np.mean(_costs("expected cost", accepted, correct, error, review)))


def expected_cost_interval(
    accepted: ArrayLike,
    correct: ArrayLike,
    *,
    error: ArrayLike,
    review: float,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
    least: int = LEAST_RESAMPLED,
) -> Interval | None:
    """The bootstrap interval of `expected_cost`; see `bootstrap_interval`, whose law the draws follow.

    Tickets that cost the same are interchangeable, so how often each cost is drawn is drawn instead of tickets.

    Args:
        accepted: As for `expected_cost`.
        correct: As for `expected_cost`.
        error: As for `expected_cost`.
        review: As for `expected_cost`.
        level: The coverage aimed at, between 0 and 1.
        draws: How many samples are drawn.
        seed: Of the draws; equal seeds give equal intervals.
        least: Tickets below which there is no interval.

    Returns:
        Both ends; None below `least` tickets.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> expected_cost_interval([1] * 30 + [0] * 30, [1] * 60, error=20, review=1)
        (0.36666666666666664, 0.6333333333333333)
    """
    costs, counts = np.unique(_costs("expected cost interval", accepted, correct, error, review), return_counts=True)
    n = int(counts.sum())
    if n < least:
        return None
    drawn = resampled_counts("expected cost interval", counts, draws, seed)
    return percentiles("expected cost interval", [float(times @ costs) / n for times in drawn], level)


def error_costs(gold: ArrayLike, predicted: ArrayLike, costs: ArrayLike) -> Floats:
    """What it would cost to accept each ticket as predicted, where some confusions cost more than others.

    Args:
        gold: Shape (n,), true categories, 0..K-1.
        predicted: Shape (n,), predicted categories, 0..K-1; -1 for none, which costs NaN: it cannot be accepted.
        costs: Shape (K, K), 0 or more: row the true category, column the predicted one; 0 on the diagonal.

    Returns:
        Shape (n,), for `expected_cost(error=...)`.

    Raises:
        InputError: No tickets, other shapes, a category outside 0..K-1, or costs that are negative, not finite or charge the right answer.

    Example:
        >>> error_costs([0, 1, 1], [0, 0, -1], [[0, 5], [50, 0]])
        array([ 0., 50., nan])
    """
    true, answer = categories("error costs", gold, predicted)
    table = numbers("error costs", costs)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise InputError(f"error costs: costs of shape {table.shape}", remedy="as many rows as columns")
    if not ((table >= 0) & np.isfinite(table)).all() or np.diag(table).any():
        raise InputError("error costs: a cost is negative or not finite, or a right answer costs", remedy="mend the table")
    below("error costs", len(table), true, answer)
    return np.where(answer >= 0, table[true, answer], np.nan)


def cheapest_threshold(*, error: float, review: float) -> float:
    """The confidence from which on accepting costs less than a review, if confidences are true: 1 - review/error, in [0, 1].

    Source: Chow 1970, doi:10.1109/TIT.1970.1054406

    Raises:
        InputError: A cost is negative or not finite, or an error costs nothing.

    Example:
        >>> cheapest_threshold(error=20, review=1)
        0.95
    """
    at_least("cheapest threshold", "the cost of a review", review, 0)
    if not 0 < error < np.inf:
        raise InputError(f"cheapest threshold: the cost of an error is {error}", remedy="more than 0")
    return max(0.0, 1 - review / error)


def _costs(figure: str, accepted: ArrayLike, correct: ArrayLike, error: ArrayLike, review: float) -> Floats:
    """The cost of each ticket."""
    taken, right = truths(figure, accepted), truths(figure, correct)
    same_length(figure, taken, right)
    at_least(figure, "the cost of a review", review, 0)
    charge = numbers(figure, error)
    if charge.shape not in ((), taken.shape):
        raise InputError(f"{figure}: costs of shape {charge.shape} for {len(taken)} tickets", remedy="one cost, or one a ticket")
    wrong = (taken == 1) & (right == 0)
    asked = charge[wrong] if charge.ndim else charge
    if not ((asked >= 0) & np.isfinite(asked)).all():
        raise InputError(f"{figure}: the cost of an error is negative or not finite", remedy="0 or more")
    return np.where(wrong, charge, np.where(taken == 1, 0.0, review))
