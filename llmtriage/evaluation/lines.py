"""What a report says, as lines of a name and a value, for the terminal and the page alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from llmtriage.evaluation.words import NONE, amount, number, percent
from llmtriage.outcomes import REASON_CODES, Reason
from llmtriage.terminal import neutral

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llmtriage.evaluation.report import CategoryFigures, Report
    from llmtriage.evaluation.words import Words

WORST = 5
"""Confusions that the summary names."""


class Line(NamedTuple):
    """A key of `words`, empty where the line belongs to the one before; its value; and remarks on it.

    Whatever came from a ticket or a model is neutralised.
    """

    key: str
    value: str
    remarks: tuple[str, ...] = ()


def identity(report: Report, words: Words) -> Iterator[Line]:
    """What was evaluated."""
    if report.backend is not None:
        yield Line("backend", neutral(report.backend))
    yield Line("hashes", neutral(f"{report.taxonomy_hash or NONE}, {report.prompt_hash or NONE}"))
    if "threshold" in report.settings:
        promised = "alpha" in report.settings
        yield Line("threshold", _threshold(report, words))
        if promised:
            alpha, sure = limit(report, words, percent), percent(1 - share(report, "delta"))
            yield Line("promise", words("promised", alpha=alpha, sure=sure))
    if "examples" in report.settings:
        yield Line("examples", f"{report.settings['examples']}")


def _threshold(report: Report, words: Words) -> str:
    threshold = report.settings["threshold"]
    if threshold is not None:
        return f"{threshold}"
    if "promises" in report.settings:
        return words("several", n=report.settings["promises"])
    return words("all" if "alpha" in report.settings else "no threshold")


def summary(report: Report, words: Words) -> Iterator[Line]:
    """What a support team wants to know, in seven lines; a run with failures has one more."""
    for section in (_tickets, _routed, _calibration, _price):
        yield from section(report, words)
    yield from _worst(report)


def details(report: Report, words: Words) -> Iterator[Line]:
    """The figures for those who check."""
    for section in (_labels, _scores, _ranks, _cost):
        yield from section(report, words)


def business(report: Report, words: Words) -> Iterator[Line]:
    """What the run is worth, as far as somebody said what work and errors cost; nothing where nobody did."""
    found = report.business
    if found.minutes_saved_per_1000 is None and found.error_cost_per_1000 is None:
        return
    waiting, errors = (amount(1000 * n / report.n) for n in (report.pending.n, report.accepted.errors))
    share = words("share", n=report.accepted.n, total=report.n)
    yield Line("handled", percent(found.handled), (share, *words.interval(found.handled_interval)))
    if found.minutes_saved_per_1000 is not None:
        facts = {name: _rate(getattr(found, f"minutes_{name}")) for name in ("manual", "review", "repair")}
        formula = words("minutes formula", waiting=waiting, errors=errors, **facts)
        yield Line("minutes_saved", amount(found.minutes_saved_per_1000), words.interval(found.minutes_saved_interval, amount))
        yield Line("", f"= {formula}")
    if found.error_cost_per_1000 is not None:
        formula = words("cost formula", errors=errors, cost=_rate(found.error_cost))
        yield Line("error_cost", amount(found.error_cost_per_1000), words.interval(found.error_cost_interval, amount))
        yield Line("", f"= {formula}")
    if found.net_per_1000 is not None:
        yield Line("net", amount(found.net_per_1000))
        yield Line("", f"= {words('net formula', wage=_rate(found.wage_per_hour))}")


def _rate(value: float | None) -> str:
    """What somebody said, as they said it."""
    return NONE if value is None else f"{value:,.10g}"


def reasons(report: Report, words: Words) -> Iterator[tuple[int, str, str]]:
    """Why tickets wait: how many, the code, and the sentence where the code is known."""
    known = {str(code): Reason(code=code).sentence(words.language) for code in REASON_CODES}
    for code, n in report.pending.reasons.items():
        yield n, neutral(code), known.get(code, "")


def compared(report: Report) -> list[tuple[str, float | None]]:
    """This run and the simpler ways, with the share each gets right; empty if there are none."""
    return [("this", report.accuracy), *report.baselines.items()] if report.baselines else []


def weakest_first(report: Report) -> list[CategoryFigures]:
    """The categories, the lowest F1 first; those that no ticket belongs to last."""
    return sorted(report.per_category, key=lambda row: (row.n == 0, 1.0 if row.f1 is None else row.f1))


def limit(report: Report, words: Words, shown: Callable[[float], str]) -> str:
    """What was promised at most, in per cent."""
    alphas = {promise.alpha for promise in report.promises} or {share(report, "alpha")}
    if len(alphas) == 1:
        return shown(*alphas)
    return words("by answer", low=shown(min(alphas)), high=shown(max(alphas)))


def share(report: Report, name: str) -> float:
    """A number among the settings; 0 if it is not there."""
    return float(report.settings.get(name) or 0)


def _tickets(report: Report, words: Words) -> Iterator[Line]:
    right = words("right", n=f"{report.n:,}", share=percent(report.accuracy))
    yield Line("n", right, words.interval(report.accuracy_interval))
    if report.unanswered:
        yield Line("unanswered", f"{report.unanswered:,}", (words("count as wrong"),))
    interval = words.interval(report.macro_f1_interval, number)
    yield Line("macro_f1", number(report.macro_f1), () if report.macro_f1 is None else (*interval, words("alike")))


def _routed(report: Report, words: Words) -> Iterator[Line]:
    accepted, threshold = report.accepted, report.settings.get("threshold")
    at = () if threshold is None else (words("at", threshold=threshold),)
    yield Line("accepted", percent(accepted.share), (words("share", n=accepted.n, total=report.n), *at))
    yield Line("error", percent(accepted.error), _limits_of_error(report, words))


def _limits_of_error(report: Report, words: Words) -> tuple[str, ...]:
    """What is known about the error rate of other tickets."""
    accepted = report.accepted
    if not accepted.n:
        return ()
    promised = (words("promised limit", alpha=limit(report, words, percent)),) if "alpha" in report.settings else ()
    return (words("share", n=accepted.errors, total=accepted.n), *words.interval(accepted.error_interval), *promised)


def _calibration(report: Report, words: Words) -> Iterator[Line]:
    if report.ece_verdict is None:
        yield Line("calibration", NONE)
        return
    verdict = words("verdict", verdict=words(report.ece_verdict), ece=number(report.ece))
    yield Line("calibration", verdict, (words("limit", limit=number(report.ece_limit), n=f"{report.n_confidence:,}"),))


def _price(report: Report, words: Words) -> Iterator[Line]:
    cost = report.cost
    by_hand = words("by hand", by_hand=amount(cost.by_hand), error=amount(cost.error_cost), review=amount(cost.review_cost))
    yield Line("cost", amount(cost.per_1000), (by_hand,))


def _worst(report: Report) -> Iterator[Line]:
    if not report.confusions:
        yield Line("most confused", NONE)
    for place, confusion in enumerate(report.confusions[:WORST]):
        pair = f"{neutral(confusion.gold)} -> {neutral(confusion.predicted)}"
        yield Line("" if place else "most confused", pair, (f"{confusion.n:,}",))


def _labels(report: Report, words: Words) -> Iterator[Line]:
    pending, without = report.pending, report.categories_without_tickets
    yield Line("pending", percent(pending.share), (words("share", n=pending.n, total=report.n),))
    yield Line("balanced_accuracy", number(report.balanced_accuracy))
    yield Line("weighted_f1", number(report.weighted_f1))
    if pending.candidates_hold is not None:
        held = words("held", share=percent(pending.candidates_hold))
        yield Line("candidates", number(pending.candidates_mean), (held, *words.interval(pending.candidates_hold_interval)))
    yield _outside(report, words)
    if without:
        yield Line("without", f"{len(without)}: {', '.join(neutral(category) for category in without)}")


def _outside(report: Report, words: Words) -> Line:
    outside = report.outside
    if not outside.n:
        return Line("outside", words("none outside"))
    accepted = words("accepted outside", n=outside.accepted, total=f"{outside.n:,}")
    signals = [f"{number(value)} {words(f'by {name}')}" for name, value in outside.auroc.items() if value is not None]
    return Line("outside", accepted, (words("told apart", signals=", ".join(signals)),) if signals else ())


def _scores(report: Report, words: Words) -> Iterator[Line]:
    scored = _only_on(report, report.n_scored, words)
    clipped = (words("clipped", n=report.log_loss_clipped),) if report.log_loss_clipped else ()
    yield Line("log_loss", number(report.log_loss), () if report.log_loss is None else (*scored, *clipped))
    yield Line("brier", number(report.brier), () if report.brier is None else scored)
    parts = f"MCB {number(report.mcb)} - DSC {number(report.dsc)} + UNC {number(report.unc)}"
    yield Line("top_brier", number(report.top_brier), () if report.top_brier is None else (parts,))
    yield Line("smooth_ece", number(report.smooth_ece))
    # Below zero it says no more than that there is nothing but chance.
    yield Line("ece_debiased", number(None if report.ece_debiased is None else max(0.0, report.ece_debiased)))


def _ranks(report: Report, words: Words) -> Iterator[Line]:
    judged = _only_on(report, report.n_confidence, words)
    yield Line("auroc", number(report.auroc), () if report.auroc is None else judged)
    excess = () if report.aurc is None else (*judged, words("over best", excess=number(report.e_aurc)))
    yield Line("aurc", number(report.aurc), excess)
    yield Line("augrc", number(report.augrc), () if report.augrc is None else judged)
    reached = [f"{100 * row.risk:g} %: {percent(row.coverage)}" for row in report.coverage_at_risk if row.coverage is not None]
    if reached:
        yield Line("reached", ", ".join(reached), (words("hindsight"),))
    if report.sources:
        yield Line("sources", ", ".join(f"{neutral(source)} {n:,}" for source, n in report.sources.items()))
    if report.label_mass is not None:
        yield Line("label_mass", number(report.label_mass))


def _only_on(report: Report, n: int, words: Words) -> tuple[str, ...]:
    """The remark that a figure is about some of the tickets, if it is."""
    return () if n == report.n else (words("on", n=f"{n:,}"),)


def _cost(report: Report, words: Words) -> Iterator[Line]:
    if report.seconds is not None and report.tickets_per_second is not None:
        yield Line("seconds", words("speed", seconds=f"{report.seconds:.1f}", speed=f"{report.tickets_per_second:.1f}"))
    # Attempts alone, as of an engine that knows no tokens, would be noise.
    if any(value for name, value in report.usage.items() if name not in ("attempts", "untold")):
        yield Line("usage", ", ".join(f"{words(name)} {value:,}" for name, value in report.usage.items() if value))
