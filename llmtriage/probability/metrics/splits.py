"""The Brier score of the answers, split into what calibration mends and what only a better engine mends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from llmtriage.probability.metrics.calibration import BINS, By, reliability_bins
from llmtriage.probability.metrics.inputs import Floats, judged
from llmtriage.probability.metrics.losses import top_brier

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Two sums of the same numbers may differ in the last digits.
_ROUNDING = 1e-12


class Murphy(NamedTuple):
    """`top_brier` = reliability - resolution + uncertainty + rest.

    Attributes:
        reliability: Mean squared distance of confidence and share right over bins; 0 is best.
        resolution: Mean squared distance of the bins' share right from that of all; more is better.
        uncertainty: m (1 - m) for a share m of right answers.
        rest: What differing confidences inside a bin leave; 0 where each bin has one confidence.
    """

    reliability: float
    resolution: float
    uncertainty: float
    rest: float


class IsotonicSplit(NamedTuple):
    """`top_brier` = mcb - dsc + unc, without bins.

    Attributes:
        mcb: Miscalibration: what the best rising map of the confidence would win; 0 or more.
        dsc: Discrimination: what the confidence so mapped wins over one number for all; 0 or more.
        unc: Uncertainty: the score of that one number.
    """

    mcb: float
    dsc: float
    unc: float


class Blocks(NamedTuple):
    """The best rising map of the confidence as runs of tickets that it maps alike, by rising confidence.

    Attributes:
        low: The least confidence of each.
        high: The largest confidence of each.
        share: What they are mapped to: their share right.
    """

    low: Floats
    high: Floats
    share: Floats


def murphy(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS, by: By = "mass") -> Murphy:
    """Murphy's split of `top_brier` over bins.

    Source: Murphy 1973, doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2; the rest: Stephenson et al. 2008,
    doi:10.1175/2007WAF2006116.1

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.
        bins: How many, as for `ece`.
        by: As for `ece`.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> [round(part, 3) for part in murphy([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0], bins=2)]
        [0.01, 0.062, 0.188, 0.0]
    """
    certainty, right = judged("Murphy's split", confidence, correct)
    cells, share = reliability_bins(certainty, right, bins=bins, by=by), float(right.mean())
    reliability = float(np.average((cells.accuracy - cells.confidence) ** 2, weights=cells.n))
    resolution = float(np.average((cells.accuracy - share) ** 2, weights=cells.n))
    uncertainty = share * (1 - share)
    return Murphy(reliability, resolution, uncertainty, top_brier(certainty, right) - (reliability - resolution + uncertainty))


def isotonic_split(confidence: ArrayLike, correct: ArrayLike) -> IsotonicSplit:
    """The split of `top_brier` by the best rising map of the confidence; equal confidences are mapped alike.

    Source: Dimitriadis, Gneiting & Jordan 2021, doi:10.1073/pnas.2016191118

    Takes and raises the same as `murphy`, without bins.

    Example:
        >>> [round(part, 3) for part in isotonic_split([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0])]
        [0.01, 0.062, 0.188]
    """
    certainty, right = judged("isotonic split", confidence, correct)
    share = float(right.mean())
    uncertainty = share * (1 - share)
    mapped = top_brier(isotonic(certainty, right), right)
    return IsotonicSplit(max(0.0, top_brier(certainty, right) - mapped), max(0.0, uncertainty - mapped), uncertainty)


def isotonic(confidence: ArrayLike, correct: ArrayLike) -> Floats:
    """The share right of each ticket by the rising map of the confidence that fits these tickets best.

    Source: Zadrozny & Elkan 2002, doi:10.1145/775047.775151

    Takes and raises the same as `murphy`, without bins.

    Returns:
        Shape (n,), in [0, 1], in the order of the tickets.

    Example:
        >>> isotonic([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0])
        array([1. , 1. , 0.5, 0.5])
    """
    from scipy.optimize import isotonic_regression  # slow to load, and few need it

    certainty, right = judged("isotonic map", confidence, correct)
    _, places, counts = np.unique(certainty, return_inverse=True, return_counts=True)
    fitted = isotonic_regression(np.bincount(places, weights=right) / counts, weights=counts).x
    mapped: Floats = np.clip(fitted, 0.0, 1.0)[places]
    return mapped


def isotonic_blocks(confidence: ArrayLike, correct: ArrayLike) -> Blocks:
    """The map of `isotonic` as its few flat pieces: what a reliability curve draws.

    Source: Dimitriadis, Gneiting & Jordan 2021, doi:10.1073/pnas.2016191118

    Takes and raises the same as `murphy`, without bins.

    Example:
        >>> isotonic_blocks([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
        Blocks(low=array([0.6, 0.7, 0.9]), high=array([0.6, 0.8, 0.9]), share=array([0. , 0.5, 1. ]))
    """
    certainty, right = judged("isotonic map", confidence, correct)
    mapped, order = isotonic(certainty, right), np.argsort(certainty, kind="stable")
    risen = np.diff(mapped[order], prepend=-1) > _ROUNDING
    starts = np.flatnonzero(risen)
    ends = np.append(starts[1:], len(order)) - 1
    return Blocks(certainty[order][starts], certainty[order][ends], mapped[order][starts])
