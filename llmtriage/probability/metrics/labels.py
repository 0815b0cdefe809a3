"""Figures of the predicted categories.

Categories are numbers 0..K-1; a predicted -1 means no answer, or one outside the categories, and is always wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from llmtriage.probability.metrics.inputs import Floats, Integers, Interval, below, categories
from llmtriage.probability.metrics.intervals import DRAWS, LEAST_RESAMPLED, LEVEL, percentiles, resampled_counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class PerCategory(NamedTuple):
    """One number per category; NaN where there is nothing to divide by.

    Attributes:
        support: Tickets whose true category this is.
        predicted: Tickets this category was answered for.
        right: Tickets that are both.
        precision, recall: The right ones over predicted, and over support.
        f1: Twice the right ones over support + predicted.
    """

    support: Integers
    predicted: Integers
    right: Integers
    precision: Floats
    recall: Floats
    f1: Floats


def accuracy(gold: ArrayLike, predicted: ArrayLike) -> float:
    """The share of tickets whose predicted category is the true one, in [0, 1].

    Args:
        gold: Shape (n,), true categories, 0..K-1.
        predicted: Shape (n,), predicted categories, -1 for none.

    Raises:
        InputError: No tickets, other shapes, or a true category below 0.

    Example:
        >>> accuracy([0, 1, 1, 2], [0, 1, 2, -1])
        0.5
    """
    true, answer = categories("accuracy", gold, predicted)
    return float(np.mean(true == answer))


def per_category(gold: ArrayLike, predicted: ArrayLike, n_categories: int) -> PerCategory:
    """Support, precision, recall and F1 of each category.

    Args:
        gold: Shape (n,), true categories, 0..n_categories-1.
        predicted: Shape (n,), predicted categories, -1 for none.
        n_categories: K.

    Returns:
        Six arrays of shape (K,), NaN where there is nothing to divide by.

    Raises:
        InputError: No tickets, other shapes, or a category outside 0..K-1.

    Example:
        >>> per_category([0, 0, 1], [0, 1, 1], 2).recall
        array([0.5, 1. ])
    """
    true, answer = categories("per category", gold, predicted)
    below("per category", n_categories, true, answer)
    return _table(true, answer, n_categories)


def balanced_accuracy(gold: ArrayLike, predicted: ArrayLike) -> float:
    """The mean recall over the categories that have a true ticket, in [0, 1]: every category counts alike, however rare.

    Source: Brodersen et al. 2010, doi:10.1109/ICPR.2010.764

    Args:
        gold: Shape (n,), true categories, 0..K-1.
        predicted: Shape (n,), predicted categories, -1 for none.

    Raises:
        InputError: No tickets, other shapes, or a true category below 0.

    Example:
        >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
        0.5
    """
    table = _occurring("balanced accuracy", gold, predicted)
    return float(np.mean(table.recall[table.support > 0]))


def macro_f1(gold: ArrayLike, predicted: ArrayLike) -> float:
    """The mean F1 over the categories that are true or predicted at least once, in [0, 1].

    It is the mean of the categories' F1, not the F1 of mean precision and mean recall.
    Source: Opitz & Burst 2019, arXiv:1911.03347

    Takes and raises the same as `balanced_accuracy`.

    Example:
        >>> round(macro_f1([0, 0, 1], [0, 1, 1]), 4)
        0.6667
    """
    return _macro_f1(_occurring("macro F1", gold, predicted))


def macro_f1_interval(
    gold: ArrayLike,
    predicted: ArrayLike,
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
    least: int = LEAST_RESAMPLED,
) -> Interval | None:
    """The bootstrap interval of `macro_f1`; see `bootstrap_interval`, whose law the draws follow.

    Tickets with the same two categories are interchangeable, so how often each such pair is drawn is drawn instead of tickets:
    a million tickets take no longer than their pairs.

    Args:
        gold: Shape (n,), true categories, 0..K-1.
        predicted: Shape (n,), predicted categories, -1 for none.
        level: The coverage aimed at, between 0 and 1.
        draws: How many samples are drawn.
        seed: Of the draws; equal seeds give equal intervals.
        least: Tickets below which there is no interval.

    Returns:
        Both ends in [0, 1]; None below `least` tickets.

    Raises:
        InputError: No tickets, other shapes, a true category below 0, or a level or number of draws out of range.

    Example:
        >>> [round(end, 2) for end in macro_f1_interval([0] * 20 + [1] * 20, [0] * 30 + [1] * 10)]
        [0.57, 0.87]
    """
    true, answer = categories("macro F1 interval", gold, predicted)
    if len(true) < least:
        return None
    n_categories = 1 + int(max(true.max(), answer.max()))
    pairs, counts = np.unique(true * (n_categories + 1) + answer + 1, return_counts=True)
    kinds = pairs // (n_categories + 1), pairs % (n_categories + 1) - 1
    drawn = resampled_counts("macro F1 interval", counts, draws, seed)
    return percentiles("macro F1 interval", [_macro_f1(_table(*kinds, n_categories, times)) for times in drawn], level)


def weighted_f1(gold: ArrayLike, predicted: ArrayLike) -> float:
    """The mean F1 weighted by the number of true tickets of each category, in [0, 1].

    Source: scikit-learn, `f1_score(average="weighted")`: Pedregosa et al. 2011, arXiv:1201.0490

    Takes and raises the same as `balanced_accuracy`.

    Example:
        >>> round(weighted_f1([0, 0, 0, 1], [0, 0, 1, 1]), 4)
        0.7667
    """
    table = _occurring("weighted F1", gold, predicted)
    present = table.support > 0
    return float(np.average(table.f1[present], weights=table.support[present]))


def _occurring(figure: str, gold: ArrayLike, predicted: ArrayLike) -> PerCategory:
    true, answer = categories(figure, gold, predicted)
    return _table(true, answer, 1 + int(max(true.max(), answer.max())))


def _macro_f1(table: PerCategory) -> float:
    return float(np.mean(table.f1[table.support + table.predicted > 0]))


def _table(true: Integers, answer: Integers, n_categories: int, times: Integers | None = None) -> PerCategory:
    """The table of tickets that each count `times`, once if not told."""
    often = np.ones(len(true), dtype=np.int64) if times is None else times

    def counted(values: Integers, chosen: np.ndarray) -> Integers:
        return np.bincount(values[chosen], weights=often[chosen], minlength=n_categories).astype(np.int64)

    support, answered = counted(true, true >= 0), counted(answer, answer >= 0)
    right = counted(true, true == answer)
    f1 = _ratio(2 * right, support + answered)
    return PerCategory(support, answered, right, _ratio(right, answered), _ratio(right, support), f1)


def _ratio(top: Integers, bottom: Integers) -> Floats:
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0), dtype=np.float64)
