"""A small OpenAI-compatible server, to try the LLM path without a key: python examples/server.py --port 8900

It is no LLM: it answers with the embedded lexical engine, by a code of the list with its log-probability, or in the JSON that was asked for.
It listens on this machine only.
`llmtriage doctor --backend openai:demo@http://127.0.0.1:8900/v1` shows what it can do.
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
from llmtriage.predictions import Floats
from llmtriage.prompting import estimated_tokens

MODEL = "demo"
SAMPLE = Taxonomy.sample()
SAMPLE_ENGINE = LexicalBackend(SAMPLE)


@lru_cache(maxsize=8)
def engine(ids: tuple[str, ...]) -> LexicalBackend:
    """An engine for the categories of a request: the sample's, with all it says about them, else names alone."""
    return SAMPLE_ENGINE if all(i in SAMPLE for i in ids) else LexicalBackend(Taxonomy.from_labels(ids))


def shares(ids: tuple[str, ...], text: str) -> Floats:
    """How well each category fits, in shares of 1; a department of the sample counts as all its leaves."""
    found: Floats = np.exp(engine(ids).log_scores([text])[0])
    if any(i not in SAMPLE for i in ids):
        return found
    columns = {leaf.id: column for column, leaf in enumerate(SAMPLE.leaves)}
    sums = np.array([sum(found[columns[node.id]] for node in SAMPLE[i].walk() if node.id in columns) for i in ids])
    return np.asarray(sums / sums.sum())


def ticket_in(prompt: str) -> str:
    """The last ticket of a prompt; all of it where there is none."""
    tickets = re.findall(r"<ticket-(\w+)>\n(.*)\n</ticket-\1>", prompt, flags=re.DOTALL)
    return tickets[-1][1] if tickets else prompt


def by_code(request: dict[str, Any]) -> dict[str, Any] | None:
    """The code of the category that fits best, with the most probable codes; None where the prompt lists none."""
    codes = dict(re.findall(r'^(\S+)[:：] ?"([^"]+)"', request["messages"][0]["content"], flags=re.MULTILINE))
    if not codes or not request.get("logprobs"):
        return None
    found = shares(tuple(codes.values()), ticket_in(str(request["messages"][-1]["content"])))
    ranked = sorted(zip(codes, np.log(found), strict=True), key=lambda pair: -pair[1])[: request.get("top_logprobs", 0)]
    listed = [{"token": code, "logprob": float(value), "bytes": list(code.encode())} for code, value in ranked]
    content = [{**listed[0], "top_logprobs": listed}]
    return {"message": {"role": "assistant", "content": ranked[0][0]}, "logprobs": {"content": content}}


def choice(schema: dict[str, Any], prompt: str) -> dict[str, Any]:
    """An object for a JSON schema: of an enum what fits the ticket in the prompt best, of a number how well it fits."""
    chosen: dict[str, Any] = {}
    for name, about in schema["properties"].items():
        if "enum" in about:
            ids = tuple(about["enum"])
            found = shares(ids, ticket_in(prompt))
            chosen[name] = ids[int(found.argmax())]
            chosen |= {
                key: round(float(found.max()), 3) for key, value in schema["properties"].items() if value["type"] == "number"
            }
    return chosen


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """A chat completion: a code where the prompt lists codes, JSON where a schema or an object is asked for, else a sentence."""
    wanted, coded = request.get("response_format", {}), by_code(request)
    content = "I am no LLM: I choose from the enum of a JSON schema."
    if coded:
        content = coded["message"]["content"]
    elif wanted.get("type") == "json_schema":
        found = choice(wanted["json_schema"]["schema"], str(request["messages"][-1]["content"]))
        content = json.dumps(found, ensure_ascii=False)
    elif wanted.get("type") == "json_object":
        content = json.dumps({"text": content})
    return {
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}, **(coded or {})}],
        "usage": {
            "prompt_tokens": sum(estimated_tokens(m["content"]) for m in request["messages"]),
            "completion_tokens": estimated_tokens(content),
        },
    }


class Handler(BaseHTTPRequestHandler):
    """Two routes: the list of models and chat completions."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body go in one packet

    def do_GET(self) -> None:
        """List the one model."""
        if self.path != "/v1/models":
            self._send(404, {"error": {"message": f"no route {self.path}"}})
        else:
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


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as a run has requests in flight."""

    request_queue_size = 128


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8900, help="0: any free port")
    server = Server(("127.0.0.1", parser.parse_args().port), Handler)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
