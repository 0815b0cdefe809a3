"""Two runs over the same tickets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr, ndtr, ndtri, stdtrit

from llmtriage.errors import InputError
from llmtriage.probability.metrics.inputs import Floats, Interval, column, numbers, same_length
from llmtriage.probability.metrics.intervals import DRAWS, LEAST_RESAMPLED, LEVEL, bootstrap_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_LEAST = 10  # tickets; fewer say too little about their own spread
_DRAWS = 10_000
_SEED = 0


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of the exact McNemar test: how surprising the split of the tickets that one alone got right is.

    Tickets that both got right or both wrong say nothing about which is better. Without a difference each of the others falls to
    either side with chance 1/2. Exact: where nothing differs, a p below 0.05 comes up at most once in 20 times.
    Source: McNemar 1947, doi:10.1007/BF02295996, with the binomial distribution in place of its approximation.

    Args:
        only_first: Tickets that only the first got right, 0 or more.
        only_second: Tickets that only the second got right, 0 or more.

    Raises:
        InputError: A count is negative.

    Example:
        >>> mcnemar(0, 6)
        0.03125
    """
    _check_counts("McNemar test", only_first, only_second)
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def mcnemar_mid_p(only_first: int, only_second: int) -> float:
    """The mid-p value of the McNemar test: of splits as likely as the one seen only half the chance counts.

    Smaller than the exact p, and closer to what it should be, but no guarantee; 1 where the two never differ.
    Source: Fagerland, Lydersen & Laake 2013, doi:10.1186/1471-2288-13-91

    Takes and raises the same as `mcnemar`.

    Example:
        >>> mcnemar_mid_p(1, 4)
        0.21875
    """
    exact, discordant = mcnemar(only_first, only_second), only_first + only_second
    if not discordant:
        return 1.0
    chance = math.comb(discordant, only_first) / (1 << discordant)
    # The mirror image is as likely; an even split is its own.
    return exact - (chance / 2 if only_first == only_second else chance)


def paired_interval(only_first: int, only_second: int, n: int) -> Interval:
    """A 95 % interval of the difference of two accuracies on the same tickets, second minus first, within [-1, 1].

    The adjusted Wald interval: one ticket is added to each kind on which the two differ, so that an interval of few tickets, or
    without any difference, is not too short. It is approximate; `mcnemar`, which is exact, decides which is better.
    Source: Bonett & Price 2012, doi:10.3102/1076998611411915

    Args:
        only_first: Tickets that only the first got right, 0 or more.
        only_second: Tickets that only the second got right, 0 or more.
        n: All tickets, at least 1.

    Raises:
        InputError: A count is negative, or n is less than the two together or than 1.

    Example:
        >>> [round(end, 3) for end in paired_interval(5, 15, 100)]
        [0.01, 0.186]
    """
    _check_counts("interval of a difference", only_first, only_second)
    if n < max(1, only_first + only_second):
        raise InputError(f"interval of a difference: {n} tickets in all", remedy="count every ticket")
    lost, gained = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    middle = gained - lost
    half = float(ndtri((1 + LEVEL) / 2)) * ((gained + lost - middle**2) / (n + 2)) ** 0.5
    return max(-1.0, middle - half), min(1.0, middle + half)


def paired_bootstrap(
    first: ArrayLike, second: ArrayLike, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0, least: int = LEAST_RESAMPLED
) -> Interval | None:
    """The bootstrap interval of a mean difference, second minus first: tickets are drawn whole, with both their values.

    See `bootstrap_interval`. For accuracies of few tickets `paired_interval` covers better, for losses `mean_interval`.

    Args:
        first: Shape (n,), a value of each ticket in the first run, such as right or wrong, a loss or a cost.
        second: Shape (n,), the same in the second.
        level: The coverage aimed at, between 0 and 1.
        draws: How many samples are drawn.
        seed: Of the draws; equal seeds give equal intervals.
        least: Tickets below which there is no interval.

    Returns:
        Both ends; None below `least` tickets.

    Raises:
        InputError: No tickets, other shapes, values that are not finite, or a level or number of draws out of range.

    Example:
        >>> paired_bootstrap([0, 1] * 20, [1, 1] * 20)
        (0.35, 0.65)
    """
    one, other = (column("paired bootstrap", numbers("paired bootstrap", values)) for values in (first, second))
    same_length("paired bootstrap", one, other)
    change = other - one
    if not np.isfinite(change).all():
        raise InputError("paired bootstrap: a value is not finite", remedy="give finite values")
    return bootstrap_interval(lambda values: float(values.mean()), change, level=level, draws=draws, seed=seed, least=least)


def mean_interval(values: Floats) -> Interval | None:
    """A 95 % interval of the mean of paired differences; None for fewer than 10.

    The expanded percentile bootstrap: tickets are drawn with replacement 10,000 times, with a fixed seed, and the quantiles are moved
    outwards as far as those of Student's t lie beyond the normal ones, because plain percentiles are too short on few tickets.
    Source: Hesterberg 2015, doi:10.1080/00031305.2015.1089789

    Args:
        values: Shape (n,), one difference a ticket.
    """
    n = len(values)
    if n < _LEAST:
        return None
    random = np.random.default_rng(_SEED)
    means = [values[random.integers(n, size=n)].mean() for _ in range(_DRAWS)]
    tail = float(ndtr((n / (n - 1)) ** 0.5 * stdtrit(n - 1, (1 - LEVEL) / 2)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _check_counts(figure: str, *counts: int) -> None:
    if min(counts) < 0:
        raise InputError(f"{figure}: a count is negative", remedy="count tickets")
