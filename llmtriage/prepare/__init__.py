"""What is done to a ticket before any engine sees it: named steps in a fixed order. They clean the text, and the last hides personal data.

Each step of cleaning is a pure function from text to text; the last sees title and content together, so that both have one numbering.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from llmtriage.errors import UnknownNameError
from llmtriage.prepare.characters import invisible, one_line, unicode, whitespace
from llmtriage.prepare.html import html_text
from llmtriage.prepare.mail import quotes, reply_prefixes
from llmtriage.prepare.redaction import Hidden, Redaction, hidden, redact
from llmtriage.prepare.signature import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from llmtriage.tickets import Ticket

    _Named = tuple[str, Callable[[str], str]]

__all__ = ["STEP_NAMES", "Hidden", "Preparation", "Prepared", "Redaction", "prepare", "without_personal_data"]

_VERSION: Final = 2
"""Raised whenever a step gives another text than before: a calibration holds for one preparation."""
_ROUNDS: Final = 8


def _unchanged(text: str) -> str:
    return text


class _Step(NamedTuple):
    name: str
    of_content: Callable[[str], str]
    of_title: Callable[[str], str]


_STEPS: Final = (
    _Step("unicode", unicode, unicode),
    _Step("invisible", invisible, invisible),
    _Step("html", html_text, html_text),
    _Step("quotes", quotes, reply_prefixes),
    _Step("signature", signature, _unchanged),
    _Step("whitespace", whitespace, one_line),
)
_REDACT: Final = "redact"
STEP_NAMES: Final = (*(step.name for step in _STEPS), _REDACT)
"""All steps in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """Which steps run. Their order is fixed: steps given in another order are the same preparation.

    Attributes:
        steps: Names out of `STEP_NAMES`.
        redaction: Which personal data the step "redact" hides.
    """

    steps: tuple[str, ...] = STEP_NAMES
    redaction: Redaction = field(default_factory=Redaction)

    def __post_init__(self) -> None:
        """Put the steps in order; raises UnknownNameError."""
        for name in self.steps:
            if name not in STEP_NAMES:
                raise UnknownNameError.among("step of preparation", str(name), STEP_NAMES, field="without")
        object.__setattr__(self, "steps", tuple(name for name in STEP_NAMES if name in self.steps))

    @classmethod
    def default(cls) -> Preparation:
        """All steps."""
        return cls()

    def fingerprint(self) -> Mapping[str, str]:
        """All that the prepared text depends on, apart from the ticket."""
        hidden = self.redaction.fingerprint() if _REDACT in self.steps else {}
        return {"steps": " ".join(self.steps), "version": str(_VERSION), **hidden}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A ticket as engines see it.

    Attributes:
        text: Title and content, prepared, with an empty line between; without a title that the content begins with.
        steps_that_changed_something: Their names, in order.
        values: Placeholders of personal data with what they stand for, in order, also those that a later step took away.
    """

    text: str = field(repr=False)
    steps_that_changed_something: tuple[str, ...]
    values: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def hidden(self) -> tuple[Hidden, ...]:
        """What stands behind the placeholders in the text, in order: for the eyes of those who may see it, and for no engine."""
        return hidden(self.text, self.values)


def prepare(ticket: Ticket, preparation: Preparation) -> Prepared:
    """Prepare the text of `ticket`. Never raises, takes time linear in the text, and changes prepared text no more."""
    changed: set[str] = set()
    title, content = ticket.title, ticket.content
    values: list[tuple[str, str]] = []
    for _ in range(_ROUNDS):
        content = _stable(content, _steps_of_content(preparation), changed)
        title = _stable(title, _steps_of_title(preparation), changed) if title else ""
        title = "" if _begins_with(content, title) else title
        if _REDACT not in preparation.steps:
            break
        redacted = redact((title, content), preparation.redaction)
        if not redacted.values:
            break
        title, content = redacted.texts
        values += redacted.values
        changed.add(_REDACT)
    return Prepared(_joined(title, content), tuple(name for name in STEP_NAMES if name in changed), tuple(values))


def without_personal_data(text: str, preparation: Preparation) -> str:
    """A text that was prepared elsewhere, with personal data hidden if that is a step."""
    return redact((text,), preparation.redaction).texts[0] if _REDACT in preparation.steps else text


@functools.cache
def _steps_of_content(preparation: Preparation) -> tuple[_Named, ...]:
    return tuple((step.name, step.of_content) for step in _STEPS if step.name in preparation.steps)


@functools.cache
def _steps_of_title(preparation: Preparation) -> tuple[_Named, ...]:
    return tuple((step.name, step.of_title) for step in _STEPS if step.name in preparation.steps)


def _stable(text: str, steps: Iterable[_Named], changed: set[str]) -> str:
    """`text` after all steps; once more if one of them made work for another, such as markup that was hidden in markup.

    Only markup in disguise inside markup in disguise, over and over, is not stable by then: it loses the characters it lives by.
    """
    for _ in range(_ROUNDS):
        before = text
        for name, step in steps:
            after = step(text)
            if after != text:
                changed.add(name)
                text = after
        if text == before:
            return text
    return _stable(text.replace("<", " ").replace("&", " "), steps, changed)


def _joined(title: str, content: str) -> str:
    if not title or _begins_with(content, title):
        return content
    return f"{title}\n\n{content}" if content else title


def _begins_with(content: str, title: str) -> bool:
    """Whether `content` begins with `title`, also where the title was cut with an ellipsis."""
    start = title.removesuffix("...").removesuffix("…").rstrip()
    return content[: len(start)].casefold() == start.casefold()
