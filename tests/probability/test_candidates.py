"""What a reviewer is shown: the worked example, coverage, and the limits of what is claimed."""

from __future__ import annotations

import doctest
import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability.worked import TWELVE_GOLD as GOLD
from probability.worked import TWELVE_ROWS as ROWS

from llmtriage.errors import InputError
from llmtriage.probability import candidates
from llmtriage.probability.candidates import CandidateRule, candidate_rule, least_probability
from llmtriage.probability.metrics import clopper_pearson
from llmtriage.probability.scores import Floats, Integers


def world(n: int, k: int, seed: int) -> tuple[Floats, Integers]:
    """Distributions and categories drawn from them."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(k, 0.3), n)
    gold = (rng.random(n)[:, None] > rows.cumsum(axis=1)).sum(axis=1)
    return rows, np.minimum(gold, k - 1)


def test_worked_example() -> None:
    """At level 0.8 the quantile is the 11th of 12, 0.7, and the sets have these sizes before they are cut."""
    least = least_probability(ROWS, GOLD, level=0.8)
    assert 1 - least == pytest.approx(0.7)
    assert (least <= ROWS).sum(axis=1).tolist() == [1, 1, 2, 2, 1, 1, 2, 1, 1, 1, 2, 3]


def test_the_quantile_is_a_rank() -> None:
    """ceil((n + 1) * level) of n: 9 tickets are the fewest for 0.9, 19 for 0.95, and the worst of them is then the limit."""
    for level, fewest in ((0.9, 9), (0.95, 19), (0.8, 4)):
        rows = np.column_stack([np.linspace(0.3, 0.9, fewest), 1 - np.linspace(0.3, 0.9, fewest)])
        gold = np.zeros(fewest, np.int64)
        assert least_probability(rows, gold, level=level) == pytest.approx(0.3)
        assert least_probability(rows[1:], gold[1:], level=level) == 0


def test_the_smallest_probabilities_are_told_apart() -> None:
    """1 minus them would be 1 for all."""
    rows = np.array([[1.0, 1e-20, 1e-30]] * 30)
    assert least_probability(rows, np.ones(30, np.int64)) == pytest.approx(1e-20)
    assert (rows[0] >= least_probability(rows, np.ones(30, np.int64))).tolist() == [True, True, False]


def test_sets_hold_the_right_category_as_often_as_they_say() -> None:
    """Over many draws of 60 labelled and 200 new tickets, before the sets are cut: 0.9, as (n + 1) * 0.9 rounded up over n + 1."""
    held = []
    for seed in range(200):
        rows, gold = world(260, 8, seed)
        least = least_probability(rows[:60], gold[:60])
        held.append((rows[60:][np.arange(200), gold[60:]] >= least).mean())
    assert np.mean(held) == pytest.approx(math.ceil(61 * 0.9) / 61, abs=0.012)


@given(st.integers(20, 60), st.integers(2, 12), st.integers(0, 999), st.sampled_from([0.5, 0.8, 0.9, 0.99]))
def test_laws_of_what_is_shown(n: int, k: int, seed: int, level: float) -> None:
    """Two to five, most probable first, all at least as probable as what is left out; the measured share counts exactly these."""
    rows, gold = world(n, k, seed)
    rule = candidate_rule(rows, gold, level=level)
    shown = rule.shown(rows)
    for row, places in zip(rows, shown, strict=True):
        assert min(2, k) <= len(places) <= min(5, k)
        assert (np.diff(row[places]) <= 0).all()
        left_out = np.delete(row, places)
        assert not len(left_out) or left_out.max() <= row[places].min()
        assert len(places) == min(k, 5, max(2, int((row >= rule.least_probability).sum())))
    held = sum(true in places for true, places in zip(gold.tolist(), shown, strict=True))
    assert (rule.n, rule.n_held, rule.level) == (n, held, level)
    assert rule.share == held / n
    assert rule.interval == clopper_pearson(held, n)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(0, 999), st.sampled_from([0.0, 0.1, 0.2, 1.0]))
def test_what_is_shown_is_the_front_of_a_stable_sort(k: int, seed: int, least: float) -> None:
    """Also among equals and impossible ones, and where one block of rows ends and the next begins."""
    counts = np.random.default_rng(seed).integers(0, 3, (2_100, k))
    counts[:, 0] += counts.sum(axis=1) == 0
    rows = counts / counts.sum(axis=1, keepdims=True)
    order = np.argsort(-rows, axis=1, kind="stable")
    sizes = np.clip((rows >= least).sum(axis=1), 2, 5)
    plain = [places[:size] for places, size in zip(order.tolist(), sizes.tolist(), strict=True)]
    assert CandidateRule(least_probability=least).shown(rows) == plain


def test_ties_are_shown_in_the_order_of_the_categories() -> None:
    """Everything equal: the first five."""
    rows = np.full((25, 8), 1 / 8)
    rule = candidate_rule(rows, np.arange(25) % 8)
    assert rule.shown(rows[:1]) == [[0, 1, 2, 3, 4]]
    assert rule.share == pytest.approx(16 / 25)


@pytest.mark.parametrize("n", [1, 19])
def test_with_few_tickets_five_are_shown_and_nothing_is_claimed(n: int) -> None:
    """The same as without any."""
    rows, gold = world(n, 8, 0)
    rule = candidate_rule(rows, gold)
    assert rule.shown(rows) == CandidateRule().shown(rows) == np.argsort(-rows, axis=1)[:, :5].tolist()
    assert (rule.share, rule.interval, rule.quantile) == (None, None, 1)
    assert CandidateRule().share is None


def test_all_right_and_all_wrong() -> None:
    """A model that is always right shows two all the same; one that is always last shows five and holds none."""
    rows = np.tile([0.5, 0.2, 0.1, 0.08, 0.06, 0.05, 0.01], (30, 1))
    right = candidate_rule(rows, np.zeros(30, np.int64))
    assert right.shown(rows[:1]) == [[0, 1]]
    assert (right.share, right.interval) == (1.0, clopper_pearson(30, 30))
    wrong = candidate_rule(rows, np.full(30, 6))
    assert wrong.shown(rows[:1]) == [[0, 1, 2, 3, 4]]
    assert wrong.share == 0


def test_json_keeps_it() -> None:
    """Its fields are numbers."""
    rule = candidate_rule(*world(50, 6, 0))
    assert CandidateRule(**json.loads(json.dumps(asdict(rule), allow_nan=False))) == rule


@pytest.mark.parametrize(
    ("rows", "gold", "level"),
    [
        pytest.param(np.zeros((0, 3)), [], 0.9, id="no tickets"),
        pytest.param([[1.0]], [0], 0.9, id="one category"),
        pytest.param([[0.5, 0.4]], [0], 0.9, id="sum is not 1"),
        pytest.param([[math.nan, 1.0]], [0], 0.9, id="NaN"),
        pytest.param([[1.2, -0.2]], [0], 0.9, id="negative"),
        pytest.param([[0.5, 0.5]], [2], 0.9, id="a label outside"),
        pytest.param([[0.5, 0.5]], [0, 1], 0.9, id="lengths differ"),
        pytest.param([[0.5, 0.5]] * 30, [0] * 30, 0.0, id="level 0"),
        pytest.param([[0.5, 0.5]] * 30, [0] * 30, 1.0, id="level 1"),
        pytest.param([[0.5, 0.5]] * 3, [0] * 3, 1.0, id="level 1, few tickets"),
        pytest.param([[0.5, 0.5]] * 30, [0] * 30, math.nan, id="level NaN"),
    ],
)
def test_unusable_input_is_refused(rows: Any, gold: Any, level: float) -> None:
    """Before anything is shown to anybody."""
    with pytest.raises(InputError):
        candidate_rule(rows, gold, level=level)


def test_documented_examples_run() -> None:
    """Every example in a docstring gives what it says."""
    assert doctest.testmod(candidates).failed == 0
