"""`--language zh`: all that a person reads, but no code, flag or key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llmtriage.cli import ask, asked, classify, making, prompt, stored, taxonomy
from llmtriage.outcomes import Pending, Reason
from llmtriage.runner import outcome_cells
from llmtriage.tickets import Ticket, TicketRow

if TYPE_CHECKING:
    from cli.conftest import Cli


@pytest.mark.parametrize("code", ["zh", "zh-CN", "zh_CN", "ZH-hans", "zh_CN.UTF-8"])
def test_codes_of_chinese(cli: Cli, code: str) -> None:
    """The country says nothing here."""
    assert "确认" in cli("ask", "退款", "--language", code, "--quiet").out


def test_codes_of_english(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from a variable or the settings file."""
    assert cli("ask", "退款", "--language", "en-US", "--quiet").out.startswith("pending")
    monkeypatch.setenv("LLMTRIAGE_LANGUAGE", "en_GB")
    assert cli("ask", "退款", "--quiet").out.startswith("pending")
    (tmp_path / "llmtriage.toml").write_text('language = "zh_CN"\n', encoding="utf-8")
    monkeypatch.delenv("LLMTRIAGE_LANGUAGE")
    assert "确认" in cli("ask", "退款", "--quiet").out


def test_a_table(cli: Cli) -> None:
    """Head, outcomes, notices and counts."""
    done = cli("classify", "tickets.csv", "--language", "zh")
    assert done.out.splitlines()[0].split() == ["编号", "结果", "类别", "团队", "得分", "正文，或等待人工的原因"]
    assert "待人工" in done.out
    assert done.err.splitlines()[0] == "注意：没有校准，也没有 --threshold：不自动接受，全部等待人工确认"
    assert re.match(r"5 张工单：接受 0（0%），待人工确认 5，\d+\.\d 秒$", done.err.splitlines()[1])
    assert " 接受 " in cli("classify", "tickets.csv", "--language", "zh", "--threshold", "0.1").out


def test_the_rest_of_classify(cli: Cli, tmp_path: Path) -> None:
    """Files named, nothing read, ids that stand twice."""
    flags = ["--language", "zh", "--threshold", "0.3"]
    done = cli("classify", "tickets.csv", "-o", "out.csv", "--pending", "wait.csv", *flags)
    assert done.err.splitlines()[-2:] == ["结果：out.csv", "待人工确认：wait.csv"]
    (tmp_path / "none.csv").write_text("id,content\n", encoding="utf-8")
    assert cli("classify", "none.csv", *flags).err == "文件中没有工单：结果为空\n"
    (tmp_path / "twice.csv").write_text("id,content\na,退款\na,退款\n", encoding="utf-8")
    assert cli("classify", "twice.csv", *flags).err.splitlines()[-1] == "注意：1 张工单的编号与前面的重复（第一个：'a'，第 3 行）"


def test_the_sample_taxonomy(cli: Cli, tmp_path: Path) -> None:
    """The notice, and the marks of categories."""
    (tmp_path / "taxonomy.yaml").unlink()
    done = cli("taxonomy", "show", "--language", "zh")
    assert done.err == "注意：没有 --taxonomy，也没有 ./taxonomy.yaml：使用示例分类体系\n"
    assert "（一律人工）" in done.out
    assert "（以上都不是）" in done.out
    assert "always review" not in done.out


def test_the_foot_of_a_prompt(cli: Cli) -> None:
    """Hash, length and what was prepared."""
    last = cli("prompt", "退款", "--language", "zh", "--quiet").out.splitlines()[-1]
    assert re.match(r"--- 提示词 \w+，约 \d+ 个 token（估计），预处理：无需处理$", last)


def test_evaluate_notices_examples(cli: Cli, tmp_path: Path) -> None:
    """In the language of the report."""
    (tmp_path / "l.csv").write_text("content,category\n退款,refund\n", encoding="utf-8")
    assert (
        cli("evaluate", "l.csv", "--examples", "l.csv", "--language", "zh").err == "注意：1 张工单中有 1 张也在示例中：数字偏高\n"
    )


@pytest.mark.parametrize(("language", "gap"), [("zh", ""), ("zh-CN", ""), ("en", " ")])
def test_sentences_of_reasons_are_joined_as_the_language_does(language: str, gap: str) -> None:
    """Chinese has no space between sentences."""
    reasons = (Reason(code="below_threshold"), Reason(code="always_review"))
    row = TicketRow(ticket=Ticket(content="x", id="1"), category=None, line=2)
    cells = outcome_cells(row, Pending(suggestion=None, reasons=reasons), run="r", language=language)
    assert cells["why"] == gap.join(reason.sentence(language) for reason in reasons)


@pytest.mark.parametrize(
    "words",
    [
        ask._WORDS,
        asked._FLATTERS,
        classify._WORDS,
        making._SAMPLE_IS_USED,
        making._NOTHING_IS_ACCEPTED,
        prompt._WORDS,
        stored._WORDS,
        taxonomy._MARKS,
    ],
    ids=["ask", "asked", "classify", "sample", "nothing accepted", "prompt", "stored", "taxonomy"],
)
def test_both_languages_say_the_same_things(words: dict[str, Any]) -> None:
    """With the same facts in them."""
    assert list(words) == ["en", "zh"]
    english, chinese = words["en"], words["zh"]
    if isinstance(english, dict):
        assert list(english) == list(chinese)
        for key, text in english.items():
            assert sorted(re.findall(r"{[^}]*}", text)) == sorted(re.findall(r"{[^}]*}", chinese[key]))
