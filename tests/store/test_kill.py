"""A run that is killed at any moment leaves a readable store and an exact beginning of its output, and can be finished."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

TICKETS = 2000
_DRIVER = Path(__file__).parent / "killed.py"
_WORDS = [
    "refund",
    "parcel",
    "late",
    "broken",
    "login",
    "invoice",
    "charged",
    "twice",
    "thank",
    "you",
    "退款",
    "发票",
    "登录",
    "快递",
]
_COUNTS = sorted(random.Random(7).sample(range(1, 36), 10))  # noqa: S311


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 tickets, and what an unbroken run makes of them."""
    folder = tmp_path_factory.mktemp("kill")
    draw = random.Random(1)  # noqa: S311
    rows = [f'{n},"{" ".join(draw.choices(_WORDS, k=20))}, {n}\nsecond line"' for n in range(TICKETS)]
    (folder / "tickets.csv").write_text("id,content\n" + "\n".join(rows) + "\n", encoding="utf-8")
    run("never", 0, folder, "unbroken")
    return folder


def run(moment: str, count: int, folder: Path, name: str, *flags: str, wait: float | None = None) -> Any:
    """One run of the command line; what it says as JSON, None where it was killed."""
    arguments = [sys.executable, str(_DRIVER), moment, str(count), "classify", "tickets.csv", "-o", f"{name}.csv"]
    arguments += ["--store", f"{name}.db", "--threshold", "0.3", "--probe", "0.1", "--json", "--quiet", *flags]
    environment = {key: value for key, value in os.environ.items() if key != "LLMTRIAGE_NO_STORE"}
    with subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        if wait is not None:
            _kill_when_it_writes(process, folder / f"{name}.csv", wait)
        out, err = process.communicate(timeout=100)
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def _kill_when_it_writes(process: subprocess.Popen[bytes], out: Path, wait: float) -> None:
    while process.poll() is None and not (out.exists() and out.stat().st_size):
        time.sleep(0.01)
    time.sleep(wait)
    process.kill()


def stored(path: Path) -> int:
    """How many outcomes the store holds; it is whole, and each that waits has its place in the queue."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert connection.execute("pragma foreign_key_check").fetchall() == []
        waiting = "select id from outcome where kind = 'pending' or probe is not null"
        assert connection.execute(f"{waiting} except select outcome_id from queue_entry").fetchall() == []  # noqa: S608
        [[outcomes]] = connection.execute("select count(*) from outcome").fetchall()
        assert connection.execute("select count(*) from event").fetchall() == [(outcomes,)]
        assert connection.execute("select sum(n) from daily_count").fetchall() in ([(outcomes,)], [(None,)])
        return int(outcomes)


def finish(folder: Path, name: str) -> int:
    """Finish a killed run and compare; how many outcomes the store held before."""
    whole = (folder / "unbroken.csv").read_bytes()
    left = (folder / f"{name}.csv").read_bytes() if (folder / f"{name}.csv").exists() else b""
    assert whole.startswith(left)
    before = stored(folder / f"{name}.db") if (folder / f"{name}.db").exists() else 0
    assert left.count(b'\nsecond line"') <= before  # nothing is told before it is kept
    summary = run("never", 0, folder, name, "--resume")
    assert (folder / f"{name}.csv").read_bytes() == whole
    assert summary["usage"]["asked"] == TICKETS - before
    assert stored(folder / f"{name}.db") == TICKETS
    return before


@pytest.fixture(autouse=True)
def same_probes(folder: Path, request: pytest.FixtureRequest) -> str:
    """A store of its own for each test, with the key of the unbroken run: else other tickets would be drawn."""
    name: str = request.node.name.replace("[", "-").replace("]", "")
    with closing(sqlite3.connect(folder / "unbroken.db")) as source, closing(sqlite3.connect(folder / f"{name}.db")) as own:
        source.backup(own)
        own.execute("drop trigger event_no_delete")
        for table in ("queue_entry", "event", "daily_count", "outcome", "ticket_text", "ticket", "run"):
            own.execute(f"delete from {table}")  # noqa: S608
        own.commit()
    return name


@pytest.mark.slow
def test_killed_after_a_commit(folder: Path, same_probes: str) -> None:
    """What is on disk counts; the output may lag behind it."""
    assert run("after-commit", 3, folder, same_probes) is None
    assert finish(folder, same_probes) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("count", _COUNTS)
def test_killed_after_any_commit(folder: Path, same_probes: str, count: int) -> None:
    """At ten moments of the run, drawn once."""
    assert run("after-commit", count, folder, same_probes) is None
    assert finish(folder, same_probes) >= count


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 9, 30])
def test_killed_within_a_transaction(folder: Path, same_probes: str, count: int) -> None:
    """Half a transaction is none: no outcome without its place in the queue."""
    assert run("in-transaction", count, folder, same_probes) is None
    finish(folder, same_probes)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 777, 2000])
def test_killed_within_a_row_of_the_output(folder: Path, same_probes: str, count: int) -> None:
    """The half row is cut off; its outcome is known."""
    assert run("in-row", count, folder, same_probes) is None
    assert finish(folder, same_probes) >= count


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.05, 0.2])
def test_killed_by_the_clock(folder: Path, same_probes: str, wait: float) -> None:
    """Wherever that is."""
    run("never", 0, folder, same_probes, wait=wait)
    finish(folder, same_probes)
