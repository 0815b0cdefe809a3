"""From labelled tickets to a calibration file, and tickets routed under it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled import LEAVES, SHOP, classified, made, sample, told, triage, usual

from llmtriage import Accepted, Pending, Taxonomy, Ticket
from llmtriage.calibrating import calibrate, calibrate_budget, calibrate_plan, in_words, parts, plan, scored
from llmtriage.calibrating.fitting import fitted_part
from llmtriage.calibration import Calibration
from llmtriage.errors import CalibrationError, InputError
from llmtriage.predictions import Example, Failure, Prediction, Question, SingleLabel
from llmtriage.prepare import Preparation
from llmtriage.probability.certificate import delta_of_look, risk_limit
from llmtriage.routing import Policy, Router
from llmtriage.taxonomy import digest
from llmtriage.testing import ScriptedBackend

# -- what comes out --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_promise_is_found_and_kept_on_other_tickets() -> None:
    """Confidence becomes true, the error rate among the accepted stays below alpha, and some are accepted."""
    found = usual()
    assert found.calibration is not None
    router = triage(calibration=found.calibration)
    fresh = sample(4000, seed=1)
    outcomes = list(router.classify_many([ticket for ticket, _ in fresh]))
    accepted = [(outcome, gold) for outcome, (_, gold) in zip(outcomes, fresh, strict=True) if isinstance(outcome, Accepted)]
    assert len(accepted) > 200
    assert np.mean([outcome.category != gold for outcome, gold in accepted]) <= 0.1
    sure = np.array([outcome.confidence for outcome in outcomes])
    right = [outcome.candidates[0].category == gold for outcome, (_, gold) in zip(outcomes, fresh, strict=True)]
    assert abs(sure.mean() - np.mean(right)) < 0.04
    raw = np.array([outcome.score for outcome in outcomes])
    assert raw.mean() - np.mean(right) > 0.07  # it was too sure before


@pytest.mark.slow
def test_the_evidence_stands_in_the_file() -> None:
    """Numbers that follow from the boundary, and the same sentence for people."""
    found = usual()
    assert found.calibration is not None
    (promise,), labels = found.calibration.promises, found.calibration.labels
    assert promise.categories == LEAVES
    assert labels.n == 800
    assert labels.fitted + labels.certified == 800
    assert promise.n == labels.certified
    assert promise.errors <= sum(step <= promise.accepted for step in promise.need) - 1
    assert promise.crossing <= 0.1
    share = f"{promise.accepted / promise.n:.0%}"
    words = f"accepts {share} of tickets; error among them at most 10% with 90% confidence; {promise.errors} errors among the {promise.accepted}"
    assert found.calibration.words.startswith(words)
    assert in_words(found, language="zh").startswith(f"自动接受 {share} 的工单；其中错误至多 10%，把握 90%")


def test_the_sentence_claims_no_more_confidence_than_there_is() -> None:
    """Looks leave odd parts of delta; 99.6 % is not all."""
    said = {look: in_words(replace(usual(), delta=delta_of_look(0.1, look))) for look in (None, 1, 4)}
    assert [f"with {sure} confidence" in said[look] for look, sure in ((None, "90%"), (1, "93.92%"), (4, "99.62%"))] == [True] * 3
    assert "99.99% confidence" in in_words(replace(usual(), delta=1e-6))


@pytest.mark.slow
def test_a_model_without_power_gets_no_promise() -> None:
    """Right one time in three, however sure it is."""
    found = made(rows=sample(800, right=lambda _: 0.33))
    assert (found.calibration, found.wanted) == (None, None)
    assert not found.certificate.holds


@pytest.mark.slow
def test_too_few_labels_say_how_many_are_wanted() -> None:
    """And somewhat more are enough."""
    found = made(80)
    assert found.calibration is None
    assert found.wanted is not None
    assert 150 <= found.wanted <= 2000
    assert made(found.wanted).calibration is not None


@pytest.mark.slow
def test_all_right_and_all_wrong() -> None:
    """Everything is accepted; nothing is."""
    found = made(300, rows=sample(300, right=lambda _: 1.1))
    assert found.calibration is not None
    assert found.calibration.promises[0].threshold is None
    assert made(300, rows=sample(300, right=lambda _: -1)).calibration is None


@pytest.mark.slow
def test_departments_are_an_answer_of_their_own() -> None:
    """Fixed beforehand: what is offered is the department, and its leaves count as right."""
    rows = [(ticket, "parcel" if gold == "refund" else gold) for ticket, gold in sample(800, right=lambda share: share)]
    leaf, department = made(rows=rows), made(rows=rows, answer="department")
    assert department.certificate.accepted > leaf.certificate.accepted
    outcome = triage(calibration=department.calibration).classify("refund 0.99 please")
    assert isinstance(outcome, Accepted)
    assert (outcome.category, outcome.team) == ("sales", "sales")
    alone = triage(calibration=department.calibration).classify("login 0.99 please")
    assert alone.candidates[0].category == "login"
    assert getattr(alone, "category", None) in ("login", None)


def strict(**limits: float) -> Taxonomy:
    """The shop with limits of some categories' own."""
    data = SHOP.model_dump(mode="json")
    for node in (*data["categories"], *data["categories"][0]["children"]):
        node["max_error"] = limits.get(node["id"])
    return Taxonomy.model_validate(data)


@pytest.mark.slow
def test_a_category_with_a_limit_of_its_own_has_a_promise_of_its_own() -> None:
    """Looser than the others' here, and delta is shared so that both hold together."""
    sorter = triage(taxonomy=strict(login=0.3))
    found = calibrate(sorter, classified(sorter, sample(1600)), alpha=0.1)
    assert found.calibration is not None
    others, login = found.calibration.promises
    assert (others.categories, login.categories) == (("refund", "parcel", "other"), ("login",))
    assert (others.alpha, login.alpha) == (0.1, 0.3)
    assert others.delta == login.delta == pytest.approx(1 - math.sqrt(0.9))
    assert found.calibration.threshold("login") < found.calibration.threshold("parcel")  # type: ignore[operator]
    words = found.calibration.words
    assert "with 90% confidence in all of this: other answers: " in words
    assert f"login: {login.accepted / login.n:.0%}, error at most 30%, {login.errors} errors among the {login.accepted}" in words
    after = triage(taxonomy=sorter.taxonomy, calibration=found.calibration)
    fresh = sample(4000, seed=1)
    outcomes = list(after.classify_many([ticket for ticket, _ in fresh]))
    wrong = {True: [0, 0], False: [0, 0]}
    for outcome, (_, gold) in zip(outcomes, fresh, strict=True):
        if isinstance(outcome, Accepted):
            wrong[outcome.category == "login"][outcome.category != gold] += 1
    assert wrong[True][1] / sum(wrong[True]) <= 0.3
    assert wrong[False][1] / sum(wrong[False]) <= 0.1
    assert wrong[True][1] / sum(wrong[True]) > 0.1  # it uses what it may


@pytest.mark.slow
def test_a_limit_that_cannot_be_promised_leaves_its_category_to_people() -> None:
    """The others have their promise; delta is not shared with what cannot be promised at all."""
    sorter = triage(taxonomy=strict(login=0.0001))
    found = calibrate(sorter, classified(sorter, sample(800)), alpha=0.1)
    assert found.calibration is not None
    (others,) = found.calibration.promises
    assert others.delta == 0.1
    assert "login: none, for an error of at most 0.01%" in found.calibration.words
    after = triage(taxonomy=sorter.taxonomy, calibration=found.calibration)
    outcomes = [after.classify(ticket) for ticket, _ in sample(200, seed=2)]
    held = [outcome for outcome in outcomes if isinstance(outcome, Pending) and outcome.suggestion == "login"]
    assert {reason.code for outcome in held for reason in outcome.reasons} == {"no_promise"}
    assert not any(isinstance(outcome, Accepted) and outcome.category == "login" for outcome in outcomes)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, {"sales": None, "refund": None}),
        ({"sales": 0.02}, {"sales": 0.02, "refund": 0.02, "login": None}),
        ({"sales": 0.02, "refund": 0.2}, {"sales": 0.02, "refund": 0.2, "parcel": 0.02}),
        ({"sales": 0.2, "refund": 0.02}, {"sales": 0.02, "refund": 0.02, "parcel": 0.2}),
        ({"refund": 0.02}, {"sales": 0.02, "refund": 0.02, "parcel": None}),
    ],
)
def test_a_limit_is_inherited_and_a_department_is_as_strict_as_its_strictest_leaf(
    limits: dict[str, float], expected: dict[str, float | None]
) -> None:
    """The nearest one above counts; a department stands for all below it."""
    taxonomy = strict(**limits)
    assert {name: taxonomy.max_error(name) for name in expected} == expected


@pytest.mark.slow
def test_tickets_that_belong_nowhere_are_errors_of_the_promise() -> None:
    """One in eight belongs nowhere, however sure the engine is: less is accepted, and the limit holds on others."""
    open_shop = Taxonomy.model_validate({"categories": [{"id": leaf} for leaf in LEAVES[:3]]})

    def says(question: Question) -> dict[str, float]:
        name, share = question.text.split()[:2]
        return {leaf: float(share) if leaf == name else (1 - float(share)) / 2 for leaf in LEAVES[:3]}

    def with_outside(n: int, seed: int) -> list[tuple[Ticket, str]]:
        rows = sample(n, right=lambda share: share, seed=seed)
        return [(ticket, "oos" if number % 8 == 0 or gold == "other" else gold) for number, (ticket, gold) in enumerate(rows)]

    sorter = triage(taxonomy=open_shop, backend=ScriptedBackend(says))
    rows = classified(sorter, with_outside(1200, 0))
    found = calibrate(sorter, rows, alpha=0.2, none_label="oos")
    assert found.calibration is not None
    assert found.labels.outside > 100
    after = triage(taxonomy=open_shop, backend=ScriptedBackend(says), calibration=found.calibration)
    fresh = with_outside(4000, 1)
    outcomes = list(after.classify_many([ticket for ticket, _ in fresh]))
    accepted = [(one.category, gold) for one, (_, gold) in zip(outcomes, fresh, strict=True) if isinstance(one, Accepted)]
    assert np.mean([category != gold for category, gold in accepted]) <= 0.2
    assert any(gold == "oos" for _, gold in accepted)
    with pytest.raises(InputError, match="unknown category 'oos'"):
        calibrate(sorter, rows, alpha=0.2)
    with pytest.raises(InputError, match="every labelled ticket belongs to none of the categories"):
        calibrate(sorter, [replace(row, gold="oos") for row in rows], alpha=0.2, none_label="oos")


@pytest.mark.slow
def test_a_review_budget_says_what_the_others_cost() -> None:
    """People read 40 of 100; what is accepted is wrong in no more than is said, in nine samples of ten."""
    sorter = triage()
    outcomes = [(row.ticket, row.outcome) for row in classified(sorter, sample(2000, seed=7))]
    found = calibrate_budget(sorter, classified(sorter, sample(800)), outcomes, review=0.4)
    assert found.calibration is not None
    (promise,) = found.calibration.promises
    assert promise.alpha == math.ceil(1000 * risk_limit(promise.errors, promise.accepted, 0.1)) / 1000
    assert (promise.need, promise.delta) == ((), 0.1)
    after = triage(calibration=found.calibration)
    fresh = sample(4000, seed=1)
    outcomes_after = list(after.classify_many([ticket for ticket, _ in fresh]))
    accepted = [(one, gold) for one, (_, gold) in zip(outcomes_after, fresh, strict=True) if isinstance(one, Accepted)]
    assert abs(len(accepted) / len(fresh) - 0.6) < 0.03
    assert np.mean([one.category != gold for one, gold in accepted]) <= promise.alpha


@pytest.mark.slow
def test_a_budget_that_cannot_be() -> None:
    """Over half wrong; labelled texts are no unlabelled ones; a limit of a category's own; gates that take more."""
    sorter = triage()
    rows = classified(sorter, sample(300))
    outcomes = [(row.ticket, row.outcome) for row in classified(sorter, sample(500, seed=7))]
    wrong = classified(sorter, sample(300, right=lambda _: 0.2))
    assert calibrate_budget(sorter, wrong, outcomes, review=0.4).calibration is None
    with pytest.raises(InputError, match="no unlabelled ticket is left"):
        calibrate_budget(sorter, rows, [(row.ticket, row.outcome) for row in rows], review=0.4)
    with pytest.raises(InputError, match="'login' has a max_error"):
        calibrate_budget(triage(taxonomy=strict(login=0.1)), rows, outcomes, review=0.4)
    held = triage(policy=Policy(max_characters=1))
    with pytest.raises(InputError, match="gates and rules alone leave 100% of tickets to people, the budget is 40%"):
        calibrate_budget(held, rows, [(row.ticket, row.outcome) for row in classified(held, sample(50, seed=7))], review=0.4)


@pytest.mark.slow
def test_a_reviewer_is_shown_few_categories_that_hold_the_right_one() -> None:
    """As often as measured on labelled tickets that wait; of those to come too."""
    found = usual()
    assert found.calibration is not None
    rule = found.calibration.candidates
    assert rule.n > 100
    assert rule.share is not None
    assert rule.share >= 0.85
    after = triage(calibration=found.calibration)
    fresh = sample(4000, seed=3)
    waiting = [
        (outcome, gold)
        for outcome, (_, gold) in zip(after.classify_many([ticket for ticket, _ in fresh]), fresh, strict=True)
        if isinstance(outcome, Pending)
    ]
    sizes = {len(outcome.candidates) for outcome, _ in waiting}
    assert sizes <= {2, 3, 4}
    assert 2 in sizes
    held = np.mean([gold in [candidate.category for candidate in outcome.candidates] for outcome, gold in waiting])
    assert abs(held - rule.share) < 0.06
    best = [[candidate.score for candidate in outcome.candidates] for outcome, _ in waiting]
    assert all(scores == sorted(scores, reverse=True) for scores in best)  # type: ignore[type-var]


def test_candidates_go_through_the_file_unchanged(tmp_path: Path) -> None:
    """With what was measured about them."""
    found = usual().calibration
    assert found is not None
    found.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json").candidates == found.candidates


@pytest.mark.slow
def test_labels_drawn_among_the_surest_say_nothing_about_candidates() -> None:
    """Five are shown, and nothing is claimed."""
    sorter = triage()
    rows = classified(sorter, sample(400))
    outcomes = [(row.ticket, row.outcome) for row in classified(sorter, sample(3000, seed=5))]
    planned = plan(sorter, rows, outcomes, alpha=0.1)
    chosen = sample(3000, seed=5)
    found = calibrate_plan(sorter, planned.draft, classified(sorter, [chosen[place] for place in planned.pool[:400]]), alpha=0.1)
    assert found.calibration is not None
    assert found.calibration.candidates.share is None


@pytest.mark.slow
def test_what_a_plan_was_fitted_on_is_not_drawn_again() -> None:
    """The pilot comes from the tickets that are drawn from, as it mostly does."""
    sorter = triage()
    rows = classified(sorter, sample(900))
    planned = plan(sorter, rows[:300], [(row.ticket, row.outcome) for row in rows], alpha=0.1)
    assert planned.pool
    assert min(planned.pool) >= 300


@pytest.mark.slow
def test_a_form_letter_of_the_pilot_may_be_drawn_again() -> None:
    """One ticket in four is the very same text. Without it the sample would be about other tickets than those to come."""
    sorter = triage()
    letter = (Ticket(content="refund 0.99 please confirm your address"), "refund")
    rows = classified(sorter, [letter if place % 4 == 0 else pair for place, pair in enumerate(sample(1200))])
    everything = [(row.ticket, row.outcome) for row in rows]
    planned = plan(sorter, rows[:200], everything, alpha=0.3)
    drawn = [rows[place].ticket.content for place in planned.pool]
    assert abs(drawn.count(letter[0].content) / len(drawn) * planned.draft.reach - 0.25) < 0.06


def test_a_draft_routes_nothing() -> None:
    """It promises nothing, so nothing may be accepted under it."""
    sorter = triage()
    rows = classified(sorter, sample(400))
    draft = plan(sorter, rows, [(row.ticket, row.outcome) for row in classified(sorter, sample(600, seed=5))], alpha=0.1).draft
    with pytest.raises(InputError, match="promises nothing: a plan, not a calibration"):
        triage(calibration=draft)


NUMBERED = Taxonomy.model_validate({"categories": [{"id": f"c{number}"} for number in range(30)]})


def numbered(n: int, k: int, *, right: float = 0.95, seed: int = 0) -> list[tuple[Ticket, str]]:
    """Tickets of the first k of thirty categories."""
    rng = np.random.default_rng(seed)
    rows = []
    for ticket, _ in sample(n, seed=seed):
        said = int(rng.integers(k))
        gold = said if rng.random() < right else int(rng.integers(k))
        rows.append((Ticket(content=f"{said} {ticket.content}"), f"c{gold}"))
    return rows


def says_numbers(question: Question) -> dict[str, float]:
    """Sure of the number that the text begins with."""
    said = int(question.text.split()[0])
    return {f"c{number}": 0.9 if number == said else 0.1 / 29 for number in range(30)}


@pytest.mark.slow
def test_ten_categories_without_a_ticket_are_not_ruled_out() -> None:
    """A ticket of one of them still has a probability for it, and the others have their promise."""
    sorter = triage(taxonomy=NUMBERED, backend=ScriptedBackend(says_numbers))
    found = calibrate(sorter, classified(sorter, numbered(800, 20, right=1.0)), alpha=0.1)
    assert found.calibration is not None
    after = triage(taxonomy=NUMBERED, backend=ScriptedBackend(says_numbers), calibration=found.calibration)
    outcome = after.classify(Ticket(content="25 refund 0.9 something"))
    assert outcome.candidates[0].category == "c25"
    assert 0.1 < (outcome.confidence or 0) < 1


def test_fewer_labels_than_categories() -> None:
    """No promise, and how many are wanted; no number that is not finite."""
    sorter = triage(taxonomy=NUMBERED, backend=ScriptedBackend(says_numbers))
    found = calibrate(sorter, classified(sorter, numbered(20, 30)), alpha=0.1)
    assert found.calibration is None
    assert found.wanted is not None


def test_answers_that_are_all_alike_promise_nothing() -> None:
    """Ties everywhere: all tickets or none, and these are wrong too often."""
    sorter = triage(backend=ScriptedBackend(lambda _: dict.fromkeys(LEAVES, 0.25)))
    assert calibrate(sorter, classified(sorter, sample(400)), alpha=0.1).calibration is None


def test_one_category_is_nothing_to_choose_among() -> None:
    """One line."""
    sorter = triage(taxonomy=Taxonomy.from_labels(["refund"]), backend=ScriptedBackend(lambda _: {"refund": 1.0}))
    rows = [(ticket, "refund") for ticket, _ in sample(100)]
    with pytest.raises(InputError, match="fewer than two categories"):
        calibrate(sorter, classified(sorter, rows), alpha=0.1)


def test_the_file_of_examples_is_no_sample() -> None:
    """Every ticket of it is known to the engine."""
    rows = sample(100)
    sorter = triage(examples=[Example(text=ticket.content, category=gold) for ticket, gold in rows])
    with pytest.raises(InputError, match="no labelled ticket is left"):
        calibrate(sorter, classified(sorter, rows), alpha=0.1)


@pytest.mark.slow
def test_gates_come_before_the_promise() -> None:
    """A category that is always reviewed is never accepted, and its tickets are no evidence."""
    held = SHOP.model_copy(deep=True)
    data = held.model_dump(mode="json")
    data["categories"][1]["always_review"] = True
    sorter = triage(taxonomy=Taxonomy.model_validate(data))
    found = calibrate(sorter, classified(sorter, sample(800)), alpha=0.1)
    assert found.calibration is not None
    after = triage(taxonomy=sorter.taxonomy, calibration=found.calibration)
    outcomes = [after.classify(ticket) for ticket, _ in sample(300, seed=2)]
    assert "login" not in {outcome.category for outcome in outcomes if isinstance(outcome, Accepted)}
    assert any(isinstance(outcome, Accepted) for outcome in outcomes)


def test_single_labels_are_calibrated_by_their_own_number() -> None:
    """There the calibrator keeps the order, so all labels serve both ends."""

    def says(question: Question) -> Prediction:
        name, share = question.text.split()[:2]
        return Prediction(answer=SingleLabel(category=name, score=float(share)), source="verbalized", model="m")

    sorter = triage(backend=ScriptedBackend(says))
    found = calibrate(sorter, classified(sorter, sample(600)), alpha=0.1)
    assert found.calibration is not None
    assert (found.labels.fitted, found.labels.certified) == (600, 600)
    outcome = triage(backend=ScriptedBackend(says), calibration=found.calibration).classify("parcel 0.99 x")
    assert isinstance(outcome, Accepted)
    assert outcome.score == 0.99
    assert outcome.confidence is not None
    assert outcome.confidence < 0.99


@pytest.mark.slow
def test_a_ticket_without_an_answer_is_an_error_that_is_not_accepted() -> None:
    """Failures count among the labelled tickets."""

    def fails(question: Question) -> Any:
        return Failure(reason="timeout", detail="late") if "q" in question.text.split()[2] else told(question)

    sorter = triage(backend=ScriptedBackend(fails))
    rows = classified(sorter, sample(800))
    missing = [row for row in rows if row.outcome.prediction is None]
    assert len(missing) > 5
    found = calibrate(sorter, rows, alpha=0.1)
    assert found.calibration is not None
    score, loss = scored(Router(SHOP, None, found.calibration.model_copy(update={"promise": None})), missing)
    assert (score == -math.inf).all()
    assert (loss == 1).all()
    assert 800 - len(missing) <= found.labels.fitted + found.labels.certified < 800


def test_tickets_the_engine_knows_are_left_out() -> None:
    """They would flatter; case and blanks do not make another ticket."""
    rows = sample(400)
    examples = [Example(text=ticket.content.upper(), category=gold) for ticket, gold in rows[:30]]
    sorter = triage(examples=examples)
    found = calibrate(sorter, classified(sorter, rows), alpha=0.2)
    assert found.labels.left_out == 30
    assert found.labels.n == 400
    with pytest.raises(InputError, match="no labelled ticket is left"):
        calibrate(sorter, classified(sorter, rows[:30]), alpha=0.2)


def test_examples_of_the_taxonomy_are_left_out_too() -> None:
    """Engines learn from them, or are shown them."""
    rows = sample(400)
    data = SHOP.model_dump(mode="json")
    data["categories"][1]["examples"] = [ticket.content.upper() for ticket, _ in rows[:5]]
    sorter = triage(taxonomy=Taxonomy.model_validate(data))
    assert calibrate(sorter, classified(sorter, rows), alpha=0.2).labels.left_out == 5


def test_copies_stand_on_one_side() -> None:
    """What fits the calibrator is no copy of what carries the promise."""
    rows = classified(triage(), [pair for number, pair in enumerate(sample(260)) for _ in range(1 + (number < 40))])
    fitting, certifying = parts(rows, 0)
    assert {row.ticket.id for row in fitting}.isdisjoint({row.ticket.id for row in certifying})
    assert (len(rows), len(certifying)) == (300, 225)
    assert 50 <= len(fitting) < 75


def test_what_carries_the_promise_is_drawn_ticket_by_ticket() -> None:
    """One ticket in five is the same letter: the promise is never made on a sample without it."""
    letters = [(Ticket(content=f"refund 0.9 of order {number} as agreed, thank you very much"), "refund") for number in range(60)]
    rows = classified(triage(), [*letters, *sample(240)])
    held = [sum("as agreed" in row.outcome.text for row in parts(rows, seed)[1]) for seed in range(12)]
    assert min(held) >= 35
    assert max(held) <= 55
    assert abs(np.mean(held) - 45) < 4


def test_a_sample_of_copies_is_divided_all_the_same() -> None:
    """Two tickets of three differ in a number alone: without them too few would be left to fit on."""
    letters = [
        (Ticket(content=f"refund 0.9 of order {number} as agreed, thank you very much"), "refund") for number in range(200)
    ]
    rows = classified(triage(), [*letters, *sample(100)])
    fitting, certifying = parts(rows, 0)
    assert len(fitting) == 75
    assert len(certifying) == 225
    assert 30 < sum("as agreed" in row.outcome.text for row in fitting) < 65


@pytest.mark.parametrize(("n", "fitted"), [(1, 1), (2, 1), (60, 30), (150, 50), (1000, 250), (100_000, 1000)])
def test_how_many_fit_the_calibrator(n: int, fitted: int) -> None:
    """A quarter, at least 50 and at most 1,000; never more than half, but of a single one."""
    assert fitted_part(n) == fitted


def test_one_ticket_and_none() -> None:
    """Nothing can be divided."""
    with pytest.raises(InputError, match="too few labelled tickets"):
        made(1)
    with pytest.raises(InputError, match="no labelled ticket is left"):
        made(rows=[])
    assert made(2).calibration is None


@pytest.mark.parametrize(("alpha", "delta"), [(0.0, 0.1), (1.0, 0.1), (0.1, 0.0), (0.1, 1.0), (math.nan, 0.1)])
def test_levels_out_of_range(alpha: float, delta: float) -> None:
    """One line."""
    with pytest.raises(InputError, match=r"give a number above 0 and at most 0\.5"):
        made(100, alpha=alpha, delta=delta)
    with pytest.raises(InputError, match="no alpha"):
        made(100, alpha=())  # type: ignore[arg-type]


# -- the file --------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A calibration on disk."""
    path = tmp_path / "calibration.json"
    found = usual().calibration
    assert found is not None
    found.save(path)
    return path


def test_a_file_read_back_is_the_same(file: Path) -> None:
    """To the last bit: the same outcomes."""
    known, found = usual().calibration, Calibration.load(file)
    assert known == found
    texts = [ticket for ticket, _ in sample(50, seed=3)]
    one, other = (list(triage(calibration=given).classify_many(texts)) for given in (known, file))
    assert [outcome.confidence for outcome in one] == [outcome.confidence for outcome in other]
    assert [type(outcome) for outcome in one] == [type(outcome) for outcome in other]
    assert file.stat().st_size < 20_000


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text.replace('"errors": ', '"errors": 1'), "it was changed after it was made; calibrate anew"),
        (
            lambda text: text.replace('"words": ', '"words": "nobody errs", "words": '),
            "changed after it was made: a key stands twice",
        ),
        (lambda text: text[: len(text) // 2], "not whole: no JSON"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2 of the format, this llmtriage reads version 1"),
        (lambda _: "[]", "not a calibration; make one with llmtriage calibrate"),
        (lambda _: '{"format": "something else"}', "not a calibration"),
        (lambda _: "\x00\xff", "not whole: no JSON"),
    ],
)
def test_a_file_that_is_not_what_was_written(file: Path, damage: Callable[[str], str], says: str) -> None:
    """One line that names the file."""
    file.write_text(damage(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        Calibration.load(file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_sealed_file_with_parts_that_cannot_be(file: Path) -> None:
    """Somebody made a new seal."""
    data = json.loads(file.read_text(encoding="utf-8"))
    del data["seal"]
    data["calibrator"]["log_slope"] = "steep"
    file.write_text(json.dumps({**data, "seal": digest(data)}), encoding="utf-8")
    with pytest.raises(InputError, match="a part of it cannot be read"):
        Calibration.load(file)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """To read, and to write."""
    with pytest.raises(InputError, match=r"none\.json: cannot be read"):
        Calibration.load(tmp_path / "none.json")
    found = usual().calibration
    assert found is not None
    with pytest.raises(InputError, match="cannot be written"):
        found.save(tmp_path / "no" / "folder.json")


# -- the contract ----------------------------------------------------------------------------------


def changed(**fields: Any) -> Taxonomy:
    """The taxonomy with other fields of its first leaf."""
    data = SHOP.model_dump(mode="json")
    data["categories"][0]["children"][0] |= fields
    return Taxonomy.model_validate(data)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"taxonomy": changed(description="one other word")}, "taxonomy", id="a word in a description"),
        pytest.param({"taxonomy": changed(id="退款", was=["refund"])}, "taxonomy", id="another name, though labels are carried"),
        pytest.param({"taxonomy": changed(team="others")}, "policy (teams, rules, gates)", id="a team"),
        pytest.param({"taxonomy": changed(always_review=True)}, "policy (teams, rules, gates)", id="a gate"),
        pytest.param({"backend": ScriptedBackend(told, name="another")}, "model", id="the model"),
        pytest.param({"preparation": Preparation(("unicode",))}, "preparation of texts", id="a step of preparation"),
        pytest.param({"policy": Policy(min_characters=5)}, "policy (teams, rules, gates)", id="the policy"),
    ],
)
def test_another_world_is_refused(options: dict[str, Any], says: str) -> None:
    """With the name of what differs, before anything is routed."""
    found = usual().calibration
    sorter = triage(calibration=found, **options)
    with pytest.raises(CalibrationError) as caught:
        sorter.classify("parcel 0.99 x")
    assert f"it was made with another {says}" in str(caught.value)
    assert caught.value.exit_code == 3
    with pytest.raises(CalibrationError):
        next(iter(sorter.classify_many(["parcel 0.99 x"])))
    with pytest.raises(CalibrationError):
        sorter.settle()


def test_a_former_id_is_no_part_of_the_contract() -> None:
    """To say where old labels go changes no outcome: nothing has to be calibrated anew."""
    found = usual().calibration
    assert isinstance(triage(taxonomy=changed(was=["退款"]), calibration=found).classify("parcel 0.99 x"), Accepted)


def test_a_rule_is_part_of_the_contract() -> None:
    """A new keyword decides about other tickets."""
    found = usual().calibration
    rules = {"rules": [{"name": "lawyers", "when": {"keywords": ["lawyer"]}, "always_review": True}]}
    ruled = Taxonomy.model_validate({**SHOP.model_dump(mode="json"), **rules})
    with pytest.raises(CalibrationError, match="another policy"):
        triage(taxonomy=ruled, calibration=found).settle()


def test_a_calibration_is_part_of_a_run() -> None:
    """So that no file is resumed under another one."""
    found = usual().calibration
    runs = {triage().run_id, triage(calibration=found).run_id, triage(calibration=made(alpha=0.2).calibration).run_id}
    assert len(runs) == 3
    assert triage(calibration=found).contract() == triage().contract()


def test_witnesses_tell_a_model_that_changed_behind_its_name() -> None:
    """Another first choice, or another confidence in it."""
    found = usual().calibration
    assert found is not None
    assert 20 <= len(found.witnesses) <= 40
    sorter = triage(calibration=found)
    tickets = [ticket for ticket, _ in sample(800)]
    outcomes = [outcome for outcome in sorter.classify_many(tickets) if found.moved(outcome.text, None, None) is not None]
    assert len(outcomes) == len(found.witnesses)
    for outcome in outcomes:
        offered = outcome.category if isinstance(outcome, Accepted) else outcome.suggestion
        assert outcome.confidence is not None
        assert found.moved(outcome.text, offered, outcome.confidence) is False
        assert found.moved(outcome.text, offered, outcome.confidence - 0.2) is True
        assert found.moved(outcome.text, "other", outcome.confidence) is True
    assert found.moved("never seen", "other", 0.9) is None


def test_two_rules_of_acceptance_do_not_go_together() -> None:
    """A threshold is a wish, a calibration a promise."""
    found = usual().calibration
    for options in ({"threshold": 0.5}, {"policy": Policy(departments=True)}):
        with pytest.raises(InputError, match="given besides a calibration"):
            triage(calibration=found, **options)


def test_few_labels_do_not_make_a_probability() -> None:
    """Fewer than fifty: outcomes say that they are not calibrated."""
    found = made(160, rows=sample(160, right=lambda _: 1.1), alpha=0.3)
    assert found.calibration is not None
    few = made(60, rows=sample(60, right=lambda _: 1.1), alpha=0.4)
    assert few.calibration is not None
    assert not few.calibration.calibrated
    outcome = triage(calibration=few.calibration).classify("parcel 0.99 x")
    assert isinstance(outcome, Accepted | Pending)
    assert not outcome.calibrated
