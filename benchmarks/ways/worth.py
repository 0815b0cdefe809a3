"""How good answers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from llmtriage.probability.metrics import ece
from llmtriage.probability.readings import fitted_slope, tempered_log_loss
from ways.clock import Said
from ways.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Worth:
    """Figures of the answers to one task.

    Attributes:
        accuracy: The share of tickets with the right category; no answer is a wrong one.
        log_loss: In nats, of the answers with a distribution, after a temperature fitted on the other half of them; None: there are too
            few.
        ece: Of the largest probability after that temperature, or of the model's own number; None: there is neither.
        failed: Tickets without an answer.
    """

    accuracy: float
    log_loss: float | None
    ece: float | None
    failed: int


def worth(task: Task, said: Sequence[Said]) -> Worth:
    """The figures of what was said about the tickets of a task."""
    right = np.array([one.category == gold for one, gold in zip(said, task.gold, strict=True)])
    loss, error = _of_distributions(task, said) or (None, _of_own_numbers(said, right))
    return Worth(accuracy=float(right.mean()), log_loss=loss, ece=error, failed=sum(one.category is None for one in said))


def _of_distributions(task: Task, said: Sequence[Said]) -> tuple[float, float] | None:
    """Log loss and ECE, each of one half with the temperature of the other."""
    columns = {leaf.id: column for column, leaf in enumerate(task.categories.leaves)}
    pairs = [(one.values, columns[gold]) for one, gold in zip(said, task.gold, strict=True) if one.values is not None]
    if len(pairs) < 2:
        return None
    values, gold = np.array([row for row, _ in pairs]), np.array([column for _, column in pairs])
    halves = np.arange(len(gold)) % 2
    shares = np.empty_like(values)
    for half in (0, 1):
        inside = halves == half
        shares[inside] = softmax(fitted_slope(values[~inside], gold[~inside]) * values[inside], axis=1)
    loss = float(tempered_log_loss(values, gold, halves).mean())
    return loss, ece(shares.max(axis=1), shares.argmax(axis=1) == gold)


def _of_own_numbers(said: Sequence[Said], right: np.ndarray) -> float | None:
    """ECE of the numbers that the model itself wrote."""
    pairs = [(one.confidence, hit) for one, hit in zip(said, right, strict=True) if one.confidence is not None]
    return ece([number for number, _ in pairs], [hit for _, hit in pairs]) if pairs else None
