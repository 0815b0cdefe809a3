"""Does the confidence put the right answers first? Figures of the order alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import betaincinv

from llmtriage.errors import InputError
from llmtriage.probability.metrics.calibration import twice_midranks
from llmtriage.probability.metrics.inputs import Floats, Integers, at_least, in_open_interval, judged
from llmtriage.probability.metrics.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# 0.29 of 100 tickets are 28.999999999999996 in floating point.
_ROUNDING = 1e-9


class RiskCoverage(NamedTuple):
    """The risk-coverage curve: one point for each distinct confidence, the highest first.

    Attributes:
        threshold: The confidence from which on tickets are accepted.
        coverage: The share of tickets that is, in (0, 1].
        risk: The error rate among them.
        accepted: How many they are.
        errors: How many of them are wrong.
    """

    threshold: Floats
    coverage: Floats
    risk: Floats
    accepted: Integers
    errors: Integers


class RiskBand(NamedTuple):
    """The risk-coverage curve with what chance allows, one number for each point, as in `RiskCoverage`.

    Attributes:
        coverage: The share of tickets that is accepted, in (0, 1].
        risk: The error rate among them.
        low: The lower end of its interval.
        high: The upper end.
        best: The error rate of the same answers in the best order, all right ones first.
    """

    coverage: Floats
    risk: Floats
    low: Floats
    high: Floats
    best: Floats


class CoverageAtRisk(NamedTuple):
    """How much can be accepted.

    Attributes:
        coverage: The share of tickets, in [0, 1].
        threshold: The confidence from which on they are accepted; infinite if none is.
    """

    coverage: float
    threshold: float


def auroc(confidence: ArrayLike, correct: ArrayLike) -> float | None:
    """The chance that a right answer has a higher confidence than a wrong one, a tie counting half; in [0, 1].

    Source: Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.

    Returns:
        None when all answers are right or all are wrong: there is nothing to compare.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> auroc([0.9, 0.8, 0.8, 0.3], [1, 1, 0, 0])
        0.875
        >>> auroc([0.9, 0.8], [1, 1]) is None
        True
    """
    certainty, right = judged("AUROC", confidence, correct)
    n, n_right = len(right), int(right.sum())
    if n_right in (0, n):
        return None
    twice_above = int(twice_midranks(certainty)[right == 1].sum()) - n_right * (n_right + 1)
    return twice_above / (2 * n_right * (n - n_right))


def risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """The error rate among the accepted tickets for every share that can be accepted; never a point inside a tie.

    Source: Geifman & El-Yaniv 2017, arXiv:1705.08500

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> risk_coverage([0.9, 0.8, 0.8, 0.7], [1, 0, 1, 0]).risk.round(3)
        array([0.   , 0.333, 0.5  ])
    """
    return _curve("risk-coverage curve", confidence, correct)


def risk_band(
    confidence: ArrayLike, correct: ArrayLike, *, held: int = 0, level: float = LEVEL, most: int | None = None
) -> RiskBand:
    """The risk-coverage curve with its Clopper-Pearson interval at each point, and the curve of the best order.

    Each interval is for its own point, were that point chosen beforehand; it says nothing about a point that was chosen by looking.
    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.
        held: Tickets besides these that are never accepted: they count in the coverage only.
        level: The coverage of each interval, between 0 and 1.
        most: At most so many points, evenly spread, the first and the last among them; None: all.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> band = risk_band([0.9, 0.8, 0.7], [1, 0, 1])
        >>> band.risk.round(3), band.best.round(3)
        (array([0.   , 0.5  , 0.333]), array([0.   , 0.   , 0.333]))
    """
    in_open_interval("risk-coverage band", "the level", level)
    at_least("risk-coverage band", "the number held back", held, 0)
    curve = _curve("risk-coverage band", confidence, correct)
    places = np.arange(len(curve.risk))
    if most is not None:
        at_least("risk-coverage band", "the number of points", most, 2)
        places = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(np.int64))
    accepted, errors, tail = curve.accepted[places], curve.errors[places], (1 - level) / 2
    n, right = int(curve.accepted[-1]), int(curve.accepted[-1] - curve.errors[-1])
    # betaincinv has no value where a parameter is 0; there the ends are 0 and 1.
    low = np.where(errors == 0, 0.0, betaincinv(np.maximum(errors, 1), accepted - errors + 1, tail))
    high = np.where(errors == accepted, 1.0, betaincinv(errors + 1, np.maximum(accepted - errors, 1), 1 - tail))
    best = np.maximum(accepted - right, 0) / accepted
    return RiskBand(accepted / (n + held), curve.risk[places], low, high, best)


def aurc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The area under the risk-coverage curve: the error rate of the k most confident answers, averaged over k = 1..n; in [0, 1].

    Inside a tie the expected number of errors is taken (linear), so the order of rows does not matter.
    Source: Geifman et al. 2019, arXiv:1805.08206; Zhou et al. 2024, arXiv:2410.15361

    Takes and raises the same as `risk_coverage`.

    Example:
        >>> round(aurc([0.9, 0.8, 0.7], [1, 0, 1]), 4)
        0.2778
    """
    return _area(_curve("AURC", confidence, correct))


def e_aurc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The excess AURC: `aurc` less that of the same answers in the best order, all right ones first; in [0, 1).

    The best is counted exactly, not by its limit for many tickets.
    Source: Geifman et al. 2019, arXiv:1805.08206

    Takes and raises the same as `risk_coverage`.

    Example:
        >>> round(e_aurc([0.9, 0.8, 0.7], [1, 0, 1]), 4)
        0.1667
    """
    curve = _curve("E-AURC", confidence, correct)
    n, errors = int(curve.accepted[-1]), int(curve.errors[-1])
    k = np.arange(1, n + 1)
    best = np.maximum(k - (n - errors), 0) / k
    return max(0.0, _area(curve) - float(np.mean(best)))


def augrc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The area under the generalised risk-coverage curve: accepted errors over all tickets, over coverage; in [0, 0.5].

    The chance that a ticket is accepted and wrong, for a coverage chosen at random.
    Source: Traub et al. 2024, arXiv:2407.01032

    Takes and raises the same as `risk_coverage`.

    Example:
        >>> round(augrc([0.9, 0.8, 0.7], [1, 0, 1]), 4)
        0.1667
    """
    curve = _curve("AUGRC", confidence, correct)
    accepted, errors = np.concatenate([[0], curve.accepted]), np.concatenate([[0], curve.errors])
    twice = int(np.sum(np.diff(accepted) * (errors[1:] + errors[:-1])))
    return twice / (2 * int(curve.accepted[-1]) ** 2)


def coverage_at_risk(confidence: ArrayLike, correct: ArrayLike, risk: float) -> CoverageAtRisk:
    """The largest share of these tickets that could have been accepted with at most this error rate among them.

    It is chosen in hindsight and promises nothing about other tickets: there the error rate is usually higher.

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.
        risk: The error rate allowed, in [0, 1].

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> coverage_at_risk([0.9, 0.8, 0.8, 0.7], [1, 0, 1, 0], 0.4)
        CoverageAtRisk(coverage=0.75, threshold=0.8)
    """
    if not 0 <= risk <= 1:
        raise InputError(f"coverage at risk: the risk is {risk}", remedy="from 0 to 1")
    curve = _curve("coverage at risk", confidence, correct)
    allowed = np.flatnonzero(curve.errors <= risk * curve.accepted + _ROUNDING)
    if not len(allowed):
        return CoverageAtRisk(0.0, math.inf)
    last = allowed[-1]
    return CoverageAtRisk(float(curve.coverage[last]), float(curve.threshold[last]))


def _curve(figure: str, confidence: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    certainty, right = judged(figure, confidence, correct)
    lowered, places, counts = np.unique(-certainty, return_inverse=True, return_counts=True)
    accepted = np.cumsum(counts)
    errors = np.cumsum(np.bincount(places, weights=1 - right)).astype(np.int64)
    return RiskCoverage(-lowered, accepted / len(right), errors / accepted, accepted, errors)


def _area(curve: RiskCoverage) -> float:
    k = np.arange(1, curve.accepted[-1] + 1)
    errors = np.interp(k, np.concatenate([[0], curve.accepted]), np.concatenate([[0], curve.errors]))
    return float(np.mean(errors / k))
