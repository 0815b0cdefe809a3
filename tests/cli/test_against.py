"""`evaluate --against`, and the flags that choose the examples of a prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytestmark = pytest.mark.usefixtures("by_json")

if TYPE_CHECKING:
    from cli.conftest import Cli, Serve

LABELLED = """\
title,content,category
Refund,I want my money back for the lamp,refund
,退款什么时候到账呀,refund
,refund of the shipping fee,refund
Parcel,where is my parcel today,parcel
,快递到哪里了,parcel
,the parcel never arrived at home,parcel
,cannot sign in with the new password,login
,忘记密码登录不了,login
,password reset mail does not come,login
,do you like music,other
"""


def chat(text: str) -> bytes:
    """The body of an answer with this text."""
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A labelled file."""
    path = tmp_path / "labelled.csv"
    path.write_text(LABELLED, encoding="utf-8")
    return path


def test_two_settings_side_by_side(cli: Cli, labelled: Path) -> None:
    """Figures of both, the verdict, the labels that this cost."""
    done = cli(
        "evaluate", labelled, "--examples", labelled, "--threshold", "0.3", "--against", "shots=0,threshold=0.9", "--quiet"
    )
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:3] == [
        "Two settings on the same tickets",
        "first   as the flags say: lexical",
        "second  shots=0,threshold=0.9: lexical",
    ]
    named = [line.split("  ")[0] for line in lines[5:14]]
    assert named == [
        "Without an answer",
        "Right",
        "Log loss",
        "Routed by itself",
        "Wrong among routed",
        "Cost of 1,000",
        "Tokens in, a ticket",
        "Tokens out, a ticket",
        "Time, s",
    ]
    assert "Labels used: labelled.csv, 10 tickets, digest " in done.out
    assert "These labels are now used up: do not calibrate, certify or report on them." in lines


@pytest.mark.parametrize(
    ("against", "words"),
    [
        ("shots=3", "both settings come to the same"),
        ("selector=static", "both settings come to the same"),
        ("selector=nearest", "nearest has no examples to choose from"),
    ],
)
def test_what_cannot_differ_is_not_compared(cli: Cli, labelled: Path, against: str, words: str) -> None:
    """It would cost money and labels, and say nothing."""
    done = cli("evaluate", labelled, "--against", against, "--quiet")
    assert done.code == 2
    assert words in done.err


def test_the_comparison_in_chinese(cli: Cli, labelled: Path) -> None:
    """All of it."""
    done = cli("evaluate", labelled, "--language", "zh", "--against", "without=html", "--quiet")
    assert done.code == 0
    assert done.out.startswith("两种设置在同一批工单上的比较\n第一种  按命令行参数：lexical\n第二种  without=html：lexical\n")
    assert "这些标注不足以判断哪种正确率更高" in done.out
    assert "这些标注已经用掉：不要再用它们校准、认证或报告结果。" in done.out


@pytest.mark.slow
def test_the_comparison_as_json(cli: Cli, labelled: Path) -> None:
    """Each side is what evaluate alone says about it, times apart; the same labels have the same digest."""
    done = cli("evaluate", labelled, "--examples", labelled, "--against", "shots=1", "--json", "--quiet")
    data = json.loads(done.out)
    assert list(data) == ["first", "second", "difference", "labels"]
    for side, extra in (("first", []), ("second", ["--shots", "1"])):
        alone = json.loads(cli("evaluate", labelled, "--examples", labelled, *extra, "--json", "--quiet").out)
        assert {**data[side], "seconds": 0, "tickets_per_second": 0} == {
            **alone,
            **{key: data[side][key] for key in ("setting", "tokens_in", "tokens_out")},
            "seconds": 0,
            "tickets_per_second": 0,
        }
    assert (data["first"]["setting"], data["second"]["setting"]) == (None, "shots=1")
    assert data["difference"]["accuracy"] == pytest.approx(data["second"]["accuracy"] - data["first"]["accuracy"])
    assert len(data["difference"]["sentences"]) == 2
    assert (data["labels"]["file"], data["labels"]["n"], len(data["labels"]["digest"])) == ("labelled.csv", 10, 16)
    again = json.loads(cli("evaluate", labelled, "--against", "without=html", "--json", "--quiet").out)
    assert again["labels"] == data["labels"]
    assert again["difference"]["accuracy"] == 0


def test_two_ways_of_one_llm(cli: Cli, labelled: Path, serve: Serve) -> None:
    """The second asks after the first; without a distribution there is no log loss; tokens nobody told are null."""
    server = serve(lambda number: (200, chat(json.dumps({"category": "refund" if number <= 10 else "login", "confidence": 0.9}))))
    done = cli(
        *("evaluate", labelled, "--backend", server.backend, "--examples", labelled, "--concurrency", 1),
        *("--against", "selector=nearest,nearest=2", "--json", "--quiet"),
    )
    data = json.loads(done.out)
    assert server.requests == 20
    assert (data["first"]["accuracy"], data["second"]["accuracy"]) == (0.3, 0.3)
    difference = data["difference"]
    assert (difference["only_first_right"], difference["only_second_right"], difference["p"]) == (3, 3, 1)
    assert (difference["log_loss"], difference["more_accurate"], data["first"]["tokens_in"]) == (None, None, None)
    assert data["first"]["run"] != data["second"]["run"]


@pytest.mark.slow
def test_another_engine(cli: Cli, labelled: Path, serve: Serve) -> None:
    """An LLM against the embedded engine; a comma within a value is no end of it."""
    server = serve(lambda _: (200, chat('{"category": "refund", "confidence": 1}')))
    named = labelled.rename(labelled.with_name("a,b.csv"))
    done = cli(
        "evaluate", named, "--backend", server.backend, "--against", "backend=lexical,examples=a,b.csv", "--json", "--quiet"
    )
    data = json.loads(done.out)
    assert (data["first"]["backend"], data["second"]["backend"]) == (server.backend, "lexical")
    assert data["second"]["settings"]["examples"] == 10
    assert data["difference"]["more_accurate"] == "second"


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("shotss=5", "--against: unknown key 'shotss'; did you mean 'shots'?"),
        ("selector", "--against: not KEY=VALUE: 'selector'; write it like selector=nearest,nearest=6"),
        ("", "--against: not KEY=VALUE: ''; write it like selector=nearest,nearest=6"),
        ("shots=1,shots=2", "--against: shots is given twice; give it once"),
        ("selector=neerest", "--against: selector: 'neerest' is not one of 'static', 'nearest'; did you mean 'nearest'?"),
        ("nearest=0", "--against: nearest: 0 is not in the range x>=1; mend that value"),
        ("threshold=nan", "--against: threshold: 'nan' is not a valid number; mend that value"),
        ("title_column=x", "--against: unknown key 'title_column'; known: taxonomy, backend,"),
        ("backend=lexica", "backend: unknown backend 'lexica'; did you mean 'lexical'?"),
        ("without=htm", "without: unknown step of preparation 'htm'; did you mean 'html'?"),
        ("examples=nowhere.csv", "nowhere.csv: no such file; check the path"),
    ],
)
def test_what_cannot_be_compared(cli: Cli, labelled: Path, serve: Serve, against: str, message: str) -> None:
    """One line, exit code 2, and nothing was sent."""
    server = serve(lambda _: (200, chat("{}")))
    done = cli("evaluate", labelled, "--backend", server.backend, "--against", against, "--quiet")
    assert (done.code, done.out, server.requests) == (2, "", 0)
    assert done.err.startswith(f"llmtriage: {message}")
    assert done.err.count("\n") == 1


def test_a_truth_value_is_true_or_false(cli: Cli, labelled: Path) -> None:
    """In any spelling that click takes; else the line says how."""
    done = cli("evaluate", labelled, "--against", "departments=true,without=html,without=signature", "--json", "--quiet")
    data = json.loads(done.out)
    assert (data["first"]["settings"]["departments"], data["second"]["settings"]["departments"]) == (False, True)
    done = cli("evaluate", labelled, "--against", "--rationale=maybe", "--quiet")
    assert done.code == 2
    assert done.err.endswith("; write true or false\n")


def test_limits_are_for_one_setting(cli: Cli, labelled: Path) -> None:
    """Which of two would they judge?"""
    done = cli("evaluate", labelled, "--against", "shots=1", "--fail-under", "accuracy=0.5")
    assert (done.code, done.err) == (
        2,
        "llmtriage: --against: limits are for one setting; leave out --fail-under and --fail-over\n",
    )


def test_a_label_that_the_second_taxonomy_does_not_know(cli: Cli, labelled: Path, tmp_path: Path) -> None:
    """Found before anything is sent."""
    (tmp_path / "small.yaml").write_text("categories: [{id: refund}, {id: parcel}]\n", encoding="utf-8")
    done = cli("evaluate", labelled, "--against", "taxonomy=small.yaml", "--quiet")
    assert done.code == 2
    assert "'login'" in done.err


def test_the_prompt_shows_the_examples_of_the_ticket(cli: Cli, labelled: Path) -> None:
    """Exactly what would be sent: the shared block in the first message, the nearest last and then the ticket in the second."""
    flags = [
        "--examples",
        labelled,
        "--prompt-examples",
        2,
        "--selector",
        "nearest",
        "--nearest",
        2,
        "--backend",
        "openai:m",
        "--json",
    ]
    data = json.loads(cli("prompt", "我的快递到哪里了，怎么还没到", *flags).out)
    system, user = (message["content"] for message in data["messages"])
    assert system.partition("Examples:")[2].count("</ticket-") == 2
    assert user.index("快递到哪里了\n") < user.index("我的快递到哪里了，怎么还没到")
    assert user.count("A similar ticket, and its category:") == 2
    assert data["request"]["messages"] == data["messages"]
    chinese = json.loads(cli("prompt", "我的快递到哪里了，怎么还没到", *flags, "--language", "zh").out)
    assert chinese["messages"][1]["content"].count("一张相似的工单及其类别：") == 2
    without = json.loads(cli("prompt", "我的快递到哪里了，怎么还没到", *flags, "--example-tokens", 0).out)
    assert "similar" not in without["messages"][1]["content"]
    assert without["tokens"] < data["tokens"]


@pytest.mark.parametrize(("flag", "value"), [("--selector", "best"), ("--nearest", "0"), ("--example-tokens", "-1")])
def test_flags_of_the_choice_that_cannot_be_used(cli: Cli, flag: str, value: str) -> None:
    """One line."""
    done = cli("prompt", "a text", flag, value)
    assert done.code == 2
    assert flag in done.err
    assert done.err.count("\n") == 1
