"""The bet against the promise: it may be looked at any time, and so may the bound that goes with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage.errors import InputError
from llmtriage.probability.audit import Audit, _log_capital, audit_evidence, audit_limit, audits_needed
from llmtriage.probability.certificate import risk_limit


def paths(rate: float, *, runs: int, audits: int, seed: int) -> list[Audit]:
    """Audits of so many worlds with this error rate, promised at most 0.05."""
    wrong = np.random.default_rng(seed).random((runs, audits)) < rate
    return [Audit.of(row, alpha=0.05, delta=0.05) for row in wrong]


def test_what_the_bet_says() -> None:
    """Many errors raise its capital, none lower it."""
    assert math.exp(audit_evidence(6, 50, 0.05)) == pytest.approx(3.207137428, abs=5e-10)
    assert math.exp(audit_evidence(0, 100, 0.05)) == pytest.approx(0.056650578, abs=5e-10)
    assert audit_evidence(0, 0, 0.05) == pytest.approx(0.0)


def test_each_audit_is_a_fair_bet_at_alpha() -> None:
    """On average the capital stays as it is where each ticket is wrong with probability alpha, and gains nowhere below."""
    for errors, audits, alpha in ((0, 0, 0.05), (3, 20, 0.05), (7, 90, 0.02), (5, 9, 0.3)):
        right, wrong = (math.exp(audit_evidence(errors + one, audits + 1, alpha)) for one in (0, 1))
        before = math.exp(audit_evidence(errors, audits, alpha))
        assert alpha * wrong + (1 - alpha) * right == pytest.approx(before, rel=1e-12)
        assert 0.5 * alpha * wrong + (1 - 0.5 * alpha) * right < before


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_told() -> None:
    """At an error rate of alpha itself, looked at after every one of 3,000 audits; at twice the rate the alarm comes soon."""
    alarms = np.mean([one.state == "broken" for one in paths(0.05, runs=1_000, audits=3_000, seed=7)])
    assert 0.01 < alarms <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1_000)
    assert np.mean([one.state == "broken" for one in paths(0.10, runs=200, audits=1_000, seed=7)]) > 0.95
    assert np.mean([one.state == "broken" for one in paths(0.02, runs=200, audits=1_000, seed=7)]) <= 0.01


@pytest.mark.parametrize(("times", "median"), [(1.5, 590), (2, 150), (3, 45), (5, 15)])
def test_the_alarm_comes_the_sooner_the_more_is_wrong(times: float, median: float) -> None:
    """The median of 2,000 audits with so many times the errors promised."""
    errors = np.cumsum(np.random.default_rng(1).random((2_000, 1_500)) < times * 0.05, axis=1)
    audits = np.arange(1, 1_501)
    alarms = np.array([_log_capital(row, audits, 0.05) >= math.log(20) for row in errors])
    first = np.where(alarms.any(axis=1), alarms.argmax(axis=1) + 1, 10_000)
    assert np.median(first) == pytest.approx(median, rel=0.12)


def test_an_alarm_is_not_taken_back() -> None:
    """What comes later may be better, but the promise was broken: it speaks of all that is accepted."""
    early = [True] * 6 + [False] * 20
    assert Audit.of(early, alpha=0.05, delta=0.05).state == "broken"
    late = Audit.of(early + [False] * 500, alpha=0.05, delta=0.05)
    assert (late.state, late.errors, late.audits) == ("broken", 6, 526)
    assert audit_evidence(6, 526, 0.05) < 0 < late.peak


def test_before_enough_audits_nothing_is_said() -> None:
    """Even had none been wrong; an alarm may come at any time."""
    needed = audits_needed(0.05, 0.05)
    assert Audit.of([], alpha=0.05, delta=0.05).state == "early"
    assert Audit.of([False] * (needed - 1), alpha=0.05, delta=0.05).state == "early"
    enough = Audit.of([False] * needed, alpha=0.05, delta=0.05)
    assert (enough.state, enough.needed) == ("holds", needed)
    assert enough.limit <= 0.05 < audit_limit(0, needed - 1, 0.05)
    one_wrong = Audit.of([False] * needed + [True], alpha=0.05, delta=0.05)
    assert one_wrong.state == "open"
    assert one_wrong.limit > 0.05


@pytest.mark.slow
def test_the_bound_may_be_read_at_any_time() -> None:
    """Seldom is it ever below the true rate, though it is read after every twentieth of 600 audits."""
    wrong = np.random.default_rng(3).random((150, 600)) < 0.08
    errors = np.cumsum(wrong, axis=1)
    missed = [any(audit_limit(int(row[m - 1]), m, 0.1) < 0.08 for m in range(20, 601, 20)) for row in errors]
    assert np.mean(missed) <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 150)
    assert audit_limit(48, 600, 0.1) < 0.13


@given(audits=st.integers(0, 2_000), share=st.floats(0, 1), delta=st.sampled_from([0.01, 0.05, 0.1]))
def test_the_bound_lies_above_the_share_and_above_that_of_one_look(audits: int, share: float, delta: float) -> None:
    """It pays for being right at all times; one more error never lowers it, one more right answer never raises it."""
    errors = int(share * audits)
    found = audit_limit(errors, audits, delta)
    assert 0 < found <= 1
    assert found >= errors / max(audits, 1)
    assert audits == 0 or found >= risk_limit(errors, audits, delta)
    assert audit_limit(errors + 1, audits + 1, delta) >= found >= audit_limit(errors, audits + 1, delta)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: audit_evidence(3, 2, 0.05), "3 errors among 2"),
        (lambda: audit_limit(3, 2, 0.05), "3 errors among 2"),
        (lambda: audit_limit(1, 2, 0.0), "delta is 0"),
        (lambda: audits_needed(0.7, 0.1), "alpha is 0.7"),
        (lambda: Audit.of([0, 2], alpha=0.1, delta=0.1), "neither 0 nor 1"),
        (lambda: Audit.of([0, 1], alpha=0.1, delta=0.9), "delta is 0.9"),
    ],
)
def test_what_is_out_of_range_is_told(call: Any, message: str) -> None:
    """In one line."""
    with pytest.raises(InputError, match=message):
        call()
