"""`llmtriage classify` as a process of its own against a server of `misbehaving`, and what holds for each such run."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.misbehaving import KEY, PRIVATE, Misbehaving, Play, by_ticket, good

import llmtriage

TAXONOMY = """\
categories:
  - {id: refund, name: {en: Refund, zh: 退款}, description: money back}
  - {id: parcel, name: {en: Parcel, zh: 物流}, description: where is my delivery}
  - {id: other, catch_all: true, description: anything else}
"""
# Waits short enough for a test; one odd answer after the other stops no run unless a test wants it.
QUICK = {
    "FIRST_WAIT": 0.01,
    "LONGEST_WAIT": 0.05,
    "BREAKER_WAIT": 0.1,
    "BREAKER_LONGEST": 0.2,
    "BREAKER_FAILURES": 1000,
    "RETRY_BUDGET": 1000,
    "UNUSABLE": 1000,
    "OUTAGE": 20,
}
DECIDED = "accepted"

Start = Callable[..., Misbehaving]


@dataclass(frozen=True)
class Run:
    """What a run left.

    Attributes:
        code: The exit code.
        err: What it said.
        rows: Its output.
        names: The ids of its input.
    """

    code: int
    err: str
    rows: list[dict[str, str]]
    names: list[str]

    @property
    def line(self) -> str:
        """The one line of a run that stopped; nothing else is on stderr."""
        [line] = self.err.splitlines()
        assert line.startswith("llmtriage: "), line
        return line.removeprefix("llmtriage: ")

    @property
    def reasons(self) -> dict[str, str]:
        """By the names of tickets: why each waits, or that it was accepted."""
        return {row["id"]: row["reasons"] or row["outcome"] for row in self.rows}


@dataclass(frozen=True)
class Workplace:
    """A folder with a taxonomy and a file of tickets, and what is set for the runs in it."""

    folder: Path
    names: list[str]

    @classmethod
    def of(
        cls,
        folder: Path,
        names: Iterable[str],
        *,
        taxonomy: str = TAXONOMY,
        settings: str = "",
        texts: Mapping[str, str] | None = None,
    ) -> Workplace:
        """Write the files; `texts` come behind what all tickets hold."""
        place = cls(folder, list(names))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "taxonomy.yaml").write_text(taxonomy, encoding="utf-8")
        (folder / "llmtriage.toml").write_text(settings, encoding="utf-8")
        with (folder / "in.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", "content"])
            texts = texts or {}
            writer.writerows(
                [name, f"Case {name}: where is the money of {PRIVATE}? {texts.get(name, '')}"] for name in place.names
            )
        return place

    def start(
        self,
        backend: str,
        *flags: str,
        file: str = "in.csv",
        key: str = KEY,
        env: Mapping[str, str] | None = None,
        **patience: Any,
    ) -> Process:
        """Begin a run."""
        command = [sys.executable, "-m", "llmtriage", "classify", file, "-o", "out.csv", "--threshold", "0.5", "--quiet"]
        where = str(Path(llmtriage.__file__).parent.parent)
        waits = {f"LLMTRIAGE_PATIENCE__{name.upper()}": str(value) for name, value in {**QUICK, **patience}.items()}
        environment = {**os.environ, "PYTHONPATH": where, "LLMTRIAGE_API_KEY": key, **waits, **(env or {})}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*command, "--backend", backend, *flags], cwd=self.folder, env=environment, stdout=pipe, stderr=pipe
        )
        return Process(self, process)

    def run(self, server: Misbehaving | str, *flags: str, **how: Any) -> Run:
        """A whole run against a server, or with a backend."""
        backend = server if isinstance(server, str) else f"openai:m@{server.url}"
        return self.start(backend, *flags, **how).ended()


@dataclass(frozen=True)
class Process:
    """A run under way."""

    place: Workplace
    popen: subprocess.Popen[bytes]

    def ended(self) -> Run:
        """Wait for its end and look at what holds for every run."""
        with self.popen as process:
            try:
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()  # if it still runs
        path, rows = self.place.folder / "out.csv", []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
        run = Run(process.returncode, err.decode("utf-8"), rows, self.place.names)
        assert out == b""
        check(run)
        return run


def check(run: Run) -> None:
    """Nothing private is told; decided and undecided are together what came in; the output is an exact beginning."""
    assert KEY not in run.err
    assert PRIVATE not in run.err
    assert "Traceback" not in run.err
    ids = [row["id"] for row in run.rows]
    assert ids == run.names[: len(ids)], run.err
    assert {row["outcome"] for row in run.rows} <= {"accepted", "pending"}
    if run.code == 0:
        assert len(ids) == len(run.names)
    elif run.code == 2:
        assert ids == []
    else:
        left = len(run.names) - len(ids)
        told = f"{len(ids)} of {len(run.names)} tickets are decided, {left} are not; go on with --resume"
        assert told in run.err, run.err


def finishes(place: Workplace, stopped: Run, server: Misbehaving, **how: Any) -> None:
    """--resume decides the rest, each ticket once, and asks for nothing that was decided."""
    run = place.run(server, "--resume", **how)
    assert (run.code, run.err) == (0, "")
    rest = stopped.names[len(stopped.rows) :]
    assert server.counts == dict.fromkeys(rest, 1)
    assert run.rows[: len(stopped.rows)] == stopped.rows


def at_once(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """The same for several items, two at a time: a run is mostly the start of a process."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, items))


def several(
    folder: Path,
    plays: Mapping[str, tuple[Play, str, int]],
    *flags: str,
    texts: Mapping[str, str] | None = None,
    **how: Any,
) -> dict[str, tuple[str, int]]:
    """One run in which each ticket meets a fault of its own between two good ones: what became of each, in how many requests."""
    names = ["before", *plays, "after"]
    server = Misbehaving(by_ticket({name: play for name, (play, _, _) in plays.items()}, good))
    try:
        run = Workplace.of(folder, names, texts=texts).run(server, *flags, **how)
    finally:
        server.stop()
    assert run.code == 0, run.err
    assert {request.headers["authorization"] for request in server.asked} == {f"Bearer {KEY}"}
    assert (run.reasons["before"], run.reasons["after"]) == (DECIDED, DECIDED)
    assert all((row["category"] == "refund") == (row["outcome"] == "accepted") for row in run.rows)
    return {name: (run.reasons[name], server.counts[name]) for name in plays}


def wanted(plays: Mapping[str, tuple[Play, str, int]]) -> dict[str, tuple[str, int]]:
    """What is expected of each."""
    return {name: (reason, requests) for name, (_, reason, requests) in plays.items()}
