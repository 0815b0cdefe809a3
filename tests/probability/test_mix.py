"""The mix of new tickets: worked examples, laws of expectation maximisation, refusals."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability.worked import TWELVE_ROWS as ROWS

from llmtriage.errors import InputError
from llmtriage.probability import mix
from llmtriage.probability.metrics import log_loss
from llmtriage.probability.mix import corrected, estimated_mix, reference_mix

UNIFORM = np.full(3, 1 / 3)


@pytest.mark.parametrize(
    ("pseudo_tickets", "expected"), [(0, [0.40774168, 0.59225832, 0]), (12, [0.36595311, 0.39308761, 0.24095929])]
)
def test_worked_example(pseudo_tickets: float, expected: list[float]) -> None:
    """Without pseudo-tickets the third category vanishes though a quarter of the tickets are of it."""
    assert estimated_mix(ROWS, UNIFORM, pseudo_tickets=pseudo_tickets) == pytest.approx(np.array(expected), abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 40), st.sampled_from([0.0, 1.0, 200.0]), st.integers(0, 999))
def test_laws(k: int, m: int, pseudo_tickets: float, seed: int) -> None:
    """A mix; one that no step changes; at least as likely as the reference; the order of tickets does not matter."""
    rng = np.random.default_rng(seed)
    rows, reference = rng.dirichlet(np.ones(k), m), rng.dirichlet(np.full(k, 5.0))
    found = estimated_mix(rows, reference, pseudo_tickets=pseudo_tickets)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    step = (corrected(rows, reference, found).sum(axis=0) + pseudo_tickets * reference) / (m + pseudo_tickets)
    assert step == pytest.approx(found, abs=1e-6)
    if not pseudo_tickets:
        assert np.log(rows @ (found / reference)).sum() >= -1e-9
    assert estimated_mix(rng.permutation(rows), reference, pseudo_tickets=pseudo_tickets) == pytest.approx(found, abs=1e-9)


def test_a_moved_mix_is_found_and_helps() -> None:
    """One category from a quarter to seven tenths, with 200 pseudo-tickets among 2,000; where nothing moved, little changes."""
    rng = np.random.default_rng(0)
    for truth, abs_error in ((np.array([0.7, 0.1, 0.1, 0.1]), 0.1), (np.full(4, 0.25), 0.03)):
        gold = rng.choice(4, 2_000, p=truth)
        logits = 2.0 * np.eye(4)[gold] + rng.normal(size=(2_000, 4))  # of equally frequent categories this is softmax(2 x)
        rows = np.exp(2 * logits) / np.exp(2 * logits).sum(axis=1, keepdims=True)
        found = estimated_mix(rows, np.full(4, 0.25))
        assert found == pytest.approx(truth, abs=abs_error)
        assert log_loss(corrected(rows, np.full(4, 0.25), found), gold) < log_loss(rows, gold) + 0.002


def test_pseudo_tickets_hold_it_at_the_reference() -> None:
    """The more, the nearer."""
    distances = [np.abs(estimated_mix(ROWS, UNIFORM, pseudo_tickets=many) - UNIFORM).sum() for many in (0, 12, 200, 1e9)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-6


def test_the_reference_is_the_mean_and_a_mix_that_has_not_moved_changes_nothing() -> None:
    """Also where it is far from uniform."""
    reference = reference_mix(ROWS)
    assert reference == pytest.approx(ROWS.mean(axis=0))
    assert corrected(ROWS, reference, reference) == pytest.approx(ROWS)
    assert corrected([[0.5, 0.5]], [0.5, 0.5], [0.9, 0.1]) == pytest.approx(np.array([[0.9, 0.1]]))


def test_what_is_given_is_neither_changed_nor_given_back() -> None:
    """Also where the mix has not moved."""
    rows, reference = np.array([[0.5, 0.5], [0.25, 0.75], [0.75, 0.25]]), np.array([0.5, 0.5])
    before = rows.copy()
    mix = estimated_mix(rows, reference)
    after = corrected(rows, reference, mix)
    assert not np.shares_memory(mix, reference)
    assert not np.shares_memory(after, rows)
    assert rows.tolist() == before.tolist()
    assert reference.tolist() == [0.5, 0.5]


def test_one_ticket_moves_little() -> None:
    """Of 201."""
    assert estimated_mix([[1.0, 0.0]], [0.5, 0.5]) == pytest.approx(np.array([101, 100]) / 201)


@pytest.mark.parametrize(
    ("rows", "reference", "pseudo_tickets"),
    [
        pytest.param(np.zeros((0, 3)), UNIFORM, 0, id="no tickets"),
        pytest.param([[1.0]], [1.0], 0, id="one category"),
        pytest.param([[0.5, 0.4]], [0.5, 0.5], 0, id="sum is not 1"),
        pytest.param([[math.nan, 1.0]], [0.5, 0.5], 0, id="NaN"),
        pytest.param([[0.5, 0.5]], UNIFORM, 0, id="a reference of other categories"),
        pytest.param([[0.5, 0.5]], [1.0, 0.0], 0, id="a reference without a category"),
        pytest.param([[0.5, 0.5]], [0.5, 0.6], 0, id="a reference that is no mix"),
        pytest.param([[0.5, 0.5]], [0.5, 0.5], -1, id="negative pseudo-tickets"),
        pytest.param([[0.5, 0.5]], [0.5, 0.5], math.nan, id="pseudo-tickets NaN"),
        pytest.param([[0.5, 0.5]], [0.5, 0.5], math.inf, id="infinite pseudo-tickets"),
    ],
)
def test_unusable_input_is_refused(rows: Any, reference: Any, pseudo_tickets: float) -> None:
    """Never a silent number."""
    with pytest.raises(InputError):
        estimated_mix(rows, reference, pseudo_tickets=pseudo_tickets)


def test_a_ticket_that_the_mix_rules_out_is_an_error() -> None:
    """It would be 0 over 0."""
    with pytest.raises(InputError, match="more pseudo-tickets"):
        corrected([[1.0, 0.0]], [0.5, 0.5], [0.0, 1.0])


def test_documented_examples_run() -> None:
    """Every example in a docstring gives what it says."""
    assert doctest.testmod(mix).failed == 0
