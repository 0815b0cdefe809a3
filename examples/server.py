"""A small OpenAI-compatible server, to try the LLM path without a key: python examples/server.py --port 8900

It is no LLM: it answers with the embedded lexical engine, in the JSON that was asked for. It listens on this machine only.
Then, in another terminal: llmtriage classify examples/tickets.csv --backend openai:demo@http://127.0.0.1:8900/v1 --threshold 0.5
"""

from __future__ import annotations

import argparse
import json
import re
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from llmtriage import Taxonomy
from llmtriage.backends.lexical import LexicalBackend

MODEL = "demo"


@lru_cache(maxsize=8)
def engine(ids: tuple[str, ...]) -> LexicalBackend:
    """An engine for the categories of a request: the sample's, with all it says about them, else names alone."""
    sample = Taxonomy.sample()
    known = tuple(leaf.id for leaf in sample.leaves)
    return LexicalBackend(sample if ids == known else Taxonomy.from_labels(ids))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """A chat completion for a request of llmtriage."""
    schema = request["response_format"]["json_schema"]["schema"]
    ids = tuple(schema["properties"]["category"]["enum"])
    prompt = str(request["messages"][-1]["content"])
    ticket = re.findall(r"<ticket-(\w+)>\n(.*)\n</ticket-\1>", prompt, flags=re.DOTALL)[-1][1]
    shares = np.exp(engine(ids).log_scores([ticket])[0])
    best = int(shares.argmax())
    content = json.dumps({"category": ids[best], "confidence": round(float(shares[best]), 3)}, ensure_ascii=False)
    return {
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {
            "prompt_tokens": sum(len(m["content"]) for m in request["messages"]) // 4,
            "completion_tokens": len(content) // 4,
        },
    }


class Handler(BaseHTTPRequestHandler):
    """Two routes: the list of models and chat completions."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """List the one model."""
        self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        """Answer a chat request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._send(404, {"error": {"message": f"no route {self.path}"}})
        elif body.get("model") != MODEL:
            self._send(404, {"error": {"message": "this model does not exist", "code": "model_not_found", "param": "model"}})
        else:
            self._send(200, answer(body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Stay quiet."""

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8900, help="0: any free port")
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
