"""`llmtriage init`: from unlabelled tickets to a calibration, left and resumed as often as one likes."""

from __future__ import annotations

import csv
import json
import os
import shlex
import sys
import time
from pathlib import Path

import pexpect
import pytest
from cli.conftest import Cli
from cli.test_calibrate import rows, write
from drawn import decide_as_told, erase

import llmtriage.cli.init
import llmtriage.review_screen
from llmtriage.review_screen import Sitting
from llmtriage.reviewing import Filters
from llmtriage.store import Queue, SqlStore
from llmtriage.store.samples import keys_of, planned

LEARNT = ("--examples", "learn.csv")
INIT = ("init", "tickets.csv", "--alpha", "0.1", *LEARNT)


@pytest.fixture
def desk(cli: Cli, tmp_path: Path) -> Path:
    """300 tickets that nobody has labelled yet, and some to learn from."""
    write(tmp_path / "learn.csv", 60, 1, wrong=0.0)
    write(tmp_path / "tickets.csv", 300, 2)
    return tmp_path


def label(folder: Path, most: int = 10_000, store: str = "llmtriage.db") -> int:
    """People label what waits, the oldest first."""
    gold = {row["id"]: row["category"] for row in rows(folder / "tickets.csv")}
    with SqlStore(folder / store) as opened:
        return decide_as_told(opened, gold, lane="sample", most=most)


@pytest.mark.slow
def test_from_tickets_to_a_calibration(cli: Cli, desk: Path) -> None:
    """The same command plans, goes on, and ends with a calibration and what to do with it."""
    done = cli(*INIT)
    assert (done.code, done.err) == (1, "")
    first, second, third = done.out.splitlines()
    assert first.startswith(
        "108 tickets were drawn at random from 300, to be labelled without seeing what a model says: sample uniform-108-"
    )
    name = first.rpartition(" ")[2]
    assert second.startswith(
        f"without a terminal: llmtriage review export to-label.csv --sample {name}, fill in the column category"
    )
    assert third == "108 of 108 tickets wait for a label; the same command goes on"
    assert label(desk, 100) == 100
    done = cli(*INIT)
    assert (done.code, done.out.splitlines()[0]) == (1, f"sample {name}: 100 of 108 tickets are labelled")
    assert done.out.splitlines()[-1] == "8 of 108 tickets wait for a label; the same command goes on"
    label(desk)
    done = cli(*INIT)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[1] == f"labels        108 of the sample {name}; look 1 at them, which may spend 0.0608 of delta 0.1"
    assert lines[2].startswith("accepts ")
    assert (
        lines[-1] == "then          llmtriage classify TICKETS.csv --calibration calibration.json, with the flags of this command"
    )
    data = json.loads((desk / "calibration.json").read_text(encoding="utf-8"))
    assert (data["labels"]["drawn"], data["labels"]["n"]) == (name, 108)
    assert cli("check", *LEARNT, "--calibration", "calibration.json").code == 0


@pytest.mark.slow
def test_no_promise_says_what_next_and_a_new_sample_is_of_other_tickets(cli: Cli, desk: Path) -> None:
    """Labels that were looked at are not used as a new sample again."""
    (desk / "my tickets.csv").write_bytes((desk / "tickets.csv").read_bytes())
    store = ("--store", "our store.db")
    strict = ("init", "my tickets.csv", "--alpha", "0.05", "--labels", "110", *store, *LEARNT)
    assert cli(*strict).code == 1
    label(desk, store="our store.db")
    done = cli(*strict)
    assert done.code == 1
    assert "no promise with these 110 labels; a new sample of about " in done.out
    last = done.out.splitlines()[-1]
    assert last.startswith("a new sample: llmtriage init 'my tickets.csv' --labels N; another limit with the same labels: ")
    assert not (desk / "calibration.json").exists()
    done = cli(*strict)
    assert done.out.startswith("110 tickets were drawn at random from 190, ")
    with SqlStore(desk / "our store.db") as opened:
        old, new = planned(opened.database)
        assert (old.looks, new.looks, new.waiting) == (1, 0, 110)
        assert keys_of(opened, old.name).isdisjoint(keys_of(opened, new.name))
    again = shlex.split(last.rpartition(": ")[2].replace("--alpha A", "--alpha 0.3"))[1:]
    done = cli(*again, *LEARNT, "--quiet")
    assert "look 2 at them" in done.out


def test_another_sample_is_not_begun_before_the_first_is_done(cli: Cli, desk: Path) -> None:
    """Neither with another number of labels nor with other tickets; a file that has grown is the same."""
    cli(*INIT)
    label(desk, 10)
    done = cli(*INIT, "--labels", "150")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "--labels: the sample uniform-108-" in done.err
    assert "of 108 tickets is not finished; leave it out to go on" in done.err
    write(desk / "others.csv", 300, 7)
    text = (desk / "others.csv").read_text(encoding="utf-8").replace("\nL", "\nM")
    (desk / "others.csv").write_text(text, encoding="utf-8")
    done = cli("init", "others.csv", "--alpha", "0.1", *LEARNT)
    assert (done.code, "is not finished, and is of other tickets; name that file and source" in done.err) == (2, True)
    with (desk / "tickets.csv").open("a", encoding="utf-8") as file:
        file.write(text.partition("\n")[2])
    assert cli(*INIT).out.splitlines()[0].endswith(": 10 of 108 tickets are labelled")


def test_tickets_without_an_id_are_known_by_their_text(cli: Cli, desk: Path) -> None:
    """Copies of one text are one ticket, drawn once."""
    texts = [row["content"] for row in rows(desk / "tickets.csv")]
    (desk / "bare.csv").write_text("content\n" + "\n".join([*texts[:120], *texts[:50]]) + "\n", encoding="utf-8")
    done = cli("init", "bare.csv", "--alpha", "0.1", *LEARNT)
    assert done.out.startswith("108 tickets were drawn at random from 120, ")
    assert cli("init", "bare.csv", "--alpha", "0.1", *LEARNT).out.splitlines()[0].endswith("0 of 108 tickets are labelled")


def test_without_a_terminal_a_file_is_filled_in(cli: Cli, desk: Path) -> None:
    """As the command says, step by step; a label that was erased on the way is no obstacle."""
    cli(*INIT)
    name = cli(*INIT).out.split()[1].rstrip(":")
    assert cli("review", "export", "to-label.csv", "--sample", name, "--no-bom").code == 0
    gold = {row["id"]: row["category"] for row in rows(desk / "tickets.csv")}
    waiting = rows(desk / "to-label.csv")
    assert len(waiting) == 108
    with (desk / "to-label.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(waiting[0]))
        out.writeheader()
        out.writerows({**row, "category": gold[row["id"]]} for row in waiting)
    assert cli("review", "import", "to-label.csv").out.startswith("108 ")
    with SqlStore(desk / "llmtriage.db") as store:
        erase(store, waiting[0]["id"])
    done = cli(*INIT)
    assert done.code == 0, done.err
    assert "labels        107 of the sample " in done.out
    assert "note: 1 tickets of the sample have no text any more and were left out" in done.err


@pytest.mark.slow
def test_skipped_tickets_still_need_a_label(cli: Cli, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not come to the same person again, so the way to decide them is told."""

    def skip_all(queue: Queue, taxonomy: object, *, reviewer: str, filters: Filters, language: str) -> Sitting:
        for item in queue.claim(reviewer, filters, n=1000):
            queue.skip(item, reviewer)
        return Sitting(0, 108, "empty")

    monkeypatch.setattr(llmtriage.cli.init, "_at_a_terminal", lambda: True)
    monkeypatch.setattr(llmtriage.review_screen, "review_on_screen", skip_all)
    done = cli(*INIT, "--reviewer", "王芳")
    lines = done.out.splitlines()
    assert lines[1] == "108 of 108 tickets wait for a label; the same command goes on"
    assert lines[2].startswith("you skipped them, or somebody else has them now: llmtriage review list --sample uniform-108-")
    label(desk, 107)
    listed = json.loads(cli("review", "list", "--lane", "sample", "--json").out)
    (last,) = listed["items"] if isinstance(listed, dict) else listed
    done = cli("review", "correct", last["entry"], "refund", "--reviewer", "王芳")
    assert done.code == 0, done.err
    assert cli(*INIT, "--reviewer", "王芳").out.splitlines()[1].startswith("labels        108 of the sample ")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_in_a_terminal(cli: Cli, desk: Path) -> None:
    """The screen opens by itself, shows nothing of a model, and goes on where it was left."""
    env = {**os.environ, "TERM": "xterm-256color"}
    for number in range(2):
        child = pexpect.spawn(
            sys.executable, ["-m", "llmtriage", *INIT], dimensions=(24, 80), env=env, encoding="utf-8", timeout=60, cwd=desk
        )
        child.expect("q quit")
        shown = str(child.before)
        for _ in range(2):
            time.sleep(0.6)
            child.send("/")
            child.send("refund")
            time.sleep(0.3)
            child.send("\r")
        time.sleep(0.6)
        child.send("q")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 1
        assert "suggestion" not in shown
        assert str(child.before).strip().endswith(f"{106 - 2 * number} of 108 tickets wait for a label; the same command goes on")
    label(desk)
    assert cli(*INIT).code == 0


def test_fewer_tickets_than_are_usual(cli: Cli, desk: Path) -> None:
    """All of them are drawn, and what that means is told."""
    write(desk / "few.csv", 60, 3)
    done = cli("init", "few.csv", "--alpha", "0.1", *LEARNT)
    assert done.code == 1
    assert done.out.splitlines()[:2] == [
        done.out.splitlines()[0],
        "about 108 would be usual; with 60 expect a promise of less, or none",
    ]
    assert done.out.startswith("60 tickets were drawn at random from 60, ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("init", "few.csv", "--alpha", "0.1"),
            (
                "few.csv: 20 tickets that were not drawn before, but a promise with alpha 0.1 and delta 0.1 needs at least 53; "
                "give more tickets, or a larger --alpha"
            ),
        ),
        (
            (*INIT, "--labels", "12"),
            "tickets.csv: 12 labels, but a promise with alpha 0.1 and delta 0.1 needs at least 53; ask for more, or for a larger --alpha",
        ),
        ((*INIT, "--labels", "301"), "--labels: 301 tickets to label, but there are 300; give more tickets or ask for fewer"),
        ((*INIT, "--threshold", "0.9"), "--threshold: not for init; leave it out: the calibration finds it"),
        (("init", "none.csv"), "none.csv: no such file; check the path"),
        ((*INIT, "-o", "tickets.csv"), "tickets.csv: --output: the input itself; name another file"),
    ],
)
def test_what_cannot_be_begun(cli: Cli, desk: Path, arguments: tuple[str, ...], says: str) -> None:
    """One line, and nothing is planned."""
    write(desk / "few.csv", 20, 3)
    done = cli(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err
    if (desk / "llmtriage.db").exists():
        with SqlStore(desk / "llmtriage.db") as store:
            assert planned(store.database) == []


def test_without_a_taxonomy(cli: Cli, desk: Path) -> None:
    """There is nothing to label with, and no magic: one line says how to write one."""
    (desk / "taxonomy.yaml").unlink()
    done = cli(*INIT)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(
        "llmtriage: --taxonomy: there is no ./taxonomy.yaml to label with; write one: llmtriage taxonomy show --yaml"
    )
    assert not (desk / "llmtriage.db").exists()


def test_in_chinese(cli: Cli, desk: Path) -> None:
    """Each step of it."""
    done = cli(*INIT, "--language", "zh", "--store", "库.db")
    assert done.out.startswith("从 300 张工单中随机抽取了 108 张，标注时不显示模型的意见：样本 uniform-108-")
    assert "llmtriage review import to-label.csv --store '库.db'，然后再次运行同一命令" in done.out
    assert done.out.splitlines()[-1] == "108 张工单中还有 108 张待标注；再次运行同一命令即可继续"
