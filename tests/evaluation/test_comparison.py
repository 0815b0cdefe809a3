"""Two settings on the same labels: the difference, its intervals, the verdicts."""

from __future__ import annotations

import doctest
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from evaluation.paged import calibrated
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage import Accepted, InputError, Pending, Prediction, Scores, SingleLabel, Taxonomy, Ticket, Usage
from llmtriage.evaluation import Judged, comparison, evaluate
from llmtriage.evaluation.comparison import Comparison, difference, in_the_order_of, labels_of, side
from llmtriage.evaluation.comparison_text import comparison_text, verdicts
from llmtriage.probability import metrics
from llmtriage.probability.calibrators import ScoreCalibrator
from llmtriage.tickets import LabelledTicket

AB = Taxonomy.from_labels(["a", "b"])
SHARES = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.01, 0.99), st.floats(0.01, 0.99)), min_size=1, max_size=40)


def judged(gold: str, share_of_a: float | None = None, label: str | None = None) -> Judged:
    """A ticket with a distribution, a single label, or no answer."""
    prediction = None
    if share_of_a is not None:
        scores = Scores(values=np.log([share_of_a, 1 - share_of_a]))
        prediction = Prediction(answer=scores, source="logprobs", model="m", usage=Usage(prompt_tokens=10, output_tokens=2))
    if label is not None:
        prediction = Prediction(answer=SingleLabel(category=label), source="verbalized", model="m")
    return Judged(gold=gold, outcome=Pending(suggestion=None, reasons=(), prediction=prediction), text="secret text")


def runs(rows: Sequence[tuple[str, float, float]]) -> tuple[list[Judged], list[Judged]]:
    """Two runs over the same tickets."""
    return [judged(gold, one) for gold, one, _ in rows], [judged(gold, other) for gold, _, other in rows]


def compared(first: Sequence[Judged], second: Sequence[Judged]) -> Comparison:
    """The whole comparison."""
    labels = labels_of([LabelledTicket(ticket=Ticket(content="x"), category="a", line=2)], "dev.csv")
    return Comparison(
        first=side(first, evaluate(first, AB)),
        second=side(second, evaluate(second, AB), "selector=nearest"),
        difference=difference((first, AB), (second, AB)),
        labels=labels,
    )


@settings(max_examples=25)
@given(SHARES)
def test_the_differences_are_those_of_the_figures(rows: list[tuple[str, float, float]]) -> None:
    """Of accuracy and of log loss, second minus first."""
    first, second = runs(rows)
    found, one, other = difference((first, AB), (second, AB)), evaluate(first, AB), evaluate(second, AB)
    assert found.accuracy == pytest.approx(other.accuracy - one.accuracy)
    assert one.log_loss is not None
    assert other.log_loss is not None
    assert found.log_loss == pytest.approx(other.log_loss - one.log_loss)
    assert found.n_log_loss == len(rows)


@settings(max_examples=25)
@given(SHARES)
def test_turned_round_everything_changes_its_sign(rows: list[tuple[str, float, float]]) -> None:
    """And the better one is the same run."""
    first, second = runs(rows)
    one, other = difference((first, AB), (second, AB)), difference((second, AB), (first, AB))
    assert one.accuracy == -other.accuracy
    assert one.accuracy_interval == pytest.approx(tuple(-end for end in reversed(other.accuracy_interval)))
    assert one.p == other.p
    turned = {"first": "second", "second": "first", None: None}
    assert one.more_accurate == turned[other.more_accurate]
    assert one.only_first_right == other.only_second_right
    assert (one.share, one.cost) == (-other.share, -other.cost)


def test_what_is_routed_and_what_it_costs() -> None:
    """The second routes all, a third of it wrongly; its bootstrap interval is that of the plain function."""
    first = [judged("a", 0.9), judged("b", 0.8), judged("a", 0.7)] * 20
    second = [
        replace(one, outcome=Accepted(category="a", team=None, confidence=None, score=0.9, prediction=one.outcome.prediction))
        for one in first
    ]
    found = difference((first, AB), (second, AB), error_cost=5, review_cost=1)
    assert (found.share, found.share_interval) == (1, (1, 1))
    assert found.cost == pytest.approx(evaluate(second, AB, error_cost=5).cost.per_1000 - 1000) == pytest.approx(5000 / 3 - 1000)
    assert found.cost_interval == metrics.paired_bootstrap([1000.0] * 60, [0.0, 5000.0, 0.0] * 20)
    assert found.accuracy_bootstrap == (0, 0)


def test_the_order_of_the_other_run_does_not_matter() -> None:
    """Tickets are paired by their ids; the same id twice is no matter where the order is the same anyway."""
    first = [
        replace(one, outcome=replace(one.outcome, ticket_id=f"工单{i}")) for i, one in enumerate([judged("a"), judged("b")] * 3)
    ]
    assert in_the_order_of(first, first[::-1], ("a.csv", "b.csv")) == first
    same = [replace(one, outcome=replace(one.outcome, ticket_id="x")) for one in first]
    assert in_the_order_of(same, same, ("a.csv", "b.csv")) == same
    with pytest.raises(InputError, match=r"b.csv: no prediction for the ticket '工单5', which the other file has"):
        in_the_order_of(first, first[:-1], ("a.csv", "b.csv"))


def test_the_difference_is_that_of_calibrated_answers() -> None:
    """A bias may change the first choice: what is compared is what the two reports are about."""
    turned = ScoreCalibrator("bias").fit(np.log([[0.6, 0.4]] * 80), [1] * 80)
    made = calibrated().model_copy(update={"calibrator": turned.to_dict()})
    rows = [judged("b", 0.6)] * 12
    one, other = evaluate(rows, AB), evaluate(rows, AB, calibration=made)
    found = difference((rows, AB), (rows, AB), calibrations=(None, made))
    assert (found.accuracy, other.accuracy - one.accuracy) == (1.0, 1.0)
    assert found.log_loss == pytest.approx((other.log_loss or 0) - (one.log_loss or 0))


def test_tickets_of_no_category_are_wrong_on_both_sides() -> None:
    """They have no log loss, as in the report."""
    rows = [judged("a", 0.9), judged("oos", 0.6), judged("b", 0.2)]
    found = difference((rows, AB), (rows, AB), none_label="oos")
    assert (found.accuracy, found.n_log_loss) == (0.0, evaluate(rows, AB, none_label="oos").n_scored) == (0.0, 2)


def test_few_tickets_have_no_interval_of_log_loss() -> None:
    """Nine say too little about their spread, so nothing is said."""
    rows = [("a", 0.2, 0.9)] * 9
    found = difference(*((run, AB) for run in runs(rows)))
    assert found.log_loss == pytest.approx(math.log(0.2 / 0.9))
    assert found.log_loss_interval is None
    assert found.lower_log_loss is None


def test_which_is_better() -> None:
    """Six tickets against none tell, five do not; log losses that all fall tell."""
    right, wrong = ("a", 0.4, 0.6), ("a", 0.6, 0.6)
    tells = difference(*((run, AB) for run in runs([right] * 6 + [wrong] * 6)))
    assert (tells.more_accurate, tells.only_second_right, tells.only_first_right) == ("second", 6, 0)
    assert tells.lower_log_loss == "second"
    silent = difference(*((run, AB) for run in runs([right] * 5 + [wrong] * 6)))
    assert silent.more_accurate is None
    same = difference(*((run, AB) for run in runs([wrong] * 12)))
    assert (same.more_accurate, same.lower_log_loss, same.p) == (None, None, 1.0)


def test_without_a_distribution_there_is_no_log_loss() -> None:
    """One single label in one of the two is enough; a missing answer only leaves its ticket out."""
    with_scores = [judged("a", 0.6)] * 12
    found = difference((with_scores, AB), ([judged("a", label="b")] * 12, AB))
    assert (found.log_loss, found.n_log_loss, found.only_first_right, found.more_accurate) == (None, 0, 12, "first")
    part = difference((with_scores, AB), ([judged("a"), *[judged("a", 0.7)] * 11], AB))
    assert part.n_log_loss == 11
    assert part.log_loss == pytest.approx(math.log(0.6 / 0.7))
    assert difference((with_scores, AB), ([judged("a")] * 12, AB)).log_loss is None


def test_an_impossible_answer_costs_what_it_costs_in_the_report() -> None:
    """The floor is that of the log loss."""
    scores = Scores(values=np.array([0.0, -800.0]))
    sure = Judged(
        gold="b",
        outcome=Pending(suggestion=None, reasons=(), prediction=Prediction(answer=scores, source="logprobs", model="m")),
        text="",
    )
    assert difference(([judged("b", 0.5)], AB), ([sure], AB)).log_loss == pytest.approx(math.log(0.5 / metrics.FLOOR))


def test_other_labels_are_refused() -> None:
    """A file that changed between the runs."""
    with pytest.raises(InputError, match="the labels changed between the two runs"):
        difference(([judged("a", 0.5)], AB), ([judged("b", 0.5)], AB))


def test_labels_are_known_by_what_they_say() -> None:
    """In any order; another title, text or category is another digest."""

    def rows(*cells: tuple[str, str, str]) -> list[LabelledTicket]:
        return [LabelledTicket(ticket=Ticket(title=t, content=c), category=k, line=i) for i, (t, c, k) in enumerate(cells)]

    one, other = ("t", "x", "a"), ("", "退款", "b")
    digests = {labels_of(rows(*cells), "f").digest for cells in ([one, other], [other, one])}
    assert len(digests) == 1
    changed = [("u", "x", "a"), ("t", "y", "a"), ("t", "x", "b")]
    assert len({labels_of(rows(cells, other), "f").digest for cells in (one, *changed)}) == 4
    assert labels_of(rows(one, other, other), "f").n == 3


def test_tokens_are_means_over_the_answers_that_told() -> None:
    """None where none did."""
    report = evaluate([judged("a", 0.5)], AB)
    told = side([judged("a", 0.5), judged("a", label="a"), judged("a")], report)
    assert (told.tokens_in, told.tokens_out) == (10, 2)
    untold = side([judged("a", label="a")], report)
    assert (untold.tokens_in, untold.tokens_out) == (None, None)


def test_the_text_in_english() -> None:
    """All figures side by side, a dash where one is missing, the verdict, the labels and what becomes of them."""
    first, second = [judged("a", 0.6)] * 12, [judged("a", label="b")] * 12
    text = comparison_text(compared(first, second))
    lines = text.splitlines()
    assert lines[:3] == ["Two settings on the same tickets", "first   as the flags say: -", "second  selector=nearest: -"]
    assert "Right                 100.0 %   0.0 %  -100.0 points (95 % interval -100.0 to -58.7)" in lines
    assert "Log loss                0.511       -" in lines
    assert "Wrong among routed          -       -" in lines
    assert "Tokens in, a ticket      10.0       -" in lines
    assert (
        "The first setting is right more often: 12 tickets only it got right, 0 only the other (exact McNemar test, p = 0.00049)."
        in lines
    )
    assert lines[-1] == "These labels are now used up: do not calibrate, certify or report on them."
    assert lines[-2].startswith("Labels used: dev.csv, 1 tickets, digest ")
    assert "secret" not in text


def test_the_text_in_chinese() -> None:
    """Every word of it."""
    first, second = runs([("a", 0.4, 0.45)] * 12)
    text = comparison_text(compared(first, second), language="zh")
    assert "第二种  selector=nearest：-" in text
    assert "这些标注不足以判断哪种正确率更高：仅第一种正确的工单 0 张，仅第二种正确的 0 张（McNemar 精确检验，p = 1）。" in text
    assert "在两种设置都回答了的 12 张工单上，第二种设置的对数损失更低。" in text
    assert "这些标注已经用掉：不要再用它们校准、认证或报告结果。" in text
    assert not any(word in text for word in ("tickets", "setting", "interval", "points", "Right"))


def test_a_setting_cannot_write_to_the_terminal() -> None:
    """It may come from anywhere; lines of the table keep to the width."""
    first, second = runs([("a", 0.4, 0.6)])
    one = compared(first, second)
    told = one.second.model_copy(update={"setting": "examples=\x1b[2Jx.csv"})
    text = comparison_text(one.model_copy(update={"second": told}), width=40)
    assert "\x1b" not in text
    assert all(len(line) <= 40 for line in text.splitlines()[:12])


def test_the_json_holds_no_text_of_a_ticket() -> None:
    """And has the four parts."""
    first, second = runs([("a", 0.4, 0.6)] * 3)
    data = compared(first, second).to_json()
    assert list(data) == ["first", "second", "difference", "labels"]
    assert data["first"]["setting"] is None
    assert data["second"]["accuracy"] == 1
    assert "secret" not in str(data)


def test_a_verdict_for_each_figure_that_both_have() -> None:
    """The labels may tell one and not the other."""
    first, second = runs([("a", 0.6, 0.9)] * 12)
    assert [sentence.split(":")[0] for sentence in verdicts(difference((first, AB), (second, AB)))] == [
        "The labels do not tell which is right more often",
        "The second setting has the lower log loss on the 12 tickets that both answered.",
    ]


def test_the_examples_of_the_module_hold() -> None:
    """As they stand in the docstrings."""
    assert doctest.testmod(comparison).failed == 0
