"""Judged tickets to what the plots are drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation.paged import calibrated, case, cases, drawn, promise, tree, usual

from llmtriage.evaluation.curves import Decision, measured_curves
from llmtriage.probability import metrics
from llmtriage.probability.certificate import Boundary


@pytest.mark.slow
def test_the_curves_are_those_of_the_figures() -> None:
    """The same tickets stand behind ECE and AURC."""
    found = cases()["no calibration"]
    told = found.curves.told
    assert found.report.ece == pytest.approx(metrics.ece(told.confidence, told.right))
    assert found.report.n_confidence == len(told.confidence)
    assert found.curves.wrong == sum(not right for right in told.right)


def test_tickets_that_a_rule_holds_are_never_offered() -> None:
    """Every ninth is held; the others may be routed, right ones as often as the report says."""
    found = usual()
    assert found.curves.held == 34
    assert len(found.curves.offered.confidence) == 300 - 34
    taken = found.curves.offered.confidence >= 0.9
    accepted = found.report.accepted
    assert (int(taken.sum()), int((~found.curves.offered.right[taken]).sum())) == (accepted.n, accepted.errors)
    assert found.curves.routed is not None
    assert (found.curves.routed.share, found.curves.routed.error) == (accepted.share, accepted.error)


def test_without_numbers_or_answers_there_is_nothing_to_draw() -> None:
    """No curve, and every ticket is held."""
    for name in ("no numbers", "no answers"):
        found = cases()[name]
        assert not len(found.curves.told.confidence)
        assert not len(found.curves.offered.confidence)
        assert found.curves.held == found.report.n
        assert found.curves.routed is None


def test_a_ticket_that_belongs_nowhere_is_an_error_in_the_curves() -> None:
    """Whatever is offered for it."""
    leaves = tree(3)
    judged = drawn(40, leaves, calibrated=True)
    nowhere = [type(one)(gold="nowhere", outcome=one.outcome, text=one.text) for one in judged]
    report = case(judged, leaves).report
    found = measured_curves(nowhere, leaves, report, none_label="nowhere")
    assert not found.offered.right.any()
    assert not found.told.right.any()


def test_a_decision_is_told_by_its_walk_and_its_boundary() -> None:
    """The walk counts errors, the boundary says how many are tolerated, and the promise was made within both."""
    certificate = promise()
    [decision] = measured_curves(
        drawn(9, tree(3)), tree(3), case(drawn(9, tree(3)), tree(3)).report, calibration=calibrated(("other", certificate))
    ).decisions
    (taken, errors), (need, tolerated) = decision.walk, decision.boundary
    for k in range(1, taken[-1]):
        met = sum(place <= k for place in certificate.wrong_at)
        assert errors[int(np.searchsorted(taken[:-1], k, side="right")) - 1] == met
        allowed = [most for place, most in zip(need, tolerated, strict=True) if place <= k]
        assert (max(allowed) if allowed else -1) == certificate.boundary.tolerated(k)
    assert decision.tolerated == certificate.boundary.tolerated(certificate.accepted) >= decision.errors
    assert (decision.alpha, decision.about) == (certificate.alpha, ())


def test_a_walk_ends_where_it_is_not_known_further() -> None:
    """With the last error that was kept, or the last ticket that is accepted."""
    facts = {"alpha": 0.1, "delta": 0.1, "n": 100, "accepted": 40, "errors": 0, "need": (31, 48)}
    assert Decision(**facts, wrong_at=(50, 60, 70)).walk == ([0, 50, 60, 70, 70], [0, 1, 2, 3, 3])  # type: ignore[arg-type]
    assert Decision(**facts, wrong_at=()).walk == ([0, 40], [0, 0])  # type: ignore[arg-type]
    assert Decision(**facts, wrong_at=(7,)).walk == ([0, 7, 40], [0, 1, 1])  # type: ignore[arg-type]
    assert Decision(**facts, wrong_at=(50,)).walk == ([0, 50, 50], [0, 1, 1])  # type: ignore[arg-type]


def test_a_threshold_that_was_fixed_beforehand_has_no_boundary() -> None:
    """There was nothing to search."""
    decision = Decision(alpha=0.1, delta=0.1, n=100, accepted=40, errors=1, need=(), wrong_at=(7,))
    assert decision.boundary == ([], [])
    assert decision.tolerated is None
    assert Boundary((), 0.0).tolerated(40) == -1


def test_of_several_promises_each_names_its_answers() -> None:
    """One alone is about everything."""
    assert [decision.about for decision in cases()["77 categories"].curves.decisions] == [
        ("category_0", "category_1"),
        ("other",),
    ]
