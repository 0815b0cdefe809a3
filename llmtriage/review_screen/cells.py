"""Text in cells of a terminal, counted as the library counts them that draws it: an ideograph takes two, a combining mark none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prompt_toolkit.utils import get_cwidth

if TYPE_CHECKING:
    from collections.abc import Iterator

_TAB = 4
_IDEOGRAPHS = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_CLOSING = "、。〉》」』】〕！），．：；？］｝”’"
# A line may end behind a blank, and behind an ideograph with the marks that must not begin a line.
_PIECE = re.compile(rf"\s+|[{_IDEOGRAPHS}][{_CLOSING}]*|[^\s{_IDEOGRAPHS}]+")


def clipped(text: str, width: int) -> str:
    """`text` in at most `width` cells, the end replaced by an ellipsis."""
    return text if get_cwidth(text) <= width else _beginning(text, max(width - 1, 0)) + "…"[:width]


def ending(text: str, width: int) -> str:
    """The last of `text`, in at most `width` cells."""
    return _beginning(text[::-1], width)[::-1]


def padded(text: str, width: int) -> str:
    """`text` in exactly `width` cells."""
    text = clipped(text, width)
    return text + " " * (width - get_cwidth(text))


def folded(text: str, width: int) -> tuple[str, ...]:
    """`text` as lines of at most `width` cells, at least 2; a word is broken only where it is longer than a line."""
    return tuple(line for whole in text.split("\n") for line in _folded_line(whole.expandtabs(_TAB), max(width, 2)))


def _folded_line(text: str, width: int) -> list[str]:
    lines, line, used = [], "", 0
    for piece in _pieces(text, width):
        size = get_cwidth(piece)
        if used + size > width:
            lines.append(line.rstrip())
            line, used = "", 0
            if piece.isspace():
                continue
        line, used = line + piece, used + size
    return [*lines, line.rstrip()]


def _pieces(text: str, width: int) -> Iterator[str]:
    """What stands together on a line; what is wider than a line, in parts that fit."""
    for piece in _PIECE.findall(text):
        rest = piece
        while get_cwidth(rest) > width:
            part = _beginning(rest, width)
            yield part
            rest = rest[len(part) :]
        yield rest


def _beginning(text: str, width: int) -> str:
    used = 0
    for place, character in enumerate(text):
        used += get_cwidth(character)
        if used > width:
            return text[:place]
    return text
