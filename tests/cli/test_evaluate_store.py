"""`llmtriage evaluate --store`: what a run decided, judged by what people answered."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from cli.test_calibrate import write
from decided import OTHER_RUN, RUN, accepted, decision, pending, record, ticket

from llmtriage import Taxonomy
from llmtriage.cli.evaluate import evaluate
from llmtriage.cli.typed import command_line
from llmtriage.remembering import Run
from llmtriage.store import SqlStore
from llmtriage.store.erasing import erase, tickets_named

if TYPE_CHECKING:
    from cli.conftest import Cli

SAME = (
    "n",
    "accuracy",
    "macro_f1",
    "unanswered",
    "accepted",
    "pending",
    "n_confidence",
    "top_brier",
    "auroc",
    "per_category",
    "cost",
)
ENGLISH = {"T1": "refund", "T2": "parcel", "T3": "refund", "T4": "login"}


@pytest.fixture(autouse=True)
def stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands keep what they decide where a test says so."""
    monkeypatch.delenv("LLMTRIAGE_NO_STORE")


@pytest.fixture(scope="session")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four probes and a ticket that waited, all answered: a store to be copied, for making the tables takes a while."""
    path = tmp_path_factory.mktemp("answered") / "llmtriage.db"
    with SqlStore(path) as store:
        record(
            store,
            decision(
                ticket("I want my money back", "T1", channel="mail", metadata={"shop": "上海"}),
                accepted("refund", 0.9),
                probe=0.5,
            ),
            decision(ticket("快递到哪里了", "T2", channel="chat"), accepted("refund", 0.8), probe=0.5),
            decision(ticket("退款", "T3", channel="chat"), pending("refund"), probe=0.5),
            decision(ticket("密码", "T4", channel="chat"), accepted("login", 0.7), probe=0.5),
            decision(ticket("什么时候到账", "W"), pending("refund")),
        )
        for name, category in ENGLISH.items():
            say(store, name, category, ms=60_000)
        say(store, "W", "refund", shown=True, ms=15_000)
    return path


@pytest.fixture
def made(answered: Path, cli: Cli, tmp_path: Path) -> Path:
    """That store in the folder of the commands."""
    return Path(shutil.copy(answered, tmp_path / "llmtriage.db"))


def say(store: SqlStore, name: str, category: str, *, shown: bool = False, ms: int | None = None) -> None:
    """A person answers the ticket that waits."""
    taxonomy = Taxonomy.from_labels(["refund", "parcel", "login", "fax"])
    store.queue.answer(store.queue.item(name), "王芳", category, taxonomy=taxonomy, shown=shown, active_ms=ms)


def data(cli: Cli, *arguments: object) -> dict[str, Any]:
    """The JSON of an evaluation of the store."""
    done = cli("evaluate", "--store", *arguments, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def fill(path: Path, labels: Mapping[str, str]) -> None:
    """A person fills in what was exported."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "category": labels.get(row["id"], "")} for row in rows)


# -- figures -------------------------------------------------------------------------------------


def test_probes_tell_of_all_tickets(cli: Cli, made: Path) -> None:
    """Nothing is asked; no warning; slices and what it is worth, by the time that people took."""
    done = cli("evaluate", "--store", "--by", "channel", "--by", "shop", "--minutes-manual", 2, "--json")
    found = json.loads(done.out)
    assert (found["n"], found["accuracy"], found["accepted"]["n"], found["accepted"]["errors"]) == (4, 0.75, 3, 1)
    assert (found["run"], found["backend"], found["settings"]) == ("run-1", "toy", {"file": "llmtriage.db", "lane": "probe"})
    assert (found["log_loss"], found["seconds"], found["sources"]) == (None, None, {"stored": 4})
    reviews = found["reviews"]
    assert (reviews["lane"], reviews["all_traffic"], reviews["warning"], reviews["drawn"]) == ("probe", True, None, [0.5])
    by_channel, by_shop = found["slices"]
    assert [(part["value"], part["n"]) for part in by_channel["groups"]] == [("chat", 3), ("mail", 1)]
    assert [(part["value"], part["n"]) for part in by_shop["groups"]] == [("上海", 1), (None, 3)]
    assert (found["business"]["minutes_review"], reviews["timed"]) == (0.25, 1)  # of the one who saw a suggestion
    assert (
        done.err == "note: a review takes 0.25 minutes: the median of 1 answers with a time (--minutes-review says otherwise)\n"
    )
    told = data(cli, "--minutes-manual", 2, "--minutes-review", 1)
    assert (told["business"]["minutes_review"], told["reviews"]["timed"]) == (1, 0)


@pytest.mark.parametrize(
    ("language", "warning", "line"),
    [
        ("en", "NOT A SAMPLE OF ALL TICKETS: these waited", "Right where it was seen  100.0 % (1 of 1; "),
        ("zh", "并非全部工单的样本：这些工单", "看到建议时的正确率    100.0 %（1 张中的 1 张；"),
    ],
)
def test_what_waited_is_no_sample(cli: Cli, made: Path, language: str, warning: str, line: str) -> None:
    """Said first in the text, in the JSON, and where two runs are compared."""
    text = cli("evaluate", "--store", "--lane", "pending", "--language", language).out
    assert text.split("\n\n")[1].startswith(warning)
    assert line in text
    found = data(cli, "--lane", "pending", "--language", language)["reviews"]
    assert found["warning"].startswith(warning)
    assert (found["all_traffic"], found["shown"]["n"], found["shown"]["confirmed"], found["unseen"]["n"]) == (False, 1, 1, 0)
    assert data(cli, "--lane", "all")["n"] == 5


@pytest.mark.slow
def test_the_page(cli: Cli, made: Path, tmp_path: Path) -> None:
    """With the warning above the figures; the store itself is never the page."""
    page = tmp_path / "r.html"
    assert (
        cli("evaluate", f"--store={tmp_path / 'llmtriage.db'}", "--lane", "all", "--report", "r.html", "--language", "zh").code
        == 0
    )
    text = page.read_text(encoding="utf-8")
    for words in (
        "并非全部工单的样本",
        "人工答案",
        "看到建议时的正确率",
        "run-1",
        "llmtriage evaluate --store llmtriage.db --lane all",
    ):
        assert words in text
    assert str(tmp_path) not in text
    assert cli("evaluate", "--store", "--report", "llmtriage.db", "--overwrite").code == 2
    assert data(cli)["n"] == 4


def test_categories_that_the_taxonomy_lost(cli: Cli, made: Path, tmp_path: Path) -> None:
    """Former ids are carried; what cannot be is left out; both are told."""
    new = "categories:\n  - {id: money, was: [refund]}\n  - {id: 登录, was: [login]}\n  - {id: other, catch_all: true}\n"
    (tmp_path / "new.yaml").write_text(new, encoding="utf-8")
    found = data(cli, "--taxonomy", "new.yaml")
    assert (found["n"], found["accuracy"], found["reviews"]["carried"], found["reviews"]["lost"]) == (3, 1.0, 3, 1)
    text = cli("evaluate", "--store", "--taxonomy", "new.yaml").out
    assert "Lost categories    1 (the taxonomy has no one leaf for label or answer: left out)" in text
    (tmp_path / "bare.yaml").write_text("categories:\n  - {id: 传真}\n", encoding="utf-8")
    done = cli("evaluate", "--store", "--taxonomy", "bare.yaml")
    assert done.code == 2
    assert "llmtriage.db: --taxonomy: no answer can be judged: the taxonomy has no one leaf for 'refund', " in done.err


def test_erased_tickets_count(cli: Cli, made: Path, tmp_path: Path) -> None:
    """Their text is gone, what was decided and said is not."""
    with SqlStore(tmp_path / "llmtriage.db") as store:
        erase(store, tickets_named(store, ["T1"])["T1"])
    found = data(cli, "--by", "length")
    assert (found["n"], found["accuracy"], found["reviews"]["erased"]) == (4, 0.75, 1)
    assert [(part["value"], part["n"]) for part in found["slices"][0]["groups"]] == [("short", 3), (None, 1)]


# -- runs ----------------------------------------------------------------------------------------


def test_two_runs_side_by_side(cli: Cli, made: Path, tmp_path: Path) -> None:
    """On the tickets that both decided; without --run the later one, and a line says so."""
    with SqlStore(tmp_path / "llmtriage.db") as store:
        record(store, decision(ticket("快递到哪里了", "T2"), accepted("parcel", 0.9), run=OTHER_RUN))
        record(store, decision(ticket("退款", "T3"), accepted("refund", 0.9), run=OTHER_RUN))
    done = cli("evaluate", "--store", "--json")
    assert json.loads(done.out)["run"] == "run-2"
    assert json.loads(done.out)["reviews"]["undecided"] == 2
    assert (
        done.err
        == "note: run run-2 (toy) is the latest of 2 that decided tickets with an answer; --run names another: run-1 (toy, 4)\n"
    )
    done = cli("evaluate", "--store", "--run", "run-1", "--against", "run=run-2", "--json")
    assert done.err == "note: 2 tickets are compared: those that both runs decided, of 4 and 2\n"
    found = json.loads(done.out)
    assert (found["first"]["run"], found["second"]["run"], found["labels"]["n"]) == ("run-1", "run-2", 2)
    assert (found["difference"]["accuracy"], found["difference"]["only_second_right"]) == (0.5, 1)
    chinese = cli("evaluate", "--store", "--run", "run-1", "--against", "run=run-2", "--language", "zh")
    assert chinese.err == "注意：比较 2 张工单：两次运行都处理过的（分别为 4 张和 2 张）\n"
    assert "两种设置在同一批工单上的比较" in chinese.out
    same = cli("evaluate", "--store", "--run", "run-1", "--against", "run=run-1")
    assert (same.code, "both settings come to the same" in same.err) == (2, True)


def test_runs_without_a_ticket_in_common(cli: Cli, made: Path, tmp_path: Path) -> None:
    """Nothing can be compared."""
    with SqlStore(tmp_path / "llmtriage.db") as store:
        record(store, decision(ticket("new", "N"), accepted(), run=OTHER_RUN, probe=0.5))
        say(store, "N", "refund")
    done = cli("evaluate", "--store", "--run", RUN.id, "--against", f"run={OTHER_RUN.id}")
    says = "llmtriage.db: --against: no ticket with an answer was decided by both run-1 and run-2; classify the same tickets again first"
    assert (done.code, done.err.splitlines()[-1]) == (2, f"llmtriage: {says}")


def test_a_run_under_another_taxonomy_or_a_calibration(cli: Cli, tmp_path: Path) -> None:
    """Both are told; the calibration is one that this run had."""
    run = Run("run-c", "toy", {"taxonomy": "another", "calibration": "c1", "prompt": "p1"})
    with SqlStore(tmp_path / "llmtriage.db") as store:
        record(store, decision(ticket(), accepted(), run=run, probe=0.5))
        say(store, "T1", "refund")
    done = cli("evaluate", "--store", "--json")
    assert json.loads(done.out)["prompt_hash"] == "p1"
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["note"] * 2
    assert "--calibration" in done.err
    assert "another version of the taxonomy" in done.err
    assert cli("evaluate", "--store", "--quiet").err == ""


@pytest.mark.slow
def test_a_promise_held_against_probes(cli: Cli, tmp_path: Path) -> None:
    """The same figures as of the engine asked again; another calibration is refused; its own labels flatter."""
    write(tmp_path / "learn.csv", 60, 1, wrong=0.0)
    write(tmp_path / "labelled.csv", 400, 2)
    fresh = write(tmp_path / "fresh.csv", 120, 3)
    for alpha, name in (("0.1", "c.json"), ("0.2", "d.json")):
        assert cli("calibrate", "labelled.csv", "--examples", "learn.csv", "--alpha", alpha, "-o", name).code == 0
    under = ("--examples", "learn.csv", "--calibration", "c.json")
    assert cli("classify", "fresh.csv", *under, "--probe", "1", "--store", "s.db", "-o", "out.csv").code == 0
    assert cli("review", "export", "blind.csv", "--store", "s.db", "--lane", "probe").code == 0
    with fresh.open(encoding="utf-8") as file:
        fill(tmp_path / "blind.csv", {row["id"]: row["category"] for row in csv.DictReader(file)})
    assert cli("review", "import", "blind.csv", "--store", "s.db", "--reviewer", "李雷").code == 0
    found = data(cli, "s.db", "--calibration", "c.json")
    asked = json.loads(cli("evaluate", "fresh.csv", *under, "--json").out)
    assert {key: found[key] for key in SAME} == {key: asked[key] for key in SAME}
    assert found["ece"] == pytest.approx(asked["ece"])
    assert found["promises"] == asked["promises"]
    assert found["settings"]["alpha"] == 0.1
    other = cli("evaluate", "--store", "s.db", "--calibration", "d.json")
    assert other.code == 3
    assert "calibration of the run" in other.err


# -- what cannot be used -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tickets.csv", "--store"], "FILE and --store exclude each other; leave one of them out"),
        (["--store", "--predictions", "p.csv"], "--predictions and --store exclude each other; leave one of them out"),
        (["--store", "--threshold", "0.5"], "--threshold: the store holds what was decided; leave it out"),
        (["--store", "--backend", "toy"], "--backend: the store holds what was decided; leave it out"),
        (["--store", "--none-label", "none"], "--none-label: the store holds what was decided; leave it out"),
        (["tickets.csv", "--run", "x"], "--run: no store is named; add --store in place of FILE"),
        (["tickets.csv", "--lane", "all"], "--lane: no store is named; add --store in place of FILE"),
        (["--store", "--run", "run-7"], "llmtriage.db: --run: unknown run 'run-7'; did you mean 'run-1'?"),
        (["--store", "--by", "chanel"], "--by: unknown column 'chanel'; did you mean 'channel'?"),
        (
            ["--store", "--lane", "sample"],
            "no ticket of a planned sample has an answer; llmtriage review --lane sample; --lane probe has 4",
        ),
        (["--store", "nowhere.db"], "nowhere.db: --store: there is no store"),
        (["--store", "tickets.csv"], "tickets.csv: --store: this is no database"),
    ],
)
def test_one_line_for_what_cannot_be_used(cli: Cli, made: Path, arguments: list[str], says: str) -> None:
    """Exit code 2, what and where and how to mend it."""
    done = cli("evaluate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_a_store_without_answers(cli: Cli, tmp_path: Path) -> None:
    """What to do first."""
    with SqlStore(tmp_path / "llmtriage.db") as store:
        record(store, decision(ticket(), accepted(), probe=0.5))
    done = cli("evaluate", "--store")
    assert done.code == 2
    assert done.err.endswith("no probe has an answer; classify with --probe 0.02, then llmtriage review --lane probe\n")


def test_the_store_of_every_command_is_not_taken_for_one_to_evaluate(
    cli: Cli, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the one that is meant where the flag stands without a name."""
    monkeypatch.setenv("LLMTRIAGE_STORE", "llmtriage.db")
    assert "no column 'category'" in cli("evaluate", "tickets.csv").err
    assert data(cli)["n"] == 4
    monkeypatch.setenv("LLMTRIAGE_STORE", "nowhere.db")
    assert "nowhere.db" in cli("evaluate", "--store").err


def test_a_store_may_hold_the_examples_of_a_file(cli: Cli, made: Path, tmp_path: Path) -> None:
    """Then it is not what is judged."""
    assert cli("examples", "freeze", "now").code == 0
    (tmp_path / "labelled.csv").write_text("id,content,category\nX,退款什么时候到账,refund\n", encoding="utf-8")
    done = cli("evaluate", "labelled.csv", "--examples", "store@now", "--store", "llmtriage.db", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["settings"]["file"] == "labelled.csv"
    assert json.loads(done.out)["reviews"] is None


@pytest.mark.parametrize(
    "store", ["postgresql://ann:geheim@127.0.0.1:1/db", "postgresql+psycopg://ann:ge/h@eim@host/db?password=geheim"]
)
def test_a_page_does_not_tell_the_password_of_a_store(store: str) -> None:
    """Whatever is in it."""
    with click.Context(evaluate, info_name="llmtriage evaluate") as context:
        context.params["store"] = store
        context.set_parameter_source("store", click.core.ParameterSource.COMMANDLINE)
        shown = command_line()
    assert "ann:***@" in shown
    assert "geheim" not in shown
    assert "eim" not in shown


# -- from the first ticket to the figures --------------------------------------------------------

LABELLED = {
    "en": {
        f"E{n}": (text, label)
        for n, (text, label) in enumerate([("I want my money back", "refund"), ("the parcel never arrived", "parcel")])
    },
    "zh": {
        f"C{n}": (text, label) for n, (text, label) in enumerate([("退款什么时候到账", "refund"), ("忘记密码登录不了", "login")])
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "line"), [("en", "Tickets             2, right 100.0 %"), ("zh", "工单数            2，正确 100.0 %")]
)
def test_from_probes_to_figures(cli: Cli, tmp_path: Path, language: str, line: str) -> None:
    """Real processes: classify with probes, export, a person fills in, import, evaluate."""
    tickets = LABELLED[language]
    rows = "".join(f"{name},{text}\n" for name, (text, _) in tickets.items())
    (tmp_path / "in.csv").write_text(f"id,content\n{rows}", encoding="utf-8")

    def call(*arguments: str) -> str:
        command = [sys.executable, "-m", "llmtriage", *arguments, "--language", language]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    call("classify", "in.csv", "--threshold", "0.3", "--probe", "1", "-o", "out.csv")
    call("review", "export", "blind.csv", "--lane", "probe")
    fill(tmp_path / "blind.csv", {name: label for name, (_, label) in tickets.items()})
    call("review", "import", "blind.csv", "--reviewer", "韩梅梅")
    text = call("evaluate", "--store")
    assert line in text
    assert ("抽取概率 1" if language == "zh" else "each with probability 1") in text
