"""Labelled texts: for engines that learn, and to show in a prompt."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING

from llmtriage.errors import InputError
from llmtriage.predictions import Example
from llmtriage.prepare import prepare
from llmtriage.tickets import carried_labels, read_tickets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from llmtriage.prepare import Preparation
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.tickets import Columns, TicketRow

STORED = "store@"  # with a name behind it: a frozen set in the store


def read_examples(
    path: str | Path,
    taxonomy: Taxonomy,
    preparation: Preparation,
    columns: Columns | None = None,
    encoding: str | None = None,
    *,
    none_label: str | None = None,
) -> tuple[Example, ...]:
    """The labelled tickets of a file, prepared as tickets are.

    Args:
        path: The file.
        taxonomy: Whose leaves the rows name.
        preparation: Of texts.
        columns: Which column holds what.
        encoding: What the file is in; found out by default.
        none_label: How the file calls tickets that belong to none of the categories: examples of the catch-all category.

    Raises:
        InputError: The file cannot be used, or a row names no leaf of the taxonomy; the message names its line. Or there are rows with
            `none_label`, and no catch-all that could learn from them.
    """
    rows = list(read_tickets(path, columns, encoding).labelled(taxonomy, none_label))
    outside = [row.line for row in rows if row.category not in taxonomy]
    if outside:
        raise InputError(
            f"{none_label!r} is no example of any category, and the taxonomy has no catch-all",
            file=path,
            line=outside[0],
            remedy="add a leaf with catch_all: true, or remove these rows",
        )
    return tuple(Example(text=prepare(row.ticket, preparation).text, category=row.category) for row in rows)


def stored_examples(
    rows: Iterable[TicketRow], taxonomy: Taxonomy, preparation: Preparation, *, place: str
) -> tuple[Example, ...]:
    """The tickets of a frozen set, prepared as tickets are.

    Args:
        rows: The tickets with their labels.
        taxonomy: Whose leaves are meant.
        preparation: Of texts.
        place: The store they are kept in.

    Raises:
        InputError: The taxonomy has no leaf for some of the labels.
    """
    known = carried_labels(rows, taxonomy, place=place, field="--examples")
    return tuple(Example(text=prepare(row.ticket, preparation).text, category=row.category) for row in known)


def balanced(examples: Sequence[Example], shots: int, *, seed: int = 0) -> tuple[Example, ...]:
    """At most `shots` examples a category, drawn without replacement; in their original order.

    Raises:
        InputError: `shots` is negative.
    """
    if shots < 0:
        raise InputError(f"{shots} is negative", field="shots", remedy="give 0 or more examples a category")
    chosen = {index for indices in _shuffled(examples, seed) for index in indices[:shots]}
    return tuple(example for index, example in enumerate(examples) if index in chosen)


def for_prompt(examples: Sequence[Example], most: int, *, seed: int = 0) -> tuple[Example, ...]:
    """At most `most` examples in all, each category as often as the others, in a seeded order.

    Balanced and shuffled, because a model leans to the category it saw most and last (arXiv:2102.09690).

    Raises:
        InputError: `most` is negative.
    """
    if most < 0:
        raise InputError(f"{most} is negative", field="prompt examples", remedy="give 0 or more examples")
    groups = _shuffled(examples, seed)
    rounds = [indices[i] for i in range(max(map(len, groups), default=0)) for indices in groups if i < len(indices)]
    chosen = rounds[:most]
    random.Random(f"order {seed}").shuffle(chosen)  # noqa: S311 - a reproducible order, not a secret
    return tuple(examples[index] for index in chosen)


def _shuffled(examples: Sequence[Example], seed: int) -> list[list[int]]:
    """The indices of each category in a seeded order that does not depend on the other categories."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        groups[example.category].append(index)
    for category, indices in groups.items():
        random.Random(f"{seed} {category}").shuffle(indices)  # noqa: S311
    return list(groups.values())
