"""The plots of an evaluation as files; needs the extra `plots`.

from llmtriage.evaluation import measured_curves, plots

plots.save(measured_curves(judged, taxonomy, report), "plots", format="svg")
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rich.cells import cell_len

from llmtriage.errors import InputError, MissingExtraError, UnknownNameError
from llmtriage.evaluation.words import Language, Words, percent
from llmtriage.probability import metrics
from llmtriage.terminal import neutral, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from llmtriage.evaluation.curves import Curves, Decision

Format = Literal["png", "svg"]

COLOURS = {
    "ink": "#1b2330",
    "muted": "#5b6675",
    "grid": "#e3e7ec",
    "band": "#aab4c0",
    "main": "#1f5fa8",
    "wrong": "#c2452d",
    "best": "#6b7a8c",
    "promise": "#0e7a5f",
    "paper": "#fffffe",
}
"""Every colour of the plots, by what it stands for; each is used for nothing else, so that a page can give them others."""

CHINESE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC", "Hiragino Sans GB"),
    *("Microsoft YaHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Noto Sans CJK JP", "Noto Serif CJK SC", "SimHei", "SimSun"),
    *("Heiti SC", "Heiti TC", "STHeiti", "Arial Unicode MS", "Droid Sans Fallback"),
)
_FILES_OF_CHINESE_FONTS = ("cjk", "sourcehan", "pingfang", "yahei", "msyh", "wqy", "simhei", "simsun", "heiti", "hiragino")

_WIDTH, _HEIGHT = 4.9, 4.2  # inches; with 72 points an inch, text of 11 points stays legible on a phone
_TEXT = 11.0
_MOST_POINTS, _FEW_POINTS = 400, 20  # of a curve
MOST_PAIRS = 10
"""Confusions that are shown."""
_LONGEST_PAIR = 52  # columns
_LEAST_SHOWN = 10  # tickets: an error rate of fewer says nothing of the height of the plot


def save(
    curves: Curves,
    folder: str | Path,
    *,
    format: Format = "png",  # noqa: A002
    language: Language = "en",
    dpi: int = 200,
) -> list[Path]:
    """Write each plot that there is something to show in: reliability, risk-coverage, confusions, and one for each promise.

    The same data give the same bytes under the same matplotlib.

    Args:
        curves: What to draw.
        folder: Where to; it is made if it is not there. Files of the same names are replaced.
        format: "png" or "svg". The text of an SVG is text, in the fonts of whoever looks at it.
        language: "en" or "zh".
        dpi: Pixels an inch, of a PNG: 4.9 by 4.2 inches.

    Returns:
        The files, named like `reliability.png`.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: A file cannot be written, or the format is unknown.
        UnknownNameError: The language is unknown.
    """
    if format not in ("png", "svg"):
        raise UnknownNameError.among("format", format, ("png", "svg"))
    place, written, boxes = Path(folder), [], False
    for name, figure in figures(curves, language=language).items():
        path = place / f"{name}.{format}"
        data, is_missing = _file(figure, format, name, dpi)
        boxes |= is_missing and format == "png"
        try:
            place.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", file=path, remedy="name another folder") from None
        written.append(path)
    if boxes:
        problem = "no installed font has some of the characters, Chinese ones perhaps: install one, such as fonts-noto-cjk"
        warnings.warn(problem, UserWarning, stacklevel=2)
    return written


def figures(curves: Curves, *, language: Language = "en", titled: bool = True) -> dict[str, Figure]:
    """The plots by name, as figures of matplotlib: `reliability`, `risk_coverage`, `confusions`, and `promise`, or `promise_1`, ...

    Args:
        curves: What to draw; a plot with nothing to show is left out.
        language: "en" or "zh".
        titled: Whether each has its title.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UnknownNameError: The language is unknown.
    """
    words, found = Words(language), {}
    with _style(language):
        for name, draw in _drawings(curves, words).items():
            found[name] = draw()
            if titled:
                found[name].suptitle(
                    words(f"plot {kind(name)}"),
                    x=0.02,
                    ha="left",
                    fontsize=_TEXT + 2,
                    fontweight="bold",
                )
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Glyph .* missing")
                found[name].draw_without_rendering()  # so that everything is laid out under this style, and only once
            found[name].set_layout_engine("none")
    return found


def as_svg(figure: Figure, *, salt: str) -> bytes:
    """A figure as an SVG, the same bytes each time; `salt`: what its ids are made of, for two plots on one page need two."""
    return _file(figure, "svg", salt)[0]


def _file(figure: Figure, format: Format, salt: str, dpi: int = 200) -> tuple[bytes, bool]:  # noqa: A002
    """The bytes of a file, and whether no font has some of its characters."""
    import matplotlib as mpl

    out = BytesIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": None} if format == "svg" else {"Software": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figure.savefig(out, format=format, dpi=dpi, metadata=metadata)
    return out.getvalue(), any("missing from" in str(warning.message) for warning in told)


def _drawings(curves: Curves, words: Words) -> dict[str, Callable[[], Figure]]:
    found: dict[str, Callable[[], Figure]] = {}
    if len(curves.told.confidence):
        found["reliability"] = lambda: _reliability(curves, words)
    if len(curves.offered.confidence):
        found["risk_coverage"] = lambda: _risk_coverage(curves, words)
    if curves.confusions:
        found["confusions"] = lambda: _confusions(curves, words)
    for name, decision in named(curves.decisions).items():
        found[name] = lambda decision=decision: _decision(decision, words)  # type: ignore[misc]
    return found


def named(decisions: Sequence[Decision]) -> dict[str, Decision]:
    """The names of the plots of promises: `promise`, or of several `promise_1`, ..."""
    several = len(decisions) > 1
    return {f"promise_{place}" if several else "promise": decision for place, decision in enumerate(decisions, 1)}


def kind(name: str) -> str:
    """What a plot shows: its name, without a number."""
    return name.rstrip("0123456789").rstrip("_")


# -- the four plots --------------------------------------------------------------------------------


def _reliability(curves: Curves, words: Words) -> Figure:
    """Is a confidence of 0.9 right nine times in ten?"""
    columns = (curves.told.confidence, curves.told.right)
    dots, band = metrics.reliability_bins(*columns), metrics.reliability_band(columns[0])
    blocks, bars = metrics.isotonic_blocks(*columns), metrics.confidence_histogram(*columns)
    figure = _figure()
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color=COLOURS["muted"], lw=1, ls=(0, (4, 3)), label=words("perfect"))
    single = len(band.low) == 1  # a band of one dot has no width
    middle, low, high = (np.repeat(values, 2) if single else values for values in band)
    if single:
        middle = middle + np.array([-0.01, 0.01])
    above.fill_between(middle, low, high, color=COLOURS["band"], alpha=0.4, lw=0, label=words("by chance"))
    steps = np.column_stack([blocks.low, blocks.high]).ravel()
    above.plot(steps, np.repeat(blocks.share, 2), color=COLOURS["main"], lw=2, label=words("isotonic"))
    above.plot(dots.confidence, dots.accuracy, "o", color=COLOURS["main"], mec=COLOURS["paper"], ms=6, label=words("dots"))
    above.set(ylabel=words("share right"), ylim=(-0.03, 1.03), xlim=(-0.02, 1.02))
    width = {"width": np.diff(bars.edges) * 0.86, "align": "edge"}
    below.bar(bars.edges[:-1], bars.wrong, color=COLOURS["wrong"], label=words("wrong answers"), **width)
    below.bar(
        bars.edges[:-1], bars.right, bottom=bars.wrong, color=COLOURS["main"], alpha=0.45, label=words("right answers"), **width
    )
    below.set(xlabel=words("confidence"), ylabel=words("tickets"))
    for axes in (above, below):
        _plain(axes)
    _percent_axis(above, "y")
    _percent_axis(below, "x")
    _whole_numbers(below, "y", 2)
    _legend(figure, above, below)
    return figure


def _risk_coverage(curves: Curves, words: Words) -> Figure:
    """How much could be accepted, at what error rate?"""
    band = metrics.risk_band(curves.offered.confidence, curves.offered.right, held=curves.held, most=_MOST_POINTS)
    limit = max((decision.alpha for decision in curves.decisions), default=None)
    figure = _figure()
    axes = figure.subplots()
    grey: dict[str, Any] = {"color": COLOURS["band"], "alpha": 0.4, "label": words("chance interval")}
    if len(band.risk) == 1:  # a band of one point has no width
        axes.vlines(band.coverage, band.low, band.high, lw=6, **grey)
    else:
        axes.fill_between(band.coverage, band.low, band.high, lw=0, **grey)
    axes.plot(band.coverage, band.best, color=COLOURS["best"], lw=1.2, ls=(0, (1, 1.5)), label=words("best order"))
    dots = "o" if len(band.risk) <= _FEW_POINTS else ""
    axes.plot(
        band.coverage, band.risk, color=COLOURS["main"], lw=2, marker=dots, ms=5, clip_on=not dots, label=words("this order")
    )
    if limit is not None:
        axes.axhline(
            limit, color=COLOURS["promise"], lw=1.5, ls=(0, (5, 3)), label=words("promised at most", alpha=short_percent(limit))
        )
    if curves.routed:
        point = ([curves.routed.share], [curves.routed.error])
        told = words("routed here", share=percent(curves.routed.share))
        axes.plot(*point, "D", color=COLOURS["promise"], mec=COLOURS["paper"], ms=9, label=told, clip_on=False, zorder=5)
    settled = band.risk[band.coverage * len(curves.offered.right) >= _LEAST_SHOWN]
    top = max(0.02, *(settled if len(settled) else band.risk), limit or 0, curves.routed.error if curves.routed else 0)
    axes.set(xlabel=words("coverage"), ylabel=words("risk"), xlim=(-0.01, 1.01), ylim=(0, min(1.02, 1.3 * top)))
    _plain(axes)
    _percent_axis(axes, "x")
    _percent_axis(axes, "y")
    _legend(figure, axes)
    return figure


def _confusions(curves: Curves, words: Words) -> Figure:
    """Which categories are taken for which?"""
    shown = curves.confusions[:MOST_PAIRS]
    figure = _figure(max(1.6, 0.42 * len(shown) + 0.75))
    axes = figure.subplots()
    counts, most = [pair.n for pair in shown], max(pair.n for pair in shown)
    axes.barh(range(len(shown)), counts, height=0.34, color=COLOURS["wrong"], alpha=0.85)
    for place, pair in enumerate(shown):
        names = f"{_name(pair.gold, pair.predicted)} → {_name(pair.predicted, pair.gold)}"
        axes.text(0, place - 0.28, names, va="bottom", ha="left", fontsize=_TEXT - 0.5, color=COLOURS["ink"])
        told = f"{pair.n:,} · {percent(pair.n / curves.wrong)}"
        axes.text(pair.n + 0.015 * most, place, told, va="center", ha="left", fontsize=_TEXT - 1, color=COLOURS["muted"])
    axes.set(xlim=(0, 1.3 * most), ylim=(len(shown) - 0.5, -0.85), xlabel=words("of all wrong"), yticks=[])
    _plain(axes)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xticks([])
    return figure


def _decision(decision: Decision, words: Words) -> Figure:
    """Why is exactly so much accepted?"""
    (taken, errors), (need, tolerated) = decision.walk, decision.boundary
    figure = _figure()
    axes = figure.subplots()
    top = max([decision.errors, *tolerated]) * 1.15 + 2
    if need:
        allowed = words("tolerated errors")
        axes.fill_between(need, tolerated, -1, step="post", color=COLOURS["promise"], alpha=0.12, lw=0)
        axes.plot(need, tolerated, color=COLOURS["promise"], lw=1.8, drawstyle="steps-post", label=allowed)
    axes.plot(taken, errors, color=COLOURS["main"], lw=1.8, drawstyle="steps-post", label=words("errors met"))
    told = words("decided", accepted=f"{decision.accepted:,}", errors=f"{decision.errors:,}")
    axes.plot([decision.accepted] * 2, [-1, decision.errors], color=COLOURS["ink"], lw=1, ls=(0, (3, 2)))
    axes.plot(
        [decision.accepted],
        [decision.errors],
        "D",
        color=COLOURS["ink"],
        mec=COLOURS["paper"],
        ms=9,
        label=told,
        zorder=5,
        clip_on=False,
    )
    axes.set(xlabel=words("accepted labelled"), ylabel=words("wrong ones"), xlim=(0, decision.n * 1.01), ylim=(-0.02 * top, top))
    _plain(axes)
    _whole_numbers(axes, "x", 6)
    _whole_numbers(axes, "y", 6)
    _legend(figure, axes)
    return figure


# -- style -----------------------------------------------------------------------------------------


def check_installed() -> None:
    """Raise MissingExtraError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: ICN001, F401 - only to see whether it is there
    except ImportError:
        raise MissingExtraError.of("plots", "drawing plots") from None


@contextmanager
def _style(language: Language) -> Iterator[None]:
    check_installed()
    import matplotlib as mpl

    fonts = ["DejaVu Sans", *([chinese] if (chinese := chinese_font()) else [])]
    style: dict[Any, Any] = {
        "font.family": [*(fonts[::-1] if language == "zh" else fonts), "sans-serif"],
        "font.size": _TEXT,
        "axes.edgecolor": COLOURS["muted"],
        "axes.labelcolor": COLOURS["muted"],
        "axes.labelsize": _TEXT,
        "axes.unicode_minus": False,
        "figure.facecolor": COLOURS["paper"],
        "axes.facecolor": "none",
        "grid.color": COLOURS["grid"],
        "legend.fontsize": _TEXT - 1,
        "legend.labelcolor": COLOURS["ink"],
        "text.color": COLOURS["ink"],
        "text.parse_math": False,  # a dollar sign in a name is a dollar sign
        "xtick.color": COLOURS["muted"],
        "ytick.color": COLOURS["muted"],
    }
    with mpl.rc_context({**mpl.rcParamsDefault, **style}):
        yield


@cache
def chinese_font() -> str | None:
    """The name of an installed font with Chinese characters, the best known first; None: there is none."""
    from matplotlib import font_manager

    known = {font.name for font in font_manager.fontManager.ttflist}
    if not known.intersection(CHINESE_FONTS):  # the list may be older than the fonts
        for path in font_manager.findSystemFonts():
            if any(part in Path(path).name.lower() for part in _FILES_OF_CHINESE_FONTS):
                font_manager.fontManager.addfont(path)
        known = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CHINESE_FONTS if name in known), None)


def _figure(height: float = _HEIGHT) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), layout="constrained")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=5)


def _percent_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _whole_numbers(axes: Axes, which: Literal["x", "y"], ticks: int) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(ticks, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _legend(figure: Figure, *axes: Axes) -> None:
    """One for all axes, below them."""
    found = [pair for one in axes for pair in zip(*one.get_legend_handles_labels(), strict=True)]
    handles, labels = zip(*found, strict=True)
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False, handlelength=1.5, columnspacing=1.0)


def _name(name: str, other: str) -> str:
    """A category, shortened so that both of a pair fit on a line."""
    room = _LONGEST_PAIR - 3
    return shortened(neutral(name), max(room // 2, room - cell_len(neutral(other))))


def short_percent(share: float) -> str:
    """A share in per cent, without digits that it does not have."""
    return f"{100 * share:.4g} %"
