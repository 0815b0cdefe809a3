"""Rows into a file: whole rows in few large writes, so that a run that is killed leaves an exact beginning of its output."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from numbers import Integral, Real
from stat import S_ISREG
from typing import TYPE_CHECKING, Final, Self

from llmtriage.errors import InputError
from llmtriage.tables.formats import TableFormat, format_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike
    from types import TracebackType

_ROWS_A_WRITE: Final = 64
_BYTES_A_WRITE: Final = 1 << 18
_MARK: Final = b"\xef\xbb\xbf"

_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}
_NEEDS_QUOTES: Final = re.compile('[",;\t\r\n]')
_FORMULA: Final = "=+-@\t\r\n＝＋－＠"
_NUMBER: Final = re.compile(r"[+-]?[\d(](?:[\d .,()/-]*[\d)])?%?|[+-]?\d+(?:\.\d+)?[eE][+-]?\d+", re.ASCII)
_ARITHMETIC: Final = re.compile(r"[\d)]\s*[+*/-]\s*\(?\d")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_IN_JSON: Final = re.compile("[\ud800-\udfff\u0085\u2028\u2029]")


def encode_row(row: Mapping[str, object], columns: Sequence[str], fmt: TableFormat) -> bytes:
    """The bytes of one row with its line end. The same row always gives the same bytes.

    CSV and TSV: a missing cell or None is empty, text that a spreadsheet would run as a formula begins with an apostrophe, NUL is
    left out and half a surrogate pair becomes U+FFFD. JSONL loses nothing but NaN and infinity, which become null.

    Raises:
        ValueError: The row has a cell outside `columns`.
    """
    if unknown := row.keys() - columns:
        message = f"no such column: {', '.join(sorted(unknown))}"
        raise ValueError(message)
    if fmt == "jsonl":
        return _json({column: row.get(column) for column in columns}).encode() + b"\n"
    return _record([_cell(row.get(column)) for column in columns], fmt)


def encode_header(columns: Sequence[str], fmt: TableFormat, *, bom: bool = False) -> bytes:
    """The bytes before the first row: nothing in JSONL."""
    if fmt == "jsonl":
        return b""
    return (_MARK if bom else b"") + _record([_cell(column) for column in columns], fmt)


def _record(cells: list[str], fmt: TableFormat) -> bytes:
    quoted = [f'"{cell.replace(chr(34), chr(34) * 2)}"' if cell and _NEEDS_QUOTES.search(cell) else cell for cell in cells]
    line = _DELIMITERS[fmt].join(quoted) or '""'
    try:
        return line.encode() + b"\n"
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", line).encode() + b"\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        text = value.replace("\0", "")
        return f"'{text}" if text and text[0] in _FORMULA and not _is_number(text) else text
    plain = _plain(value)
    if plain is None:
        return ""
    return repr(plain) if type(plain) is float else _json(plain)


def _is_number(text: str) -> bool:
    """Whether a spreadsheet shows the same as it does for the text: a signed number or a telephone number, not 1+1."""
    return bool(_NUMBER.fullmatch(text)) and not _ARITHMETIC.search(text[1:])


def _json(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=_plain)
    return _ESCAPED_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _plain(value: object) -> object:
    """Numbers of other libraries as Python's own; None for NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | list | tuple | dict | int):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    message = f"a {type(value).__name__} is no value of a cell"
    raise TypeError(message)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value if isinstance(value, str) else _plain(value)


class RowWriter:
    """Writes rows; as a context manager it closes itself. Rows are written in groups, each with one call to the system."""

    def __init__(
        self, write: Callable[[bytes], None], close: Callable[[], None], columns: Sequence[str], fmt: TableFormat
    ) -> None:
        self.columns = tuple(columns)
        self.fmt: TableFormat = fmt
        self._write = write
        self._close = close
        self._rows: list[bytes] = []
        self._bytes = 0

    def write(self, row: Mapping[str, object]) -> None:
        """Take one row; it is on disk after `flush` or `close`, or when the group is full."""
        encoded = encode_row(row, self.columns, self.fmt)
        self._rows.append(encoded)
        self._bytes += len(encoded)
        if len(self._rows) >= _ROWS_A_WRITE or self._bytes >= _BYTES_A_WRITE:
            self.flush()

    def flush(self) -> None:
        """Hand all rows taken so far to the system; raises InputError if it refuses them."""
        group, self._rows, self._bytes = b"".join(self._rows), [], 0
        if group:
            self._write(group)

    def close(self) -> None:
        """Flush, and close the file."""
        try:
            self.flush()
        finally:
            close, self._close = self._close, lambda: None
            close()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close; rows taken before an error are kept."""
        self.close()


def open_writer(
    path: str | PathLike[str],
    columns: Sequence[str],
    *,
    fmt: TableFormat | None = None,
    append: bool = False,
    overwrite: bool = False,
    bom: bool = False,
) -> RowWriter:
    """Create `path` and write its header.

    Args:
        path: The file; "-" is the standard output.
        columns: The columns, in order.
        fmt: The format; by default that of the suffix, and JSONL on the standard output.
        append: Go on behind the rows the file has, if it has the same header.
        overwrite: Begin anew, whatever the file holds.
        bom: Put the mark in front by which Excel knows UTF-8 (CSV and TSV).

    Raises:
        InputError: The file cannot be written, or holds something and neither `append` nor `overwrite` is set.
    """
    if str(path) == "-":
        fmt = fmt or "jsonl"
        _to_stdout(encode_header(columns, fmt, bom=bom))
        return RowWriter(_to_stdout, lambda: None, columns, fmt)
    fmt = fmt or format_of(path)
    file = _File(path)
    try:
        if overwrite and not append:
            file.empty()
        if file.size:
            _check_begun(file, columns, fmt, append=append)
        else:
            file.write(encode_header(columns, fmt, bom=bom))
    except BaseException:
        file.close()
        raise
    return RowWriter(file.write, file.close, columns, fmt)


def _to_stdout(data: bytes) -> None:
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        sys.stdout.write(data.decode())
    else:
        sys.stdout.flush()
        stream.write(data)
    sys.stdout.flush()


def _check_begun(file: _File, columns: Sequence[str], fmt: TableFormat, *, append: bool) -> None:
    if not append:
        remedy = "go on with --resume or begin anew with --overwrite"
        raise InputError("this file exists and is not empty", file=file.path, remedy=remedy)
    header = encode_header(columns, fmt)
    if file.first(len(_MARK) + len(header)).removeprefix(_MARK)[: len(header)] != header:
        remedy = "name another file or begin anew with --overwrite"
        raise InputError("this file has other columns", file=file.path, line=1, remedy=remedy)
    if file.last() != b"\n":
        remedy = "remove its last row or begin anew with --overwrite"
        raise InputError("this file breaks off inside a row", file=file.path, remedy=remedy)


class _File:
    """A file open for appending, with every refusal of the system as one line."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise self._refused(error) from None
        except ValueError:
            raise InputError("this is no path", remedy="remove the NUL character") from None
        status = os.fstat(self._fd)
        self._regular = S_ISREG(status.st_mode)
        self.size = status.st_size if self._regular else 0

    def empty(self) -> None:
        if self._regular:
            os.ftruncate(self._fd, 0)
        self.size = 0

    def first(self, count: int) -> bytes:
        os.lseek(self._fd, 0, os.SEEK_SET)
        return os.read(self._fd, count)

    def last(self) -> bytes:
        os.lseek(self._fd, -1, os.SEEK_END)
        return os.read(self._fd, 1)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self._take_back()
            raise self._refused(error) from None
        self.size += len(data)

    def close(self) -> None:
        try:
            os.close(self._fd)
        except OSError as error:
            raise self._refused(error) from None

    def _take_back(self) -> None:
        """Cut a group that was written in part, so that the file ends with a whole row."""
        if self._regular:
            os.ftruncate(self._fd, self.size)

    def _refused(self, error: OSError) -> InputError:
        if isinstance(error, FileNotFoundError):
            return InputError("its folder does not exist", file=self.path, remedy="create the folder")
        if isinstance(error, IsADirectoryError):
            return InputError("this is a folder", file=self.path, remedy="name a file in it")
        remedy = "check permissions and free space, or name another file"
        return InputError(f"cannot be written ({error.strerror or error})", file=self.path, remedy=remedy)
