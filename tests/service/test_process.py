"""The service as a process: what a client was told outlives a kill, and two processes share one store."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import postgresql
import pytest
import sqlalchemy as sa

from llmtriage.store import SqlStore, schema

pytestmark = pytest.mark.slow


@dataclass
class Process:
    """A service that listens."""

    process: subprocess.Popen[str]
    port: int

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the body of a reply, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()


@contextmanager
def service(store: str, *options: str, folder: Path) -> Iterator[Process]:
    """`llmtriage serve` on a free port."""
    command = [sys.executable, "-m", "llmtriage", "serve", "--port", "0", "--store", store, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            assert process.stderr is not None
            lines: list[str] = []
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                    break
            else:
                pytest.fail("".join(lines))
            threading.Thread(target=process.stderr.read, daemon=True).start()  # else it would wait for a reader of its log
            yield Process(process, int(found[1]))
        finally:
            process.kill()


@dataclass
class Load:
    """Threads that post tickets until the service is gone, and the ids of those they were told of."""

    process: Process
    told: set[str] = field(default_factory=set)

    def run(self, threads: int) -> list[threading.Thread]:
        """Begin."""
        workers = [threading.Thread(target=self._post, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        return workers

    def _post(self, worker: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.process.port, timeout=30)) as connection:
            for number in range(100_000):
                ticket = {"id": f"{worker}-{number}", "content": f"my parcel number {number} of {worker} never arrived"}
                try:
                    connection.request("POST", "/classify/single", json.dumps(ticket), {"Content-Type": "application/json"})
                    reply = connection.getresponse()
                    reply.read()
                except (OSError, http.client.HTTPException):
                    return
                if reply.status == 200:
                    self.told.add(ticket["id"])


def _stored(store: str) -> set[str]:
    joined = schema.outcome.join(schema.ticket, schema.outcome.c.ticket_id == schema.ticket.c.id)
    with SqlStore(store) as kept, kept.database.reading() as connection:
        return set(connection.scalars(sa.select(schema.ticket.c.external_id).select_from(joined)))


def test_what_a_client_was_told_outlives_a_kill(tmp_path: Path) -> None:
    """Killed in the middle of a load, twice on one store: every 200 that was seen is in the store, and the service starts again."""
    store = str(tmp_path / "service.db")
    told: set[str] = set()
    for seconds in (1.0, 1.7):
        with service(store, folder=tmp_path) as process:
            load = Load(process)
            workers = load.run(8)
            while len(load.told) < 20:
                time.sleep(0.05)
            time.sleep(seconds)
            process.process.send_signal(signal.SIGKILL)
            for worker in workers:
                worker.join()
        told |= load.told
    assert len(told) > 40
    assert told <= _stored(store)
    with service(store, folder=tmp_path) as process:
        again = {"id": "0-0", "content": "my parcel number 0 of 0 never arrived"}
        status, outcome = process.call("POST", "/classify/single", again)
        assert (status, outcome["recalled"]) == (200, True)
        assert process.call("GET", "/ready")[1]["store"] == "ok"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_service_that_is_told_to_stop_answers_what_it_took(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """No call that began is cut off, and the process ends: told to is done, from the keyboard it is interrupted."""
    with service(str(tmp_path / "service.db"), folder=tmp_path) as process:
        load = Load(process)
        workers = load.run(4)
        while len(load.told) < 20:
            time.sleep(0.05)
        process.process.send_signal(number)
        for worker in workers:
            worker.join()
        assert process.process.wait(40) == code
    assert load.told <= _stored(str(tmp_path / "service.db"))


@pytest.mark.skipif(postgresql.programs() is None, reason="needs PostgreSQL")
def test_two_processes_share_one_store(tmp_path: Path) -> None:
    """What one decided the other recalls, and what one keeps waits for both."""
    with postgresql.running() as server, server.schema() as name:
        store = server.url(schema=name)
        SqlStore(store).close()
        with service(store, folder=tmp_path) as one, service(store, folder=tmp_path) as other:
            tickets = [{"id": f"T{i}", "content": f"where is parcel {i}, it never arrived"} for i in range(40)]
            for number, ticket in enumerate(tickets):
                status, _ = (one, other)[number % 2].call("POST", "/classify/single", ticket)
                assert status == 200
            for number, ticket in enumerate(tickets):
                status, told = (other, one)[number % 2].call("POST", "/classify/single", ticket)
                assert (status, told["recalled"]) == (200, True)
        with SqlStore(store) as kept:
            assert kept.queue.counts().entries == 40


def test_a_backend_that_cannot_work_stops_the_start_with_one_line(tmp_path: Path) -> None:
    """With the exit code of the command line; nothing listens."""
    command = [sys.executable, "-m", "llmtriage", "serve", "--port", "0", "--backend", "vllm:none@http://127.0.0.1:9/v1"]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert "127.0.0.1:9" in done.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """In one line, with what to do."""
    with service(str(tmp_path / "a.db"), folder=tmp_path) as process:
        command = [sys.executable, "-m", "llmtriage", "serve", "--port", str(process.port), "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{process.port} (Address already in use); " in done.stderr


def test_an_answer_does_not_wait_for_a_receipt(tmp_path: Path) -> None:
    """On a connection that is kept: the kernel of a client may take 40 ms to say that the first half arrived."""
    took: list[float] = []
    with (
        service(str(tmp_path / "service.db"), folder=tmp_path) as process,
        closing(http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)) as connection,
    ):
        for _ in range(30):
            start = time.perf_counter()
            connection.request("GET", "/health")
            connection.getresponse().read()
            took.append(time.perf_counter() - start)
    assert min(took[10:]) < 0.02
