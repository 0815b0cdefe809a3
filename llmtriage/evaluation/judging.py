"""Judged tickets as columns: true categories, predicted ones, and the engine's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.outcomes import Accepted, Pending
from llmtriage.predictions import Floats, Scores, SingleLabel

if TYPE_CHECKING:
    from llmtriage.calibration import Calibration
    from llmtriage.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A ticket with its true category and what was decided about it: what every figure is made of, wherever it comes from.

    Attributes:
        gold: The id of the leaf it belongs to, or the label of tickets that belong to none.
        outcome: What routing made of it.
        text: What the model saw.
        fields: What figures can be split by, as `llmtriage.evaluation.slicing.sliced_fields` makes it.
    """

    gold: str
    outcome: Accepted | Pending
    text: str = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)


def accepted_right(ticket: Judged, taxonomy: Taxonomy) -> bool | None:
    """Whether a ticket was accepted where it belongs; None if it was not accepted."""
    return is_offer_right(ticket, taxonomy) if isinstance(ticket.outcome, Accepted) else None


@dataclass(frozen=True, slots=True)
class Row:
    """A judged ticket as columns need it, as far as the engine said something.

    Attributes:
        judged: The ticket.
        predicted: The engine's top leaf.
        probabilities: Of every leaf.
        confidence: Of what is offered as the answer: the top leaf, or what a calibration offers.
        offer_right: Whether that is right.
    """

    judged: Judged
    predicted: str | None = None
    probabilities: Floats | None = None
    confidence: float | None = None
    offer_right: bool = False

    @property
    def source(self) -> str | None:
        """How the answer was read."""
        prediction = self.judged.outcome.prediction
        return None if prediction is None else prediction.source

    @property
    def label_mass(self) -> float | None:
        """The probability put on all labels together, as far as told."""
        prediction = self.judged.outcome.prediction
        return None if prediction is None else getattr(prediction.answer, "label_mass", None)

    @property
    def right(self) -> bool:
        """Whether the top leaf is the true one."""
        return self.predicted == self.judged.gold


class Tickets:
    """The judged tickets under their taxonomy."""

    def __init__(
        self,
        judged: Sequence[Judged],
        taxonomy: Taxonomy,
        calibration: Calibration | None = None,
        *,
        none_label: str | None = None,
    ) -> None:
        if not judged:
            raise InputError("evaluation: there are no tickets", remedy="give at least one with its category")
        self.taxonomy = taxonomy
        self.leaves = {leaf.id: i for i, leaf in enumerate(taxonomy.leaves)}
        self.categories = dict(self.leaves)  # and what no leaf is right for, if there are such tickets
        if none_label is not None and any(ticket.gold == none_label for ticket in judged):
            self.categories.setdefault(none_label, len(self.leaves))
        for gold in dict.fromkeys(ticket.gold for ticket in judged):
            if gold not in self.categories:
                raise UnknownNameError.among("category", gold, self.leaves, field="gold")
        self.rows = [_row(ticket, taxonomy, list(self.leaves), calibration) for ticket in judged]
        self.gold = np.array([self.categories[ticket.gold] for ticket in judged])
        catch_all = taxonomy.catch_all.id if taxonomy.catch_all else None
        self.outside = np.array([ticket.gold == catch_all or ticket.gold not in self.leaves for ticket in judged])
        # An answer outside the leaves is wrong like none at all.
        self.predicted = np.array([self.leaves.get(row.predicted or "", -1) for row in self.rows])


def _row(ticket: Judged, taxonomy: Taxonomy, leaves: Sequence[str], calibration: Calibration | None) -> Row:
    outcome = ticket.outcome
    if outcome.prediction is None:
        return Row(ticket)
    answer = outcome.prediction.answer
    if isinstance(answer, SingleLabel):
        number = answer.score if answer.score is not None and 0 <= answer.score <= 1 else None
        row = Row(ticket, answer.category, None, number, answer.category == ticket.gold)
    else:
        shares = _shares(answer, len(leaves))
        if calibration is not None:
            shares = np.exp(calibration.log_probabilities(answer))
        top = int(np.argmax(shares))
        row = Row(ticket, leaves[top], shares, min(1.0, float(shares[top])), leaves[top] == ticket.gold)
    if calibration is None:
        return row
    return replace(row, confidence=outcome.confidence, offer_right=is_offer_right(ticket, taxonomy))


def is_offer_right(ticket: Judged, taxonomy: Taxonomy) -> bool:
    """Whether what is offered for the ticket is its true leaf, or a node above it."""
    outcome = ticket.outcome
    offered = outcome.category if isinstance(outcome, Accepted) else outcome.suggestion
    return ticket.gold in taxonomy and any(node.id == offered for node in taxonomy.path(ticket.gold))


def _shares(scores: Scores, n_leaves: int) -> Floats:
    values = scores.values
    if values.shape != (n_leaves,) or not np.isfinite(values).all():
        problem = f"scores of shape {values.shape}, some perhaps not finite, for {n_leaves} leaves"
        raise InputError(problem, remedy="evaluate under the taxonomy of the run")
    shares = np.exp(values - values.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)
