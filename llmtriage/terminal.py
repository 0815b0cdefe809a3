"""Text for a terminal. What customers wrote may hold escape codes; none of it reaches a terminal as anything but text."""

from __future__ import annotations

from rich.cells import cell_len, chop_cells, set_cell_size


def neutral(text: str) -> str:
    """`text` on one line: spaces for white space, U+FFFD for all else that is not printable. Its length stays."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def visible(text: str) -> str:
    """`neutral` text that keeps its line ends and tabs."""
    return "".join(c if c in "\n\t" else neutral(c) for c in text)


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` terminal cells, the end replaced by an ellipsis; an ideograph takes two cells."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def wrapped(text: str, width: int) -> list[str]:
    """`text` on lines of at most `width` terminal cells, broken at spaces where there are some."""
    lines = [""]
    for word in text.split():
        for piece in chop_cells(word, width):
            joined = f"{lines[-1]} {piece}".lstrip()
            if cell_len(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(piece)
    return lines
