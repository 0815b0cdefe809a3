"""A server on this machine that plays what real ones do, good and bad, for the tests of doctor."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llmtriage.prompting import estimated_tokens

TRAINED = "trained-7b"


@dataclass
class Plays:
    """What the server does; the defaults are those of a healthy vLLM."""

    kind: str = "vllm"  # "vllm", "llama.cpp", "ollama", "plain", "html"
    models: tuple[str, ...] = ("m",)
    key: str | None = None
    schema: str = "kept"  # "kept", "ignored", "refused", "latin": kept for Latin letters only
    object: str = "kept"  # "kept", "ignored", "refused"
    speaks_json: bool = True
    logprobs: str = "listed"  # "refused", "absent", "null", "empty", "one", "integer"; "five", "many": at most 5, 100
    thinks: str = "never"  # "always", or the name of the field that keeps it from it
    refuses: tuple[str, ...] = ()  # fields
    cut: int | None = None  # tokens that are read, from the end
    context: int | None = None  # tokens; more is a 400
    counts: bool = True
    delay: float = 0.0
    wavers: bool = False
    template: int = 0  # tokens that the chat template adds
    decides: str = ""  # "openai" or "systemone": a decision endpoint
    probabilities: tuple[float, ...] = (0.613, 0.2034, 0.1, 0.0836)


class Probed:
    """The server, and what it was asked."""

    def __init__(self, plays: Plays) -> None:
        """Listen."""
        self.plays = plays
        self.asked: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet, else each answer waits for an acknowledgement

            def do_GET(self) -> None:
                self._send(*outer.get(self.path))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                time.sleep(outer.plays.delay)
                self._send(*outer.post(self.path, body, self.headers.get("authorization", "")))

            def log_message(self, *args: Any) -> None:
                pass

            def _send(self, status: int, body: object) -> None:
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        class Listening(ThreadingHTTPServer):
            request_queue_size = 64
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass  # a client that waits no longer

        self._http = Listening(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        """Nobody listens any more."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    # -- routes ----------------------------------------------------------------------------------

    def get(self, path: str) -> tuple[int, object]:
        """The list of models and the routes of a kind of server."""
        kind = self.plays.kind
        if kind == "html":
            return 200, "<html>log in</html>"
        if path == "/v1/models":
            extra = {"owned_by": "vllm", "root": f"org/{TRAINED}", "max_model_len": 16384} if kind == "vllm" else {}
            return 200, {"data": [{"id": model, **extra} for model in self.plays.models]}
        routes = {
            ("vllm", "/version"): {"version": "0.32.0"},
            ("llama.cpp", "/props"): {"model_path": f"/w/{TRAINED}.gguf", "default_generation_settings": {"n_ctx": 16384}},
            ("ollama", "/api/version"): {"version": "0.30.1"},
        }
        found = routes.get((kind, path))
        return (200, found) if found else _missing()

    def post(  # noqa: PLR0911 - one for each route
        self, path: str, body: dict[str, Any], authorization: str
    ) -> tuple[int, object]:
        """Chat, token ids and what Ollama says of a model."""
        plays = self.plays
        if path == "/tokenize" and plays.kind in ("vllm", "llama.cpp"):
            return 200, {"tokens": [ord(body["prompt"][0])]}
        if path == "/api/show" and plays.kind == "ollama":
            return 200, {"parameters": 'stop "x"\nnum_ctx                        4096'}
        if plays.decides and path == {"openai": "/v1/decisions", "systemone": "/v1/systemone"}[plays.decides]:
            return 200, self._decided(body)
        if path != "/v1/chat/completions":
            return _missing()
        self.asked.append(body)
        if plays.key and authorization != f"Bearer {plays.key}":
            return 401, _error("wrong key")
        if body["model"] not in plays.models and plays.kind != "llama.cpp":
            return 404, _error("The model does not exist.", "model")
        return (200, "<html>log in</html>") if plays.kind == "html" else self._chat(body)

    def _chat(self, body: dict[str, Any]) -> tuple[int, object]:
        plays = self.plays
        refused = [*plays.refuses, *(["logprobs"] if plays.logprobs == "refused" else [])]
        kind = body.get("response_format", {}).get("type", "")
        if (kind == "json_schema" and plays.schema == "refused") or (kind == "json_object" and plays.object == "refused"):
            return 400, _error("no such format", "response_format")
        too_many = body.get("top_logprobs", 0) > {"five": 5, "many": 100}.get(plays.logprobs, 20)
        field = next((name for name in refused if name in body), "top_logprobs" if too_many else None)
        if field:
            return 400, _error(f"unknown field {field}", field)
        text = "\n".join(message["content"] for message in body["messages"])
        tokens = estimated_tokens(text) + plays.template
        if plays.context and tokens > plays.context:
            return 400, _error("too long", "input_tokens")
        if plays.cut and tokens > plays.cut:
            text, tokens = text[-int(len(text) * plays.cut / tokens) :], plays.cut
        return 200, self._completion(body, text, tokens)

    def _decided(self, body: dict[str, Any]) -> dict[str, Any]:
        """The probabilities in the order of the options; where there are more options than those, the rest get 0."""
        openai = self.plays.decides == "openai"
        asked = body["questions"] if openai else [{"name": name, **about} for name, about in body["questions"].items()]
        answers = {}
        for question in asked:
            options = [choice["value"] for choice in question["choices"]] if openai else list(question["criteria"])
            shares = dict(zip(options, [*self.plays.probabilities, *[0.0] * len(options)], strict=False))
            listed = [{"value": option, "probability": share} for option, share in shares.items()]
            answers[question["name"]] = {"type": "choice", "probabilities": listed if openai else shares}
        usage = {"input_tokens": 50, "output_tokens": 0}
        return {"model": "decider-2b", "usage": usage, "answers": list(answers.values()) if openai else answers}

    def _completion(self, body: dict[str, Any], text: str, tokens: int) -> dict[str, Any]:
        plays = self.plays
        content = self._says(body, text)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        thinks = plays.thinks == "always" or (plays.thinks != "never" and plays.thinks not in body)
        if thinks:
            message["reasoning_content"] = "Let me see."
        choice = {"index": 0, "message": message, "finish_reason": "stop", **self._logprobs(body, thinks=thinks)}
        usage = {"prompt_tokens": tokens, "completion_tokens": max(1, estimated_tokens(content)) + 90 * thinks}
        return {"model": body["model"], "choices": [choice], **({"usage": usage} if plays.counts else {})}

    def _says(self, body: dict[str, Any], text: str) -> str:
        plays, wanted = self.plays, body.get("response_format", {})
        if wanted.get("type") == "json_schema" and plays.schema in ("kept", "latin"):
            properties = wanted["json_schema"]["schema"]["properties"]
            filled = {
                name: self._one_of(about["enum"]) if "enum" in about else self._share() for name, about in properties.items()
            }
            if plays.schema == "kept" or all(str(value).isascii() for value in filled.values()):
                return json.dumps(filled, ensure_ascii=False)
        if "at the beginning?" in text:
            return "quixel" if text.count("quixel") else "parcel"
        if wanted.get("type") == "json_object" and plays.object == "kept" and "plain word" in text:
            return '{"hello": 1}'
        if not plays.speaks_json or "plain word" in text:
            return "hello"
        ids = re.findall(r'^\d+\. "([^"]+)"', text, flags=re.MULTILINE)
        if ids:
            return json.dumps({"category": self._one_of(ids), "confidence": self._share()})
        asked = re.search(r'\{"word": ".+?"\}', text)
        return asked[0] if asked else "hello"

    def _logprobs(self, body: dict[str, Any], *, thinks: bool) -> dict[str, Any]:
        plays = self.plays
        if not body.get("logprobs") or plays.logprobs == "absent":
            return {}
        if plays.logprobs == "integer":
            whole = type(body["logprobs"]) is int
            return {"logprobs": {"top_logprobs": [{"A": -0.1, " B": -2.4}]}} if whole else {}
        if plays.logprobs in ("null", "empty"):
            return {"logprobs": None if plays.logprobs == "null" else {"content": []}}
        if plays.kind == "vllm" and "logprob_token_ids" in body:
            return {"logprobs": {"content": [_top({f"token_id:{number}": -1.0 for number in body["logprob_token_ids"]})]}}
        listed = {"Okay": -0.1} if thinks else {"A": -0.2} if plays.logprobs == "one" else {"A": -0.2, "B": -1.8}
        if plays.logprobs == "many":
            first = _top(listed)
            first["top_logprobs"] += [{"token": "", "logprob": -12.0}] * (body["top_logprobs"] - 2)  # texts repeat, as in vLLM
            return {"logprobs": {"content": [first]}}
        return {"logprobs": {"content": [_top({**listed, "The": -9.0})]}}

    def _one_of(self, options: list[str]) -> str:
        return random.choice(options) if self.plays.wavers else options[0]  # noqa: S311

    def _share(self) -> float:
        return random.random() if self.plays.wavers else 0.9  # noqa: S311


def _top(listed: dict[str, float]) -> dict[str, Any]:
    return {"token": "A", "logprob": -0.2, "top_logprobs": [{"token": t, "logprob": p} for t, p in listed.items()]}


def _error(message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "param": param, "code": None}}


def _missing() -> tuple[int, object]:
    return 404, {"detail": "Not Found"}
