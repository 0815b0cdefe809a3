"""Text for a terminal. What customers wrote may hold escape codes; none of it reaches the terminal as anything but text."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDTH = 110
_LEAST_LAST = 20
_GAP = "  "
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str) -> str:
    """`text` with every control, format and bidi character replaced, but line ends and tabs."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _UNSEEN else "\ufffd" for c in text)


def plain(text: object) -> str:
    """`visible` text on one line."""
    return visible(" ".join(str(text).split()))


def cut(text: object, width: int) -> str:
    """`plain` text of exactly `width` terminal cells; an ideograph takes two."""
    line = plain(text)
    if cell_len(line) > width:
        line = set_cell_size(line, max(width - 1, 0)).rstrip() + "…"
    return set_cell_size(line, width)


def table(rows: Iterable[Sequence[object]], widths: Sequence[int]) -> Iterable[str]:
    """Lines of aligned columns, as the rows come."""
    for row in rows:
        yield _GAP.join(cut(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()


def line_width() -> int:
    """The columns of the terminal on stdout; 110 where that is none."""
    return shutil.get_terminal_size((_WIDTH, 24)).columns if sys.stdout.isatty() else _WIDTH


def fitted(widths: Sequence[int]) -> tuple[int, ...]:
    """Widths of columns with one more that takes what is left of a line."""
    return (*widths, max(_LEAST_LAST, line_width() - sum(widths) - len(_GAP) * len(widths)))


def notice(message: str, *, quiet: bool, language: str = "en") -> None:
    """One line on stderr that is no error."""
    if not quiet:
        click.echo(f"{'注意：' if language == 'zh' else 'note: '}{plain(message)}", err=True)


def show_json(data: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False).encode("utf-8", "backslashreplace"))


def show_json_line(data: Any) -> None:
    """One line of JSON on stdout."""
    sys.stdout.buffer.write(json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n")
