"""Two settings on the same labelled tickets: their figures side by side, and what the labels tell about the difference."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from llmtriage.errors import InputError, short
from llmtriage.evaluation.judging import Judged, Tickets, accepted_right
from llmtriage.evaluation.measuring import ERROR_COST, REVIEW_COST
from llmtriage.evaluation.report import Figures, Report
from llmtriage.predictions import Floats
from llmtriage.probability.metrics import (
    FLOOR,
    Interval,
    mcnemar,
    mcnemar_mid_p,
    mean_interval,
    paired_bootstrap,
    paired_interval,
)
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llmtriage.calibration import Calibration
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.tickets import LabelledTicket

_SIGNIFICANT = 0.05

Bools = npt.NDArray[np.bool_]
Better = Literal["first", "second"]


class Labels(Figures):
    """Which labels a comparison used.

    Attributes:
        file: The name of the file.
        n: How many labelled tickets.
        digest: Of title, content and category of all of them, whatever their order: 16 hex digits.
    """

    file: str
    n: int
    digest: str


class Side(Figures):
    """One of the two settings.

    Attributes:
        setting: What was said to differ; None for the first, which is as the flags say.
        report: Its figures.
        tokens_in: Mean tokens read for a ticket, over the answers that told; None if none did.
        tokens_out: Mean tokens written, over the answers that told; None if none did.
    """

    setting: str | None
    report: Report
    tokens_in: float | None
    tokens_out: float | None

    def to_json(self) -> dict[str, Any]:
        """The figures of the report with the rest beside them."""
        return {**self.report.to_json(), **self.model_dump(mode="json", exclude={"report"})}


class Difference(Figures):
    """What the second setting has more than the first, ticket by ticket.

    Attributes:
        accuracy: Of the share of tickets whose first category is right, in [-1, 1].
        accuracy_interval: Its 95 % interval; see `paired_interval`.
        accuracy_bootstrap: The same by drawing tickets, with a fixed seed; see `paired_bootstrap`. None below 30 tickets.
        only_first_right: Tickets that only the first got right.
        only_second_right: Tickets that only the second got right.
        p: Of the exact McNemar test; see `mcnemar`.
        mid_p: Its mid-p value: less cautious, no guarantee; see `mcnemar_mid_p`.
        more_accurate: The better one if `p` is below 0.05, else None: the labels do not tell.
        n_log_loss: Tickets that both gave a distribution for.
        log_loss: The mean difference on these, in nats; None if one of the two gives no distribution.
        log_loss_interval: Its 95 % interval; see `mean_interval`. None also below 10 tickets.
        lower_log_loss: The better one if that interval leaves out 0, else None.
        share: Of the share of tickets that are accepted.
        share_interval: Its bootstrap 95 % interval; None below 30 tickets.
        cost: Of the cost of 1,000 tickets, as `CostFigures` has it.
        cost_interval: Its bootstrap 95 % interval; None below 30 tickets.
    """

    accuracy: float
    accuracy_interval: Interval
    accuracy_bootstrap: Interval | None
    only_first_right: int
    only_second_right: int
    p: float
    mid_p: float
    more_accurate: Better | None
    n_log_loss: int
    log_loss: float | None
    log_loss_interval: Interval | None
    lower_log_loss: Better | None
    share: float
    share_interval: Interval | None
    cost: float
    cost_interval: Interval | None


class Comparison(Figures):
    """Two settings, their difference, and the labels that this cost."""

    first: Side
    second: Side
    difference: Difference
    labels: Labels

    def to_json(self) -> dict[str, Any]:
        """Plain data for strict JSON: no NaN, no ticket text."""
        sides = {"first": self.first.to_json(), "second": self.second.to_json()}
        return {**sides, **self.model_dump(mode="json", include={"difference", "labels"})}


def side(judged: Sequence[Judged], report: Report, setting: str | None = None) -> Side:
    """One side of a comparison."""
    answers = [answer for ticket in judged if (answer := ticket.outcome.prediction or getattr(ticket.outcome, "failure", None))]
    return Side(
        setting=setting,
        report=report,
        tokens_in=_mean([answer.usage.prompt_tokens for answer in answers]),
        tokens_out=_mean([answer.usage.output_tokens for answer in answers]),
    )


def difference(
    first: tuple[Sequence[Judged], Taxonomy],
    second: tuple[Sequence[Judged], Taxonomy],
    *,
    calibrations: tuple[Calibration | None, Calibration | None] = (None, None),
    none_label: str | None = None,
    error_cost: float = ERROR_COST,
    review_cost: float = REVIEW_COST,
) -> Difference:
    """Compare two runs over the same tickets in the same order, each with the taxonomy it chose among.

    Args:
        first: The judged tickets, and what was chosen among.
        second: The same of the other run.
        calibrations: What each was routed with, as for `evaluate`.
        none_label: As for `evaluate`; tickets that belong to no leaf have no log loss.
        error_cost: As for `evaluate`.
        review_cost: As for `evaluate`.

    Raises:
        InputError: The tickets of the two are not the same, or there are none.
    """
    if [ticket.gold for ticket in first[0]] != [ticket.gold for ticket in second[0]]:
        raise InputError("the labels changed between the two runs", remedy="leave the file alone while it is evaluated")
    runs = zip((first, second), calibrations, strict=True)
    one, other = (Tickets(*run, calibration, none_label=none_label) for run, calibration in runs)
    right, right_too = _right(one), _right(other)
    n, gained, lost = len(right), int(np.sum(right_too & ~right)), int(np.sum(right & ~right_too))
    p = mcnemar(lost, gained)
    losses = _loss_differences(one, other)
    interval = None if losses is None else mean_interval(losses)
    accepted = [[accepted_right(ticket, taxonomy) for ticket in judged] for judged, taxonomy in (first, second)]
    taken = [np.array([one is not None for one in run], np.float64) for run in accepted]
    costs = [_costs(run, error_cost, review_cost) for run in accepted]
    return Difference(
        accuracy=(gained - lost) / n,
        accuracy_interval=paired_interval(lost, gained, n),
        accuracy_bootstrap=paired_bootstrap(right, right_too),
        only_first_right=lost,
        only_second_right=gained,
        p=p,
        mid_p=mcnemar_mid_p(lost, gained),
        more_accurate=None if p >= _SIGNIFICANT else _better(gained > lost),
        n_log_loss=0 if losses is None else len(losses),
        log_loss=None if losses is None else float(losses.mean()),
        log_loss_interval=interval,
        lower_log_loss=None if interval is None or interval[0] <= 0 <= interval[1] else _better(interval[1] < 0),
        share=float((taken[1] - taken[0]).mean()),
        share_interval=paired_bootstrap(*taken),
        cost=float((costs[1] - costs[0]).mean()),
        cost_interval=paired_bootstrap(*costs),
    )


def in_the_order_of(first: Sequence[Judged], second: Sequence[Judged], names: tuple[str, str]) -> list[Judged]:
    """The tickets of the second run in the order of the first, by their ids.

    Args:
        first: The tickets of one run.
        second: The same tickets of the other.
        names: What the two are called in errors.

    Raises:
        InputError: A ticket is in one of the two alone, stands twice, or has another true category.
    """
    ids, others = ([ticket.outcome.ticket_id for ticket in run] for run in (first, second))
    if ids == others:
        ordered = list(second)
    else:
        for run, file in zip((ids, others), names, strict=True):
            _check_unique(run, file)
        _check_all_there(ids, others, names[1])
        _check_all_there(others, ids, names[0])
        places = {name: place for place, name in enumerate(others)}
        ordered = [second[places[name]] for name in ids]
    for one, other in zip(first, ordered, strict=True):
        if one.gold != other.gold:
            problem = f"the ticket {short(str(one.outcome.ticket_id))!r} is {short(other.gold)!r} here and {short(one.gold)!r} in {names[0]}"
            raise InputError(problem, file=names[1], remedy="mend one of the two true categories")
    return ordered


def _check_unique(ids: Sequence[str | None], file: str) -> None:
    twice = next((name for name, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"the ticket {short(twice)!r} stands twice", file=file, remedy="give each ticket an id of its own")


def _check_all_there(wanted: Sequence[str | None], ids: Sequence[str | None], file: str) -> None:
    there = set(ids)
    missing = next((name for name in wanted if name not in there), None)
    if missing is not None:
        problem = f"no prediction for the ticket {short(missing)!r}, which the other file has"
        raise InputError(problem, file=file, remedy="compare predictions for the same tickets")


def _costs(right: Sequence[bool | None], error: float, review: float) -> Floats:
    """Of 1,000 tickets like each."""
    return np.array([1000 * (review if one is None else 0.0 if one else error) for one in right], np.float64)


def labels_of(rows: Iterable[LabelledTicket], file: str) -> Labels:
    """What identifies the labels of a file, whatever the order of its rows."""
    held = sorted([row.ticket.title, row.ticket.content, row.category] for row in rows)
    return Labels(file=file, n=len(held), digest=digest(held))


def _better(is_second: bool) -> Better:  # noqa: FBT001 - the answer to the question
    return "second" if is_second else "first"


def _right(tickets: Tickets) -> Bools:
    return np.array([row.right for row in tickets.rows], dtype=np.bool_)


def _loss_differences(one: Tickets, other: Tickets) -> Floats | None:
    """The log loss of the other less that of the one for each ticket that both answered; None if an answer is no distribution."""
    losses = [_losses(tickets) for tickets in (one, other)]
    if losses[0] is None or losses[1] is None:
        return None
    both = losses[1] - losses[0]
    answered = both[~np.isnan(both)]
    return answered if len(answered) else None


def _losses(tickets: Tickets) -> Floats | None:
    """The log loss of each ticket, as `llmtriage.probability.metrics.log_loss` has it; NaN where there is no answer, or no leaf is the true one."""
    if any(row.predicted is not None and row.probabilities is None for row in tickets.rows):
        return None
    gold = zip(tickets.rows, tickets.gold, strict=True)
    shares = [
        np.nan if row.probabilities is None or place >= len(tickets.leaves) else row.probabilities[place] for row, place in gold
    ]
    return np.asarray(-np.log(np.maximum(shares, FLOOR)), dtype=np.float64)


def _mean(counts: Sequence[int | None]) -> float | None:
    told = [count for count in counts if count is not None]
    return fmean(told) if told else None
