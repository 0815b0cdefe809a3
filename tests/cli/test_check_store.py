"""`llmtriage check --store`: whether the promise holds in the light of the probes that people answered."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from cli.conftest import Cli
from cli.test_calibrate import write
from drawn import decide_as_told

from llmtriage.store import SqlStore, schema

LEARNT = ("--examples", "learn.csv")
CHECK = ("check", *LEARNT, "--calibration", "c.json", "--store")


@dataclass
class Probed:
    """A calibration, and a store in which probes drawn under it wait."""

    folder: Path
    gold: Mapping[str, str]

    def answer(self, said: Callable[[str], str], most: int = 10_000) -> None:
        """People answer the oldest probes: `said` of their true categories."""
        with SqlStore(self.folder / "llmtriage.db") as store:
            decide_as_told(store, {one: said(category) for one, category in self.gold.items()}, lane="probe", most=most)

    def accepted(self) -> int:
        """How many probes routing would have accepted."""
        with SqlStore(self.folder / "llmtriage.db") as store, store.database.reading() as connection:
            counted = sa.select(sa.func.count()).select_from(schema.outcome).where(schema.outcome.c.kind == "accepted")
            return connection.scalar(counted) or 0


@pytest.fixture
def probed(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probed:
    """Every one of 240 tickets is drawn for a blind review."""
    monkeypatch.delenv("LLMTRIAGE_NO_STORE")
    write(tmp_path / "learn.csv", 60, 1, wrong=0.0)
    write(tmp_path / "labelled.csv", 300, 2)
    write(tmp_path / "fresh.csv", 240, 3)
    made = cli("calibrate", "labelled.csv", *LEARNT, "--alpha", "0.1", "-o", "c.json")
    assert made.code == 0, made.err
    done = cli("classify", "fresh.csv", *LEARNT, "--calibration", "c.json", "-o", "out.csv", "--probe", "1")
    assert done.code == 0, done.err
    with (tmp_path / "fresh.csv").open(encoding="utf-8", newline="") as file:
        gold = {row["id"]: row["category"] for row in csv.DictReader(file)}
    return Probed(tmp_path, gold)


def test_a_promise_is_watched_by_probes(cli: Cli, probed: Probed) -> None:
    """First there are too few; then it holds; then not, with exit code 1, in both languages and as JSON."""
    n = probed.accepted()
    assert n > 60
    first = cli(*CHECK)
    assert first.code == 0
    assert first.out.splitlines()[-1] == (
        f"not enough probes yet: 0 accepted ones are answered, 0 of them wrong; 44 are needed; {n} more wait for an answer"
    )
    probed.answer(lambda category: category)
    done = cli(*CHECK, "llmtriage.db", "--json")
    (audit,) = json.loads(done.out)["audits"]
    assert (done.code, audit["probes"], audit["waiting"]) == (0, n, 0)
    assert audit["state"] == ("holds" if audit["limit"] <= 0.1 else "open")
    assert audit["limit"] > audit["wrong"] / n
    words = {"holds": ("the promise holds", "保证成立"), "open": ("nothing speaks against the promise so far", "目前没有迹象")}
    en, zh = words[audit["state"]]
    assert cli(*CHECK, "--language", "zh").out.splitlines()[-1].startswith(zh)
    assert cli(*CHECK).out.splitlines()[-1].startswith(f"{en}: {audit['wrong']} of {n} accepted probes are wrong, at most ")


def test_a_broken_promise_is_an_alarm(cli: Cli, probed: Probed) -> None:
    """Exit code 1; the calibration still fits, so it is not 3."""
    other = {"refund": "parcel", "parcel": "refund"}
    probed.answer(lambda category: other.get(category, "refund"), most=100)
    done = cli(*CHECK)
    assert done.code == 1
    assert done.out.splitlines()[-1].startswith("the promise does not hold: ")
    assert "promised are at most 10%; calibrate anew; " in done.out
    assert cli(*CHECK, "--language", "zh").out.splitlines()[-1].startswith("保证不再成立：")
    assert cli(*CHECK[:-1]).code == 0


def test_a_store_that_is_not_there_is_told(cli: Cli, probed: Probed) -> None:
    """None is made."""
    done = cli(*CHECK, "none.db")
    assert done.code == 2
    assert "none.db" in done.err
    assert len(done.err.splitlines()) == 1
    assert not (probed.folder / "none.db").exists()
