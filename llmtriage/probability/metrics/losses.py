"""Proper scores: what an honest probability makes smallest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmtriage.probability.metrics.inputs import judged, of_gold

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FLOOR = 1e-12
"""The least probability a logarithm is taken of."""


def log_loss(probabilities: ArrayLike, gold: ArrayLike) -> float:
    """The mean of -ln(probability of the true category), in nats, in [0, 27.63].

    A probability below 1e-12 counts as 1e-12, so that one impossible ticket costs much but not everything; see `n_clipped`.
    Source: Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x

    Args:
        probabilities: Shape (n, K), rows that sum to 1 within 1e-6.
        gold: Shape (n,), true categories, 0..K-1.

    Raises:
        InputError: No tickets, other shapes, no distributions, or a category outside 0..K-1.

    Example:
        >>> round(log_loss([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 4)
        0.4904
    """
    return float(np.mean(-np.log(np.clip(of_gold("log loss", probabilities, gold), FLOOR, 1.0)))) + 0.0


def n_clipped(probabilities: ArrayLike, gold: ArrayLike) -> int:
    """How many tickets the floor of `log_loss` was needed for: their true category was given less than 1e-12.

    Takes and raises the same as `log_loss`.

    Example:
        >>> n_clipped([[1.0, 0.0], [1.0, 0.0]], [0, 1])
        1
    """
    return int(np.sum(of_gold("clipped tickets", probabilities, gold) < FLOOR))


def brier(probabilities: ArrayLike, gold: ArrayLike) -> float:
    """The mean squared distance between the distribution and the truth, summed over categories: 0 (perfect) to 2.

    For two categories this is twice scikit-learn's `brier_score_loss` of one of them.
    Source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2

    Args:
        probabilities: Shape (n, K), rows that sum to 1 within 1e-6.
        gold: Shape (n,), true categories, 0..K-1.

    Raises:
        InputError: No tickets, other shapes, no distributions, or a category outside 0..K-1.

    Example:
        >>> brier([[0.5, 0.5], [1.0, 0.0]], [0, 0])
        0.25
    """
    true = of_gold("Brier score", probabilities, gold)
    rows = np.asarray(probabilities, dtype=np.float64)
    squares = np.einsum("ij,ij->i", rows, rows)
    return max(0.0, float(np.mean(squares - 2 * true + 1)))


def top_brier(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The mean squared distance of the confidence from 1 (right) or 0 (wrong), in [0, 1]: the Brier score of the answer alone.

    Source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> top_brier([0.5, 1.0], [1, 1])
        0.125
    """
    certainty, right = judged("top-label Brier score", confidence, correct)
    return float(np.mean((right - certainty) ** 2))


def top_log_loss(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The mean of -ln(confidence) of the right answers and -ln(1 - confidence) of the wrong ones, in nats, in [0, 27.63].

    Below 1e-12 counts as 1e-12, as in `log_loss`.
    Source: Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x

    Takes and raises the same as `top_brier`.

    Example:
        >>> round(top_log_loss([0.5, 0.75], [1, 0]), 4)
        1.0397
    """
    certainty, right = judged("top-label log loss", confidence, correct)
    given = np.where(right == 1, certainty, 1 - certainty)
    return float(np.mean(-np.log(np.maximum(given, FLOOR)))) + 0.0
