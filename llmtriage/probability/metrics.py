"""The figures of an evaluation, each a pure function of arrays.

Categories are numbers 0..K-1; a predicted -1 means no answer, or one outside the categories, and is always wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# The least probability a logarithm is taken of; bins as in Guo et al. 2017; how far the sum of a distribution may be from 1.
FLOOR = 1e-12
BINS = 15
_SUM_TOLERANCE = 1e-6


class PerCategory(NamedTuple):
    """One number per category; NaN where there is nothing to divide by.

    Attributes:
        support: Tickets whose true category this is.
        predicted: Tickets this category was answered for.
        precision, recall: The right ones over predicted, and over support.
        f1: Twice the right ones over support + predicted.
    """

    support: Integers
    predicted: Integers
    precision: Floats
    recall: Floats
    f1: Floats


def clopper_pearson(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """The exact two-sided confidence interval of a binomial share.

    Whatever the true share, at least `level` of all such intervals hold it.
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
    if n < 1:
        raise InputError("interval: there are no tickets", remedy="give at least one")
    if not 0 <= successes <= n or not 0 < level < 1:
        raise InputError(f"interval of {successes} in {n} at level {level}", remedy="0 <= successes <= n, 0 < level < 1")
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


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
    true, answer = _categories("accuracy", gold, predicted)
    return float(np.mean(true == answer))


def per_category(gold: ArrayLike, predicted: ArrayLike, n_categories: int) -> PerCategory:
    """Support, precision, recall and F1 of each category.

    Args:
        gold: Shape (n,), true categories, 0..n_categories-1.
        predicted: Shape (n,), predicted categories, -1 for none.
        n_categories: K.

    Returns:
        Five arrays of shape (K,), NaN where there is nothing to divide by.

    Raises:
        InputError: No tickets, other shapes, or a category outside 0..K-1.

    Example:
        >>> per_category([0, 0, 1], [0, 1, 1], 2).recall
        array([0.5, 1. ])
    """
    true, answer = _categories("per category", gold, predicted)
    if max(true.max(), answer.max()) >= n_categories:
        raise InputError(f"per category: a category is not below {n_categories}", remedy="number categories 0..K-1")
    support = np.bincount(true, minlength=n_categories)
    answered = np.bincount(answer[answer >= 0], minlength=n_categories)
    right = np.bincount(true[true == answer], minlength=n_categories)
    f1 = _ratio(2 * right, support + answered)
    return PerCategory(support, answered, _ratio(right, answered), _ratio(right, support), f1)


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
    table = _table("balanced accuracy", gold, predicted)
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
    table = _table("macro F1", gold, predicted)
    return float(np.mean(table.f1[table.support + table.predicted > 0]))


def weighted_f1(gold: ArrayLike, predicted: ArrayLike) -> float:
    """The mean F1 weighted by the number of true tickets of each category, in [0, 1].

    Source: scikit-learn, `f1_score(average="weighted")`: Pedregosa et al. 2011, arXiv:1201.0490

    Takes and raises the same as `balanced_accuracy`.

    Example:
        >>> round(weighted_f1([0, 0, 0, 1], [0, 0, 1, 1]), 4)
        0.7667
    """
    table = _table("weighted F1", gold, predicted)
    present = table.support > 0
    return float(np.average(table.f1[present], weights=table.support[present]))


def log_loss(probabilities: ArrayLike, gold: ArrayLike) -> float:
    """The mean of -ln(probability of the true category), in nats, in [0, 27.63].

    A probability below 1e-12 counts as 1e-12, so that one impossible ticket costs much but not everything; see `n_clipped`.
    Source: Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x

    Args:
        probabilities: Shape (n, K), rows that sum to 1 within 1e-6.
        gold: Shape (n,), true categories, 0..K-1.

    Raises:
        InputError: No tickets, other shapes, no distributions, or a category outside 0..K-1.

    Example:
        >>> round(log_loss([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 4)
        0.4904
    """
    return float(np.mean(-np.log(np.maximum(_of_gold("log loss", probabilities, gold), FLOOR))))


def n_clipped(probabilities: ArrayLike, gold: ArrayLike) -> int:
    """How many tickets the floor of `log_loss` was needed for: their true category was given less than 1e-12.

    Takes and raises the same as `log_loss`.

    Example:
        >>> n_clipped([[1.0, 0.0], [1.0, 0.0]], [0, 1])
        1
    """
    return int(np.sum(_of_gold("clipped tickets", probabilities, gold) < FLOOR))


def brier(probabilities: ArrayLike, gold: ArrayLike) -> float:
    """The mean squared distance between the distribution and the truth, summed over categories: 0 (perfect) to 2.

    For two categories this is twice scikit-learn's `brier_score_loss` of one of them.
    Source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2

    Args:
        probabilities: Shape (n, K), rows that sum to 1 within 1e-6.
        gold: Shape (n,), true categories, 0..K-1.

    Raises:
        InputError: No tickets, other shapes, no distributions, or a category outside 0..K-1.

    Example:
        >>> brier([[0.5, 0.5], [1.0, 0.0]], [0, 0])
        0.25
    """
    true = _of_gold("Brier score", probabilities, gold)
    squares = np.sum(np.asarray(probabilities, dtype=np.float64) ** 2, axis=1)
    return max(0.0, float(np.mean(squares - 2 * true + 1)))


def ece(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS) -> float:
    """The expected calibration error over bins of equal mass, in [0, 1].

    Tickets are dealt to bins by mid-rank, so equal confidences share a bin and the order of rows does not matter. The figure
    is biased upwards when tickets are few: compare it with `ece_null_limit`.
    Source: Guo et al. 2017, arXiv:1706.04599; equal mass: Nixon et al. 2019, arXiv:1904.01685

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.
        bins: How many, at least 1.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> round(ece([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0], bins=2), 4)
        0.1
    """
    certainty, right = _judged("ECE", confidence, correct)
    cells = _mass_bins(certainty, bins)
    return float(np.sum(np.abs(np.bincount(cells, weights=right - certainty))) / len(certainty))


def ece_null_limit(confidence: ArrayLike, *, bins: int = BINS, draws: int = 1000, quantile: float = 0.95, seed: int = 0) -> float:
    """What the `ece` of a perfectly calibrated model stays below, in `quantile` of all samples with these confidences.

    Source: Bröcker & Smith 2007, doi:10.1175/WAF993.1; Vaicenavicius et al. 2019, arXiv:1902.06977

    Args:
        confidence: Shape (n,), in [0, 1].
        bins: How many, as for `ece`.
        draws: How many samples are simulated.
        quantile: The share of samples that stay below, in [0, 1].
        seed: Of the simulation; equal seeds give equal limits.

    Raises:
        InputError: No tickets, another shape, or values out of range.

    Example:
        >>> ece_null_limit([1.0] * 50)
        0.0
    """
    certainty, _ = _judged("ECE limit", confidence, np.zeros(np.shape(confidence)))
    cells = _mass_bins(certainty, bins)
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        gaps = np.bincount(cells, weights=(generator.random(len(certainty)) < certainty) - certainty)
        values.append(np.sum(np.abs(gaps)) / len(certainty))
    return float(np.quantile(values, quantile))


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
    certainty, right = _judged("AUROC", confidence, correct)
    n, n_right = len(right), int(right.sum())
    if n_right in (0, n):
        return None
    twice_above = int(_twice_midranks(certainty)[right == 1].sum()) - n_right * (n_right + 1)
    return twice_above / (2 * n_right * (n - n_right))


def aurc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The area under the risk-coverage curve: the error rate of the k most confident answers, averaged over k = 1..n; in [0, 1].

    Inside a tie the expected number of errors is taken (linear), so the order of rows does not matter.
    Source: Geifman et al. 2019, arXiv:1805.08206; Zhou et al. 2024, arXiv:2410.15361

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> round(aurc([0.9, 0.8, 0.7], [1, 0, 1]), 4)
        0.2778
    """
    certainty, right = _judged("AURC", confidence, correct)
    _, cells, counts = np.unique(-certainty, return_inverse=True, return_counts=True)
    accepted = np.concatenate([[0], np.cumsum(counts)])
    errors = np.concatenate([[0.0], np.cumsum(np.bincount(cells, weights=1 - right))])
    k = np.arange(1, len(right) + 1)
    return float(np.mean(np.interp(k, accepted, errors) / k))


def _mass_bins(certainty: Floats, bins: int) -> Integers:
    if bins < 1:
        raise InputError(f"ECE: {bins} bins", remedy="at least 1")
    # In integers: floor(bins (midrank - 1/2) / n) would depend on rounding exactly at the edges.
    cells: Integers = bins * (_twice_midranks(certainty) - 1) // (2 * len(certainty))
    return cells


def _twice_midranks(values: Floats) -> Integers:
    """Twice the mean rank (from 1) of each value's ties, which is a whole number."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    twice: Integers = (2 * np.cumsum(counts) - counts + 1)[inverse]
    return twice


def _table(figure: str, gold: ArrayLike, predicted: ArrayLike) -> PerCategory:
    true, answer = _categories(figure, gold, predicted)
    return per_category(true, answer, 1 + int(max(true.max(), answer.max())))


def _ratio(top: Integers, bottom: Integers) -> Floats:
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0), dtype=np.float64)


def _categories(figure: str, gold: ArrayLike, predicted: ArrayLike) -> tuple[Integers, Integers]:
    true, answer = _column(figure, gold), _column(figure, predicted)
    _same_length(figure, true, answer)
    if true.dtype.kind not in "iu" or answer.dtype.kind not in "iu" or true.min() < 0 or answer.min() < -1:
        raise InputError(f"{figure}: a category is no number 0..K-1", remedy="-1 stands for no answer, in predictions only")
    return true.astype(np.int64), answer.astype(np.int64)


def _of_gold(figure: str, probabilities: ArrayLike, gold: ArrayLike) -> Floats:
    rows, true = np.asarray(probabilities, dtype=np.float64), _column(figure, gold)
    if rows.ndim != 2 or len(rows) != len(true):
        raise InputError(f"{figure}: probabilities of shape {rows.shape} for {len(true)} tickets", remedy="one row a ticket")
    if not (rows >= 0).all() or not (np.abs(rows.sum(axis=1) - 1) <= _SUM_TOLERANCE).all():
        raise InputError(f"{figure}: a row is no distribution", remedy="rows are not negative and sum to 1")
    if true.dtype.kind not in "iu" or true.min() < 0 or true.max() >= rows.shape[1]:
        raise InputError(f"{figure}: a true category is not in 0..{rows.shape[1] - 1}", remedy="number categories 0..K-1")
    of_gold: Floats = rows[np.arange(len(true)), true.astype(np.int64)]
    return of_gold


def _judged(figure: str, confidence: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    certainty, right = _column(figure, confidence).astype(np.float64), _column(figure, correct).astype(np.float64)
    _same_length(figure, certainty, right)
    if not ((certainty >= 0) & (certainty <= 1)).all():
        raise InputError(f"{figure}: a confidence is not in [0, 1]", remedy="calibrate or rescale the scores first")
    if not np.isin(right, (0, 1)).all():
        raise InputError(f"{figure}: correct holds other values than 0 and 1", remedy="say of each ticket whether it was right")
    return certainty, right


def _column(figure: str, values: ArrayLike) -> npt.NDArray[Any]:
    column = np.asarray(values)
    if column.ndim != 1:
        raise InputError(f"{figure}: values of shape {column.shape}", remedy="one value a ticket")
    if not len(column):
        raise InputError(f"{figure}: there are no tickets", remedy="give at least one")
    return column


def _same_length(figure: str, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> None:
    if len(one) != len(other):
        raise InputError(f"{figure}: {len(one)} and {len(other)} values", remedy="one of each a ticket")
