"""CSV and TSV: rows out of text, strictly, so that no damage to a file passes as fewer or emptier tickets."""

from __future__ import annotations

import csv
import re
import threading
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from llmtriage.errors import InputError, short

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Mapping

_LARGEST_CELL: Final = 2**31 - 1
"""Characters; the largest limit that every platform takes."""
_LIMIT_LOCK: Final = threading.Lock()

_QUOTES: Final = 'put text that holds line ends or quotes in quotes and double the quotes inside it: "say ""hi"""'


def header(stream: io.TextIOWrapper, *, tabs: bool) -> tuple[str, ...]:
    """The names of the columns, without spaces around them and without unnamed columns at the end."""
    return _names(_records(stream, tabs=tabs))


def rows(stream: io.TextIOWrapper, columns: tuple[str, ...], *, tabs: bool) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows below the header, each with the line it begins on."""
    records = _records(stream, tabs=tabs)
    if _names(records) != columns:
        raise InputError("the file was changed while it was read", remedy="start again")
    shape = _Shape(len(columns))
    for line, cells in records:
        if len(columns) > 1 and _is_blank(cells):
            continue
        shape.check(line, cells)
        yield line, dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False))
    shape.check_end(line_ended=_ends_line(stream))


def _is_blank(cells: list[str]) -> bool:
    return len(cells) == 1 and not cells[0].strip()


def _names(records: Iterator[tuple[int, list[str]]]) -> tuple[str, ...]:
    line, cells = next((record for record in records if not _is_blank(record[1])), (1, []))
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise InputError("the header names no column", line=line, remedy="name the columns in the first line")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            what = f"the column {short(name)!r} stands twice" if name else "two columns have no name"
            raise InputError(f"{what} in the header", line=line, remedy="rename one of the two")
        seen.add(name)
    return tuple(names)


class _Shape:
    """Holds the number of cells in each row against the header.

    Some programs leave empty cells at the end of a row out. But a short row is also what a line end inside unquoted text makes:
    it splits one row of n cells into pieces whose cells less one add up to n - 1. So a short row stands for missing cells only
    where no such split can have made it.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._pieces: set[int] = set()
        self._short_line: int | None = None

    def check(self, line: int, cells: list[str]) -> None:
        """Raise InputError if this row may hide the loss of data."""
        count = len(cells)
        if count > self._width and any(cell.strip() for cell in cells[self._width :]):
            problem = f"{count} cells in this row, but the header names {self._width}"
            raise InputError(problem, line=line, remedy="put text that holds the delimiter in quotes")
        if count >= self._width:
            self._pieces, self._short_line = set(), None
            return
        self._short_line = line
        self._pieces = {total + count - 1 for total in self._pieces | {0} if total + count <= self._width}
        if count == 1 or (self._width - 1) in self._pieces:
            self._refuse(count, line)

    def check_end(self, *, line_ended: bool) -> None:
        """Raise InputError if the file breaks off inside its last row."""
        if self._short_line is not None and not line_ended:
            problem = "the file breaks off in this row"
            raise InputError(problem, line=self._short_line, remedy="export it again, or complete the row and its line end")

    def _refuse(self, count: int, line: int) -> None:
        cells = "1 cell" if count == 1 else f"{count} cells"
        problem = f"{cells} in this row, but the header names {self._width}; a line end in unquoted text makes such rows"
        remedy = "give the row all its cells (empty ones too); put text with line ends in quotes"
        raise InputError(problem, line=line, remedy=remedy)


def _records(stream: io.TextIOWrapper, *, tabs: bool) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not a blank line, with the line it begins on."""
    delimiter = "\t" if tabs else _delimiter(stream)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            with _LIMIT_LOCK:
                limit = csv.field_size_limit(_LARGEST_CELL)
                try:
                    cells = next(reader, None)
                finally:
                    csv.field_size_limit(limit)
        except csv.Error as error:
            raise _broken(stream, delimiter, line, reader.line_num, str(error)) from None
        if cells is None:
            return
        if cells:
            yield line, cells


def _delimiter(stream: io.TextIOWrapper) -> str:
    """A comma, unless the header has none but has semicolons or tabs (Excel in much of Europe)."""
    first = next((line for line in stream if line.strip()), "")
    stream.seek(0)
    bare = "".join(first.split('"')[::2])
    counts = {mark: bare.count(mark) for mark in (",", ";", "\t")}
    return "," if counts[","] or not any(counts.values()) else max(counts, key=counts.__getitem__)


def _ends_line(stream: io.TextIOWrapper) -> bool:
    """Whether the last characters of the file end a line."""
    raw = cast("BinaryIO", stream.buffer)
    end = raw.seek(0, 2)
    raw.seek(max(0, end - 4))
    return raw.read().rstrip(b"\0")[-1:] in {b"\n", b"\r"}


def _broken(stream: io.TextIOWrapper, delimiter: str, first: int, last: int, why: str) -> InputError:
    """The error for a record that the reader refuses, with the line on which its last quote opens."""
    line = _opening(stream, delimiter, first, last)
    if "end of data" in why:
        return InputError("a quote opens on this line and is never closed", line=line, remedy=_QUOTES)
    if "expected after" in why:
        place = f" on line {last}" if last != line else ""
        problem = f"text follows the closing quote{place} of the cell whose quote opens here"
        return InputError(problem, line=line, remedy=_QUOTES)
    return InputError(f"not CSV ({short(why)})", line=line, remedy=_QUOTES)


def _opening(stream: io.TextIOWrapper, delimiter: str, first: int, last: int) -> int:
    """The line on which the last quoted cell of the record on the lines `first` to `last` opens."""
    stream.seek(0)
    token = re.compile(f'"(?P<inside>(?:[^"]|"")*+)(?P<closed>"?)|{delimiter}|[^{delimiter}]+')
    opened, inside = first, False
    for number, line in enumerate(islice(stream, first - 1, last), start=first):
        text = f'"{line}' if inside else line
        continues = inside
        for cell in token.finditer(text):
            if cell["inside"] is None:
                continue
            opened = opened if continues else number
            inside, continues = not cell["closed"], False
            if cell["closed"] and text[cell.end() : cell.end() + 1] not in ("", delimiter, "\r", "\n"):
                return opened
    return opened
