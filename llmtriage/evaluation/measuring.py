"""Judged tickets in, a `Report` out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from llmtriage.errors import short
from llmtriage.evaluation.business import Rates, business_figures
from llmtriage.evaluation.judging import Judged, Tickets, accepted_right
from llmtriage.evaluation.outside import outside_figures
from llmtriage.evaluation.report import (
    CategoryFigures,
    Confusion,
    CostFigures,
    MurphyFigures,
    PendingFigures,
    PromisedFigures,
    Report,
    ReviewFigures,
    RiskFigures,
)
from llmtriage.evaluation.slicing import accepted_figures, slices
from llmtriage.outcomes import REASON_CODES, Accepted, Outcome, Pending
from llmtriage.predictions import Floats
from llmtriage.probability import metrics

if TYPE_CHECKING:
    from llmtriage.calibration import Calibration
    from llmtriage.taxonomy import Taxonomy

MOST_CONFUSIONS = 20
MOST_EXAMPLES = 3
LONGEST_EXAMPLE = 160
RISKS = (0.01, 0.02, 0.05, 0.10)
ERROR_COST, REVIEW_COST = 20.0, 1.0
"""What an accepted error and a person's decision are taken to cost where nobody says: only their ratio matters."""

Totals = Mapping[str, int | float | None]


def evaluate(
    judged: Sequence[Judged],
    taxonomy: Taxonomy,
    *,
    calibration: Calibration | None = None,
    none_label: str | None = None,
    baselines: Mapping[str, float | None] | None = None,
    usage: Totals | None = None,
    seconds: float | None = None,
    backend: str | None = None,
    taxonomy_hash: str | None = None,
    prompt_hash: str | None = None,
    run: str | None = None,
    settings: Mapping[str, str | float | bool | None] | None = None,
    error_cost: float = ERROR_COST,
    review_cost: float = REVIEW_COST,
    rates: Rates | None = None,
    by: Sequence[str] = (),
    named: bool = True,
    reviews: ReviewFigures | None = None,
) -> Report:
    """Measure judged tickets, wherever they come from: an engine just asked, a file of predictions, a store.

    The predicted category of a ticket is the model's top leaf, whatever routing made of it; a ticket without an answer is wrong.

    Args:
        judged: At least one.
        taxonomy: What the engine chose among.
        calibration: What the tickets were routed with: figures of distributions and confidences are about its probabilities.
        none_label: The true category of tickets that belong to no leaf: whatever is accepted for them is wrong.
        baselines: Accuracies of simpler ways on the same tickets.
        usage: What the run cost in all; None: summed from the outcomes.
        seconds: How long the run took.
        backend: The engine's name.
        taxonomy_hash: None: that of `taxonomy`.
        prompt_hash: Identity of the prompt.
        run: Fingerprint of the run.
        settings: What the run was asked to do; what the calibration promises is added.
        error_cost: Of an accepted ticket that is wrong, more than 0.
        review_cost: Of a ticket that a person decides, 0 or more, in the same unit.
        rates: What work and errors cost in minutes and money; None: nobody said.
        by: Fields to split the tickets by, as they stand in `Judged.fields`.
        named: Whether the categories are real ones. False: they stand for right and wrong, and figures of categories are None.
        reviews: Whose labels these are, where they come from a store.

    Raises:
        InputError: No tickets, a true category that is not a leaf, scores that do not fit the taxonomy, or a cost out of range.
    """
    tickets = Tickets(judged, taxonomy, calibration, none_label=none_label)
    right = [accepted_right(ticket, taxonomy) for ticket in judged]
    return Report(
        n=len(judged),
        **_answers(tickets),
        **(_labels(tickets) if named else _NO_LABELS),
        **_distributions(tickets),
        **_confidences(tickets),
        accepted=accepted_figures(right),
        promises=_by_promise(judged, right, calibration),
        pending=_pending(judged),
        outside=outside_figures(tickets),
        cost=_cost(right, error_cost, review_cost),
        business=business_figures(right, rates or Rates()),
        slices=slices(tickets, right, by, _largest_limit(calibration)),
        reviews=reviews,
        baselines={name: _existing(value) for name, value in (baselines or {}).items()},
        usage=dict(total_usage([ticket.outcome for ticket in judged]) if usage is None else usage),
        seconds=_existing(seconds),
        tickets_per_second=_existing(len(judged) / seconds if seconds else None),
        backend=backend,
        taxonomy_hash=(taxonomy_hash or taxonomy.hash) if named else None,
        prompt_hash=prompt_hash,
        run=run,
        settings={**(settings or {}), **_promised(calibration)},
    )


def _promised(calibration: Calibration | None) -> dict[str, float | None]:
    """What a calibration says of acceptance."""
    promises = calibration.promises if calibration else ()
    if not calibration or not promises:
        return {}
    facts = {"alpha": _largest_limit(calibration), "delta": calibration.delta}
    if len(promises) > 1:  # each with a threshold and a limit of its own; all together are within the largest
        return {**facts, "promises": len(promises)}
    least = calibration.least_confidence(promises[0].categories[0])
    return {"threshold": round(least, 6), **facts} if least is not None and math.isfinite(least) else facts


def _largest_limit(calibration: Calibration | None) -> float | None:
    """The error rate that all promises are within."""
    return max((promise.alpha for promise in calibration.promises), default=None) if calibration else None


def total_usage(outcomes: Sequence[Outcome]) -> dict[str, int | float | None]:
    """Tokens and attempts of all answers and failures.

    Returns:
        `prompt_tokens` and `output_tokens`, None if no answer told them; `attempts`; and `untold`: answers and failures
        whose tokens are not known and so not in the sums.
    """
    answers = [answer for outcome in outcomes if (answer := outcome.prediction or getattr(outcome, "failure", None))]
    prompt = [answer.usage.prompt_tokens for answer in answers if answer.usage.prompt_tokens is not None]
    output = [answer.usage.output_tokens for answer in answers if answer.usage.output_tokens is not None]
    return {
        "prompt_tokens": sum(prompt) if prompt else None,
        "output_tokens": sum(output) if output else None,
        "attempts": sum(answer.usage.attempts for answer in answers),
        "untold": sum(answer.usage.prompt_tokens is None for answer in answers),
    }


def _answers(tickets: Tickets) -> dict[str, Any]:
    return {
        "unanswered": sum(row.predicted is None for row in tickets.rows),
        "accuracy": metrics.accuracy(tickets.gold, tickets.predicted),
        "accuracy_interval": metrics.wilson(sum(row.right for row in tickets.rows), len(tickets.rows)),
    }


_NO_LABELS: dict[str, Any] = {
    **dict.fromkeys(("balanced_accuracy", "macro_f1", "macro_f1_interval", "weighted_f1")),
    **dict.fromkeys(("categories_without_tickets", "per_category", "confusions"), ()),
}


def _labels(tickets: Tickets) -> dict[str, Any]:
    columns = (tickets.gold, tickets.predicted)
    return {
        "balanced_accuracy": metrics.balanced_accuracy(*columns),
        "macro_f1": metrics.macro_f1(*columns),
        "macro_f1_interval": metrics.macro_f1_interval(*columns),
        "weighted_f1": metrics.weighted_f1(*columns),
        "categories_without_tickets": tuple(leaf for leaf, place in tickets.leaves.items() if place not in tickets.gold),
        "per_category": _categories(tickets),
        "confusions": _confusions(tickets),
    }


def _distributions(tickets: Tickets) -> dict[str, Any]:
    answered = [row for row in tickets.rows if row.predicted is not None and row.judged.gold in tickets.leaves]
    probabilities = [row.probabilities for row in answered if row.probabilities is not None]
    if not probabilities or len(probabilities) < len(answered):
        return {"n_scored": 0, "log_loss": None, "log_loss_clipped": None, "brier": None}
    gold = [tickets.leaves[row.judged.gold] for row in answered]
    return {
        "n_scored": len(answered),
        "log_loss": metrics.log_loss(probabilities, gold),
        "log_loss_clipped": metrics.n_clipped(probabilities, gold),
        "brier": metrics.brier(probabilities, gold),
    }


def _confidences(tickets: Tickets) -> dict[str, Any]:
    told = [(row.confidence, row.offer_right) for row in tickets.rows if row.confidence is not None]
    masses = [mass for row in tickets.rows if (mass := row.label_mass) is not None]
    confidence, right = np.array(told).T if told else (np.zeros(0), np.zeros(0))
    return {
        "n_confidence": len(told),
        **_calibration(confidence, right),
        **_ranking(confidence, right),
        "label_mass": fmean(masses) if masses else None,
        "sources": dict(Counter(row.source for row in tickets.rows if row.source is not None)),
    }


def _calibration(confidence: Floats, right: Floats) -> dict[str, Any]:
    """Whether the numbers are true."""
    if not len(confidence):
        names = ("ece", "ece_limit", "ece_p", "ece_verdict", "ece_width", "ece_debiased", "rmsce2_debiased", "smooth_ece")
        missing: dict[str, Any] = dict.fromkeys((*names, "top_brier", "top_log_loss", *metrics.IsotonicSplit._fields))
        return {**missing, "murphy": MurphyFigures(**dict.fromkeys(metrics.Murphy._fields))}
    columns = (confidence, right)
    check = metrics.ece_check(*columns)
    return {
        "ece": check.ece,
        "ece_limit": check.limit,
        "ece_p": check.p,
        "ece_verdict": check.verdict,
        "ece_width": metrics.ece(*columns, by="width"),
        "ece_debiased": metrics.ece_debiased(*columns),
        "rmsce2_debiased": metrics.rmsce2_debiased(*columns),
        "smooth_ece": metrics.smooth_ece(*columns),
        "top_brier": metrics.top_brier(*columns),
        "top_log_loss": metrics.top_log_loss(*columns),
        **metrics.isotonic_split(*columns)._asdict(),
        "murphy": MurphyFigures(**metrics.murphy(*columns)._asdict()),
    }


def _ranking(confidence: Floats, right: Floats) -> dict[str, Any]:
    """Whether the numbers put the right answers first."""
    if not len(confidence):
        nothing = tuple(RiskFigures(risk=risk, coverage=None, threshold=None) for risk in RISKS)
        return {**dict.fromkeys(("auroc", "aurc", "e_aurc", "augrc")), "coverage_at_risk": nothing}
    columns = (confidence, right)
    reached = [(risk, metrics.coverage_at_risk(*columns, risk)) for risk in RISKS]
    return {
        "auroc": metrics.auroc(*columns),
        "aurc": metrics.aurc(*columns),
        "e_aurc": metrics.e_aurc(*columns),
        "augrc": metrics.augrc(*columns),
        "coverage_at_risk": tuple(
            RiskFigures(risk=risk, coverage=found.coverage, threshold=_existing(found.threshold)) for risk, found in reached
        ),
    }


def _by_promise(
    judged: Sequence[Judged], right: Sequence[bool | None], calibration: Calibration | None
) -> tuple[PromisedFigures, ...]:
    """All together may be within the largest limit while each promise is broken."""
    answers = [getattr(ticket.outcome, "category", None) for ticket in judged]
    found = []
    for promise in calibration.promises if calibration else ():
        among = accepted_figures(
            [one if answer in promise.categories else None for one, answer in zip(right, answers, strict=True)]
        )
        found.append(PromisedFigures(categories=promise.categories, alpha=promise.alpha, **among.model_dump()))
    return tuple(found)


def _cost(right: Sequence[bool | None], error: float, review: float) -> CostFigures:
    columns = ([one is not None for one in right], [one is True for one in right])
    interval = metrics.expected_cost_interval(*columns, error=error, review=review)
    return CostFigures(
        per_1000=1000 * metrics.expected_cost(*columns, error=error, review=review),
        per_1000_interval=None if interval is None else (1000 * interval[0], 1000 * interval[1]),
        by_hand=1000 * review,
        cheapest_threshold=metrics.cheapest_threshold(error=error, review=review),
        error_cost=error,
        review_cost=review,
    )


def _pending(judged: Sequence[Judged]) -> PendingFigures:
    pending = [ticket.outcome for ticket in judged if isinstance(ticket.outcome, Pending)]
    counts = Counter(code for outcome in pending for code in {reason.code for reason in outcome.reasons})
    reasons = {code: counts[code] for code in sorted(counts, key=lambda code: (-counts[code], REASON_CODES.index(code)))}
    return PendingFigures(n=len(pending), share=len(pending) / len(judged), reasons=dict(reasons), **_candidates(judged))


def _candidates(judged: Sequence[Judged]) -> dict[str, Any]:
    """What reviewers are shown, and whether it helps."""
    shown = [
        (ticket.gold, [candidate.category for candidate in ticket.outcome.candidates])
        for ticket in judged
        if isinstance(ticket.outcome, Pending) and ticket.outcome.candidates
    ]
    held, n = sum(gold in candidates for gold, candidates in shown), len(shown)
    return {
        "n_candidates": n,
        "candidates_mean": fmean(len(candidates) for _, candidates in shown) if shown else None,
        "candidates_hold": held / n if n else None,
        "candidates_hold_interval": metrics.clopper_pearson(held, n) if n else None,
    }


def _categories(tickets: Tickets) -> tuple[CategoryFigures, ...]:
    table = metrics.per_category(tickets.gold, tickets.predicted, len(tickets.categories))
    outcomes = [(row.judged.outcome, row.judged.gold) for row in tickets.rows]
    accepted = Counter(outcome.category for outcome, _ in outcomes if isinstance(outcome, Accepted))
    right = Counter(gold for outcome, gold in outcomes if isinstance(outcome, Accepted) and outcome.category == gold)
    return tuple(
        CategoryFigures(
            category=category,
            n=int(table.support[i]),
            precision=_existing(float(table.precision[i])),
            precision_interval=_interval(table.right[i], table.predicted[i]),
            recall=_existing(float(table.recall[i])),
            recall_interval=_interval(table.right[i], table.support[i]),
            f1=_existing(float(table.f1[i])),
            accepted=accepted[category],
            accepted_error=1 - right[category] / accepted[category] if accepted[category] else None,
        )
        for category, i in tickets.categories.items()
        if table.support[i] or table.predicted[i]
    )


def _confusions(tickets: Tickets) -> tuple[Confusion, ...]:
    texts: dict[tuple[str, str], list[str]] = {}
    for row in tickets.rows:
        # A ticket without an answer is an error, yet no confusion of two categories.
        if row.predicted is not None and not row.right:
            texts.setdefault((row.judged.gold, row.predicted), []).append(row.judged.text)
    place = {node.id: i for i, node in enumerate(tickets.taxonomy.nodes)}
    worst = sorted(texts, key=lambda pair: (-len(texts[pair]), *(place.get(name, len(place)) for name in pair), pair))
    return tuple(
        Confusion(gold=gold, predicted=predicted, n=len(texts[gold, predicted]), examples=_examples(texts[gold, predicted]))
        for gold, predicted in worst[:MOST_CONFUSIONS]
    )


def _examples(texts: Sequence[str]) -> tuple[str, ...]:
    """The first few distinct texts, shortened; stored predictions may have none."""
    shortened = dict.fromkeys(short(" ".join(text.split()), LONGEST_EXAMPLE) for text in texts if text)
    return tuple(shortened)[:MOST_EXAMPLES]


def _interval(right: np.int64, n: np.int64) -> metrics.Interval | None:
    return metrics.wilson(int(right), int(n)) if n else None


def _existing(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
