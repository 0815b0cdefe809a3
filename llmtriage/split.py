"""A stratified split that keeps near-duplicates together, so that no part is a copy of another."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.duplicates import near_duplicate_groups
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class _Plan:
    """The shares a split aims at, and how many rows it has dealt so far: of each label to each part, and to each part."""

    fractions: Mapping[str, float]
    dealt: Counter[tuple[str, str]]
    totals: Counter[str]

    def choose(self, label: str, rows: int, groups_left: int) -> str:
        """The part that waits most for this label; an empty one where the groups left only just suffice for the empty ones."""
        empty = [part for part in self.fractions if not self.dealt[label, part]]
        parts = empty if empty and groups_left <= len(empty) else self.fractions
        return min(parts, key=lambda part: self._fullness(label, part, rows))

    def deal(self, content: Counter[str], part: str) -> None:
        """Note that rows of these labels are in the part now."""
        self.totals[part] += content.total()
        self.dealt.update({(label, part): rows for label, rows in content.items()})

    def _fullness(self, label: str, part: str, rows: int) -> tuple[float, float]:
        """How full a part is, of this label with half of the rows to come (as Sainte-Laguë deals seats), then of all labels."""
        share = self.fractions[part]
        return (self.dealt[label, part] + rows / 2) / share, self.totals[part] / share


def split(
    labels: Sequence[str],
    texts: Sequence[str],
    fractions: Mapping[str, float],
    seed: int = 0,
    *,
    similarity: float = 0.8,
) -> list[str]:
    """Deal labelled rows to parts: each label in the given fractions, near-duplicates always in one part.

    Each label that has at least as many rows as there are parts is in every part, as far as near-duplicates allow.

    Args:
        labels: The category of each row.
        texts: The text of each row.
        fractions: The share of each part, above 0, together 1.
        seed: Another seed, another split; the same seed, the same split.
        similarity: From which similarity on two texts are near-duplicates (`llmtriage.duplicates`), in (0, 1].

    Returns:
        The name of the part of each row.

    Raises:
        InputError: Labels and texts differ in number, or the fractions cannot be used.

    Example:
        >>> parts = split(["a", "a", "b", "b"], ["red", "blue", "one", "two"], {"train": 0.5, "test": 0.5})
        >>> sorted(zip("aabb", parts))
        [('a', 'test'), ('a', 'train'), ('b', 'test'), ('b', 'train')]
    """
    _check(labels, texts, fractions)
    groups = _members(near_duplicate_groups(texts, similarity=similarity))
    return _dealt(labels, groups, _Plan(fractions, Counter(), Counter()), np.random.default_rng(seed))


def _dealt(labels: Sequence[str], groups: Sequence[list[int]], plan: _Plan, random: np.random.Generator) -> list[str]:
    contents = [Counter(labels[row] for row in rows) for rows in groups]
    of_label: dict[str, list[int]] = {label: [] for label in labels}
    # Large groups first, while there is room for them everywhere; equal ones by chance.
    for group in sorted(random.permutation(len(groups)).tolist(), key=lambda g: -len(groups[g])):
        for label in contents[group]:
            of_label[label].append(group)
    chosen: dict[int, str] = {}
    # A group of several labels is dealt for its rarest one, which is the hardest to spread.
    for label in sorted(of_label, key=lambda name: len(of_label[name])):
        undealt = [group for group in of_label[label] if group not in chosen]
        for left, group in zip(range(len(undealt), 0, -1), undealt, strict=True):
            chosen[group] = plan.choose(label, contents[group][label], left)
            plan.deal(contents[group], chosen[group])
    part_of_row = {row: chosen[group] for group, rows in enumerate(groups) for row in rows}
    return [part_of_row[row] for row in range(len(labels))]


def _members(groups: Sequence[int]) -> list[list[int]]:
    members: list[list[int]] = [[] for _ in range(max(groups, default=-1) + 1)]
    for row, group in enumerate(groups):
        members[group].append(row)
    return members


def _check(labels: Sequence[str], texts: Sequence[str], fractions: Mapping[str, float]) -> None:
    if len(labels) != len(texts):
        raise InputError(f"{len(labels)} labels for {len(texts)} texts", remedy="give one of each a row")
    if not fractions or not all(share > 0 for share in fractions.values()):
        raise InputError("a part of a split is empty", remedy="name parts with shares above 0", field="fractions")
    total = math.fsum(fractions.values())
    if not abs(total - 1) <= _TOLERANCE:
        raise InputError(f"the shares of a split sum to {total:g}", remedy="make them sum to 1", field="fractions")
