"""Labelled tickets in, a calibration out: fit, certify, say what was won."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from llmtriage import __version__
from llmtriage.calibration import Answer, Calibration, Labels, Promise
from llmtriage.duplicates import folded, near_duplicate_groups
from llmtriage.errors import InputError
from llmtriage.outcomes import Accepted
from llmtriage.predictions import Scores, SingleLabel
from llmtriage.probability.certificate import Certificate, certify
from llmtriage.probability.planning import labels_wanted
from llmtriage.probability.selection import LEAST_TICKETS, Selection, selected, selected_for_confidence
from llmtriage.routing import Router

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.outcomes import Outcome
    from llmtriage.tickets import Ticket
    from llmtriage.triage import Triage

UNIFORM = "uniform"
FITTED_SHARE, MOST_FITTED = 0.25, 1000  # of the labels, where the calibrator needs labels of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A ticket with its true leaf and what the engine said about it, before any calibration."""

    ticket: Ticket = field(repr=False)
    gold: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What came of calibrating.

    Attributes:
        calibration: None: no promise is possible with these labels.
        certificate: The evidence, in either case.
        selection: The calibrator and how it was chosen.
        labels: What was used for what.
        wanted: Where there is no promise: about how many labels a new sample needs; None: no number of labels would do.
    """

    calibration: Calibration | None
    certificate: Certificate
    selection: Selection
    labels: Labels
    wanted: int | None = None


def calibrate(
    triage: Triage,
    rows: Sequence[Labelled],
    *,
    alpha: float,
    delta: float = 0.1,
    answer: Answer = "leaf",
    drawn: str = UNIFORM,
    file: str = "",
    seed: int = 0,
) -> Calibrated:
    """Fit a calibrator and find the lowest threshold that keeps the promise.

    Tickets that stand among the engine's examples are left out. Where the calibrator does not keep the order of tickets, a part of the rest,
    near-duplicates on one side, is for fitting, and the other for the promise.

    Args:
        triage: What the tickets were classified with; without calibration and threshold.
        rows: A uniform random sample of the tickets that will come, labelled without looking at what the engine said.
        alpha: The largest share of wrong tickets among those accepted, in (0, 1/2].
        delta: The probability that the promise does not hold, in (0, 1/2].
        answer: What is offered: a leaf, or the department above it.
        drawn: How the sample was drawn, in a word.
        file: Where it stood.
        seed: Of the division into parts.

    Raises:
        InputError: There are no tickets, or none with an answer, or alpha or delta is out of range.
    """
    fresh = unseen(triage, rows)
    if not fresh:
        raise InputError("no labelled ticket is left", remedy="give tickets that the engine does not know as examples")
    fitting, certifying = parts(fresh, seed)
    selection = _selection(triage, fitting, answer)
    labels = Labels(
        file=file,
        drawn=drawn,
        n=len(rows),
        left_out=len(rows) - len(fresh),
        fitted=selection.n,
        certified=len(certifying),
        outside=_outside(triage, certifying),
    )
    draft = Calibration(
        words="",
        made=datetime.now(tz=UTC).date(),
        by=__version__,
        answer=answer,
        calibrator=selection.calibrator.to_dict(),
        calibrated=selection.calibrated,
        promise=None,
        labels=labels,
        contract=dict(triage.contract()),
    )
    score, loss = scored(Router(triage.taxonomy, triage.policy, draft), certifying)
    found = certify(score, loss, alpha, delta)
    if not found.holds:
        wanted = labels_wanted(score[score > -math.inf], len(score), alpha, delta, used=len(score) / len(fresh))
        return Calibrated(calibration=None, certificate=found, selection=selection, labels=labels, wanted=wanted)
    sealed = draft.model_copy(update={"promise": _promise(found), "words": in_words(found)})
    return Calibrated(calibration=sealed, certificate=found, selection=selection, labels=labels)


def unseen(triage: Triage, rows: Sequence[Labelled]) -> list[Labelled]:
    """The tickets whose text is not among the engine's examples."""
    known = {folded(example.text) for example in triage.examples}
    return [row for row in rows if folded(row.outcome.text) not in known]


def scored(router: Router, rows: Sequence[Labelled]) -> tuple[np.ndarray, np.ndarray]:
    """The score and the loss of each ticket, as `certify` takes them: minus infinity where a gate stops the ticket.

    Args:
        router: With a calibration that accepts everything.
        rows: Classified tickets.
    """
    outcomes = [_routed(router, row) for row in rows]
    score = [outcome.confidence if isinstance(outcome, Accepted) else -math.inf for outcome in outcomes]
    loss = [not is_right(router, outcome, row.gold) for outcome, row in zip(outcomes, rows, strict=True)]
    return np.array(score, np.float64), np.array(loss, np.int64)


def is_right(router: Router, outcome: Outcome, gold: str) -> bool:
    """Whether the accepted category is the true leaf, or a node above it."""
    return isinstance(outcome, Accepted) and any(node.id == outcome.category for node in router.taxonomy.path(gold))


def _routed(router: Router, row: Labelled) -> Outcome:
    """The outcome of the ticket under another router; one that was never asked about stays as it is."""
    answer = row.outcome.prediction or getattr(row.outcome, "failure", None)
    return row.outcome if answer is None else router.route(row.ticket, row.outcome.text, answer)


def parts(rows: Sequence[Labelled], seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """What the calibrator is fitted on, and what the promise is made on: near-duplicates stand in one of them."""
    if any(isinstance(_answer(row), SingleLabel) for row in rows):
        return list(rows), list(rows)  # a calibrator for single labels keeps the order
    wanted = min(MOST_FITTED, max(LEAST_TICKETS, round(FITTED_SHARE * len(rows))), len(rows) // 2)
    groups = np.array(near_duplicate_groups([row.outcome.text for row in rows]))
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    sizes = np.bincount(groups)[order].cumsum()
    taken = set(order[: int(np.searchsorted(sizes, max(1, wanted))) + 1].tolist())
    inside = [group in taken for group in groups.tolist()]
    fitting = [row for row, is_in in zip(rows, inside, strict=True) if is_in]
    return fitting, [row for row, is_in in zip(rows, inside, strict=True) if not is_in]


def _selection(triage: Triage, rows: Sequence[Labelled], answer: Answer) -> Selection:
    """The calibrator for what the engine gives."""
    places = {leaf.id: place for place, leaf in enumerate(triage.taxonomy.leaves)}
    answers = [(found, row.gold) for row in rows if (found := _answer(row)) is not None]
    scores = [(found, gold) for found, gold in answers if isinstance(found, Scores)]
    labels = [(found, gold) for found, gold in answers if isinstance(found, SingleLabel)]
    if scores and labels:
        raise InputError("some answers are distributions and some are single labels", remedy="set one way of --reading")
    if scores:
        return selected([found.values for found, _ in scores], [places[gold] for _, gold in scores])
    if not labels:
        raise InputError("no labelled ticket got an answer with a number", remedy="see what llmtriage evaluate says of them")
    top = {leaf.id: triage.taxonomy.path(leaf.id)[0].id for leaf in triage.taxonomy.leaves}
    offered = top if answer == "department" else {leaf: leaf for leaf in places}
    told = [(found.score, offered.get(found.category) == offered[gold]) for found, gold in labels if found.score is not None]
    if not told:
        raise InputError("no answer has a number", remedy="read log-probabilities or votes with --reading")
    return selected_for_confidence([number for number, _ in told], [right for _, right in told])


def _answer(row: Labelled) -> Scores | SingleLabel | None:
    return row.outcome.prediction.answer if row.outcome.prediction else None


def _outside(triage: Triage, rows: Sequence[Labelled]) -> int:
    catch_all = triage.taxonomy.catch_all
    return sum(row.gold == catch_all.id for row in rows) if catch_all else 0


def _promise(found: Certificate) -> Promise:
    return Promise(
        alpha=found.alpha,
        delta=found.delta,
        threshold=None if found.threshold == -math.inf else found.threshold,
        n=found.n,
        accepted=found.accepted,
        errors=found.errors,
        need=found.boundary.need,
        crossing=found.boundary.crossing,
    )


def in_words(found: Certificate, language: str = "en") -> str:
    """What was won, in one sentence."""
    share, sure = f"{found.accepted / found.n:.0%}", f"{1 - found.delta:.0%}"
    limit = f"{found.alpha:.1%}".replace(".0%", "%")
    if language == "zh":
        return (
            f"自动接受 {share} 的工单；其中错误至多 {limit}，把握 {sure}；"
            f"{found.accepted} 张被接受的标注工单中有 {found.errors} 张错误"
        )
    return (
        f"accepts {share} of tickets; error among them at most {limit} with {sure} confidence; "
        f"{found.errors} errors among the {found.accepted} accepted labelled tickets"
    )
