"""Which calibrator: the number of labelled tickets admits methods, their losses on held-out tickets choose among these.

Below 50 tickets nothing is called calibrated: one draw of twenty can lose more than a quarter of a nat. A bias without a strong prior
needs five tickets a category, a matrix two for each of its entries. Among those admitted the smallest is taken whose
loss, ticket by ticket, is within half a standard error of the best one's. Comparing the same tickets matters: what makes one ticket
harder than another cancels, and the error of the difference is a third of that of the losses.

Sources: cross-validation, Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x; the smallest within a standard error, Breiman et al.
1984, "Classification and Regression Trees", section 3.4.3 (there one whole error of one loss).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from llmtriage.probability.calibrators import ConfidenceCalibrator, ScoreCalibrator
from llmtriage.probability.metrics import FLOOR
from llmtriage.probability.scores import Floats, Integers, column, gold_labels, prepared

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LEAST_TICKETS = 50
"""With fewer labelled tickets the outcome is not calibrated."""

FOLDS = 5
STANDARD_ERRORS = 0.5

_HeldOut = Callable[[Integers, Integers], Floats]  # tickets to fit on, tickets to judge -> the losses of these


class Tried(NamedTuple):
    """A method that was admitted.

    Attributes:
        method: Its name.
        loss: Its mean loss on held-out tickets, in nats; None with a single ticket.
        behind: By how much that is above the best one's.
        standard_error: Of `behind`, from the differences ticket by ticket.
    """

    method: str
    loss: float | None
    behind: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The calibrator that was chosen, fitted on all tickets, and why.

    Attributes:
        calibrator: For scores, or for confidences: as what it was chosen for.
        calibrated: False: there were fewer than 50 tickets, so its numbers may not be called probabilities.
        n: Labelled tickets.
        tried: The methods admitted, from the smallest to the largest.
        absent: Categories without a ticket, ascending; none for confidences.
    """

    calibrator: ScoreCalibrator | ConfidenceCalibrator
    calibrated: bool
    n: int
    tried: tuple[Tried, ...]
    absent: tuple[int, ...] = ()

    @property
    def method(self) -> str:
        """The name of the chosen one."""
        return self.calibrator.method


def admitted(n: int, n_categories: int) -> tuple[str, ...]:
    """The methods for scores that n tickets of K categories are enough for, from the smallest to the largest.

    Example:
        >>> admitted(200, 77)
        ('temperature', 'bias')
    """
    needed = {"temperature": 0, "bias": 0, "bias-wide": 5 * n_categories, "matrix": 2 * n_categories**2}
    return tuple(needed)[:1] if n < LEAST_TICKETS else tuple(method for method, least in needed.items() if n >= least)


def selected(scores: ArrayLike, gold: ArrayLike, *, missing: ArrayLike | None = None, seed: int = 0) -> Selection:
    """Choose and fit a calibrator for scores.

    Args:
        scores: Shape (n, K), log-scores, however normalised.
        gold: Shape (n,), true categories, 0..K-1.
        missing: Shape (n, K), true where the engine listed no value.
        seed: Of the shuffle before tickets are dealt to folds.

    Raises:
        InputError: The arrays cannot be used; see `scores.prepared`.

    Example:
        >>> import numpy as np
        >>> chosen = selected(np.log([[0.9, 0.1], [0.4, 0.6]] * 10), [0, 1] * 10)
        >>> chosen.method, chosen.calibrated, chosen.n
        ('temperature', False, 20)
    """
    logs = prepared(scores, missing)
    n, k = logs.shape
    labels = gold_labels("calibration", gold, n, k)

    def held_out(method: str) -> _HeldOut:
        def losses(fitting: Integers, judging: Integers) -> Floats:
            fitted = ScoreCalibrator(method).fit(logs[fitting], labels[fitting])
            of_gold = fitted.predict_log_proba(logs[judging])[np.arange(len(judging)), labels[judging]]
            return np.asarray(-np.maximum(of_gold, math.log(FLOOR)))

        return losses

    methods = admitted(n, k)
    tried = compared({method: cross_validated(held_out(method), n, seed=seed) for method in methods})
    absent = tuple(np.flatnonzero(np.bincount(labels, minlength=k) == 0).tolist())
    calibrator = ScoreCalibrator(_smallest(tried)).fit(logs, labels)
    return Selection(calibrator, n >= LEAST_TICKETS, n, tried, absent)


def selected_for_confidence(confidence: ArrayLike, correct: ArrayLike, *, seed: int = 0) -> Selection:
    """Fit the calibrator for confidences of a first choice, which is beta, and measure it.

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1: whether the first choice was right.
        seed: Of the shuffle before tickets are dealt to folds.

    Raises:
        InputError: The arrays cannot be used.
    """
    calibrator = ConfidenceCalibrator("beta").fit(confidence, correct)
    certainty = column("calibration", confidence)
    right = np.asarray(correct).astype(np.bool_)

    def losses(fitting: Integers, judging: Integers) -> Floats:
        chance = ConfidenceCalibrator("beta").fit(certainty[fitting], right[fitting]).predict(certainty[judging])
        return np.asarray(-np.log(np.maximum(np.where(right[judging], chance, 1 - chance), FLOOR)))

    n = len(right)
    return Selection(calibrator, n >= LEAST_TICKETS, n, compared({"beta": cross_validated(losses, n, seed=seed)}))


def cross_validated(held_out: _HeldOut, n: int, *, seed: int = 0) -> Floats:
    """The loss of each ticket by a fit on the tickets of the other folds, shape (n,); NaN for a single ticket.

    Args:
        held_out: Fits on some tickets and gives the losses of others; both are given by their places.
        n: How many tickets there are, at least 1.
        seed: Of the shuffle before they are dealt to five folds.
    """
    losses = np.full(n, np.nan)
    order = np.random.default_rng(seed).permutation(n)
    for fold in range(min(FOLDS, n) if n > 1 else 0):
        judging = order[fold::FOLDS]
        losses[judging] = held_out(np.delete(order, np.s_[fold::FOLDS]), judging)
    return losses


def compared(losses: dict[str, Floats]) -> tuple[Tried, ...]:
    """Each method beside the best, in the order given.

    Args:
        losses: Method -> shape (n,), the same tickets in the same order.
    """
    best = min(losses.values(), key=lambda of: float(of.mean()))
    return tuple(_tried(method, of, of - best) for method, of in losses.items())


def _tried(method: str, losses: Floats, behind: Floats) -> Tried:
    if len(losses) == 1:
        return Tried(method, None, 0.0, 0.0)
    error = float(behind.std(ddof=1)) / math.sqrt(len(losses))
    return Tried(method, float(losses.mean()), float(behind.mean()), error)


def _smallest(tried: tuple[Tried, ...]) -> str:
    return next(one.method for one in tried if one.behind <= STANDARD_ERRORS * one.standard_error)
