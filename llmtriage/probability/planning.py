"""How many labels a promise needs, and which tickets are worth labelling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.errors import InputError
from llmtriage.probability.certificate import equal_levels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MOST_LABELS = 20_000  # a promise that needs more is none
_STEP = 2**0.25
_LUCK = 1.0  # standard errors by which a sample may be worse than expected: five of six are better


def labels_wanted(confidence: ArrayLike, n: int, alpha: float, delta: float = 0.1, *, used: float = 1.0) -> int | None:
    """About how many labelled tickets are enough to accept something, if confidences are what they say.

    For growing samples, the errors that are expected among the surest tickets, and one standard error more, are held against the boundary.

    Args:
        confidence: Shape (m,), calibrated confidences in [0, 1] of tickets that no gate stops.
        n: How many tickets these are a part of.
        alpha: In (0, 1/2].
        delta: In (0, 1/2].
        used: The share of the labels on which the promise is made; the others fit the calibrator.

    Returns:
        A number of two digits and zeros; None: 20,000 are not enough.

    Raises:
        InputError: A confidence is not in [0, 1], or alpha or delta is out of range.
    """
    sure = np.sort(np.asarray(confidence, np.float64))[::-1]
    if len(sure) and not (sure[-1] >= 0 and sure[0] <= 1):
        raise InputError("labels wanted: a confidence is not in [0, 1]", remedy="give calibrated ones")
    if not len(sure):
        return None
    share = np.arange(1, len(sure) + 1) / n
    risk = np.cumsum(1 - sure) / np.arange(1, len(sure) + 1)
    size = 10.0
    while size <= MOST_LABELS:
        labels = _two_digits(size)
        accepted = np.floor(share * labels)
        errors = np.ceil(accepted * risk + _LUCK * np.sqrt(accepted * risk * (1 - risk)))
        need = np.array([*equal_levels(labels, alpha, delta).need])
        if len(need) and (errors <= np.searchsorted(need, accepted, side="right") - 1).any():
            return _two_digits(labels / used)
        size *= _STEP
    return None


def _two_digits(number: float) -> int:
    unit = int(10 ** max(0, math.floor(math.log10(number)) - 1))
    return math.ceil(number / unit) * unit


def threshold_for_budget(score: ArrayLike, review: float) -> float:
    """The largest threshold on the score that leaves at most a share `review` of tickets to people.

    Args:
        score: Shape (m,), scores of unlabelled tickets; minus infinity where a gate stops the ticket.
        review: The share of tickets that people can read, in (0, 1).

    Raises:
        InputError: No tickets, a score that is no number, or gates alone stop more than that share.

    Example:
        >>> threshold_for_budget([0.9, 0.8, 0.7, 0.6, 0.5], 0.4)
        0.7
    """
    sure = np.sort(np.asarray(score, np.float64))[::-1]
    if not len(sure) or np.isnan(sure).any() or not 0 < review < 1:
        raise InputError(
            f"review budget: {len(sure)} scores, a share of {review}", remedy="give numbers, and a share between 0 and 1"
        )
    least = float(sure[max(1, math.ceil((1 - review) * len(sure) - 1e-9)) - 1])
    if least == -math.inf:
        stopped = float((sure == -math.inf).mean())
        raise InputError(
            f"review budget: gates and rules alone leave {stopped:.0%} of tickets to people, the budget is {review:.0%}",
            remedy="raise the budget, or relax the rules",
        )
    return least


def worth_labelling(confidence: ArrayLike, alpha: float, *, reserve: float = 1.1, at_least: float = 0.1) -> tuple[float, float]:
    """From which confidence on labels decide about acceptance, and the share of tickets above that.

    The largest share of tickets, best first, whose mean predicted error is at most alpha, and a tenth more. A promise may then be made on fresh
    labels drawn uniformly among tickets with at least that confidence; nothing below it can be accepted. The choice only says where labels
    are worth most; the promise holds for any.

    Args:
        confidence: Shape (m,), calibrated confidences of unlabelled tickets; minus infinity where a gate stops the ticket.
        alpha: In (0, 1/2].
        reserve: By how much the share is taken larger.
        at_least: The least share.

    Raises:
        InputError: No ticket that no gate stops, or a confidence that is no number.
    """
    sure = np.sort(np.asarray(confidence, np.float64))[::-1]
    open_to_all = int((sure > -math.inf).sum())
    if np.isnan(sure).any() or not open_to_all:
        raise InputError(
            "worth labelling: no ticket that no gate stops, or a confidence that is no number", remedy="give more tickets"
        )
    good = np.flatnonzero(np.cumsum(1 - sure[:open_to_all]) <= alpha * np.arange(1, open_to_all + 1))
    share = max(at_least, reserve * (int(good[-1]) + 1 if len(good) else 0) / len(sure))
    floor = float(sure[min(math.ceil(share * len(sure)), open_to_all) - 1])
    return floor, float((sure >= floor).mean())
