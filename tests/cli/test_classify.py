"""`llmtriage classify`: what it writes, and that what it leaves behind is always an exact beginning."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llmtriage.runner import COLUMNS

if TYPE_CHECKING:
    from cli.conftest import Cli

RUN = (sys.executable, "-m", "llmtriage")


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_ticket_is_accepted_or_waits_with_a_reason(cli: Cli, tmp_path: Path) -> None:
    """One row each, in order, with the text as it was received."""
    done = cli("classify", "tickets.csv", "-o", "out.csv", "--pending", "wait.csv", "--threshold", "0.3")
    assert done.code == 0
    out = rows(tmp_path / "out.csv")
    assert list(out[0]) == list(COLUMNS)
    assert [row["id"] for row in out] == ["T1", "T2", "T3", "T4", "T5"]
    assert [(row["outcome"], row["category"], row["team"]) for row in out[:2]] == [
        ("accepted", "refund", "sales"),
        ("accepted", "parcel", "sales"),
    ]
    assert out[3]["reasons"] == "too_short"
    assert out[3]["why"] == "Too little text to decide on."
    assert out[4]["content"] == "reset\ndoes not work"
    assert len({row["run"] for row in out}) == 1
    assert all(row["confidence"] == "" for row in out)
    assert rows(tmp_path / "wait.csv") == [row for row in out if row["outcome"] == "pending"]
    assert "5 tickets: " in done.err
    assert done.out == ""


def test_jsonl_keeps_lists_and_text_as_they_are(cli: Cli, tmp_path: Path) -> None:
    """A formula is text there, and Chinese is readable."""
    (tmp_path / "in.jsonl").write_text('{"id": 7, "content": "=1+1 退款什么时候到账"}\n', encoding="utf-8")
    assert cli("classify", "in.jsonl", "-o", "out.jsonl", "--language", "zh").code == 0
    text = (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    row = json.loads(text)
    assert (row["id"], row["content"], row["outcome"], row["reasons"]) == (
        "7",
        "=1+1 退款什么时候到账",
        "pending",
        ["uncalibrated"],
    )
    assert "没有校准" in text
    assert row["candidates"][0].keys() == {"category", "score"}


def test_a_formula_is_no_formula_in_csv(cli: Cli, tmp_path: Path) -> None:
    """What a customer wrote does not run in a spreadsheet."""
    (tmp_path / "in.csv").write_text('id,content\n"=cmd()","=HYPERLINK(""http://x"")"\n', encoding="utf-8")
    cli("classify", "in.csv", "-o", "out.csv")
    [row] = rows(tmp_path / "out.csv")
    assert (row["id"], row["content"]) == ("'=cmd()", '\'=HYPERLINK("http://x")')


def test_without_a_threshold_everything_waits(cli: Cli, tmp_path: Path) -> None:
    """And the command says so."""
    done = cli("classify", "tickets.csv", "-o", "out.csv")
    assert "nothing is accepted" in done.err
    assert {row["outcome"] for row in rows(tmp_path / "out.csv")} == {"pending"}


def test_a_table_on_the_terminal_shows_no_escape_codes(cli: Cli, tmp_path: Path) -> None:
    """Text is hostile there too."""
    (tmp_path / "in.csv").write_text("id,content\n1,red \x1b[31m text \u202e money back\n", encoding="utf-8")
    done = cli("classify", "in.csv", "--threshold", "0")
    assert "accepted" in done.out
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out


def test_json_lines_on_stdout(cli: Cli) -> None:
    """One object a ticket, nothing else on stdout."""
    done = cli("classify", "tickets.csv", "--json", "--quiet")
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["T1", "T2", "T3", "T4", "T5"]
    assert done.err == ""


def test_json_with_a_file_is_the_summary(cli: Cli) -> None:
    """Counts that add up."""
    summary = json.loads(cli("classify", "tickets.csv", "-o", "out.csv", "--threshold", "0.3", "--json").out)
    assert summary["tickets"] == summary["accepted"] + summary["pending"] == 5
    assert sum(summary["teams"].values()) == summary["accepted"]


def test_a_file_without_rows_is_an_empty_result(cli: Cli, tmp_path: Path) -> None:
    """With a notice and exit code 0."""
    (tmp_path / "in.csv").write_text("id,title,content\n", encoding="utf-8")
    done = cli("classify", "in.csv", "-o", "out.csv", "--threshold", "0.5")
    assert done.code == 0
    assert "holds no tickets" in done.err
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == ",".join(COLUMNS) + "\n"


def test_an_existing_output_is_not_overwritten_by_accident(cli: Cli, tmp_path: Path) -> None:
    """It may hold a run that cost money."""
    (tmp_path / "out.csv").write_text("precious", encoding="utf-8")
    done = cli("classify", "tickets.csv", "-o", "out.csv")
    assert done.code == 2
    assert "--resume" in done.err
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "precious"
    assert cli("classify", "tickets.csv", "-o", "out.csv", "--overwrite").code == 0


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("cut", [0, 1, 3, 40, 150, 200, 10_000], ids=lambda cut: f"{cut} bytes")
def test_resume_makes_the_output_of_an_unbroken_run(cli: Cli, tmp_path: Path, suffix: str, cut: int) -> None:
    """Wherever the first run was cut off, in a row or between two."""
    arguments = ["classify", "tickets.csv", "--threshold", "0.3", "--pending", f"wait.{suffix}", "-o", f"out.{suffix}"]
    assert cli(*arguments).code == 0
    out, wait = tmp_path / f"out.{suffix}", tmp_path / f"wait.{suffix}"
    whole, waiting = out.read_bytes(), wait.read_bytes()
    out.write_bytes(whole[: len(whole) - cut if cut < len(whole) else 0])
    wait.write_bytes(waiting[:5])
    done = cli(*arguments, "--resume")
    assert done.code == 0
    assert out.read_bytes() == whole
    assert wait.read_bytes() == waiting
    assert "5 tickets: " in done.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda t: t.replace("快递", "包裹"), "line 3: cannot go on behind it: this row is not line 3", id="changed text"
        ),
        pytest.param(lambda t: t.replace("T1", "T9"), "this row is not line 2 of the input", id="changed id"),
        pytest.param(lambda t: "\n".join(t.splitlines()[:3]) + "\n", "it holds more rows than the input", id="shorter input"),
    ],
)
def test_resume_on_another_input_is_refused(cli: Cli, tmp_path: Path, change: object, words: str) -> None:
    """With the line where they differ; nothing is written."""
    cli("classify", "tickets.csv", "-o", "out.csv")
    before = (tmp_path / "out.csv").read_bytes()
    text = (tmp_path / "tickets.csv").read_text(encoding="utf-8")
    (tmp_path / "tickets.csv").write_text(change(text), encoding="utf-8")  # type: ignore[operator]
    done = cli("classify", "tickets.csv", "-o", "out.csv", "--resume", "--quiet")
    assert done.code == 2
    assert words.replace("line 3: ", "") in done.err
    assert done.err.count("\n") == 1
    assert (tmp_path / "out.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--threshold", "0.9"], "it was written by run"), (["--shots", "1"], ""), (["--without", "html"], "it was written by run")],
)
def test_resume_with_other_settings_is_refused(cli: Cli, flags: list[str], words: str) -> None:
    """Two policies in one file would be nobody's result; a setting that changes nothing is no other setting."""
    cli("classify", "tickets.csv", "-o", "out.csv")
    done = cli("classify", "tickets.csv", "-o", "out.csv", "--resume", "--quiet", *flags)
    assert done.code == (2 if words else 0)
    assert words in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "words"), [("en", "2 tickets that wait in out.csv are not in"), ("zh", "out.csv 中有 2 张待人工的工单不在")]
)
def test_what_waits_in_the_file_alone_is_told(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, words: str
) -> None:
    """A run that began without a store and goes on with one: nobody would find the tickets before in the queue."""
    arguments = ["classify", "tickets.csv", "-o", "out.csv", "--language", language]
    cli(*arguments, "--no-store", "--max-tickets", "2")
    monkeypatch.delenv("LLMTRIAGE_NO_STORE")
    done = cli(*arguments, "--resume")
    assert done.code == 0
    assert words in done.err
    assert cli("review", "list", "--json").out.count('"entry":') == 3
    cli(*arguments, "--overwrite")
    assert words not in cli(*arguments, "--resume").err


def test_resume_on_another_output_is_refused(cli: Cli, tmp_path: Path) -> None:
    """A file that no run wrote is left alone."""
    (tmp_path / "out.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    done = cli("classify", "tickets.csv", "-o", "out.csv", "--resume")
    assert done.code == 2
    assert "its columns are not those of a run" in done.err
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "a,b\n1,2\n"


SLOW_TRIAGE = """
import sys
from llmtriage.backends import in_flight
import llmtriage.backends as backends
from llmtriage.testing import ScriptedBackend
backends.create = lambda name, setup: ScriptedBackend({"refund": 0.9, "parcel": 0.1}, seconds=lambda q: 0.002, concurrency=2)
from llmtriage.cli import main
main(sys.argv[1:])
"""


def long_run(folder: Path, *extra: str) -> subprocess.Popen[str]:
    """A real process that classifies 2,000 tickets slowly."""
    (folder / "taxonomy.yaml").write_text("categories: [{id: refund}, {id: parcel}]\n", encoding="utf-8")
    with (folder / "many.csv").open("w", encoding="utf-8") as stream:
        stream.write("id,content\n")
        stream.writelines(f'{i},"ticket {i}, ""money"" 退款\nsecond line"\n' for i in range(2000))
    command = [sys.executable, "-c", SLOW_TRIAGE, "classify", "many.csv", "-o", "out.csv", "--threshold", "0.8", *extra]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


def wait_for_rows(path: Path, size: int) -> None:
    """Until the output has grown to `size` bytes."""
    deadline = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size > size) and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)], ids=["Ctrl-C", "stop", "kill"]
)
def test_an_interrupted_run_leaves_an_exact_beginning(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C and a stop say how many are decided; after a kill too, --resume goes on behind what is there."""
    unbroken = tmp_path / "unbroken"
    unbroken.mkdir()
    with long_run(unbroken) as process:
        process.wait(60)
    whole = (unbroken / "out.csv").read_bytes()
    with long_run(tmp_path) as process:
        wait_for_rows(tmp_path / "out.csv", 5000)
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    part = (tmp_path / "out.csv").read_bytes()
    assert 5000 < len(part) < len(whole)
    assert whole.startswith(part)
    if code == 130:
        decided = len(rows(tmp_path / "out.csv"))
        last = err.splitlines()[-1]
        assert f"{decided} of 2000 tickets are decided, {2000 - decided} are not; go on with --resume" in last
    with long_run(tmp_path, "--resume") as process:
        process.wait(60)
    assert (tmp_path / "out.csv").read_bytes() == whole


@pytest.mark.slow
def test_an_engine_that_dies_keeps_what_is_decided(tmp_path: Path) -> None:
    """Exit code 4, one line, and the rows before it."""
    code = SLOW_TRIAGE.replace(
        '{"refund": 0.9, "parcel": 0.1}, seconds=lambda q: 0.002, concurrency=2',
        'lambda q: BackendError("gone") if "7" in q.text else {"refund": 0.9, "parcel": 0.1}',
    ).replace("import sys\n", "import sys\nfrom llmtriage import BackendError\n", 1)
    (tmp_path / "taxonomy.yaml").write_text("categories: [{id: refund}, {id: parcel}]\n", encoding="utf-8")
    (tmp_path / "in.csv").write_text("id,content\n" + "".join(f"{i},ticket {i}\n" for i in range(1, 11)), encoding="utf-8")
    command = [sys.executable, "-c", code, "classify", "in.csv", "-o", "out.csv", "--threshold", "0.8"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.splitlines() == ["llmtriage: gone; 6 of 10 tickets are decided, 4 are not; go on with --resume"]
    assert [row["id"] for row in rows(tmp_path / "out.csv")] == list("123456")


def test_resume_sees_a_changed_field_that_a_rule_looks_at(cli: Cli, tmp_path: Path) -> None:
    """A ticket that became a key account's is another ticket for the rules."""
    rule = "rules:\n  - {name: vip, when: {metadata: {tier: gold}}, always_review: true}\n"
    text = (tmp_path / "taxonomy.yaml").read_text(encoding="utf-8")
    (tmp_path / "taxonomy.yaml").write_text(rule + text, encoding="utf-8")
    (tmp_path / "in.csv").write_text("id,content,Tier,note\n1,money back please,,a\n", encoding="utf-8")
    assert cli("classify", "in.csv", "-o", "out.csv", "--threshold", "0").code == 0
    (tmp_path / "in.csv").write_text("id,content,Tier,note\n1,money back please,,b\n", encoding="utf-8")
    assert cli("classify", "in.csv", "-o", "out.csv", "--threshold", "0", "--resume").code == 0
    (tmp_path / "in.csv").write_text("id,content,Tier,note\n1,money back please,gold,b\n", encoding="utf-8")
    assert cli("classify", "in.csv", "-o", "out.csv", "--threshold", "0", "--resume").code == 2
    assert cli("classify", "in.csv", "-o", "out.csv", "--threshold", "0", "--overwrite").code == 0
    assert rows(tmp_path / "out.csv")[0]["reasons"] == "always_review"


def test_resume_behind_a_file_that_a_spreadsheet_saved_is_refused(cli: Cli, tmp_path: Path) -> None:
    """Two encodings in one file could not be read again."""
    (tmp_path / "in.csv").write_text(
        "id,content\n" + "1,我的退款什么时候到账呢\n2,快递到哪里了还没有收到\n" * 5, encoding="utf-8"
    )
    cli("classify", "in.csv", "-o", "out.csv", "--language", "zh")
    path = tmp_path / "out.csv"
    path.write_bytes(path.read_bytes().decode("utf-8").encode("gb18030"))
    done = cli("classify", "in.csv", "-o", "out.csv", "--language", "zh", "--resume", "--quiet")
    assert done.code == 2
    assert "another program saved it as" in done.err
