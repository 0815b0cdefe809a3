"""Two small sets of answers whose figures were worked out by two independent ways, and strategies for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from llmtriage.probability import metrics

TWELVE_ROWS = np.array(
    [
        [0.90, 0.05, 0.05],
        [0.80, 0.15, 0.05],
        [0.60, 0.30, 0.10],
        [0.30, 0.60, 0.10],
        [0.10, 0.80, 0.10],
        [0.20, 0.70, 0.10],
        [0.40, 0.40, 0.20],
        [0.05, 0.90, 0.05],
        [0.10, 0.20, 0.70],
        [0.25, 0.25, 0.50],
        [0.60, 0.30, 0.10],
        [0.34, 0.33, 0.33],
    ]
)
TWELVE_GOLD = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0])
TWELVE_TOP = TWELVE_ROWS.argmax(axis=1)
TWELVE = (TWELVE_ROWS.max(axis=1), TWELVE_TOP == TWELVE_GOLD)
TWENTY = (
    np.array(
        [0.99, 0.97, 0.97, 0.95, 0.92, 0.90, 0.90, 0.90, 0.85, 0.80, 0.80, 0.75, 0.70, 0.65, 0.60, 0.60, 0.55, 0.50, 0.45, 0.40],
    ),
    np.array([1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0]),
)
TWENTY_AGAIN = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0])

Confident = tuple[list[float], list[bool]]
Figure = Callable[..., Any]

# Few distinct values, so that ties are frequent; multiples of 1/16 keep a doubling or halving exact.
confident = st.lists(st.tuples(st.integers(0, 16).map(lambda k: k / 16), st.booleans()), min_size=1, max_size=60).map(
    lambda pairs: tuple(map(list, zip(*pairs, strict=True)))
)
labelled = st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4)), min_size=1, max_size=60).map(
    lambda pairs: tuple(map(np.array, zip(*pairs, strict=True)))
)

# Each figure with the name that its errors begin with.
BY_CONFIDENCE: dict[str, Figure] = {
    "reliability": metrics.reliability_bins,
    "ECE": metrics.ece,
    "debiased ECE": metrics.ece_debiased,
    "debiased RMSCE²": metrics.rmsce2_debiased,
    "smooth ECE": metrics.smooth_ece,
    "Murphy's split": metrics.murphy,
    "isotonic split": metrics.isotonic_split,
    "isotonic map": metrics.isotonic,
    "top-label Brier score": metrics.top_brier,
    "top-label log loss": metrics.top_log_loss,
    "AUROC": metrics.auroc,
    "risk-coverage curve": metrics.risk_coverage,
    "AURC": metrics.aurc,
    "E-AURC": metrics.e_aurc,
    "AUGRC": metrics.augrc,
    "coverage at risk": lambda confidence, correct: metrics.coverage_at_risk(confidence, correct, 0.1),
}
BY_LABEL: dict[str, Figure] = {
    "accuracy": metrics.accuracy,
    "per category": lambda gold, predicted: metrics.per_category(gold, predicted, 5),
    "balanced accuracy": metrics.balanced_accuracy,
    "macro F1": metrics.macro_f1,
    "macro F1 interval": lambda gold, predicted: metrics.macro_f1_interval(gold, predicted, draws=20, least=1),
    "weighted F1": metrics.weighted_f1,
}
BY_DISTRIBUTION: dict[str, Figure] = {
    "log loss": metrics.log_loss,
    "clipped tickets": metrics.n_clipped,
    "Brier score": metrics.brier,
}


def shuffled(columns: tuple[Any, ...], seed: int) -> tuple[Any, ...]:
    """The same tickets in another order."""
    order = np.random.default_rng(seed).permutation(len(columns[0]))
    return tuple(np.asarray(column)[order] for column in columns)
