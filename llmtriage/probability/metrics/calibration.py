"""Does a confidence of 0.9 mean right 9 times in 10? Figures over bins of tickets with about the same confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from scipy.special import ndtr

from llmtriage.errors import UnknownNameError
from llmtriage.probability.metrics.inputs import Floats, Integers, at_least, confidences, in_open_interval, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

BINS = 15
"""As in Guo et al. 2017."""

By = Literal["mass", "width"]
Verdict = Literal["agrees", "too_sure", "too_cautious"]

_DRAWS = 1000
_QUANTILE = 0.95
# From so many tickets on, those of nearly one confidence are drawn together.
_MANY, _ARCS = 100_000, 4096
# The same sum in another order differs in the last digits.
_ROUNDING = 1e-9


class Bins(NamedTuple):
    """The bins that hold tickets, by rising confidence; each array has one number a bin.

    Attributes:
        n: Tickets.
        confidence: Their mean confidence.
        accuracy: The share of them that is right.
    """

    n: Integers
    confidence: Floats
    accuracy: Floats


class NullBand(NamedTuple):
    """Where the share right of each bin lies by chance if the confidences are true; one number a bin, as in `Bins`.

    Attributes:
        confidence: The bin's mean confidence.
        low: The lower end, in [0, 1].
        high: The upper end, in [0, 1].
    """

    confidence: Floats
    low: Floats
    high: Floats


class Histogram(NamedTuple):
    """How many tickets have which confidence.

    Attributes:
        edges: Of the bars, from 0 to 1: one more than there are bars.
        right: Right tickets of each bar.
        wrong: Wrong tickets of each bar.
    """

    edges: Floats
    right: Integers
    wrong: Integers


class EceCheck(NamedTuple):
    """What an ECE means on so many tickets.

    Attributes:
        ece: The expected calibration error.
        limit: What it stays below in 95 of 100 samples with these confidences if they are true.
        p: The share of such samples in which it is as large as here, or larger.
        verdict: "agrees" up to the limit; above it "too_sure" or "too_cautious", as mean confidence and share right compare.
    """

    ece: float
    limit: float
    p: float
    verdict: Verdict


def reliability_bins(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS, by: By = "mass") -> Bins:
    """Tickets with about the same confidence, and how many of them are right.

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.
        bins: How many, at least 1; those without a ticket are left out.
        by: "mass": bins of equal numbers of tickets, dealt by mid-rank, so equal confidences share a bin and the order of rows
            does not matter. "width": bins (j/bins, (j+1)/bins], and 0 in the first; libraries differ in which side is closed.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> reliability_bins([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0], bins=2).accuracy
        array([0.5, 1. ])
    """
    return _bins("reliability", confidence, correct, bins, by)


def ece(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS, by: By = "mass") -> float:
    """The expected calibration error: the mean distance of confidence and share right over bins, in [0, 1].

    It is biased upwards when tickets are few: compare it with `ece_null`, or read `ece_check`.
    Source: Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602; Guo et al. 2017, arXiv:1706.04599; equal mass: Nixon et al. 2019,
    arXiv:1904.01685

    Takes and raises the same as `reliability_bins`.

    Example:
        >>> round(ece([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0], bins=2), 4)
        0.1
    """
    return _ece(_bins("ECE", confidence, correct, bins, by))


def ece_debiased(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS, by: By = "mass") -> float:
    """The ECE less an estimate of what chance adds to it; may be negative. It removes only part of the excess.

    The expectation of each bin's distance is that of a normal share right around the one seen.
    Source: Kumar et al. 2019, arXiv:1909.10155

    Takes and raises the same as `reliability_bins`.

    Example:
        >>> round(ece_debiased([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0], bins=2), 4)
        0.0033
    """
    cells = _bins("debiased ECE", confidence, correct, bins, by)
    spread = np.sqrt(cells.accuracy * (1 - cells.accuracy) / cells.n)
    expected = _mean_distance(cells.accuracy - cells.confidence, spread)
    return 2 * _ece(cells) - float(np.average(expected, weights=cells.n))


def rmsce2_debiased(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS, by: By = "mass") -> float | None:
    """The mean squared distance of confidence and share right over bins, less what chance adds to it; may be negative.

    Source: Bröcker 2012, doi:10.1007/s00382-011-1191-1; Kumar et al. 2019, arXiv:1909.10155

    Takes and raises the same as `reliability_bins`.

    Returns:
        None if no bin holds two tickets.

    Example:
        >>> round(rmsce2_debiased([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0], bins=2), 4)
        -0.115
    """
    cells = _bins("debiased RMSCE²", confidence, correct, bins, by)
    several = cells.n > 1
    if not several.any():
        return None
    n, certainty, share = (values[several] for values in cells)
    return float(np.average((share - certainty) ** 2 - share * (1 - share) / (n - 1), weights=n))


def ece_null(confidence: ArrayLike, *, bins: int = BINS, by: By = "mass", draws: int = _DRAWS, seed: int = 0) -> Floats:
    """The `ece` in simulated samples where a ticket is right with exactly its confidence.

    From 100,000 tickets on, those of a bin whose confidences c lie in one of 4,096 equal parts of the scale arcsin(sqrt(c)) are
    drawn together, as a binomial number with their mean confidence. Whatever the confidences, no chance is changed by more than
    (4,096 + bins) sin(pi/8192)^2, which is 0.0006 for 15 bins; the standard error of a p of 0.05 in 1,000 draws is 0.007.
    Source: Bröcker & Smith 2007, doi:10.1175/WAF993.1; Vaicenavicius et al. 2019, arXiv:1902.06977; one binomial number for many
    tickets: Ehm 1991, doi:10.1016/0167-7152(91)90170-V

    Args:
        confidence: Shape (n,), in [0, 1].
        bins: How many, as for `ece`.
        by: As for `ece`.
        draws: How many samples are simulated.
        seed: Of the simulation; equal seeds give equal samples, whatever the order of rows.

    Returns:
        Shape (draws,), in [0, 1].

    Raises:
        InputError: No tickets, another shape, or values out of range.

    Example:
        >>> ece_null([1.0] * 50, draws=3)
        array([0., 0., 0.])
    """
    null = _null("ECE null band", confidence, bins, by, draws=draws, seed=seed)
    return np.array([np.abs(right - null.expected).sum() / null.n.sum() for right in null.hits])


def reliability_band(
    confidence: ArrayLike, *, bins: int = BINS, by: By = "mass", level: float = _QUANTILE, draws: int = _DRAWS, seed: int = 0
) -> NullBand:
    """Where the dots of `reliability_bins` lie by chance if a ticket is right with exactly its confidence; each dot for itself.

    The simulated samples are those of `ece_null`. Of 15 dots of a perfect model about one lies outside a band of 95 %.
    Source: Bröcker & Smith 2007, doi:10.1175/WAF993.1

    Args:
        confidence: Shape (n,), in [0, 1].
        bins: As for `ece`.
        by: As for `ece`.
        level: The share of samples between the two ends, between 0 and 1.
        draws: As for `ece_null`.
        seed: As for `ece_null`.

    Raises:
        InputError: No tickets, another shape, or values out of range.

    Example:
        >>> reliability_band([1.0] * 50 + [0.0] * 50, bins=2).low
        array([0., 1.])
    """
    in_open_interval("reliability band", "the level", level)
    null = _null("reliability band", confidence, bins, by, draws=draws, seed=seed)
    shares = np.array(list(null.hits)) / null.n
    low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return NullBand(*(np.asarray(values[::-1]) for values in (null.expected / null.n, low, high)))


def confidence_histogram(confidence: ArrayLike, correct: ArrayLike, *, bars: int = 20) -> Histogram:
    """How many tickets have which confidence, right and wrong ones apart.

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.
        bars: How many, at least 1, of equal width; (j/bars, (j+1)/bars], and 0 in the first, as in `ece` by width.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> confidence_histogram([0.9, 0.9, 0.5], [1, 0, 1], bars=2).right
        array([1, 1])
    """
    certainty, right = judged("histogram", confidence, correct)
    cells = _cells("histogram", certainty, bars, "width")
    counts = [np.bincount(cells[right == is_right], minlength=bars).astype(np.int64) for is_right in (1, 0)]
    return Histogram(np.arange(bars + 1) / bars, *counts)


def ece_check(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    bins: int = BINS,
    by: By = "mass",
    draws: int = _DRAWS,
    quantile: float = _QUANTILE,
    seed: int = 0,
) -> EceCheck:
    """The `ece` beside what chance alone would show, and what follows.

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.
        bins: As for `ece`.
        by: As for `ece`.
        draws: As for `ece_null`.
        quantile: The share of samples that stay below the limit, between 0 and 1.
        seed: As for `ece_null`.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> ece_check([0.9] * 100, [1, 0] * 50).verdict
        'too_sure'
    """
    certainty, right = judged("ECE", confidence, correct)
    in_open_interval("ECE", "the quantile", quantile)
    found = ece(certainty, right, bins=bins, by=by)
    by_chance = ece_null(certainty, bins=bins, by=by, draws=draws, seed=seed)
    limit = float(np.quantile(by_chance, quantile))
    p = float(np.mean(by_chance >= found - _ROUNDING))
    return EceCheck(found, limit, p, _verdict(found <= limit + _ROUNDING, certainty, right))


class _Null(NamedTuple):
    """Samples of tickets that are right with exactly their confidence, by bins of falling confidence: tickets, right ones to expect, drawn ones."""

    n: Integers
    expected: Floats
    hits: Iterator[Integers]


def _null(figure: str, confidence: ArrayLike, bins: int, by: By, *, draws: int, seed: int) -> _Null:
    certainty = np.sort(confidences(figure, confidence))[::-1]
    at_least(figure, "the number of draws", draws, 1)
    # Sorted, a bin is a run of neighbours: adding up runs is far quicker than counting by bin.
    starts = np.flatnonzero(np.diff(_cells(figure, certainty, bins, by), prepend=-1))
    random, n = np.random.default_rng(seed), len(certainty)
    hits: Iterator[Integers]
    if n < _MANY:
        hits = (np.add.reduceat(random.random(n) < certainty, starts, dtype=np.int64) for _ in range(draws))
    else:
        hits = iter(np.stack([_hits_together(cell, draws, random) for cell in np.split(certainty, starts[1:])], axis=1))
    return _Null(np.diff(starts, append=n), np.add.reduceat(certainty, starts), hits)


def _hits_together(certainty: Floats, draws: int, random: np.random.Generator) -> Integers:
    """How many tickets of a bin, sorted, are right in each draw; those of nearly one confidence are drawn together.

    With p the mean of the confidences c of n tickets, the law of their hits is at most sum (c - p)^2 / ((n + 1) p (1 - p)) away from
    the binomial one in total variation (Ehm). Where all c lie from a = sin(t)^2 to b = sin(t + h)^2 that is below sin(h)^2: the sum is
    at most n (b - p) (p - a), and (b - p) (p - a) at most sin(h)^2 p (1 - p).
    """
    arcs = (np.arcsin(np.sqrt(certainty)) * (2 * _ARCS / np.pi)).astype(np.int64)
    starts = np.flatnonzero(np.diff(arcs, prepend=-1))
    tickets = np.diff(starts, append=len(certainty))
    chances = np.minimum(np.add.reduceat(certainty, starts) / tickets, 1.0)
    hits = np.zeros(draws, dtype=np.int64)
    for n, chance in zip(tickets, chances, strict=True):
        hits += random.binomial(n, chance, draws)
    return hits


def _verdict(within: bool, certainty: Floats, right: Floats) -> Verdict:  # noqa: FBT001 - the answer to the question
    if within:
        return "agrees"
    return "too_sure" if certainty.mean() >= right.mean() else "too_cautious"


def _ece(cells: Bins) -> float:
    return float(np.average(np.abs(cells.accuracy - cells.confidence), weights=cells.n))


def _mean_distance(distance: Floats, spread: Floats) -> Floats:
    """The mean of the absolute value of a normal number with this mean and standard deviation."""
    ratio = np.divide(distance, spread, out=np.zeros_like(distance), where=spread > 0)
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + distance * (1 - 2 * ndtr(-ratio))
    return np.where(spread > 0, folded, np.abs(distance))


def _bins(figure: str, confidence: ArrayLike, correct: ArrayLike, bins: int, by: By) -> Bins:
    certainty, right = judged(figure, confidence, correct)
    _, places, n = np.unique(_cells(figure, certainty, bins, by), return_inverse=True, return_counts=True)
    return Bins(n, np.bincount(places, weights=certainty) / n, np.bincount(places, weights=right) / n)


def _cells(figure: str, certainty: Floats, bins: int, by: By) -> Integers:
    """The number of each ticket's bin, from 0."""
    at_least(figure, "the number of bins", bins, 1)
    if by not in get_args(By):
        raise UnknownNameError.among("kind of bins", by, get_args(By))
    if by == "width":
        return np.searchsorted(np.arange(1, bins) / bins, certainty, side="left")
    # In integers: floor(bins (midrank - 1/2) / n) would depend on rounding exactly at the edges.
    cells: Integers = bins * (twice_midranks(certainty) - 1) // (2 * len(certainty))
    return cells


def twice_midranks(values: Floats) -> Integers:
    """Twice the mean rank (from 1) of each value's ties, which is a whole number."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    twice: Integers = (2 * np.cumsum(counts) - counts + 1)[inverse]
    return twice
