"""Outcomes that a store holds, judged by what people said of the same tickets."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from llmtriage.evaluation.judging import Judged, is_offer_right
from llmtriage.evaluation.report import ReviewFigures, SuggestionFigures
from llmtriage.evaluation.slicing import sliced_fields
from llmtriage.outcomes import Accepted, Candidate, Outcome, Pending
from llmtriage.predictions import Failure, Prediction, SingleLabel, Usage
from llmtriage.prepare import Preparation, prepare
from llmtriage.probability import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llmtriage.store.answered import Answered, Which
    from llmtriage.taxonomy import Taxonomy

_USAGE = frozenset(one.name for one in fields(Usage))


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAnswer:
    """A judged ticket, and what is told of the answer behind it.

    Attributes:
        judged: The ticket with the label of a person and the outcome of a run.
        text_id: Which text of which ticket it is.
        shown: Whether the person saw a suggestion.
        confirmed: Whether the person said what was suggested then; never of a ticket that was drawn.
        changed: Whether somebody said something else later.
        erased: Whether its text is gone.
        carried: Whether the label, or the answer of the run, has another name in this taxonomy.
        inclusion_p: With which probability the ticket was drawn; None where it was not.
    """

    judged: Judged
    text_id: int
    shown: bool
    confirmed: bool
    changed: bool
    erased: bool
    carried: bool
    inclusion_p: float | None


@dataclass(slots=True)
class JudgedAnswers:
    """Tickets with the answers of people, under one taxonomy.

    Attributes:
        rows: Those that can be judged.
        lost: How many cannot, by the category that this taxonomy has no one leaf for: of the person, or of the run.
        names: The fields that any of the tickets has.
    """

    rows: list[JudgedAnswer] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


def judged_answers(
    answers: Iterable[Answered],
    taxonomy: Taxonomy,
    *,
    model: str,
    preparation: Preparation | None = None,
    by: Sequence[str] = (),
) -> JudgedAnswers:
    """Judge what a run decided by what people said.

    Of each answer a store keeps the first five categories at most, so there is no distribution. An erased ticket counts, without its text.

    Args:
        answers: The tickets.
        taxonomy: What labels and answers mean now.
        model: The engine's name.
        preparation: Of the texts.
        by: As for `evaluate`.
    """
    steps, found = preparation or Preparation(), JudgedAnswers()
    for one in answers:
        found.names.update(_names(one))
        gold, outcome = taxonomy.carried(one.category), _carried(one, taxonomy, model)
        if gold is None or outcome is None:
            name = one.category if gold is None else _top(one.outcome) or ""
            found.lost[name] = found.lost.get(name, 0) + 1
            continue
        text = prepare(one.ticket, steps).text if one.kept == "original" else one.ticket.content
        judged = Judged(gold=gold, outcome=replace(outcome, text=text), text=text, fields=sliced_fields(one.ticket, text, by))
        carried = gold != one.category or _top(outcome) != _top(one.outcome)
        facts = {name: getattr(one, name) for name in ("text_id", "shown", "confirmed", "changed", "erased", "inclusion_p")}
        found.rows.append(JudgedAnswer(judged=judged, carried=carried, **facts))
    return found


def review_figures(
    rows: Sequence[JudgedAnswer], taxonomy: Taxonomy, *, which: Which, waiting: int, undecided: int, lost: int, timed: int
) -> ReviewFigures:
    """What is told of the answers behind the figures.

    Args:
        rows: The tickets that the figures are about.
        taxonomy: What was chosen among.
        which: Whose answers.
        waiting: Tickets that were drawn and have no answer yet.
        undecided: Tickets with an answer that the run did not decide.
        lost: Tickets with a category that the taxonomy has no leaf for.
        timed: Answers that the minutes of a review were taken from.
    """
    drawn = sorted({row.inclusion_p for row in rows if row.inclusion_p is not None})
    counts = {name: sum(getattr(row, name) for row in rows) for name in ("carried", "erased", "changed")}
    return ReviewFigures(
        lane=which,
        all_traffic=which == "probe",
        drawn=tuple(drawn),
        shown=_suggestions([row for row in rows if row.shown], taxonomy),
        unseen=_suggestions([row for row in rows if not row.shown], taxonomy),
        waiting=waiting,
        undecided=undecided,
        lost=lost,
        timed=timed,
        **counts,
    )


def _names(one: Answered) -> Iterable[str]:
    return (*one.ticket.metadata, *(name for name in ("channel", "customer") if one.ticket.value(name)))


# -- what a run said -------------------------------------------------------------------------------


def _ranked(outcome: Outcome) -> tuple[Candidate, ...]:
    """What the engine said, most probable first; empty where it said nothing."""
    offered = _offered(outcome)
    if outcome.candidates or offered is None:
        return outcome.candidates
    return (Candidate(category=offered, score=outcome.score),)


def _offered(outcome: Outcome) -> str | None:
    return outcome.category if isinstance(outcome, Accepted) else outcome.suggestion


def _top(outcome: Outcome) -> str | None:
    """The leaf that the engine named first."""
    return next((one.category for one in _ranked(outcome)), None)


def _carried(one: Answered, taxonomy: Taxonomy, model: str) -> Outcome | None:
    """The outcome in the words of a taxonomy, with the answer it was made of; None where that has no one leaf for it."""
    outcome, ranked, offered = one.outcome, _ranked(one.outcome), _offered(one.outcome)
    usage = Usage(**{name: value for name, value in one.usage.items() if name in _USAGE})
    if offered is None or not ranked:
        return replace(outcome, failure=_failure(outcome, usage)) if isinstance(outcome, Pending) and one.usage else outcome
    leaf, offered = taxonomy.carried(ranked[0].category), _now(offered, taxonomy)
    if leaf is None or offered is None:
        return None
    candidates: dict[str, Candidate] = {}
    for each in outcome.candidates:
        name = _now(each.category, taxonomy)
        if name is not None:
            candidates.setdefault(name, replace(each, category=name))  # of two that became one, the more probable
    answer = SingleLabel(category=leaf, score=ranked[0].score)
    common: dict[str, Any] = {
        "candidates": tuple(candidates.values()),
        "prediction": Prediction(answer=answer, source="stored", model=model, usage=usage),
    }
    if isinstance(outcome, Accepted):
        return replace(outcome, category=offered, **common)
    return replace(outcome, suggestion=offered, **common)


def _now(name: str, taxonomy: Taxonomy) -> str | None:
    return name if name in taxonomy else taxonomy.carried(name)


def _failure(outcome: Pending, usage: Usage) -> Failure:
    reason = outcome.reasons[0]
    return Failure(reason=reason.code, detail=reason.detail or "", usage=usage)  # type: ignore[arg-type]


# -- what is told of people ------------------------------------------------------------------------


def _suggestions(rows: Sequence[JudgedAnswer], taxonomy: Taxonomy) -> SuggestionFigures:
    """How often the label lies at or below what the run offers."""
    right = [is_offer_right(row.judged, taxonomy) for row in rows if _offered(row.judged.outcome) is not None]
    n, agreed = len(right), sum(right)
    return SuggestionFigures(
        n=n,
        right=agreed,
        accuracy=agreed / n if n else None,
        accuracy_interval=metrics.wilson(agreed, n) if n else None,
        confirmed=sum(row.confirmed for row in rows),
    )
