"""What may be promised on evidence, and all that stands in the file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmtriage.calibrating.labelled import answer_of, is_right, offered, routed, scored
from llmtriage.calibration import Calibration, Labels, Promise, Witness
from llmtriage.errors import InputError
from llmtriage.outcomes import Pending
from llmtriage.predictions import Scores
from llmtriage.probability.calibrators import ConfidenceCalibrator
from llmtriage.probability.candidates import CandidateRule, candidate_rule
from llmtriage.probability.certificate import Certificate, certify_groups
from llmtriage.probability.planning import labels_wanted
from llmtriage.routing import Router
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.calibrating.fitting import Evidence
    from llmtriage.probability.selection import Selection

MOST_ERROR = 0.5  # that can be promised
WITNESSES = 40  # tickets, at most, of which is kept what was said


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


def certified(evidence: Evidence, alpha: float | Sequence[float], delta: float) -> Calibrated:
    """The promise on these tickets, if there can be one: of several alphas, which share delta, the smallest that is possible.

    Raises:
        InputError: There are no tickets, or alpha or delta is out of range.
    """
    alphas = sorted({alpha} if isinstance(alpha, int | float) else set(alpha))
    if not alphas:
        raise InputError("no alpha", field="alpha", remedy="give one, or several")
    shared = delta / len(alphas)
    router = _open(evidence)
    found = sealed(evidence, tuple(_grouped(router, evidence, one, shared) for one in alphas), shared)
    if found.calibration is not None:
        return found
    score, _ = scored(router, evidence.rows)
    surest = score[score > -math.inf]
    return replace(found, wanted=labels_wanted(surest, len(score), found.certificate.alpha, shared, used=evidence.used))


def sealed(evidence: Evidence, tried: tuple[tuple[Group, ...], ...], delta: float) -> Calibrated:
    """The first of what was tried that promises something, with all that stands in the file; else the last, without a calibration."""
    groups = next((groups for groups in tried if groups[0].certificate.holds), tried[-1])
    found = Calibrated(
        calibration=None,
        groups=groups,
        labels=evidence.labels,
        delta=delta,
        reach=evidence.draft.reach,
        tried=tried,
        selection=evidence.selection,
    )
    promises = tuple(_promise(group) for group in groups if _can_be_promised(group))
    if not promises:
        return found
    promised = evidence.draft.model_copy(
        update={
            "promises": promises,
            "delta": delta,
            "words": in_words(found),
            "words_zh": in_words(found, "zh"),
            "labels": evidence.labels,
            "offer": _offer(evidence),
        }
    )
    told = {"candidates": _candidates(evidence, promised), "witnesses": _witnesses(evidence, promised)}
    return replace(found, calibration=promised.model_copy(update=told))


def _offer(evidence: Evidence) -> dict[str, Any] | None:
    """What makes of the calibrator's number for an offered answer the confidence that is shown, fitted on these tickets; see `Calibration.offer`.

    None where the calibrator was fitted on just that, and on these tickets already.
    """
    if isinstance(evidence.draft.fitted, ConfidenceCalibrator):
        return None
    router = _open(evidence)
    outcomes = [(routed(router, row), row.gold) for row in evidence.rows]
    told = [(outcome.confidence, is_right(router, outcome, gold)) for outcome, gold in outcomes if outcome.confidence is not None]
    if not told:
        return None
    numbers, right = zip(*told, strict=True)
    return ConfidenceCalibrator("beta-narrow").fit(numbers, right).to_dict()


def _open(evidence: Evidence) -> Router:
    """A router that accepts all that no gate stops."""
    return Router(evidence.triage.taxonomy, evidence.triage.policy, evidence.draft)


def _can_be_promised(group: Group) -> bool:
    return group.certificate.holds and group.certificate.alpha <= MOST_ERROR


def _grouped(router: Router, evidence: Evidence, alpha: float, delta: float) -> tuple[Group, ...]:
    """A certificate for each limit; all hold together with probability 1 - delta. Those of answers without a limit of their own come first.

    What a ticket's answer is does not depend on its label, so groups may be made of it.
    """
    of = limits(router)
    answers = [offered(routed(router, row)) for row in evidence.rows]
    own = [of.get(answer or "") for answer in answers]
    alphas = {f"{limit}": alpha if limit is None else min(limit, MOST_ERROR) for limit in {None, *own}}
    found = certify_groups(*scored(router, evidence.rows), [f"{limit}" for limit in own], alphas, delta)
    return tuple(
        Group(
            max_error=limit,
            categories=tuple(answer for answer, its in of.items() if its == limit),
            certificate=found[f"{limit}"],
        )
        for limit in sorted(set(own), key=lambda limit: limit or 0.0)
    )


def limits(router: Router) -> dict[str, float | None]:
    """The limit of each answer that may be offered."""
    department = router.calibration is not None and router.calibration.answer == "department"
    answers = router.taxonomy.categories if department else router.taxonomy.leaves
    return {node.id: router.taxonomy.max_error(node.id) for node in answers}


def _candidates(evidence: Evidence, promised: Calibration) -> CandidateRule:
    """Which categories a reviewer is shown, from those of a uniform sample that wait under the promise.

    That the same labels chose the threshold is no visible harm: measured, the share of sets that hold the right category moved by under 0.01.
    """
    triage = evidence.triage
    router = Router(triage.taxonomy, triage.policy, promised)
    places = {leaf.id: place for place, leaf in enumerate(triage.taxonomy.leaves)}
    waiting = [
        (promised.log_probabilities(found), places[row.gold])
        for row in evidence.rows
        if isinstance(found := answer_of(row), Scores) and row.gold in places and isinstance(routed(router, row), Pending)
    ]
    if len(places) < 2 or not waiting or promised.floor is not None:
        return CandidateRule()
    return candidate_rule(np.exp([logs for logs, _ in waiting]), [place for _, place in waiting])


def _witnesses(evidence: Evidence, promised: Calibration) -> tuple[Witness, ...]:
    """Some tickets, evenly from all, with what is offered for them."""
    router, rows = Router(evidence.triage.taxonomy, evidence.triage.policy, promised), evidence.rows
    outcomes = [routed(router, row) for row in rows[:: -(-len(rows) // WITNESSES)]]
    return tuple(
        Witness(text=digest(outcome.text), category=category, confidence=outcome.confidence)
        for outcome in outcomes
        if (category := offered(outcome)) is not None and outcome.confidence is not None
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
    sure = f"{math.floor(1e4 * (1 - found.delta) + 1e-6) / 100:g}%"  # never more than there is
    words = _SENTENCES[language]
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
