"""Judged tickets to figures."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.evaluation import Judged, Report, evaluate, figure
from llmtriage.evaluation.measuring import total_usage
from llmtriage.outcomes import Accepted, Pending, Reason
from llmtriage.predictions import Failure, Prediction, Scores, SingleLabel, Usage
from llmtriage.taxonomy import Category, Taxonomy

TREE = Taxonomy(
    categories=(
        Category(id="money", children=(Category(id="refund"), Category(id="invoice"))),
        Category(id="delivery"),
        Category(id="other", catch_all=True),
    )
)
LEAVES = [leaf.id for leaf in TREE.leaves]
KEYS = [
    *(
        "n",
        "accuracy",
        "accuracy_interval",
        "balanced_accuracy",
        "macro_f1",
        "weighted_f1",
        "log_loss",
        "brier",
        "ece",
        "auroc",
        "aurc",
    ),
    *("accepted", "pending", "per_category", "confusions", "baselines", "usage", "seconds", "tickets_per_second", "backend"),
    *("taxonomy_hash", "prompt_hash"),
    *("macro_f1_interval", "categories_without_tickets", "ece_limit", "ece_p", "ece_verdict", "ece_width", "ece_debiased"),
    *("rmsce2_debiased", "smooth_ece", "top_brier", "top_log_loss", "mcb", "dsc", "unc", "murphy", "e_aurc", "augrc"),
    *("coverage_at_risk", "label_mass", "sources", "cost"),
]
TIMEOUT = Failure(reason="timeout", detail="no answer")


def scores(**shares: float) -> Prediction:
    """An answer with these probabilities; what is missing shares the rest."""
    rest = (1 - sum(shares.values())) / max(1, len(LEAVES) - len(shares))
    values = np.log([max(shares.get(leaf, rest), 1e-9) for leaf in LEAVES])
    return Prediction(answer=Scores(values=values), source="logprobs", model="m")


def label(category: str, score: float | None = None) -> Prediction:
    """An answer that is one label."""
    return Prediction(answer=SingleLabel(category=category, score=score), source="verbalized", model="m")


def accepted(gold: str, prediction: Prediction, category: str) -> Judged:
    """A ticket that was accepted as `category`."""
    return Judged(
        gold=gold, outcome=Accepted(category=category, team=None, confidence=None, score=0.9, prediction=prediction), text="t"
    )


def pending(gold: str, prediction: Prediction | None = None, *codes: Any, text: str = "t") -> Judged:
    """A ticket that waits."""
    reasons = tuple(Reason(code=code) for code in codes or ("below_threshold",))
    return Judged(gold=gold, outcome=Pending(suggestion=None, reasons=reasons, prediction=prediction), text=text)


MIXED = [
    accepted("refund", scores(refund=0.9), "refund"),
    accepted("invoice", scores(refund=0.5, invoice=0.4), "money"),
    accepted("delivery", scores(refund=0.8), "refund"),
    pending("delivery", scores(delivery=0.6)),
    pending("other", None, "timeout"),
]

judged_tickets = st.lists(
    st.tuples(
        st.sampled_from(LEAVES),
        st.one_of(
            st.none(),
            st.builds(label, st.sampled_from(LEAVES), st.one_of(st.none(), st.floats(0, 1))),
            st.builds(lambda leaf, p: scores(**{leaf: p}), st.sampled_from(LEAVES), st.floats(0, 1)),
        ),
        st.booleans(),
    ).map(lambda t: accepted(t[0], t[1], LEAVES[0]) if t[2] and t[1] else pending(t[0], t[1])),
    min_size=1,
    max_size=12,
)


def test_a_ticket_without_an_answer_is_wrong() -> None:
    """Failures count in the accuracy, and are told apart; the other figures say on how many tickets they stand."""
    report = evaluate(MIXED, TREE)
    assert (report.n, report.unanswered, report.accuracy) == (5, 1, 2 / 5)
    assert (report.n_scored, report.n_confidence) == (4, 4)
    assert report.accuracy_interval == pytest.approx((0.1176, 0.7693), abs=1e-4)


def test_a_department_is_right_if_the_truth_lies_below_it() -> None:
    """Among the accepted, a department counts as right for its leaves; only the wrong leaf is an error."""
    report = evaluate(MIXED, TREE)
    assert (report.accepted.n, report.accepted.errors) == (3, 1)
    assert report.accepted.share == pytest.approx(0.6)
    assert report.accepted.error == pytest.approx(1 / 3)
    assert report.accepted.error_interval == pytest.approx((0.0084, 0.9057), abs=1e-4)


def test_a_department_is_wrong_for_a_leaf_elsewhere() -> None:
    """A department is no excuse for a ticket that belongs outside it."""
    report = evaluate([accepted("delivery", scores(refund=0.5, invoice=0.4), "money")], TREE)
    assert report.accepted.error == 1


def test_the_predicted_category_is_the_top_leaf_whatever_was_accepted() -> None:
    """Accuracy is about the model: a ticket accepted as a department has its top leaf as the prediction."""
    report = evaluate([accepted("invoice", scores(refund=0.3, invoice=0.6), "money")], TREE)
    assert report.accuracy == 1


def test_the_first_of_equal_leaves_is_the_prediction() -> None:
    """Ties go to the leaf that stands first in the taxonomy."""
    report = evaluate(
        [pending("invoice", scores(invoice=0.4, delivery=0.4)), pending("delivery", scores(invoice=0.4, delivery=0.4))], TREE
    )
    assert [(row.gold, row.predicted) for row in report.confusions] == [("delivery", "invoice")]


def test_figures_of_distributions() -> None:
    """Log loss and Brier score are those of the answered tickets, AUROC and ECE those of the top leaf."""
    report = evaluate(
        [pending("refund", scores(refund=0.7)), pending("delivery", scores(refund=0.4, delivery=0.3)), pending("other")], TREE
    )
    assert report.log_loss == pytest.approx(-(math.log(0.7) + math.log(0.3)) / 2)
    assert report.brier == pytest.approx((0.3**2 + 3 * 0.1**2 + 0.4**2 + 0.7**2 + 2 * 0.15**2) / 2)
    assert report.auroc == 1
    assert report.ece == pytest.approx((0.3 + 0.4) / 2)
    assert report.ece_limit is not None
    assert report.aurc == pytest.approx(0.25)
    assert (report.e_aurc, report.augrc) == pytest.approx((0, 0.125))
    assert report.top_brier == pytest.approx((0.3**2 + 0.4**2) / 2)
    assert report.mcb is not None
    assert report.dsc is not None
    assert report.unc is not None
    assert report.mcb - report.dsc + report.unc == pytest.approx(report.top_brier)
    assert report.murphy.uncertainty == report.unc == 0.25


def test_the_verdict_on_the_confidence() -> None:
    """Answers that claim 0.9 and are right half the time are too sure; few of them may be chance."""
    many = [pending("refund" if i % 2 else "delivery", scores(refund=0.9)) for i in range(40)]
    report = evaluate(many, TREE)
    assert (report.ece_verdict, report.ece_p) == ("too_sure", 0)
    assert evaluate(many[:2], TREE).ece_verdict == "agrees"
    cautious = evaluate([pending("refund", scores(refund=0.4)) for _ in range(40)], TREE)
    assert cautious.ece_verdict == "too_cautious"


def test_what_could_be_accepted_in_hindsight() -> None:
    """Four rates; where none could be accepted the coverage is 0 and there is no threshold."""
    right, wrong = pending("refund", scores(refund=0.9)), pending("delivery", scores(refund=0.8))
    rows = evaluate([right, wrong], TREE).coverage_at_risk
    assert [row.risk for row in rows] == [0.01, 0.02, 0.05, 0.1]
    assert [row.coverage for row in rows] == [0.5] * 4
    assert [row.threshold for row in rows] == pytest.approx([0.9] * 4)
    assert {(row.coverage, row.threshold) for row in evaluate([wrong], TREE).coverage_at_risk} == {(0.0, None)}


def test_what_the_run_costs() -> None:
    """One accepted error and two pending tickets of five; a department that is right costs nothing."""
    cost = evaluate(MIXED, TREE, error_cost=10, review_cost=2).cost
    assert (cost.per_1000, cost.by_hand, cost.cheapest_threshold) == pytest.approx((1000 * (10 + 2 * 2) / 5, 2000, 0.8))
    assert cost.per_1000_interval is None
    assert (evaluate(MIXED, TREE).cost.error_cost, evaluate(MIXED, TREE).cost.review_cost) == (20, 1)


@pytest.mark.parametrize(("error", "review"), [(0, 1), (-1, 1), (math.nan, 1), (1, -1), (1, math.inf)])
def test_a_cost_out_of_range_is_refused(error: float, review: float) -> None:
    """In one line."""
    with pytest.raises(InputError, match="cost"):
        evaluate(MIXED, TREE, error_cost=error, review_cost=review)


def test_thirty_tickets_have_bootstrap_intervals() -> None:
    """Of the macro F1 and of the cost, holding the figure; 29 have none."""
    judged = [*MIXED * 6]
    report = evaluate(judged, TREE)
    for value, interval in ((report.macro_f1, report.macro_f1_interval), (report.cost.per_1000, report.cost.per_1000_interval)):
        assert interval is not None
        assert value is not None
        assert interval[0] < value < interval[1]
    assert evaluate(judged[:29], TREE).macro_f1_interval is None
    assert evaluate(judged[:29], TREE).cost.per_1000_interval is None


def test_sources_label_mass_and_categories_without_a_ticket() -> None:
    """What the figures stand on."""
    with_mass = Prediction(answer=Scores(values=np.log(np.full(4, 0.25)), label_mass=0.5), source="votes", model="m")
    report = evaluate([pending("refund", with_mass), pending("refund", scores(refund=0.9)), pending("other")], TREE)
    assert (report.sources, report.label_mass) == ({"votes": 1, "logprobs": 1}, 0.5)
    assert report.categories_without_tickets == ("invoice", "delivery")


def test_one_single_label_ends_all_figures_of_distributions() -> None:
    """Where any answer is a single label, log loss and Brier score do not exist; those of the confidence do."""
    report = evaluate([*MIXED, pending("refund", label("refund", 0.8))], TREE)
    assert (report.log_loss, report.brier, report.log_loss_clipped, report.n_scored) == (None, None, None, 0)
    assert report.n_confidence == 5
    assert report.ece is not None


@pytest.mark.parametrize(
    "score", [pytest.param(None, id="none"), pytest.param(math.nan, id="NaN"), pytest.param(85.0, id="percent")]
)
def test_without_a_usable_score_there_is_no_confidence(score: float | None) -> None:
    """A number outside [0, 1] is no confidence; the ticket still counts in the accuracy."""
    report = evaluate([pending("refund", label("refund", score))], TREE)
    assert (report.ece, report.ece_limit, report.auroc, report.aurc, report.n_confidence) == (None, None, None, None, 0)
    assert (report.ece_verdict, report.smooth_ece, report.mcb, report.e_aurc, report.augrc) == (None, None, None, None, None)
    assert set(report.murphy.model_dump().values()) == {None}
    assert {(row.coverage, row.threshold) for row in report.coverage_at_risk} == {(None, None)}
    assert report.accuracy == 1


def test_a_label_that_does_not_exist_is_a_wrong_answer() -> None:
    """An answer outside the leaves is an error and a confusion, not a category of its own."""
    report = evaluate(
        [pending("refund", label("rebate")), pending("refund", label("money")), pending("refund", label("refund"))], TREE
    )
    assert report.accuracy == pytest.approx(1 / 3)
    assert [row.category for row in report.per_category] == ["refund"]
    assert [row.predicted for row in report.confusions] == ["money", "rebate"]


def test_nothing_accepted_has_no_error_rate() -> None:
    """An error rate of nothing is None, not 0."""
    report = evaluate([pending("refund", scores(refund=0.9))], TREE)
    assert (report.accepted.n, report.accepted.share, report.accepted.errors) == (0, 0, 0)
    assert report.accepted.error is None
    assert report.accepted.error_interval is None


def test_reasons_are_counted_by_ticket() -> None:
    """A ticket with several reasons counts for each, and once for each."""
    report = evaluate([pending("other", None, "timeout", "always_review", "timeout"), pending("other", None, "timeout")], TREE)
    assert report.pending.reasons == {"timeout": 2, "always_review": 1}
    assert report.pending.share == 1


def test_per_category_stands_in_the_order_of_the_taxonomy() -> None:
    """Leaves that occur stand in file order; shares of nothing are None."""
    by_name = {row.category: row for row in evaluate(MIXED, TREE).per_category}
    assert list(by_name) == ["refund", "invoice", "delivery", "other"]
    assert by_name["refund"].model_dump() == {
        "category": "refund",
        "n": 1,
        "precision": 1 / 3,
        "precision_interval": pytest.approx((0.0615, 0.7923), abs=1e-4),
        "recall": 1.0,
        "recall_interval": pytest.approx((0.2065, 1.0), abs=1e-4),
        "f1": 0.5,
        "accepted": 2,
        "accepted_error": 0.5,
    }
    other = by_name["other"]
    assert (other.precision, other.precision_interval, other.recall, other.accepted_error) == (None, None, 0.0, None)


def test_confusions_are_the_worst_first_with_texts() -> None:
    """The most frequent pair is first; texts are on one line, shortened, distinct, three at most."""
    texts = ["one\n two", "one two", "x" * 500, "three", "four"]
    judged = [pending("delivery", scores(refund=0.9), text=text) for text in texts]
    first = evaluate([pending("other", scores(refund=0.9)), *judged], TREE).confusions[0]
    assert (first.gold, first.predicted, first.n) == ("delivery", "refund", 5)
    assert first.examples == ("one two", "x" * 159 + "…", "three")


def test_at_most_twenty_confusions() -> None:
    """The list of pairs is bounded."""
    wide = Taxonomy.from_labels([str(i) for i in range(30)])
    judged = [pending(str(i), label(str((i + 1) % 30))) for i in range(30)]
    assert len(evaluate(judged, wide).confusions) == 20


def test_the_facts_of_the_run_are_told() -> None:
    """Baselines, usage, time and identities stand in the report; what does not exist is None."""
    report = evaluate(
        MIXED,
        TREE,
        baselines={"majority": 0.4, "linear_svm": None, "broken": math.nan},
        usage={"prompt_tokens": 7},
        seconds=2.5,
        backend="lexical",
        prompt_hash="abc",
        run="def",
        settings={"threshold": 0.5, "shots": None, "file": "x.csv"},
    )
    assert (report.run, report.settings) == ("def", {"threshold": 0.5, "shots": None, "file": "x.csv"})
    assert report.baselines == {"majority": 0.4, "linear_svm": None, "broken": None}
    assert (report.usage, report.seconds, report.tickets_per_second) == ({"prompt_tokens": 7}, 2.5, 2.0)
    assert (report.backend, report.taxonomy_hash, report.prompt_hash) == ("lexical", TREE.hash, "abc")
    assert evaluate(MIXED, TREE, seconds=0).tickets_per_second is None


def test_usage_is_summed_over_answers_and_failures() -> None:
    """Attempts of failures count; tokens that nobody told are not invented."""
    answer = Prediction(
        answer=SingleLabel(category="refund"), source="votes", model="m", usage=Usage(prompt_tokens=5, attempts=2)
    )
    failed = Pending(suggestion=None, reasons=(Reason(code="timeout"),), failure=TIMEOUT)
    skipped = Pending(suggestion=None, reasons=(Reason(code="too_short"),))
    outcomes = [pending("refund", answer).outcome, failed, skipped]
    assert total_usage(outcomes) == {"prompt_tokens": 5, "output_tokens": None, "attempts": 3, "untold": 1}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(judged_tickets)
def test_every_report_is_strict_json_with_all_keys(judged: list[Judged]) -> None:
    """Whatever the tickets: all keys, no NaN, no ticket text, and it reads back as the same figures."""
    report = evaluate(judged, TREE, seconds=1.0)
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(KEYS) <= set(data)
    assert all(set(row) == {"gold", "predicted", "n"} for row in data["confusions"])
    assert Report.model_validate(data).to_json() == report.to_json()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(judged_tickets)
def test_counts_agree(judged: list[Judged]) -> None:
    """Accepted and pending are all; right, confused and unanswered are all; per-category tickets are all."""
    report = evaluate(judged, TREE)
    assert report.accepted.n + report.pending.n == report.n == len(judged)
    assert report.accuracy * report.n + sum(row.n for row in report.confusions) + report.unanswered == pytest.approx(report.n)
    assert sum(row.n for row in report.per_category) == report.n


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("accuracy", 0.4, id="top level"),
        pytest.param("accepted.error", 1 / 3, id="a level down"),
        pytest.param("pending.reasons.timeout", 1, id="two levels down"),
        pytest.param("pending.reasons.refused", 0, id="a reason that no ticket has"),
        pytest.param("baselines.linear_svm", None, id="a figure that does not exist in this run"),
        pytest.param("seconds", None, id="not measured"),
    ],
)
def test_figures_by_name(name: str, expected: float | None) -> None:
    """A dotted name finds its number."""
    assert figure(evaluate(MIXED, TREE, baselines={"linear_svm": None}), name) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("acuracy", "did you mean 'accuracy'", id="misspelt"),
        pytest.param("accepted.eror", "did you mean 'accepted.error'", id="misspelt below"),
        pytest.param("accepted", "unknown figure", id="a group"),
        pytest.param("accuracy_interval", "unknown figure", id="an interval"),
        pytest.param("backend", "unknown figure", id="a text"),
        pytest.param("settings.threshold", "unknown figure", id="a setting"),
        pytest.param("cost.error_cost", "unknown figure", id="a cost that was given"),
        pytest.param("macro_f1_interval", "unknown figure", id="an interval of many tickets"),
        pytest.param("ece_verdict", "unknown figure", id="a verdict"),
        pytest.param("accepted.error_interval", "unknown figure", id="an interval that may be missing"),
    ],
)
def test_unknown_figures(name: str, hint: str) -> None:
    """What is no number is an error with the nearest name."""
    with pytest.raises(UnknownNameError, match=hint):
        figure(evaluate([pending("other")], TREE), name)


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        pytest.param([], "there are no tickets", id="no tickets"),
        pytest.param([pending("money")], "unknown category 'money'", id="a department as truth"),
        pytest.param([pending("refnd")], "did you mean 'refund'", id="a misspelt truth"),
        pytest.param(
            [pending("other", Prediction(answer=Scores(values=np.zeros(2)), source="logprobs", model="m"))],
            "4 leaves",
            id="scores of another taxonomy",
        ),
        pytest.param(
            [pending("other", Prediction(answer=Scores(values=np.full(4, np.nan)), source="logprobs", model="m"))],
            "not finite",
            id="scores that are no numbers",
        ),
    ],
)
def test_unusable_input_is_refused(judged: list[Judged], message: str) -> None:
    """What cannot be measured is an InputError that says why."""
    with pytest.raises(InputError, match=message):
        evaluate(judged, TREE)
