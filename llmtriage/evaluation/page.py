"""A `Report` as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import math
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmtriage import __version__
from llmtriage.evaluation import lines, plots, review_lines, slice_lines
from llmtriage.evaluation.inline_svg import inline
from llmtriage.evaluation.words import NONE, Language, Words, number, percent
from llmtriage.terminal import neutral

if TYPE_CHECKING:
    import jinja2

    from llmtriage.calibration import Calibration
    from llmtriage.evaluation.curves import Curves, Decision
    from llmtriage.evaluation.report import AcceptedFigures, CategoryFigures, Confusion, Report

_TEMPLATES = Path(__file__).parent
_PACKAGES = ("numpy", "scipy", "scikit-learn", "matplotlib")
_FEW = 100  # tickets
_FOLDERS = re.compile(r"(?:(?<=[\s=:,;@'\"])|^)(?:[A-Za-z]:)?[\\/](?:[^\s\\/:,;@'\"]+[\\/])*(?=[^\s\\/])")
_PLACES_TO_BREAK = re.compile(r"(?<=[_./-])")  # a long name
_QUERIES = re.compile(r"(https?://[^\s?#'\"]*)[?#][^\s'\"]*")


def report_html(
    report: Report,
    curves: Curves,
    *,
    calibration: Calibration | None = None,
    language: Language = "en",
    command: str | None = None,
    made: datetime | None = None,
) -> str:
    """The report as a page for those who decide and those who check.

    Everything in it is escaped and neutralised: neither a ticket nor the name of a category can be more than text. Absolute paths lose their
    folders, addresses what stands behind a question mark.

    Args:
        report: The figures.
        curves: What the plots are drawn from.
        calibration: What the tickets were routed with: what its promises rest on.
        language: "en" or "zh".
        command: What was typed, to be shown.
        made: When; None: now.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UnknownNameError: The language is unknown.
    """
    words, environment = Words(language), _environment()
    style = environment.get_template("report.css.j2").render(colours=plots.COLOURS)
    return environment.get_template("report.html.j2").render(
        words=words,
        lang="zh-CN" if language == "zh" else "en",
        style=style,
        style_hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        title=" - ".join(part for part in (words("title"), _subject(report)) if part),
        subject=_subject(report),
        verdict=_verdict(report, words),
        parts=_parts(report, words),
        notes=list(_notes(report, calibration, words)),
        cards=list(_cards(report, words)),
        plots=list(_plots(report, curves, words)),
        promises=_promises(report, curves, calibration, words),
        confusions=[_confusion(confusion, curves) for confusion in report.confusions[: plots.MOST_PAIRS]],
        leaves_routed=any(row.accepted for row in report.per_category),
        categories=[_category(row, words) for row in lines.weakest_first(report)],
        without=", ".join(report.categories_without_tickets),
        reasons=[
            {"sentence": sentence or code, "code": code, "n": f"{n:,}", "share": percent(n / report.n)}
            for n, code, sentence in lines.reasons(report, words)
        ],
        baselines=[(words(name), percent(value)) for name, value in lines.compared(report)],
        reviews=[_explained(line, words) for line in review_lines.reviews(report, words)],
        business=_business(report, words),
        slices=[{"title": slice_lines.title(one, words), "rows": list(slice_lines.rows(one, words))} for one in report.slices],
        slice_head=slice_lines.HEAD,
        warnings=list(slice_lines.warnings(report, words)),
        details=[_explained(line, words) for line in lines.details(report, words)],
        command=None if command is None else _without_places(command),
        repeat=list(_repeat(report, calibration, words, made or datetime.now(tz=UTC))),
    )


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["parts_of_name"] = _PLACES_TO_BREAK.split
    return environment


def _shown(value: object) -> object:
    """Every value on its way into the page: harmless, and a number on one line with its sign of per cent."""
    return value if hasattr(value, "__html__") else neutral(str(value)).replace(" %", "\u00a0%")


# -- in a minute -----------------------------------------------------------------------------------


def _subject(report: Report) -> str:
    return str(report.settings.get("file") or "")


def _verdict(report: Report, words: Words) -> dict[str, str]:
    """The one sentence, and what kind of news it is."""
    kind = _kind(report)
    accepted = report.accepted
    facts = {
        "n": f"{report.n:,}",
        "accuracy": percent(report.accuracy),
        "share": percent(accepted.share),
        "accepted": f"{accepted.n:,}",
        "errors": f"{accepted.errors:,}",
        "error": percent(accepted.error),
        "alpha": lines.limit(report, words, plots.short_percent),
        "sure": plots.short_percent(1 - lines.share(report, "delta")),
    }
    return {"kind": kind, "badge": words(f"badge {kind}"), "sentence": words(f"verdict {kind}", **facts)}


def _kind(report: Report) -> str:
    accepted = report.accepted
    if accepted.error is None or accepted.error_interval is None:
        return "nothing"
    if "alpha" not in report.settings:
        return "wish"
    alpha = lines.share(report, "alpha")
    several: list[tuple[AcceptedFigures, float]] = [(promise, promise.alpha) for promise in report.promises]
    found = {_kept(promise, limit) for promise, limit in several or [(accepted, alpha)]}
    return next(kind for kind in ("broken", "chance", "kept") if kind in found)


def _kept(accepted: AcceptedFigures, alpha: float) -> str:
    """Whether no more than alpha are wrong."""
    if accepted.error is None or accepted.error_interval is None or accepted.error <= alpha:
        return "kept"
    return "chance" if accepted.error_interval[0] <= alpha else "broken"


def _parts(report: Report, words: Words) -> list[dict[str, str]]:
    """All tickets as one bar."""
    accepted, found, start = report.accepted, [], 0.0
    counts = {"promise": accepted.n - accepted.errors, "wrong": accepted.errors, "band": report.pending.n}
    for colour, n in counts.items():
        name, width = words(f"bar {colour}"), 100 * n / report.n
        label = f"{name}: {n:,}"
        found.append(
            {"colour": colour, "name": name, "n": f"{n:,}", "label": label, "start": f"{start:.3f}", "width": f"{width:.3f}"}
        )
        start += width
    return found


def _notes(report: Report, calibration: Calibration | None, words: Words) -> Iterator[str]:
    """What has to be known before the figures are believed."""
    warning = review_lines.warning(report, words)
    if warning is not None:
        yield warning
    if report.n < _FEW:
        yield words("note few", n=report.n)
    if not report.outside.n:
        yield words("note none outside", n=f"{report.n:,}")
    if calibration is not None and not calibration.labels.outside:
        yield words("note promise none outside")
    if calibration is not None and not calibration.calibrated:
        yield words("note uncalibrated")
    if report.unanswered:
        yield words("note unanswered", n=f"{report.unanswered:,}")


def _cards(report: Report, words: Words) -> Iterator[dict[str, Any]]:
    """The lines of the summary; the confusions make one card together."""
    pairs = [(f"{pair.gold} → {pair.predicted}", f"{pair.n:,}") for pair in report.confusions[: lines.WORST]]
    for line in lines.summary(report, words):
        if line.key == "most confused" and report.confusions:
            yield {"key": line.key, "pairs": pairs}
        elif line.key:
            yield {"key": line.key, "value": line.value, "remarks": line.remarks, "pairs": ()}


# -- plots -----------------------------------------------------------------------------------------


def _plots(report: Report, curves: Curves, words: Words) -> Iterator[dict[str, str]]:
    """Each plot with how it is read, or with why there is none."""
    drawn = {
        name: plots.as_svg(figure, salt=name)
        for name, figure in plots.figures(curves, language=words.language, titled=False).items()
    }
    told: dict[str, dict[str, object]] = {
        "reliability": {"n": f"{report.n_confidence:,}", "ece": number(report.ece), "limit": number(report.ece_limit)},
        "risk_coverage": {
            "share": percent(report.accepted.share),
            "error": percent(report.accepted.error),
            "held": f"{curves.held:,}",
        },
        "confusions": {"wrong": f"{curves.wrong:,}"},
        **{name: _told(decision, words) for name, decision in plots.named(curves.decisions).items()},
    }
    for name in (*("reliability", "risk_coverage", "confusions"), *(plots.named(curves.decisions) or ("promise",))):
        kind = plots.kind(name)
        shown = {"title": words(f"plot {kind}"), "subject": str(told.get(name, {}).get("subject", "")), "svg": ""}
        if name not in drawn:
            unnamed = kind == "confusions" and not report.per_category
            yield {**shown, "caption": words("no names" if unnamed else f"no plot {kind}")}
            continue
        label = f"{shown['title']} {words(f'alt {kind}', **told[name])}"
        caption = words(f"caption {told[name].get('caption', kind)}", **told[name])
        if name == "risk_coverage":
            more = {"routed": curves.routed, "promised": curves.decisions, "held": curves.held}
            caption += "".join(words(f"caption {key}", **told[name]) for key, there in more.items() if there)
        yield {**shown, "caption": caption, "svg": inline(drawn[name], name=name, label=neutral(label), colours=plots.COLOURS)}


def _told(decision: Decision, words: Words) -> dict[str, object]:
    tolerated = decision.tolerated
    return {
        "subject": _answers(decision, words) if decision.about else "",
        "caption": "promise" if decision.need else "fixed",
        "n": f"{decision.n:,}",
        "accepted": f"{decision.accepted:,}",
        "errors": f"{decision.errors:,}",
        "tolerated": NONE if tolerated is None else f"{tolerated:,}",
        "alpha": plots.short_percent(decision.alpha),
    }


def _answers(decision: Decision, words: Words) -> str:
    return ", ".join(decision.about) if decision.about else words("every answer")


# -- tables ----------------------------------------------------------------------------------------


def _promises(report: Report, curves: Curves, calibration: Calibration | None, words: Words) -> dict[str, Any] | None:
    if calibration is None or not curves.decisions:
        return None
    here = {promise.categories: promise for promise in report.promises}
    rows = [
        {
            "answers": _answers(decision, words),
            "numbers": (
                plots.short_percent(decision.alpha),
                _least(calibration.least_confidence(promise.categories[0]), words),
                f"{decision.n:,}",
                f"{decision.accepted:,}",
                f"{decision.errors:,}",
                NONE if decision.tolerated is None else f"{decision.tolerated:,}",
                f"{decision.delta:.3g}",
                *_found_here(here.get(promise.categories)),
            ),
        }
        for decision, promise in zip(curves.decisions, calibration.promises, strict=True)
    ]
    return {"sure": plots.short_percent(1 - (calibration.delta or 0)), "rows": rows}


def _found_here(accepted: AcceptedFigures | None) -> tuple[str, str]:
    """How many of the evaluated tickets were accepted, and what share of them is wrong."""
    return (NONE, NONE) if accepted is None else (f"{accepted.n:,}", percent(accepted.error))


def _least(threshold: float | None, words: Words) -> str:
    return number(threshold) if threshold is not None and math.isfinite(threshold) else words("any")


def _confusion(confusion: Confusion, curves: Curves) -> dict[str, Any]:
    return {
        "gold": confusion.gold,
        "predicted": confusion.predicted,
        "n": f"{confusion.n:,}",
        "share": percent(confusion.n / curves.wrong),
        "examples": confusion.examples,
    }


def _category(row: CategoryFigures, words: Words) -> dict[str, Any]:
    interval = row.recall_interval
    low, high = interval or (0.0, 0.0)
    return {
        "name": row.category,
        "n": f"{row.n:,}",
        "f1": number(row.f1),
        "precision": number(row.precision),
        "recall": number(row.recall),
        "interval": ", ".join(words.interval(interval)),
        "low": f"{2 + 100 * low:.1f}",
        "high": f"{2 + 100 * high:.1f}",
        "at": f"{2 + 100 * (row.recall or 0.0):.1f}",
        "accepted": f"{row.accepted:,}",
        "wrong": percent(row.accepted_error),
    }


def _business(report: Report, words: Words) -> list[dict[str, str]]:
    """Each figure with its formula behind what it means."""
    rows: list[dict[str, str]] = []
    for line in lines.business(report, words):
        if line.key:
            rows.append(_explained(line, words))
        else:
            rows[-1]["what"] += f" {line.value}"
    return rows


def _explained(line: lines.Line, words: Words) -> dict[str, str]:
    return {"name": words(line.key), "value": words.aside(line.value, *line.remarks), "what": words.get(f"what {line.key}")}


def _repeat(report: Report, calibration: Calibration | None, words: Words, made: datetime) -> Iterator[tuple[str, str]]:
    """All that the figures depend on."""
    yield words("date"), made.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    if report.backend is not None:
        yield words("backend"), _without_places(report.backend)
    yield words("run"), report.run or NONE
    yield words("taxonomy hash"), report.taxonomy_hash or NONE
    yield words("prompt hash"), report.prompt_hash or NONE
    for name, value in report.settings.items():
        yield words.get(f"setting {name}") or name, NONE if value is None else _without_places(str(value))
    if calibration is not None:
        labels = calibration.labels
        yield words("calibration file"), words("calibration made", day=calibration.made, by=calibration.by, hash=calibration.hash)
        told = {name: f"{getattr(labels, name):,}" for name in ("n", "fitted", "certified", "left_out", "outside")}
        yield words("its labels"), words("labels drawn", file=_without_places(labels.file) or NONE, drawn=labels.drawn, **told)
    own = f"llmtriage {__version__}, Python {platform.python_version()}"
    yield words("versions"), ", ".join([own, *(f"{name} {version(name)}" for name in _PACKAGES)])


def _without_places(text: str) -> str:
    """Without the folders of absolute paths, and without what addresses carry behind a question mark."""
    return _FOLDERS.sub("", _QUERIES.sub(r"\1", text))
