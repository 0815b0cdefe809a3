"""Rows out of a file: a `Table` knows its columns before the first row, and reads the file anew each time it is iterated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from llmtriage.errors import InputError, short
from llmtriage.tables.csv_text import header, rows
from llmtriage.tables.encodings import find_encoding, first_bytes, unreadable
from llmtriage.tables.formats import TableFormat, format_of
from llmtriage.tables.jsonl_text import keys, objects

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Mapping
    from os import PathLike


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        line: The line of the file it begins on, from 1.
        cells: What stands under each column: text in CSV, any JSON value in JSONL, where a missing key is no cell.
    """

    line: int
    cells: Mapping[str, object] = field(repr=False)


class Table:
    """A table in a file. Iterating reads the file, each time from its beginning, one row at a time.

    Attributes:
        path: The file.
        fmt: Its format.
        encoding: The encoding the whole of it was found to be in.
        columns: The names in the header (CSV, TSV), or all keys of all objects in order of appearance (JSONL).
    """

    def __init__(self, path: str | PathLike[str], *, encoding: str | None = None) -> None:
        """Look at the file; raises InputError."""
        self.path = Path(path)
        first_bytes(self.path)  # what is no file at all is said before what its name lacks
        self.fmt: TableFormat = format_of(path)
        self.encoding = find_encoding(self.path, encoding)
        self.columns: tuple[str, ...] = self._find_columns()

    def __iter__(self) -> Iterator[Row]:
        """The rows in order; raises InputError with the line where one cannot be used."""
        with self._open() as stream:
            try:
                for line, cells in self._cells(stream):
                    yield Row(line, cells)
            except UnicodeError:
                raise InputError("the file was changed while it was read", file=self.path, remedy="start again") from None
            except OSError as error:
                raise unreadable(self.path, error) from None
            except InputError as error:
                raise error.at(file=self.path) from None

    def _cells(self, stream: io.TextIOWrapper) -> Iterator[tuple[int, Mapping[str, object]]]:
        if self.fmt == "jsonl":
            return objects(stream)
        return rows(stream, self.columns, tabs=self.fmt == "tsv")

    def _find_columns(self) -> tuple[str, ...]:
        with self._open() as stream:
            try:
                if self.fmt == "jsonl":
                    return keys(stream)
                return header(stream, tabs=self.fmt == "tsv")
            except InputError as error:
                raise error.at(file=self.path) from None

    def _open(self) -> io.TextIOWrapper:
        """The text with its line ends as they are: CSV cells may hold any of them, JSONL lines end in a line feed only."""
        try:
            return self.path.open(encoding=self.encoding, newline="\n" if self.fmt == "jsonl" else "")
        except OSError as error:
            raise unreadable(self.path, error) from None

    def __repr__(self) -> str:
        """The file and its columns, never its cells."""
        return f"Table({str(self.path)!r}, columns={short(', '.join(self.columns))!r})"


def read_rows(path: str | PathLike[str], *, encoding: str | None = None) -> Table:
    """The table in `path`: CSV, TSV or JSONL by its suffix.

    Args:
        path: The file.
        encoding: What it is in; by default UTF-8, UTF-16 with a mark, or GB18030, whichever all of it is in.

    Raises:
        InputError: The file cannot be used. Rows are checked while they are read (JSONL: all of them at once).
    """
    return Table(path, encoding=encoding)
