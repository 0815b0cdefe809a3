"""A `Report` as plain text for a terminal, in English or Chinese."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from llmtriage.evaluation import lines, review_lines, slice_lines
from llmtriage.evaluation.words import Language, Words, number, percent
from llmtriage.terminal import neutral, shortened, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from llmtriage.evaluation.lines import Line
    from llmtriage.evaluation.report import Report

__all__ = ["Language", "report_text"]

_GAP = "  "
_LEAST_WIDTH = 40
_WIDEST_NAME = 40


class _Cell(NamedTuple):
    text: str
    right: bool = False


def report_text(report: Report, *, language: Language = "en", width: int = 100) -> str:
    """The report as text without colours, lines at most `width` columns wide (40 or more).

    Whatever came from a ticket or a model is neutralised: no control character, line break or writing direction gets through.

    Raises:
        UnknownNameError: `language` is neither "en" nor "zh".
    """
    writer = _Writer(Words(language), max(width, _LEAST_WIDTH))
    sections = (_head, _reviews, _summary, _business, _details, _slices, _reasons, _baselines, _categories, _confusions)
    texts = ("\n".join(writer.cut(line) for line in section(report, writer)) for section in sections)
    return "\n\n".join(text for text in texts if text) + "\n"


class _Writer:
    """Lines of one width."""

    def __init__(self, words: Words, width: int) -> None:
        self.words = words
        self.width = width

    def cut(self, text: str) -> str:
        """`text`, shortened to the width of a line."""
        return shortened(text, self.width)

    def table(self, rows: Sequence[Sequence[_Cell]]) -> Iterator[str]:
        """Aligned lines; East Asian characters take two columns."""
        widths = [max(cell_len(cell.text) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (_padded(cell, width) for cell, width in zip(row, widths, strict=True))
            yield _GAP.join(cells).rstrip()

    def pairs(self, found: Iterable[Line]) -> Iterator[str]:
        """Aligned lines of a name and what is said about it."""
        named = ((self.words(key) if key else "", self.words.aside(value, *remarks)) for key, value, remarks in found)
        return self.table([(_Cell(name), _Cell(said)) for name, said in named])


def _head(report: Report, writer: _Writer) -> Iterator[str]:
    yield writer.words("title")
    yield from writer.pairs(lines.identity(report, writer.words))


def _reviews(report: Report, writer: _Writer) -> Iterator[str]:
    """Whose labels these are; first of all that the figures are not about all tickets."""
    found = list(review_lines.reviews(report, writer.words))
    if not found:
        return
    warning = review_lines.warning(report, writer.words)
    if warning is not None:
        yield from wrapped(warning, writer.width)
        yield ""
    yield writer.words("reviews")
    yield from writer.pairs(found)


def _summary(report: Report, writer: _Writer) -> Iterator[str]:
    return writer.pairs(lines.summary(report, writer.words))


def _details(report: Report, writer: _Writer) -> Iterator[str]:
    yield writer.words("details")
    yield from writer.pairs(lines.details(report, writer.words))


def _business(report: Report, writer: _Writer) -> Iterator[str]:
    found = list(lines.business(report, writer.words))
    if found:
        yield writer.words("business")
        yield from writer.pairs(found)


def _slices(report: Report, writer: _Writer) -> Iterator[str]:
    """A table for each field, and below them what stands out, on as many lines as it takes."""
    for place, slices in enumerate(report.slices):
        if place:
            yield ""
        yield slice_lines.title(slices, writer.words)
        head = [writer.words(key) for key in slice_lines.HEAD]
        yield from writer.table([_sliced(row, writer) for row in (head, *slice_lines.rows(slices, writer.words))])
    for warning in slice_lines.warnings(report, writer.words):
        yield ""
        yield from wrapped(warning, writer.width)


def _sliced(row: Sequence[str], writer: _Writer) -> list[_Cell]:
    return [_Cell(shortened(row[0], _name_width(writer))), *_numbers(row[1:])]


def _reasons(report: Report, writer: _Writer) -> Iterator[str]:
    if not report.pending.reasons:
        return
    yield writer.words("reasons")
    rows = [
        (_Cell(str(n), right=True), _Cell(code), _Cell(sentence)) for n, code, sentence in lines.reasons(report, writer.words)
    ]
    yield from writer.table(rows)


def _baselines(report: Report, writer: _Writer) -> Iterator[str]:
    if not report.baselines:
        return
    yield writer.words("baselines")
    yield from writer.table(
        [(_Cell(writer.words(name)), _Cell(percent(value), right=True)) for name, value in lines.compared(report)]
    )


def _categories(report: Report, writer: _Writer) -> Iterator[str]:
    if not report.per_category:
        yield writer.words("no names")
        return
    yield writer.words("categories")
    head = ["n", "precision", "recall", "F1", "routed", "wrong"]
    rows = [[_Cell(writer.words("category")), *_numbers(key if key in ("n", "F1") else writer.words(key) for key in head)]]
    for row in lines.weakest_first(report):
        shares = (number(share) for share in (row.precision, row.recall, row.f1))
        numbers = _numbers([str(row.n), *shares, str(row.accepted), percent(row.accepted_error)])
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
    yield writer.words("confusions")
    digits = max(len(str(confusion.n)) for confusion in report.confusions)
    for confusion in report.confusions:
        yield f"{confusion.n:>{digits}}{_GAP}{neutral(confusion.gold)} -> {neutral(confusion.predicted)}"
        yield from (f"{' ' * digits}{_GAP}{_GAP}| {neutral(example)}" for example in confusion.examples)


def _padded(cell: _Cell, width: int) -> str:
    missing = " " * (width - cell_len(cell.text))
    return missing + cell.text if cell.right else cell.text + missing
