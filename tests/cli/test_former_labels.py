"""A taxonomy changes: what `taxonomy diff` says of it, and how labelled files of the version before are read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import TAXONOMY, Cli

NEW = """\
categories:
  - id: sales
    team: sales
    children:
      - {id: 退货退款, was: [refund, "12"], name: {en: Refund, zh: 退款}, description: money back after a return, examples: [I want my money back]}
      - {id: late, was: [parcel], description: where is my delivery}
      - {id: lost, was: [parcel], description: it will never come}
  - {id: sign_in, team: tech, description: cannot sign in, examples: [password reset does not work, 忘记密码登录不了]}
  - {id: other, was: [spam], catch_all: true, description: anything else}
"""
SAID = """\
renamed   refund -> 退货退款
split     parcel -> late, lost
added     sign_in
removed   login
reworded  refund -> 退货退款: examples
waits     parcel was split: one of late, lost
waits     login was removed
maybe     login -> sign_in, {alike} alike: if so, write was: [login] at sign_in
unknown   退货退款 names 12 in was, which the old file never had
unknown   other names spam in was, which the old file never had
"""
SAID_ZH = """\
改名      refund -> 退货退款
拆分      parcel -> late、lost
新增      sign_in
删除      login
改写      refund -> 退货退款：examples
待人工    parcel 已拆分，应为其一：late、lost
待人工    login 已删除
可能      login -> sign_in，相似度 {alike}：若是，请在 sign_in 处写 was: [login]
未知      退货退款 的 was 写有 12，而旧文件从未有过该类别
未知      other 的 was 写有 spam，而旧文件从未有过该类别
"""
LABELLED = """\
id,content,category
1,I want my money back,refund
2,退款什么时候到账,refund
3,the money has not come,12
4,password reset does not work,sign_in
5,hello there everybody,spam
"""


@pytest.fixture
def files(cli: Cli, tmp_path: Path) -> Path:
    """The folder, with `old.yaml`, `new.yaml` and a file labelled in between."""
    (tmp_path / "old.yaml").write_text(TAXONOMY, encoding="utf-8")
    (tmp_path / "new.yaml").write_text(NEW, encoding="utf-8")
    (tmp_path / "l.csv").write_text(LABELLED, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("language", "said", "summary"),
    [
        (
            "en",
            SAID,
            "5 changes; 2 of 4 labels wait for a person; a calibration made with the old file is refused: calibrate anew\n",
        ),
        ("zh", SAID_ZH, "5 处变化；4 个标签中 2 个待人工确认；用旧文件制作的校准不再适用，请重新校准\n"),
    ],
)
def test_diff_says_what_became_of_each(cli: Cli, files: Path, language: str, said: str, summary: str) -> None:
    """A line each, what waits and what may be meant too; exit code 1, for labels wait."""
    done = cli("taxonomy", "diff", "old.yaml", "new.yaml", "--language", language)
    found = json.loads(cli("taxonomy", "diff", "old.yaml", "new.yaml", "--json").out)
    alike = f"{found['guesses'][0]['likeness']:.0%}"
    assert (done.code, done.out, done.err) == (1, said.format(alike=alike), summary)


def test_diff_as_json(cli: Cli, files: Path) -> None:
    """All of it, with the labels that are carried."""
    done = cli("taxonomy", "diff", "old.yaml", "new.yaml", "--json")
    data = json.loads(done.out)
    assert (done.code, done.err) == (1, "")
    assert data.keys() == {"changes", "carried", "waiting", "turned", "guesses", "unknown"}
    assert data["changes"][0] == {"kind": "renamed", "old": ["refund"], "new": ["退货退款"], "details": []}
    assert data["carried"] == {"refund": "退货退款", "other": "other"}
    assert data["waiting"]["parcel"] == {"reason": "split", "candidates": ["late", "lost"]}
    assert data["unknown"] == [{"label": "12", "heir": "退货退款"}, {"label": "spam", "heir": "other"}]


def test_diff_of_the_same_and_of_what_is_all_carried(cli: Cli, files: Path) -> None:
    """Exit code 0: no label waits."""
    assert (done := cli("taxonomy", "diff", "old.yaml", "old.yaml")).code == 0
    assert (done.out, done.err) == ("", "no difference\n")
    (files / "renamed.yaml").write_text(TAXONOMY.replace("{id: login,", "{id: '7', was: login,"), encoding="utf-8")
    done = cli("taxonomy", "diff", "old.yaml", "renamed.yaml", "--quiet")
    assert (done.code, done.out, done.err) == (0, "renamed   login -> 7\n", "")
    done = cli("taxonomy", "diff", "renamed.yaml", "old.yaml")
    assert "7 -> login, " in done.out
    assert "write was: ['7'] at login" in done.out


@pytest.mark.parametrize(
    ("language", "said"), [("en", "turned    7 meant login and means 7 now\n"), ("zh", "改义      7 原指 login，现指 7\n")]
)
def test_diff_of_an_id_that_is_used_again(cli: Cli, files: Path, language: str, said: str) -> None:
    """Exit code 1, for its old labels would mean something else."""
    (files / "was.yaml").write_text(TAXONOMY.replace("{id: login,", "{id: login, was: '7',"), encoding="utf-8")
    (files / "again.yaml").write_text(TAXONOMY + "  - {id: '7'}\n", encoding="utf-8")
    done = cli("taxonomy", "diff", "was.yaml", "again.yaml", "--language", language)
    assert (done.code, done.out.splitlines(keepends=True)[-1]) == (1, said)
    data = json.loads(cli("taxonomy", "diff", "was.yaml", "again.yaml", "--json").out)
    assert data["turned"] == {"7": {"before": "login", "now": "7"}}


def test_diff_of_a_broken_file(cli: Cli, files: Path) -> None:
    """One line with its place; exit code 2."""
    (files / "bad.yaml").write_text(TAXONOMY + "  - {id: pay, was: [login]}\n", encoding="utf-8")
    done = cli("taxonomy", "diff", "old.yaml", "bad.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(
        "llmtriage: bad.yaml:9: 'pay' says was: [login], which is still a category; give that one a new id"
    )


def test_an_id_with_escapes_is_refused_or_harmless(tmp_path: Path) -> None:
    """In a real terminal nothing but text arrives."""
    for name, text in (("old", "a"), ("new", "b" * 200)):
        (tmp_path / f"{name}.yaml").write_text(f"categories: [{{id: {text}}}, {{id: '\u202e退款'}}]\n", encoding="utf-8")
    command = [sys.executable, "-m", "llmtriage", "taxonomy", "diff", "old.yaml", "new.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "an id is visible text" in done.stderr


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            "note: l.csv: 4 labels are carried, as was in the taxonomy says: refund -> 退货退款 (2), 12 -> 退货退款 (1), spam -> other (1)\n",
        ),
        (
            "zh",
            "注意：l.csv：按分类体系中的 was 转换了 4 个标注：refund -> 退货退款 (2), 12 -> 退货退款 (1), spam -> other (1)\n",
        ),
    ],
    ids=["en", "zh"],
)
@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "l.csv"),
        ("evaluate", "l.csv", "--examples", "l.csv"),
        ("evaluate", "l.csv", "--against", "shots=1", "--examples", "l.csv"),
        ("calibrate", "l.csv", "--alpha", "0.1", "-o", "c.json"),
        ("plan", "tickets.csv", "--alpha", "0.1", "--pilot", "l.csv", "-o", "sheet.csv"),
        ("ask", "money", "--examples", "l.csv"),
    ],
    ids=["evaluate", "examples too", "against", "calibrate", "plan", "ask"],
)
def test_labels_that_are_carried_are_told_once(
    cli: Cli, files: Path, command: tuple[str, ...], language: str, words: str
) -> None:
    """With their number; each command that reads them says so in one line."""
    flags = ("--taxonomy", "new.yaml", "--language", language)
    assert words not in cli(*command, *flags, "--quiet").err
    done = cli(*command, *flags)
    assert done.code in (0, 1)
    assert done.err.count(words) == 1


def test_evaluate_counts_a_carried_label_under_its_heir(cli: Cli, files: Path) -> None:
    """As if it had been written so."""
    data = json.loads(cli("evaluate", "l.csv", "--taxonomy", "new.yaml", "--json", "--quiet").out)
    assert {row["category"]: row["n"] for row in data["per_category"] if row["n"]} == {"退货退款": 3, "sign_in": 1, "other": 1}


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "ask"])
def test_a_label_that_was_split_stops_the_command(cli: Cli, files: Path, command: str) -> None:
    """With its line and what it may be now, before anything is asked."""
    with (files / "l.csv").open("a", encoding="utf-8") as file:
        file.write("6,it never came,parcel\n")
    rest = {
        "evaluate": ("l.csv",),
        "calibrate": ("l.csv", "--alpha", "0.1", "-o", "c.json"),
        "ask": ("money", "--examples", "l.csv"),
    }
    done = cli(command, *rest[command], "--taxonomy", "new.yaml")
    said = "llmtriage: l.csv:7: the category 'parcel' was split; name one of them: late, lost\n"
    assert (done.code, done.out, done.err) == (2, "", said)
