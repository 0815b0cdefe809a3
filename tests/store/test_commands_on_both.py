"""The commands that stand on samples and frozen sets, on both databases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import TAXONOMY
from cli.test_calibrate import rows, write
from drawn import decide_as_told

from llmtriage.cli import run
from llmtriage.store import SqlStore


@pytest.mark.slow
def test_from_unlabelled_tickets_to_examples(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sample, a calibration, another look, a frozen set, an answer with it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taxonomy.yaml").write_text(TAXONOMY, encoding="utf-8")
    write(tmp_path / "learn.csv", 60, 1, wrong=0.0)
    write(tmp_path / "tickets.csv", 120, 2, wrong=0.0)
    monkeypatch.setenv("LLMTRIAGE_STORE", where)
    monkeypatch.setenv("LLMTRIAGE_EXAMPLES", "learn.csv")
    init = ["init", "tickets.csv", "--alpha", "0.2", "--quiet"]
    assert run(init) == 1
    gold = {row["id"]: row["category"] for row in rows(tmp_path / "tickets.csv")}
    with SqlStore(where) as store:
        n = decide_as_told(store, gold, lane="sample")
    assert run(init) == 0, capsys.readouterr().err
    data = json.loads((tmp_path / "calibration.json").read_text(encoding="utf-8"))
    assert (data["labels"]["n"], "?" in data["labels"]["file"]) == (n, False)
    again = ["calibrate", "--store", "--sample", data["labels"]["drawn"], "--alpha", "0.3", "-o", "c.json", "--json"]
    capsys.readouterr()
    assert run(again) == 0
    assert json.loads(capsys.readouterr().out)["sample"]["look"] == 2
    assert run(["examples", "freeze", "一月"]) == 2
    assert run(["examples", "freeze", "一月", "--from", "all", "--json", "--quiet"]) == 0
    frozen = json.loads(capsys.readouterr().out)
    assert (frozen["tickets"], frozen["drawn"]) == (n, n)
    assert run(["ask", "退款", "--examples", "store@一月"]) == 0
