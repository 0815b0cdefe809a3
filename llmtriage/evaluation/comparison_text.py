"""A `Comparison` as plain text for a terminal, in English or Chinese."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from llmtriage.evaluation.words import amount
from llmtriage.terminal import neutral, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llmtriage.evaluation.comparison import Comparison, Difference, Side
    from llmtriage.evaluation.text import Language
    from llmtriage.probability.metrics import Interval

_NONE = "-"
_GAP = "  "
_LEAST_WIDTH = 40
_MCNEMAR = "(exact McNemar test, p = {p})."

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("Two settings on the same tickets", "两种设置在同一批工单上的比较"),
    "first": ("first", "第一种"),
    "second": ("second", "第二种"),
    "as the flags say": ("as the flags say", "按命令行参数"),
    "difference": ("second - first", "第二种减第一种"),
    "interval": ("{value} (95 % interval {low} to {high})", "{value}（95 % 区间 {low} 至 {high}）"),
    "points": ("{value} points", "{value} 个百分点"),
    "setting": ("{said}: {backend}", "{said}：{backend}"),
    "accuracy": ("Right", "正确率"),
    "unanswered": ("Without an answer", "没有回答"),
    "log_loss": ("Log loss", "对数损失"),
    "share": ("Routed by itself", "自动分派"),
    "error": ("Wrong among routed", "自动分派中的错误"),
    "cost": ("Cost of 1,000", "每 1,000 张成本"),
    "tokens_in": ("Tokens in, a ticket", "每张输入 token"),
    "tokens_out": ("Tokens out, a ticket", "每张输出 token"),
    "seconds": ("Time, s", "用时（秒）"),
    "more right": (
        "The {better} setting is right more often: {gained} tickets only it got right, {lost} only the other " + _MCNEMAR,
        "{better}设置的正确率更高：仅它正确的工单 {gained} 张，仅另一种正确的 {lost} 张（McNemar 精确检验，p = {p}）。",
    ),
    "right untold": (
        "The labels do not tell which is right more often: {lost} tickets only the first got right, {gained} only the second "
        + _MCNEMAR,
        "这些标注不足以判断哪种正确率更高：仅第一种正确的工单 {lost} 张，仅第二种正确的 {gained} 张（McNemar 精确检验，p = {p}）。",
    ),
    "lower loss": (
        "The {better} setting has the lower log loss on the {n} tickets that both answered.",
        "在两种设置都回答了的 {n} 张工单上，{better}设置的对数损失更低。",
    ),
    "loss untold": (
        "The labels do not tell which has the lower log loss on the {n} tickets that both answered.",
        "在两种设置都回答了的 {n} 张工单上，这些标注不足以判断哪种对数损失更低。",
    ),
    "labels": ("Labels used: {file}, {n} tickets, digest {digest}.", "所用标注：{file}，{n} 张工单，摘要 {digest}。"),
    "used up": (
        "These labels are now used up: do not calibrate, certify or report on them.",
        "这些标注已经用掉：不要再用它们校准、认证或报告结果。",
    ),
}


def comparison_text(comparison: Comparison, *, language: Language = "en", width: int = 100) -> str:
    """The comparison as text without colours: a table at most `width` columns wide (40 or more), then sentences."""
    words = _Words(language)
    head = [words("title"), *_settings(comparison, words), ""]
    table = [*_table(_rows(comparison, words)), ""]
    lines = [shortened(line, max(width, _LEAST_WIDTH)) for line in (*head, *table)]
    sentences = [*verdicts(comparison.difference, language=language), "", *_labels(comparison, words)]
    return "\n".join((*lines, *sentences)) + "\n"


def verdicts(difference: Difference, *, language: Language = "en") -> list[str]:
    """Which is better, or that the labels do not tell: a sentence for the accuracy, one for the log loss where both have it."""
    words = _Words(language)
    first_is_better = difference.more_accurate == "first"
    counts = [difference.only_first_right, difference.only_second_right]
    own, others = counts if first_is_better else reversed(counts)
    told = {"gained": own, "lost": others, "p": f"{difference.p:.2g}"}
    better = difference.more_accurate
    sentences = [words("more right", better=words(better), **told) if better else words("right untold", **told)]
    if difference.log_loss is not None:
        lower = difference.lower_log_loss
        n = difference.n_log_loss
        sentences.append(words("lower loss", better=words(lower), n=n) if lower else words("loss untold", n=n))
    return sentences


def used_up(*, language: Language = "en") -> str:
    """What a comparison does to its labels."""
    return _Words(language)("used up")


class _Words:
    """The words of one language."""

    def __init__(self, language: Language) -> None:
        self._place = 1 if language == "zh" else 0

    def __call__(self, key: str, **facts: object) -> str:
        words = _WORDS[key][self._place]
        return words.format(**facts) if facts else words


def _settings(comparison: Comparison, words: _Words) -> Iterator[str]:
    names = [words("first"), words("second")]
    wide = max(map(cell_len, names))
    for name, one in zip(names, (comparison.first, comparison.second), strict=True):
        said = words("as the flags say") if one.setting is None else neutral(one.setting)
        yield _filled(name, wide) + _GAP + words("setting", said=said, backend=neutral(one.report.backend or _NONE))


def _rows(comparison: Comparison, words: _Words) -> list[list[str]]:
    first, second, difference = comparison.first, comparison.second, comparison.difference
    accuracy = _with_interval(difference.accuracy, difference.accuracy_interval, words, points=True)
    loss = "" if difference.log_loss is None else f"{difference.log_loss:+.3f}"
    if difference.log_loss_interval is not None:
        low, high = (f"{end:+.3f}" for end in difference.log_loss_interval)
        loss = words("interval", value=loss, low=low, high=high)
    share = _with_interval(difference.share, difference.share_interval, words, points=True)
    cost = _with_interval(difference.cost, difference.cost_interval, words)
    changes = {"accuracy": accuracy, "log_loss": loss, "share": share, "cost": cost}
    both = zip(_figures(first).items(), _figures(second).values(), strict=True)
    rows = [[words(key), one, other, changes.get(key, "")] for (key, one), other in both]
    return [["", words("first"), words("second"), words("difference")], *rows]


def _with_interval(value: float, interval: Interval | None, words: _Words, *, points: bool = False) -> str:
    """A difference and how far chance reaches; in points of per cent, or as an amount."""
    shown = [f"{100 * number:+.1f}" if points else f"{number:+,.0f}" for number in (value, *(interval or ()))]
    first = words("points", value=shown[0]) if points else shown[0]
    return words("interval", value=first, low=shown[1], high=shown[2]) if interval else first


def _figures(one: Side) -> dict[str, str]:
    report = one.report
    return {
        "unanswered": _percent(report.unanswered / report.n if report.n else None),
        "accuracy": _percent(report.accuracy),
        "log_loss": _number(report.log_loss, 3),
        "share": _percent(report.accepted.share),
        "error": _percent(report.accepted.error),
        "cost": amount(report.cost.per_1000),
        "tokens_in": _number(one.tokens_in, 1),
        "tokens_out": _number(one.tokens_out, 1),
        "seconds": _number(report.seconds, 1),
    }


def _labels(comparison: Comparison, words: _Words) -> Iterator[str]:
    held = comparison.labels
    yield words("labels", file=neutral(held.file), n=held.n, digest=held.digest)
    yield words("used up")


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned lines, numbers to the right; East Asian characters take two columns."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers, change in rows:
        cells = [_filled(name, widths[0]), *(_filled(cell, -wide) for cell, wide in zip(numbers, widths[1:-1], strict=True))]
        yield _GAP.join([*cells, change]).rstrip()


def _filled(text: str, width: int) -> str:
    """`text` with blanks up to `width` columns, before it where that is negative."""
    blanks = " " * (abs(width) - cell_len(text))
    return text + blanks if width >= 0 else blanks + text


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
