"""Is the error of some tickets larger than chance allows?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtrc

from llmtriage.errors import InputError
from llmtriage.probability.metrics.inputs import column, in_open_interval, numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def excess_over_limit(errors: int, n: int, limit: float) -> float:
    """The one-sided p-value of the exact binomial test: how often n tickets of error rate `limit` have at least as many errors.

    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404

    Args:
        errors: Of the n, 0..n.
        n: Tickets, at least 1.
        limit: The error rate allowed, between 0 and 1.

    Raises:
        InputError: A count or the limit is out of range.

    Example:
        >>> round(excess_over_limit(8, 60, 0.05), 4)
        0.0098
    """
    _check("binomial test", errors, n)
    in_open_interval("binomial test", "the limit", limit)
    return float(bdtrc(errors - 1, n, limit)) if errors else 1.0


def excess_over_rest(errors: int, n: int, all_errors: int, all_n: int) -> float:
    """The one-sided p-value of Fisher's exact test: how often n tickets drawn from all of them hold at least as many of the errors.

    Source: Fisher 1935, doi:10.2307/2342435

    Args:
        errors: Of the n, 0..n.
        n: Some of the tickets, at least 1.
        all_errors: Of all tickets, those of the n included.
        all_n: All tickets.

    Raises:
        InputError: A count is out of range.

    Example:
        >>> round(excess_over_rest(8, 60, 20, 500), 4)
        0.0011
    """
    from scipy.stats import hypergeom  # takes its time to be imported

    _check("Fisher's test", errors, n)
    _check("Fisher's test", all_errors - errors, max(1, all_n - n))
    if all_n < n:
        raise InputError(f"Fisher's test: {n} of {all_n} tickets", remedy="count the tickets among all of them")
    return min(1.0, float(hypergeom.sf(errors - 1, all_n, all_errors, n)))


def holm(p: ArrayLike) -> list[float]:
    """p-values corrected for their number: where nothing is wrong anywhere, any is below 0.05 at most once in 20 times.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70

    Args:
        p: Shape (n,), in [0, 1].

    Raises:
        InputError: No values, another shape, or one out of range.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = column("Holm's correction", numbers("Holm's correction", p))
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError("Holm's correction: a p-value is not in [0, 1]", remedy="give p-values")
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    found = np.empty(len(values))
    found[order] = np.minimum(1.0, raised)
    return [float(value) for value in found]


def _check(figure: str, errors: int, n: int) -> None:
    if n < 1 or not 0 <= errors <= n:
        raise InputError(f"{figure}: {errors} errors among {n} tickets", remedy="0 <= errors <= n, n >= 1")
