"""Which labelled tickets fit the calibrator, which carry the promise, and the calibrator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from llmtriage import __version__
from llmtriage.calibrating.labelled import Labelled, answer_of, outside, unseen
from llmtriage.calibration import Answer, Calibration, Labels
from llmtriage.duplicates import near_duplicate_groups
from llmtriage.errors import InputError
from llmtriage.predictions import Scores, SingleLabel
from llmtriage.probability.selection import LEAST_TICKETS, Selection, selected, selected_for_confidence
from llmtriage.sampling import UNIFORM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.triage import Triage

FITTED_SHARE, MOST_FITTED = 0.25, 1000  # of the labels, where the calibrator needs labels of its own: benchmarks/parts.md


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a promise is made on.

    Attributes:
        triage: What the tickets were classified with.
        draft: The calibrator, which has not seen these tickets or keeps their order.
        rows: The tickets.
        labels: What was used for what.
        selection: How the calibrator was chosen; None: a plan had it.
        used: The share of all labelled tickets that these are.
    """

    triage: Triage
    draft: Calibration
    rows: list[Labelled]
    labels: Labels
    selection: Selection | None = None
    used: float = 1.0


def divided(triage: Triage, rows: Sequence[Labelled], *, answer: Answer, drawn: str, file: str, seed: int) -> Evidence:
    """A part of the tickets fits the calibrator, the rest is evidence; tickets among the examples are neither.

    Raises:
        InputError: There are too few.
    """
    fresh = unseen(triage, rows)
    fitting, certifying = parts(fresh, seed)
    draft, selection = fitted(triage, fitting, answer)
    labels = Labels(
        file=file,
        drawn=drawn,
        n=len(rows),
        left_out=len(rows) - len(fresh),
        fitted=selection.n,
        certified=len(certifying),
        outside=outside(triage, certifying),
    )
    if not certifying:
        raise InputError("too few labelled tickets to fit on some and promise on others", remedy="label more")
    used = len(certifying) / len(fresh)
    return Evidence(triage=triage, draft=draft, rows=certifying, labels=labels, selection=selection, used=used)


def parts(rows: Sequence[Labelled], seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """What the calibrator is fitted on, and what the promise is made on.

    Which tickets carry the promise is drawn ticket by ticket: drawn by groups of near-duplicates, a form letter would be wholly among them or not
    at all, and they would be no sample of the tickets to come. The calibrator is fitted on those of the others that no near-duplicate of these is,
    unless that leaves less than half of them.
    """
    if any(isinstance(answer_of(row), SingleLabel) for row in rows):
        return list(rows), list(rows)  # a calibrator for single labels keeps the order
    wanted = fitted_part(len(rows))
    order = np.random.default_rng(seed).permutation(len(rows))
    fitting, certifying = sorted(order[:wanted].tolist()), sorted(order[wanted:].tolist())
    groups = near_duplicate_groups([row.outcome.text for row in rows])
    promised = {groups[place] for place in certifying}
    apart = [place for place in fitting if groups[place] not in promised]
    if 2 * len(apart) >= len(fitting):
        fitting = apart
    return [rows[place] for place in fitting], [rows[place] for place in certifying]


def fitted_part(n: int) -> int:
    """How many of n labelled tickets fit the calibrator, at least 1; the others are for the promise."""
    return max(1, min(MOST_FITTED, max(LEAST_TICKETS, round(FITTED_SHARE * n)), n // 2))


def enough(certified: int) -> int:
    """The fewest labelled tickets of which so many are left for the promise when the calibrator is fitted on the others."""
    n = certified
    while n - fitted_part(n) < certified:
        n += 1
    return n


def fitted(triage: Triage, rows: Sequence[Labelled], answer: Answer) -> tuple[Calibration, Selection]:
    """A calibration without a promise, and how its calibrator was chosen."""
    selection = _selection(triage, rows, answer)
    labels = Labels(file="", drawn=UNIFORM, n=len(rows), left_out=0, fitted=selection.n, certified=0, outside=0)
    draft = Calibration(
        words="",
        made=datetime.now(tz=UTC).date(),
        by=__version__,
        answer=answer,
        calibrator=selection.calibrator.to_dict(),
        calibrated=selection.calibrated,
        labels=labels,
        contract=dict(triage.contract()),
    )
    return draft, selection


def _selection(triage: Triage, rows: Sequence[Labelled], answer: Answer) -> Selection:
    """The calibrator for what the engine gives."""
    places = {leaf.id: place for place, leaf in enumerate(triage.taxonomy.leaves)}
    answers = [(found, row.gold) for row in rows if (found := answer_of(row)) is not None]
    scores = [(found, gold) for found, gold in answers if isinstance(found, Scores)]
    labels = [(found, gold) for found, gold in answers if isinstance(found, SingleLabel)]
    if scores and labels:
        raise InputError("some answers are distributions and some are single labels", remedy="set one way of --reading")
    if scores:
        inside = [(found, gold) for found, gold in scores if gold in places]  # the others have no probability to learn from
        if not inside:
            raise InputError("every labelled ticket belongs to none of the categories", remedy="label some that belong to one")
        return selected([found.values for found, _ in inside], [places[gold] for _, gold in inside])
    if not labels:
        raise InputError("no labelled ticket got an answer with a number", remedy="see what llmtriage evaluate says of them")
    top = {leaf.id: triage.taxonomy.path(leaf.id)[0].id for leaf in triage.taxonomy.leaves}
    offered = top if answer == "department" else {leaf: leaf for leaf in places}
    told = [
        (found.score, gold in offered and offered.get(found.category) == offered[gold])
        for found, gold in labels
        if found.score is not None
    ]
    if not told:
        raise InputError("no answer has a number", remedy="read log-probabilities or votes with --reading")
    return selected_for_confidence([number for number, _ in told], [right for _, right in told])
