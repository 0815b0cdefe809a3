"""The figures of a report by their names, and which of two is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmtriage.errors import UnknownNameError, nearest, short
from llmtriage.outcomes import REASON_CODES

if TYPE_CHECKING:
    from llmtriage.evaluation.report import Report

# Null in these keys stands for a missing text or interval, not for a missing number; settings, what they take for granted, and whose
# labels these are, are no figures.
_NO_NUMBERS = frozenset(
    {
        *("backend", "taxonomy_hash", "prompt_hash", "run", "settings", "sources", "ece_verdict"),
        *("error_interval", "macro_f1_interval", "per_1000_interval", "candidates_hold_interval"),
        *("handled_interval", "minutes_saved_interval", "error_cost_interval"),
        *("minutes_manual", "minutes_review", "minutes_repair", "wage_per_hour"),
        *("by_hand", "cheapest_threshold", "error_cost", "review_cost"),
        "reviews",
    }
)
_LOWER_IS_BETTER = frozenset(
    {
        *("outside.accepted", "outside.share"),
        *("accepted.error", "accepted.errors", "cost.per_1000", "business.error_cost_per_1000", "seconds", "unanswered"),
        *("brier", "log_loss", "log_loss_clipped", "top_brier", "top_log_loss"),
        *("ece", "ece_debiased", "ece_width", "mcb", "murphy.reliability", "rmsce2_debiased", "smooth_ece"),
        *("augrc", "aurc", "e_aurc"),
    }
)
_SHARES = frozenset(
    {
        *("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"),
        *("ece", "ece_limit", "ece_p", "ece_width", "smooth_ece", "top_brier", "mcb", "dsc", "unc", "label_mass"),
        *("murphy.reliability", "murphy.resolution", "murphy.uncertainty", "auroc", "aurc", "e_aurc", "augrc"),
        *("accepted.share", "accepted.error", "pending.share", "pending.candidates_hold", "outside.share", "business.handled"),
    }
)


def figure(report: Report, name: str) -> float | None:
    """The number called `name` in the JSON of the report, with a dot for each level: "accepted.error".

    Raises:
        UnknownNameError: There is no such number; the error names the nearest one and lists all.
    """
    numbers = figures(report)
    if name not in numbers:
        hint = nearest(name, numbers)
        close = f"{hint} " if hint.startswith("did you mean") else ""
        raise UnknownNameError(f"unknown figure {short(name)!r}", remedy=f"{close}the figures are: {', '.join(numbers)}")
    return numbers[name]


def figures(report: Report) -> dict[str, float | None]:
    """All numbers of the report that have a name, reasons that no ticket has with 0."""
    numbers = dict(_numbers(report.to_json()))
    return numbers | {name: numbers.get(name, 0) for name in (f"pending.reasons.{code}" for code in REASON_CODES)}


def lower_is_better(name: str) -> bool:
    """Whether less of the figure is better: errors, losses, what waits for a person, and what a run costs."""
    return name in _LOWER_IS_BETTER or (name.startswith(("pending.", "usage.")) and "candidates" not in name)


def is_share(name: str) -> bool:
    """Whether the figure lies between 0 and 1."""
    return name in _SHARES or name.startswith(("baselines.", "outside.auroc.", "outside.caught."))


def _numbers(data: Mapping[str, Any], above: str = "") -> list[tuple[str, float | None]]:
    found: list[tuple[str, float | None]] = []
    for key, value in data.items():
        if key in _NO_NUMBERS:
            continue
        if isinstance(value, Mapping):
            found += _numbers(value, f"{above}{key}.")
        elif value is None or isinstance(value, int | float):
            found.append((above + key, value))
    return found
