"""The command line in this process: quick, with the exit code and both streams."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli.misbehaving import Misbehaving, Play

from llmtriage.cli import run

TAXONOMY = """\
categories:
  - id: sales
    team: sales
    children:
      - {id: refund, name: {en: Refund, zh: 退款}, description: money back after a return, examples: [I want my money back, 退款什么时候到账]}
      - {id: parcel, name: {en: Parcel, zh: 物流}, description: where is my delivery, examples: [the parcel never arrived, 快递到哪里了]}
  - {id: login, team: tech, description: cannot sign in, examples: [password reset does not work, 忘记密码登录不了]}
  - {id: other, catch_all: true, description: anything else}
"""
TICKETS = """\
id,title,content,channel
T1,Refund,I want my money back,mail
T2,,快递到哪里了,chat
T3,Hello,,mail
T4,,x,chat
T5,Password,"reset
does not work",mail
"""


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Run a command in `tmp_path`, which holds `taxonomy.yaml` and `tickets.csv`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taxonomy.yaml").write_text(TAXONOMY, encoding="utf-8")
    (tmp_path / "tickets.csv").write_text(TICKETS, encoding="utf-8")

    def call(*arguments: object) -> Done:
        code = run([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        return Done(code, out.decode("utf-8"), err.decode("utf-8"))

    return call


class Server:
    """A chat server on this machine that answers as a test wants it to."""

    def __init__(self, reply: Callable[[int], tuple[int, bytes]], *, delay: float = 0) -> None:
        """Start to listen.

        Args:
            reply: Status and body for the number of the request, from 1.
            delay: Seconds before each answer.
        """
        self.requests = 0
        self.bodies: list[Any] = []
        self._lock, self._stopped = threading.Lock(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                status, body = reply(server._count())
                server._stopped.wait(delay)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *args: Any) -> None:
                pass  # a client that waits no longer is what some tests are about

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._http.server_address[1]}"
        self.url = f"http://{self.address}/v1"
        self.backend = f"openai:m@{self.url}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        """From now on nobody listens."""
        self._stopped.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _count(self) -> int:
        with self._lock:
            self.requests += 1
            return self.requests


def chat(text: str) -> bytes:
    """The body of an answer with this text."""
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a `Server`; it is stopped at the end of the test."""
    servers: list[Server] = []

    def start(reply: Callable[[int], tuple[int, bytes]], *, delay: float = 0) -> Server:
        servers.append(Server(reply, delay=delay))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def playing() -> Iterator[Callable[..., Misbehaving]]:
    """Start a `Misbehaving`; it is stopped at the end of the test."""
    servers: list[Misbehaving] = []

    def start(play: Play, **how: Any) -> Misbehaving:
        servers.append(Misbehaving(play, **how))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
