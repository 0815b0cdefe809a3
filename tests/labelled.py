"""A made-up shop whose engine is too sure: labelled tickets, and what comes of calibrating on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from llmtriage import Taxonomy, Ticket, Triage
from llmtriage.calibrating import Calibrated, Labelled, calibrate
from llmtriage.predictions import Question
from llmtriage.prepare import Preparation
from llmtriage.testing import ScriptedBackend

SHOP = Taxonomy.model_validate(
    {
        "categories": [
            {"id": "sales", "team": "sales", "children": [{"id": "refund"}, {"id": "parcel"}]},
            {"id": "login", "team": "tech"},
            {"id": "other", "catch_all": True},
        ]
    }
)
LEAVES = ("refund", "parcel", "login", "other")


def told(question: Question) -> dict[str, float]:
    """Too sure of what the text names: "parcel 0.83" is said to be a parcel with that much."""
    name, share = question.text.split()[:2]
    rest = (1 - float(share)) / 3
    return {leaf: float(share) if leaf == name else rest for leaf in LEAVES}


def too_sure(share: float) -> float:
    """How often the category is right that is named with such a share."""
    return float(share**1.7)


def sample(n: int, *, right: Callable[[float], float] = too_sure, seed: int = 0) -> list[tuple[Ticket, str]]:
    """Tickets that name a category with some share, and their true categories: the named one with probability `right` of that share."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        named, share = str(rng.choice(LEAVES[:3])), float(1 - 0.6 * rng.random() ** 2)
        gold = named if rng.random() < right(share) else str(rng.choice([leaf for leaf in LEAVES if leaf != named]))
        words = " ".join("".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=6)) for _ in range(8))
        rows.append((Ticket(id=str(number), content=f"{named} {share:.6f} {words}"), gold))
    return rows


def triage(**options: Any) -> Triage:
    """An engine that answers as `told`."""
    return Triage(**{"taxonomy": SHOP, "backend": ScriptedBackend(told), "preparation": Preparation(()), **options})


def classified(sorter: Triage, rows: list[tuple[Ticket, str]]) -> list[Labelled]:
    """With what the engine said."""
    outcomes = sorter.classify_many([ticket for ticket, _ in rows])
    return [Labelled(ticket=ticket, gold=gold, outcome=outcome) for (ticket, gold), outcome in zip(rows, outcomes, strict=True)]


@cache
def usual() -> Calibrated:
    """Calibrated on 800 tickets, alpha 0.1."""
    return made()


def made(n: int = 800, *, alpha: float = 0.1, rows: list[tuple[Ticket, str]] | None = None, **options: Any) -> Calibrated:
    """Calibrated on a sample."""
    sorter = triage()
    return calibrate(
        sorter, classified(sorter, rows if rows is not None else sample(n)), alpha=alpha, file="labelled.csv", **options
    )
