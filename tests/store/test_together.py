"""Several processes on one store, and one that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from decided import accepted, decision, entries, pending, recall, record, rows, ticket
from support import ROOT

from llmtriage import Pending
from llmtriage.remembering import Memory
from llmtriage.store import SqlStore, schema

OpenStore = Callable[..., SqlStore]

_PROGRAM = """\
import sys
sys.path.insert(0, {tests!r})
from decided import accepted, decision, pending, record, ticket
from llmtriage.store import SqlStore

where, (begin, step, stride, groups) = sys.argv[1], map(int, sys.argv[2:])
with SqlStore(where) as store:
    print("open", flush=True)
    sys.stdin.readline()
    for n in range(begin, begin + step * stride * groups, step * stride):
        outcomes = pending() if n % 2 else accepted(), pending("parcel")
        record(store, *(decision(ticket(f"退款 {{n + k}}", f"T{{n + k}}"), outcomes[k % 2]) for k in range(0, step * 9, step)))
        print(n, flush=True)
"""


@pytest.fixture
def other(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a process that opens the store, and when it is told records groups of nine tickets, from `begin` in steps of 1 or -1.

    Each group begins `stride` tickets behind the last.
    """
    program = tmp_path / "records.py"
    program.write_text(_PROGRAM.format(tests=str(ROOT / "tests")), encoding="utf-8")
    python = [sys.executable, str(program)]

    def start(where: str, *numbers: int) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*python, where, *map(str, numbers)], text=True, encoding="utf-8", **pipes)  # type: ignore[call-overload,no-any-return]

    return start


def _go(*processes: subprocess.Popen[str]) -> None:
    """Let them begin at once, and wait for their ends."""
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, err = process.communicate(timeout=100)
        assert (process.returncode, err) == (0, "")


@pytest.mark.slow
def test_two_processes_may_make_a_store_and_record_the_same_tickets_at_once(
    nothing: str, other: Callable[..., subprocess.Popen[str]]
) -> None:
    """One from the first ticket to the last, one from the last to the first: each ticket is kept once, and neither waits for ever."""
    _go(other(nothing, 0, 1, 1, 40), other(nothing, 47, -1, 1, 40))
    with SqlStore(nothing) as store:
        ids = [row.external_id for row in rows(store, schema.ticket)]
        assert sorted(ids) == sorted(f"T{n}" for n in range(48))
        assert len(rows(store, schema.outcome)) == len(rows(store, schema.event)) == 48
        waiting = {row.ticket_id for row in rows(store, schema.outcome) if row.kind == "pending"}
        assert Counter(entry.ticket_id for entry in entries(store)) == Counter(waiting)
        assert sum(row.n for row in rows(store, schema.daily_count)) == 48


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_whole_groups(
    where: str, open_store: OpenStore, other: Callable[..., subprocess.Popen[str]]
) -> None:
    """What it was told is kept is there; of the rest a group is there wholly or not at all; another process goes on at once."""
    killed = other(where, 0, 1, 9, 1000)
    assert killed.stdin
    assert killed.stdout
    killed.stdout.readline()
    killed.stdin.write("\n")
    killed.stdin.flush()
    told = [killed.stdout.readline() for _ in range(7)]
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=60)
    store = open_store()
    found = Counter(int(row.external_id.removeprefix("T")) // 9 for row in rows(store, schema.ticket))
    assert set(found.values()) == {9}
    assert set(found) >= {int(line) // 9 for line in told}
    assert len(rows(store, schema.outcome)) == len(rows(store, schema.ticket)) == len(rows(store, schema.event))
    pending_ones = {row.id for row in rows(store, schema.outcome) if row.kind == "pending"}
    assert {entry.outcome_id for entry in entries(store)} == pending_ones
    record(store, decision(ticket("新的", "new"), pending()))
    assert recall(store, ticket("新的", "new")) != [None]


_FORKS = """\
import os, sys
sys.path.insert(0, {tests!r})
from decided import decision, pending, recall, record, ticket
from llmtriage.store import SqlStore

store = SqlStore(sys.argv[1])
record(store, decision(ticket("父进程", "parent"), pending()))
gone, end = os.pipe()
ready, begun = os.pipe()
if os.fork():
    os.read(ready, 1)
    recall(store, ticket("父进程", "parent"))
    store.close()
    sys.exit()
os.close(end)
record(store, decision(ticket("第一", "first"), pending()))
os.write(begun, b".")
os.read(gone, 1)  # ends with the parent
record(store, decision(ticket("第二", "second"), pending()))
print("kept", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.slow
def test_a_forked_child_keeps_what_it_records_also_behind_its_parents_end(where: str, tmp_path: Path) -> None:
    """With its parent's connections it would lose it: SQLite's locks are those of a process."""
    program = tmp_path / "forks.py"
    program.write_text(_FORKS.format(tests=str(ROOT / "tests")), encoding="utf-8")
    done = subprocess.run([sys.executable, str(program), where], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("kept\n", "")
    with SqlStore(where) as store:
        assert [row.external_id for row in rows(store, schema.ticket)] == ["parent", "first", "second"]


async def test_whoever_is_first_is_told_by_both(open_store: OpenStore) -> None:
    """Two processes ask about the same tickets and get other answers: what is kept is what both tell, and what the queue holds."""
    here, there = open_store(), open_store()
    of = ticket("退款"), ticket("parcel", "T2"), ticket("refund", "T3")
    record(there, decision(of[0], accepted()), decision(of[1], pending("login", "too_short")))
    own = [decision(of[0], pending()), decision(of[1], accepted()), decision(of[2], pending())]
    told = await Memory(here).record(own)
    assert [getattr(one, "category", None) for one in told] == ["refund", None, None]
    assert [reason.code for one in told[1:] if isinstance(one, Pending) for reason in one.reasons] == [
        "too_short",
        "below_threshold",
    ]
    assert [one.recalled for one in told] == [True, True, False]
    assert [entry.reasons.strip() for entry in entries(here)] == ["too_short", "below_threshold"]
