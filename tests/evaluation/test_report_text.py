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
        pytest.param("en", "Tickets             4, right 25.0 % (95 % interval 4.6 % to 69.9 %)", id="tickets"),
        pytest.param("en", "Without an answer   1 (counted as wrong)", id="without an answer"),
        pytest.param("en", "Macro F1            0.167 (rare categories count as much)", id="macro F1"),
        pytest.param("en", "Routed by itself    25.0 % (1 of 4)", id="coverage"),
        pytest.param("en", "Wrong among routed  0.0 % (0 of 1; 95 % interval 0.0 % to 97.5 %)", id="risk"),
        pytest.param(
            "en", "Calibration         agrees: ECE 0.417 (a perfect model shows up to 0.417 with 3 tickets)", id="calibration"
        ),
        pytest.param("en", "Cost of 1,000       750 (1,000 all by hand; an error taken as 20, a review as 1)", id="cost"),
        pytest.param("en", "Most confused       refund -> 物流查询 (1)", id="most confused"),
        pytest.param("en", f"                    {'a' * 80} -> refund (1)"[:99] + "…", id="second most confused"),
        pytest.param("en", "Log loss                 -", id="a figure that does not exist"),
        pytest.param("en", "Time                     2.0 s, 2.0 tickets a second", id="time"),
        pytest.param(
            "en",
            "Usage                    prompt tokens 12,345, attempts 5, answers without a count 1",
            id="usage",
        ),
        pytest.param("en", "3  timeout  The model did not answer in time.", id="reason"),
        pytest.param("en", "linear SVM on TF-IDF, same examples                -", id="baseline that does not exist"),
        pytest.param("en", "mine                                         100.0 %", id="baseline of the caller"),
        pytest.param("zh", "工单数            4，正确 25.0 %（95 % 区间 4.6 % 至 69.9 %）", id="tickets in Chinese"),
        pytest.param(
            "zh", "校准              相符：ECE 0.417（完美的模型在 3 张工单上最多为 0.417）", id="calibration in Chinese"
        ),
        pytest.param("zh", "每 1,000 张成本   750（全部人工为 1,000；错误计 20，人工确认计 1）", id="cost in Chinese"),
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
    start = next(i for i, line in enumerate(shown) if line.startswith("Categories, weakest"))
    assert [line.split()[0][:6] for line in shown[start + 2 : start + 5]] == ["aaaaaa", "refund", "物流查询"]


def test_the_head_names_threshold_and_examples() -> None:
    """If they are told."""
    lines = report_text(
        report(judged("refund", "refund"), settings={"threshold": None, "examples": 7}), language="zh"
    ).splitlines()
    assert [line.split() for line in lines[2:4]] == [["阈值", "无：不自动接受"], ["示例数", "7"]]


@pytest.mark.parametrize(
    ("predicted", "language", "words"),
    [
        ("refund", "en", "too sure: ECE 0.750 (a perfect model"),
        ("refund", "zh", "过于自信：ECE 0.750（完美的模型"),
        ("物流查询", "en", "too cautious: ECE 0.250 (a perfect model"),
        ("物流查询", "zh", "过于保守：ECE 0.250（完美的模型"),
    ],
)
def test_the_verdict_in_words(predicted: str, language: Language, words: str) -> None:
    """Always right or always wrong with 0.75."""
    text = report_text(report(*[judged("物流查询", predicted)] * 60), language=language)
    assert words in text


def test_the_summary_has_seven_lines() -> None:
    """And as many more as there are confusions behind the first, five in all; the threshold stands where it counts."""
    labels = Taxonomy.from_labels(list("abcdefgh"))
    wrong = [judged("a", other) for other in "bcdefgh"]
    lines = report_text(evaluate([*wrong, judged("a", "a")], labels, settings={"threshold": 0.5})).splitlines()
    start = lines.index("") + 1
    shown = lines[start : lines.index("", start)]
    assert [line[:20].strip() for line in shown if line[0] != " "] == [
        *("Tickets", "Macro F1", "Routed by itself", "Wrong among routed", "Calibration", "Cost of 1,000", "Most confused")
    ]
    assert sum(" -> " in line for line in shown) == 5
    assert "Routed by itself    0.0 % (0 of 8; threshold 0.5)" in shown


def test_without_numbers_there_is_no_verdict() -> None:
    """Nor any figure of confidence; a dash stands for each."""
    text = report_text(report(judged("refund", None)))
    assert "Calibration         -" in text
    assert "Most confused       -" in text
    assert "AUROC of the confidence  -" in text
    assert "Coverage at a risk" not in text


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
