"""Another program's side of `llmtriage serve`: send tickets, answer one that waits, be told what was decided.

python examples/caller.py
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent / "tickets.csv"
SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
SETTINGS = """
[callbacks.desk]
url = "http://127.0.0.1:{port}/told"
secret_env = "DESK_SECRET"
events = ["accepted", "reviewed"]
private = true  # this machine is meant
"""


class Receiver(BaseHTTPRequestHandler):
    """Is told what was decided, and believes it only when it is signed."""

    def do_POST(self) -> None:
        """Answer 204 when it was understood: anything else would be told again."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        is_ours = hmac.compare_digest(wanted, self.headers["webhook-signature"])
        self.send_response(204 if is_ours else 401)
        self.end_headers()
        if is_ours:
            said = json.loads(body)
            print(f"told: {said['type']}, {said['data']['id']} is {said['data']['category']}")

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""


def call(url: str, body: dict[str, Any]) -> Any:
    """What the service answers to a POST."""
    sent = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - http
    with urllib.request.urlopen(sent, timeout=30) as reply:  # noqa: S310
        return json.load(reply)


def use(service: str, receiver: HTTPServer) -> None:
    """Two tickets; the service tells of the one at once, and of the other when somebody answered it."""
    for ticket in (
        {"id": "A-1", "content": "I was charged twice for one order, please send one of the two amounts back."},
        {"id": "A-2", "content": "你好，在吗？想问一下"},
    ):
        outcome = call(f"{service}/classify/single", ticket)
        print(f"{outcome['id']}: {outcome['outcome']}, {outcome['team'] or outcome['reasons'][0]['text']}")
    receiver.handle_request()

    [waiting] = call(f"{service}/queue/claim", {"n": 1, "reviewer": "li"})["items"]
    answer = {"token": waiting["token"], "category": "other", "reviewer": "li"}
    call(f"{service}/queue/{waiting['entry']}/correct", answer)
    receiver.handle_request()


def main() -> None:
    """Start a service and a receiver in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder, HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        receiver.timeout = 30
        (Path(folder) / "llmtriage.toml").write_text(SETTINGS.format(port=receiver.server_port), encoding="utf-8")
        command = [sys.executable, "-m", "llmtriage", "serve", "--port", "0", "--threshold", "0.4", "--examples", str(EXAMPLES)]
        environment = {**os.environ, "DESK_SECRET": SECRET, "LLMTRIAGE_STORE": "desk.db"}
        with subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None  # noqa: S101 - asked for above
            said = next((found for line in process.stderr if (found := re.search(r"serves (\S+)", line))), None)
            if said is None:
                raise SystemExit("the service did not start")
            threading.Thread(target=process.stderr.read, daemon=True).start()  # its log
            try:
                use(said[1], receiver)
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
