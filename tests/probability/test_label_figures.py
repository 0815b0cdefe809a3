"""Figures of predicted categories and of distributions: agreement with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from probability.worked import TWELVE_GOLD, TWELVE_TOP, labelled
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from llmtriage.errors import InputError
from llmtriage.probability import metrics


@settings(max_examples=60, deadline=None)
@given(labelled)
def test_label_figures_agree_with_scikit_learn(columns: tuple[Any, Any]) -> None:
    """Accuracy, F1 and balanced accuracy are scikit-learn's, over the categories that occur; no answer is an answer outside them."""
    gold, predicted = columns
    assert metrics.accuracy(gold, predicted) == pytest.approx(accuracy_score(gold, predicted))
    occurring = sorted({*gold.tolist(), *predicted.tolist()} - {-1})
    for average, figure in (("macro", metrics.macro_f1), ("weighted", metrics.weighted_f1)):
        theirs = f1_score(gold, predicted, labels=occurring, average=average, zero_division=0)
        assert figure(gold, predicted) == pytest.approx(theirs)
    recalls = precision_recall_fscore_support(gold, predicted, labels=np.unique(gold), zero_division=0)[1]
    assert metrics.balanced_accuracy(gold, predicted) == pytest.approx(np.mean(recalls))


def test_balanced_accuracy_agrees_with_scikit_learn() -> None:
    """Where every ticket has an answer among the true categories, it is `balanced_accuracy_score`."""
    assert metrics.balanced_accuracy(TWELVE_GOLD, TWELVE_TOP) == pytest.approx(balanced_accuracy_score(TWELVE_GOLD, TWELVE_TOP))


def test_categories_without_a_true_ticket() -> None:
    """They lower the macro F1 if predicted, never the balanced accuracy or the weighted F1, and are told apart."""
    gold, predicted = [0, 0, 1, 1], [0, 2, 1, 1]
    assert metrics.balanced_accuracy(gold, predicted) == pytest.approx(0.75)
    assert metrics.macro_f1(gold, predicted) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert metrics.weighted_f1(gold, predicted) == pytest.approx((2 / 3 + 1) / 2)
    table = metrics.per_category(gold, predicted, 4)
    assert np.flatnonzero(table.support == 0).tolist() == [2, 3]


@settings(max_examples=60, deadline=None)
@given(labelled)
def test_per_category_agrees_with_scikit_learn(columns: tuple[Any, Any]) -> None:
    """Precision, recall, F1 and support are scikit-learn's; where it divides by zero there is NaN."""
    gold, predicted = columns
    ours = metrics.per_category(gold, predicted, 5)
    theirs = precision_recall_fscore_support(gold, predicted, labels=range(5), zero_division=np.nan)
    for one, other in zip((ours.precision, ours.recall, ours.f1, ours.support), theirs, strict=True):
        np.testing.assert_allclose(one, other)


def test_a_category_of_another_taxonomy_is_refused() -> None:
    """True or predicted."""
    for columns in (([2], [0]), ([0], [2])):
        with pytest.raises(InputError, match=r"^per category: a category is not below 2"):
            metrics.per_category(*columns, 2)


@pytest.mark.parametrize("seed", range(3))
def test_distribution_figures_agree_with_scikit_learn(seed: int) -> None:
    """Log loss and Brier score are scikit-learn's; those of the top category are its binary ones."""
    generator = np.random.default_rng(seed)
    rows, gold = generator.dirichlet(np.ones(4), 50), generator.integers(0, 4, 50)
    assert metrics.log_loss(rows, gold) == pytest.approx(log_loss(gold, rows, labels=range(4)))
    two = np.column_stack([rows[:, 0], 1 - rows[:, 0]])
    assert metrics.brier(two, (gold != 0).astype(int)) == pytest.approx(2 * brier_score_loss(gold == 0, rows[:, 0]))
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == gold
    assert metrics.top_brier(confidence, right) == pytest.approx(brier_score_loss(right, confidence))
    assert metrics.top_log_loss(confidence, right) == pytest.approx(log_loss(right, confidence))


def test_an_impossible_truth_costs_a_bounded_loss() -> None:
    """A true category with probability 0 costs ln(1e12), and is counted; so does a wrong answer that was certain."""
    rows, gold = [[1.0, 0.0], [1.0, 0.0]], [1, 0]
    assert metrics.log_loss(rows, gold) == pytest.approx(np.log(1e12) / 2)
    assert metrics.n_clipped(rows, gold) == 1
    assert metrics.top_log_loss([1.0, 0.0], [0, 1]) == pytest.approx(np.log(1e12))


def test_a_perfect_answer_costs_nothing() -> None:
    """Zero, and not minus zero."""
    for loss in (metrics.log_loss([[1.0, 0.0]], [0]), metrics.top_log_loss([1.0], [1]), metrics.brier([[1.0, 0.0]], [0])):
        assert str(loss) == "0.0"


def test_macro_f1_interval() -> None:
    """It is that of drawing tickets, up to the draws; it repeats; few tickets have none."""
    generator = np.random.default_rng(1)
    gold = generator.integers(0, 6, 300)
    predicted = np.where(generator.random(300) < 0.7, gold, generator.integers(-1, 6, 300))
    found, plain = metrics.macro_f1_interval(gold, predicted), metrics.bootstrap_interval(metrics.macro_f1, gold, predicted)
    assert found == metrics.macro_f1_interval(gold, predicted)
    assert found == pytest.approx(plain, abs=0.01)
    assert metrics.macro_f1_interval([0] * 29, [0] * 29) is None
    assert metrics.macro_f1_interval([0] * 30, [0] * 30) == (1.0, 1.0)
