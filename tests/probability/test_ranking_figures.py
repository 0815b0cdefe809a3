"""Figures of the order of answers: agreement with scikit-learn and plain loops, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability.worked import Confident, confident
from sklearn.metrics import roc_auc_score

from llmtriage.errors import InputError
from llmtriage.probability import metrics

TOUGH = ([0.2, 0.5, 0.5, 0.9], [0, 0, 0, 0])


@settings(max_examples=60, deadline=None)
@given(confident)
def test_auroc_agrees_with_scikit_learn(columns: Confident) -> None:
    """AUROC is `roc_auc_score`; with one kind of answer only there is none."""
    confidence, correct = columns
    if len(set(correct)) == 1:
        assert metrics.auroc(confidence, correct) is None
    else:
        assert metrics.auroc(confidence, correct) == pytest.approx(roc_auc_score(correct, confidence))


def expected_errors(columns: Confident) -> list[float]:
    """How many of the k most confident answers are wrong, k = 1..n, on average over all orders of ties."""
    confidence, correct = np.array(columns[0]), np.array(columns[1])
    found = []
    for k in range(1, len(confidence) + 1):
        edge = np.sort(confidence)[-k]
        above, tied = confidence > edge, confidence == edge
        found.append(float((~correct[above]).sum() + (k - above.sum()) * (~correct[tied]).mean()))
    return found


@settings(max_examples=60, deadline=None)
@given(confident)
def test_areas_agree_with_plain_loops(columns: Confident) -> None:
    """AURC, its excess over the best order, and AUGRC by the trapezium and by its formula."""
    n, errors = len(columns[0]), expected_errors(columns)
    aurc = sum(e / k for k, e in enumerate(errors, 1)) / n
    assert metrics.aurc(*columns) == pytest.approx(aurc)
    best = sum(max(k - sum(columns[1]), 0) / k for k in range(1, n + 1)) / n
    assert metrics.e_aurc(*columns) == pytest.approx(aurc - best, abs=1e-12)
    assert metrics.e_aurc(*columns) >= 0
    trapezium = sum((a + b) / 2 for a, b in zip([0.0, *errors], errors, strict=False)) / n**2
    assert metrics.augrc(*columns) == pytest.approx(trapezium)
    m, auroc = float(np.mean(columns[1])), metrics.auroc(*columns)
    assert metrics.augrc(*columns) == pytest.approx((1 - (auroc or 0)) * m * (1 - m) + (1 - m) ** 2 / 2)


@settings(max_examples=60, deadline=None)
@given(confident, st.integers(0, 20))
def test_the_curve_has_a_point_for_each_confidence(columns: Confident, percent: int) -> None:
    """Never one inside a tie; coverage at a risk is the furthest point that keeps it."""
    confidence, correct = np.array(columns[0]), np.array(columns[1])
    curve = metrics.risk_coverage(confidence, correct)
    assert curve.threshold.tolist() == sorted(set(columns[0]), reverse=True)
    furthest = (0.0, math.inf)
    for t, coverage, risk, accepted, errors in zip(*curve, strict=True):
        taken = confidence >= t
        assert (accepted, errors) == (taken.sum(), (~correct[taken]).sum())
        assert (coverage, risk) == pytest.approx((taken.mean(), (~correct[taken]).mean()))
        if 100 * errors <= percent * accepted:
            furthest = (coverage, t)
    assert metrics.coverage_at_risk(confidence, correct, percent / 100) == pytest.approx(furthest)


def test_a_risk_that_is_just_kept_is_kept() -> None:
    """29 of 100 is 0.29, though 0.29 * 100 is less than 29 in floating point; a risk of 1 takes all."""
    columns = ([0.5] * 100, [0] * 29 + [1] * 71)
    assert metrics.coverage_at_risk(*columns, 0.29) == (1.0, 0.5)
    assert metrics.coverage_at_risk(*columns, 0.28) == (0.0, math.inf)
    assert metrics.coverage_at_risk(*TOUGH, 1) == (1.0, 0.2)


@pytest.mark.parametrize("risk", [-0.1, 1.1, math.nan, math.inf])
def test_a_risk_is_a_share(risk: float) -> None:
    """Nothing else."""
    with pytest.raises(InputError, match=r"^coverage at risk: the risk is"):
        metrics.coverage_at_risk([0.5], [1], risk)


@settings(max_examples=60, deadline=None)
@given(confident)
def test_ranking_figures_ignore_a_rising_map(columns: Confident) -> None:
    """They see only the order of the confidences."""
    confidence, correct = columns
    risen = [c**2 / 2 for c in confidence]
    for figure in (metrics.auroc, metrics.aurc, metrics.e_aurc, metrics.augrc):
        assert figure(risen, correct) == figure(confidence, correct)


@settings(max_examples=60, deadline=None)
@given(confident)
def test_figures_stay_in_their_ranges(columns: Confident) -> None:
    """AUROC and AURC in [0, 1], AUGRC in [0, 1/2]."""
    auroc = metrics.auroc(*columns)
    assert auroc is None or 0 <= auroc <= 1
    assert 0 <= metrics.aurc(*columns) <= 1
    assert 0 <= metrics.augrc(*columns) <= 0.5


def test_all_right() -> None:
    """No error at any coverage; AUROC does not exist."""
    columns = ([0.2, 0.5, 0.5, 0.9], [1] * 4)
    assert (metrics.aurc(*columns), metrics.e_aurc(*columns), metrics.augrc(*columns)) == (0, 0, 0)
    assert metrics.auroc(*columns) is None


def test_all_wrong() -> None:
    """Nothing but errors, and no order is better; AUROC does not exist."""
    assert (metrics.aurc(*TOUGH), metrics.e_aurc(*TOUGH), metrics.augrc(*TOUGH)) == (1, 0, 0.5)
    assert metrics.auroc(*TOUGH) is None


def test_a_constant_confidence_ranks_nothing() -> None:
    """With one confidence for all, AUROC is one half and AURC the error rate."""
    columns = ([0.7] * 5, [1, 1, 0, 1, 0])
    assert metrics.auroc(*columns) == pytest.approx(0.5)
    assert metrics.aurc(*columns) == pytest.approx(0.4)
