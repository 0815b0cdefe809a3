"""A chat server with a small model that reads the list of categories: it prefers the one that shares most words with the ticket.

`ToyModel.post` takes a request as plain data and gives status and body; `served` puts it behind a real port.
"""

from __future__ import annotations

import json
import math
import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llmtriage.prompting import estimated_tokens

_CODED = re.compile(r'^(\S.*?)(?:: |：)("(?:[^"\\]|\\.)*")(.*)$')
_NUMBERED = re.compile(r'^\d+\. ("(?:[^"\\]|\\.)*")(.*)$')
_WORD = re.compile(r"[a-z]{3,}|[\u4e00-\u9fff]")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class Plays:
    """What the server does; the defaults are those of a healthy vLLM."""

    ids: str = "honoured"  # "ignored", "refused", "fewer": not all that were asked for
    most_ids: int = 128
    top: int = 20  # most that are listed; more is a 400
    state: str = "listed"  # "null", "absent", "empty", "refused", "positive", "over one"
    integer: bool = False  # lists in the old form alone, `logprobs: 5`
    known: bool = True  # says that it is a vLLM
    tokenize: bool = True
    pairs: bool = True  # whether two capital letters are one token
    letters: bool = True  # whether one letter is one token
    thinks: bool = False
    mass: float = 0.97  # of the codes
    pull: dict[str, float] = field(default_factory=dict)  # log-odds that a code has by itself
    certainty: float = 2.0  # log-odds a shared word gives
    spaced: float = 0.0  # share of a code's probability that has a blank before it
    masks: bool = False  # -9999 for all but the most probable code, as under a grammar
    several: bool = True  # `n`
    models: tuple[str, ...] = ("toy-1",)  # the name in the answers, changing after `change` requests
    change: int = 10**9
    refuses: tuple[str, ...] = ()
    delay: float = 0.0
    fault: Callable[[int, str], tuple[int, Any] | None] = lambda number, path: (
        None
    )  # status and body instead, by request and path
    says: Callable[[int], str | None] = lambda number: None  # the whole answer instead, by the number of the answer


class ToyModel:
    """The model, and what it was asked."""

    def __init__(self, plays: Plays | None = None) -> None:
        """Nothing was asked."""
        self.plays = plays or Plays()
        self.asked: list[dict[str, Any]] = []
        self.random = random.Random(0)  # noqa: S311
        self.paths: list[str] = []
        self._said = 0
        self._lock = threading.Lock()

    # -- routes ------------------------------------------------------------------------------------

    def get(self, path: str) -> tuple[int, Any]:
        """The list of models and the version."""
        self.paths.append(path)
        if not self.plays.known:
            return 404, {"detail": "Not Found"}
        if path == "/v1/models":
            return 200, {"data": [{"id": "toy", "owned_by": "vllm", "root": "toy-1", "max_model_len": 8192}]}
        return (200, {"version": "0.32.0"}) if path == "/version" else (404, {"detail": "Not Found"})

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Chat and tokens."""
        with self._lock:
            self.paths.append(path)
            chat = path == "/v1/chat/completions"
            self.asked += [body] if chat else []
            number = len(self.asked) if chat else self.paths.count(path)
        fault = self.plays.fault(number, path)
        if fault is not None:
            return fault
        if path == "/tokenize" and self.plays.tokenize:
            return 200, {"tokens": [self.number(piece) for piece in self.pieces(body["prompt"])]}
        if not chat:
            return 404, {"detail": "Not Found"}
        return self._refused(body) or (200, self._completion(body))

    def pieces(self, text: str) -> list[str]:
        """The texts of the tokens: a letter or a pair with or without a blank is one, everything else one a character."""
        code = text.strip()
        whole = (len(code) == 1 and code in _LETTERS and self.plays.letters) or (
            len(code) == 2 and set(code) <= set(_LETTERS) and self.plays.pairs
        )
        return [text] if whole and text in (code, f" {code}") else [*text, *([] if self.plays.letters else ["", ""])]

    @staticmethod
    def number(piece: str) -> int:
        """The number of a token."""
        return zlib.crc32(piece.encode("utf-8", "replace"))

    # -- the model -----------------------------------------------------------------------------------

    def shares(self, body: dict[str, Any]) -> dict[str, float]:
        """Codes or ids of the list with their probabilities, before anything else takes its part."""
        system, user = body["messages"][0]["content"], body["messages"][-1]["content"]
        ticket = set(_WORD.findall(re.sub(r"</?ticket-\w+>", "", user).lower()))
        options = self.options(system)
        logits = {
            code: self.plays.certainty * len(ticket & set(_WORD.findall(text.lower()))) + self.plays.pull.get(code, 0.0)
            for code, text in options.items()
        }
        total = sum(math.exp(value) for value in logits.values())
        return {code: math.exp(value) / total for code, value in logits.items()}

    @staticmethod
    def options(system: str) -> dict[str, str]:
        """Codes, or ids where there are none, with all that is said about each."""
        found: dict[str, str] = {}
        code = None
        for line in system.splitlines():
            coded, numbered = _CODED.match(line), _NUMBERED.match(line)
            if numbered:
                code = json.loads(numbered[1])
                found[code] = f"{code.replace('_', ' ')} {numbered[2]}"
            elif coded:
                code = coded[1]
                found[code] = f"{json.loads(coded[2]).replace('_', ' ')} {coded[3]}"
            elif code is not None and line.startswith("   "):
                found[code] += " " + line
            elif line.strip():
                code = None
        return found

    def _refused(self, body: dict[str, Any]) -> tuple[int, Any] | None:
        plays = self.plays
        field_name = next((name for name in plays.refuses if name in body), None)
        if plays.state == "refused" and body.get("logprobs"):
            field_name = "logprobs"
        if plays.integer and "top_logprobs" in body:
            field_name = "top_logprobs"
        if plays.ids == "refused" and "logprob_token_ids" in body:
            field_name = "logprob_token_ids"
        if plays.ids == "honoured" and len(body.get("logprob_token_ids", ())) > plays.most_ids:
            field_name = "logprob_token_ids"
        if body.get("top_logprobs", 0) > plays.top:
            field_name = "top_logprobs"
        if field_name is None:
            return None
        return 400, {"error": {"message": f"{field_name} is not taken", "param": field_name, "code": None}}

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        shares = self.shares(body)
        in_json = "response_format" in body
        names = self.plays.models
        wanted = body.get("n", 1) if self.plays.several else 1
        choices = [{"index": i, **self._choice(body, shares, in_json=in_json)} for i in range(wanted)]
        prompt = sum(estimated_tokens(message["content"]) for message in body["messages"])
        usage = {"prompt_tokens": prompt, "completion_tokens": 12 if in_json else 1}
        return {"model": names[len(self.asked) // self.plays.change % len(names)], "choices": choices, "usage": usage}

    def _choice(self, body: dict[str, Any], shares: dict[str, float], *, in_json: bool) -> dict[str, Any]:
        hot = body.get("temperature", 1) > 0
        said = self.random.choices(list(shares), list(shares.values()))[0] if hot else max(shares, key=lambda c: shares[c])
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        coded = "confidence" not in schema.get("properties", {})
        pieces = ['{"', "category", '": "', said, '"}'] if in_json else [self.pieces(said)[0] if len(said) > 2 else said]
        if in_json and not coded:
            pieces = [json.dumps({"category": said, "confidence": 0.9}, ensure_ascii=False)]
        self._said += 1
        instead = self.plays.says(self._said)
        pieces = pieces if instead is None else [instead]
        message: dict[str, Any] = {"role": "assistant", "content": "".join(pieces)}
        if self.plays.thinks:
            message["reasoning_content"] = "Let me see."
        choice = {"message": message, "finish_reason": "stop" if in_json else "length"}
        if body.get("logprobs") and self.plays.state != "absent":
            choice["logprobs"] = self._logprobs(body, pieces, shares, said)
        return choice

    def _logprobs(self, body: dict[str, Any], pieces: list[str], shares: dict[str, float], said: str) -> Any:
        plays = self.plays
        if plays.state in ("null", "empty"):
            return None if plays.state == "null" else {"content": []}
        first = self._first_tokens(shares)
        content = []
        for piece in pieces:
            here = first if piece == said or len(pieces) == 1 else {piece: 1.0}
            content.append(self._position(body, piece, here))
        if plays.integer:
            return _in_old_form(content)
        return {"content": content}

    def _first_tokens(self, shares: dict[str, float]) -> dict[str, float]:
        """Tokens with their probabilities where a code stands."""
        plays = self.plays
        found: dict[str, float] = {}
        for code, share in shares.items():
            piece = code if len(code) <= 2 else self.pieces(code)[0]
            found[piece] = found.get(piece, 0.0) + plays.mass * share * (1 - plays.spaced)
            if plays.spaced:
                found[f" {piece}"] = plays.mass * share * plays.spaced
        junk = {f"junk{number}": (1 - plays.mass) * 0.9 * 0.5 ** (number + 1) for number in range(30)}
        return {**found, **junk}

    def _position(self, body: dict[str, Any], piece: str, shares: dict[str, float]) -> dict[str, Any]:
        plays = self.plays
        logs = {token: math.log(max(share, 1e-30)) for token, share in shares.items()}
        if plays.masks and len(logs) > 1:
            best = max(logs, key=lambda token: logs[token])
            logs = {token: value if token == best else -9999.0 for token, value in logs.items()}
        if plays.state in ("positive", "over one"):
            logs = dict.fromkeys(logs, 3.0 if plays.state == "positive" else -0.1)
        if plays.ids in ("honoured", "fewer") and "logprob_token_ids" in body:
            numbers = body["logprob_token_ids"][: -1 if plays.ids == "fewer" else None]
            known = {self.number(token): value for token, value in logs.items()}
            top = {f"token_id:{number}": known.get(number, -40.0) for number in numbers}
            return {"token": f"token_id:{self.number(piece)}", "logprob": logs.get(piece, -1.0), "top_logprobs": _as_list(top)}
        most = int(body["logprobs"]) if plays.integer else body.get("top_logprobs", 0)
        best_first = sorted(logs, key=lambda token: -logs[token])[:most]
        return {"token": piece, "logprob": logs.get(piece, 0.0), "top_logprobs": _as_list({t: logs[t] for t in best_first})}


def _as_list(logs: dict[str, float]) -> list[dict[str, Any]]:
    return [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in logs.items()]


def _in_old_form(content: list[dict[str, Any]]) -> dict[str, Any]:
    tops = [{top["token"]: top["logprob"] for top in entry["top_logprobs"]} for entry in content]
    return {
        "tokens": [entry["token"] for entry in content],
        "token_logprobs": [entry["logprob"] for entry in content],
        "top_logprobs": tops,
    }


@contextmanager
def served(model: ToyModel) -> Iterator[str]:
    """The base URL of the model behind a real port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            self._send(*model.get(self.path))

        def do_POST(self) -> None:
            time.sleep(model.plays.delay)
            self._send(*model.post(self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))

        def log_message(self, *args: Any) -> None:
            pass

        def _send(self, status: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(data)

    class Listening(ThreadingHTTPServer):
        request_queue_size = 64
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            pass

    http = Listening(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}/v1"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
