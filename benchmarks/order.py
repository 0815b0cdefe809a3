"""What it gains to ask together what begins alike: hits in the server's prefix cache, with requests in that order and in that of the tickets.

python benchmarks/order.py
python benchmarks/order.py --blocks 48 96 --rounds 5 --in-flight 8

It starts servers of its own in .venv-vllm (`make .venv-vllm`), one for each size of the cache, with the small model of tests/vllm. Its tickets
are asked down a tree: one list at the top and one for each of ten departments, whose texts are those of tests/vllm/taxonomy.yaml. Hits are
the server's own count.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx2

from llmtriage import Category, Taxonomy, Triage
from llmtriage.backends import choosing, logprobs, transport
from llmtriage.backends.pacing import Slots
from llmtriage.predictions import Example
from llmtriage.settings import BackendSettings, Settings

if TYPE_CHECKING:
    import asyncio

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests" / "vllm"
sys.path.append(str(ROOT / "examples"))

import local_vllm  # noqa: E402 - it is no package

LEVEL = 10  # categories in one question
COUNTERS = ("queries", "hits")


class InTurn(Slots):
    """Whoever waits longest is next."""

    def _next(self) -> asyncio.Future[None]:
        turn, _ = self._waiting.popleft()
        return turn


@contextmanager
def in_turn() -> Iterator[None]:
    """Requests go as their tickets come, and no ticket is begun that may not go."""
    with patch.object(transport, "Slots", InTurn), patch.object(logprobs, "AHEAD", 1), patch.object(choosing, "AHEAD", 1):
        yield


ORDERS: dict[str, Callable[[], Any]] = {"alike together": nullcontext, "as they come": in_turn}


@dataclass(frozen=True)
class Run:
    """One run over all tickets.

    Attributes:
        hit: Share of the prompts' tokens that stood in the cache.
        read: Tokens a ticket that did not.
        rate: Tickets a second.
        asked: Requests a ticket.
    """

    hit: float
    read: float
    rate: float
    asked: float


def tree(name: str) -> Taxonomy:
    """Ten departments with ten categories each; the name stands at the beginning of every prompt."""
    domains = Taxonomy.load(FIXTURE / "taxonomy.yaml").leaves
    departments = tuple(
        Category(id=f"for_{top.id}", name=top.name, description=top.description, children=_parts(top, domains)) for top in domains
    )
    return Taxonomy(name=name, categories=departments)


def _parts(top: Category, domains: Sequence[Category]) -> tuple[Category, ...]:
    return tuple(part.model_copy(update={"id": f"{top.id}__{part.id}"}) for part in domains)


def labelled() -> list[Example]:
    """The hand-written tickets that belong to a domain."""
    import csv

    with (FIXTURE / "tickets.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [Example(text=row["content"], category=row["category"]) for row in rows if row["category"] != "none"]


def counted(url: str) -> dict[str, float]:
    """Tokens that the server looked for in its cache, and found there."""
    text = httpx2.get(f"{url.removesuffix('/v1')}/metrics", timeout=60, trust_env=False).raise_for_status().text
    return {
        name: sum(map(float, re.findall(rf"^vllm:prefix_cache_{name}_total{{.*}} (\S+)$", text, re.MULTILINE)))
        for name in COUNTERS
    }


def run(server: local_vllm.Server, order: str, texts: Sequence[str], in_flight: int, **sorts: Any) -> Run:
    """Ask about all texts once."""
    engine = BackendSettings(
        kind="vllm",
        model=server.model,
        url=server.url,
        reading="token",
        codes="letters",
        max_options=LEVEL,
        concurrency=in_flight,
    )
    with ORDERS[order](), Triage(backend="it", settings=Settings(backends={"it": engine}), **sorts) as triage:
        triage.settle()
        before, start = counted(server.url), time.perf_counter()
        outcomes = list(triage.classify_many(texts))
        seconds, after = time.perf_counter() - start, counted(server.url)
    answers = [outcome.prediction for outcome in outcomes if outcome.prediction is not None]
    if len(answers) < len(texts):
        raise SystemExit(f"{len(texts) - len(answers)} tickets got no answer")
    queries, hits = (after[name] - before[name] for name in COUNTERS)
    asked = sum(answer.usage.attempts for answer in answers)
    return Run(hits / queries, (queries - hits) / len(texts), len(texts) / seconds, asked / len(texts))


def row(blocks: str, order: str, runs: Sequence[Run]) -> str:
    """One row of a table: medians, and for the share of hits all rounds."""
    shares = " / ".join(f"{100 * one.hit:.1f}" for one in runs)
    middle = {name: statistics.median(getattr(one, name) for one in runs) for name in ("hit", "read", "rate", "asked")}
    return (
        f"| {blocks} | {order} | {100 * middle['hit']:.1f} % | {shares} | {middle['read']:.0f} | "
        f"{middle['rate']:.1f} | {middle['asked']:.2f} |"
    )


def measured(server: local_vllm.Server, blocks: str, options: argparse.Namespace) -> None:
    """Print the rows of one size of the cache; the orders take turns, each round with beginnings that nobody has asked about."""
    texts = [example.text for example in labelled()]
    found: dict[str, list[Run]] = {order: [] for order in ORDERS}
    for turn in range(options.rounds):
        for order in ORDERS:
            found[order].append(run(server, order, texts, options.in_flight, taxonomy=tree(f"{order}, {turn}")))
    for order, runs in found.items():
        print(row(blocks, order, runs), flush=True)


def own_examples(server: local_vllm.Server, options: argparse.Namespace) -> None:
    """Print the rows for tickets with examples of their own, one list of categories for all."""
    known = labelled()
    half = len(known) // 2
    found: dict[str, list[Run]] = {order: [] for order in ORDERS}
    for turn in range(options.rounds):
        for order in ORDERS:
            domains = Taxonomy.load(FIXTURE / "taxonomy.yaml").model_copy(update={"name": f"{order}, {turn}"})
            own = {"taxonomy": domains, "examples": known[:half], "selector": "nearest", "prompt_examples": 0}
            found[order].append(run(server, order, [example.text for example in known[half:]], options.in_flight, **own))
    for order, runs in found.items():
        print(row("4 nearest", order, runs), flush=True)


def arguments() -> argparse.Namespace:
    """What is measured."""
    parser = argparse.ArgumentParser(description="What the order of requests gains.")
    parser.add_argument("--blocks", type=int, nargs="+", default=[48, 72, 96, 144], help="sizes of the cache, in blocks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=8)
    return parser.parse_args()


def main() -> None:
    """Measure and print a table."""
    options = arguments()
    print(
        f"vLLM on {os.cpu_count()} cores, {options.in_flight} in flight, {options.rounds} rounds; Python {platform.python_version()}\n"
    )
    print("| cache, blocks | order | hit, median | rounds, % | read anew | tickets/s | requests |")
    print("|---|---|---|---|---|---|---|")
    os.environ["LLMTRIAGE_CACHE_DIR"] = tempfile.mkdtemp()
    for blocks in options.blocks:
        flags = ("--num-gpu-blocks-override", str(blocks), "--max-model-len", "2048")
        server = local_vllm.Server(*flags, log=Path(tempfile.mkdtemp()) / "server.log", python=local_vllm.installed())
        try:
            server.start(600)
            measured(server, str(blocks), options)
            if blocks == options.blocks[-1]:
                own_examples(server, options)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
