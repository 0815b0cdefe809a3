"""How much of a prompt a server can keep from ticket to ticket, with examples shared by all tickets and with those of each ticket.

python benchmarks/prefix.py
python benchmarks/prefix.py --taxonomy t.yaml --labelled train.csv --tickets dev.csv --at-most 500

Without --tickets the labelled file is both: each of its tickets is asked about, and its examples come from the others. Tokens are estimated
(`llmtriage.prompting.estimated_tokens`). Nothing is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import scipy

from llmtriage import Taxonomy, Triage
from llmtriage.examples import read_examples
from llmtriage.prepare import Preparation
from llmtriage.prompting import estimated_tokens
from llmtriage.testing import ScriptedBackend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.predictions import Example
    from llmtriage.selecting import SelectorName

ROOT = Path(__file__).parent.parent
BLOCKS = (16, 128)
SETTINGS: tuple[tuple[str, SelectorName, int], ...] = (
    ("static, no examples", "static", 0),
    ("static, 20 shared", "static", 20),
    ("nearest, 4 own", "nearest", 0),
    ("nearest, 20 shared + 4 own", "nearest", 20),
)


@dataclass(frozen=True)
class Kept:
    """Means over the tickets of one setting."""

    tokens: float
    prefix: int  # tokens of the beginning that all prompts share
    characters: float  # its share
    shares: tuple[float, ...]  # of tokens: all of it, then in whole blocks
    read: float  # tokens outside whole blocks of 16


class Reader(ScriptedBackend):
    """An engine that reads prompts and takes 0.2 s for each ticket, 16 at once."""

    reads_prompts = True


def kept(prompts: Sequence[str]) -> Kept:
    """How much of these prompts is their common beginning."""
    prefix = os.path.commonprefix(list(prompts))  # noqa: RUF071 - of characters is what is wanted
    shared, sizes = estimated_tokens(prefix), [estimated_tokens(prompt) for prompt in prompts]
    mean = statistics.fmean
    whole = [shared, *(shared // block * block for block in BLOCKS)]
    return Kept(
        tokens=mean(sizes),
        prefix=shared,
        characters=mean(len(prefix) / len(prompt) for prompt in prompts),
        shares=tuple(mean(part / size for size in sizes) for part in whole),
        read=mean(size - whole[1] for size in sizes),
    )


def row(name: str, triage: Triage, texts: Sequence[str]) -> str:
    """One row of the table."""
    start = time.perf_counter()
    triage.question(texts[0])
    first = time.perf_counter() - start
    prompts, seconds = [], []
    for text in texts:
        start = time.perf_counter()
        question = triage.question(text)
        seconds.append(time.perf_counter() - start)
        messages = triage.prompt.render(question)
        prompts.append(messages.system + messages.user)
    measured = kept(prompts)
    shares = " | ".join(f"{100 * share:.1f} %" for share in (measured.characters, *measured.shares))
    choosing = f"{1e3 * statistics.median(seconds):.2f} | {1e3 * statistics.quantiles(seconds, n=100)[-1]:.2f} | {first:.2f}"
    return f"| {name} | {measured.tokens:.0f} | {measured.prefix} | {shares} | {measured.read:.0f} | {choosing} |"


async def stalls(triage: Triage, texts: Sequence[str]) -> tuple[float, list[float]]:
    """Tickets a second, and how late a task in the same loop was that wakes up every millisecond."""
    late: list[float] = []

    async def heart() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - start - 0.001)

    await triage.aclassify(texts[0])
    beating = asyncio.create_task(heart())
    start = time.perf_counter()
    count = 0
    async for _ in triage.aclassify_many(texts):
        count += 1
    rate = count / (time.perf_counter() - start)
    beating.cancel()
    return rate, late


def loop_row(
    name: str, options: argparse.Namespace, selector: SelectorName, examples: Sequence[Example], texts: Sequence[str]
) -> str:
    """One row of the table of the event loop."""
    leaf = options.taxonomy.leaves[0].id
    triage = Triage(taxonomy=options.taxonomy, backend=Reader(leaf, seconds=lambda _: 0.2), examples=examples, selector=selector)
    rate, late = asyncio.run(stalls(triage, texts))
    cuts = statistics.quantiles(late, n=100)
    return f"| {name} | {rate:,.0f} | {1e3 * statistics.median(late):.2f} | {1e3 * cuts[98]:.2f} | {1e3 * max(late):.2f} |"


def arguments() -> argparse.Namespace:
    """What is measured."""
    parser = argparse.ArgumentParser(description="How much of a prompt can be kept.")
    parser.add_argument("--taxonomy", type=Path)
    parser.add_argument("--labelled", type=Path, default=ROOT / "examples" / "tickets.csv")
    parser.add_argument("--tickets", type=Path)
    parser.add_argument("--at-most", type=int, default=2_000, help="tickets asked about")
    parser.add_argument("--names", action="store_true", help="no taxonomy: the labels of the file alone")
    return parser.parse_args()


def main() -> None:
    """Measure and print two tables."""
    options = arguments()
    if options.names:
        import csv

        with options.labelled.open(newline="", encoding="utf-8") as stream:
            options.taxonomy = Taxonomy.from_labels(sorted({line["category"] for line in csv.DictReader(stream)}))
    else:
        options.taxonomy = Taxonomy.load(options.taxonomy) if options.taxonomy else Taxonomy.sample()
    preparation = Preparation.default()
    examples = read_examples(options.labelled, options.taxonomy, preparation)
    asked = read_examples(options.tickets, options.taxonomy, preparation) if options.tickets else examples
    texts = [example.text for example in asked if example.text][: options.at_most]
    print(f"{len(texts):,} tickets, {len(examples):,} examples, {len(options.taxonomy.leaves)} categories;", end=" ")
    print(f"Python {platform.python_version()}, scipy {scipy.__version__}; {os.cpu_count()} cores\n")
    print(
        "| examples | tokens | shared | characters | tokens, share | blocks of 16 | blocks of 128 | read anew | ms, median | ms, p99 | fit, s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, selector, shared in SETTINGS:
        triage = Triage(taxonomy=options.taxonomy, examples=examples, selector=selector, prompt_examples=shared)
        print(row(name, triage, texts))
    print("\n| selector | tickets/s | loop late, ms, median | p99 | most |\n|---|---|---|---|---|")
    for name in ("static", "nearest"):
        print(loop_row(name, options, "nearest" if name == "nearest" else "static", examples, texts))


if __name__ == "__main__":
    main()
