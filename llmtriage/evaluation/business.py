"""What a run is worth: the share handled without a person, minutes saved, what errors cost."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from llmtriage.errors import InputError
from llmtriage.evaluation.report import BusinessFigures
from llmtriage.probability import metrics
from llmtriage.probability.metrics.inputs import at_least

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.probability.metrics import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What work and errors cost, as far as somebody said so.

    Attributes:
        minutes_manual: For sorting a ticket by hand, more than 0.
        minutes_review: For deciding on a ticket that waits; None: as long as by hand.
        minutes_repair: For sending a wrongly routed ticket where it belongs; None: as long as sorting one by hand.
        error_cost: Of an accepted ticket that is wrong, in money.
        wage_per_hour: In the same money.
    """

    minutes_manual: float | None = None
    minutes_review: float | None = None
    minutes_repair: float | None = None
    error_cost: float | None = None
    wage_per_hour: float | None = None

    def __post_init__(self) -> None:
        """Check them; raises InputError."""
        for one in fields(self):
            value = getattr(self, one.name)
            if value is None:
                continue
            at_least("business figures", one.name.replace("_", " "), value, 0)
            if self.minutes_manual is None and one.name not in ("minutes_manual", "error_cost"):
                remedy = "say with --minutes-manual how long sorting a ticket by hand takes"
                raise InputError("this alone tells no minutes saved", field=f"--{one.name.replace('_', '-')}", remedy=remedy)
        if self.minutes_manual == 0:
            raise InputError("business figures: minutes manual is 0", remedy="more than 0")


def business_figures(right: Sequence[bool | None], rates: Rates) -> BusinessFigures:
    """The figures of tickets, of each of which is told whether it was accepted where it belongs; None: it waits for a person."""
    n, accepted = len(right), sum(one is not None for one in right)
    errors = sum(one is False for one in right)
    manual, review, repair = rates.minutes_manual, rates.minutes_review, rates.minutes_repair
    saved: float | None = None
    saved_interval: Interval | None = None
    if manual is not None:
        review, repair = (manual if minutes is None else minutes for minutes in (review, repair))
        columns = ([one is not None for one in right], [one is True for one in right])
        saved = 1000 * (manual - metrics.expected_cost(*columns, error=repair, review=review))
        spent = metrics.expected_cost_interval(*columns, error=repair, review=review)
        saved_interval = None if spent is None else (1000 * (manual - spent[1]), 1000 * (manual - spent[0]))
    cost = None if rates.error_cost is None else 1000 * rates.error_cost * errors / n
    known = saved is not None and cost is not None and rates.wage_per_hour is not None
    return BusinessFigures(
        handled=accepted / n,
        handled_interval=metrics.wilson(accepted, n),
        minutes_saved_per_1000=saved,
        minutes_saved_interval=saved_interval,
        error_cost_per_1000=cost,
        error_cost_interval=_times(metrics.clopper_pearson(errors, n), rates.error_cost),
        net_per_1000=(rates.wage_per_hour or 0) / 60 * (saved or 0) - (cost or 0) if known else None,
        minutes_manual=manual,
        minutes_review=review,
        minutes_repair=repair,
        error_cost=rates.error_cost,
        wage_per_hour=rates.wage_per_hour,
    )


def _times(shares: Interval, cost: float | None) -> Interval | None:
    return None if cost is None else (1000 * cost * shares[0], 1000 * cost * shares[1])
