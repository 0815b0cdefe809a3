"""What the figures ask of their arrays; every error names the figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Interval = tuple[float, float]

_SUM_TOLERANCE = 1e-6


def categories(figure: str, gold: ArrayLike, predicted: ArrayLike) -> tuple[Integers, Integers]:
    """True and predicted categories as whole numbers, both of shape (n,).

    Raises:
        InputError: No tickets, other shapes, a true category below 0, or a predicted one below -1.
    """
    true, answer = column(figure, gold), column(figure, predicted)
    same_length(figure, true, answer)
    if true.dtype.kind not in "iu" or answer.dtype.kind not in "iu" or true.min() < 0 or answer.min() < -1:
        raise InputError(f"{figure}: a category is no number 0..K-1", remedy="-1 stands for no answer, in predictions only")
    return true.astype(np.int64), answer.astype(np.int64)


def below(figure: str, n_categories: int, *columns: Integers) -> None:
    """Check that every category is one of 0..K-1.

    Raises:
        InputError: One is not.
    """
    if max(values.max() for values in columns) >= n_categories:
        raise InputError(f"{figure}: a category is not below {n_categories}", remedy="number categories 0..K-1")


def of_gold(figure: str, probabilities: ArrayLike, gold: ArrayLike) -> Floats:
    """The probability of each ticket's true category, shape (n,).

    Raises:
        InputError: No tickets, other shapes, rows that are no distributions, or a category outside 0..K-1.
    """
    rows, true = numbers(figure, probabilities), column(figure, gold)
    if rows.ndim != 2 or len(rows) != len(true):
        raise InputError(f"{figure}: probabilities of shape {rows.shape} for {len(true)} tickets", remedy="one row a ticket")
    if not (rows >= 0).all() or not (np.abs(rows.sum(axis=1) - 1) <= _SUM_TOLERANCE).all():
        raise InputError(f"{figure}: a row is no distribution", remedy="rows are not negative and sum to 1")
    if true.dtype.kind not in "iu" or true.min() < 0 or true.max() >= rows.shape[1]:
        raise InputError(f"{figure}: a true category is not in 0..{rows.shape[1] - 1}", remedy="number categories 0..K-1")
    found: Floats = rows[np.arange(len(true)), true.astype(np.int64)]
    return found


def judged(figure: str, confidence: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    """Confidence in [0, 1] and 0 or 1 for wrong or right, both of shape (n,).

    Raises:
        InputError: No tickets, other shapes, or values out of range.
    """
    certainty, right = confidences(figure, confidence), truths(figure, correct)
    same_length(figure, certainty, right)
    return certainty, right


def confidences(figure: str, confidence: ArrayLike) -> Floats:
    """Confidence in [0, 1], shape (n,).

    Raises:
        InputError: No tickets, another shape, or values out of range.
    """
    certainty = column(figure, numbers(figure, confidence))
    if not ((certainty >= 0) & (certainty <= 1)).all():
        raise InputError(f"{figure}: a confidence is not in [0, 1]", remedy="calibrate or rescale the scores first")
    return certainty


def truths(figure: str, values: ArrayLike) -> Floats:
    """0 or 1 for each ticket, shape (n,).

    Raises:
        InputError: No tickets, another shape, or other values.
    """
    flags = column(figure, numbers(figure, values))
    if not np.isin(flags, (0, 1)).all():
        raise InputError(f"{figure}: other values than 0 and 1", remedy="say yes or no of each ticket")
    return flags


def column(figure: str, values: ArrayLike) -> npt.NDArray[Any]:
    """One value for each ticket, whatever its type.

    Raises:
        InputError: No tickets, or another shape.
    """
    found = _array(figure, values)
    if found.ndim != 1:
        raise InputError(f"{figure}: values of shape {found.shape}", remedy="one value a ticket")
    if not len(found):
        raise InputError(f"{figure}: there are no tickets", remedy="give at least one")
    return found


def numbers(figure: str, values: ArrayLike) -> Floats:
    """The values as floats, of any shape.

    Raises:
        InputError: Some are no numbers.
    """
    try:
        return _array(figure, values).astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise InputError(f"{figure}: a value is no number", remedy="give numbers only") from None


def same_length(figure: str, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> None:
    """Check that two columns are about the same number of tickets.

    Raises:
        InputError: They are not.
    """
    if len(one) != len(other):
        raise InputError(f"{figure}: {len(one)} and {len(other)} values", remedy="one of each a ticket")


def in_open_interval(figure: str, what: str, value: float) -> None:
    """Check that a share such as a level is strictly between 0 and 1.

    Raises:
        InputError: It is not.
    """
    if not 0 < value < 1:
        raise InputError(f"{figure}: {what} is {value}", remedy="between 0 and 1")


def at_least(figure: str, what: str, value: float, least: float) -> None:
    """Check that a setting is finite and not below the least it can be.

    Raises:
        InputError: It is.
    """
    if not least <= value < np.inf:
        raise InputError(f"{figure}: {what} is {value}", remedy=f"at least {least}")


def _array(figure: str, values: ArrayLike) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{figure}: rows of different lengths", remedy="one value a ticket, or one row") from None
