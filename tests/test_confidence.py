"""The confidence that is shown: truer than the calibrator's own number, and it changes nobody who is accepted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from labelled import LEAVES, SHOP, classified, made, sample, triage, usual

from llmtriage import Accepted, Pending, Ticket
from llmtriage.calibrating import calibrate
from llmtriage.calibrating.labelled import offered
from llmtriage.calibration import Calibration
from llmtriage.errors import InputError
from llmtriage.evaluation import Judged, evaluate
from llmtriage.evaluation.curves import measured_curves
from llmtriage.predictions import Prediction, Question, Scores, SingleLabel
from llmtriage.probability.metrics import ece_check
from llmtriage.routing import Router
from llmtriage.taxonomy import digest
from llmtriage.testing import ScriptedBackend


def confidences(outcomes: list[Accepted | Pending]) -> np.ndarray:
    """Of all, which have one."""
    return np.array([outcome.confidence for outcome in outcomes], np.float64)


def routed_by(calibration: Calibration, rows: list[tuple[Ticket, str]], **options: Any) -> list[Accepted | Pending]:
    """The tickets under a calibration."""
    return list(triage(calibration=calibration, **options).classify_many([ticket for ticket, _ in rows]))


def without_offer(calibration: Calibration) -> Calibration:
    """The same, but the calibrator's own number is shown."""
    return calibration.model_copy(update={"offer": None})


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["leaf", "department"])
def test_what_is_shown_changes_nobody_who_is_accepted(answer: Any) -> None:
    """Nor what is offered, nor the order of the tickets, nor that of the candidates."""
    known = made(answer=answer).calibration
    assert known is not None
    assert known.offer is not None
    fresh = sample(600, seed=5)
    shown, own = routed_by(known, fresh), routed_by(without_offer(known), fresh)
    assert {type(outcome) for outcome in shown} == {Accepted, Pending}
    assert [type(outcome) for outcome in shown] == [type(outcome) for outcome in own]
    assert [offered(outcome) for outcome in shown] == [offered(outcome) for outcome in own]
    before, after = confidences(own), confidences(shown)
    assert np.abs(after - before).max() > 0.002
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= -1e-12).all()
    ranked = [[[one.category for one in outcome.candidates] for outcome in outcomes] for outcomes in (shown, own)]
    assert ranked[0] == ranked[1]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(1e-3, 50), min_size=2, max_size=2),
    st.floats(-60, 60),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.floats(0, 1),
)
@example([1.0, 1.0], 1.0, [0.0], 0.0)  # ties, and a product that rounds up
def test_no_step_however_steep_moves_anybody(weights: list[float], offset: float, numbers: list[float], threshold: float) -> None:
    """Not where all are shown alike, at 0 and at 1, and not by the last digits: the number of the calibrator decides."""
    known = usual().calibration
    assert known is not None
    (promise,) = known.promises
    offer = {"method": "beta-narrow", "tickets": 1, "weights": weights, "offset": offset}
    changed = {"offer": offer, "promises": (promise.model_copy(update={"threshold": threshold}),)}
    plain, steep = (
        Router(SHOP, None, as_told(known.model_copy(update=change))) for change in (changed | {"offer": None}, changed)
    )
    for number in [*numbers, threshold, 0.0, 1.0]:
        values = np.log(np.maximum([number, *[(1 - number) / 3] * 3], 1e-300))
        answer = Prediction(answer=Scores(values=values), source="logprobs", model="m")
        one, other = (router.route(Ticket(content="a text"), "a text", answer) for router in (plain, steep))
        assert type(one) is type(other)
        assert offered(one) == offered(other)
        shown = [candidate.score or 0.0 for candidate in other.candidates]
        assert other.confidence is not None
        assert shown[0] == other.confidence
        assert shown == sorted(shown, reverse=True)
        assert 0 <= sum(shown) <= 1 + 1e-9
    ordered = [steep.calibration.shown(number) for number in sorted([*numbers, 0.0, 1.0])] if steep.calibration else []
    assert (np.diff(ordered) >= -1e-12).all()


def as_told(calibration: Calibration) -> Calibration:
    """With a calibrator that changes nothing."""
    same = {"method": "temperature", "tickets": 50, "log_slope": 0.0, "bias": [0.0] * len(LEAVES), "matrix": None}
    return calibration.model_copy(update={"calibrator": same})


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["leaf", "department"])
def test_the_numbers_of_candidates_go_with_the_confidence(answer: Any) -> None:
    """No leaf has more than the confidence in its department; what does not belong to the answer has no more than the rest."""
    known = made(answer=answer).calibration
    assert known is not None
    for outcome in routed_by(known, sample(200, seed=6)):
        assert outcome.confidence is not None
        inside = [one.score or 0.0 for one in outcome.candidates if offered(outcome) in {n.id for n in SHOP.path(one.category)}]
        beside = [one.score or 0.0 for one in outcome.candidates][len(inside) :]
        assert sum(inside) <= outcome.confidence + 1e-9
        assert sum(beside) <= 1 - outcome.confidence + 1e-9


def test_a_threshold_is_told_in_the_numbers_that_are_shown() -> None:
    """In reasons, and in what is evaluated."""
    known = usual().calibration
    assert known is not None
    least, own = known.least_confidence("refund"), known.threshold("refund")
    assert least is not None
    assert own is not None
    assert least == known.shown(own) != own
    rows = sample(300, seed=7)
    outcomes = routed_by(known, rows)
    waiting = [outcome for outcome in outcomes if isinstance(outcome, Pending)]
    assert waiting
    details = [reason.detail for outcome in waiting for reason in outcome.reasons if reason.code == "below_threshold"]
    assert details == [f"{outcome.confidence:.2f} < {least:g}" for outcome in waiting]
    assert all((outcome.confidence or 0) >= least for outcome in outcomes if isinstance(outcome, Accepted))
    judged = [Judged(gold=gold, outcome=outcome, text="") for (_, gold), outcome in zip(rows, outcomes, strict=True)]
    assert evaluate(judged, SHOP, calibration=known).settings["threshold"] == round(least, 6)
    limits = (without_offer(known).least_confidence("refund"), as_told(known).model_copy(update={"promises": ()}))
    assert limits[0] == own
    assert limits[1].least_confidence("refund") == -math.inf
    assert known.least_confidence("sales") is None


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["leaf", "department"])
def test_figures_are_about_what_is_offered(answer: Any) -> None:
    """Under a calibration for departments, the department and its confidence."""
    known = made(answer=answer).calibration
    assert known is not None
    rows = sample(300, seed=8)
    outcomes = routed_by(known, rows)
    judged = [Judged(gold=gold, outcome=outcome, text="") for (_, gold), outcome in zip(rows, outcomes, strict=True)]
    report = evaluate(judged, SHOP, calibration=known)
    right = [offered(outcome) in {node.id for node in SHOP.path(gold)} for (_, gold), outcome in zip(rows, outcomes, strict=True)]
    assert report.top_brier == pytest.approx(np.mean((confidences(outcomes) - right) ** 2))
    assert (report.accuracy == pytest.approx(np.mean(right))) == (answer == "leaf")
    told = measured_curves(judged, SHOP, report, calibration=known).told
    assert told.confidence.tolist() == confidences(outcomes).tolist()
    assert told.right.tolist() == right


@pytest.mark.slow
def test_confidence_counts_the_tickets_that_belong_nowhere() -> None:
    """The calibrator cannot learn from them, for they have no category; what is shown does."""
    rows = [(ticket, "nowhere" if number % 4 == 0 else gold) for number, (ticket, gold) in enumerate(sample(800))]
    found = made(rows=rows, alpha=0.4, none_label="nowhere")
    assert found.calibration is not None
    fresh = [(ticket, "nowhere" if number % 4 == 0 else gold) for number, (ticket, gold) in enumerate(sample(1000, seed=1))]
    outcomes = routed_by(found.calibration, fresh)
    right = np.mean([offered(outcome) == gold for outcome, (_, gold) in zip(outcomes, fresh, strict=True)])
    assert abs(confidences(outcomes).mean() - right) < 0.04
    assert confidences(routed_by(without_offer(found.calibration), fresh)).mean() - right > 0.1


@pytest.mark.slow
def test_confidence_is_true_more_often_than_the_calibrators_own_number() -> None:
    """Of 8 samples of 300 labels: how often the error on other tickets is what chance alone makes."""
    agree = {"shown": 0, "own": 0}
    for draw in range(8):
        known = made(300, rows=sample(300, seed=draw), alpha=0.4).calibration
        assert known is not None
        fresh = sample(1000, seed=100 + draw)
        for name, calibration in (("shown", known), ("own", without_offer(known))):
            outcomes = routed_by(calibration, fresh)
            right = [offered(outcome) == gold for outcome, (_, gold) in zip(outcomes, fresh, strict=True)]
            agree[name] += ece_check(confidences(outcomes), right).verdict == "agrees"
    assert agree["shown"] >= 6
    assert agree["own"] <= 3


def test_a_model_with_one_number_needs_no_second_step() -> None:
    """Its calibrator was fitted on all labels, on whether the answer is right."""

    def says(question: Question) -> Prediction:
        name, share = question.text.split()[:2]
        return Prediction(answer=SingleLabel(category=name, score=float(share)), source="verbalized", model="m")

    sorter = triage(backend=ScriptedBackend(says))
    found = calibrate(sorter, classified(sorter, sample(300)), alpha=0.4)
    assert found.calibration is not None
    assert found.calibration.offer is None
    assert found.calibration.shown(0.7) == 0.7


def changed(path: Path, **parts: Any) -> Path:
    """A sealed file with other parts; None: without that part."""
    known = usual().calibration
    assert known is not None
    known.save(path)
    data = {**json.loads(path.read_text(encoding="utf-8")), **parts}
    data = {name: part for name, part in data.items() if name != "seal" and part is not None}
    path.write_text(json.dumps({**data, "seal": digest(data)}, ensure_ascii=False), encoding="utf-8")
    return path


def test_a_file_of_before_shows_the_calibrators_own_number(tmp_path: Path) -> None:
    """It has no such part, and holds as it did."""
    found, known = Calibration.load(changed(tmp_path / "old.json", offer=None)), usual().calibration
    assert known is not None
    fresh = sample(50, seed=9)
    assert confidences(routed_by(found, fresh)).tolist() == confidences(routed_by(without_offer(known), fresh)).tolist()


def test_a_copy_forgets_what_was_worked_out_from_the_old_parts() -> None:
    """Else a changed calibration would go on routing by the old one."""
    known = usual().calibration
    assert known is not None
    hashes = {known.hash, without_offer(known).hash}
    assert len(hashes) == 2
    assert known.fitted_offer is not None
    assert without_offer(known).fitted_offer is None


@pytest.mark.parametrize(
    "offer",
    [
        {"method": "beta-narrow", "tickets": 9, "weights": [-1.0, 1.0], "offset": 0.0},
        {"method": "beta-narrow", "tickets": 9, "weights": [1.0, 1.0]},
        {"method": "temperature", "tickets": 9, "log_slope": 0.0, "bias": [0.0, 0.0], "matrix": None},
        {},
    ],
)
def test_a_sealed_file_whose_step_does_not_rise_is_refused(tmp_path: Path, offer: dict[str, Any]) -> None:
    """Somebody made a new seal."""
    with pytest.raises(InputError, match="a part of it cannot be read; calibrate anew"):
        Calibration.load(changed(tmp_path / "calibration.json", offer=offer))
