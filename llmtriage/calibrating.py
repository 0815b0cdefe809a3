"""Labelled tickets in, a calibration out: fit, certify, say what was won."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from llmtriage import __version__
from llmtriage.calibration import Answer, Calibration, Labels, Promise, Witness
from llmtriage.duplicates import folded, near_duplicate_groups
from llmtriage.errors import InputError, UnknownNameError
from llmtriage.outcomes import Accepted, Pending
from llmtriage.predictions import Scores, SingleLabel
from llmtriage.probability.candidates import CandidateRule, candidate_rule
from llmtriage.probability.certificate import Certificate, certify_at, certify_groups, delta_of_look
from llmtriage.probability.planning import labels_wanted, threshold_for_budget, worth_labelling
from llmtriage.probability.selection import LEAST_TICKETS, Selection, selected, selected_for_confidence
from llmtriage.routing import Router
from llmtriage.sampling import UNIFORM
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.outcomes import Outcome
    from llmtriage.tickets import Ticket
    from llmtriage.triage import Triage

MOST_ERROR = 0.5  # that can be promised
WITNESSES = 40  # tickets, at most, of which is kept what was said
FITTED_SHARE, MOST_FITTED = 0.25, 1000  # of the labels, where the calibrator needs labels of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A ticket with its true leaf, if known, and what the engine said about it, before any calibration."""

    ticket: Ticket = field(repr=False)
    gold: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Answers with one limit, and what may be accepted of them.

    Attributes:
        max_error: Their limit in the taxonomy; None: they have none there, and alpha is their limit.
        categories: Their ids.
        certificate: The evidence.
    """

    max_error: float | None
    categories: tuple[str, ...]
    certificate: Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What came of calibrating.

    Attributes:
        calibration: None: no promise is possible with these labels.
        groups: The evidence, in either case: of the smallest alpha that is possible, else of the largest.
        labels: What was used for what.
        delta: The probability that one of the promises of `groups` does not hold.
        reach: The share of all tickets that the labelled ones stand for: 1, or with a plan those above its floor.
        tried: The groups of all alphas, ascending.
        selection: How the calibrator was chosen; None: a plan had it.
        wanted: Where there is no promise: about how many labels a new sample needs; None: no number of labels would do.
    """

    calibration: Calibration | None
    groups: tuple[Group, ...]
    labels: Labels
    delta: float
    reach: float = 1.0
    tried: tuple[tuple[Group, ...], ...] = ()
    selection: Selection | None = None
    wanted: int | None = None

    @property
    def certificate(self) -> Certificate:
        """That of the first group: of all answers without a limit of their own, if there are any."""
        return self.groups[0].certificate

    @property
    def share(self) -> float:
        """The share of all tickets that may be accepted."""
        found = [group.certificate for group in self.groups]
        return self.reach * sum(one.accepted for one in found) / sum(one.n for one in found)


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

    Tickets that stand among the engine's examples are left out. Where the calibrator does not keep the order of tickets, a part of the rest,
    near-duplicates on one side, is for fitting, and the other for the promise.

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
    _check_labels(triage, rows, none_label)
    divided = _divided(triage, rows, answer=answer, drawn=drawn, file=file, seed=seed)
    spent = delta_of_look(delta, look)
    found = _certified(triage, divided.draft, divided.rows, divided.labels, alpha=alpha, delta=spent, used=divided.used)
    return replace(found, selection=divided.selection)


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
        outcomes: Unlabelled tickets with what the engine said: they tell where the threshold lies. Texts that are labelled are left out.
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
    _check_labels(triage, rows, none_label)
    strict = [node.id for node in triage.taxonomy.nodes if node.max_error is not None]
    if strict:
        problem = f"{strict[0]!r} has a max_error, which a review budget does not look at"
        raise InputError(problem, field="review", remedy="give alpha instead, or remove max_error")
    divided = _divided(triage, rows, answer=answer, drawn=drawn, file=file, seed=seed)
    router = Router(triage.taxonomy, triage.policy, divided.draft)
    known = {folded(row.outcome.text) for row in rows}
    unlabelled = [Labelled(ticket=ticket, gold="", outcome=one) for ticket, one in outcomes if folded(one.text) not in known]
    if not unlabelled:
        raise InputError("no unlabelled ticket is left", field="unlabelled", remedy="give other tickets than the labelled ones")
    threshold = threshold_for_budget(scored(router, unlabelled)[0], review)
    found = certify_at(*scored(router, divided.rows), threshold, delta)
    certificate = replace(found, alpha=math.ceil(1000 * found.alpha - 1e-9) / 1000)
    group = Group(max_error=None, categories=tuple(_limits(router)), certificate=certificate)
    return replace(
        _sealed(triage, divided.draft, divided.rows, divided.labels, tried=((group,),), delta=delta), selection=divided.selection
    )


@dataclass(frozen=True, slots=True)
class _Divided:
    """Labelled tickets in two parts: a calibrator fitted on one, and the other, whose share is `used`."""

    draft: Calibration
    selection: Selection
    rows: list[Labelled]
    labels: Labels
    used: float


def _divided(triage: Triage, rows: Sequence[Labelled], *, answer: Answer, drawn: str, file: str, seed: int) -> _Divided:
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
        outside=_outside(triage, certifying),
    )
    if not certifying:
        raise InputError("too few labelled tickets to fit on some and promise on others", remedy="label more")
    return _Divided(draft, selection, certifying, labels, len(certifying) / len(fresh))


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
    """Find the lowest threshold that keeps the promise, on labels that were drawn after a plan; nothing is fitted.

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
    _check_labels(triage, rows, none_label)
    fresh = unseen(triage, rows)
    parts_of = {
        "file": file,
        "n": len(rows),
        "left_out": len(rows) - len(fresh),
        "certified": len(fresh),
        "outside": _outside(triage, fresh),
    }
    labels = plan.labels.model_copy(update=parts_of)
    return _certified(triage, plan, fresh, labels, alpha=alpha, delta=delta_of_look(delta, look))


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
    place.

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
    _check_labels(triage, pilot, none_label)
    draft, _ = fitted(triage, unseen(triage, pilot), answer)
    rows = [Labelled(ticket=ticket, gold="", outcome=outcome) for ticket, outcome in outcomes]
    score, _ = scored(Router(triage.taxonomy, triage.policy, draft), rows)
    mixed = np.random.default_rng(seed).permutation(len(rows))
    choosing, others = mixed[: len(rows) // 2], mixed[len(rows) // 2 :]
    floor, reach = worth_labelling(score[choosing], alpha)
    pool = sorted(others[score[others] >= floor].tolist())
    wanted = labels_wanted(score[pool], len(pool), alpha, delta) if pool else None
    return Plan(draft=draft.model_copy(update={"floor": floor, "reach": reach}), pool=pool, wanted=wanted)


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


def _certified(
    triage: Triage,
    draft: Calibration,
    rows: Sequence[Labelled],
    labels: Labels,
    *,
    alpha: float | Sequence[float],
    delta: float,
    used: float = 1.0,
) -> Calibrated:
    """The promise on these tickets, if there can be one; `used`: they are such a share of all that were labelled."""
    alphas = sorted({alpha} if isinstance(alpha, int | float) else set(alpha))
    shared = delta / len(alphas)
    router = Router(triage.taxonomy, triage.policy, draft)
    tried = tuple(_grouped(router, rows, one, shared) for one in alphas)
    found = _sealed(triage, draft, rows, labels, tried=tried, delta=shared)
    if found.calibration is not None:
        return found
    score, _ = scored(router, rows)
    return replace(found, wanted=labels_wanted(score[score > -math.inf], len(score), found.certificate.alpha, shared, used=used))


def _sealed(
    triage: Triage,
    draft: Calibration,
    rows: Sequence[Labelled],
    labels: Labels,
    *,
    tried: tuple[tuple[Group, ...], ...],
    delta: float,
) -> Calibrated:
    """The first of what was tried that promises something, with all that stands in the file; else the last, without a calibration."""
    groups = next((groups for groups in tried if groups[0].certificate.holds), tried[-1])
    found = Calibrated(calibration=None, groups=groups, labels=labels, delta=delta, reach=draft.reach, tried=tried)
    if not any(_can_be_promised(group) for group in groups):
        return found
    router = Router(triage.taxonomy, triage.policy, draft)
    facts = {
        "promises": tuple(_promise(group) for group in groups if _can_be_promised(group)),
        "delta": delta,
        "words": in_words(found),
        "labels": labels,
        "witnesses": _witnesses(router, rows),
    }
    promised = draft.model_copy(update=facts)
    shown = _candidates(triage, promised, rows) if draft.floor is None else CandidateRule()
    return replace(found, calibration=promised.model_copy(update={"candidates": shown}))


def _can_be_promised(group: Group) -> bool:
    return group.certificate.holds and group.certificate.alpha <= MOST_ERROR


def _candidates(triage: Triage, promised: Calibration, rows: Sequence[Labelled]) -> CandidateRule:
    """Which categories a reviewer is shown, from those of a uniform sample that wait under the promise.

    That the same labels chose the threshold is no visible harm: measured, the share of sets that hold the right category moved by under 0.01.
    """
    router = Router(triage.taxonomy, triage.policy, promised)
    places = {leaf.id: place for place, leaf in enumerate(triage.taxonomy.leaves)}
    waiting = [
        (promised.log_probabilities(found), places[row.gold])
        for row in rows
        if isinstance(found := _answer(row), Scores) and row.gold in places and isinstance(_routed(router, row), Pending)
    ]
    if len(places) < 2 or not waiting:
        return CandidateRule()
    return candidate_rule(np.exp([logs for logs, _ in waiting]), [place for _, place in waiting])


def _grouped(router: Router, rows: Sequence[Labelled], alpha: float, delta: float) -> tuple[Group, ...]:
    """A certificate for each limit; all hold together with probability 1 - delta. Those of answers without a limit of their own come first.

    What a ticket's answer is does not depend on its label, so groups may be made of it.
    """
    limits = _limits(router)
    answers = [_offered(outcome) for outcome in (_routed(router, row) for row in rows)]
    own = [limits.get(answer or "") for answer in answers]
    alphas = {f"{limit}": alpha if limit is None else min(limit, MOST_ERROR) for limit in {None, *own}}
    found = certify_groups(*scored(router, rows), [f"{limit}" for limit in own], alphas, delta)
    return tuple(
        Group(
            max_error=limit,
            categories=tuple(answer for answer, its in limits.items() if its == limit),
            certificate=found[f"{limit}"],
        )
        for limit in sorted(set(own), key=lambda limit: limit or 0.0)
    )


def _limits(router: Router) -> dict[str, float | None]:
    """The limit of each answer that may be offered."""
    department = router.calibration is not None and router.calibration.answer == "department"
    answers = router.taxonomy.categories if department else router.taxonomy.leaves
    return {node.id: router.taxonomy.max_error(node.id) for node in answers}


def _offered(outcome: Outcome) -> str | None:
    return outcome.category if isinstance(outcome, Accepted) else outcome.suggestion


def _check_labels(triage: Triage, rows: Sequence[Labelled], none_label: str | None) -> None:
    """Raise UnknownNameError where a label is neither a leaf nor the one of tickets that belong nowhere."""
    leaves = [leaf.id for leaf in triage.taxonomy.leaves]
    unknown = {row.gold for row in rows} - {*leaves, none_label}
    if unknown:
        raise UnknownNameError.among("category", min(unknown), leaves, field="gold")


def unseen(triage: Triage, rows: Sequence[Labelled]) -> list[Labelled]:
    """The tickets whose text is not among the engine's examples. Raises InputError if there are none."""
    known = {folded(example.text) for example in triage.examples}
    fresh = [row for row in rows if folded(row.outcome.text) not in known]
    if not fresh:
        raise InputError("no labelled ticket is left", remedy="give tickets that the engine does not know as examples")
    return fresh


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
    if not isinstance(outcome, Accepted) or gold not in router.taxonomy:
        return False
    return any(node.id == outcome.category for node in router.taxonomy.path(gold))


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


def _answer(row: Labelled) -> Scores | SingleLabel | None:
    return row.outcome.prediction.answer if row.outcome.prediction else None


def _outside(triage: Triage, rows: Sequence[Labelled]) -> int:
    catch_all = triage.taxonomy.catch_all
    return sum(row.gold not in triage.taxonomy or bool(catch_all and row.gold == catch_all.id) for row in rows)


def _witnesses(router: Router, rows: Sequence[Labelled]) -> tuple[Witness, ...]:
    """Some tickets, evenly from all, with what is offered for them."""
    outcomes = [_routed(router, row) for row in rows[:: -(-len(rows) // WITNESSES)]]
    return tuple(
        Witness(text=digest(outcome.text), category=category, confidence=outcome.confidence)
        for outcome in outcomes
        if (category := _offered(outcome)) is not None and outcome.confidence is not None
    )


def _promise(group: Group) -> Promise:
    found = group.certificate
    return Promise(
        categories=group.categories,
        alpha=found.alpha,
        delta=found.delta,
        threshold=None if found.threshold == -math.inf else found.threshold,
        n=found.n,
        accepted=found.accepted,
        errors=found.errors,
        wrong_at=found.wrong_at,
        need=found.boundary.need,
        crossing=found.boundary.crossing,
    )


_SENTENCES = {
    "en": {
        "all": "accepts {share} of tickets; error among them at most {limit} with {sure} confidence; {evidence}",
        "several": "accepts {share} of tickets, with {sure} confidence in all of this: {parts}",
        "part": "{of}: {share}, error at most {limit}, {evidence}",
        "nothing": "{of}: none, for an error of at most {limit}",
        "evidence": "{errors} errors among the {accepted} accepted labelled tickets",
        "others": "other answers",
    },
    "zh": {
        "all": "自动接受 {share} 的工单；其中错误至多 {limit}，把握 {sure}；{evidence}",
        "several": "自动接受 {share} 的工单，以下全部成立的把握为 {sure}：{parts}",
        "part": "{of}：接受 {share}，错误至多 {limit}，{evidence}",
        "nothing": "{of}：不接受，因为错误须至多 {limit}",
        "evidence": "{accepted} 张被接受的标注工单中有 {errors} 张错误",
        "others": "其他类别",
    },
}


def in_words(found: Calibrated, language: str = "en") -> str:
    """What was won, in one sentence; in English or Chinese ("zh")."""
    words, sure = _SENTENCES[language], f"{1 - found.delta:.0%}"
    if len(found.groups) == 1:
        return words["all"].format(share=f"{found.share:.0%}", sure=sure, **_facts(found.groups[0], words))
    parts = (_part(group, words) for group in found.groups)
    return words["several"].format(share=f"{found.share:.0%}", sure=sure, parts=("; ", "；")[language == "zh"].join(parts))


def _part(group: Group, words: Mapping[str, str]) -> str:
    of = words["others"] if group.max_error is None else ", ".join(group.categories)
    share = f"{group.certificate.accepted / group.certificate.n:.0%}"
    return words["part" if group.certificate.holds else "nothing"].format(of=of, share=share, **_facts(group, words))


def _facts(group: Group, words: Mapping[str, str]) -> dict[str, str]:
    found = group.certificate
    evidence = words["evidence"].format(errors=found.errors, accepted=found.accepted)
    return {"limit": f"{100 * found.alpha:g}%", "evidence": evidence}
