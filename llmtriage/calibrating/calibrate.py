"""The ways to a promise: a uniform sample, a sample drawn after a plan, a review budget; and the plan."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.calibrating.fitting import Evidence, divided, fitted
from llmtriage.calibrating.labelled import Labelled, check_labels, outside, scored, unseen
from llmtriage.calibrating.promising import Calibrated, Group, certified, limits, sealed
from llmtriage.calibration import Answer, Calibration
from llmtriage.duplicates import folded
from llmtriage.errors import InputError
from llmtriage.probability.certificate import certify_at, delta_of_look
from llmtriage.probability.planning import labels_wanted, threshold_for_budget, worth_labelling
from llmtriage.routing import Router
from llmtriage.sampling import UNIFORM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.outcomes import Outcome
    from llmtriage.tickets import Ticket
    from llmtriage.triage import Triage


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where labels are worth most.

    Attributes:
        draft: The calibrator, with the floor above which tickets are drawn.
        pool: Places of the unlabelled tickets that may be drawn.
        wanted: About how many labels are enough; None: no number of labels would do.
    """

    draft: Calibration
    pool: list[int]
    wanted: int | None


def calibrate(
    triage: Triage,
    rows: Sequence[Labelled],
    *,
    alpha: float | Sequence[float],
    delta: float = 0.1,
    look: int | None = None,
    answer: Answer = "leaf",
    drawn: str = UNIFORM,
    file: str = "",
    none_label: str | None = None,
    seed: int = 0,
) -> Calibrated:
    """Fit a calibrator and find the lowest threshold that keeps the promise.

    Tickets that stand among the engine's examples are left out. Where the calibrator does not keep the order of tickets, a random
    part of the rest is for fitting, without near-duplicates of the other part, which is for the promise.

    Args:
        triage: What the tickets were classified with; without calibration and threshold.
        rows: A uniform random sample of the tickets that will come, labelled without looking at what the engine said.
        alpha: The largest share of wrong tickets among those accepted, in (0, 1/2]. Of several, which share delta evenly, the smallest that
            is possible is taken.
        delta: The probability that the promise does not hold, in (0, 1/2].
        look: The how manyth look at the same labels this is, from 1; looks share delta, the later the less. None: there is one only.
        answer: What is offered: a leaf, or the department above it.
        drawn: How the sample was drawn, in a word.
        file: Where it stood.
        none_label: The true category of tickets that belong to no leaf: whatever is accepted for them is wrong.
        seed: Of the division into parts.

    Raises:
        InputError: There are no tickets, or none with an answer, or alpha or delta is out of range.
    """
    check_labels(triage, rows, none_label)
    return certified(divided(triage, rows, answer=answer, drawn=drawn, file=file, seed=seed), alpha, delta_of_look(delta, look))


def calibrate_budget(
    triage: Triage,
    rows: Sequence[Labelled],
    outcomes: Sequence[tuple[Ticket, Outcome]],
    *,
    review: float,
    delta: float = 0.1,
    answer: Answer = "leaf",
    drawn: str = UNIFORM,
    file: str = "",
    none_label: str | None = None,
    seed: int = 0,
) -> Calibrated:
    """Accept what people have no time for, and say how many of those tickets are wrong at most.

    Args:
        triage: As for `calibrate`.
        rows: As for `calibrate`.
        outcomes: Unlabelled tickets with what the engine said: they tell where the threshold lies. Those that are labelled are left out.
        review: The share of all tickets that people can read, in (0, 1).
        delta: As for `calibrate`.
        answer: As for `calibrate`.
        drawn: As for `calibrate`.
        file: As for `calibrate`.
        none_label: As for `calibrate`.
        seed: As for `calibrate`.

    Raises:
        InputError: There are no tickets, gates alone leave more to people, or a category has a `max_error` of its own.
    """
    check_labels(triage, rows, none_label)
    strict = [node.id for node in triage.taxonomy.nodes if node.max_error is not None]
    if strict:
        problem = f"{strict[0]!r} has a max_error, which a review budget does not look at"
        raise InputError(problem, field="review", remedy="give alpha instead, or remove max_error")
    evidence = divided(triage, rows, answer=answer, drawn=drawn, file=file, seed=seed)
    router = Router(triage.taxonomy, triage.policy, evidence.draft)
    unlabelled = [Labelled(ticket=ticket, gold="", outcome=one) for ticket, one in outcomes]
    unlabelled = [unlabelled[place] for place in _others(unlabelled, rows)]
    if not unlabelled:
        raise InputError("no unlabelled ticket is left", field="unlabelled", remedy="give other tickets than the labelled ones")
    threshold = threshold_for_budget(scored(router, unlabelled)[0], review)
    found = certify_at(*scored(router, evidence.rows), threshold, delta)
    certificate = replace(found, alpha=math.ceil(1000 * found.alpha - 1e-9) / 1000)
    group = Group(max_error=None, categories=tuple(limits(router)), certificate=certificate)
    return sealed(evidence, ((group,),), delta)


def calibrate_plan(
    triage: Triage,
    plan: Calibration,
    rows: Sequence[Labelled],
    *,
    alpha: float | Sequence[float],
    delta: float = 0.1,
    look: int | None = None,
    file: str = "",
    none_label: str | None = None,
) -> Calibrated:
    """Find the lowest threshold that keeps the promise, on labels that were drawn after a plan, whose calibrator stays as it is.

    Args:
        triage: What the tickets were classified with; without calibration and threshold.
        plan: The calibrator, and the floor above which the tickets were drawn.
        rows: All tickets of the plan's sample.
        alpha: As for `calibrate`.
        delta: As for `calibrate`.
        look: As for `calibrate`.
        file: Where the sample stood.
        none_label: As for `calibrate`.

    Raises:
        InputError: There are no tickets, or alpha or delta is out of range.
        CalibrationError: The plan was made under something else.
    """
    plan.check(triage.contract())
    check_labels(triage, rows, none_label)
    fresh = unseen(triage, rows)
    parts_of = {
        "file": file,
        "n": len(rows),
        "left_out": len(rows) - len(fresh),
        "certified": len(fresh),
        "outside": outside(triage, fresh),
    }
    labels = plan.labels.model_copy(update=parts_of)
    return certified(Evidence(triage=triage, draft=plan, rows=fresh, labels=labels), alpha, delta_of_look(delta, look))


def plan(
    triage: Triage,
    pilot: Sequence[Labelled],
    outcomes: Sequence[tuple[Ticket, Outcome]],
    *,
    alpha: float,
    delta: float = 0.1,
    answer: Answer = "leaf",
    none_label: str | None = None,
    seed: int = 0,
) -> Plan:
    """Fit a calibrator on some labelled tickets, and find on unlabelled ones where labels decide about acceptance.

    One half of the unlabelled tickets, drawn at random, says where; only the other half may be drawn, for labels must not depend on what chose the
    place. Tickets of the pilot are in neither: the calibrator has seen their labels.

    Args:
        triage: What the tickets were classified with; without calibration and threshold.
        pilot: Labelled tickets, from anywhere.
        outcomes: Unlabelled tickets with what the engine said.
        alpha: As for `calibrate`.
        delta: As for `calibrate`.
        answer: As for `calibrate`.
        none_label: As for `calibrate`.
        seed: Of the halves.

    Raises:
        InputError: There are too few tickets.
    """
    check_labels(triage, pilot, none_label)
    draft, _ = fitted(triage, unseen(triage, pilot), answer)
    rows = [Labelled(ticket=ticket, gold="", outcome=outcome) for ticket, outcome in outcomes]
    score, _ = scored(Router(triage.taxonomy, triage.policy, draft), rows)
    left = _others(rows, pilot)
    mixed = np.random.default_rng(seed).permutation(np.array(left, np.int64))
    choosing, others = mixed[: len(left) // 2], mixed[len(left) // 2 :]
    floor, reach = worth_labelling(score[choosing], alpha)
    pool = sorted(others[score[others] >= floor].tolist())
    above = score[choosing][
        score[choosing] >= floor
    ]  # not those of the pool: how many are drawn must not depend on what is drawn
    wanted = labels_wanted(above, len(above), alpha, delta) if pool else None
    return Plan(draft=draft.model_copy(update={"floor": floor, "reach": reach}), pool=pool, wanted=wanted)


def _others(rows: Sequence[Labelled], known: Sequence[Labelled]) -> list[int]:
    """The places of the rows that are none of the known tickets.

    Tickets are known by their texts, and each takes away one: of a form letter that a hundred customers sent, the others still come.
    """
    left = Counter(folded(row.outcome.text) for row in known)
    found = []
    for place, row in enumerate(rows):
        text = folded(row.outcome.text)
        if left[text]:
            left[text] -= 1
        else:
            found.append(place)
    return found
