"""Scores made ready for a calibrator, and the checks of arrays that come from outside.

What a calibrator takes are **log-scores**: natural logarithms, one row a ticket, one column a category. A constant added to a row
changes nothing. Each check gives the array as numbers of one type, or says in one line what is wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SUM_TOLERANCE = 0.01
"""How far the probabilities of a ticket may be from summing to 1: rounding to two digits, no more."""

_FLOOR = 1e-12  # a probability of 0 counts as this: its logarithm is taken
_MASKED = -9000.0  # below this stand only a server's masks, never a score
_ROUNDING = 1e-9  # of a sum of floats
_ROWS = 2048  # of a block: 77 columns of these lie in a processor's cache
_LEAST = 1e-6  # of the probability that is thought to be left for what is missing


def log_scores(probabilities: ArrayLike) -> Floats:
    """The log-scores of probabilities, for engines that give these; see `distributions`.

    A probability of 0 counts as 1e-12.

    Args:
        probabilities: Shape (n, K), not negative, rows that sum to 1 within 0.01.

    Raises:
        InputError: No tickets, one category, or a row is no distribution.

    Example:
        >>> log_scores([[0.5, 0.5]]).round(4).tolist()
        [[-0.6931, -0.6931]]
    """
    floored = np.maximum(distributions("scores", probabilities), _FLOOR)
    return np.log(floored, out=floored)


def mostly_missing(missing: ArrayLike) -> Bools:
    """Of which tickets more than half the categories were not seen: `prepared` refuses them, they are no distribution.

    Args:
        missing: Shape (n, K), true where the engine listed no value.

    Example:
        >>> mostly_missing([[False, True, True], [False, False, True]]).tolist()
        [True, False]
    """
    unseen = np.asarray(missing)
    if unseen.ndim != 2 or unseen.dtype != np.bool_:
        raise InputError(f"missing labels of shape {unseen.shape} and type {unseen.dtype}", remedy="true or false for each score")
    return np.asarray(unseen.mean(axis=1) > 0.5)


def prepared(scores: ArrayLike, missing: ArrayLike | None = None) -> Floats:
    """Log-scores as the calibrators compute with them: normalised, the missing ones filled.

    Normalising first matters: one model's raw logits lie near 60, another's near 0, and a bias must not depend on that. A missing
    label gets its part of the probability that the seen ones leave, at most that of the smallest seen. A small constant would not
    do: with a temperature above 1 many labels at a floor outweigh the best one.

    Args:
        scores: Shape (n, K), finite where they are not missing. With missing labels they are logarithms of probabilities.
        missing: Shape (n, K), true where the engine listed no value; what stands there is not looked at. None: all were seen.

    Returns:
        Shape (n, K); exp of a row sums to 1.

    Raises:
        InputError: No tickets, one category, NaN, infinities, a server's mask among the seen, or a ticket of which more than half
            the categories are missing.

    Example:
        >>> import numpy as np
        >>> np.exp(prepared([[np.log(0.8), np.log(0.1), 0, 0]], [[False, False, True, True]])).round(4).tolist()
        [[0.8, 0.1, 0.05, 0.05]]
    """
    rows = table("scores", scores)
    if missing is not None:
        rows = _filled(rows, np.asarray(missing))
    if not np.isfinite(rows).all():
        raise InputError("scores: NaN or infinite", remedy="mark labels that were not seen as missing")
    with np.errstate(over="ignore"):
        logs = normalised(rows)
    if logs.min() <= _MASKED:
        raise InputError("scores: a server's mask among them", remedy="mark labels that were not seen as missing")
    return logs


def normalised(rows: Floats) -> Floats:
    """Rows less the logarithm of the sum of their exponentials: scipy's `log_softmax`, to the last bit, with fewer copies.

    Args:
        rows: Shape (n, K), finite.
    """
    logs: Floats = rows - rows.max(axis=1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return logs


def blocks(n: int) -> Iterator[slice]:
    """The rows of a table a block at a time, so that what is computed from a million needs little memory besides the result.

    Args:
        n: How many rows there are.
    """
    return (slice(start, start + _ROWS) for start in range(0, n, _ROWS))


def table(what: str, values: ArrayLike) -> Floats:
    """A table of numbers with a ticket in it and two categories.

    Args:
        what: What it holds, for the message.
        values: Shape (n, K).

    Raises:
        InputError: It has no ticket, fewer than two categories or another number of dimensions.
    """
    rows = np.asarray(values, dtype=np.float64)
    check_shape(what, rows.shape)
    return rows


def check_shape(what: str, shape: tuple[int, ...]) -> None:
    """Refuse what is not (n, K) with at least one ticket and two categories.

    Raises:
        InputError: It is not.
    """
    if len(shape) != 2:
        raise InputError(f"{what} of shape {shape}", remedy="one row a ticket, one column a category")
    if not shape[0]:
        raise InputError(f"{what}: there are no tickets", remedy="give at least one")
    if shape[1] < 2:
        raise InputError(f"{what}: fewer than two categories", remedy="there is nothing to choose among")


def distributions(what: str, probabilities: ArrayLike) -> Floats:
    """Rows of probabilities, made to sum to 1; one that does so already but for rounding is left as it is, so that ties stay ties.

    Where all are left as they are, a table of float64 is given back itself, not a copy.

    Args:
        what: What they are, for the message.
        probabilities: Shape (n, K), not negative, rows that sum to 1 within 0.01.

    Raises:
        InputError: No tickets, one category, NaN, infinite, negative, or another sum.
    """
    rows = table(what, probabilities)
    if not np.isfinite(rows).all() or rows.min() < 0:
        raise InputError(f"{what}: NaN, infinite or negative", remedy="probabilities lie between 0 and 1")
    sums = rows.sum(axis=1, keepdims=True)
    off = np.abs(sums - 1)
    if off.max() > SUM_TOLERANCE + _ROUNDING:
        raise InputError(f"{what}: a row sums to {sums.flat[off.argmax()]:.4g}", remedy="probabilities sum to 1")
    rounded = off <= _ROUNDING
    return rows if rounded.all() else np.asarray(np.where(rounded, rows, rows / sums))


def gold_labels(what: str, gold: ArrayLike, n: int, n_categories: int) -> Integers:
    """The true categories of n tickets.

    Args:
        what: What they are for, for the message.
        gold: Shape (n,), whole numbers 0..n_categories-1.
        n: How many tickets there are.
        n_categories: K.

    Raises:
        InputError: Another length, no whole numbers, or a category outside 0..K-1.
    """
    labels = column(what, gold, n)
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= n_categories:
        raise InputError(f"{what}: a true category is not in 0..{n_categories - 1}", remedy="number categories 0..K-1")
    return labels.astype(np.int64)


def column(what: str, values: ArrayLike, n: int | None = None) -> npt.NDArray[Any]:
    """A column with at least one ticket, of n if that is given.

    Raises:
        InputError: No tickets, another length or another number of dimensions.
    """
    one = np.asarray(values)
    if one.ndim != 1:
        raise InputError(f"{what}: values of shape {one.shape}", remedy="one value a ticket")
    if not len(one):
        raise InputError(f"{what}: there are no tickets", remedy="give at least one")
    if n is not None and len(one) != n:
        raise InputError(f"{what}: {n} tickets and {len(one)} values", remedy="one of each a ticket")
    return one


def _filled(rows: Floats, unseen: npt.NDArray[Any]) -> Floats:
    if unseen.shape != rows.shape:
        raise InputError(f"missing labels of shape {unseen.shape} for scores of shape {rows.shape}", remedy="one for each score")
    n_mostly = int(mostly_missing(unseen).sum())
    if n_mostly:
        remedy = "leave these tickets out, or use the confidence of the first choice alone"
        raise InputError(f"scores: more than half the categories are missing for {n_mostly} tickets", remedy=remedy)
    if not unseen.any():
        return rows
    if not np.isfinite(rows[~unseen]).all():
        raise InputError("scores: NaN or infinite", remedy="mark labels that were not seen as missing")
    with np.errstate(over="ignore"):
        mass = np.exp(np.where(unseen, -np.inf, rows)).sum(axis=1)
    if mass.max() > 1 + SUM_TOLERANCE:
        raise InputError(
            "scores: with labels missing, the seen ones sum to more than 1", remedy="give logarithms of probabilities"
        )
    share = np.log(np.maximum(1 - mass, _LEAST) / np.maximum(unseen.sum(axis=1), 1))
    smallest = np.where(unseen, np.inf, rows).min(axis=1)
    return np.where(unseen, np.minimum(share, smallest)[:, None], rows)
