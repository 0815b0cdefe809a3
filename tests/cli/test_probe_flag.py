"""`--probe`: a share of all tickets is drawn before routing, and decided blind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Cli
from cli.test_calibrate import rows, write
from drawn import decide_as_told

from llmtriage.store import SqlStore
from llmtriage.store.samples import probes

LEARNT = ("--examples", "learn.csv")
RUN = ("classify", "tickets.csv", *LEARNT, "--threshold", "0.5", "-o", "out.csv", "--overwrite")


@pytest.fixture
def desk(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tickets, and a store that is used unless a flag says otherwise."""
    monkeypatch.delenv("LLMTRIAGE_NO_STORE")
    write(tmp_path / "learn.csv", 60, 1, wrong=0.0)
    write(tmp_path / "tickets.csv", 300, 2)
    return tmp_path


def drawn(folder: Path) -> list[str]:
    """The tickets that wait as probes, as the file of outcomes tells."""
    return [row["id"] for row in rows(folder / "out.csv") if "probe" in row["reasons"]]


def test_from_tickets_as_they_come_to_a_promise(cli: Cli, desk: Path) -> None:
    """The whole way: drawn, decided blind, calibrated on; the drawn ones are told as pending, without what the model says."""
    done = cli(*RUN, "--probe", "0.9")
    assert done.code == 0, done.err
    told = drawn(desk)
    assert 240 < len(told) < 300
    assert all(row["category"] == "" for row in rows(desk / "out.csv") if row["id"] in told)
    gold = {row["id"]: row["category"] for row in rows(desk / "tickets.csv")}
    with SqlStore(desk / "llmtriage.db") as store:
        assert decide_as_told(store, gold, lane="probe") == len(told)
        assert [row.ticket.id for row in probes(store.database).rows] == told
    done = cli("calibrate", "--store", *LEARNT, "--alpha", "0.2", "-o", "c.json")
    assert done.code == 0, done.err
    assert json.loads((desk / "c.json").read_text(encoding="utf-8"))["labels"]["drawn"] == "probe-0.9"
    done = cli("classify", "tickets.csv", *LEARNT, "--calibration", "c.json", "-o", "routed.csv")
    accepted = [row for row in rows(desk / "routed.csv") if row["outcome"] == "accepted"]
    assert sum(row["category"] != gold[row["id"]] for row in accepted) <= 0.2 * len(accepted)


@pytest.mark.slow
def test_a_later_run_tells_nothing_of_a_probe_that_waits(cli: Cli, desk: Path) -> None:
    """Neither the same run without the flag nor one of another threshold, as often as they come; once it is answered they do."""
    assert cli(*RUN, "--probe", "0.2").code == 0
    told = drawn(desk)
    assert told
    for _ in range(2):
        for more in ((), ("--threshold", "0.3"), ("--probe", "0.1")):
            assert cli(*RUN, *more).code == 0
            assert drawn(desk) == told
            assert {row["category"] for row in rows(desk / "out.csv") if row["id"] in told} == {""}
    gold = {row["id"]: row["category"] for row in rows(desk / "tickets.csv")}
    with SqlStore(desk / "llmtriage.db") as store:
        decide_as_told(store, gold, lane="probe")
    assert cli(*RUN).code == 0
    assert drawn(desk) == []


@pytest.mark.slow
def test_the_setting_is_the_flag(cli: Cli, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `probe` in llmtriage.toml, or in the environment: the same tickets are drawn."""
    (desk / "llmtriage.toml").write_text("probe = 0.3\n", encoding="utf-8")
    assert cli(*RUN).code == 0
    by_file = drawn(desk)
    (desk / "llmtriage.toml").unlink()
    monkeypatch.setenv("LLMTRIAGE_PROBE", "0.3")
    assert cli(*RUN).code == 0
    assert drawn(desk) == by_file
    monkeypatch.delenv("LLMTRIAGE_PROBE")
    assert cli(*RUN, "--probe", "0.3").code == 0
    assert drawn(desk) == by_file
    assert 50 < len(by_file) < 130


def test_a_smaller_share_is_part_of_a_larger_one(cli: Cli, desk: Path) -> None:
    """The draw belongs to the ticket, not to the run."""
    assert cli(*RUN, "--probe", "0.4").code == 0
    many = drawn(desk)
    gold = {row["id"]: row["category"] for row in rows(desk / "tickets.csv")}
    with SqlStore(desk / "llmtriage.db") as store:  # what waits is told to wait, whoever drew it
        decide_as_told(store, gold, lane="probe")
    assert cli(*RUN, "--probe", "0.1").code == 0
    assert set(drawn(desk)) < set(many)


@pytest.mark.parametrize("share", ["0", "-0.1", "1.5", "nan", "two"])
def test_no_share(cli: Cli, desk: Path, share: str) -> None:
    """One line, by the flag or by the setting; nothing is classified."""
    done = cli(*RUN, f"--probe={share}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "'--probe'" in done.err
    if share != "two":
        (desk / "llmtriage.toml").write_text(f"probe = {share}\n", encoding="utf-8")
        done = cli(*RUN)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "llmtriage.toml: probe: " in done.err
    assert not (desk / "out.csv").exists()


def test_a_probe_needs_a_store(cli: Cli, desk: Path) -> None:
    """Who would answer it, and where?"""
    done = cli(*RUN, "--probe", "0.02", "--no-store")
    assert (done.code, done.err) == (2, "llmtriage: probe: a blind review needs a store; name one\n")
    assert not (desk / "out.csv").exists()
