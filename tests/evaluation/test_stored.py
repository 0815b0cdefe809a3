"""Predictions out of a file: the three forms, what is refused, and that they are measured like those of a live engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmtriage.errors import InputError
from llmtriage.evaluation import Judged, Report, evaluate
from llmtriage.evaluation.stored import judged_predictions, read_predictions
from llmtriage.predictions import Prediction, Scores, SingleLabel
from llmtriage.routing import Policy, Router
from llmtriage.taxonomy import Category, Taxonomy
from llmtriage.tickets import Columns, Ticket, TicketRow, read_tickets

TREE = Taxonomy(
    categories=(
        Category(id="sales", children=(Category(id="refund"), Category(id="退款"))),
        Category(id="login", always_review=True),
        Category(id="other", catch_all=True),
    )
)
LEAVES = [leaf.id for leaf in TREE.leaves]

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A CSV file of this text."""

    def made(text: str) -> Path:
        path = tmp_path / "p.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return made


def report(path: Path, threshold: float | None = None, tickets: Sequence[TicketRow] | None = None, **facts: Any) -> Report:
    """What is measured of a file."""
    stored = read_predictions(path, labels=[row.category or "" for row in tickets] if tickets else None, **facts)
    judged = judged_predictions(stored, Router(stored.taxonomy, Policy(threshold=threshold)), tickets=tickets)
    return evaluate(judged, stored.taxonomy, named=stored.named, none_label=facts.get("none_label"))


# -- the same as live ------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["probability", "logit", "logprob"])
def test_stored_scores_are_measured_like_live_ones(write: Write, scale: str) -> None:
    """The figures of a run and of its stored scores are the same, also under a taxonomy with gates."""
    random = np.random.default_rng(0)
    logs = np.log(random.dirichlet(np.ones(4) / 2, size=60))
    gold = [LEAVES[i] for i in random.integers(0, 4, 60)]
    router = Router(TREE, Policy(threshold=0.6))
    live = []
    for i in range(60):
        prediction = Prediction(
            answer=Scores(values=logs[i], label_mass=1.0 if scale == "logprob" else None), source="stored", model="p"
        )
        live.append(Judged(gold=gold[i], outcome=router.route(Ticket(content="", id=str(i)), "", prediction), text=""))
    columns = {"probability": np.exp(logs), "logit": logs + 37, "logprob": logs}[scale]
    rows = "".join(f"{i},{gold[i]},{','.join(map(repr, map(float, columns[i])))}\n" for i in range(60))
    path = write(f"id,gold,{','.join(LEAVES)}\n{rows}")
    stored = read_predictions(path, scale=scale, taxonomy=TREE)  # type: ignore[arg-type]
    judged = judged_predictions(stored, router)
    one, other = evaluate(live, TREE).to_json(), evaluate(judged, TREE).to_json()
    for key in ("usage", "log_loss", "brier", "label_mass"):
        one_value, other_value = one.pop(key), other.pop(key)
        if key != "usage":
            assert other_value == (None if one_value is None else pytest.approx(one_value))
    assert json.dumps(_rounded(one)) == json.dumps(_rounded(other))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 9) if isinstance(value, float) else value


# -- the forms -------------------------------------------------------------------------------------


def test_scores_of_every_category(write: Write) -> None:
    """Named as the category or with a prefix, which says what they are."""
    plain = report(write("id,gold,refund,登录\n1,refund,0.9,0.1\n2,登录,0.6,0.4\n3,登录,0.2,0.8\n"), 0.7)
    assert (plain.accuracy, plain.accepted.n, plain.n_scored) == (2 / 3, 2, 3)
    assert plain.log_loss == pytest.approx(-(np.log(0.9) + np.log(0.4) + np.log(0.8)) / 3)
    text = "id,gold,region,logit_refund,logit_登录\n1,refund,EU,2.1972245773,0\n2,登录,EU,0.4054651081,0\n3,登录,US,-1.3862943611,0\n"
    prefixed = report(write(text), 0.7)
    assert prefixed.log_loss == pytest.approx(plain.log_loss)
    assert [row.category for row in prefixed.per_category] == ["refund", "登录"]


def test_log_probabilities_that_leave_something_out(write: Write) -> None:
    """What is missing is the label mass; too little of it holds a ticket back, as in a live run."""
    path = write("gold,logprob_a,logprob_b\na,-0.1053605,-4.6051702\na,-1.6094379,-2.3025851\n")
    found = report(path, 0.5)
    assert found.label_mass == pytest.approx((0.91 + 0.3) / 2, abs=1e-6)
    assert found.accepted.n == 1
    assert found.pending.reasons == {"low_label_mass": 1}


def test_a_label_with_a_number(write: Write) -> None:
    """There is no distribution, so figures that need one are null; rows without a number are only counted."""
    found = report(write("gold,pred,confidence\na,a,0.9\nb,a,0.8\nb,b,\na,,0.4\n"), 0.85)
    assert (found.n, found.accuracy, found.unanswered, found.n_confidence) == (4, 0.5, 1, 2)
    assert (found.log_loss, found.brier, found.n_scored) == (None, None, 0)
    assert (found.accepted.n, found.accepted.errors) == (1, 0)
    bare = report(write("gold,pred\na,a\nb,a\n"))
    assert (bare.accuracy, bare.ece, bare.auroc, bare.n_confidence) == (0.5, None, None, 0)


def test_right_or_wrong_with_a_number(write: Write) -> None:
    """Nothing is known of categories: their figures are null, and lists empty; those of the confidence are as ever."""
    found = report(write("correct,confidence\n1,0.9\n0,0.6\ntrue,0.8\nFALSE,0.3\n"), 0.7)
    assert (found.accuracy, found.accepted.n, found.accepted.errors, found.auroc) == (0.5, 2, 0, 1)
    for name in ("balanced_accuracy", "macro_f1", "macro_f1_interval", "weighted_f1", "log_loss", "brier", "taxonomy_hash"):
        assert getattr(found, name) is None
    assert (found.per_category, found.confusions, found.categories_without_tickets) == ((), (), ())
    assert found.pending.n_candidates == 0


def test_jsonl_holds_numbers(tmp_path: Path) -> None:
    """As JSON has them."""
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": 1, "gold": "a", "a": 0.75, "b": 0.25}\n{"id": 2, "gold": "b", "a": 1, "b": 0}\n', encoding="utf-8")
    found = report(path)
    assert (found.accuracy, found.log_loss_clipped) == (0.5, 1)


def test_tickets_that_belong_to_none(write: Write) -> None:
    """With --none-label they are errors whatever is accepted; where it has a column, or is an answer, it is a category."""
    found = report(write("gold,pred,confidence\na,a,0.9\noos,a,0.8\n"), 0.5, none_label="oos")
    assert (found.outside.n, found.outside.accepted, found.accepted.errors) == (1, 1, 1)
    answered = report(write("gold,pred,confidence\na,a,0.9\noos,oos,0.8\n"), 0.5, none_label="oos")
    assert (answered.accuracy, answered.pending.reasons) == (1, {"none_of_these": 1})
    scored = report(write("gold,a,oos\na,0.9,0.1\noos,0.3,0.7\n"), 0.5, none_label="oos")
    assert (scored.accuracy, scored.outside.auroc["catch_all"]) == (1, 1)
    mapped = report(write("gold,pred\nnone,none\nrefund,退款\n"), taxonomy=TREE, none_label="none")
    assert mapped.accuracy == 0.5


def test_categories_may_be_called_like_fields_of_a_ticket(write: Write) -> None:
    """Under a taxonomy a column is what the taxonomy says."""
    taxonomy = Taxonomy.from_labels(["text", "title"])
    stored = read_predictions(write("gold,text,title\ntext,0.9,0.1\n"), taxonomy=taxonomy)
    assert (stored.rows[0].ticket.content, stored.rows[0].ticket.title) == ("", "")
    assert evaluate(judged_predictions(stored, Router(taxonomy)), taxonomy).accuracy == 1


# -- beside the file of tickets --------------------------------------------------------------------


@pytest.fixture
def tickets(tmp_path: Path) -> list[TicketRow]:
    """Three labelled tickets."""
    path = tmp_path / "t.csv"
    path.write_text(
        "id,content,category,channel\nT1,我要退款,退款,chat\nT2,where is my money,refund,mail\nT3,x,other,mail\n",
        encoding="utf-8",
    )
    return list(read_tickets(path))


def test_predictions_are_joined_to_their_tickets(write: Write, tickets: list[TicketRow]) -> None:
    """In any order; text, fields and labels come from the tickets, whose texts are gated; a ticket without a prediction is wrong."""
    path = write("id,pred,confidence\nT3,other,0.9\nT1,退款,0.9\n")
    stored = read_predictions(path, taxonomy=TREE, labels=[row.category or "" for row in tickets])
    judged = judged_predictions(stored, Router(TREE, Policy(threshold=0.5)), tickets=tickets, by=["channel", "language"])
    assert [ticket.gold for ticket in judged] == ["退款", "refund", "other"]
    assert judged[0].text == "我要退款"
    assert judged[0].fields == {"channel": "chat", "language": "guessed zh"}
    found = evaluate(judged, TREE)
    assert (found.unanswered, found.accuracy, found.accepted.n) == (1, 2 / 3, 1)
    assert found.pending.reasons == {"too_short": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "id,pred\nT1,退款\nT9,refund\n",
            "p.csv:3: a prediction for the ticket 'T9', which is not there; give the file of tickets",
        ),
        ("id,pred\nT1,退款\nT1,refund\n", "p.csv:3: a second prediction for the ticket 'T1'; remove one"),
        (
            "id,gold,pred\nT1,refund,退款\n",
            "p.csv:2: gold: the true category is 'refund' here and '退款' in the file of tickets; mend one",
        ),
    ],
)
def test_predictions_that_do_not_fit_their_tickets(write: Write, tickets: list[TicketRow], text: str, words: str) -> None:
    """One line that says where."""
    with pytest.raises(InputError) as caught:
        report(write(text), tickets=tickets, taxonomy=TREE)
    assert words in str(caught.value)


def test_one_prediction_is_for_one_ticket(write: Write, tickets: list[TicketRow]) -> None:
    """Two messages of a thread are two tickets, and may belong to two categories."""
    with pytest.raises(
        InputError, match="two tickets have the id 'T1', the second on line 2 of their file; give each ticket an id"
    ):
        report(write("id,pred\nT1,退款\n"), tickets=[*tickets, tickets[0]], taxonomy=TREE)


def test_a_ticket_that_nobody_labelled(write: Write, tickets: list[TicketRow]) -> None:
    """In neither file."""
    bare = [TicketRow(ticket=row.ticket, category=None, line=row.line) for row in tickets]
    stored = read_predictions(write("id,gold,pred\nT1,退款,退款\n"), taxonomy=TREE)
    with pytest.raises(InputError, match="no true category for the ticket 'T2'; label it in one of the two files"):
        judged_predictions(stored, Router(TREE), tickets=bare)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "facts", "words"),
    [
        ("gold,pred\nrefund,refund\nrefnd,refund\n", {"taxonomy": TREE}, ":3: unknown category 'refnd'; did you mean 'refund'?"),
        (
            "gold,pred\nrefund,refund\nrefund,refnd\n",
            {"taxonomy": TREE},
            ":3: pred: unknown category 'refnd'; did you mean 'refund'?",
        ),
        ("gold,pred\nsales,refund\n", {"taxonomy": TREE}, ":2: the category 'sales' has sub-categories; name one of them"),
        (
            "gold,pred\nrefund,sales\n",
            {"taxonomy": TREE},
            ":2: pred: the category 'sales' has sub-categories; name one of them: refund, 退款",
        ),
        ("gold,a,b\na,0.5,0.5\nbb,0.5,0.5\n", {}, ":3: unknown category 'bb'; did you mean 'b'?"),
        ("gold,a,b\na,0.5,0.5\n,0.5,0.5\n", {}, ":3: no category in this row; label it or remove the row"),
        ("gold,pred\n,a\n,b\n", {}, ":2: no category in this row; label it or remove the row"),
        ("gold,a,b\n", {}, ": the file holds no predictions; give a file with a row for each ticket"),
        ("", {}, ": the file is empty"),
        ("gold,a,b\na,0.5,nan\n", {}, ":2: b: 'nan' is no finite number"),
        ("gold,a,b\na,0.5,-inf\n", {"scale": "logprob"}, ":2: b: '-inf' is no finite number"),
        ("gold,a,b\na,0.5,\n", {}, ":2: b: an empty cell is no number"),
        (
            "gold,a,b\na,0.5,often\n",
            {},
            ":2: b: 'often' is no number; name columns that hold no scores with --by, or give the --taxonomy",
        ),
        ("gold,a,b\na,0.5,0.47\n", {}, ":2: the probabilities sum to 0.97; mend them, or say what they are with --scores"),
        ("gold,a,b\na,1.2,-0.2\n", {}, ":2: a probability is negative; are these logits? then add --scores logit"),
        ("gold,a,b\na,0.2,-0.2\n", {"scale": "logprob"}, ":2: the probabilities sum to more than 1; are these logits?"),
        ("gold,pred,confidence\na,a,1.2\n", {}, ":2: confidence: 1.2 is not between 0 and 1; divide per cents by 100"),
        ("gold,pred,confidence\na,a,NaN\n", {}, ":2: confidence: 'NaN' is no finite number"),
        ("correct,confidence\n1,0.5\nyes,0.5\n", {}, ":3: correct: 'yes' is neither 1 nor 0; write 1 for right and 0 for wrong"),
        ("correct,confidence\n,0.5\n", {}, ":2: correct: '' is neither 1 nor 0"),
        (
            "id,a,b\n1,0.5,0.5\n",
            {},
            ": no column 'gold'; name the column of true categories with --category-column; the file has: id, a, b",
        ),
        ("id,gold\n1,a\n", {}, ": no column of scores, and none called 'pred' or 'correct'; give each category a column"),
        ("gold,refund,退款,log\nrefund,1,0,0\n", {"taxonomy": TREE}, ": no column for the category 'login'; did you mean 'log'?"),
    ],
)
def test_what_cannot_be_used(write: Write, text: str, facts: dict[str, Any], words: str) -> None:
    """One line that says what, where and how to mend it."""
    with pytest.raises(InputError) as caught:
        report(write(text), **facts)
    assert f"p.csv{words}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rounded_probabilities_are_taken(write: Write) -> None:
    """Within 0.01 of 1; they are made to sum to 1."""
    found = report(write("gold,a,b,c\na,0.33,0.33,0.33\n"))
    assert found.log_loss == pytest.approx(np.log(3))


def test_one_class_only(write: Write) -> None:
    """Figures that compare classes are those of one; what needs wrong and right is null."""
    found = report(write("gold,pred,confidence\na,a,0.9\na,a,0.8\n"), 0.5)
    assert (found.accuracy, found.macro_f1, found.auroc) == (1, 1, None)
    assert [row.category for row in found.per_category] == ["a"]


def test_named_columns(write: Write) -> None:
    """Of id, label and text."""
    path = write("nr,truth,body,pred\nX1,a,你好吗,a\n")
    stored = read_predictions(path, columns=Columns(id="nr", category="truth", text="body"))
    assert (stored.rows[0].ticket.id, stored.rows[0].gold, stored.rows[0].ticket.content) == ("X1", "a", "你好吗")
    assert stored.has_ids
    assert isinstance(stored.rows[0].answer, SingleLabel)


def test_former_ids_are_carried(write: Write) -> None:
    """As the taxonomy says, in both columns; the rows remember it."""
    taxonomy = Taxonomy(categories=(Category(id="refund", was=("money",)), Category(id="login")))
    stored = read_predictions(write("gold,pred\nmoney,refund\nlogin,money\n"), taxonomy=taxonomy)
    assert [(row.gold, row.was) for row in stored.rows] == [("refund", "money"), ("login", None)]
    assert evaluate(judged_predictions(stored, Router(taxonomy)), taxonomy).accuracy == 0.5
