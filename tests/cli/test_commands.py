"""Every command does what its help says; where defaults come from; what a terminal, a pipe and another folder see of it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from llmtriage import Taxonomy, __version__, backends
from llmtriage.cli.commands import llmtriage as tree
from llmtriage.tables import read_rows
from llmtriage.testing import ScriptedBackend
from llmtriage.triage import Triage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.conftest import Cli, Serve

    from llmtriage.backends import Setup
    from llmtriage.protocols import Backend
    from llmtriage.settings import Settings

RUN = (sys.executable, "-m", "llmtriage")
ANSWER = {"choices": [{"message": {"content": '{"category": "parcel", "confidence": 0.75}'}, "finish_reason": "stop"}]}
LABELLED = """\
id,content,category
1,I want my money back,refund
2,退款什么时候到账,refund
3,the parcel never arrived,parcel
4,password reset does not work,login
"""


@pytest.fixture
def labelled(tmp_path: Path) -> str:
    """A labelled file."""
    (tmp_path / "l.csv").write_text(LABELLED, encoding="utf-8")
    return "l.csv"


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Put `data` on the standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# -- ask ---------------------------------------------------------------------------------------


def test_ask_accepts(cli: Cli) -> None:
    """Category with its path, team, score, and the other candidates."""
    done = cli("ask", "I want my money back", "--threshold", "0.5", "--quiet")
    first, *others = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert first.startswith("accepted: refund [sales > Refund] -> sales  (score 0.9")
    assert len(others) == 4


def test_ask_says_why_a_ticket_waits(cli: Cli) -> None:
    """The suggestion and the reason with its code."""
    done = cli("ask", "I want my money back", "--title", "Refund", "--quiet")
    assert done.out.startswith("pending: suggestion refund [sales > Refund]")
    assert "\n  uncalibrated: No calibration and no threshold" in done.out


def test_ask_in_chinese(cli: Cli) -> None:
    """Names, reasons and the words around them."""
    done = cli("ask", "退款什么时候到账", "--language", "zh", "--quiet")
    assert done.out.startswith("待人工确认：建议 refund [sales > 退款]  (得分 0.")
    assert "没有校准也没有阈值" in done.out
    assert cli("ask", "退款什么时候到账", "--language", "zh", "--threshold", "0.1", "--quiet").out.startswith("接受：refund ")
    assert cli("ask", "?", "--language", "zh", "--quiet").out.startswith("待人工确认：无建议\n")
    assert cli("ask", "?", "--quiet").out.startswith("pending: no suggestion\n")


@pytest.mark.parametrize(("threshold", "outcome"), [("0.5", "accepted"), ("1", "pending")])
def test_ask_as_json(cli: Cli, threshold: str, outcome: str) -> None:
    """All of the outcome; what does not exist is null."""
    data = json.loads(cli("ask", "I want my money back", "--threshold", threshold, "--json", "--quiet").out)
    accepted = outcome == "accepted"
    assert data["outcome"] == outcome
    assert (data["category"], data["team"]) == (("refund", "sales") if accepted else (None, None))
    assert data["suggestion"] == (None if accepted else "refund")
    assert [reason["code"] for reason in data["reasons"]] == ([] if accepted else ["below_threshold"])
    assert data["candidates"][0] == {"category": "refund", "score": data["score"]}
    assert (data["confidence"], data["calibrated"], data["text"]) == (None, False, "I want my money back")


def test_ask_reads_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTF-8, with a mark or without."""
    stdin(monkeypatch, "\ufeff退款什么时候到账\n".encode())
    data = json.loads(cli("ask", "-", "--threshold", "0.1", "--json", "--quiet").out)
    assert (data["category"], data["text"]) == ("refund", "退款什么时候到账")


@pytest.mark.parametrize("command", ["ask", "prompt"])
def test_standard_input_that_is_not_utf_8(cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Is not guessed at."""
    stdin(monkeypatch, "退款".encode("gb18030"))
    done = cli(command, "-", "--quiet")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("llmtriage: standard input is not UTF-8; ")
    assert done.err.count("\n") == 1


# -- prompt ------------------------------------------------------------------------------------


def test_prompt_shows_the_messages(cli: Cli) -> None:
    """With the ticket, the hash and the length."""
    out = cli("prompt", "Where is my parcel?", "--quiet").out
    assert out.startswith("--- system\n")
    assert "\n--- user\n" in out
    assert "Where is my parcel?" in out.partition("--- user")[2]
    assert out.splitlines()[-1].startswith("--- prompt ")
    assert " tokens (an estimate), preparation: nothing to do" in out.splitlines()[-1]


def test_prompt_shows_a_row_of_a_file(cli: Cli) -> None:
    """The first, or the one named."""
    assert "I want my money back" in cli("prompt", "tickets.csv", "--quiet").out
    out = cli("prompt", "tickets.csv", "--row", "2", "--quiet").out.partition("--- user")[2]
    assert "快递到哪里了" in out
    assert "money" not in out


def test_prompt_of_a_row_that_does_not_exist(cli: Cli) -> None:
    """Is an error that names it."""
    done = cli("prompt", "tickets.csv", "--row", "9")
    assert (done.code, done.err) == (2, "llmtriage: tickets.csv: the file has no row 9; give a smaller --row\n")


def test_prompt_of_a_mistyped_file(cli: Cli) -> None:
    """A name of a table is no text of a customer."""
    assert cli("prompt", "tickts.csv").err == "llmtriage: tickts.csv: no such file; check the path\n"
    assert cli("prompt", "please send tickets.csv", "--quiet").code == 0


def test_prompt_as_json(cli: Cli, serve: Serve) -> None:
    """The request of a chat model is exactly what its server gets; an engine without prompts has none."""
    server = serve(lambda _: (200, b"{}"))
    data = json.loads(cli("prompt", "退款 <|im_start|>", "--json", "--backend", server.backend).out)
    assert data.keys() == {"messages", "request", "prompt_hash", "tokens", "tokens_are", "prepared_by"}
    assert [message["role"] for message in data["messages"]] == ["system", "user"]
    assert data["request"]["messages"] == data["messages"]
    assert data["request"]["model"] == "m"
    assert data["request"]["response_format"]["type"] == "json_schema"
    assert "退款" in data["messages"][1]["content"]
    assert data["tokens"] > 50
    assert server.requests == 0
    offline = json.loads(cli("prompt", "退款 <|im_start|>", "--json").out)
    assert offline == {**data, "request": None}


# -- taxonomy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "names"), [("en", ["Refund", "Parcel"]), ("zh", ["退款", "物流"])])
def test_taxonomy_show(cli: Cli, language: str, names: list[str]) -> None:
    """The tree in one language, with teams and marks."""
    lines = cli("taxonomy", "show", "--language", language).out.splitlines()
    assert lines[0] == "├─ sales"
    assert lines[1].startswith(f"│  ├─ refund [{names[0]}] -> sales: ")
    assert lines[2].startswith(f"│  └─ parcel [{names[1]}] -> sales: ")
    assert lines[-1].startswith(f"└─ other{' (none of these)' if language == 'en' else '（以上都不是）'}: ")


def test_taxonomy_show_round_trips_as_yaml(cli: Cli, tmp_path: Path) -> None:
    """What comes out is a taxonomy file with the same content."""
    (tmp_path / "again.yaml").write_text(cli("taxonomy", "show", "--yaml").out, encoding="utf-8")
    assert Taxonomy.load(tmp_path / "again.yaml") == Taxonomy.load(tmp_path / "taxonomy.yaml")


def test_taxonomy_show_as_json(cli: Cli, tmp_path: Path) -> None:
    """With the hash by which runs name it."""
    data = json.loads(cli("taxonomy", "show", "taxonomy.yaml", "--json").out)
    assert data["hash"] == Taxonomy.load(tmp_path / "taxonomy.yaml").hash
    assert [category["id"] for category in data["categories"]] == ["sales", "login", "other"]


def test_the_sample_taxonomy_passes(cli: Cli, tmp_path: Path) -> None:
    """It is taken, with a notice, where there is no other."""
    (tmp_path / "taxonomy.yaml").unlink()
    done = cli("taxonomy", "lint")
    assert done.code == 0
    assert done.err.startswith("note: no --taxonomy and no ./taxonomy.yaml: the sample taxonomy is used\n")
    assert ": 0 errors, " in done.err.splitlines()[-1].replace("categories: ", ": ")


def test_taxonomy_lint_finds_errors(cli: Cli, tmp_path: Path) -> None:
    """Exit code 1; each has its place, its code and its remedy."""
    text = (
        "categories:\n  - {id: a, description: money back}\n  - {id: b, description: Money back}\n  - {id: c, catch_all: true}\n"
    )
    (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
    done = cli("taxonomy", "lint", "t.yaml")
    assert done.code == 1
    assert done.out.startswith("t.yaml:3: T003 error: a, b: 'money back': ")
    assert done.err == "3 categories: 1 errors, 1 warnings\n"
    first, second = json.loads(cli("taxonomy", "lint", "t.yaml", "--json").out)
    assert (first["code"], first["severity"], first["line"], first["categories"]) == ("T003", "error", 3, ["a", "b"])
    assert (second["code"], second["severity"], second["line"]) == ("T101", "warning", 4)
    assert first["remedy"]


def test_taxonomy_lint_lets_warnings_pass(cli: Cli, tmp_path: Path) -> None:
    """They are told all the same."""
    text = "categories:\n  - {id: a, description: money back}\n  - {id: b, description: where is my parcel}\n"
    (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
    done = cli("taxonomy", "lint", "t.yaml", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("t.yaml:1: T103 warning: ")


LABELS = ["Refund_not_showing_up", "reverted_card_payment?", "洗发水"]


def test_taxonomy_from_csv(cli: Cli, tmp_path: Path) -> None:
    """Labels stay as they are, character for character, in the order of the file."""
    rows = "".join(f"text,{label}\n" for label in [*LABELS, LABELS[0]])
    (tmp_path / "in.csv").write_text(f"content,category\n{rows}", encoding="utf-8")
    done = cli("taxonomy", "from-csv", "in.csv", "-o", "t.yaml", "--none-label", "洗发水")
    assert (done.code, done.err) == (0, "3 categories from 4 tickets: t.yaml\n")
    tree = Taxonomy.load(tmp_path / "t.yaml")
    assert [leaf.id for leaf in tree.leaves] == LABELS
    assert tree.catch_all is not None
    assert tree.catch_all.id == "洗发水"
    assert cli("taxonomy", "from-csv", "in.csv", "--none-label", "洗发水").out == (tmp_path / "t.yaml").read_text(
        encoding="utf-8"
    )


def test_taxonomy_from_csv_needs_labels_alone(cli: Cli, tmp_path: Path) -> None:
    """A file without any text will do, and the column may have another name."""
    (tmp_path / "in.csv").write_text("Queue,id\nrefund,1\nparcel,2\n", encoding="utf-8")
    done = cli("taxonomy", "from-csv", "in.csv", "--category-column", "Queue", "-o", "t.yaml")
    assert (done.code, done.err) == (0, "2 categories from 2 tickets: t.yaml\n")
    assert [leaf.id for leaf in Taxonomy.load(tmp_path / "t.yaml").leaves] == ["refund", "parcel"]
    assert "name one with --category-column" in cli("taxonomy", "from-csv", "in.csv").err


def test_taxonomy_from_csv_overwrites_on_request_only(cli: Cli, tmp_path: Path, labelled: str) -> None:
    """A taxonomy may be the work of weeks."""
    before = (tmp_path / "taxonomy.yaml").read_bytes()
    done = cli("taxonomy", "from-csv", labelled, "-o", "taxonomy.yaml")
    assert (done.code, done.err) == (2, "llmtriage: taxonomy.yaml: the file exists; give another name or --overwrite\n")
    assert (tmp_path / "taxonomy.yaml").read_bytes() == before
    assert cli("taxonomy", "from-csv", labelled, "-o", "taxonomy.yaml", "--overwrite").code == 0
    assert [leaf.id for leaf in Taxonomy.load(tmp_path / "taxonomy.yaml").leaves] == ["refund", "parcel", "login"]


def test_taxonomy_from_csv_knows_its_labels(cli: Cli, labelled: str) -> None:
    """The label for "none of these" must be one of them."""
    done = cli("taxonomy", "from-csv", labelled, "--none-label", "logn")
    assert (done.code, done.out) == (2, "")
    assert "unknown label 'logn'; did you mean 'login'?" in done.err


# -- split -------------------------------------------------------------------------------------


def test_split_deals_every_row_once(cli: Cli, tmp_path: Path) -> None:
    """In the shares asked for, each category in each part, near-duplicates in one part, rows as they were."""
    things = ["lamp", "door bell", "camera", "router", "scale", "heater", "vacuum", "speaker", "plug", "lock"]
    texts = [(f"my {thing} {verb} since the update {n}", label) for thing in things for verb, label in VERBS for n in (1, 2)]
    rows = "".join(f'{i},"{text}",{label}\n' for i, (text, label) in enumerate(texts))
    (tmp_path / "l.csv").write_text(f"id,content,category\n{rows}", encoding="utf-8")
    done = cli("split", "l.csv", "--parts", "train=0.5,dev=0.25,test=0.25", "-o", "parts")
    assert (done.code, done.out) == (0, "")
    parts = {name: [row.cells for row in read_rows(tmp_path / "parts" / f"{name}.csv")] for name in ("train", "dev", "test")}
    assert [f"parts/{name}.csv: {len(part)} tickets" for name, part in parts.items()] == done.err.splitlines()
    dealt = sorted(
        (int(str(cells["id"])), str(cells["content"]), str(cells["category"])) for part in parts.values() for cells in part
    )
    assert dealt == [(i, *row) for i, row in enumerate(texts)]
    assert 0.4 < len(parts["train"]) / len(texts) < 0.6
    for part in parts.values():
        assert {cells["category"] for cells in part} == {"login", "parcel"}
        ids = {int(str(cells["id"])) for cells in part}
        assert ids == {i ^ 1 for i in ids}  # each text and its twin


VERBS = (("cannot log in", "login"), ("was never delivered", "parcel"))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        pytest.param("train", "not NAME=SHARE,...: 'train'", id="no share"),
        pytest.param("train=a,test=b", "not NAME=SHARE,...", id="no number"),
        pytest.param("a=0.5,b=0.6", "shares are above 0 and sum to 1; these sum to 1.1", id="more than all"),
        pytest.param("a=0,b=1", "shares are above 0 and sum to 1", id="an empty part"),
        pytest.param("a=nan,b=1", "shares are above 0 and sum to 1", id="nan"),
        pytest.param("a=0.5,a=0.5", "names must be different plain words", id="one name twice"),
        pytest.param("../a=0.5,b=0.5", "names must be different plain words", id="a path"),
        pytest.param("=0.5,b=0.5", "names must be different plain words", id="no name"),
    ],
)
def test_wrong_parts(cli: Cli, tmp_path: Path, labelled: str, parts: str, words: str) -> None:
    """One line with an example of right ones; nothing is written."""
    before = sorted(tmp_path.iterdir())
    done = cli("split", labelled, "--parts", parts)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith(f"llmtriage: --parts: {words}")
    assert done.err.endswith("; write it like train=0.8,test=0.2\n")
    assert sorted(tmp_path.iterdir()) == before


def test_split_overwrites_on_request_only(cli: Cli, tmp_path: Path, labelled: str) -> None:
    """Another seed would make another test set."""
    (tmp_path / "train.csv").write_text("precious", encoding="utf-8")
    done = cli("split", labelled)
    assert done.code == 2
    assert done.err == "llmtriage: train.csv: the file exists; name another folder with -o, or use --overwrite\n"
    assert (tmp_path / "train.csv").read_text(encoding="utf-8") == "precious"
    assert cli("split", labelled, "--overwrite", "--quiet").err == ""


def test_parts_written_with_full_width_signs(cli: Cli, tmp_path: Path, labelled: str) -> None:
    """An input method for Chinese gives them."""
    assert cli("split", labelled, "--parts", "学习＝0.5，新=0.5", "--quiet").code == 0
    assert {path.name for path in tmp_path.glob("*.csv")} == {"学习.csv", "新.csv", "l.csv", "tickets.csv"}


# -- evaluate ----------------------------------------------------------------------------------

KEYS = {
    *("n", "accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1", "weighted_f1", "log_loss", "brier", "ece"),
    *("auroc", "aurc", "accepted", "pending", "per_category", "confusions", "baselines", "usage", "seconds"),
    *("tickets_per_second", "backend", "taxonomy_hash", "prompt_hash"),
    *("ece_limit", "ece_verdict", "smooth_ece", "mcb", "dsc", "unc", "e_aurc", "augrc", "coverage_at_risk", "cost"),
}


def test_evaluate_in_words(cli: Cli, labelled: str) -> None:
    """A report on the standard output, nothing else there."""
    done = cli("evaluate", labelled, "--threshold", "0.3")
    assert (done.code, done.err) == (0, "")
    assert "100.0 %" in done.out
    assert "refund" in done.out
    assert "准确率" in cli("evaluate", labelled, "--threshold", "0.3", "--language", "zh").out


def test_evaluate_as_json(cli: Cli, labelled: str) -> None:
    """Every figure there is; nothing is NaN; no text of a customer."""
    out = cli("evaluate", labelled, "--threshold", "0.3", "--json").out
    data = json.loads(out, parse_constant=pytest.fail)
    assert data.keys() >= KEYS
    assert (data["n"], data["accuracy"], data["accepted"]["share"], data["accepted"]["error"]) == (4, 1.0, 1.0, 0.0)
    assert data["accepted"].keys() >= {"share", "error", "error_interval"}
    assert data["pending"].keys() >= {"share", "reasons"}
    assert data["per_category"][0].keys() >= {"category", "n", "precision", "recall", "f1"}
    assert data["backend"] == "lexical"
    assert "money" not in out


def test_evaluate_counts_costs(cli: Cli, labelled: str, tmp_path: Path) -> None:
    """With the costs of the flags, which the settings file may hold too; nothing accepted costs what people cost."""
    costs = ("--error-cost", "50", "--review-cost", "2.5")
    data = json.loads(cli("evaluate", labelled, *costs, "--json").out)
    assert data["cost"] == {
        "per_1000": 2500,
        "per_1000_interval": None,
        "by_hand": 2500,
        "cheapest_threshold": 0.95,
        "error_cost": 50,
        "review_cost": 2.5,
    }
    assert "2,500 (2,500 all by hand; an error taken as 50, a review as 2.50)" in cli("evaluate", labelled, *costs).out
    (tmp_path / "llmtriage.toml").write_text("error_cost = 5", encoding="utf-8")
    assert json.loads(cli("evaluate", labelled, "--json").out)["cost"]["error_cost"] == 5
    (tmp_path / "llmtriage.toml").unlink()
    assert cli("evaluate", labelled, "--error-cost", "0").code == 2
    assert cli("evaluate", labelled, "--review-cost", "nan").code == 2


@pytest.mark.usefixtures("by_json")
def test_evaluate_without_answers_has_no_figures(cli: Cli, labelled: str, serve: Serve) -> None:
    """A figure that does not exist is null, never 0."""
    server = serve(lambda _: (200, json.dumps(ANSWER).encode()))
    data = json.loads(cli("evaluate", labelled, "--backend", server.backend, "--json").out)
    assert (data["log_loss"], data["brier"], data["accepted"]["error"]) == (None, None, None)
    assert (data["macro_f1_interval"], data["label_mass"], data["n_scored"]) == (None, None, 0)
    assert data["accuracy"] == 0.25
    assert {confusion["predicted"] for confusion in data["confusions"]} == {"parcel"}


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (["accuracy=0.9"], 0),
        (["accuracy=0.9", "accepted.share=0.5"], 0),
        (["accuracy=0.9", "tickets_per_second=1e9"], 1),
        (["baselines.linear_svm=0.1"], 1),
    ],
    ids=["reached", "both reached", "one missed", "does not exist"],
)
def test_fail_under(cli: Cli, labelled: str, limits: list[str], code: int) -> None:
    """Exit code 1 and one line for each figure that is lower, or that does not exist; the report comes all the same."""
    flags = [text for limit in limits for text in ("--fail-under", limit)]
    done = cli("evaluate", labelled, "--threshold", "0.3", "--quiet", *flags)
    assert done.code == code
    assert done.out
    assert done.err.count("wanted: at least") == code


@pytest.mark.parametrize(
    ("limit", "threshold", "words"),
    [
        ("accepted.error=0.05", "0.3", ""),
        ("pending.reasons.timeout=0", "0.3", ""),
        ("pending.share=0.123456", "1", "pending.share is 1, wanted: at most 0.1235\n"),
        ("accepted.error=0.05", "1", "accepted.error is null (it does not exist here), wanted: at most 0.05\n"),
    ],
    ids=["kept", "a reason nobody has", "exceeded", "does not exist"],
)
def test_fail_over(cli: Cli, labelled: str, limit: str, threshold: str, words: str) -> None:
    """Exit code 1 and one line with short numbers where a figure is higher, or does not exist."""
    done = cli("evaluate", labelled, "--threshold", threshold, "--quiet", "--fail-over", limit)
    assert (done.code, done.err) == (1 if words else 0, words)


def test_evaluate_tells_how_it_was_run(cli: Cli, tmp_path: Path, labelled: str) -> None:
    """Settings and fingerprint in the JSON, the most telling ones in the head of the text."""
    (tmp_path / "e.csv").write_text("content,category\nrefund please,refund\n", encoding="utf-8")
    flags = ["--threshold", "0.3", "--examples", "e.csv", "--shots", "2", "--quiet"]
    data = json.loads(cli("evaluate", labelled, *flags, "--json").out)
    assert data["settings"] == {"threshold": 0.3, "departments": False, "shots": 2, "seed": 0, "examples": 1, "file": "l.csv"}
    run = json.loads(cli("classify", labelled, *flags, "--json").out.splitlines()[0])["run"]
    assert data["run"] == run
    lines = [line.split() for line in cli("evaluate", labelled, *flags).out.splitlines()]
    assert ["Threshold", "0.3"] in lines
    assert ["Examples", "1"] in lines
    assert "none: nothing is accepted" in cli("evaluate", labelled, "--quiet").out


def test_the_baseline_keeps_its_warnings_to_itself(cli: Cli, tmp_path: Path, labelled: str) -> None:
    """Two examples of two categories look to scikit-learn like a regression."""
    (tmp_path / "e.csv").write_text("content,category\nrefund please,refund\nmy parcel,parcel\n", encoding="utf-8")
    assert cli("evaluate", labelled, "--threshold", "0.3", "--examples", "e.csv").err == ""


def test_evaluate_notices_tickets_it_has_learned_from(cli: Cli, labelled: str) -> None:
    """An engine that has seen the answers looks better than it is."""
    done = cli("evaluate", labelled, "--examples", labelled, "--threshold", "0.3")
    assert done.err == "note: 4 of 4 tickets stand among the examples too: the figures flatter\n"


# -- where defaults come from ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "variable", "flag", "accepts"),
    [
        (None, None, None, False),
        ("0.1", None, None, True),
        (None, "0.1", None, True),
        ("1", "0.1", None, True),
        ("0.1", "1", None, False),
        ("1", "1", "0.1", True),
        ("0.1", "0.1", "1", False),
    ],
)
def test_a_flag_before_a_variable_before_the_file(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    file: str | None,
    variable: str | None,
    flag: str | None,
    accepts: bool,
) -> None:
    """The nearest to the command wins."""
    if file:
        (tmp_path / "llmtriage.toml").write_text(f"threshold = {file}\n", encoding="utf-8")
    if variable:
        monkeypatch.setenv("LLMTRIAGE_THRESHOLD", variable)
    done = cli("ask", "I want my money back", "--quiet", *(["--threshold", flag] if flag else []))
    assert done.out.startswith("accepted" if accepts else "pending")


def test_the_same_order_for_settings_of_engines(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts, time-out and requests in flight are looked up by the engine itself."""
    seen: list[Settings] = []

    def create(name: str, setup: Setup) -> Backend:
        seen.append(setup.settings)
        return ScriptedBackend({"refund": 0.9, "parcel": 0.05, "login": 0.03, "other": 0.02})

    monkeypatch.setattr(backends, "create", create)
    (tmp_path / "llmtriage.toml").write_text("attempts = 7\ntimeout = 7\nconcurrency = 7\n", encoding="utf-8")
    monkeypatch.setenv("LLMTRIAGE_TIMEOUT", "8")
    monkeypatch.setenv("LLMTRIAGE_CONCURRENCY", "8")
    assert cli("ask", "money back", "--concurrency", "9", "--quiet").code == 0
    [settings] = seen
    assert (settings.attempts, settings.timeout, settings.concurrency) == (7, 8, 9)


def test_a_variable_names_the_engine(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the flag would."""
    monkeypatch.setenv("LLMTRIAGE_BACKEND", "lexcal")
    assert cli("ask", "hello").err.endswith("unknown backend 'lexcal'; did you mean 'lexical'?\n")
    assert cli("ask", "hello", "--backend", "lexical", "--quiet").code == 0


def test_an_engine_of_the_settings_file(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """By the name that the file gives it; --settings names another file than the default one."""
    server = serve(lambda _: (200, json.dumps(ANSWER).encode()))
    engine = f'[backends.shop]\nkind = "openai"\nmodel = "m@1"\nurl = "{server.url}"\n'
    (tmp_path / "other.toml").write_text(f'backend = "shop"\nthreshold = 0.7\n{engine}', encoding="utf-8")
    (tmp_path / "llmtriage.toml").write_text(engine.replace("shop", "shed"), encoding="utf-8")
    assert cli("--settings", "other.toml", "ask", "hello there", "--quiet").out.startswith("accepted: parcel ")
    assert cli("ask", "hello there", "--backend", "shed", "--quiet").out.startswith("pending: suggestion parcel ")
    assert "did you mean 'shed'?" in cli("ask", "hello there", "--backend", "shd").err


# -- the tree of commands ----------------------------------------------------------------------


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS = dict(commands(tree))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help(cli: Cli, path: tuple[str, ...]) -> None:
    """Each flag is listed, with a text."""
    command = COMMANDS[path]
    done = cli(*path, "--help")
    assert (done.code, done.err, cli(*path, "-h").out) == (0, "", done.out)
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert all(name in done.out for name in parameter.opts)


def test_help_of_the_whole(cli: Cli) -> None:
    """Shown without arguments too; the lines to start with stand as they are; a group alone shows its own."""
    done = cli("--help")
    assert (done.code, done.err) == (0, "")
    assert '\n  Start here:\n    llmtriage ask "' in done.out
    assert "\\b" not in done.out
    assert all(f"\n  {path[0]}" in done.out for path in COMMANDS)
    assert cli() == done
    assert cli("taxonomy") == cli("taxonomy", "--help")
    assert cli("taxonomy").code == 0


def test_version(cli: Cli) -> None:
    """One line."""
    assert cli("--version").out == f"llmtriage {__version__}\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["clasify", "x.csv"], "no command 'clasify'; did you mean 'classify'?"),
        (["taxonomy", "lnt"], "No such command 'lnt'"),
        (["classify"], "Missing argument 'FILE'; see llmtriage classify --help"),
        (["ask"], "Missing argument 'TEXT'; see llmtriage ask --help"),
    ],
    ids=["mistyped", "mistyped below", "no file", "no text"],
)
def test_commands_that_are_none(cli: Cli, command: list[str], words: str) -> None:
    """One line, and where to look."""
    done = cli(*command)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"llmtriage: {words}")


def test_a_fault_of_our_own(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and exit code 70; the traceback with --debug."""

    def broken(*args: object) -> None:
        raise RuntimeError("oops\nsecret text of a customer")

    monkeypatch.setattr(Triage, "classify", broken)
    done = cli("ask", "hello", "--quiet")
    line = (
        "llmtriage: a fault of llmtriage itself (RuntimeError); run again as 'llmtriage --debug ...' and report what it shows\n"
    )
    assert (done.code, done.out, done.err) == (70, "", line)
    with pytest.raises(RuntimeError, match="oops"):
        cli("--debug", "ask", "hello", "--quiet")


# -- real processes ----------------------------------------------------------------------------


def test_it_runs_from_another_folder(tmp_path: Path) -> None:
    """It needs nothing of the folder it was built in; a terminal that knows no Chinese gets escapes, not an error."""
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [*RUN, "taxonomy", "show", "--language", "zh"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.startswith("\\u6ce8\\u610f\\uff1a")
    assert "\\u9000\\u6b3e" in done.stdout


@pytest.mark.slow
def test_a_broken_pipe_is_quiet(tmp_path: Path) -> None:
    """`llmtriage classify ... | head -1` is no error."""
    (tmp_path / "many.csv").write_text("id,content\n" + "a,where is my parcel please\n" * 3000, encoding="utf-8")
    command = [*RUN, "classify", "many.csv", "--threshold", "0", "--quiet"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"id ")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


SLOW = """
import sys
import llmtriage.backends as backends
from llmtriage.testing import ScriptedBackend
backends.create = lambda name, setup: ScriptedBackend({"refund": 0.9, "parcel": 0.1}, seconds=lambda q: 0.01, concurrency=2)
from llmtriage.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """How many are accepted and pending so far; the summary stays, the bar goes."""
    pty = pytest.importorskip("pty")
    (tmp_path / "taxonomy.yaml").write_text("categories: [{id: refund}, {id: parcel}]\n", encoding="utf-8")
    rows = "".join(f"{i},{'x' if i % 2 else 'money back'}\n" for i in range(120))
    (tmp_path / "in.csv").write_text(f"id,content\n{rows}", encoding="utf-8")
    command = [sys.executable, "-c", SLOW, "classify", "in.csv", "-o", "out.csv", "--threshold", "0.8"]
    terminal, its_side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=its_side) as process:
        os.close(its_side)
        shown = b"".join(blocks(terminal))
        assert process.wait(30) == 0
    text = shown.decode()
    assert " accepted, " in text
    assert "/120" in text
    assert "120 tickets: 60 accepted (50%), 60 pending" in text.splitlines()[-3]


def blocks(terminal: int) -> Iterator[bytes]:
    """What a process writes to its terminal, until it ends."""
    try:
        while block := os.read(terminal, 4096):
            yield block
    except OSError:  # how Linux tells the end
        pass
    finally:
        os.close(terminal)


def test_no_progress_in_a_pipe(cli: Cli) -> None:
    """A log holds the summary alone."""
    done = cli("classify", "tickets.csv", "-o", "out.csv", "--threshold", "0.3")
    assert done.err.splitlines()[0].startswith("5 tickets: ")
    assert "\x1b" not in done.err
    assert "\r" not in done.err


def test_the_prompt_of_a_decision_engine_is_its_request(cli: Cli) -> None:
    """It has no messages; the ticket stands behind what all tickets share."""
    done = cli("prompt", "我要退款", "--backend", "decisions:m@http://127.0.0.1:9/v1", "--quiet")
    assert done.code == 0
    assert done.out.index('"value": "refund"') < done.out.index("我要退款")
    data = json.loads(cli("prompt", "我要退款", "--backend", "decisions:m@http://127.0.0.1:9/v1", "--json", "--quiet").out)
    assert set(data["request"]) == {"model", "input", "questions"}
