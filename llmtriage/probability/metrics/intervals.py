"""How far a figure of a sample may lie from that of all tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv, ndtri

from llmtriage.errors import InputError
from llmtriage.probability.metrics.inputs import Integers, Interval, at_least, column, in_open_interval, same_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike

LEVEL = 0.95
DRAWS = 2000
LEAST_RESAMPLED = 30
"""Tickets below which resampling says too little about the spread of a figure."""


def clopper_pearson(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """The exact two-sided confidence interval of a binomial share.

    Whatever the true share, at least `level` of all such intervals hold it. For a share that something is promised about.
    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404

    Args:
        successes: How many of the n, 0..n.
        n: How many trials, at least 1.
        level: The coverage, between 0 and 1; the two ends are in [0, 1].

    Raises:
        InputError: n is 0, successes are not in 0..n, or the level is not between 0 and 1.

    Example:
        >>> low, high = clopper_pearson(9, 12)
        >>> round(low, 4), round(high, 4)
        (0.4281, 0.9451)
    """
    _check_share("Clopper-Pearson interval", successes, n, level)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def wilson(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """The score interval of a binomial share: shorter than `clopper_pearson`, its coverage about `level` on average.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953; Brown, Cai & DasGupta 2001, doi:10.1214/ss/1009213286

    Takes and raises the same as `clopper_pearson`.

    Example:
        >>> low, high = wilson(9, 12)
        >>> round(low, 4), round(high, 4)
        (0.4677, 0.9111)
    """
    _check_share("Wilson interval", successes, n, level)
    z = float(ndtri((1 + level) / 2))
    share, weight = successes / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z * (share * (1 - share) / n + weight / (4 * n)) ** 0.5 / (1 + weight)
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == n else middle + half)


def bootstrap_interval(
    figure: Callable[..., float | None],
    *columns: ArrayLike,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
    least: int = LEAST_RESAMPLED,
) -> Interval | None:
    """The percentile bootstrap interval of a figure: tickets are drawn with replacement, each whole.

    Approximate, and too short on few tickets. A figure that grows when tickets repeat, as `ece` does, has an interval that lies
    too high: for calibration see `ece_check`.
    Source: Efron & Tibshirani 1993, doi:10.1201/9780429246593

    Args:
        figure: Takes as many columns as are given here; a draw for which it is None is left out.
        columns: Each of shape (n,) or (n, K), one row a ticket.
        level: The coverage aimed at, between 0 and 1.
        draws: How many samples are drawn.
        seed: Of the draws; equal seeds give equal intervals.
        least: Tickets below which there is no interval.

    Returns:
        The two quantiles; None below `least` tickets, or if the figure exists for no draw.

    Raises:
        InputError: No tickets, columns of different lengths, a level or number of draws out of range, or what `figure` raises.

    Example:
        >>> from llmtriage.probability.metrics import auroc
        >>> [round(end, 2) for end in bootstrap_interval(auroc, [0.9, 0.6, 0.8, 0.3] * 10, [1, 1, 0, 0] * 10)]
        [0.58, 0.89]
    """
    rows = [np.asarray(values) for values in columns]
    n = len(column("bootstrap interval", np.zeros(len(rows[0])))) if rows else 0
    for values in rows[1:]:
        same_length("bootstrap interval", rows[0], values)
    at_least("bootstrap interval", "the number of draws", draws, 1)
    in_open_interval("bootstrap interval", "the level", level)
    if n < least:
        return None
    random = np.random.default_rng(seed)
    picks = (random.integers(0, n, n) for _ in range(draws))
    found = [value for pick in picks if (value := figure(*(values[pick] for values in rows))) is not None]
    return percentiles("bootstrap interval", found, level) if found else None


def resampled_counts(figure: str, counts: Integers, draws: int, seed: int) -> Iterator[Integers]:
    """How often each kind of ticket is drawn, in `draws` samples as large as the tickets, of which there are `counts`.

    Raises:
        InputError: The number of draws is below 1.
    """
    at_least(figure, "the number of draws", draws, 1)
    n, random = int(counts.sum()), np.random.default_rng(seed)
    return (random.multinomial(n, counts / n) for _ in range(draws))


def percentiles(figure: str, values: Sequence[float], level: float) -> Interval:
    """The middle `level` of the values.

    Raises:
        InputError: The level is not between 0 and 1.
    """
    in_open_interval(figure, "the level", level)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check_share(figure: str, successes: int, n: int, level: float) -> None:
    if n < 1:
        raise InputError(f"{figure}: there are no tickets", remedy="give at least one")
    if not 0 <= successes <= n or not 0 < level < 1:
        problem = f"{figure} of {successes} in {n} at level {level}"
        raise InputError(problem, remedy="0 <= successes <= n, 0 < level < 1")
