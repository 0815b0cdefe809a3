"""`--fail-under` and `--fail-over`: limits on the figures of a report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmtriage.errors import InputError, UnknownNameError, short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmtriage.evaluation import Report
    from llmtriage.taxonomy import Taxonomy

UNDER, OVER = "--fail-under", "--fail-over"


@dataclass(frozen=True, slots=True)
class Limit:
    """What a figure has to reach (`--fail-under`) or must not exceed (`--fail-over`)."""

    flag: str
    name: str
    value: float

    def missed(self, report: Report) -> str | None:
        """What is wrong, in words; a figure that does not exist keeps no limit."""
        from llmtriage.evaluation import figure

        found = figure(report, self.name)
        if found is not None and (found >= self.value if self.flag == UNDER else found <= self.value):
            return None
        shown = "null (it does not exist here)" if found is None else f"{found:.4g}"
        return f"{self.name} is {shown}, wanted: at {'least' if self.flag == UNDER else 'most'} {self.value:.4g}"


def read_limits(fail_under: Iterable[str], fail_over: Iterable[str]) -> list[Limit]:
    """The limits of the two flags."""
    return [*(_limit(UNDER, text) for text in fail_under), *(_limit(OVER, text) for text in fail_over)]


def check_limits(limits: list[Limit], taxonomy: Taxonomy) -> None:
    """A mistyped figure is found before anything is sent, in the report of a ticket that nobody answered."""
    from llmtriage.evaluation import Judged, evaluate, figure
    from llmtriage.evaluation.baselines import baseline_accuracies
    from llmtriage.outcomes import Pending

    judged = [Judged(gold=taxonomy.leaves[0].id, outcome=Pending(suggestion=None, reasons=()), text="")]
    report = evaluate(judged, taxonomy, baselines=baseline_accuracies((), []))
    for limit in limits:
        try:
            figure(report, limit.name)
        except UnknownNameError as error:
            raise UnknownNameError(error.problem, remedy=error.remedy, field=limit.flag) from None
        _check(limit)


def _limit(flag: str, text: str) -> Limit:
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        example = "accuracy=0.9" if flag == UNDER else "accepted.error=0.05"
        raise InputError(f"not FIGURE=VALUE: {short(text)!r}", field=flag, remedy=f"write it like {example}")
    return Limit(flag, name.strip(), number)


def _check(limit: Limit) -> None:
    from llmtriage.evaluation.figures import is_share, lower_is_better

    if is_share(limit.name) and not 0 <= limit.value <= 1:
        remedy = "write 90 % as 0.9"
        raise InputError(f"{limit.name} lies between 0 and 1, not at {limit.value:.4g}", field=limit.flag, remedy=remedy)
    right, better = (OVER, "lower") if lower_is_better(limit.name) else (UNDER, "higher")
    if limit.flag != right:
        remedy = f"use {right} {limit.name}={limit.value:.4g}"
        raise InputError(f"{limit.name}: {better} is better here", field=limit.flag, remedy=remedy)
