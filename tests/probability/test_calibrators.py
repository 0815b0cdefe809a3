"""Calibrators: worked examples, gradients, laws, traps, and what is stored."""

from __future__ import annotations

import doctest
import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability.worked import TWELVE_GOLD as GOLD
from probability.worked import TWELVE_ROWS as ROWS
from probability.worked import TWENTY
from scipy.optimize import approx_fprime
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.probability import calibrators
from llmtriage.probability.calibrators import (
    CONFIDENCE_METHODS,
    SCORE_METHODS,
    ConfidenceCalibrator,
    ScoreCalibrator,
    calibrator,
    from_dict,
)
from llmtriage.probability.fitting import confidence_objective, score_objective
from llmtriage.probability.metrics import log_loss
from llmtriage.probability.scores import Floats, Integers, prepared

NAN, INF = math.nan, math.inf
SCORES = np.log(ROWS)

CONFIDENCE, CORRECT = TWENTY


def world(n: int, k: int, seed: int, *, temperature: float = 1.0, bias: float = 0.0) -> tuple[Floats, Integers]:
    """Scores of n tickets whose true distribution is softmax(scores / temperature + bias * (0, 1, ..., K-1))."""
    rng = np.random.default_rng(seed)
    values = np.asarray(log_softmax(3 * rng.normal(size=(n, k)), axis=1))
    chances = np.exp(log_softmax(values / temperature + bias * np.arange(k), axis=1))
    gold = (rng.random(n)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    return values, np.minimum(gold, k - 1)


# -- worked examples -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "objective", "log_slope", "bias", "matrix"),
    [
        ("temperature", 7.9423282513, 0.17939719, [0, 0, 0], None),
        ("bias", 7.8079440780, 0.19605197, [0.03279760, -0.15885146, 0.12605386], None),
        ("bias-wide", 7.6055557151, 0.23907331, [0.03987042, -0.39508338, 0.35521296], None),
        (
            "matrix",
            7.2971468027,
            0.14655866,
            [0.03153842, -0.21588273, 0.18434431],
            [
                [0.08709435, -0.04260721, -0.06491634],
                [-0.21195655, 0.39654270, 0.04223714],
                [0.12486220, -0.35393549, 0.02267920],
            ],
        ),
    ],
)
def test_scores_worked_example(
    method: str, objective: float, log_slope: float, bias: list[float], matrix: list[list[float]] | None
) -> None:
    """The least value and where it is, as two optimisers agreed on."""
    fitted = ScoreCalibrator(method).fit(SCORES, GOLD)
    assert fitted.objective_ == pytest.approx(objective, abs=5e-10)
    assert fitted.log_slope_ == pytest.approx(log_slope, abs=1e-8)
    assert fitted.bias_ == pytest.approx(np.array(bias), abs=1e-8)
    if matrix is None:
        assert fitted.matrix_ is None
    else:
        assert fitted.matrix_ == pytest.approx(np.array(matrix), abs=1e-8)


@pytest.mark.parametrize(
    ("method", "objective", "weights", "offset"),
    [
        ("platt", 11.1757883612, [0.77225480], -0.38470923),
        ("beta-narrow", 11.6097525873, [1.03060568, 0.85847904], -0.07908835),
        ("beta", 11.1182852547, [1.30009566, 0.64090222], -0.01263314),
    ],
)
def test_confidence_worked_example(method: str, objective: float, weights: list[float], offset: float) -> None:
    """The least value and where it is, as two optimisers agreed on."""
    fitted = ConfidenceCalibrator(method).fit(CONFIDENCE, CORRECT)
    assert fitted.objective_ == pytest.approx(objective, abs=5e-10)
    assert fitted.weights_ == pytest.approx(np.array(weights), abs=2e-8)
    assert fitted.offset_ == pytest.approx(offset, abs=2e-8)


def test_a_matrix_agrees_with_scikit_learn() -> None:
    """With many tickets, a logistic regression on log-scores has the same loss on new ones."""
    values, gold = world(3_000, 4, 0, temperature=2.0, bias=0.5)
    ours = ScoreCalibrator("matrix").fit(values[:2_000], gold[:2_000]).predict_proba(values[2_000:])
    theirs = LogisticRegression(C=1.0, max_iter=2_000).fit(values[:2_000], gold[:2_000]).predict_proba(values[2_000:])
    assert log_loss(ours, gold[2_000:]) == pytest.approx(log_loss(theirs, gold[2_000:]), abs=0.005)


# -- gradients -------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(SCORE_METHODS)), st.integers(2, 5), st.integers(1, 20), st.integers(0, 999))
def test_gradients_of_the_score_methods(method: str, k: int, n: int, seed: int) -> None:
    """They are what finite differences say."""
    prior, rng = SCORE_METHODS[method], np.random.default_rng(seed)
    free = rng.normal(size=1 + k * bool(prior.bias) + k * k * bool(prior.matrix))
    logs, gold = prepared(rng.normal(size=(n, k))), rng.integers(0, k, n)

    def loss(at: Floats) -> float:
        return score_objective(at, logs, gold, prior)[0]

    differences = approx_fprime(free, loss, 1e-6)
    assert score_objective(free, logs, gold, prior)[1] == pytest.approx(differences, abs=2e-4, rel=2e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2), st.integers(1, 20), st.sampled_from([0.25, 2.0]), st.integers(0, 999))
def test_gradients_of_the_confidence_methods(weights: int, n: int, sd: float, seed: int) -> None:
    """They are what finite differences say."""
    rng = np.random.default_rng(seed)
    free, features, right = rng.normal(size=weights + 1), rng.normal(size=(n, weights)), rng.integers(0, 2, n).astype(float)

    def loss(at: Floats) -> float:
        return confidence_objective(at, features, right, sd)[0]

    differences = approx_fprime(free, loss, 1e-6)
    assert confidence_objective(free, features, right, sd)[1] == pytest.approx(differences, abs=2e-4, rel=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", SCORE_METHODS)
@pytest.mark.parametrize(("n", "k"), [(60, 3), (500, 6), (40, 30)])
def test_a_fit_ends_where_the_gradient_is_zero(method: str, n: int, k: int) -> None:
    """However many tickets and categories."""
    values, gold = world(n, k, 1, temperature=3.0, bias=0.3)
    fitted = ScoreCalibrator(method).fit(values, gold)
    prior = SCORE_METHODS[method]
    matrix = np.zeros(0) if fitted.matrix_ is None else fitted.matrix_.ravel()
    free = np.concatenate([[fitted.log_slope_], fitted.bias_[: k if prior.bias else 0], matrix])
    loss, gradient = score_objective(free, prepared(values), gold, prior)
    assert loss == pytest.approx(fitted.objective_)
    assert np.abs(gradient).max() < 1e-3


# -- laws ------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(SCORE_METHODS)), st.integers(2, 5), st.integers(1, 40), st.integers(0, 999))
def test_laws_of_the_score_methods(method: str, k: int, n: int, seed: int) -> None:
    """Rows sum to 1; no worse than doing nothing on its own tickets; the order of rows and of categories does not matter."""
    rng = np.random.default_rng(seed)
    values, gold = 4 * rng.normal(size=(n, k)), rng.integers(0, k, n)
    fitted = ScoreCalibrator(method).fit(values, gold)
    chances = fitted.predict_proba(values)
    assert chances.sum(axis=1) == pytest.approx(1)
    assert chances == pytest.approx(np.exp(fitted.predict_log_proba(values)))
    assert log_loss(chances, gold) <= log_loss(np.exp(prepared(values)), gold) + 1e-9
    rows, columns = rng.permutation(n), rng.permutation(k)
    moved = ScoreCalibrator(method).fit(values[rows][:, columns], columns.argsort()[gold[rows]])
    assert moved.predict_proba(values[:, columns]) == pytest.approx(chances[:, columns], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(CONFIDENCE_METHODS)), st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_a_confidence_keeps_its_place(method: str, pairs: list[tuple[float, bool]]) -> None:
    """What was higher is not lower afterwards; all stay in [0, 1]."""
    confidence, correct = map(np.array, zip(*pairs, strict=True))
    fitted = ConfidenceCalibrator(method).fit(confidence, correct)
    after = fitted.predict(np.sort(confidence))
    assert (np.diff(after) >= -1e-12).all()
    assert ((after >= 0) & (after <= 1)).all()
    assert (fitted.weights_ >= CONFIDENCE_METHODS[method].lowest).all()


@pytest.mark.parametrize("method", list(CONFIDENCE_METHODS))
def test_a_confidence_that_says_nothing_makes_no_ties(method: str) -> None:
    """Labels must not choose which tickets are alike: where the best slope would be none or falling, the order still stays."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.01, 0.99, 300)
    for right in (rng.random(300) < 0.7, confidence < 0.3, np.ones(300, bool)):
        after = ConfidenceCalibrator(method).fit(confidence, right).predict(np.sort(confidence))
        assert (np.diff(after) > 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 30), st.integers(0, 999))
def test_a_temperature_keeps_the_first_choice(k: int, n: int, seed: int) -> None:
    """And among equals it is the first."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 3, size=(n, k)).astype(float)
    fitted = ScoreCalibrator("temperature").fit(values, rng.integers(0, k, n))
    assert fitted.predict(values).tolist() == values.argmax(axis=1).tolist()


def test_with_two_categories_a_temperature_keeps_the_order_of_tickets() -> None:
    """And says so; no other score method does."""
    values, gold = world(200, 2, 0, temperature=2.0)
    fitted = ScoreCalibrator("temperature").fit(values, gold)
    before, after = np.exp(values).max(axis=1), fitted.predict_proba(values).max(axis=1)
    assert (np.diff(after[before.argsort()]) >= 0).all()
    assert fitted.keeps_order
    assert not ScoreCalibrator("bias").fit(values, gold).keeps_order
    assert not ScoreCalibrator("temperature").fit(*world(200, 3, 0)).keeps_order


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    """From labels drawn at it."""
    assert ScoreCalibrator().fit(*world(4_000, 4, 0, temperature=temperature)).temperature == pytest.approx(temperature, rel=0.1)


def test_a_known_bias_is_recovered() -> None:
    """Up to a constant, which changes nothing."""
    fitted = ScoreCalibrator("bias-wide").fit(*world(40_000, 4, 0, bias=0.7))
    assert np.diff(fitted.bias_) == pytest.approx(0.7, abs=0.06)


def test_a_million_rows_need_not_be_computed_at_once() -> None:
    """Blocks change no number."""
    values, gold = world(20_000, 3, 0)
    fitted = ScoreCalibrator("bias").fit(values[:500], gold[:500])
    missing = np.zeros(values.shape, np.bool_)
    missing[::3, 1] = True
    whole = fitted.predict_log_proba(values, missing=missing)
    for place in (0, 2_047, 2_048, 19_999):
        one = slice(place, place + 1)
        assert (whole[one] == fitted.predict_log_proba(values[one], missing=missing[one])).all()
    assert fitted.predict(values, missing=missing).tolist() == whole.argmax(axis=1).tolist()


# -- traps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SCORE_METHODS)
def test_raw_logits_far_from_zero_are_the_same_scores(method: str) -> None:
    """Another constant in each row changes no fit."""
    shifted = SCORES + 60 + np.arange(12)[:, None]
    assert ScoreCalibrator(method).fit(shifted, GOLD).bias_ == pytest.approx(ScoreCalibrator(method).fit(SCORES, GOLD).bias_)


@pytest.mark.parametrize("method", SCORE_METHODS)
def test_a_category_without_a_ticket_is_not_ruled_out(method: str) -> None:
    """Its first real ticket costs far less than ln(1e12)."""
    values, gold = world(400, 4, 0)
    kept = gold != 3
    fitted = ScoreCalibrator(method).fit(values[kept], gold[kept])
    of_gold = fitted.predict_log_proba(values[~kept])[:, 3]
    assert np.isfinite(fitted.bias_).all()
    assert -of_gold.min() < math.log(1e12)
    assert -of_gold[values[~kept].argmax(axis=1) == 3].mean() < math.log(1e12) / 3


@pytest.mark.parametrize("method", SCORE_METHODS)
@pytest.mark.parametrize("n", [1, 20, 1_000])
def test_all_right_and_all_wrong_are_held_by_the_prior(method: str, n: int) -> None:
    """Neither certainty nor the edge of the search."""
    gold = np.arange(n) % 4
    values = np.log(np.where(np.arange(4) == gold[:, None], 0.7, 0.1))
    right, wrong = ScoreCalibrator(method).fit(values, gold), ScoreCalibrator(method).fit(values, (gold + 1) % 4)
    assert 0 < right.log_slope_ < 2
    assert -math.log(49) < wrong.log_slope_ < 0
    assert 0.7 < right.predict_proba(values).max(axis=1).min() < 1
    assert wrong.predict_proba(values)[np.arange(n), gold].max() < 0.7


@pytest.mark.parametrize("method", CONFIDENCE_METHODS)
@pytest.mark.parametrize("n", [1, 20, 1_000])
def test_confidences_all_right_and_all_wrong(method: str, n: int) -> None:
    """Also at 0 and 1 exactly."""
    confidence = np.tile([0.0, 0.5, 1.0], n)
    high = ConfidenceCalibrator(method).fit(confidence, np.ones(3 * n)).predict(confidence)
    low = ConfidenceCalibrator(method).fit(confidence, np.zeros(3 * n)).predict(confidence)
    assert np.isfinite([*high, *low]).all()
    assert high.mean() > 0.5 > low.mean()


@pytest.mark.parametrize("method", SCORE_METHODS)
def test_scores_that_say_nothing_give_at_most_the_shares(method: str) -> None:
    """Ties everywhere: a bias learns what is frequent, a temperature nothing."""
    values, gold = np.zeros((300, 3)), np.repeat([0, 0, 0, 0, 1], 60)
    chances = ScoreCalibrator(method).fit(values, gold).predict_proba(values[:1])[0]
    if method == "temperature":
        assert chances == pytest.approx(1 / 3)
    else:
        assert chances == pytest.approx(np.array([0.8, 0.2, 0.0]), abs=0.06)
        assert chances.min() > 0


@pytest.mark.parametrize("method", CONFIDENCE_METHODS)
def test_a_constant_confidence_becomes_the_share_that_is_right(method: str) -> None:
    """What else could it."""
    chances = ConfidenceCalibrator(method).fit(np.full(500, 0.9), np.arange(500) % 2).predict([0.9])
    assert chances == pytest.approx(0.5, abs=0.01 if CONFIDENCE_METHODS[method].sd > 1 else 0.05)


def test_fewer_labels_than_categories() -> None:
    """Five tickets of forty categories: little moves, everything stays a distribution."""
    values, gold = world(5, 40, 0)
    for method in SCORE_METHODS:
        chances = ScoreCalibrator(method).fit(values, gold).predict_proba(values)
        assert chances.sum(axis=1) == pytest.approx(1)
        assert (chances > 0).all()


def test_probabilities_stay_logarithms() -> None:
    """A score that underflows as a probability still has its logarithm."""
    fitted = ScoreCalibrator().fit(SCORES, GOLD)
    logs = fitted.predict_log_proba([[0.0, -2_000.0, -3_000.0]])
    assert logs[0, 1] > logs[0, 2] > -INF
    assert fitted.predict_proba([[0.0, -2_000.0, -3_000.0]])[0].tolist() == [1.0, 0.0, 0.0]


def test_missing_labels_are_filled_in_fit_and_in_predict() -> None:
    """What stands under a missing label is looked at in neither."""
    missing = np.zeros(SCORES.shape, np.bool_)
    missing[::2, 2] = True
    hidden = np.where(missing, NAN, SCORES)
    fitted = ScoreCalibrator("bias").fit(hidden, GOLD, missing=missing)
    assert fitted.bias_ == pytest.approx(ScoreCalibrator("bias").fit(prepared(hidden, missing), GOLD).bias_)
    filled = fitted.predict_proba(prepared(hidden, missing))
    assert fitted.predict_proba(hidden, missing=missing) == pytest.approx(filled)


def test_a_confidence_gives_no_distribution() -> None:
    """Rebuilding one would change first choices."""
    assert not hasattr(ConfidenceCalibrator(), "predict_proba")


# -- scikit-learn's habits -------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*SCORE_METHODS, *CONFIDENCE_METHODS])
def test_each_has_its_name(method: str) -> None:
    """And is cloned, changed and shown by it."""
    one = calibrator(method)
    assert one.get_params() == {"method": method}
    assert clone(one).get_params() == one.get_params()
    assert one.set_params(method=method) is one
    assert repr(one) == f"{type(one).__name__}({method!r})"


def test_a_wrong_name_is_an_error_with_the_nearest_one() -> None:
    """Of the calibrator, of a parameter, and also when it was set later."""
    with pytest.raises(UnknownNameError, match="did you mean 'temperature'"):
        calibrator("temprature")
    with pytest.raises(UnknownNameError, match="isotonic"):
        ScoreCalibrator().set_params(method="isotonic").fit(SCORES, GOLD)
    with pytest.raises(UnknownNameError, match="beta"):
        ScoreCalibrator("beta").fit(SCORES, GOLD)
    with pytest.raises(UnknownNameError, match="temperature"):
        ConfidenceCalibrator("temperature").fit(CONFIDENCE, CORRECT)
    with pytest.raises(UnknownNameError, match="parameter"):
        ScoreCalibrator().set_params(folds=3)


def test_scikit_learn_can_cross_validate_one() -> None:
    """It is a classifier on a table of scores."""
    values, gold = world(300, 4, 0, temperature=2.0)
    losses = -cross_val_score(ScoreCalibrator("bias"), values, gold, scoring="neg_log_loss", cv=5)
    assert losses.mean() < log_loss(np.exp(values), gold)


# -- what is stored --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([*SCORE_METHODS, *CONFIDENCE_METHODS]), st.integers(0, 999))
def test_json_keeps_every_bit(method: str, seed: int) -> None:
    """What comes back computes the very same numbers."""
    rng = np.random.default_rng(seed)
    one: Any = calibrator(method)
    if isinstance(one, ScoreCalibrator):
        asked: Any = rng.normal(size=(30, 4))
        one.fit(asked, rng.integers(0, 4, 30))
    else:
        asked = rng.random(30)
        one.fit(asked, rng.integers(0, 2, 30))
    text = json.dumps(one.to_dict(), allow_nan=False)
    back: Any = from_dict(json.loads(text))
    assert type(back) is type(one)
    assert json.dumps(back.to_dict()) == text
    answer = "predict_log_proba" if isinstance(one, ScoreCalibrator) else "predict"
    assert (getattr(back, answer)(asked) == getattr(one, answer)(asked)).all()


STORED = {method: ScoreCalibrator(method).fit(SCORES, GOLD).to_dict() for method in SCORE_METHODS}
STORED |= {method: ConfidenceCalibrator(method).fit(CONFIDENCE, CORRECT).to_dict() for method in CONFIDENCE_METHODS}


@pytest.mark.parametrize(
    ("method", "change"),
    [
        pytest.param("bias", {"method": None}, id="no method"),
        pytest.param("bias", {"method": "vector"}, id="another method"),
        pytest.param("bias", {"method": "temperature"}, id="a method without that bias"),
        pytest.param("bias", {"method": "matrix"}, id="a method with a matrix"),
        pytest.param("bias", {"method": "beta"}, id="a method of the other kind"),
        pytest.param("bias", {"version": 2}, id="one field too many"),
        pytest.param("bias", {"tickets": 0}, id="no tickets"),
        pytest.param("bias", {"tickets": True}, id="a truth for a count"),
        pytest.param("bias", {"tickets": "12"}, id="a text for a count"),
        pytest.param("bias", {"bias": [0.0]}, id="one category"),
        pytest.param("bias", {"bias": [0.0, NAN, 0.0]}, id="NaN"),
        pytest.param("bias", {"bias": ["0", "1", "2"]}, id="texts for numbers"),
        pytest.param("bias", {"bias": None}, id="nothing for numbers"),
        pytest.param("bias", {"bias": [[0.0], [0.0, 1.0]]}, id="ragged"),
        pytest.param("bias", {"log_slope": 4.0}, id="a slope out of range"),
        pytest.param("bias", {"log_slope": INF}, id="an infinite slope"),
        pytest.param("matrix", {"matrix": None}, id="no matrix"),
        pytest.param("matrix", {"matrix": [[0.0] * 3] * 2}, id="a row short"),
        pytest.param("beta", {"weights": [1.0]}, id="a weight short"),
        pytest.param("beta", {"weights": [1.0, -1.0]}, id="a negative weight"),
        pytest.param("platt", {"weights": [0.0]}, id="a slope below the least"),
        pytest.param("platt", {"offset": "0"}, id="a text for an offset"),
    ],
)
def test_what_was_changed_by_hand_is_refused(method: str, change: dict[str, Any]) -> None:
    """In one line."""
    with pytest.raises(InputError) as caught:
        from_dict(STORED[method] | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", STORED)
def test_what_was_cut_off_is_refused(method: str) -> None:
    """Whatever field is gone, it is named."""
    for name in STORED[method]:
        with pytest.raises(InputError, match=f"'{name}' is missing"):
            from_dict({key: value for key, value in STORED[method].items() if key != name})


def test_what_is_no_object_is_refused() -> None:
    """A list, say."""
    with pytest.raises(InputError, match="cannot be read"):
        from_dict([])  # type: ignore[arg-type]


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "gold"),
    [
        pytest.param([], [], id="no tickets"),
        pytest.param([[0.0], [0.0]], [0, 0], id="one category"),
        pytest.param([[0.0, NAN]], [0], id="NaN"),
        pytest.param([[0.0, INF]], [0], id="infinite"),
        pytest.param([[0.0, -1.0]], [0, 1], id="more labels than tickets"),
        pytest.param([[0.0, -1.0]], [], id="no labels"),
        pytest.param([[0.0, -1.0]], [2], id="a label outside"),
        pytest.param([[0.0, -1.0]], [-1], id="a label below"),
        pytest.param([[0.0, -1.0]], [0.0], id="a label that is no whole number"),
        pytest.param([[0.0, -1.0]], ["0"], id="a text for a label"),
        pytest.param([[0.0, -1.0]], [True], id="a truth for a label"),
        pytest.param([[0.0, -1.0]], [[0]], id="a table of labels"),
    ],
)
def test_unusable_tickets_are_refused(values: Any, gold: Any) -> None:
    """Before anything is fitted."""
    with pytest.raises(InputError):
        ScoreCalibrator().fit(values, gold)


@pytest.mark.parametrize(
    ("confidence", "correct"),
    [
        pytest.param([], [], id="no tickets"),
        pytest.param([1.1], [1], id="above 1"),
        pytest.param([-0.1], [1], id="below 0"),
        pytest.param([NAN], [1], id="NaN"),
        pytest.param([INF], [1], id="infinite"),
        pytest.param([[0.5]], [1], id="a table"),
        pytest.param([0.5, 0.5], [1], id="lengths differ"),
        pytest.param([0.5], [2], id="neither right nor wrong"),
        pytest.param([0.5], [NAN], id="right or wrong is not known"),
    ],
)
def test_unusable_confidences_are_refused(confidence: Any, correct: Any) -> None:
    """Before anything is fitted."""
    with pytest.raises(InputError):
        ConfidenceCalibrator().fit(confidence, correct)


def test_scores_of_another_taxonomy_are_refused() -> None:
    """Four categories for a calibrator of three; surplus cells are never cut off."""
    fitted = ScoreCalibrator().fit(SCORES, GOLD)
    with pytest.raises(InputError, match="4 categories for a calibrator of 3"):
        fitted.predict_proba(np.zeros((1, 4)))
    with pytest.raises(InputError, match="missing labels of shape"):
        fitted.predict_proba(SCORES, missing=np.zeros((12, 2), np.bool_))


@pytest.mark.parametrize(
    "use", [lambda c: c.predict(SCORES), lambda c: c.to_dict(), lambda c: c.temperature, lambda c: c.keeps_order]
)
def test_what_is_not_fitted_says_so(use: Any) -> None:
    """Instead of an attribute that is missing."""
    with pytest.raises(InputError, match="not fitted"):
        use(ScoreCalibrator())


def test_a_confidence_calibrator_that_is_not_fitted_says_so() -> None:
    """The same."""
    for use in (ConfidenceCalibrator().to_dict, lambda: ConfidenceCalibrator().predict(CONFIDENCE)):
        with pytest.raises(InputError, match="not fitted"):
            use()


def test_documented_examples_run() -> None:
    """Every example in a docstring gives what it says."""
    assert doctest.testmod(calibrators).failed == 0


@pytest.mark.slow
def test_calibrating_loads_no_other_room_and_no_scikit_learn() -> None:
    """Also nothing that only fitting needs."""
    modules = "calibrators, selection, candidates, mix"
    code = f"import sys; from llmtriage.probability import {modules}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith("llmtriage.") and ".probability" not in name] == ["llmtriage.errors"]
    assert not {"sklearn", "scipy.optimize", "openai", "pydantic"} & set(loaded)
