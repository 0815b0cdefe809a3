"""What goes wrong with a real server: tickets that do not fit, a name that it does not know, and its end in the middle of a run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_vllm import Served, Server
from served import FOLDER, TAXONOMY, tickets, triage
from support import ROOT

from llmtriage import BackendRefusedError, Pending, Taxonomy
from llmtriage.predictions import Failure, Prediction

IDS = [ticket["id"] for ticket in tickets()]
CONTEXT = 1536  # tokens: enough for the prompt and a ticket of some hundred words
DECIDED = 60  # tickets, before the server goes
IN_FLIGHT = 8
# Looks for a server that is gone every other second; a server that is told to end may leave a client hanging until its own time-out.
PATIENCE = {"BREAKER_WAIT": 1, "BREAKER_LONGEST": 2, "OUTAGE": 600}
TRIAL = 1  # request with which each run begins


@pytest.fixture(scope="module")
def small(start_vllm: Callable[..., Server]) -> Server:
    """A server with a small context."""
    return start_vllm("--max-model-len", str(CONTEXT))


@pytest.fixture
def server(small: Server) -> Server:
    """The same, running; a test may have killed it."""
    small.start()
    return small


# -- runs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """`llmtriage classify` on all tickets, as a process of its own."""

    out: Path
    process: subprocess.Popen[str]

    def ended(self) -> tuple[int, str]:
        """Wait for it: the exit code, and what it said."""
        with self.process as process:
            try:
                _, err = process.communicate(timeout=400)
            finally:
                process.kill()  # if it still runs
        return process.returncode, err

    def lines(self) -> list[str]:
        """The whole rows that are written so far; no cell of these tickets holds a line end."""
        text = self.out.read_text(encoding="utf-8") if self.out.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()[1:]

    def has(self, decided: int) -> None:
        """Wait until so many tickets are decided."""
        end = time.monotonic() + 200
        while len(self.lines()) < decided:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)


def classify(backend: str, out: Path, *flags: str, **patience: float) -> Run:
    """Begin a run."""
    command = [
        sys.executable,
        "-m",
        "llmtriage",
        "classify",
        f"{FOLDER / 'tickets.csv'}",
        "-o",
        f"{out}",
        "--taxonomy",
        f"{TAXONOMY}",
    ]
    waits = {f"LLMTRIAGE_PATIENCE__{name.upper()}": str(value) for name, value in {**PATIENCE, **patience}.items()}
    limits = ["--concurrency", str(IN_FLIGHT), "--timeout", "10", "--threshold", "0.5", "--quiet"]
    process = subprocess.Popen(
        [*command, "--backend", backend, *limits, *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT), **waits},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Run(out, process)


def answered(server: Server) -> int:
    """Chat requests that the server answered in all its lives, by its own log."""
    return len(re.findall(r'"POST /v1/chat/completions HTTP/1\.1" 200', server.log.read_text(encoding="utf-8", errors="replace")))


@pytest.fixture(scope="module")
def undisturbed(small: Server, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a run writes that nothing happens to."""
    small.start()
    run = classify(small.backend, tmp_path_factory.mktemp("undisturbed") / "out.csv")
    assert run.ended() == (0, "")
    return run.out.read_bytes()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_comes_back_in_the_middle_of_a_run(
    server: Server, undisturbed: bytes, tmp_path: Path, how: signal.Signals
) -> None:
    """The run waits and goes on: every ticket is there, in order, as if nothing had happened, and none was asked about again."""
    before = answered(server)
    run = classify(server.backend, tmp_path / "out.csv")
    run.has(DECIDED)
    server.stop(how)
    decided = len(run.lines())
    assert DECIDED <= decided < len(IDS)
    server.start()
    assert run.ended() == (0, "")
    assert run.out.read_bytes() == undisturbed
    # What was on its way when the server went was asked about again; nothing else was.
    assert 0 <= answered(server) - before - len(IDS) - TRIAL <= IN_FLIGHT


def test_a_server_that_stays_away_ends_the_run_and_resume_goes_on(server: Server, undisturbed: bytes, tmp_path: Path) -> None:
    """Exit 5 with an exact beginning of the output; the second run asks about the rest alone."""
    run = classify(server.backend, tmp_path / "out.csv", outage=1)
    run.has(DECIDED)
    server.stop(signal.SIGKILL)
    code, err = run.ended()
    decided = len(run.lines())
    assert code == 5
    assert f"{decided} of {len(IDS)} tickets are decided, {len(IDS) - decided} are not; go on with --resume" in err
    assert undisturbed.startswith(run.out.read_bytes())
    server.start()
    before = answered(server)
    again = classify(server.backend, run.out, "--resume")
    assert again.ended() == (0, "")
    assert run.out.read_bytes() == undisturbed
    assert answered(server) - before == len(IDS) - decided + TRIAL


# -- tickets that do not fit ---------------------------------------------------------------------


LONG = " ".join(ticket["content"] for ticket in tickets()[:100])


@pytest.mark.parametrize("reading", ["token", "json"])
@pytest.mark.parametrize("times", [1, 10])
def test_a_ticket_longer_than_the_context_waits_with_its_reason(server: Server, reading: str, times: int) -> None:
    """Whether the server counts its tokens or refuses it unread; its neighbours are answered."""
    with triage(server, reading=reading) as sorter:
        first, long, last = sorter.classify_many(["Book me a table for two", times * LONG, "Book me a flight to Rome"])
    assert isinstance(long, Pending)
    assert [reason.code for reason in long.reasons] == ["too_long"]
    assert isinstance(long.failure, Failure)
    assert "longer than the model's context" in long.failure.detail
    assert isinstance(first.prediction, Prediction)
    assert isinstance(last.prediction, Prediction)


def test_a_ticket_that_may_be_shortened_gets_an_answer_and_waits_all_the_same(server: Server) -> None:
    """Its middle is left out, and the reviewer is told how much."""
    with triage(server, reading="token", shorten=True, context=CONTEXT) as sorter:
        [outcome] = sorter.classify_many([LONG])
    assert isinstance(outcome, Pending)
    assert outcome.prediction is not None
    assert 0 < outcome.prediction.left_out < len(LONG)
    assert outcome.prediction.usage.attempts <= 2  # our estimate of its tokens may be low, and then it is refused first
    told = {reason.code: reason.detail for reason in outcome.reasons}
    assert told["too_long"] == f"the model did not see {outcome.prediction.left_out} characters in the middle"


def test_a_prompt_that_leaves_no_room_for_any_ticket_ends_the_run(server: Server) -> None:
    """At once, instead of a file of tickets that are all too long."""
    wide = Taxonomy.from_labels([f"the category with the number {number:03d} of a long list" for number in range(120)])
    with triage(server, sorts=wide) as sorter, pytest.raises(BackendRefusedError, match="even with a short ticket") as caught:
        sorter.settle()
    assert "longer than the model's context; give the server a larger window" in str(caught.value)


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["vllm", "openai", "decisions"])
def test_a_model_that_does_not_exist_ends_the_run_in_one_line_that_names_what_does(
    vllm_server: Served, tmp_path: Path, kind: str
) -> None:
    """Exit 4, and nothing is decided."""
    backend = f"{kind}:nope@{vllm_server.url}"
    run = classify(backend, tmp_path / "out.csv")
    code, err = run.ended()
    [line] = err.splitlines()
    assert code == 4
    assert line.startswith(f"llmtriage: {backend}: the server does not know this model; known: {vllm_server.model}")
    assert run.lines() == []
