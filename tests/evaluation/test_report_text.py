"""A report as text for a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from llmtriage.errors import UnknownNameError
from llmtriage.evaluation import Judged, Report, evaluate
from llmtriage.evaluation.text import Language, report_text
from llmtriage.outcomes import Accepted, Pending, Reason
from llmtriage.predictions import Prediction, SingleLabel
from llmtriage.taxonomy import Taxonomy
from llmtriage.terminal import neutral

LABELS = ["refund", "物流查询", "a" * 80]
TAXONOMY = Taxonomy.from_labels(LABELS)
HOSTILE = "pay\x1b[2J\x07 \u202eevil\u2066\r\n\x9b31m"


def judged(gold: str, predicted: str | None, text: str = "hello", *, accept: bool = False) -> Judged:
    """A ticket with the engine's answer."""
    prediction = (
        Prediction(answer=SingleLabel(category=predicted, score=0.75), source="verbalized", model="m") if predicted else None
    )
    if accept and predicted:
        return Judged(
            gold=gold,
            outcome=Accepted(category=predicted, team=None, confidence=None, score=0.75, prediction=prediction),
            text=text,
        )
    return Judged(
        gold=gold, outcome=Pending(suggestion=None, reasons=(Reason(code="timeout"),), prediction=prediction), text=text
    )


def report(*tickets: Judged, **facts: Any) -> Report:
    """The report on these tickets."""
    return evaluate(tickets, TAXONOMY, **facts)


FULL = report(
    judged("refund", "refund", accept=True),
    judged("refund", "物流查询", "我的包裹在哪里？" * 20),
    judged(LABELS[2], "refund", HOSTILE),
    judged("物流查询", None),
    baselines={"majority": 0.25, "linear_svm": None, "mine": 1.0},
    backend="lexical",
    seconds=2.0,
    usage={"prompt_tokens": 12345, "output_tokens": None, "attempts": 5, "untold": 1},
)


@pytest.mark.parametrize(
    ("language", "line"),
    [
        pytest.param("en", "Tickets                  4, 1 of them without an answer (they count as wrong)", id="tickets"),
        pytest.param("en", "Right                    25.0 % (95 % interval 0.6 % to 80.6 %)", id="accuracy"),
        pytest.param("en", "Wrong among routed       0.0 % (0 of 1; 95 % interval 0.0 % to 97.5 %)", id="risk"),
        pytest.param("en", "Log loss                 -", id="a figure that does not exist"),
        pytest.param("en", "Time                     2.0 s, 2.0 tickets a second", id="time"),
        pytest.param("en", "Usage                    prompt tokens 12,345, attempts 5, answers without a count 1", id="usage"),
        pytest.param("en", "3  timeout  The model did not answer in time.", id="reason"),
        pytest.param("en", "linear SVM on TF-IDF, same examples                -", id="baseline that does not exist"),
        pytest.param("en", "mine                                         100.0 %", id="baseline of the caller"),
        pytest.param("zh", "正确率                25.0 %（95 % 区间 0.6 % 至 80.6 %）", id="accuracy in Chinese"),
        pytest.param("zh", "3  timeout  模型未在时限内回答。", id="reason in Chinese"),
        pytest.param("zh", "TF-IDF 线性 SVM（同样的示例）        -", id="baseline in Chinese"),
    ],
)
def test_lines(language: Language, line: str) -> None:
    """What a person reads, aligned also where characters take two columns."""
    assert line in report_text(FULL, language=language).splitlines()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_asked_for(language: Language, width: int) -> None:
    """Long ids, long tickets and Chinese stay within the width."""
    assert all(cell_len(line) <= width for line in report_text(FULL, language=language, width=width).splitlines())


def test_columns_of_categories_are_aligned() -> None:
    """Every line of the table ends in the same column, whatever script the id is in."""
    lines = report_text(FULL, language="zh").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("各类别"))
    assert len({cell_len(line) for line in lines[start + 1 : start + 5]}) == 1


def test_categories_without_a_ticket_stand_last() -> None:
    """They have no F1 that could be weak."""
    shown = report_text(
        report(judged("refund", "物流查询"), judged("refund", "refund"), judged(LABELS[2], "refund"))
    ).splitlines()
    start = next(i for i, line in enumerate(shown) if line.startswith("Categories"))
    assert [line.split()[0][:6] for line in shown[start + 2 : start + 5]] == ["aaaaaa", "refund", "物流查询"]


def test_the_head_names_threshold_and_examples() -> None:
    """If they are told."""
    lines = report_text(
        report(judged("refund", "refund"), settings={"threshold": None, "examples": 7}), language="zh"
    ).splitlines()
    assert [line.split() for line in lines[2:4]] == [["阈值", "无：不自动接受"], ["示例数", "7"]]


def test_hostile_tickets_are_harmless() -> None:
    """No escape sequence, line break or writing direction of a ticket reaches the terminal."""
    text = report_text(FULL)
    assert "| pay\ufffd[2J\ufffd \ufffdevil\ufffd \ufffd31m" in text
    assert all(line.isprintable() for line in text.splitlines())


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_neutral_text_is_printable(text: str) -> None:
    """Any text becomes one printable line; printable text stays as it is."""
    assert neutral(text).isprintable()
    assert len(neutral(text)) == len(text)
    if text.isprintable():
        assert neutral(text) == text


def test_hostile_names_are_harmless() -> None:
    """Labels of a model, the engine and baselines are no more trusted than tickets."""
    text = report_text(report(judged("refund", "\x1b[31mx"), backend="\x1b[0m", baselines={"\u202e{n}": 0.5}, usage={"\x07": 3}))
    assert all(line.isprintable() for line in text.splitlines())


def test_empty_sections_are_left_out() -> None:
    """A run without errors, waiting tickets and baselines has no headings for them."""
    text = report_text(report(judged("refund", "refund", accept=True)))
    assert "confusions" not in text
    assert "Why" not in text
    assert "Compared" not in text
    assert "Usage" not in text
    assert text.endswith("\n")


def test_another_language_is_refused() -> None:
    """Only English and Chinese exist."""
    with pytest.raises(UnknownNameError, match="unknown language 'de'"):
        report_text(FULL, language="de")  # type: ignore[arg-type]
