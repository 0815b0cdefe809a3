"""Outcomes of a store as judged tickets: under a taxonomy that changed, with usage, by whether people saw a suggestion."""

from __future__ import annotations

from typing import Any

import pytest

from llmtriage import Accepted, Pending, Ticket
from llmtriage.evaluation import evaluate, report_text
from llmtriage.evaluation.answered import JudgedAnswers, judged_answers, review_figures
from llmtriage.evaluation.review_lines import warning
from llmtriage.evaluation.words import Words
from llmtriage.outcomes import Candidate, Outcome, Reason
from llmtriage.predictions import SingleLabel
from llmtriage.store.answered import Answered, Which
from llmtriage.taxonomy import Category, Taxonomy

TREE = Taxonomy(
    categories=(
        Category(id="sales", children=(Category(id="refund", was=("退钱", "money")), Category(id="parcel", was=("box",)))),
        Category(id="login", was=("box",)),
        Category(id="other", catch_all=True),
    )
)


def accepted(category: str, *more: str, score: float = 0.9, offered: str | None = None) -> Accepted:
    """An outcome that goes to its team."""
    candidates = (Candidate(category=category, score=score), *(Candidate(category=one, score=0.01) for one in more))
    return Accepted(category=offered or category, team=None, confidence=None, score=score, candidates=candidates, recalled=True)


def pending(category: str | None, code: Any = "below_threshold", *, offered: str | None = None) -> Pending:
    """An outcome that waits."""
    candidates = () if category is None else (Candidate(category=category, score=0.4),)
    return Pending(suggestion=offered or category, reasons=(Reason(code=code),), candidates=candidates, recalled=True)


def said(category: str, outcome: Outcome, **facts: Any) -> Answered:
    """A person said this of a ticket."""
    known: dict[str, Any] = {"text_id": 1, "ticket": Ticket(content="我要退款"), "kept": "original", "erased": False}
    known |= {"shown": False, "confirmed": False, "changed": False, "inclusion_p": None, "usage": {}}
    return Answered(category=category, outcome=outcome, **{**known, **facts})


def judge(*answers: Answered, **options: Any) -> JudgedAnswers:
    """Under the tree."""
    return judged_answers(answers, TREE, model="m", **options)


def test_an_answer_is_one_label_with_its_number() -> None:
    """No distribution: figures that need one do not exist."""
    found = judge(said("refund", accepted("refund", "parcel")), said("refund", pending("parcel")), said("login", pending(None)))
    judged = [row.judged for row in found.rows]
    answers = [one.outcome.prediction and one.outcome.prediction.answer for one in judged]
    assert answers == [SingleLabel(category="refund", score=0.9), SingleLabel(category="parcel", score=0.4), None]
    report = evaluate(judged, TREE)
    assert (report.accuracy, report.unanswered, report.accepted.n, report.accepted.errors) == (1 / 3, 1, 1, 0)
    assert (report.n_scored, report.log_loss, report.brier, report.n_confidence) == (0, None, None, 2)


def test_labels_and_answers_of_former_categories_are_carried() -> None:
    """Of a person and of a run alike; each counted once."""
    found = judge(
        said("退钱", accepted("money", "box", "退钱")), said("refund", pending("退钱")), said("refund", accepted("refund"))
    )
    assert [row.judged.gold for row in found.rows] == ["refund"] * 3
    first, second, _ = (row.judged.outcome for row in found.rows)
    assert isinstance(first, Accepted)
    assert (first.category, [one.category for one in first.candidates]) == ("refund", ["refund"])
    assert isinstance(second, Pending)
    assert second.suggestion == "refund"
    assert [row.carried for row in found.rows] == [True, True, False]
    assert found.lost == {}


@pytest.mark.parametrize(
    ("label", "outcome", "name"),
    [
        ("fax", accepted("refund"), "fax"),
        ("box", accepted("refund"), "box"),  # was split: a person has to say which
        ("sales", accepted("refund"), "sales"),
        ("refund", accepted("传真"), "传真"),
        ("refund", pending("box"), "box"),
        ("refund", accepted("refund", offered="former department"), "refund"),
    ],
)
def test_what_cannot_be_carried_is_left_out_and_counted(label: str, outcome: Outcome, name: str) -> None:
    """Neither right nor wrong."""
    found = judge(said(label, outcome), said("refund", accepted("refund")))
    assert len(found.rows) == 1
    assert found.lost == {name: 1}


def test_a_department_is_right_above_its_leaf() -> None:
    """The engine's leaf is what accuracy is about."""
    found = judge(said("parcel", accepted("refund", offered="sales")))
    report = evaluate([row.judged for row in found.rows], TREE)
    assert (report.accuracy, report.accepted.n, report.accepted.errors) == (0.0, 1, 0)


def test_usage_is_that_of_the_answers() -> None:
    """Also of failures; what a later version may add is no obstacle."""
    usage = {"prompt_tokens": 50, "output_tokens": 2, "attempts": 1, "waited": 0.0, "new": 1}
    failed = said("refund", pending(None, "refused"), usage={**usage, "attempts": 3})
    found = judge(said("refund", accepted("refund"), usage=usage), failed, said("refund", pending(None, "too_short")))
    report = evaluate([row.judged for row in found.rows], TREE)
    assert report.usage == {"prompt_tokens": 100, "output_tokens": 4, "attempts": 4, "untold": 0}
    assert report.unanswered == 2


def test_texts_are_prepared_unless_they_are_kept_so() -> None:
    """And slices are made of what there is."""
    ticket = Ticket(content="<p>写信到 a@b.example</p>", channel="mail", metadata={"店": "北京"})
    rows = judge(
        said("refund", accepted("refund"), ticket=ticket),
        said("refund", accepted("refund"), ticket=Ticket(content="<p>"), kept="redacted"),
        said("refund", accepted("refund"), ticket=Ticket(content=""), kept="none", erased=True),
        by=["店", "length", "channel"],
    )
    assert [row.judged.text for row in rows.rows] == ["写信到 [EMAIL_1]", "<p>", ""]
    assert rows.rows[0].judged.fields == {"店": "北京", "length": "short", "channel": "mail"}
    assert rows.rows[2].judged.fields == {}
    assert rows.names == {"店", "channel"}


def figures(which: Which, *answers: Answered, **counts: int) -> Any:
    """What is told of the answers."""
    rows = judge(*answers).rows
    known = {"waiting": 0, "undecided": 0, "lost": 0, "timed": 0, **counts}
    return review_figures(rows, TREE, which=which, **known), [row.judged for row in rows]


SEEN = [
    said("refund", pending("refund"), shown=True, confirmed=True),
    said("refund", pending("parcel", offered="sales"), shown=True),
    said("parcel", pending("refund"), shown=True),
    said("parcel", pending(None), shown=True),
    said("login", accepted("refund"), inclusion_p=0.02, changed=True),
    said("退钱", accepted("refund"), inclusion_p=0.05, erased=True),
]


def test_by_whether_a_suggestion_was_seen() -> None:
    """At or below what the run offers; tickets without an offer say nothing."""
    found, _ = figures("all", *SEEN, waiting=3)
    assert (found.shown.n, found.shown.right, found.shown.confirmed) == (3, 2, 1)
    assert (found.unseen.n, found.unseen.right, found.unseen.confirmed) == (2, 1, 0)
    assert (found.drawn, found.waiting, found.changed, found.erased, found.carried) == ((0.02, 0.05), 3, 1, 1, 1)
    nothing, _ = figures("pending", said("refund", pending(None), shown=True))
    assert (nothing.shown.n, nothing.shown.accuracy, nothing.shown.accuracy_interval) == (0, None, None)


@pytest.mark.parametrize("which", ["probe", "sample", "pending", "all"])
@pytest.mark.parametrize(("language", "words"), [("en", "all"), ("zh", "全部")])
def test_figures_of_some_tickets_are_not_taken_for_those_of_all(which: Which, language: Any, words: str) -> None:
    """Said above all figures, in the words of the reader, on lines that fit."""
    found, judged = figures(which, *SEEN, waiting=3, undecided=4, lost=5, timed=6)
    report = evaluate(judged, TREE, reviews=found)
    said = warning(report, Words(language))
    assert (said is None) == (which == "probe") == found.all_traffic
    text = report_text(report, language=language, width=80)
    if said is not None:
        assert words in said
        assert "".join(said.split()) in "".join(text.split("\n\n")[1].split())
    assert all(number in text for number in ("3", "4", "5", "6"))
    assert "reviews " not in text
    assert "why " not in text


def test_uneven_draws_are_told() -> None:
    """The figures lean towards tickets that were drawn more often."""
    found, judged = figures("probe", *SEEN[-2:])
    text = report_text(evaluate(judged, TREE, reviews=found), width=200)
    assert "with the probabilities 0.02, 0.05: the figures lean" in text
