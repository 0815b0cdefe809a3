"""Measures the embedded engine: accuracy by number of examples, seconds to fit and to load, milliseconds per ticket.

    python benchmarks/lexical.py BANKING77=FOLDER CLINC150=FOLDER

A folder holds train.csv and dev.csv with the columns text and category. Of a category only the label is known. Prints Markdown.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from statistics import mean
from typing import NamedTuple, TypeVar

import numpy as np

from llmtriage.backends.lexical import METHOD, LexicalBackend
from llmtriage.predictions import Example
from llmtriage.taxonomy import Taxonomy

T = TypeVar("T")
HEADER = """\
| data | examples a category | draws | accuracy | lowest - highest | log-loss | fit, s | load, s | ms a ticket |
|---|---|---|---|---|---|---|---|---|"""


class Result(NamedTuple):
    """One fit, measured on all of dev."""

    accuracy: float
    log_loss: float
    fit: float
    load: float
    per_ticket: float


def read(path: Path) -> list[Example]:
    """The rows of a labelled file."""
    with path.open(newline="", encoding="utf-8") as file:
        return [Example(text=row["text"], category=row["category"]) for row in csv.DictReader(file)]


def draw(train: Sequence[Example], counts: Callable[[int], int | None], seed: int) -> list[Example]:
    """Of the i-th category in random order `counts(i)` random examples; None: all."""
    rng = random.Random(seed)
    by_category: defaultdict[str, list[Example]] = defaultdict(list)
    for example in train:
        by_category[example.category].append(example)
    groups = rng.sample(sorted(by_category.values(), key=lambda group: group[0].category), len(by_category))
    return [example for i, group in enumerate(groups) for example in rng.sample(group, len(group))[: counts(i)]]


def measure(taxonomy: Taxonomy, examples: Sequence[Example], dev: Sequence[Example], long: Sequence[str]) -> Result:
    """Fit with an empty cache, load with a full one, score dev, then time the `long` texts on a warmed engine."""
    with tempfile.TemporaryDirectory() as folder:
        fit, backend = timed(lambda: fitted(taxonomy, examples, Path(folder)))
        load, _ = timed(lambda: fitted(taxonomy, examples, Path(folder)))
    scores = backend.log_scores([example.text for example in dev])
    column = {leaf.id: i for i, leaf in enumerate(taxonomy.leaves)}
    gold = np.array([column[example.category] for example in dev])
    accuracy = float((scores.argmax(axis=1) == gold).mean())
    log_loss = float(-scores[np.arange(len(dev)), gold].mean())
    seconds, _ = timed(lambda: backend.log_scores(long))
    return Result(accuracy, log_loss, fit, load, 1000 * seconds / len(long))


def fitted(taxonomy: Taxonomy, examples: Sequence[Example], cache: Path) -> LexicalBackend:
    """An engine ready to answer."""
    backend = LexicalBackend(taxonomy, examples, cache_dir=cache)
    backend.fit()
    return backend


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what `work` gave."""
    start = time.perf_counter()
    value = work()
    return time.perf_counter() - start, value


def tickets_of_50_words(dev: Sequence[Example], n: int = 512) -> list[str]:
    """Texts of dev strung together."""
    words = cycle(" ".join(example.text for example in dev).split())
    return [" ".join(next(words) for _ in range(50)) for _ in range(n)]


def table(name: str, folder: Path, draws: int) -> None:
    """Print the rows of one data set."""
    train, dev = read(folder / "train.csv"), read(folder / "dev.csv")
    taxonomy = Taxonomy.from_labels(example.category for example in train)
    long = tickets_of_50_words(dev)
    half = len(taxonomy.leaves) // 2
    plans: list[tuple[str, int, Callable[[int], int | None]]] = [
        ("0 (names only)", 1, lambda _: 0),
        ("1", draws, lambda _: 1),
        ("3", draws, lambda _: 3),
        ("10", draws, lambda _: 10),
        ("10 for half, 0 for half", draws, lambda i: 10 if i < half else 0),
        ("all", 1, lambda _: None),
    ]
    for label, times, counts in plans:
        results = [measure(taxonomy, draw(train, counts, seed), dev, long) for seed in range(times)]
        print(line(name, label, results))


def line(name: str, label: str, results: Sequence[Result]) -> str:
    """One row of the table: means over the draws."""
    average = Result(*(mean(column) for column in zip(*results, strict=True)))
    accuracies = [result.accuracy for result in results]
    spread = f"{min(accuracies):.3f} - {max(accuracies):.3f}" if len(results) > 1 else ""
    quality = f"{average.accuracy:.3f} | {spread} | {average.log_loss:.2f}"
    return (
        f"| {name} | {label} | {len(results)} | {quality} | {average.fit:.2f} | {average.load:.2f} | {average.per_ticket:.2f} |"
    )


def main() -> None:
    """Print one table over all data sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--draws", type=int, default=5, help="random draws of examples (default 5)")
    arguments = parser.parse_args()
    packages = ", ".join(f"{name} {version(name)}" for name in ("scikit-learn", "scipy", "numpy"))
    print(f"{METHOD}; Python {platform.python_version()}, {packages}; {os.cpu_count()} cores\n\n{HEADER}")
    for pair in arguments.data:
        name, _, folder = pair.partition("=")
        table(name, Path(folder), arguments.draws)


if __name__ == "__main__":
    main()
