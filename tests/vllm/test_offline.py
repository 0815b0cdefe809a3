"""vLLM in the process against the same vLLM behind HTTP: the same prompts, the same answers, the same refusals."""

from __future__ import annotations

import asyncio
import csv
import json
import math
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from in_process import Request, asked
from local_vllm import MODEL, Served, Server
from support import ROOT

from llmtriage.backends.transport import Endpoint, Transport

HERE = Path(__file__).parent
OPTIONS = {"max_model_len": 4096, "max_logprobs": 200, "enforce_eager": True}  # as those of the server
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
NEAR = 0.02  # of a probability

Runs = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def runs(vllm_python: Path, tmp_path: Path) -> Runs:
    """Run the Python that has vLLM; it must end well and leave no process behind."""

    def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.Popen(
            [vllm_python, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        out, err = done.communicate(given)
        assert done.returncode == 0, err
        _gone(done.pid)
        return subprocess.CompletedProcess(arguments, 0, out, err)

    return run


def _gone(session: int) -> None:
    """Of what began in a session nothing is left; it may take a moment to go."""
    end = time.monotonic() + 10
    while left := _of(session):
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.2)


def _of(session: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it went meanwhile
            name, _, rest = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")
            state, _, _, own = rest.split()[:4]
            if int(own) == session and state not in "ZX":
                found.append(name)
    return found


@pytest.fixture
def server(vllm_server: Served) -> Server:
    """One of the model that lies beside these tests."""
    if not isinstance(vllm_server, Server):
        pytest.skip("no vLLM here: a server that was named may serve another model than the one in this process")
    return vllm_server


def texts(number: int) -> list[str]:
    """Of tickets."""
    with (HERE / "tickets.csv").open(encoding="utf-8") as file:
        return [row["content"] for row, _ in zip(csv.DictReader(file), range(number), strict=False)]


SYSTEM = "Sort the request of a customer.\nA=travel\nB=banking\nC=home\nAnswer with the letter alone."
LABELS = {"A", "B", "C"}
SCHEMA = {"type": "object", "properties": {"category": {"enum": ["travel", "banking"]}}, "required": ["category"]}


def chat(text: str, **fields: Any) -> Request:
    """A request about a ticket."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    body = {"model": str(MODEL), "messages": messages, "max_tokens": 1, "temperature": 0, **fields}
    return "/chat/completions", body


def split(text: str, **fields: Any) -> Request:
    """A request for tokens."""
    return "/tokenize", {"model": str(MODEL), "prompt": text, **fields}


Pairs = list[tuple[dict[str, Any], dict[str, Any]]]


async def both(server: Server, runs: Runs, groups: dict[str, list[Request]]) -> dict[str, Pairs]:
    """What becomes of each, behind HTTP and in a process."""
    given = json.dumps({"model": str(MODEL), "options": OPTIONS, "groups": list(groups.values())})
    done = await asyncio.to_thread(runs, str(ROOT / "tests" / "in_process.py"), given=given)
    there = [[_there(path, body, server) for path, body in group] for group in groups.values()]
    found = await asked(Transport(Endpoint(name="vllm", url=server.url, attempts=1)), there)
    pairs = zip(found, json.loads(done.stdout), strict=True)
    return {name: list(zip(*pair, strict=True)) for name, pair in zip(groups, pairs, strict=True)}


def _there(path: str, body: dict[str, Any], server: Server) -> Request:
    """The same request to the server: its tokenizer stands beside the API, and its model has a name."""
    root = server.url.removesuffix("/v1") if path == "/tokenize" else ""
    model = server.model if body["model"] == str(MODEL) else body["model"]
    return root + path, {**body, "model": model}


def choice(told: dict[str, Any]) -> dict[str, Any]:
    """The first choice of a completion."""
    found: dict[str, Any] = told["body"]["choices"][0]
    return found


def probabilities(told: dict[str, Any], place: int = 0) -> dict[str, float]:
    """Of the tokens that are listed at one place of the answer."""
    listed = choice(told)["logprobs"]["content"][place]["top_logprobs"]
    return {entry["token"]: math.exp(entry["logprob"]) for entry in listed}


async def test_the_same_requests_get_the_same_answers(server: Server, runs: Runs) -> None:
    """Every way to read a model, the tokenizer, and what is refused, in one run of the engine."""
    [split_labels] = await asked(
        Transport(Endpoint(name="vllm", url=server.url)),
        [[_there(*split(label, add_special_tokens=False), server) for label in sorted(LABELS)]],
    )
    labels = [told["body"]["tokens"][-1] for told in split_labels]
    tickets = texts(30)
    by_id = {"logprobs": True, "logprob_token_ids": labels, "return_tokens_as_token_ids": True}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    groups: dict[str, list[Request]] = {
        "ids": [chat(text, **by_id) for text in tickets],
        "choice": [chat(text, **by_id, structured_outputs={"choice": sorted(LABELS)}) for text in tickets[:5]],
        "top": [chat(text, logprobs=True, top_logprobs=20) for text in tickets[:5]],
        "schema": [chat(text, response_format=form, max_tokens=40, logprobs=True, top_logprobs=5) for text in tickets[:5]],
        "votes": [chat(text, temperature=1, n=5, seed=7, max_tokens=3) for text in tickets[:5]],
        "thinking": [chat(text, chat_template_kwargs={"enable_thinking": False}, **by_id) for text in tickets[:3]],
        "tokens": [split(text) for text in (*tickets[:5], "中文 <|im_end|>")],
        "template": [("/tokenize", {"model": str(MODEL), "messages": chat(text)[1]["messages"]}) for text in tickets[:5]],
        "refused": [
            chat("word " * 5000),
            chat("word " * 200_000),
            chat("many", logprobs=True, logprob_token_ids=list(range(129))),
            chat("outside", logprobs=True, logprob_token_ids=[10**6]),
            chat("alone", logprob_token_ids=labels),
            chat("list", logprobs=True, top_logprobs=201),
            chat("room", max_tokens=5000),
            chat("greedy", n=2),
            ("/chat/completions", {**chat("model")[1], "model": "nope"}),
            ("/decisions", {"model": str(MODEL), "input": "a"}),
        ],
    }
    pairs = await both(server, runs, groups)

    for name in ("ids", "choice", "top", "thinking"):
        for http, here in pairs[name]:
            _alike(probabilities(http), probabilities(here))
            assert choice(http)["message"]["content"] == choice(here)["message"]["content"]
            assert http["body"]["usage"]["prompt_tokens"] == here["body"]["usage"]["prompt_tokens"]
    for name in ("ids", "choice", "thinking"):
        for _, here in pairs[name]:
            assert {f"token_id:{label}" for label in labels} <= probabilities(here).keys()
    for http, here in pairs["schema"]:
        assert choice(http)["message"]["content"] == choice(here)["message"]["content"]
        assert choice(http)["finish_reason"] == choice(here)["finish_reason"]
        for place in range(len(choice(http)["logprobs"]["content"])):
            _alike(probabilities(http, place), probabilities(here, place))
    for http, here in pairs["votes"]:
        written = [[one["message"]["content"] for one in told["body"]["choices"]] for told in (http, here)]
        assert written[0] == written[1]
        assert len(written[0]) == 5
    for http, here in (*pairs["tokens"], *pairs["template"]):
        assert all(here["body"][key] == http["body"][key] for key in ("tokens", "count", "max_model_len"))
    for (_, here), (_, told) in zip(pairs["ids"], pairs["template"], strict=False):
        assert here["body"]["usage"]["prompt_tokens"] == told["body"]["count"]
    assert [here for _, here in pairs["refused"]] == [http for http, _ in pairs["refused"]]
    assert [here.get("failure") for _, here in pairs["refused"]][:2] == ["too_long", "too_long"]
    assert all("cached_tokens" in here["body"]["usage"]["prompt_tokens_details"] for _, here in pairs["ids"])


def _alike(one: dict[str, float], other: dict[str, float]) -> None:
    """Only the last of a list may be another one, where two are as probable as each other."""
    common = one.keys() & other.keys()
    assert len(common) >= max(len(one), len(other)) - 1
    for token in common:
        assert one[token] == pytest.approx(other[token], abs=NEAR), token


def test_a_run_of_the_command_line_gives_the_same_probabilities(server: Server, runs: Runs, tmp_path: Path) -> None:
    """`vllm:` and `vllm-offline:` on the same tickets; only rows stand on standard output, and one line says what went on."""
    with (tmp_path / "tickets.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["content"], *([text] for text in texts(40))])
    table = {"kind": "vllm-offline", "model": str(MODEL), "engine": OPTIONS}
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if key != "engine"]
    options = ", ".join(f"{key} = {json.dumps(value)}" for key, value in OPTIONS.items())
    (tmp_path / "llmtriage.toml").write_text("\n".join(["[backends.here]", *lines, f"engine = {{{options}}}"]), encoding="utf-8")
    rows = {}
    for backend in (server.backend, "here"):
        flags = ("--backend", backend, "--taxonomy", str(HERE / "taxonomy.yaml"), "--reading", "token", "--codes", "letters")
        done = runs("-m", "llmtriage", "classify", "tickets.csv", *flags, "--json")
        rows[backend] = [json.loads(line) for line in done.stdout.splitlines()]
        assert "Traceback" not in done.stderr
    pairs = list(zip(*rows.values(), strict=True))
    assert len(pairs) >= 40
    for http, here in pairs:
        assert http.keys() == here.keys()
    scored = [(http, here) for http, here in pairs if "candidates" in http]
    assert len(scored) == 40
    for http, here in scored:
        there, found = ({one["category"]: one["score"] for one in row["candidates"]} for row in (http, here))
        _alike(there, found)
