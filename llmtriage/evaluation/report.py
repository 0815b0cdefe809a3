"""Judged tickets in, a `Report` out: every figure of `llmtriage evaluate`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from llmtriage.errors import InputError, UnknownNameError, short
from llmtriage.outcomes import REASON_CODES, Accepted, Outcome, Pending
from llmtriage.predictions import Floats, Scores, SingleLabel
from llmtriage.probability import metrics

if TYPE_CHECKING:
    from llmtriage.taxonomy import Taxonomy

MOST_CONFUSIONS = 20
MOST_EXAMPLES = 3
LONGEST_EXAMPLE = 160

Interval = tuple[float, float]
Totals = Mapping[str, int | float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A ticket with its true category and what was decided about it.

    Attributes:
        gold: The id of the leaf it belongs to.
        outcome: What routing made of it.
        text: What the model saw.
    """

    gold: str
    outcome: Accepted | Pending
    text: str = field(repr=False)


class _Figures(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AcceptedFigures(_Figures):
    """The tickets that go to a team without a person looking: n, and their share of all tickets (coverage).

    Attributes:
        errors: How many of them are wrong; a department is right if the true leaf lies below it.
        error: errors / n (risk); None when none was accepted.
        error_interval: Its Clopper-Pearson 95 % interval.
    """

    n: int
    share: float
    errors: int
    error: float | None
    error_interval: Interval | None


class PendingFigures(_Figures):
    """The tickets that wait for a person, and how many of them for each reason; a ticket may have several."""

    n: int
    share: float
    reasons: dict[str, int]


class CategoryFigures(_Figures):
    """One leaf. A share of nothing is None.

    Attributes:
        n: Tickets that truly belong to it.
        accepted: Tickets accepted as it.
        accepted_error: The share of those that belong elsewhere.
    """

    category: str
    n: int
    precision: float | None
    recall: float | None
    f1: float | None
    accepted: int
    accepted_error: float | None


class Confusion(_Figures):
    """How many tickets of one category were predicted as another.

    `examples` holds the first few such texts, shortened; being ticket text, it is not part of `Report.to_json`.
    """

    gold: str
    predicted: str
    n: int
    examples: tuple[str, ...] = Field(default=(), repr=False)


class Report(_Figures):
    """All figures of an evaluation. A figure that does not exist is None.

    Attributes:
        unanswered: Tickets the engine gave no answer for; they count as wrong.
        accuracy: The share of tickets whose top leaf is right.
        accuracy_interval: Its Clopper-Pearson 95 % interval.
        n_scored: Tickets with a score for every category, which `log_loss` and `brier` are about. If any answer is a
            single label, the two are None and this is 0.
        log_loss_clipped: Of those, tickets whose true category was given less than 1e-12, which was taken instead.
        n_confidence: Tickets with a number for the top category, which `ece`, `auroc` and `aurc` are about.
        ece_limit: What `ece` stays below in 95 of 100 such samples if the model is perfectly calibrated.
        confusions: The most frequent ones, at most 20.
        run: The fingerprint of all that the outcomes depend on, as in the output of a run.
        settings: What the run was asked to do, such as threshold, number of examples and name of the file.
    """

    n: int
    unanswered: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    macro_f1: float
    weighted_f1: float
    n_scored: int
    log_loss: float | None
    log_loss_clipped: int | None
    brier: float | None
    n_confidence: int
    ece: float | None
    ece_limit: float | None
    auroc: float | None
    aurc: float | None
    accepted: AcceptedFigures
    pending: PendingFigures
    per_category: tuple[CategoryFigures, ...]
    confusions: tuple[Confusion, ...]
    baselines: dict[str, float | None]
    usage: dict[str, int | float | None]
    seconds: float | None
    tickets_per_second: float | None
    backend: str | None
    taxonomy_hash: str
    prompt_hash: str | None
    run: str | None = None
    settings: dict[str, str | int | float | bool | None] = {}

    def to_json(self) -> dict[str, Any]:
        """Plain data for strict JSON: no NaN, no ticket text."""
        return self.model_dump(mode="json", exclude={"confusions": {"__all__": {"examples"}}})


def evaluate(
    judged: Sequence[Judged],
    taxonomy: Taxonomy,
    *,
    baselines: Mapping[str, float | None] | None = None,
    usage: Totals | None = None,
    seconds: float | None = None,
    backend: str | None = None,
    taxonomy_hash: str | None = None,
    prompt_hash: str | None = None,
    run: str | None = None,
    settings: Mapping[str, str | float | bool | None] | None = None,
) -> Report:
    """Measure judged tickets.

    The predicted category of a ticket is the model's top leaf, whatever routing made of it; a ticket without an answer is wrong.

    Args:
        judged: At least one.
        taxonomy: What the engine chose among.
        baselines: Accuracies of simpler ways on the same tickets.
        usage: What the run cost in all; None: summed from the outcomes.
        seconds: How long the run took.
        backend: The engine's name.
        taxonomy_hash: None: that of `taxonomy`.
        prompt_hash: Identity of the prompt.
        run: Fingerprint of the run.
        settings: What the run was asked to do.

    Raises:
        InputError: No tickets, a true category that is not a leaf, or scores that do not fit the taxonomy.
    """
    tickets = _Tickets(judged, taxonomy)
    return Report(
        n=len(judged),
        **_labels(tickets),
        **_distributions(tickets),
        **_confidences(tickets),
        accepted=_accepted(judged, taxonomy),
        pending=_pending(judged),
        per_category=_categories(tickets),
        confusions=_confusions(tickets),
        baselines={name: _existing(value) for name, value in (baselines or {}).items()},
        usage=dict(total_usage([ticket.outcome for ticket in judged]) if usage is None else usage),
        seconds=_existing(seconds),
        tickets_per_second=_existing(len(judged) / seconds if seconds else None),
        backend=backend,
        taxonomy_hash=taxonomy_hash or taxonomy.hash,
        prompt_hash=prompt_hash,
        run=run,
        settings=dict(settings or {}),
    )


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


@dataclass(frozen=True, slots=True)
class _Row:
    """A judged ticket with the engine's top leaf, its share for every leaf and its number for the top one, as far as given."""

    judged: Judged
    predicted: str | None = None
    probabilities: Floats | None = None
    confidence: float | None = None

    @property
    def right(self) -> bool:
        """Whether the top leaf is the true one."""
        return self.predicted == self.judged.gold


class _Tickets:
    """The judged tickets under their taxonomy."""

    def __init__(self, judged: Sequence[Judged], taxonomy: Taxonomy) -> None:
        if not judged:
            raise InputError("evaluation: there are no tickets", remedy="give at least one with its category")
        self.taxonomy = taxonomy
        self.leaves = {leaf.id: i for i, leaf in enumerate(taxonomy.leaves)}
        for gold in dict.fromkeys(ticket.gold for ticket in judged):
            if gold not in self.leaves:
                raise UnknownNameError.among("category", gold, self.leaves, field="gold")
        self.rows = [_row(ticket, list(self.leaves)) for ticket in judged]
        self.gold = np.array([self.leaves[ticket.gold] for ticket in judged])
        # An answer outside the leaves is wrong like none at all.
        self.predicted = np.array([self.leaves.get(row.predicted or "", -1) for row in self.rows])


def _row(ticket: Judged, leaves: Sequence[str]) -> _Row:
    prediction = ticket.outcome.prediction
    if prediction is None:
        return _Row(ticket)
    answer = prediction.answer
    if isinstance(answer, SingleLabel):
        usable = answer.score is not None and 0 <= answer.score <= 1
        return _Row(ticket, answer.category, None, answer.score if usable else None)
    shares = _shares(answer, len(leaves))
    top = int(np.argmax(shares))
    return _Row(ticket, leaves[top], shares, min(1.0, float(shares[top])))


def _shares(scores: Scores, n_leaves: int) -> Floats:
    values = scores.values
    if values.shape != (n_leaves,) or not np.isfinite(values).all():
        problem = f"scores of shape {values.shape}, some perhaps not finite, for {n_leaves} leaves"
        raise InputError(problem, remedy="evaluate under the taxonomy of the run")
    shares = np.exp(values - values.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _labels(tickets: _Tickets) -> dict[str, Any]:
    columns = (tickets.gold, tickets.predicted)
    return {
        "unanswered": sum(row.predicted is None for row in tickets.rows),
        "accuracy": metrics.accuracy(*columns),
        "accuracy_interval": metrics.clopper_pearson(sum(row.right for row in tickets.rows), len(tickets.rows)),
        "balanced_accuracy": metrics.balanced_accuracy(*columns),
        "macro_f1": metrics.macro_f1(*columns),
        "weighted_f1": metrics.weighted_f1(*columns),
    }


def _distributions(tickets: _Tickets) -> dict[str, Any]:
    answered = [row for row in tickets.rows if row.predicted is not None]
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


def _confidences(tickets: _Tickets) -> dict[str, Any]:
    told = [(row.confidence, row.right) for row in tickets.rows if row.confidence is not None]
    if not told:
        return {"n_confidence": 0, "ece": None, "ece_limit": None, "auroc": None, "aurc": None}
    confidence, right = np.array(told).T
    return {
        "n_confidence": len(told),
        "ece": metrics.ece(confidence, right),
        "ece_limit": metrics.ece_null_limit(confidence),
        "auroc": metrics.auroc(confidence, right),
        "aurc": metrics.aurc(confidence, right),
    }


def _accepted(judged: Sequence[Judged], taxonomy: Taxonomy) -> AcceptedFigures:
    accepted = [(ticket.gold, ticket.outcome.category) for ticket in judged if isinstance(ticket.outcome, Accepted)]
    errors = sum(all(node.id != category for node in taxonomy.path(gold)) for gold, category in accepted)
    n = len(accepted)
    return AcceptedFigures(
        n=n,
        share=n / len(judged),
        errors=errors,
        error=errors / n if n else None,
        error_interval=metrics.clopper_pearson(errors, n) if n else None,
    )


def _pending(judged: Sequence[Judged]) -> PendingFigures:
    pending = [ticket.outcome for ticket in judged if isinstance(ticket.outcome, Pending)]
    counts = Counter(code for outcome in pending for code in {reason.code for reason in outcome.reasons})
    reasons = {code: counts[code] for code in sorted(counts, key=lambda code: (-counts[code], REASON_CODES.index(code)))}
    return PendingFigures(n=len(pending), share=len(pending) / len(judged), reasons=dict(reasons))


def _categories(tickets: _Tickets) -> tuple[CategoryFigures, ...]:
    table = metrics.per_category(tickets.gold, tickets.predicted, len(tickets.leaves))
    outcomes = [(row.judged.outcome, row.judged.gold) for row in tickets.rows]
    accepted = Counter(outcome.category for outcome, _ in outcomes if isinstance(outcome, Accepted))
    right = Counter(gold for outcome, gold in outcomes if isinstance(outcome, Accepted) and outcome.category == gold)
    return tuple(
        CategoryFigures(
            category=leaf,
            n=int(table.support[i]),
            precision=_existing(float(table.precision[i])),
            recall=_existing(float(table.recall[i])),
            f1=_existing(float(table.f1[i])),
            accepted=accepted[leaf],
            accepted_error=1 - right[leaf] / accepted[leaf] if accepted[leaf] else None,
        )
        for leaf, i in tickets.leaves.items()
        if table.support[i] or table.predicted[i]
    )


def _confusions(tickets: _Tickets) -> tuple[Confusion, ...]:
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
    """The first few distinct texts, shortened."""
    shortened = dict.fromkeys(short(" ".join(text.split()), LONGEST_EXAMPLE) for text in texts)
    return tuple(shortened)[:MOST_EXAMPLES]


def _existing(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
