"""Which categories a reviewer is shown for a ticket that waits: few, most probable first, and how often the right one is among them.

The rule is split conformal prediction with the least ambiguous sets (LAC), fitted on labelled **pending** tickets alone. "Pending"
depends on the ticket and on numbers fixed before, so pending tickets are exchangeable with those to come, and a set holds the right
category with a chance of at least the level. Fitted on all tickets it would spend its misses exactly on the pending ones.

A set cut at five has lost that promise; what is said of it is measured: the share of the same labelled tickets whose right category
was among those shown, with its exact interval.

Sources: Sadinle, Lei & Wasserman 2019, doi:10.1080/01621459.2017.1395341; Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a
Random World".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.errors import InputError
from llmtriage.probability.metrics import clopper_pearson
from llmtriage.probability.scores import Floats, Integers, blocks, distributions, gold_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

LEVEL = 0.9
FEWEST, MOST = 2, 5
LEAST_TICKETS = 20
"""With fewer labelled pending tickets five are shown and nothing is claimed."""


@dataclass(frozen=True, slots=True)
class CandidateRule:
    """Shows every category at least as probable as a limit, but two to five; without arguments five, and claims nothing.

    Its fields are plain numbers: `dataclasses.asdict` and the constructor take it through JSON unchanged.

    Attributes:
        least_probability: The limit, in [0, 1]; 0: everything is in the set, so five are shown.
        level: The share of pending tickets whose set, before it is cut, should hold the right category.
        n: Labelled pending tickets it was fitted on.
        n_held: Of these, how many had the right category among those shown.
    """

    least_probability: float = 0.0
    level: float = LEVEL
    n: int = 0
    n_held: int = 0

    @property
    def quantile(self) -> float:
        """The conformal quantile of 1 - probability of the right category; 1: all are in the set."""
        return 1 - self.least_probability

    @property
    def share(self) -> float | None:
        """The measured share of pending tickets whose right category was shown; None with fewer than 20."""
        return self.n_held / self.n if self.n >= LEAST_TICKETS else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The exact 95 % interval of `share`; None with fewer than 20."""
        return clopper_pearson(self.n_held, self.n) if self.n >= LEAST_TICKETS else None

    def size(self, most_probable: Sequence[float]) -> int:
        """How many of a ticket's most probable categories are shown: `most_probable` holds the probabilities of five, or of all, largest first."""
        return min(len(most_probable), max(FEWEST, sum(share >= self.least_probability for share in most_probable)))

    def shown(self, probabilities: ArrayLike) -> list[list[int]]:
        """The categories shown for each ticket, most probable first, of equal ones the first.

        Args:
            probabilities: Shape (n, K), calibrated, rows that sum to 1 within 0.01.

        Raises:
            InputError: No tickets, one category, or a row is no distribution.

        Example:
            >>> CandidateRule(least_probability=0.3).shown([[0.1, 0.5, 0.4], [0.9, 0.06, 0.04]])
            [[1, 2], [0, 1]]
        """
        rows = distributions("candidates", probabilities)
        ranked = _ranked(rows)
        sizes = _sizes(rows, ranked, self.least_probability)
        return [places[:size] for places, size in zip(ranked.tolist(), sizes.tolist(), strict=True)]


def candidate_rule(probabilities: ArrayLike, gold: ArrayLike, *, level: float = LEVEL) -> CandidateRule:
    """Fit the rule on labelled pending tickets, of days that are completely answered.

    Args:
        probabilities: Shape (n, K), calibrated, rows that sum to 1 within 0.01.
        gold: Shape (n,), true categories, 0..K-1.
        level: The share of sets that should hold the right category before they are cut, between 0 and 1.

    Raises:
        InputError: No tickets, one category, no distributions, a category outside 0..K-1, or the level is out of range.
    """
    rows = distributions("candidates", probabilities)
    labels = gold_labels("candidates", gold, *rows.shape)
    of_all = least_probability(rows, labels, level=level)
    least = of_all if len(rows) >= LEAST_TICKETS else 0.0
    ranked = _ranked(rows)
    held = (ranked == labels[:, None]) & (np.arange(ranked.shape[1]) < _sizes(rows, ranked, least)[:, None])
    return CandidateRule(least, level, len(rows), int(held.sum()))


def least_probability(probabilities: ArrayLike, gold: ArrayLike, *, level: float = LEVEL) -> float:
    """The least probability of a category in a set: 1 minus LAC's quantile of 1 - probability of the right category.

    The quantile is the ceil((n + 1) * level)-th smallest of n; probabilities are compared instead of 1 minus them, which would
    round the smallest ones to one value.

    Takes and raises the same as `candidate_rule`.

    Returns:
        In [0, 1]; 0 where n is too small for the level.
    """
    rows = distributions("candidates", probabilities)
    labels = gold_labels("candidates", gold, *rows.shape)
    if not 0 < level < 1:
        raise InputError(f"candidates at level {level}", remedy="0 < level < 1")
    rank = math.ceil((len(rows) + 1) * level - 1e-9)  # a product that should be whole may be a hair above
    of_gold = np.sort(rows[np.arange(len(rows)), labels])[::-1]
    return float(of_gold[rank - 1]) if rank <= len(rows) else 0.0


def _sizes(rows: Floats, ranked: Integers, least: float) -> Integers:
    return np.asarray(np.clip((np.take_along_axis(rows, ranked, axis=1) >= least).sum(axis=1), FEWEST, MOST))


def _ranked(rows: Floats) -> Integers:
    """The most probable categories, best first, of equal ones the first. Five times the largest takes a tenth of the time of a sort."""
    ranked = np.empty((len(rows), min(MOST, rows.shape[1])), dtype=np.int64)
    for block in blocks(len(rows)):
        left = rows[block].copy()
        for place in ranked[block].T:
            place[:] = left.argmax(axis=1)
            left[np.arange(len(left)), place] = -1.0
    return ranked
