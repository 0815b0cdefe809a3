"""The bar an engine has to clear."""

from __future__ import annotations

import pytest

from llmtriage.evaluation.baselines import baseline_accuracies
from llmtriage.evaluation.judging import Judged
from llmtriage.outcomes import Pending, Reason
from llmtriage.predictions import Example

WAITING = Pending(suggestion=None, reasons=(Reason(code="uncalibrated"),))
EXAMPLES = [
    Example(text="I want my money back", category="refund"),
    Example(text="please refund the money", category="refund"),
    Example(text="where is my parcel", category="delivery"),
    Example(text="the parcel never arrived", category="delivery"),
    Example(text="我要退款", category="refund"),
    Example(text="退款一直没到账", category="refund"),
    Example(text="快递到哪里了", category="delivery"),
]


def judged(*pairs: tuple[str, str]) -> list[Judged]:
    """Tickets with their true category."""
    return [Judged(gold=gold, outcome=WAITING, text=text) for text, gold in pairs]


TICKETS = judged(
    ("my money please", "refund"), ("parcel still not here", "delivery"), ("快递还没来", "delivery"), ("退款", "refund")
)


def test_the_svm_learns_english_and_chinese() -> None:
    """Words carry English, characters Chinese."""
    assert baseline_accuracies(EXAMPLES, TICKETS)["linear_svm"] == 1


def test_the_majority_is_that_of_the_examples() -> None:
    """A constant answer is learnt from the examples, not from the tickets it is measured on."""
    tickets = judged(("a", "delivery"), ("b", "delivery"), ("c", "refund"))
    assert baseline_accuracies(EXAMPLES, tickets)["majority"] == pytest.approx(1 / 3)
    assert baseline_accuracies(EXAMPLES, tickets)["majority_of_evaluated"] == pytest.approx(2 / 3)


def test_without_examples_only_the_hindsight_is_left() -> None:
    """Nothing learnt is None; the share of the largest category among the tickets says so under its own name."""
    assert baseline_accuracies([], TICKETS) == {"majority": None, "linear_svm": None, "majority_of_evaluated": 0.5}


def test_without_tickets_there_is_no_accuracy() -> None:
    """No tickets, no figures."""
    assert set(baseline_accuracies(EXAMPLES, []).values()) == {None}


@pytest.mark.parametrize(
    ("examples", "expected"),
    [
        pytest.param([Example(text="hello", category="refund")], 0.5, id="one category: the constant answer"),
        pytest.param(
            [Example(text="??", category="refund"), Example(text="", category="delivery")], None, id="not a single word"
        ),
        pytest.param(
            [Example(text="我", category="refund"), Example(text="a", category="delivery")], 1.0, id="single characters"
        ),
    ],
)
def test_poor_examples_do_not_break_the_svm(examples: list[Example], expected: float | None) -> None:
    """Where there is nothing to learn from, there is a constant answer or none."""
    assert baseline_accuracies(examples, judged(("我", "refund"), ("a", "delivery")))["linear_svm"] == expected


def test_a_category_for_almost_every_example_is_no_warning() -> None:
    """Scikit-learn would take it for a regression and say so; in these tests a warning is an error."""
    examples = [Example(text=f"text {n}", category=f"c{n}") for n in range(25)]
    assert baseline_accuracies(examples, judged(("text 11", "c11")))["linear_svm"] == 1.0


def test_equal_input_gives_equal_figures() -> None:
    """Nothing is left to chance."""
    assert baseline_accuracies(EXAMPLES, TICKETS) == baseline_accuracies(EXAMPLES, TICKETS)
