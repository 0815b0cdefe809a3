"""Which calibrator: gates, folds, the paired rule, and its choices where the truth is known."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from llmtriage.errors import InputError
from llmtriage.probability import selection
from llmtriage.probability.calibrators import ConfidenceCalibrator, ScoreCalibrator
from llmtriage.probability.metrics import log_loss
from llmtriage.probability.scores import Floats, Integers, prepared
from llmtriage.probability.selection import admitted, compared, cross_validated, selected, selected_for_confidence


def world(n: int, k: int, seed: int, matrix: Floats, bias: Floats) -> tuple[Floats, Integers]:
    """Scores of n tickets whose true distribution is softmax(matrix @ scores + bias)."""
    rng = np.random.default_rng(seed)
    values = np.asarray(log_softmax(2 * rng.normal(size=(n, k)), axis=1))
    chances = np.exp(log_softmax(values @ matrix.T + bias, axis=1))
    gold = (rng.random(n)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    return values, np.minimum(gold, k - 1)


TOO_SURE = (0.5 * np.eye(4), np.zeros(4))
LIKES_A_LETTER = (np.eye(4), np.array([3.0, 0.0, -1.0, -2.0]))
MIXES_TWO_UP = (np.array([[0.3, 0.9, 0, 0], [0.9, 0.3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), np.zeros(4))


@pytest.mark.parametrize(
    ("n", "k", "methods"),
    [
        (49, 2, 1),
        (50, 2, 4),
        (50, 11, 2),
        (54, 11, 2),
        (55, 11, 3),
        (241, 11, 3),
        (242, 11, 4),
        (384, 77, 2),
        (385, 77, 3),
        (11_857, 77, 3),
        (11_858, 77, 4),
    ],
)
def test_gates(n: int, k: int, methods: int) -> None:
    """Fifty tickets for a bias, five a category for a wide one, two an entry for a matrix."""
    assert admitted(n, k) == ("temperature", "bias", "bias-wide", "matrix")[:methods]


@pytest.mark.parametrize(
    ("truth", "n", "methods"),
    [
        (TOO_SURE, 100, {"temperature"}),
        (TOO_SURE, 1_000, {"temperature", "bias"}),
        (LIKES_A_LETTER, 300, {"bias-wide"}),
        (MIXES_TWO_UP, 1_000, {"matrix"}),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_truth_is_found(truth: tuple[Floats, Floats], n: int, methods: set[str], seed: int) -> None:
    """What the engine does wrong decides, and the result is as good as the truth nearly is."""
    values, gold = world(n + 4_000, 4, seed, *truth)
    chosen = selected(values[:n], gold[:n])
    assert chosen.method in methods
    assert isinstance(chosen.calibrator, ScoreCalibrator)
    best = log_loss(np.exp(log_softmax(values[n:] @ truth[0].T + truth[1], axis=1)), gold[n:])
    assert log_loss(chosen.calibrator.predict_proba(values[n:]), gold[n:]) < best + 0.03


def test_the_smallest_within_half_a_standard_error_of_the_difference() -> None:
    """Of 16 tickets whose losses lie 0.4 above and below the best one's in turn."""
    best = np.linspace(0, 1, 16)
    wobble = np.tile([0.4, -0.4], 8)
    error = wobble.std(ddof=1) / 4
    for behind, method in ((0.49, "temperature"), (0.51, "bias")):
        tried = compared({"temperature": best + behind * error + wobble, "bias": best})
        assert tried[0].behind == pytest.approx(behind * error)
        assert tried[0].standard_error == pytest.approx(error)
        assert tried[1] == ("bias", float(best.mean()), 0.0, 0.0)
        assert selection._smallest(tried) == method


def test_equal_losses_take_the_smaller_method() -> None:
    """A difference of nothing is within an error of nothing."""
    losses = np.array([0.5, 0.7])
    assert selection._smallest(compared({"temperature": losses, "bias": losses.copy()})) == "temperature"


@pytest.mark.parametrize("n", [2, 3, 5, 23])
def test_each_ticket_is_judged_once_by_a_fit_on_other_folds(n: int) -> None:
    """Folds are equal to one, and no ticket is on both sides."""
    judged: list[int] = []
    sizes: list[int] = []

    def held_out(fitting: Integers, judging: Integers) -> Floats:
        assert sorted([*fitting, *judging]) == list(range(n))
        judged.extend(judging.tolist())
        sizes.append(len(judging))
        return judging.astype(np.float64)

    assert cross_validated(held_out, n).tolist() == list(range(n))
    assert sorted(judged) == list(range(n))
    assert len(sizes) == min(n, 5)
    assert max(sizes) - min(sizes) <= 1


def test_the_losses_are_those_of_folds_fitted_by_hand() -> None:
    """Position modulo five after the shuffle, floor ln(1e-12)."""
    values, gold = world(60, 4, 0, *LIKES_A_LETTER)
    chosen = selected(values, gold, seed=3)
    order = np.random.default_rng(3).permutation(60)
    for one in chosen.tried:
        losses = np.empty(60)
        for fold in range(5):
            inside = np.isin(np.arange(60), order[np.arange(60) % 5 == fold])
            fitted = ScoreCalibrator(one.method).fit(values[~inside], gold[~inside])
            losses[inside] = -np.log(fitted.predict_proba(values[inside])[np.arange(inside.sum()), gold[inside]])
        assert one.loss == pytest.approx(losses.mean(), abs=1e-6)
    assert chosen.tried == selected(values, gold, seed=3).tried


def test_what_is_chosen_is_fitted_on_all_tickets() -> None:
    """Not on a fold of them."""
    values, gold = world(300, 4, 0, *LIKES_A_LETTER)
    chosen = selected(values, gold)
    assert isinstance(chosen.calibrator, ScoreCalibrator)
    assert chosen.n == chosen.calibrator.n_tickets_ == 300
    assert chosen.calibrator.bias_ == pytest.approx(ScoreCalibrator(chosen.method).fit(values, gold).bias_)


@pytest.mark.parametrize(("n", "calibrated"), [(1, False), (2, False), (4, False), (49, False), (50, True)])
def test_few_tickets_are_no_calibration(n: int, calibrated: bool) -> None:  # noqa: FBT001
    """Below fifty only a temperature, and its outcomes are not called calibrated; one ticket has no held-out loss."""
    values, gold = world(n, 4, 0, *TOO_SURE)
    chosen = selected(values, gold)
    assert chosen.calibrated == calibrated
    assert calibrated or [one.method for one in chosen.tried] == ["temperature"]
    assert all((one.loss is None) == (n == 1) for one in chosen.tried)
    of_confidence = selected_for_confidence(np.exp(values).max(axis=1), values.argmax(axis=1) == gold)
    assert of_confidence.calibrated == calibrated
    assert (of_confidence.tried[0].loss is None) == (n == 1)


@pytest.mark.slow
def test_categories_without_a_ticket_are_named() -> None:
    """Ten of them, and the calibrator still gives each its chance."""
    values, gold = world(400, 14, 0, np.eye(14), np.zeros(14))
    chosen = selected(values, gold % 4)
    assert chosen.absent == tuple(range(4, 14))
    assert isinstance(chosen.calibrator, ScoreCalibrator)
    assert chosen.calibrator.predict_log_proba(values).min() > -math.inf


@pytest.mark.parametrize(
    ("values", "gold"),
    [
        pytest.param(np.zeros((80, 3)), np.arange(80) % 3, id="constant scores"),
        pytest.param(np.zeros((80, 3)), np.zeros(80, np.int64), id="constant scores, one category true"),
        pytest.param(5 * np.eye(3)[np.arange(80) % 3], np.arange(80) % 3, id="all right"),
        pytest.param(5 * np.eye(3)[np.arange(80) % 3], (np.arange(80) + 1) % 3, id="all wrong"),
        pytest.param(-800.0 * np.eye(3)[np.arange(80) % 3], np.arange(80) % 3, id="all impossible"),
        pytest.param(np.zeros((4, 60)), np.arange(4), id="fewer labels than categories"),
    ],
)
def test_odd_samples_have_finite_figures(values: Floats, gold: Integers) -> None:
    """Every loss is a number no larger than the floor's, and every probability too."""
    chosen = selected(values, gold)
    assert all(one.loss is not None and 0 <= one.loss <= math.log(1e12) for one in chosen.tried)
    assert isinstance(chosen.calibrator, ScoreCalibrator)
    assert chosen.calibrator.predict_proba(values).sum(axis=1) == pytest.approx(1)


def test_an_impossible_ticket_costs_a_bounded_loss() -> None:
    """Held out, it meets a calibrator that knows of none: 800 nats, counted as ln(1e12)."""
    gold = np.arange(40) % 3
    values = -800.0 * (np.arange(3) != gold[:, None])
    gold[7] = (gold[7] + 1) % 3
    (one,) = selected(values, gold).tried
    assert one.loss is not None
    assert math.log(1e12) / 40 <= one.loss < 2 * math.log(1e12) / 40


def test_missing_labels_are_known_to_the_selection() -> None:
    """As if they had been filled before."""
    values, gold = world(80, 4, 0, *TOO_SURE)
    missing = np.zeros(values.shape, np.bool_)
    missing[::3, 3] = True
    filled = selected(prepared(values, missing), gold).tried
    for one, other in zip(selected(values, gold, missing=missing).tried, filled, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-6)


def test_a_confidence_is_calibrated_by_beta() -> None:
    """Its held-out loss is that of folds, and below that of the engine's own number where that is too sure."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.3, 0.95, 500)
    confidence, correct = np.sqrt(truth), rng.random(500) < truth
    chosen = selected_for_confidence(confidence, correct)
    assert isinstance(chosen.calibrator, ConfidenceCalibrator)
    assert (chosen.method, chosen.n, chosen.absent) == ("beta", 500, ())
    (one,) = chosen.tried
    assert one.loss is not None
    assert one.loss < -np.log(np.where(correct, confidence, 1 - confidence)).mean()
    assert chosen.calibrator.predict(confidence) == pytest.approx(truth, abs=0.1)


@pytest.mark.parametrize(
    ("values", "gold"),
    [([], []), ([[0.0], [0.0]], [0, 0]), ([[0.0, math.nan]], [0]), ([[0.0, -1.0]], [2]), ([[0.0, -1.0]], [0, 1])],
)
def test_unusable_tickets_are_refused(values: Any, gold: Any) -> None:
    """The same as by a calibrator."""
    with pytest.raises(InputError):
        selected(values, gold)


@pytest.mark.parametrize(("confidence", "correct"), [([], []), ([1.5], [1]), ([0.5], [2]), ([0.5, 0.6], [1])])
def test_unusable_confidences_are_refused(confidence: Any, correct: Any) -> None:
    """The same as by a calibrator."""
    with pytest.raises(InputError):
        selected_for_confidence(confidence, correct)


def test_documented_examples_run() -> None:
    """Every example in a docstring gives what it says."""
    assert doctest.testmod(selection).failed == 0
