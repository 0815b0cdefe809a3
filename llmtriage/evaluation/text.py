"""A `Report` as plain text for a terminal, in English or Chinese."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from rich.cells import cell_len

from llmtriage.errors import UnknownNameError
from llmtriage.evaluation.baselines import LINEAR_SVM, MAJORITY, MAJORITY_OF_EVALUATED
from llmtriage.outcomes import REASON_CODES, Reason
from llmtriage.terminal import neutral, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from llmtriage.evaluation.report import Report

Language = Literal["en", "zh"]

_NONE = "-"
_GAP = "  "
_LEAST_WIDTH = 40
_WIDEST_NAME = 40
_WORST = 5

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("Evaluation", "评估报告"),
    "backend": ("Engine", "引擎"),
    "hashes": ("Taxonomy, prompt", "分类体系、提示词"),
    "threshold": ("Threshold", "阈值"),
    "no threshold": ("none: nothing is accepted", "无：不自动接受"),
    "promise": ("Promise", "保证"),
    "promised": (
        "at most {alpha} of the accepted are wrong, with {sure} confidence",
        "自动接受的工单中至多 {alpha} 有误，把握 {sure}",
    ),
    "promised limit": ("promised: at most {alpha}", "保证：至多 {alpha}"),
    "all": ("all that no gate stops", "未被拦下的全部"),
    "examples": ("Examples", "示例数"),
    "n": ("Tickets", "工单数"),
    "right": ("{n}, right {share}", "{n}，正确 {share}"),
    "unanswered": ("Without an answer", "没有答案"),
    "count as wrong": ("counted as wrong", "计为错误"),
    "interval": ("95 % interval {low} to {high}", "95 % 区间 {low} 至 {high}"),
    "macro_f1": ("Macro F1", "宏平均 F1"),
    "alike": ("rare categories count as much", "少见类别同样计入"),
    "accepted": ("Routed by itself", "自动分派"),
    "at": ("threshold {threshold}", "阈值 {threshold}"),
    "error": ("Wrong among routed", "自动分派中的错误"),
    "share": ("{n} of {total}", "{total} 张中的 {n} 张"),
    "calibration": ("Calibration", "校准"),
    "verdict": ("{verdict}: ECE {ece}", "{verdict}：ECE {ece}"),
    "agrees": ("agrees", "相符"),
    "too_sure": ("too sure", "过于自信"),
    "too_cautious": ("too cautious", "过于保守"),
    "limit": ("a perfect model shows up to {limit} with {n} tickets", "完美的模型在 {n} 张工单上最多为 {limit}"),
    "cost": ("Cost of 1,000", "每 1,000 张成本"),
    "by hand": (
        "{by_hand} all by hand; an error taken as {error}, a review as {review}",
        "全部人工为 {by_hand}；错误计 {error}，人工确认计 {review}",
    ),
    "most confused": ("Most confused", "最易混淆"),
    "details": ("In detail", "详细指标"),
    "pending": ("Waiting for a person", "等待人工确认"),
    "candidates": ("Candidates a ticket", "每张工单的候选类别"),
    "held": ("the right one among them for {share} of those that wait", "待确认工单中 {share} 含正确类别"),
    "outside": ("Belong to no category", "不属于任何类别"),
    "none outside": ("none of these tickets: nothing is known about such", "没有这样的工单：对此一无所知"),
    "accepted outside": ("{n} of {total} accepted as one all the same", "{total} 张中仍有 {n} 张被接受为某一类别"),
    "told apart": ("AUROC {signals}", "AUROC {signals}"),
    "by confidence": ("by confidence", "按置信度"),
    "by catch_all": ("by the catch-all", "按兜底类别"),
    "by label_mass": ("by label mass", "按标签总概率"),
    "on": ("on {n} tickets", "基于 {n} 张"),
    "balanced_accuracy": ("Balanced accuracy", "平衡准确率"),
    "weighted_f1": ("Weighted F1", "加权 F1"),
    "without": ("Without a ticket", "没有工单的类别"),
    "log_loss": ("Log loss", "对数损失"),
    "clipped": ("{n} of them as good as ruled out the truth", "其中 {n} 张几乎排除了正确类别"),
    "brier": ("Brier score (0 to 2)", "Brier 分数（0 至 2）"),
    "top_brier": ("Brier score, top answer", "首选类别的 Brier"),
    "smooth_ece": ("Smooth ECE", "平滑 ECE"),
    "ece_debiased": ("Debiased ECE", "去偏 ECE"),
    "auroc": ("AUROC of the confidence", "置信度 AUROC"),
    "aurc": ("AURC", "AURC"),
    "over best": ("{excess} above the best order", "比最佳排序高 {excess}"),
    "augrc": ("AUGRC", "AUGRC"),
    "reached": ("Coverage at a risk of", "给定错误率的覆盖率"),
    "hindsight": ("in hindsight, no promise", "事后所见，不作保证"),
    "sources": ("Answers read from", "答案来源"),
    "label_mass": ("Label mass", "标签总概率"),
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
    sections = (_head, _summary, _details, _reasons, _baselines, _categories, _confusions)
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

    def pairs(self, lines: Iterable[tuple[str, str]]) -> Iterator[str]:
        """Aligned lines of a name and what is said about it."""
        return self.table([(_Cell(self.word(key) if key else ""), _Cell(value)) for key, value in lines])

    def interval(self, interval: tuple[float, float] | None, shown: Callable[[float], str] | None = None) -> list[str]:
        """The interval as a remark, if there is one; in per cent unless told otherwise."""
        show = shown or _percent
        return [self.word("interval", low=show(interval[0]), high=show(interval[1]))] if interval else []


def _head(report: Report, writer: _Writer) -> Iterator[str]:
    yield writer.word("title")
    yield from writer.pairs(_identity(report, writer))


def _identity(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    if report.backend is not None:
        yield "backend", neutral(report.backend)
    yield "hashes", neutral(f"{report.taxonomy_hash}, {report.prompt_hash or _NONE}")
    if "threshold" in report.settings:
        threshold, promised = report.settings["threshold"], "alpha" in report.settings
        nothing = writer.word("all" if promised else "no threshold")
        yield "threshold", nothing if threshold is None else f"{threshold}"
        if promised:
            alpha, sure = _percent(_share(report, "alpha")), _percent(1 - _share(report, "delta"))
            yield "promise", writer.word("promised", alpha=alpha, sure=sure)
    if "examples" in report.settings:
        yield "examples", f"{report.settings['examples']}"


def _summary(report: Report, writer: _Writer) -> Iterator[str]:
    """What a support team wants to know, in seven lines; a run with failures has one more."""
    sections = (_tickets, _routed, _calibration, _price, _worst)
    yield from writer.pairs(pair for section in sections for pair in section(report, writer))


def _tickets(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    right = writer.word("right", n=f"{report.n:,}", share=_percent(report.accuracy))
    yield "n", writer.aside(right, *writer.interval(report.accuracy_interval))
    if report.unanswered:
        yield "unanswered", writer.aside(f"{report.unanswered:,}", writer.word("count as wrong"))
    interval = writer.interval(report.macro_f1_interval, _number)
    yield "macro_f1", writer.aside(_number(report.macro_f1), *interval, writer.word("alike"))


def _routed(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    accepted, threshold = report.accepted, report.settings.get("threshold")
    at = [] if threshold is None else [writer.word("at", threshold=threshold)]
    yield "accepted", writer.aside(_percent(accepted.share), writer.word("share", n=accepted.n, total=report.n), *at)
    yield "error", writer.aside(_percent(accepted.error), *_limits_of_error(report, writer))


def _limits_of_error(report: Report, writer: _Writer) -> list[str]:
    """What is known about the error rate of other tickets."""
    accepted = report.accepted
    if not accepted.n:
        return []
    promised = [writer.word("promised limit", alpha=_percent(_share(report, "alpha")))] if "alpha" in report.settings else []
    return [writer.word("share", n=accepted.errors, total=accepted.n), *writer.interval(accepted.error_interval), *promised]


def _share(report: Report, name: str) -> float:
    return float(report.settings[name] or 0)


def _calibration(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    if report.ece_verdict is None:
        yield "calibration", _NONE
        return
    verdict = writer.word("verdict", verdict=writer.word(report.ece_verdict), ece=_number(report.ece))
    limit = writer.word("limit", limit=_number(report.ece_limit), n=f"{report.n_confidence:,}")
    yield "calibration", writer.aside(verdict, limit)


def _price(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    cost = report.cost
    by_hand = writer.word(
        "by hand", by_hand=_amount(cost.by_hand), error=_amount(cost.error_cost), review=_amount(cost.review_cost)
    )
    yield "cost", writer.aside(_amount(cost.per_1000), by_hand)


def _worst(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    if not report.confusions:
        yield "most confused", _NONE
    for place, confusion in enumerate(report.confusions[:_WORST]):
        pair = f"{neutral(confusion.gold)} -> {neutral(confusion.predicted)}"
        yield "" if place else "most confused", writer.aside(pair, f"{confusion.n:,}")


def _details(report: Report, writer: _Writer) -> Iterator[str]:
    yield writer.word("details")
    yield from writer.pairs([*_labels(report, writer), *_scores(report, writer), *_ranks(report, writer), *_cost(report, writer)])


def _labels(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    pending, without = report.pending, report.categories_without_tickets
    yield "pending", writer.aside(_percent(pending.share), writer.word("share", n=pending.n, total=report.n))
    if pending.candidates_hold is not None:
        held = writer.word("held", share=_percent(pending.candidates_hold))
        yield (
            "candidates",
            writer.aside(_number(pending.candidates_mean), held, *writer.interval(pending.candidates_hold_interval)),
        )
    for key in ("balanced_accuracy", "weighted_f1"):
        yield key, _number(getattr(report, key))
    yield "outside", _outside(report, writer)
    if without:
        yield "without", f"{len(without)}: {', '.join(neutral(category) for category in without)}"


def _outside(report: Report, writer: _Writer) -> str:
    outside = report.outside
    if not outside.n:
        return writer.word("none outside")
    accepted = writer.word("accepted outside", n=outside.accepted, total=f"{outside.n:,}")
    signals = [f"{_number(value)} {writer.word(f'by {name}')}" for name, value in outside.auroc.items() if value is not None]
    return writer.aside(accepted, *([writer.word("told apart", signals=", ".join(signals))] if signals else []))


def _scores(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    scored = _only_on(report, report.n_scored, writer)
    clipped = [writer.word("clipped", n=report.log_loss_clipped)] if report.log_loss_clipped else []
    yield "log_loss", writer.aside(_number(report.log_loss), *([] if report.log_loss is None else [*scored, *clipped]))
    yield "brier", writer.aside(_number(report.brier), *([] if report.brier is None else scored))
    parts = f"MCB {_number(report.mcb)} - DSC {_number(report.dsc)} + UNC {_number(report.unc)}"
    yield "top_brier", writer.aside(_number(report.top_brier), *([] if report.top_brier is None else [parts]))
    yield "smooth_ece", _number(report.smooth_ece)
    # Below zero it says no more than that there is nothing but chance.
    yield "ece_debiased", _number(None if report.ece_debiased is None else max(0.0, report.ece_debiased))


def _ranks(report: Report, writer: _Writer) -> Iterator[tuple[str, str]]:
    judged = _only_on(report, report.n_confidence, writer)
    yield "auroc", writer.aside(_number(report.auroc), *([] if report.auroc is None else judged))
    excess = [] if report.aurc is None else [*judged, writer.word("over best", excess=_number(report.e_aurc))]
    yield "aurc", writer.aside(_number(report.aurc), *excess)
    yield "augrc", writer.aside(_number(report.augrc), *([] if report.augrc is None else judged))
    reached = [f"{100 * row.risk:g} %: {_percent(row.coverage)}" for row in report.coverage_at_risk if row.coverage is not None]
    if reached:
        yield "reached", writer.aside(", ".join(reached), writer.word("hindsight"))
    if report.sources:
        yield "sources", ", ".join(f"{source} {n:,}" for source, n in report.sources.items())
    if report.label_mass is not None:
        yield "label_mass", _number(report.label_mass)


def _only_on(report: Report, n: int, writer: _Writer) -> list[str]:
    """The remark that a figure is about some of the tickets, if it is."""
    return [] if n == report.n else [writer.word("on", n=f"{n:,}")]


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


def _amount(value: float) -> str:
    """An amount of money or work, without digits that say nothing."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"
