"""`--examples store@NAME`, and `llmtriage examples` that freezes such a set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Cli
from cli.test_calibrate import rows, write
from decided import decision, pending, record
from drawn import decide_as_told, erase

from llmtriage import Pending, Ticket, Triage
from llmtriage.errors import InputError
from llmtriage.store import SqlStore


@pytest.fixture
def desk(cli: Cli, tmp_path: Path) -> Path:
    """A store in which 80 tickets waited and were corrected, and a labelled file."""
    write(tmp_path / "learn.csv", 90, 1, wrong=0.0)
    write(tmp_path / "labelled.csv", 300, 2)
    with SqlStore(tmp_path / "llmtriage.db") as store:
        wait(store, tmp_path, 0, 80)
    return tmp_path


def wait(store: SqlStore, folder: Path, start: int, end: int) -> None:
    """Tickets of learn.csv wait, and people correct them."""
    found = rows(folder / "learn.csv")
    gold = {row["id"]: row["category"] for row in found}
    record(store, *(decision(Ticket(content=row["content"], id=row["id"]), pending()) for row in found[start:end]))
    decide_as_told(store, gold, lane="pending")


@pytest.mark.slow
def test_frozen_answers_are_examples(cli: Cli, desk: Path) -> None:
    """For every command that takes examples, as those of a file with the same tickets are."""
    done = cli("examples", "freeze", "一月")
    assert (done.code, done.out) == (0, "一月: 80 examples; use them with --examples store@一月\n")
    lines = (desk / "learn.csv").read_text(encoding="utf-8").splitlines()
    (desk / "same.csv").write_text("\n".join(lines[:81]) + "\n", encoding="utf-8")
    by_file, by_store = (
        json.loads(cli("evaluate", "labelled.csv", "--examples", examples, "--json", "--quiet").out)
        for examples in ("same.csv", "store@一月")
    )
    assert by_store["accuracy"] == by_file["accuracy"]
    assert by_store["settings"] | {"command": ""} == by_file["settings"] | {"command": ""}
    listed = json.loads(cli("examples", "list", "--json").out)
    assert [(one["name"], one["tickets"], one["erased"]) for one in listed] == [("一月", 80, 0)]


@pytest.mark.slow
def test_a_calibration_is_bound_to_the_set(cli: Cli, desk: Path) -> None:
    """Made with one, it is refused with another; answers given meanwhile change nothing."""
    assert cli("examples", "freeze", "january").code == 0
    make = ("calibrate", "labelled.csv", "--examples", "store@january", "--alpha", "0.1", "-o", "c.json", "--quiet")
    assert cli(*make).code == 0
    with SqlStore(desk / "llmtriage.db") as store:
        wait(store, desk, 80, 90)
    assert cli("check", "--examples", "store@january", "--calibration", "c.json").code == 0
    assert cli("examples", "freeze", "february", "--quiet").code == 0
    for command in (("check",), ("classify", "labelled.csv", "-o", "out.csv")):
        done = cli(*command, "--examples", "store@february", "--calibration", "c.json", "--quiet")
        assert (done.code, done.err.count("\n")) == (3, 1)
        assert "the calibration does not fit: it was made with another set of examples;" in done.err
    assert cli("examples", "freeze", "january", "--overwrite").code == 0
    assert cli("check", "--examples", "store@january", "--calibration", "c.json").code == 3


def test_other_stores(cli: Cli, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By --store where a command has it, by the environment or the settings file elsewhere."""
    cli("examples", "freeze", "one")
    for suffix in ("", "-wal", "-shm"):
        if (desk / f"llmtriage.db{suffix}").exists():
            (desk / f"llmtriage.db{suffix}").rename(desk / f"ours.db{suffix}")
    asked = ("ask", "money back", "--examples", "store@one")
    done = cli(*asked)
    assert (done.code, done.err) == (
        2,
        "llmtriage: llmtriage.db: --store: there is no store; classify a file first, or name another one\n",
    )
    monkeypatch.setenv("LLMTRIAGE_STORE", "ours.db")
    assert cli(*asked).code == 0
    monkeypatch.delenv("LLMTRIAGE_STORE")
    monkeypatch.delenv("LLMTRIAGE_NO_STORE")
    assert cli("classify", "tickets.csv", "--examples", "store@one", "--store", "ours.db", "-o", "out.csv").code == 0
    (desk / "llmtriage.toml").write_text('store = "ours.db"\n', encoding="utf-8")
    assert cli(*asked).code == 0
    assert cli("examples", "list").out.startswith("one: 80 examples, 20")


def test_a_set_that_lost_a_ticket(cli: Cli, desk: Path) -> None:
    """One line says what to do; the list says it too."""
    cli("examples", "freeze", "one")
    with SqlStore(desk / "llmtriage.db") as store:
        erase(store, "L3")
        erase(store, "L5")
    done = cli("ask", "money back", "--examples", "store@one")
    assert (done.code, done.err) == (
        2,
        (
            "llmtriage: llmtriage.db: --examples: 2 of the 80 tickets of the set 'one' were erased; "
            "freeze a new one: llmtriage examples freeze\n"
        ),
    )
    assert cli("examples", "list").out.rstrip().endswith("; 2 of them were erased: freeze a new set")
    done = cli("examples", "freeze", "two")
    assert done.out.startswith("two: 78 examples; ")
    assert "note: 2 answers were left out: their text is gone, or was never stored" in done.err


def test_a_taxonomy_that_lost_a_category(cli: Cli, desk: Path) -> None:
    """A set that was frozen before is refused, unless the taxonomy carries the label; one frozen now leaves those out."""
    cli("examples", "freeze", "one")
    text = (desk / "taxonomy.yaml").read_text(encoding="utf-8").replace("id: parcel", "id: delivery")
    (desk / "taxonomy.yaml").write_text(text, encoding="utf-8")
    done = cli("ask", "money back", "--examples", "store@one")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "labels are 'parcel', for which the taxonomy has no leaf; say was: [parcel] in the one category" in done.err
    done = cli("examples", "freeze", "two", "--language", "zh")
    assert done.code == 0
    assert "个答案未使用：分类体系中没有对应的类别" in done.err
    (desk / "taxonomy.yaml").write_text(text.replace("id: delivery,", "id: delivery, was: [parcel],"), encoding="utf-8")
    done = cli("ask", "money back", "--examples", "store@one")
    assert done.code == 0
    assert "labels are carried, as was in the taxonomy says: parcel -> delivery" in done.err


def test_in_python(desk: Path) -> None:
    """The store is named too."""
    with SqlStore(desk / "llmtriage.db") as store:
        from llmtriage.store.example_sets import freeze

        with Triage(taxonomy=desk / "taxonomy.yaml") as plain:
            freeze(store.database, "一月", plain.taxonomy)
        with Triage(taxonomy=desk / "taxonomy.yaml", examples="store@一月", store=store) as triage:
            assert len(triage.examples) == 80
            assert isinstance(triage.classify("money back 退款"), Pending)
    with pytest.raises(InputError, match="examples: a set of examples in a store needs the store; name it: store="):
        Triage(taxonomy=desk / "taxonomy.yaml", examples="store@一月")
