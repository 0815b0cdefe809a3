"""A `Report` as plain text for a terminal, in English or Chinese."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from rich.cells import cell_len

from llmtriage.errors import UnknownNameError
from llmtriage.evaluation.baselines import LINEAR_SVM, MAJORITY, MAJORITY_OF_EVALUATED
from llmtriage.outcomes import REASON_CODES, Reason
from llmtriage.terminal import neutral, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from llmtriage.evaluation.report import Report

Language = Literal["en", "zh"]

_NONE = "-"
_GAP = "  "
_LEAST_WIDTH = 40
_WIDEST_NAME = 40

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("Evaluation", "评估报告"),
    "backend": ("Engine", "引擎"),
    "hashes": ("Taxonomy, prompt", "分类体系、提示词"),
    "threshold": ("Threshold", "阈值"),
    "no threshold": ("none: nothing is accepted", "无：不自动接受"),
    "examples": ("Examples", "示例数"),
    "n": ("Tickets", "工单数"),
    "unanswered": (
        "{n}, {unanswered} of them without an answer (they count as wrong)",
        "{n}，其中 {unanswered} 张没有答案（计为错误）",
    ),
    "accuracy": ("Right", "正确率"),
    "interval": ("95 % interval {low} to {high}", "95 % 区间 {low} 至 {high}"),
    "balanced_accuracy": ("Balanced accuracy", "平衡准确率"),
    "macro_f1": ("Macro F1", "宏平均 F1"),
    "weighted_f1": ("Weighted F1", "加权 F1"),
    "accepted": ("Routed by itself", "自动分派"),
    "error": ("Wrong among routed", "自动分派中的错误"),
    "pending": ("Waiting for a person", "等待人工确认"),
    "share": ("{n} of {total}", "{total} 张中的 {n} 张"),
    "on": ("on {n} tickets", "基于 {n} 张"),
    "ece": ("Calibration error (ECE)", "校准误差（ECE）"),
    "limit": ("a perfect model shows up to {limit} with {n} tickets", "完美的模型在 {n} 张工单上最多为 {limit}"),
    "auroc": ("AUROC of the confidence", "置信度 AUROC"),
    "aurc": ("AURC", "AURC"),
    "log_loss": ("Log loss", "对数损失"),
    "brier": ("Brier score (0 to 2)", "Brier 分数（0 至 2）"),
    "seconds": ("Time", "用时"),
    "speed": ("{seconds} s, {speed} tickets a second", "{seconds} 秒，每秒 {speed} 张"),
    "usage": ("Usage", "用量"),
    "prompt_tokens": ("prompt tokens", "输入 token"),
    "output_tokens": ("output tokens", "输出 token"),
    "attempts": ("attempts", "请求次数"),
    "untold": ("answers without a count", "未计量的回答"),
    "reasons": ("Why tickets wait", "等待人工的原因"),
    "baselines": ("Compared with simpler ways (share right)", "与简单方法比较（正确率）"),
    "this": ("this run", "本次"),
    LINEAR_SVM: ("linear SVM on TF-IDF, same examples", "TF-IDF 线性 SVM（同样的示例）"),
    MAJORITY: ("always the largest category of the examples", "总选示例中最多的类别"),
    MAJORITY_OF_EVALUATED: ("always the largest category here, in hindsight", "总选本批最多的类别（事后）"),
    "categories": ("Categories, weakest F1 first", "各类别（F1 由低到高）"),
    "category": ("category", "类别"),
    "precision": ("precision", "精确率"),
    "recall": ("recall", "召回率"),
    "routed": ("routed", "自动分派"),
    "wrong": ("wrong", "其中错误"),
    "confusions": ("Most frequent confusions (true -> predicted)", "最常见的混淆（正确 -> 预测）"),
}


class _Cell(NamedTuple):
    text: str
    right: bool = False


def report_text(report: Report, *, language: Language = "en", width: int = 100) -> str:
    """The report as text without colours, lines at most `width` columns wide (40 or more).

    Whatever came from a ticket or a model is neutralised: no control character, line break or writing direction gets through.

    Raises:
        UnknownNameError: `language` is neither "en" nor "zh".
    """
    if language not in get_args(Language):
        raise UnknownNameError.among("language", language, get_args(Language))
    writer = _Writer(language, max(width, _LEAST_WIDTH))
    sections = (_summary, _reasons, _baselines, _categories, _confusions)
    texts = ("\n".join(writer.cut(line) for line in section(report, writer)) for section in sections)
    return "\n\n".join(text for text in texts if text) + "\n"


class _Writer:
    """Words of one language, and lines of one width."""

    def __init__(self, language: Language, width: int) -> None:
        self.language = language
        self.width = width

    def word(self, key: str, **facts: object) -> str:
        """The words for `key`, else the key itself."""
        english, chinese = _WORDS.get(key, (neutral(key), neutral(key)))
        words = chinese if self.language == "zh" else english
        return words.format(**facts) if facts else words

    def cut(self, text: str) -> str:
        """`text`, shortened to the width of a line."""
        return shortened(text, self.width)

    def table(self, rows: Sequence[Sequence[_Cell]]) -> Iterator[str]:
        """Aligned lines; East Asian characters take two columns."""
        widths = [max(cell_len(cell.text) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (_padded(cell, width) for cell, width in zip(row, widths, strict=True))
            yield _GAP.join(cells).rstrip()

    def aside(self, value: str, *remarks: str) -> str:
        """A value with remarks in brackets."""
        if not remarks:
            return value
        opening, between, closing = ("（", "；", "）") if self.language == "zh" else (" (", "; ", ")")
        return f"{value}{opening}{between.join(remarks)}{closing}"

    def interval(self, interval: tuple[float, float] | None) -> list[str]:
        """The interval as a remark, if there is one."""
        return [self.word("interval", low=_percent(interval[0]), high=_percent(interval[1]))] if interval else []


def _summary(report: Report, writer: _Writer) -> Iterator[str]:
    yield writer.word("title")
    lines = [*_identity(report, writer), *_shares(report, writer), *_scores(report, writer), *_cost(report, writer)]
    yield from writer.table([(_Cell(writer.word(key)), _Cell(value)) for key, value in lines])


def _identity(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    if report.backend is not None:
        yield "backend", neutral(report.backend)
    yield "hashes", neutral(f"{report.taxonomy_hash}, {report.prompt_hash or _NONE}")
    if "threshold" in report.settings:
        threshold = report.settings["threshold"]
        yield "threshold", writer.word("no threshold") if threshold is None else f"{threshold}"
    if "examples" in report.settings:
        yield "examples", f"{report.settings['examples']}"
    yield "n", writer.word("unanswered", n=report.n, unanswered=report.unanswered) if report.unanswered else str(report.n)


def _shares(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    accepted, pending = report.accepted, report.pending
    yield "accuracy", writer.aside(_percent(report.accuracy), *writer.interval(report.accuracy_interval))
    for key in ("balanced_accuracy", "macro_f1", "weighted_f1"):
        yield key, _number(getattr(report, key))
    yield "accepted", writer.aside(_percent(accepted.share), writer.word("share", n=accepted.n, total=report.n))
    remarks = (
        [writer.word("share", n=accepted.errors, total=accepted.n), *writer.interval(accepted.error_interval)]
        if accepted.n
        else []
    )
    yield "error", writer.aside(_percent(accepted.error), *remarks)
    yield "pending", writer.aside(_percent(pending.share), writer.word("share", n=pending.n, total=report.n))


def _scores(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    judged, scored = report.n_confidence, report.n_scored
    limit = [] if report.ece is None else [writer.word("limit", limit=_number(report.ece_limit), n=judged)]
    yield "ece", writer.aside(_number(report.ece), *limit)
    for key, value, n in (
        ("auroc", report.auroc, judged),
        ("aurc", report.aurc, judged),
        ("log_loss", report.log_loss, scored),
        ("brier", report.brier, scored),
    ):
        remark = [] if value is None or n == report.n else [writer.word("on", n=n)]
        yield key, writer.aside(_number(value), *remark)


def _cost(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    if report.seconds is not None and report.tickets_per_second is not None:
        yield "seconds", writer.word("speed", seconds=f"{report.seconds:.1f}", speed=f"{report.tickets_per_second:.1f}")
    # Attempts alone, as of an engine that knows no tokens, would be noise.
    if any(value for name, value in report.usage.items() if name not in ("attempts", "untold")):
        yield "usage", ", ".join(f"{writer.word(name)} {value:,}" for name, value in report.usage.items() if value)


def _reasons(report: Report, writer: _Writer) -> Iterator[str]:
    if not report.pending.reasons:
        return
    yield writer.word("reasons")
    known = {str(code): Reason(code=code).sentence(writer.language) for code in REASON_CODES}
    rows = [
        (_Cell(str(n), right=True), _Cell(neutral(code)), _Cell(known.get(code, "")))
        for code, n in report.pending.reasons.items()
    ]
    yield from writer.table(rows)


def _baselines(report: Report, writer: _Writer) -> Iterator[str]:
    if not report.baselines:
        return
    yield writer.word("baselines")
    accuracies = {"this": report.accuracy, **report.baselines}
    yield from writer.table(
        [(_Cell(writer.word(name)), _Cell(_percent(value), right=True)) for name, value in accuracies.items()]
    )


def _categories(report: Report, writer: _Writer) -> Iterator[str]:
    yield writer.word("categories")
    head = ["n", "precision", "recall", "F1", "routed", "wrong"]
    rows = [[_Cell(writer.word("category")), *_numbers(key if key in ("n", "F1") else writer.word(key) for key in head)]]
    for row in sorted(report.per_category, key=lambda row: (row.n == 0, 1.0 if row.f1 is None else row.f1)):
        shares = (_number(share) for share in (row.precision, row.recall, row.f1))
        numbers = _numbers([str(row.n), *shares, str(row.accepted), _percent(row.accepted_error)])
        rows.append([_Cell(shortened(neutral(row.category), _name_width(writer))), *numbers])
    yield from writer.table(rows)


def _numbers(values: Iterable[str]) -> list[_Cell]:
    return [_Cell(value, right=True) for value in values]


def _name_width(writer: _Writer) -> int:
    """What is left of a line beside the numbers."""
    return max(10, min(_WIDEST_NAME, writer.width - 60))


def _confusions(report: Report, writer: _Writer) -> Iterator[str]:
    if not report.confusions:
        return
    yield writer.word("confusions")
    digits = max(len(str(confusion.n)) for confusion in report.confusions)
    for confusion in report.confusions:
        yield f"{confusion.n:>{digits}}{_GAP}{neutral(confusion.gold)} -> {neutral(confusion.predicted)}"
        yield from (f"{' ' * digits}{_GAP}{_GAP}| {neutral(example)}" for example in confusion.examples)


def _padded(cell: _Cell, width: int) -> str:
    missing = " " * (width - cell_len(cell.text))
    return missing + cell.text if cell.right else cell.text + missing


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"
