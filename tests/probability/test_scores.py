"""Scores made ready: normalising, missing labels, refusals."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from llmtriage.errors import InputError
from llmtriage.probability import scores
from llmtriage.probability.readings import from_logprobs
from llmtriage.probability.scores import Floats, distributions, log_scores, normalised, prepared

NAN, INF = math.nan, math.inf


@given(st.integers(1, 5), st.integers(2, 6), st.floats(-1e6, 1e6), st.integers(0, 999))
def test_a_constant_added_to_a_row_changes_nothing(n: int, k: int, shift: float, seed: int) -> None:
    """Raw logits near 60 and near 0 are the same scores."""
    rows = np.random.default_rng(seed).normal(size=(n, k)) * 5
    assert prepared(rows + shift) == pytest.approx(prepared(rows), abs=1e-8)
    assert np.exp(prepared(rows)).sum(axis=1) == pytest.approx(1)


@given(st.integers(1, 9), st.integers(2, 90), st.sampled_from([1e-3, 1.0, 30.0, 3000.0]), st.integers(0, 999))
def test_normalising_is_that_of_scipy(n: int, k: int, scale: float, seed: int) -> None:
    """To the last bit."""
    rows = np.random.default_rng(seed).normal(scale=scale, size=(n, k))
    assert (normalised(rows) == log_softmax(rows, axis=1)).all()


@pytest.mark.parametrize("absent", [NAN, -INF, INF, -9999.0, 0.0])
def test_missing_labels_share_what_is_left_whatever_stands_there(absent: float) -> None:
    """0.8 and 0.14 seen of four: 0.03 each."""
    rows = [[math.log(0.8), math.log(0.14), absent, absent], [math.log(p) for p in (0.4, 0.3, 0.2, 0.1)]]
    missing = [[False, False, True, True], [False] * 4]
    assert np.exp(prepared(rows, missing)) == pytest.approx(np.array([[0.8, 0.14, 0.03, 0.03], [0.4, 0.3, 0.2, 0.1]]))


def test_a_missing_label_is_no_likelier_than_the_smallest_seen() -> None:
    """Of 0.5 and 0.01 seen of three the third gets 0.01, then all are made to sum to 1."""
    filled = prepared([[math.log(0.5), math.log(0.01), NAN]], [[False, False, True]])
    assert np.exp(filled) == pytest.approx(np.array([[0.5, 0.01, 0.01]]) / 0.52)


def test_where_nothing_is_left_a_missing_label_still_has_something() -> None:
    """A millionth."""
    filled = prepared([[math.log(0.7), math.log(0.3), NAN]], [[False, False, True]])
    assert np.exp(filled[0, 2]) == pytest.approx(1e-6, rel=1e-5)


@given(st.lists(st.floats(1e-4, 1.0), min_size=4, max_size=12), st.floats(1.0, 1.5), st.data())
def test_what_the_engines_read_is_taken_as_it_is(shares: list[float], over: float, data: st.DataObject) -> None:
    """Their missing labels already hold a bound; filling them again changes nothing."""
    found = np.log(np.array(shares) / (over * sum(shares)))
    for place in data.draw(st.sets(st.integers(0, len(shares) - 1), max_size=len(shares) // 2)):
        found[place] = NAN
    read = from_logprobs(found, listed=found[~np.isnan(found)])
    if np.exp(read.values[read.missing]).sum() > 2e-6:
        assert prepared(read.values[None], read.missing[None])[0] == pytest.approx(read.values, abs=1e-6)


def test_many_missing_labels_do_not_outweigh_the_best_at_a_high_temperature() -> None:
    """With e^a = 0.3, forty labels at 1e-6 weigh as much as two thirds of the best one; their real share weighs less than a tenth."""
    seen = np.log([0.999, *[1e-9] * 39])
    missing = np.array([[False] * 40 + [True] * 40])
    constant = np.exp(0.3 * np.append(seen, np.full(40, math.log(1e-6))))
    filled = np.exp(0.3 * prepared(np.append(seen, np.full(40, NAN))[None], missing)[0])
    assert constant[40:].sum() / constant[0] > 0.6
    assert filled[40:].sum() / filled[0] < 0.1


@pytest.mark.parametrize(("n_missing", "refused"), [(1, False), (2, False), (3, True), (4, True)])
def test_more_than_half_missing_is_no_distribution(n_missing: int, refused: bool) -> None:  # noqa: FBT001
    """The error counts such tickets; exactly half is allowed."""
    missing = np.array([[False] * (4 - n_missing) + [True] * n_missing, [False] * 4])
    rows = np.log([[0.25] * 4] * 2)
    assert scores.mostly_missing(missing).tolist() == [refused, False]
    if not refused:
        prepared(rows, missing)
        return
    with pytest.raises(InputError, match="more than half the categories are missing for 1 tickets"):
        prepared(rows, missing)


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param(np.zeros((0, 3)), None, id="no tickets"),
        pytest.param([[1.0], [2.0]], None, id="one category"),
        pytest.param([1.0, 2.0], None, id="a column for a table"),
        pytest.param([[[1.0, 2.0]]], None, id="three dimensions"),
        pytest.param([[NAN, 0.0]], None, id="NaN"),
        pytest.param([[INF, 0.0]], None, id="infinite"),
        pytest.param([[-INF, 0.0]], None, id="minus infinity"),
        pytest.param([[-9999.0, 0.0]], None, id="a mask"),
        pytest.param([[1e308, -1e308]], None, id="out of all proportion"),
        pytest.param([[0.0, -1.0, NAN]], [[False, False, False]], id="NaN that is not missing"),
        pytest.param([[60.0, 50.0, 0.0]], [[False, False, True]], id="raw logits with missing labels"),
        pytest.param([[900.0, 50.0, 0.0]], [[False, False, True]], id="raw logits beyond exp"),
        pytest.param([[-1.0, NAN, 0.0]], [[False, False, True]], id="NaN beside a missing one"),
        pytest.param([[0.0, -1.0]], [[False]], id="missing of another shape"),
        pytest.param([[0.0, -1.0]], [[0, 1]], id="missing as numbers"),
        pytest.param([[0.0, -1.0]], [False, True], id="missing as a column"),
    ],
)
def test_unusable_scores_are_refused(rows: Any, missing: Any) -> None:
    """In one line, without a warning from the arithmetic."""
    with pytest.raises(InputError) as caught:
        prepared(rows, missing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [[0.5, 0.52], [0.5, 0.48], [2.0, -1.0], [NAN, 1.0], [INF, 0.0], [0.0, 0.0], [60.0, 40.0]],
    ids=["above", "below", "negative", "NaN", "infinite", "nothing", "percent"],
)
def test_what_is_no_distribution_is_refused(row: list[float]) -> None:
    """More than 0.01 from 1 is not rounding."""
    with pytest.raises(InputError, match=r"sums to|NaN, infinite or negative"):
        distributions("scores", [[0.5, 0.5], row])


@pytest.mark.parametrize("row", [[0.5, 0.51], [0.5, 0.49], [0.33, 0.33, 0.33]])
def test_rounding_to_two_digits_is_forgiven(row: list[float]) -> None:
    """And made to sum to 1."""
    assert distributions("scores", [row])[0] == pytest.approx(np.array(row) / sum(row))


def test_a_distribution_is_left_as_it_is() -> None:
    """To the last bit, though the sum of its floats is not 1."""
    row: Floats = np.array([[0.6, 0.3, 0.1]])
    assert row.sum() != 1
    assert (distributions("scores", row) == row).all()


def test_a_probability_of_0_has_a_logarithm() -> None:
    """That of 1e-12."""
    assert log_scores([[1.0, 0.0]])[0] == pytest.approx([0.0, math.log(1e-12)])


def test_documented_examples_run() -> None:
    """Every example in a docstring gives what it says."""
    assert doctest.testmod(scores).failed == 0
