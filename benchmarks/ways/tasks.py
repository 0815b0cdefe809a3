"""What is asked: taxonomies, tickets with their categories, and where the model is."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmtriage import Taxonomy
from llmtriage.examples import for_prompt
from llmtriage.predictions import Example
from llmtriage.prepare import Preparation, prepare
from llmtriage.tickets import read_tickets

FIXTURE = Path(__file__).resolve().parent.parent.parent / "tests" / "vllm"
TAXONOMIES = {10: FIXTURE / "taxonomy.yaml", 20: FIXTURE / "training" / "halves.yaml"}
EXAMPLES = 10


@dataclass(frozen=True, kw_only=True)
class Task:
    """Tickets to classify under one taxonomy, the same for all ways. Plain data, so that another process can read it.

    Attributes:
        url: The base URL of the server, with its path.
        model: The name under which the server knows the model; of vLLM in process, its folder.
        taxonomy: The path of a taxonomy.
        examples: Texts with their categories, shown in every prompt.
        warm_up: Texts that are asked about before the clock starts.
        texts: What is asked about.
        gold: The categories of `texts`.
        salt: Sets this task's prompts apart from all others in the server's prefix cache.
        in_flight: Requests at a time.
    """

    url: str
    model: str
    taxonomy: str
    examples: tuple[tuple[str, str], ...]
    warm_up: tuple[str, ...]
    texts: tuple[str, ...]
    gold: tuple[str, ...]
    salt: str = ""
    in_flight: int = 64

    @property
    def setting(self) -> tuple[int, int]:
        """How many categories and examples."""
        return len(self.categories.leaves), len(self.examples)

    @property
    def categories(self) -> Taxonomy:
        """The taxonomy."""
        return Taxonomy.load(self.taxonomy)

    @property
    def shown(self) -> list[Example]:
        """The examples as llmtriage takes them."""
        return [Example(text=text, category=category) for text, category in self.examples]


def tasks(path: Path, *, url: str, model: str, n: int | None, in_flight: int) -> Iterator[Task]:
    """The tasks that the labels of a file allow: ten categories and twenty, each without examples and with ten.

    A label is a leaf of one of the taxonomies, or an intent of CLINC150, whose leaves are known; other rows are left out. The first
    ticket of each leaf is not asked about under the clock: it warms up, and may be an example.

    Args:
        path: A labelled file.
        url: Of the server.
        model: Its name there.
        n: The most tickets, drawn at random; None: all.
        in_flight: Requests at a time.
    """
    rows = _rows(path)
    finest = max(size for size in TAXONOMIES if all(size in leaves for _, leaves in rows))
    aside, asked = _divided(rows, finest)
    asked = asked[:n]
    for size, taxonomy in TAXONOMIES.items():
        if size > finest:
            continue
        known = [Example(text=text, category=leaves[size]) for text, leaves in aside]
        task = Task(
            url=url,
            model=model,
            taxonomy=str(taxonomy),
            examples=(),
            warm_up=tuple(text for text, _ in aside),
            texts=tuple(text for text, _ in asked),
            gold=tuple(leaves[size] for _, leaves in asked),
            in_flight=in_flight,
        )
        yield task
        yield replace(task, examples=tuple((example.text, example.category) for example in for_prompt(known, EXAMPLES)))


def padded(texts: Sequence[str], words: int) -> tuple[str, ...]:
    """Each text and, behind it, so many words more: its own again and again, so that it stays about the same."""
    return tuple(" ".join([text, *_again(text.split(), words)]) for text in texts)


def _again(own: Sequence[str], words: int) -> list[str]:
    return [own[number % len(own)] for number in range(words)]


def _rows(path: Path) -> list[tuple[str, dict[int, str]]]:
    """Prepared texts in a seeded order, no two alike, with the leaves of each by the size of the taxonomy."""
    leaves = _leaves()
    found = {
        prepare(row.ticket, Preparation.default()).text: leaves[row.category]
        for row in read_tickets(path).labelled()
        if row.category in leaves
    }
    rows = [(text, known) for text, known in found.items() if text]
    random.Random(0).shuffle(rows)
    return rows


def _leaves() -> dict[str, dict[int, str]]:
    """By every label that is known: its leaves. The id of a half begins with that of its domain."""
    domains, halves = ([leaf.id for leaf in Taxonomy.load(path).leaves] for path in TAXONOMIES.values())
    intents: Mapping[str, Any] = json.loads((FIXTURE / "training" / "halves.json").read_text(encoding="utf-8"))
    both = {half: {10: next(name for name in domains if half.startswith(f"{name}_")), 20: half} for half in halves}
    return {
        **{domain: {10: domain} for domain in domains},
        **both,
        **{intent: both[half] for half, group in intents.items() for intent in group},
    }


def _divided(rows: Sequence[tuple[str, dict[int, str]]], size: int) -> tuple[list[Any], list[Any]]:
    """The first row of each leaf, and all others."""
    first: dict[str, int] = {}
    for number, (_, leaves) in enumerate(rows):
        first.setdefault(leaves[size], number)
    chosen = set(first.values())
    return [rows[number] for number in sorted(chosen)], [row for number, row in enumerate(rows) if number not in chosen]
