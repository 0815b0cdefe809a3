"""Labelled tickets with what the engine says of them, as scores and losses."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.duplicates import folded
from llmtriage.errors import InputError, UnknownNameError
from llmtriage.outcomes import Accepted
from llmtriage.prepare import prepare
from llmtriage.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.outcomes import Outcome
    from llmtriage.predictions import Scores, SingleLabel
    from llmtriage.routing import Router
    from llmtriage.triage import Triage


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A ticket with its true leaf, if known, and what the engine said about it, before any calibration."""

    ticket: Ticket = field(repr=False)
    gold: str
    outcome: Outcome


def check_labels(triage: Triage, rows: Sequence[Labelled], none_label: str | None) -> None:
    """Raise UnknownNameError where a label is neither a leaf nor the one of tickets that belong nowhere."""
    leaves = [leaf.id for leaf in triage.taxonomy.leaves]
    unknown = {row.gold for row in rows} - {*leaves, none_label}
    if unknown:
        raise UnknownNameError.among("category", min(unknown), leaves, field="gold")


def unseen(triage: Triage, rows: Sequence[Labelled]) -> list[Labelled]:
    """The tickets whose text is not among the engine's examples or those of the taxonomy. Raises InputError if there are none."""
    of_taxonomy = (Ticket(content=text) for node in triage.taxonomy.nodes for text in node.examples)
    known = {folded(example.text) for example in triage.examples}
    known |= {folded(prepare(example, triage.preparation).text) for example in of_taxonomy}
    fresh = [row for row in rows if folded(row.outcome.text) not in known]
    if not fresh:
        raise InputError("no labelled ticket is left", remedy="give tickets that the engine does not know as examples")
    return fresh


def outside(triage: Triage, rows: Sequence[Labelled]) -> int:
    """How many of the tickets belong to no category, or to the catch-all."""
    catch_all = triage.taxonomy.catch_all
    return sum(row.gold not in triage.taxonomy or bool(catch_all and row.gold == catch_all.id) for row in rows)


def answer_of(row: Labelled) -> Scores | SingleLabel | None:
    """What the engine answered; None where it failed or was not asked."""
    return row.outcome.prediction.answer if row.outcome.prediction else None


def offered(outcome: Outcome) -> str | None:
    """What was accepted, or would have been."""
    return outcome.category if isinstance(outcome, Accepted) else outcome.suggestion


def routed(router: Router, row: Labelled) -> Outcome:
    """The outcome of the ticket under another router; one that was never asked about stays as it is."""
    answer = row.outcome.prediction or getattr(row.outcome, "failure", None)
    return row.outcome if answer is None else router.route(row.ticket, row.outcome.text, answer)


def scored(router: Router, rows: Sequence[Labelled]) -> tuple[np.ndarray, np.ndarray]:
    """The score and the loss of each ticket, as `certify` takes them: minus infinity where a gate stops the ticket.

    Args:
        router: With a calibration that accepts everything, and shows the calibrator's own numbers.
        rows: Classified tickets.
    """
    outcomes = [routed(router, row) for row in rows]
    score = [outcome.confidence if isinstance(outcome, Accepted) else -math.inf for outcome in outcomes]
    accepted_right = [
        isinstance(outcome, Accepted) and is_right(router, outcome, row.gold) for outcome, row in zip(outcomes, rows, strict=True)
    ]
    return np.array(score, np.float64), 1 - np.array(accepted_right, np.int64)


def is_right(router: Router, outcome: Outcome, gold: str) -> bool:
    """Whether what is offered is the true leaf, or a node above it."""
    return gold in router.taxonomy and any(node.id == offered(outcome) for node in router.taxonomy.path(gold))
