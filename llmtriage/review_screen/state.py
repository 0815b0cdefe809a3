"""The review screen without a terminal: a state, and what a key makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from llmtriage.review_screen import choosing
from llmtriage.review_screen.words import WORDS
from llmtriage.terminal import neutral

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llmtriage.reviewing import Item, Label
    from llmtriage.taxonomy import Category, Taxonomy

Mode = Literal["ticket", "similar", "search", "note", "help"]

TOO_SOON = 0.3  # seconds in which nobody has read a ticket: such a key was meant for the one before, or is held down
PAUSE = 60.0  # seconds without a key after which nobody is taken to be at work
_LONGEST_TYPED = 1000


@dataclass(frozen=True, slots=True)
class Key:
    """A key.

    Attributes:
        name: "text" for a character, "paste", or the key's name: "enter", "escape", "up", "quit", ...
        text: What was typed or pasted.
    """

    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a key asks of the queue: "answer" (with the category), "skip", "undo", "similar", "look" (again), "quit"."""

    kind: str
    category: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the screen shows. Times are seconds of one clock that only runs forward.

    Attributes:
        taxonomy: What is chosen among.
        language: Of the screen's own words and of the categories' names.
        width: Columns of the terminal.
        height: Its lines.
        item: The ticket on the screen; None where nothing waits.
        mode: What the keys do now.
        group: The node whose categories are listed; None at the top.
        mark: Which of the listed categories is marked; None: none.
        typed: The search, or the note being written.
        note: What will be saved with the answer.
        scroll: How many lines of the text lie above the screen.
        message: One line about the last key.
        blank: What stands in place of a ticket.
        similar: Similar tickets that people have decided, once asked for.
        labelled: Answers of this sitting that stand.
        left: How many wait.
        shown_at: When the ticket came onto the screen, or a key came too soon.
        touched_at: When the last key was pressed.
        active: Seconds somebody has worked on this ticket.
    """

    taxonomy: Taxonomy
    language: str = "en"
    width: int = 80
    height: int = 24
    item: Item | None = None
    mode: Mode = "ticket"
    group: str | None = None
    mark: int | None = None
    typed: str = ""
    note: str = ""
    scroll: int = 0
    message: str = ""
    blank: str = ""
    similar: tuple[Label, ...] = ()
    labelled: int = 0
    left: int = 0
    shown_at: float = 0.0
    touched_at: float = 0.0
    active: float = 0.0

    def word(self, name: str) -> str:
        """One of the screen's words."""
        return WORDS[self.language][name]


Done = tuple[State, Wish | None]


def suggests(item: Item) -> bool:
    """Whether anything on the screen tells what a model thinks of this ticket."""
    return not item.blind and bool(item.suggestion or item.candidates)


def listed(state: State) -> tuple[Category, ...]:
    """The categories on the screen, in their order."""
    if state.mode == "search":
        return choosing.found(state.taxonomy, state.typed)
    if state.item is None or state.mode == "help":
        return ()
    return proposed(state.taxonomy, state.item) or choosing.menu(state.taxonomy, state.group)


def proposed(taxonomy: Taxonomy, item: Item) -> tuple[Category, ...]:
    """The leaves that a model thinks of for this ticket, in an order that does not tell which one it prefers."""
    if item.blind:
        return ()
    labels = [item.suggestion or "", *(candidate.category for candidate in item.candidates)]
    wanted = {leaf for label in labels for leaf in _meant(taxonomy, label)}
    return tuple(leaf for leaf in taxonomy.leaves if leaf.id in wanted)


def _meant(taxonomy: Taxonomy, label: str) -> tuple[str, ...]:
    """The leaves that a stored label may mean now; none for an inner node."""
    carried = taxonomy.carried(label)
    if carried is not None:
        return (carried,)
    return () if label in taxonomy else taxonomy.candidates(label)


# -- what happened ---------------------------------------------------------------------------------


def shown(state: State, item: Item | None, *, at: float, labelled: int, left: int, message: str = "", blank: str = "") -> State:
    """Another ticket is on the screen, or none, and `blank` says why."""
    kept = State(taxonomy=state.taxonomy, language=state.language, width=state.width, height=state.height)
    message, blank = neutral(message), neutral(blank)
    return replace(kept, item=item, labelled=labelled, left=left, shown_at=at, touched_at=at, message=message, blank=blank)


def told(state: State, message: str) -> State:
    """Something is to be said; the ticket stays."""
    return replace(state, mode="ticket" if state.mode == "search" else state.mode, typed="", mark=None, message=neutral(message))


def with_similar(state: State, labels: Sequence[Label]) -> State:
    """Similar tickets are read, or there are none."""
    if not labels:
        return told(state, state.word("no similar"))
    return replace(state, mode="similar", similar=tuple(labels), scroll=0)


# -- keys ------------------------------------------------------------------------------------------


def pressed(state: State, key: Key, at: float, page: int, last: int) -> Done:
    """The state after a key, and what it asks of the queue, if anything.

    Args:
        state: Before.
        key: The key.
        at: When it was pressed.
        page: How many lines of the text are on the screen.
        last: The most that the text can be scrolled.
    """
    state = _touched(state, at)
    scroll = "pagedown" if _command(key) == "o" and state.mode in ("ticket", "similar") else key.name
    if key.name == "quit":
        return state, Wish("quit")
    if scroll in ("pageup", "pagedown", "home", "end"):
        return _scrolled(state, scroll, page, last), None
    if state.item is None and state.mode != "help":
        return _with_nothing(state, key)
    return _IN_MODE[state.mode](state, key)


def _touched(state: State, at: float) -> State:
    passed = min(max(at - state.touched_at, 0.0), PAUSE)
    return replace(state, touched_at=max(at, state.touched_at), active=state.active + passed, message="")


def _command(key: Key) -> str:
    """The character as a command: also one in full width, and a capital."""
    return choosing.normal(key.text) if key.name == "text" else ""


def _scrolled(state: State, name: str, page: int, last: int) -> State:
    step = max(page - 1, 1)
    to = {"pageup": state.scroll - step, "pagedown": state.scroll + step, "home": 0, "end": last}[name]
    return replace(state, scroll=min(max(to, 0), max(last, 0)))


def _with_nothing(state: State, key: Key) -> Done:
    wishes = {"enter": "look", "u": "undo", "q": "quit"}
    if _command(key) == "?":
        return _helped(state)
    kind = wishes.get(_command(key) or key.name)
    return state, Wish(kind) if kind else None


# -- a ticket --------------------------------------------------------------------------------------


def _in_ticket(state: State, key: Key) -> Done:
    if key.name == "text":
        return _character(state, key)
    if key.name == "enter":
        return _chosen(state, state.mark)
    if key.name in ("escape", "backspace", "left"):
        return _back(state), None
    return _moved(state, key.name), None


def _character(state: State, key: Key) -> Done:
    text = _command(key)
    if text in _COMMANDS:
        return _COMMANDS[text](state)
    if text in set("123456789"):
        return _chosen(state, int(text) - 1)
    return (_searching(state, neutral(key.text)), None) if text.isalpha() else (state, None)


def _back(state: State) -> State:
    if state.mode == "similar":
        return replace(state, mode="ticket", scroll=0)
    above = state.taxonomy.path(state.group)[:-1] if state.group else ()
    return replace(state, group=above[-1].id if above else None, mark=None)


def _skipped(state: State) -> Done:
    return _unless_too_soon(state, Wish("skip"))


def _similar(state: State) -> Done:
    if state.item is None or state.item.blind:
        return told(state, state.word("blind")), None
    return state, Wish("similar")


def _noted(state: State) -> Done:
    return replace(state, mode="note", typed=state.note), None


def _helped(state: State) -> Done:
    return replace(state, mode="help", mark=None, scroll=0), None


def _searched(state: State) -> Done:
    return replace(state, mode="search", typed="", mark=None), None


_COMMANDS: Mapping[str, Callable[[State], Done]] = {
    "s": _skipped,
    "u": lambda state: (state, Wish("undo")),
    "n": _noted,
    "v": _similar,
    "q": lambda state: (state, Wish("quit")),
    "?": _helped,
    "/": _searched,
    "、": _searched,  # what the key of the slash gives with Chinese punctuation
}


# -- a line that is typed --------------------------------------------------------------------------


def _in_search(state: State, key: Key) -> Done:
    if key.name == "enter":
        return _chosen(state, state.mark)
    if key.name == "escape" or (key.name == "backspace" and not state.typed):
        return replace(state, mode="ticket", typed="", mark=None), None
    typed = _typed(state, key)
    return (_moved(state, key.name) if typed is None else _searching(state, typed)), None


def _searching(state: State, typed: str) -> State:
    """The first match is marked, but nothing where nothing is typed."""
    state = replace(state, mode="search", typed=typed)
    return replace(state, mark=0 if typed.strip() and listed(state) else None)


def _in_note(state: State, key: Key) -> Done:
    if key.name == "enter":
        note = state.typed.strip()
        return replace(state, mode="ticket", typed="", note=note, message=state.word("note kept") if note else ""), None
    if key.name == "escape":
        return replace(state, mode="ticket", typed=""), None
    typed = _typed(state, key)
    return (state if typed is None else replace(state, typed=typed)), None


def _typed(state: State, key: Key) -> str | None:
    """The line after a key that writes on it; None for another key."""
    if key.name in ("text", "paste"):
        return (state.typed + neutral(key.text))[:_LONGEST_TYPED]
    return {"backspace": state.typed[:-1], "clear": ""}.get(key.name)


def _in_help(state: State, key: Key) -> Done:
    closed = replace(state, mode="ticket", scroll=0)
    return closed, Wish("quit") if _command(key) == "q" else None


_IN_MODE: Mapping[Mode, Callable[[State, Key], Done]] = {
    "ticket": _in_ticket,
    "similar": _in_ticket,
    "search": _in_search,
    "note": _in_note,
    "help": _in_help,
}


# -- categories ------------------------------------------------------------------------------------


def _moved(state: State, name: str) -> State:
    """The mark one up or down; from nothing marked to the first or the last."""
    count = len(listed(state))
    if name not in ("up", "down") or not count:
        return state
    if state.mark is None:
        return replace(state, mark=0 if name == "down" else count - 1)
    return replace(state, mark=min(max(state.mark + (1 if name == "down" else -1), 0), count - 1))


def _chosen(state: State, place: int | None) -> Done:
    nodes = listed(state)
    if place is None or place >= len(nodes):
        return state, None
    node = nodes[place]
    if node.children:
        return replace(state, group=node.id, mark=None), None
    return _unless_too_soon(state, Wish("answer", node.id))


def _unless_too_soon(state: State, wish: Wish) -> Done:
    """A key that is held down counts only when it was let go."""
    if state.touched_at - state.shown_at < TOO_SOON:
        return told(replace(state, shown_at=state.touched_at), state.word("too soon")), None
    return state, wish
