"""One line of JSON a request, with nothing of what was asked."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import Served

from llmtriage.service.edge.log_lines import LogLines

Serve = Callable[..., Served]
PRIVATE = "13812345678"


def _lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(one.getMessage()) for one in caplog.records if one.name == "llmtriage.service"]


def test_a_request_is_one_line_without_its_text(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Path as the route has it, no query, no body."""
    caplog.set_level("INFO", "llmtriage.service")
    client = serve().client
    reply = client.post(f"/classify/single?q={PRIVATE}", json={"content": f"请回电 {PRIVATE}", "id": PRIVATE})
    client.get(f"/{PRIVATE}")
    decided, missing = _lines(caplog)
    assert decided.keys() == {"id", "method", "route", "status", "ms", "caller"}
    assert decided["id"] == reply.headers["x-request-id"]
    shown = {key: decided[key] for key in ("method", "route", "status", "caller")}
    assert shown == {"method": "POST", "route": "/classify/single", "status": 200, "caller": "local"}
    assert 0 < decided["ms"] < 10_000
    assert (missing["route"], missing["status"], missing["caller"]) == (None, 404, None)
    assert PRIVATE not in "".join(one.getMessage() for one in caplog.records if one.name.startswith("llmtriage"))


def test_a_fault_is_told_without_what_it_says(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller learns that it was one, the log where it was."""
    served = serve()

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError(PRIVATE)

    monkeypatch.setattr(type(served.store), "check", broken)
    reply = served.client.get("/ready")
    assert reply.status_code == 500
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["instance"] == f"urn:request:{reply.headers['x-request-id']}"
    [line] = _lines(caplog)
    assert re.match(r"KeyError < \S*test_logging.py:\d+ < ", line["fault"])
    assert PRIVATE not in reply.text + caplog.text


@pytest.mark.slow
def test_the_lines_go_to_stderr(tmp_path: Path) -> None:
    """Of the real command; beside them stands only that it stopped."""
    command = [sys.executable, "-m", "llmtriage", "serve", "--port", "0", "--store", str(tmp_path / "store.db"), "--quiet"]
    environment = {key: value for key, value in os.environ.items() if key != "LLMTRIAGE_NO_STORE"}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[2]
        reply = httpx2.get(f"{url}/health", headers={"X-Request-ID": "from-outside"})
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert reply.json() == {"status": "alive"}
    line, stopped = said.splitlines()
    assert stopped == "llmtriage: stopped"
    assert json.loads(line)["id"] == "from-outside"


@pytest.mark.slow
def test_lines_that_cannot_be_written_are_counted() -> None:
    """Nobody waits: neither who logs, nor the end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    lost: list[int] = []
    lines = LogLines(writing, lambda: lost.append(1), most=10)
    for number in range(100):
        lines.handle(logging.makeLogRecord({"msg": f"{number:03} " + "x" * 1000}))
    start = time.monotonic()
    lines.close()
    assert time.monotonic() - start < 5
    assert 80 <= len(lost) < 100
    os.close(writing)
    os.close(reading)


def test_lines_are_all_written_at_the_end() -> None:
    """In their order, where somebody reads."""
    reading, writing = os.pipe()
    lines = LogLines(writing, lambda: pytest.fail("lost"))
    for number in range(200):
        lines.handle(logging.makeLogRecord({"msg": f"第{number}行"}))
    lines.close()
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as read:
        assert read.read().splitlines() == [f"第{number}行" for number in range(200)]


@pytest.mark.slow
def test_a_service_whose_log_nobody_reads_answers(tmp_path: Path) -> None:
    """And ends well when it is told to."""
    command = [sys.executable, "-m", "llmtriage", "serve", "--port", "0", "--store", str(tmp_path / "store.db"), "--quiet"]
    environment = {key: value for key, value in os.environ.items() if key != "LLMTRIAGE_NO_STORE"}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
            with httpx2.Client(base_url=process.stderr.readline().split()[2], timeout=10) as client:
                for _ in range(200):  # each line has about 150 characters
                    assert client.get("/health").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
