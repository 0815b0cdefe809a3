"""The review screen as lines of text: pure. No line is wider than the terminal, and nothing in a ticket is more than text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from prompt_toolkit.utils import get_cwidth

from llmtriage.review_screen.cells import clipped, ending, folded, padded
from llmtriage.review_screen.choosing import DIGITS
from llmtriage.review_screen.state import listed, suggests
from llmtriage.review_screen.words import HELP, HINTS
from llmtriage.taxonomy import in_language
from llmtriage.terminal import neutral, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.review_screen.state import State
    from llmtriage.reviewing import Item, Label
    from llmtriage.taxonomy import Category

Style = Literal["", "bold", "reverse"]

_LEAST_BODY = 3  # lines of a ticket's text that choices leave free
_WHY = 2  # lines at most that say why a ticket waits
_SIMILAR = 240  # cells of a similar ticket
_BELOW = 3  # the line under the text, the prompt, the hints


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the screen."""

    text: str
    style: Style = ""


@dataclass(frozen=True, slots=True)
class Screen:
    """The screen.

    Attributes:
        lines: As many as it has.
        cursor: Characters before the cursor, and its line, from 0: where an input method shows what it composes.
    """

    lines: tuple[Line, ...]
    cursor: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Parts:
    head: tuple[Line, ...]
    body: tuple[str, ...]
    rows: int
    choices: tuple[Line, ...]


def draw(state: State) -> Screen:
    """The screen."""
    parts = _parts(state)
    prompt, before = _prompt(state)
    above = [*parts.head, *_body(state, parts), _rule(state, parts), *parts.choices][: max(state.height - 2, 0)]
    prompt = clipped(prompt, state.width - 1)
    lines = [*above, Line(f"{prompt} ", "bold"), Line(_hints(state, parts))][: state.height]
    clean = tuple(Line(clipped(line.text, state.width), line.style) for line in lines)
    return Screen(clean, (min(before, len(prompt)), len(above)))


def room(state: State) -> tuple[int, int]:
    """How many lines of the text are on the screen, and the most it can be scrolled."""
    parts = _parts(state)
    return parts.rows, max(len(parts.body) - parts.rows, 0)


def _parts(state: State) -> _Parts:
    head, body = _head(state), _text(state)
    free = state.height - _BELOW
    nodes = listed(state)
    wanted = min(len(nodes), max(free // 2, free - len(head) - len(body), 1))
    head = head[: max(free - wanted - _LEAST_BODY, 1)]
    choices = _choices(state, nodes, max(min(wanted, free - len(head) - 1), 0))
    return _Parts(head, body, max(free - len(head) - len(choices), 0), choices)


# -- above -----------------------------------------------------------------------------------------


def _head(state: State) -> tuple[Line, ...]:
    item = state.item
    name = [] if item is None else [item.name, item.ticket.channel or "", item.ticket.language or ""]
    left = "  ".join(neutral(part) for part in name if part)
    right = f"{state.word('labelled').format(state.labelled)} · {state.word('left').format(state.left)}"
    space = state.width - get_cwidth(right) - 2
    title = f"{padded(left, space)}  {right}" if space >= 8 else padded(left or right, state.width)
    lines = [Line(title, "reverse")]
    if item is not None and state.mode != "help":
        lines += [Line(text) for text in folded(_why(item, state.language), state.width)[:_WHY]]
        if suggests(item) and item.suggestion:
            lines.append(Line(state.word("suggestion") + _named(state, item.suggestion)))
        lines.append(Line("─" * state.width))
    return tuple(lines)


def _why(item: Item, language: str) -> str:
    return neutral(("" if language == "zh" else " ").join(reason.sentence(language) for reason in item.reasons))


def _named(state: State, category: str) -> str:
    """A category that was stored; the taxonomy may have lost it since."""
    known = state.taxonomy.carried(category) or category
    return _label(state, state.taxonomy[known]) if known in state.taxonomy else neutral(category)


def _label(state: State, node: Category) -> str:
    """The name, the names above it, the id: what matters most first, since the end may be cut."""
    above = " > ".join(one.label(state.language) for one in state.taxonomy.path(node.id)[:-1])
    name = neutral(node.label(state.language))
    return name + (f" · {neutral(above)}" if above else "") + (f" ({node.id})" if node.id != name else "")


# -- the middle ------------------------------------------------------------------------------------


def _text(state: State) -> tuple[str, ...]:
    """What can be scrolled."""
    if state.mode == "help":
        return folded(HELP[state.language], state.width)
    if state.item is None:
        return folded(f"{state.blank}\n\n{state.word('nothing more')}", state.width)
    if state.mode == "similar":
        shown = [_similar(state, one) for one in state.similar]
        return folded("\n\n".join([state.word("similar"), *shown]), state.width)
    ticket = state.item.ticket
    return _lines(ticket.title, ticket.content, state.width) or folded(state.word("no text"), state.width)


@lru_cache(maxsize=2)
def _lines(title: str, content: str, width: int) -> tuple[str, ...]:
    """What a customer wrote; nothing where there is no text."""
    parts = [visible(title).strip(), visible(content).strip()]
    return folded("\n".join(part for part in parts if part), width) if any(parts) else ()


def _similar(state: State, label: Label) -> str:
    """What was decided, and the beginning of the ticket."""
    text = " ".join(f"{label.ticket.title} {label.ticket.content}".split())
    return f"{_named(state, label.category)}\n{clipped(neutral(text), _SIMILAR)}"


def _body(state: State, parts: _Parts) -> list[Line]:
    first = min(state.scroll, max(len(parts.body) - parts.rows, 0))
    lines = [Line(text) for text in parts.body[first : first + parts.rows]]
    return lines + [Line("")] * (parts.rows - len(lines))


def _rule(state: State, parts: _Parts) -> Line:
    """The line under the text: which of its lines are to be seen, where these are not all; whose categories are listed; the note."""
    told = []
    if len(parts.body) > parts.rows:
        first = min(state.scroll, len(parts.body) - parts.rows)
        told.append(state.word("lines").format(first + 1, first + parts.rows, len(parts.body)))
    if state.group and state.mode == "ticket":
        told.append(_label(state, state.taxonomy[state.group]))
    if state.note:
        told.append(state.word("note") + state.note)
    text = "".join(f"── {one} " for one in told)
    return Line(text + "─" * max(state.width - get_cwidth(text), 0), "bold" if told else "")


# -- below -----------------------------------------------------------------------------------------


def _choices(state: State, nodes: Sequence[Category], rows: int) -> tuple[Line, ...]:
    """The categories; where they are too many for `rows`, those around the marked one and how many there are besides."""
    seen = rows if len(nodes) <= rows else max(rows - 1, 1)
    first = min(max((state.mark or 0) - seen + 1, 0), max(len(nodes) - seen, 0))
    lines = [_choice(state, place, node) for place, node in enumerate(nodes)][first : first + seen]
    if len(nodes) > seen:
        lines.append(Line(f"    {state.word('more').format(len(nodes) - seen)}"))
    return tuple(lines[:rows])


def _choice(state: State, place: int, node: Category) -> Line:
    digit = str(place + 1) if state.mode != "search" and place < DIGITS else " "
    inside = f" [{state.word('inside').format(_leaves(node))}]" if node.children else ""
    marked = state.mark == place
    return Line(f"{'>' if marked else ' '}{digit} {_label(state, node)}{inside}", "bold" if marked else "")


def _leaves(node: Category) -> int:
    return sum(not one.children for one in node.walk())


def _prompt(state: State) -> tuple[str, int]:
    """The line that is written on or that tells something, and how many of its characters stand before the cursor."""
    if state.mode in ("search", "note"):
        sign = "/" if state.mode == "search" else state.word("note")
        text = sign + ending(state.typed, max(state.width - get_cwidth(sign) - 1, 1))
        aside = f"  {state.word('no match')}" if state.mode == "search" and not listed(state) else ""
        return text + aside, len(text)
    text = clipped(state.message or _description(state), state.width - 1)
    return text, len(text)


def _description(state: State) -> str:
    """What belongs into the marked category."""
    node = None if state.mark is None else listed(state)[state.mark]
    return neutral(in_language(node.description, state.language)) if node and node.description else ""


def _hints(state: State, parts: _Parts) -> str:
    """As many hints as fit."""
    line = ""
    hints = HINTS[state.language][_situation(state)]
    last = min(len(listed(state)), DIGITS)
    digits = "1" if last == 1 else f"1-{last}"
    for hint in hints:
        longer = f"{line}  {hint.format(digits)}".strip()
        if _fits(state, hint, parts) and get_cwidth(longer) <= state.width:
            line = longer
    return line


def _situation(state: State) -> str:
    if state.mode in ("search", "note", "help"):
        return state.mode
    if state.item is None:
        return "nothing"
    return "group" if state.group else "ticket"


def _fits(state: State, hint: str, parts: _Parts) -> bool:
    """Whether a key does something now."""
    if hint.startswith("v "):
        return state.item is not None and not state.item.blind
    if hint.startswith("{}"):
        return bool(parts.choices)
    return not hint.startswith("o ") or len(parts.body) > parts.rows
