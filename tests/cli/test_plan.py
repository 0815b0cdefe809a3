"""`llmtriage plan`: a sample to label, and what comes of it when it is labelled."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from cli.conftest import Cli
from cli.test_calibrate import LEARNT, rows, write

from llmtriage.sampling import checked
from llmtriage.tickets import read_tickets


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Many tickets whose labels somebody knows, some labelled ones, and some to learn from."""
    write(tmp_path / "learn.csv", 60, 1, wrong=0.0)
    write(tmp_path / "pilot.csv", 80, 2)
    write(tmp_path / "known.csv", 1200, 3)
    unlabelled = [{"id": row["id"], "content": row["content"], "channel": "mail"} for row in rows(tmp_path / "known.csv")]
    save(tmp_path / "all.csv", unlabelled)
    return tmp_path


def save(path: Path, found: list[dict[str, str]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(found[0]))
        out.writeheader()
        out.writerows(found)


def label(folder: Path, name: str, most: int | None = None) -> list[dict[str, str]]:
    """Fill in the labels of a sample, as people would."""
    gold = {row["id"]: row["category"] for row in rows(folder / "known.csv")}
    labelled = [{**row, "category": gold[row["id"]]} for row in rows(folder / name)][:most]
    save(folder / name, labelled)
    return labelled


def test_a_uniform_sample_needs_no_engine(cli: Cli, files: Path) -> None:
    """What any promise needs, the drawn tickets as they stand, and what to do next."""
    done = cli(
        "plan", "all.csv", "--alpha", "0.1", "--labels", "300", "-o", "label.csv", "--backend", "openai:none@http://127.0.0.1:9"
    )
    assert done.code == 0, done.err
    first, second, third = done.out.splitlines()
    assert first == "any promise needs at least 22 accepted labelled tickets without an error, 52 with two errors"
    assert second.startswith("300 tickets to label: label.csv; fill in the column category")
    assert third.startswith("then: llmtriage calibrate label.csv --alpha 0.1 --delta 0.1 -o calibration.json")
    sample = rows(files / "label.csv")
    assert len(sample) == 300
    assert list(sample[0]) == ["id", "content", "channel", "category", "sample"]
    assert {row["category"] for row in sample} == {""}
    assert len({row["sample"] for row in sample}) == 1
    texts = {row["id"]: row["content"] for row in rows(files / "all.csv")}
    assert all(texts[row["id"]] == row["content"] for row in sample)


def test_a_labelled_sample_makes_a_calibration(cli: Cli, files: Path) -> None:
    """Whose file names the sample."""
    assert cli("plan", "all.csv", "--alpha", "0.1", "--labels", "300", "-o", "label.csv").code == 0
    [name] = {row["sample"] for row in label(files, "label.csv")}
    done = cli("calibrate", "label.csv", *LEARNT, "--alpha", "0.1", "-o", "c.json")
    assert done.code == 0, done.err
    assert json.loads((files / "c.json").read_text(encoding="utf-8"))["labels"]["drawn"] == name


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_whatever_customers_write_comes_back_as_the_sample(cli: Cli, files: Path, suffix: str) -> None:
    """A text that a spreadsheet would run as a formula is written with an apostrophe; NUL cannot stand in a table."""
    odd = [
        "=1+1 money back",
        "@support money back",
        "- money back\r\nplease",
        "+ two",
        "'quoted'",
        "nul\0nul",
        "half \ud83d of it",
    ]
    tickets = [json.dumps({"id": f"={number}", "content": text}) for number, text in enumerate(odd * 8)]
    (files / "odd.jsonl").write_text("\n".join(tickets), encoding="utf-8")
    assert cli("plan", "odd.jsonl", "--alpha", "0.2", "--labels", "56", "-o", f"label.{suffix}").code == 0
    drawn = [(row.ticket, row.ticket.value("sample")) for row in read_tickets(files / f"label.{suffix}")]
    assert checked([name for _, name in drawn], [ticket for ticket, _ in drawn]).startswith("uniform-56-")


def test_rows_that_were_removed_or_added_are_refused(cli: Cli, files: Path) -> None:
    """A choice among a sample is no sample."""
    assert cli("plan", "all.csv", "--alpha", "0.1", "--labels", "300", "-o", "label.csv").code == 0
    whole = label(files, "label.csv")
    save(files / "fewer.csv", whole[:250])
    save(files / "more.csv", [*whole, {**whole[0], "id": "X1", "content": "password reset somewhere else"}])
    save(files / "mixed.csv", [*whole, *({**row, "sample": ""} for row in whole[:1])])
    for name, words in (
        ("fewer.csv", "250 labelled tickets, the sample has 300"),
        ("more.csv", "301 labelled tickets, the sample has 300"),
        ("mixed.csv", "tickets of several samples"),
    ):
        done = cli("calibrate", name, *LEARNT, "--alpha", "0.1", "-o", "c.json", "--quiet")
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert words in done.err
    assert not (files / "c.json").exists()


def test_a_sample_that_is_not_whole_is_found_before_anything_is_asked(cli: Cli, files: Path) -> None:
    """Nobody answers at this address, and nobody is asked."""
    assert cli("plan", "all.csv", "--alpha", "0.1", "--labels", "300", "-o", "label.csv").code == 0
    label(files, "label.csv", most=250)
    done = cli(
        "calibrate", "label.csv", "--backend", "openai:m@http://127.0.0.1:9/v1", "--alpha", "0.1", "-o", "c.json", "--quiet"
    )
    assert done.code == 2
    assert "250 labelled tickets, the sample has 300" in done.err


@pytest.mark.slow
def test_labels_where_acceptance_is_in_question(cli: Cli, files: Path) -> None:
    """With some labelled tickets the others are drawn from the surest; the promise reaches no lower."""
    flags = (*LEARNT, "--alpha", "0.05", "--pilot", "pilot.csv", "-o", "label.csv")
    done = cli("plan", "all.csv", *flags, "--labels", "200")
    assert done.code == 0, done.err
    assert "drawn from the surest " in done.out
    assert "about " in done.out
    assert "--plan plan.json" in done.out
    draft = json.loads((files / "plan.json").read_text(encoding="utf-8"))
    assert draft["promises"] == []
    assert 0 < draft["reach"] <= 1
    [name] = {row["sample"] for row in label(files, "label.csv")}
    assert name.startswith("focused-200-")
    done = cli("calibrate", "label.csv", *LEARNT, "--alpha", "0.05", "--plan", "plan.json", "-o", "c.json")
    assert done.code == 0, done.err + done.out
    made = json.loads((files / "c.json").read_text(encoding="utf-8"))
    assert made["floor"] == draft["floor"]
    assert made["calibrator"] == draft["calibrator"]
    assert (made["labels"]["n"], made["labels"]["certified"]) == (200, 200)
    share = f"{made['reach'] * made['promises'][0]['accepted'] / made['promises'][0]['n']:.0%}"
    assert made["words"].startswith(f"accepts {share} of tickets; ")
    routed = cli("classify", "known.csv", *LEARNT, "--calibration", "c.json", "-o", "out.csv", "--quiet")
    assert routed.code == 0, routed.err
    accepted = [row for row in rows(files / "out.csv") if row["outcome"] == "accepted"]
    assert min(float(row["confidence"]) for row in accepted) >= draft["floor"] - 1e-6
    gold = {row["id"]: row["category"] for row in rows(files / "known.csv")}
    assert sum(row["category"] != gold[row["id"]] for row in accepted) / len(accepted) <= 0.05


def test_a_file_with_too_few_tickets_says_so(cli: Cli, files: Path) -> None:
    """All that can be drawn are."""
    save(files / "few.csv", rows(files / "all.csv")[:60])
    done = cli("plan", "few.csv", *LEARNT, "--alpha", "0.05", "--pilot", "pilot.csv", "-o", "label.csv")
    assert done.code == 0, done.err
    drawn = len(rows(files / "label.csv"))
    assert f"only {drawn} tickets of the file can be drawn" in done.out


def test_no_file_that_is_read_is_written_over(cli: Cli, files: Path) -> None:
    """Not the pilot's labels, not the examples, and not the sample itself."""
    before = {name: (files / name).read_bytes() for name in ("pilot.csv", "learn.csv", "all.csv")}
    drawing = ("plan", "all.csv", *LEARNT, "--alpha", "0.05", "--pilot", "pilot.csv", "--overwrite", "--quiet")
    making = ("calibrate", "pilot.csv", *LEARNT, "--overwrite", "--quiet")
    for command in (
        (*drawing, "-o", "pilot.csv"),
        (*drawing, "-o", "label.csv", "--plan", "learn.csv"),
        (*drawing, "-o", "label.csv", "--plan", "label.csv"),
        (*making, "--alpha", "0.2", "-o", "learn.csv"),
        (*making, "--review", "0.5", "--unlabelled", "all.csv", "-o", "all.csv"),
    ):
        done = cli(*command)
        assert (done.code, len(done.err.splitlines())) == (2, 1), command
        assert "name another file for" in done.err
    assert before == {name: (files / name).read_bytes() for name in before}


def test_a_file_without_tickets_is_no_sample(cli: Cli, files: Path) -> None:
    """One line, and no file."""
    (files / "none.csv").write_text("id,content\n", encoding="utf-8")
    done = cli("plan", "none.csv", "--alpha", "0.05", "-o", "label.csv")
    assert (done.code, done.err.strip()) == (2, "llmtriage: none.csv: no ticket can be drawn; give more unlabelled tickets")
    assert not (files / "label.csv").exists()


@pytest.mark.slow
def test_a_focused_sample_belongs_to_its_plan(cli: Cli, files: Path) -> None:
    """Not to none, not to another, and a plan is no calibration."""
    flags = (*LEARNT, "--alpha", "0.05", "--pilot", "pilot.csv", "--labels", "200")
    assert cli("plan", "all.csv", *flags, "-o", "label.csv").code == 0
    assert cli("plan", "all.csv", *flags, "--seed", "1", "-o", "other.csv", "--plan", "other.json").code == 0
    label(files, "label.csv")
    make = ("calibrate", "label.csv", *LEARNT, "--alpha", "0.05", "-o", "c.json", "--quiet")
    for extra, words in (
        ((), "these tickets were drawn where labels are worth most, not among all; name the plan"),
        (("--plan", "other.json"), "name the plan of this sample"),
        (("--plan", "known.csv"), "not whole: no JSON"),
        (("--plan", "plan.json", "--answer", "department"), "--answer: the plan is for answers of the kind 'leaf'"),
    ):
        done = cli(*make, *extra)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert words in done.err
    done = cli("classify", "known.csv", *LEARNT, "--calibration", "plan.json", "-o", "out.csv", "--quiet")
    assert done.code == 2
    assert "a plan, not a calibration; label its tickets, then llmtriage calibrate --plan" in done.err
    assert cli(*make, "--plan", "plan.json").code == 0
    done = cli(*make, "--plan", "c.json", "-o", "d.json")
    assert "a calibration, not a plan" in done.err
    changed = cli(*make, "--plan", "plan.json", "--overwrite", "--without", "html")
    assert changed.code == 3


@pytest.mark.slow
def test_in_chinese(cli: Cli, files: Path) -> None:
    """All that it says."""
    done = cli(
        "plan",
        "all.csv",
        *LEARNT,
        "--alpha",
        "0.05",
        "--pilot",
        "pilot.csv",
        "-o",
        "label.csv",
        "--language",
        "zh",
        "--labels",
        "50",
    )
    assert done.code == 0, done.err
    assert "任何保证至少需要 45 张" in done.out
    assert "从最有把握的 " in done.out
    assert "待标注 50 张：label.csv" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("all.csv", "-o", "l.csv"), "--alpha"),
        (("all.csv", "--alpha", "0.1", "-o", "all.csv"), "the input itself"),
        (("all.csv", "--alpha", "0.1", "-o", "known.csv"), "exists already"),
        (("all.csv", "--alpha", "0.1", "-o", "l.csv", "--labels", "5000"), "5000 tickets to label, but there are 1200"),
        (("all.csv", "--alpha", "0.1", "-o", "l.csv", "--pilot", "none.csv"), "none.csv"),
        (("none.csv", "--alpha", "0.1", "-o", "l.csv"), "none.csv"),
        (("all.csv", "--alpha", "0.1", "-o", "l.csv", "--threshold", "0.5"), "not for plan"),
        (("all.csv", "--alpha", "0.1", "-o", "l.csv", "--departments"), "use --answer department"),
        (("all.csv", "--alpha", "0", "-o", "l.csv"), "0<x<=0.5"),
        (("all.csv", "--alpha", "1", "-o", "l.csv"), "0<x<=0.5"),
        (("all.csv", "--alpha", "0.1", "--delta", "1", "-o", "l.csv"), "0<x<=0.5"),
    ],
)
def test_what_cannot_be_used_is_exit_code_2(cli: Cli, files: Path, arguments: tuple[str, ...], words: str) -> None:
    """One line."""
    done = cli("plan", *arguments, "--quiet")
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert words in done.err
