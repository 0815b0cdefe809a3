"""Other systems: one that sends signed tickets, one that is told of them and does not always listen."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llmtriage.service.hooks.signing import Standard

SECRET = "whsec_" + base64.b64encode(b"a secret of 32 bytes, for tests!").decode()
NEXT = "whsec_" + base64.b64encode(b"the next one, also of 32 bytes..").decode()
ZENDESK = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA="  # of Zendesk's documentation


def standard(message: str, body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """The headers of a message by Standard Webhooks."""
    return Standard(secret, variable="X").sign(message, body, time.time() if at is None else at)


def zendesk(body: bytes, *, at: datetime | None = None) -> dict[str, str]:
    """The headers of a message by Zendesk."""
    sent = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = hmac.digest(ZENDESK.encode(), sent.encode() + body, hashlib.sha256)
    return {
        "X-Zendesk-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Zendesk-Webhook-Signature-Timestamp": sent,
    }


def until(found: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until something is there, and return it."""
    end = time.monotonic() + seconds
    while not (there := found()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return there


@dataclass
class Heard:
    """A message that arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """Its JSON."""
        return json.loads(self.body)


Answer = Callable[[BaseHTTPRequestHandler, int], int | None]
"""What to answer to the request of this number: a status, or None where it was answered (or cut off) already."""


@dataclass
class Receiver:
    """Somebody who is told."""

    answer: Answer
    url: str = ""
    heard: list[Heard] = field(default_factory=list)


@contextmanager
def receiver(answer: Answer = lambda _request, _number: 204) -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""
    found = Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.heard.append(Heard({name.lower(): value for name, value in self.headers.items()}, body))
            status = found.answer(self, len(found.heard))
            if status is not None:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/told"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
