"""Tickets that belong to no category: how many, how many were accepted all the same, and which signal tells them from the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.evaluation.report import OutsideFigures
from llmtriage.outcomes import Accepted
from llmtriage.probability import metrics

if TYPE_CHECKING:
    import numpy.typing as npt

    from llmtriage.evaluation.judging import Row, Tickets
    from llmtriage.predictions import Floats

FLAGGED = 0.05  # of the other tickets
_TINY = 1e-300  # a probability that underflowed


def outside_figures(tickets: Tickets) -> OutsideFigures:
    """The figures of tickets that belong nowhere."""
    catch_all = tickets.taxonomy.catch_all
    place = None if catch_all is None else tickets.leaves[catch_all.id]
    outside = [row for row, is_out in zip(tickets.rows, tickets.outside, strict=True) if is_out]
    accepted = sum(_as_real_category(row, None if catch_all is None else catch_all.id) for row in outside)
    signals = {
        "confidence": [_unsure(row, place) for row in tickets.rows],
        "catch_all": [_margin(row, place) for row in tickets.rows],
        "label_mass": [None if row.label_mass is None else 1 - row.label_mass for row in tickets.rows],
    }
    told = {name: _told(values, tickets.outside) for name, values in signals.items()}
    return OutsideFigures(
        n=len(outside),
        accepted=accepted,
        share=accepted / len(outside) if outside else None,
        auroc={name: _auroc(*columns) for name, columns in told.items()},
        caught={name: caught(*columns) for name, columns in told.items()},
    )


def caught(signal: Floats, outside: npt.NDArray[np.bool_], *, flagged: float = FLAGGED) -> float | None:
    """The share of outside tickets above the signal that at most a share `flagged` of the others is above.

    Args:
        signal: Shape (n,), larger: more likely outside.
        outside: Shape (n,), whether each ticket is.
        flagged: In [0, 1).

    Returns:
        None where there are none of one of the two kinds.
    """
    inside = np.sort(signal[~outside])
    if not len(inside) or not outside.any():
        return None
    limit = inside[math.ceil((1 - flagged) * len(inside) - 1e-9) - 1]
    return float((signal[outside] > limit).mean())


def _auroc(signal: Floats, outside: npt.NDArray[np.bool_]) -> float | None:
    if not len(signal):
        return None
    _, ranks = np.unique(signal, return_inverse=True)  # any rising map leaves it as it is
    return metrics.auroc(ranks / len(signal), outside.astype(np.float64))


def _told(values: list[float | None], outside: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The tickets for which there is a number."""
    there = np.array([value is not None for value in values], np.bool_)
    return np.array([value for value in values if value is not None], np.float64), outside[there]


def _as_real_category(row: Row, catch_all: str | None) -> bool:
    outcome = row.judged.outcome
    return isinstance(outcome, Accepted) and outcome.category != catch_all


def _unsure(row: Row, catch_all: int | None) -> float | None:
    """1 minus the largest probability of a real category."""
    if row.probabilities is None:
        return None if row.confidence is None else 1 - row.confidence
    real = row.probabilities if catch_all is None else np.delete(row.probabilities, catch_all)
    return 1 - float(real.max()) if len(real) else None


def _margin(row: Row, catch_all: int | None) -> float | None:
    """Ln p(catch-all) - max ln p(other)."""
    if row.probabilities is None or catch_all is None or len(row.probabilities) == 1:
        return None
    logs = np.log(np.maximum(row.probabilities, _TINY))
    return float(logs[catch_all] - np.delete(logs, catch_all).max())
