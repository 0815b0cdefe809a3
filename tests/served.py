"""What the tests of a real vLLM share: the hand-written tickets, engines on the server, its counters."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import httpx2
import numpy as np
from local_vllm import Served
from support import ROOT

from llmtriage import Taxonomy, Triage
from llmtriage.predictions import Failure, Floats, Prediction, Scores
from llmtriage.settings import BackendSettings, Settings

FOLDER = ROOT / "tests" / "vllm"
TAXONOMY = FOLDER / "taxonomy.yaml"
NONE = "none"  # the label of tickets that belong to no domain

Answer = Prediction | Failure


@cache
def tickets() -> tuple[dict[str, str], ...]:
    """The hand-written tickets: id, content, category."""
    with (FOLDER / "tickets.csv").open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


@cache
def taxonomy() -> Taxonomy:
    """The ten domains."""
    return Taxonomy.load(TAXONOMY)


def settings(server: Served, *, kind: str = "vllm", model: str | None = None, **engine: Any) -> Settings:
    """Settings with one engine, "it", on the server."""
    return Settings(backends={"it": BackendSettings(kind=kind, model=model or server.model, url=server.url, **engine)})


def triage(
    server: Served, *, sorts: Taxonomy | None = None, rationale: bool = False, shorten: bool = False, **engine: Any
) -> Triage:
    """A `Triage` with one engine on the server; `engine` goes to its settings."""
    own = settings(server, **engine).model_copy(update={"shorten": shorten})
    return Triage(taxonomy=sorts or taxonomy(), backend="it", settings=own, rationale=rationale)


def answers(sorter: Triage, texts: Iterable[str]) -> list[Answer]:
    """What the engine said about each text."""
    with sorter:
        return [answer_of(outcome) for outcome in sorter.classify_many(texts)]


def answer_of(outcome: Any) -> Answer:
    """What the engine said; an outcome that it was not asked about has no place in these tests."""
    answer: Answer | None = outcome.prediction or outcome.failure
    assert answer is not None
    return answer


def probabilities(said: Sequence[Answer]) -> Floats:
    """Shape (tickets, categories). Fails where an answer is no distribution."""
    rows = []
    for answer in said:
        assert isinstance(answer, Prediction), answer
        assert isinstance(answer.answer, Scores), answer
        rows.append(answer.answer.values)
    return np.exp(np.stack(rows))


def counted(server: Served, name: str, **labels: str) -> float:
    """The sum of a counter of the server's `/metrics`, of the lines that have all `labels`."""
    page = httpx2.get(f"{server.url.removesuffix('/v1')}/metrics", timeout=20, trust_env=False).raise_for_status().text
    lines = re.findall(rf"^{re.escape(name)}(?:{{(.*)}})? (\S+)$", page, flags=re.MULTILINE)
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(float(value) for own, value in lines if all(label in own for label in wanted))


def requests(server: Served) -> float:
    """Requests that the server answered; it does not count those for `/metrics`, `/health` and `/version`."""
    return counted(server, "http_requests_total")


def tokens(server: Served, text: str) -> list[int]:
    """The tokens of `text`, as the server splits it."""
    body = {"model": server.model, "prompt": text, "add_special_tokens": False}
    reply = httpx2.post(f"{server.url.removesuffix('/v1')}/tokenize", json=body, timeout=20, trust_env=False)
    found: list[int] = reply.raise_for_status().json()["tokens"]
    return found
