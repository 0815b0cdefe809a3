"""The figures: worked examples, agreement with scikit-learn, and laws."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, precision_recall_fscore_support, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from llmtriage.errors import InputError
from llmtriage.probability import metrics

F1_ROWS = np.array(
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
F1_GOLD = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0])
F1_TOP = F1_ROWS.argmax(axis=1)
F1 = (F1_ROWS.max(axis=1), F1_TOP == F1_GOLD)
F2 = (
    np.array(
        [0.99, 0.97, 0.97, 0.95, 0.92, 0.90, 0.90, 0.90, 0.85, 0.80, 0.80, 0.75, 0.70, 0.65, 0.60, 0.60, 0.55, 0.50, 0.45, 0.40],
    ),
    np.array([1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0]),
)

Confident = tuple[list[float], list[bool]]
Figure = Callable[[Any, Any], float | None]

# Few distinct values, so that ties are frequent; multiples of 1/16 keep a doubling or halving exact.
confident = st.lists(st.tuples(st.integers(0, 16).map(lambda k: k / 16), st.booleans()), min_size=1, max_size=60).map(
    lambda pairs: tuple(map(list, zip(*pairs, strict=True)))
)
labelled = st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4)), min_size=1, max_size=60).map(
    lambda pairs: tuple(map(np.array, zip(*pairs, strict=True)))
)

BY_CONFIDENCE: list[Figure] = [metrics.ece, metrics.auroc, metrics.aurc]
BY_LABEL: list[Figure] = [metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1, metrics.weighted_f1]
BY_DISTRIBUTION: list[Figure] = [metrics.log_loss, metrics.brier]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(metrics.log_loss(F1_ROWS, F1_GOLD), 0.6729990931, id="log loss"),
        pytest.param(metrics.brier(F1_ROWS, F1_GOLD), 0.36695, id="Brier"),
        pytest.param(metrics.macro_f1(F1_GOLD, F1_TOP), 0.7590909091, id="macro F1"),
        pytest.param(metrics.weighted_f1(F1_GOLD, F1_TOP), 0.7530303030, id="weighted F1"),
        pytest.param(metrics.balanced_accuracy(F1_GOLD, F1_TOP), 0.7388888889, id="balanced accuracy"),
        pytest.param(metrics.accuracy(F1_GOLD, F1_TOP), 0.75, id="accuracy"),
        pytest.param(metrics.clopper_pearson(9, 12), (0.4281415381, 0.9451393555), id="interval of 9 in 12"),
        pytest.param(metrics.clopper_pearson(13, 20), (0.4078114655, 0.8460907952), id="interval of 13 in 20"),
        pytest.param(metrics.ece(*F1, bins=5), 0.1466666667, id="ECE of twelve"),
        pytest.param(metrics.ece(*F2, bins=5), 0.1645, id="ECE of twenty"),
        pytest.param(metrics.auroc(*F1), 0.7777777778, id="AUROC of twelve"),
        pytest.param(metrics.auroc(*F2), 0.7417582418, id="AUROC of twenty"),
        pytest.param(metrics.aurc(*F1), 0.1005711881, id="AURC of twelve"),
        pytest.param(metrics.aurc(*F2), 0.1965215521, id="AURC of twenty"),
        pytest.param(metrics.ece_null_limit(F2[0], bins=5), 0.2325, id="ECE limit"),
        pytest.param(metrics.ece_null_limit(F2[0], bins=5, quantile=0.5), 0.1425, id="median ECE under calibration"),
    ],
)
def test_worked_examples(value: Any, expected: Any) -> None:
    """Each figure has the value that two independent ways of computing it agreed on."""
    assert value == pytest.approx(expected, abs=5e-10)


@settings(max_examples=60, deadline=None)
@given(labelled)
def test_label_figures_agree_with_scikit_learn(columns: tuple[Any, Any]) -> None:
    """F1 and balanced accuracy are scikit-learn's, over the categories that occur; no answer is an answer outside them."""
    gold, predicted = columns
    occurring = sorted({*gold.tolist(), *predicted.tolist()} - {-1})
    for average, figure in (("macro", metrics.macro_f1), ("weighted", metrics.weighted_f1)):
        theirs = f1_score(gold, predicted, labels=occurring, average=average, zero_division=0)
        assert figure(gold, predicted) == pytest.approx(theirs)
    recalls = precision_recall_fscore_support(gold, predicted, labels=np.unique(gold), zero_division=0)[1]
    assert metrics.balanced_accuracy(gold, predicted) == pytest.approx(np.mean(recalls))


def test_balanced_accuracy_agrees_with_scikit_learn() -> None:
    """Where every ticket has an answer among the true categories, it is `balanced_accuracy_score`."""
    assert metrics.balanced_accuracy(F1_GOLD, F1_TOP) == pytest.approx(balanced_accuracy_score(F1_GOLD, F1_TOP))


@settings(max_examples=60, deadline=None)
@given(labelled)
def test_per_category_agrees_with_scikit_learn(columns: tuple[Any, Any]) -> None:
    """Precision, recall, F1 and support are scikit-learn's; where it divides by zero there is NaN."""
    gold, predicted = columns
    ours = metrics.per_category(gold, predicted, 5)
    theirs = precision_recall_fscore_support(gold, predicted, labels=range(5), zero_division=np.nan)
    for one, other in zip((ours.precision, ours.recall, ours.f1, ours.support), theirs, strict=True):
        np.testing.assert_allclose(one, other)


@pytest.mark.parametrize("seed", range(3))
def test_distribution_figures_agree_with_scikit_learn(seed: int) -> None:
    """Log loss and Brier score are scikit-learn's."""
    generator = np.random.default_rng(seed)
    rows, gold = generator.dirichlet(np.ones(4), 50), generator.integers(0, 4, 50)
    assert metrics.log_loss(rows, gold) == pytest.approx(sklearn_log_loss(gold, rows, labels=range(4)))
    two = np.column_stack([rows[:, 0], 1 - rows[:, 0]])
    assert metrics.brier(two, (gold != 0).astype(int)) == pytest.approx(2 * brier_score_loss(gold == 0, rows[:, 0]))


@settings(max_examples=60, deadline=None)
@given(confident)
def test_auroc_agrees_with_scikit_learn(columns: Confident) -> None:
    """AUROC is `roc_auc_score`; with one kind of answer only there is none."""
    confidence, correct = columns
    if len(set(correct)) == 1:
        assert metrics.auroc(confidence, correct) is None
    else:
        assert metrics.auroc(confidence, correct) == pytest.approx(roc_auc_score(correct, confidence))


@settings(max_examples=60, deadline=None)
@given(confident)
def test_aurc_is_the_mean_over_all_orders_of_ties(columns: Confident) -> None:
    """E(k) inside a tie is what a random order of the tied tickets has on average."""
    confidence, correct = np.array(columns[0]), np.array(columns[1])
    risks = []
    for k in range(1, len(confidence) + 1):
        edge = np.sort(confidence)[-k]
        above, tied = confidence > edge, confidence == edge
        expected = (~correct[above]).sum() + (k - above.sum()) * (~correct[tied]).mean()
        risks.append(expected / k)
    assert metrics.aurc(confidence, correct) == pytest.approx(np.mean(risks))


@settings(max_examples=60, deadline=None)
@given(confident, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(columns: Confident, random: Any) -> None:
    """Every figure of confidences is the same for shuffled rows, ties or not."""
    order = list(range(len(columns[0])))
    random.shuffle(order)
    shuffled = tuple(np.array(column)[order] for column in columns)
    for figure in BY_CONFIDENCE:
        assert figure(*shuffled) == pytest.approx(figure(*columns))


@settings(max_examples=60, deadline=None)
@given(confident)
def test_ranking_figures_ignore_a_rising_map(columns: Confident) -> None:
    """AUROC and AURC see only the order of the confidences."""
    confidence, correct = columns
    risen = [c**2 / 2 for c in confidence]
    assert metrics.auroc(risen, correct) == metrics.auroc(confidence, correct)
    assert metrics.aurc(risen, correct) == metrics.aurc(confidence, correct)


@settings(max_examples=60, deadline=None)
@given(confident)
def test_figures_stay_in_their_ranges(columns: Confident) -> None:
    """ECE, AUROC and AURC are in [0, 1]."""
    for figure in BY_CONFIDENCE:
        value = figure(*columns)
        assert value is None or 0 <= value <= 1


@settings(max_examples=60, deadline=None)
@given(confident)
def test_one_bin_compares_the_means(columns: Confident) -> None:
    """ECE of a single bin is |share right - mean confidence|."""
    confidence, correct = columns
    assert metrics.ece(confidence, correct, bins=1) == pytest.approx(abs(np.mean(correct) - np.mean(confidence)))


@pytest.mark.parametrize(("correct", "aurc"), [pytest.param(1, 0.0, id="all right"), pytest.param(0, 1.0, id="all wrong")])
def test_one_kind_of_answers(correct: int, aurc: float) -> None:
    """All right: AURC 0; all wrong: AURC 1; AUROC does not exist."""
    columns = ([0.2, 0.5, 0.5, 0.9], [correct] * 4)
    assert metrics.aurc(*columns) == aurc
    assert metrics.auroc(*columns) is None


def test_a_constant_confidence_ranks_nothing() -> None:
    """With one confidence for all, AUROC is one half and AURC the error rate."""
    columns = ([0.7] * 5, [1, 1, 0, 1, 0])
    assert metrics.auroc(*columns) == pytest.approx(0.5)
    assert metrics.aurc(*columns) == pytest.approx(0.4)


def test_an_impossible_truth_costs_a_bounded_loss() -> None:
    """A true category with probability 0 costs ln(1e12), and is counted."""
    rows, gold = [[1.0, 0.0], [1.0, 0.0]], [1, 0]
    assert metrics.log_loss(rows, gold) == pytest.approx(np.log(1e12) / 2)
    assert metrics.n_clipped(rows, gold) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_agrees_with_scipy(counts: tuple[int, int]) -> None:
    """The interval is scipy's exact one: it holds the share and touches 0 and 1 at the ends."""
    theirs = binomtest(*counts).proportion_ci(method="exact")
    low, high = metrics.clopper_pearson(*counts)
    assert (low, high) == pytest.approx((theirs.low, theirs.high))
    assert low <= counts[0] / counts[1] <= high
    assert (low == 0) == (counts[0] == 0)
    assert (high == 1) == (counts[0] == counts[1])


def test_ece_limit_shrinks_with_more_tickets() -> None:
    """More tickets leave less room for chance, and equal seeds give equal limits."""
    few, many = (metrics.ece_null_limit(np.full(n, 0.75)) for n in (100, 5000))
    assert few > 3 * many
    assert few == metrics.ece_null_limit(np.full(100, 0.75))


@pytest.mark.parametrize(
    ("figure", "arguments", "name"),
    [
        *((figure, ([], []), name) for figure, name in zip(BY_LABEL, ("accuracy", "balanced", "macro", "weighted"), strict=True)),
        *((figure, ([], []), name) for figure, name in zip(BY_CONFIDENCE, ("ECE", "AUROC", "AURC"), strict=True)),
        *((figure, (np.zeros((0, 2)), []), name) for figure, name in zip(BY_DISTRIBUTION, ("log loss", "Brier"), strict=True)),
        (metrics.per_category, ([], [], 2), "per category"),
        (metrics.ece_null_limit, ([],), "ECE limit"),
        (metrics.clopper_pearson, (0, 0), "interval"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_tickets_no_figure(figure: Callable[..., Any], arguments: tuple[Any, ...], name: str) -> None:
    """Empty input is an error that names the figure."""
    with pytest.raises(InputError, match=f"{name}.*there are no tickets"):
        figure(*arguments)


@pytest.mark.parametrize(
    ("figure", "arguments"),
    [
        pytest.param(metrics.ece, ([1.1], [1]), id="confidence above 1"),
        pytest.param(metrics.ece, ([float("nan")], [1]), id="confidence NaN"),
        pytest.param(metrics.ece, ([0.5], [2]), id="neither right nor wrong"),
        pytest.param(metrics.auroc, ([0.5, 0.5], [1]), id="lengths differ"),
        pytest.param(metrics.aurc, ([[0.5]], [[1]]), id="a table for a column"),
        pytest.param(metrics.accuracy, ([-1], [0]), id="no true category"),
        pytest.param(metrics.accuracy, ([0], [-2]), id="prediction below -1"),
        pytest.param(metrics.macro_f1, ([0.5], [0]), id="category is no whole number"),
        pytest.param(metrics.per_category, ([2], [0], 2), id="category not below K"),
        pytest.param(metrics.log_loss, ([[0.5, 0.6]], [0]), id="sum is not 1"),
        pytest.param(metrics.log_loss, ([[float("nan"), 1.0]], [0]), id="probability NaN"),
        pytest.param(metrics.brier, ([[1.5, -0.5]], [0]), id="negative probability"),
        pytest.param(metrics.brier, ([[0.5, 0.5]], [2]), id="true category without a column"),
        pytest.param(metrics.brier, ([0.5, 0.5], [0, 1]), id="a column for a table"),
        pytest.param(metrics.clopper_pearson, (3, 2), id="more successes than trials"),
    ],
)
def test_unusable_input_is_refused(figure: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Values out of range are an InputError, never a silent number."""
    with pytest.raises(InputError):
        figure(*arguments)


def test_ece_needs_a_bin() -> None:
    """Zero bins are refused."""
    with pytest.raises(InputError, match="0 bins"):
        metrics.ece([0.5], [1], bins=0)


def test_documented_examples_run() -> None:
    """Every example in a docstring gives what it says."""
    result = doctest.testmod(metrics)
    assert result.attempted > 10
    assert result.failed == 0


def test_probability_knows_no_other_room() -> None:
    """Importing the figures loads nothing of this library but its errors."""
    code = "import sys, llmtriage.probability.metrics; print(*sorted(m for m in sys.modules if m.startswith('llmtriage.')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["llmtriage.errors", "llmtriage.probability", "llmtriage.probability.metrics"]
