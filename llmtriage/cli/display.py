"""What commands print: aligned columns, notices, JSON."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click
from rich.cells import set_cell_size

from llmtriage.terminal import neutral, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDTH = 110
_LEAST_LAST = 20
_GAP = "  "


def plain(text: object) -> str:
    """Any value as harmless text on one line, runs of white space as one space."""
    return neutral(" ".join(str(text).split()))


def cut(text: object, width: int) -> str:
    """`plain` text of exactly `width` terminal cells."""
    return set_cell_size(shortened(plain(text), width), width)


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
    """One line on stderr that is no error; a command says the same once."""
    context = click.get_current_context(silent=True)
    said: set[str] = context.meta.setdefault(__name__, set()) if context else set()
    if not quiet and message not in said:
        click.echo(f"{'注意：' if language == 'zh' else 'note: '}{plain(message)}", err=True)
        said.add(message)


def show_json(data: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False).encode("utf-8", "backslashreplace"))


def show_json_line(data: Any) -> None:
    """One line of JSON on stdout."""
    sys.stdout.buffer.write(json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n")
