"""Personal data become numbered placeholders that say what stood there: [PHONE_1] is the same phone throughout a ticket."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from llmtriage.errors import InputError, MissingExtraError, UnknownNameError, short
from llmtriage.prepare.personal import CUED, FORMATTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from llmtriage.prepare.personal import Detector, Found

__all__ = ["KINDS", "Hidden", "Place", "Redacted", "Redaction", "find", "hidden", "redact"]

KINDS: Final = (*FORMATTED, *CUED)
"""What is found. Their names in capitals stand in the placeholders."""

_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")
_LONGEST_PATTERN: Final = 1000
_PLACEHOLDER: Final = re.compile(r"\[([A-Z][A-Z0-9_]{0,29})_([0-9]{1,6})\]")
_HIDDEN: Final = "\x00"
_MOST_NAMES: Final = 20
_SAME_PHONE: Final = 10
"""Last digits by which a phone is known, with its country or without."""
_FOLDED: Final[dict[int, int | str]] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "，！；？"},
    **dict.fromkeys(map(ord, "‐‑‒–—−"), "-"),
    **dict.fromkeys(map(ord, "\u00a0\u3000"), " "),
}
"""One character for one, so that places stay where they are."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Which personal data are hidden.

    Attributes:
        keep: Kinds out of `KINDS` that stay visible. In any order; kept in that of `KINDS`.
        patterns: What else is hidden: regular expressions of RE2 by the name of their kind, in lower case. They win over other kinds.
            A pattern is applied to each line by itself, needs the extra `patterns`, and takes no more than linear time for a match.
    """

    keep: tuple[str, ...] = ()
    patterns: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check all; raises InputError, for a kind that does not exist UnknownNameError."""
        for kind in self.keep:
            if kind not in KINDS:
                raise UnknownNameError.among("kind of personal data", str(kind), KINDS, field="keep")
        for kind, pattern in self.patterns.items():
            _compiled(kind, pattern)
        object.__setattr__(self, "keep", tuple(kind for kind in KINDS if kind in self.keep))
        object.__setattr__(self, "patterns", dict(self.patterns))

    def fingerprint(self) -> Mapping[str, str]:
        """All that is hidden: kinds and own patterns."""
        kinds = " ".join(kind for kind in KINDS if kind not in self.keep)
        return {"hidden": kinds, **{f"hidden.{kind}": pattern for kind, pattern in sorted(self.patterns.items())}}


class Place(NamedTuple):
    """Where personal data stand in a text."""

    start: int
    end: int
    kind: str


class Redacted(NamedTuple):
    """The texts of one ticket with placeholders.

    Attributes:
        texts: In their order.
        values: Each placeholder with what it stands for, as that was written there, in the order of the texts.
    """

    texts: tuple[str, ...]
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Hidden:
    """A placeholder in a prepared text, and what it stands for.

    Attributes:
        start: Where the placeholder begins.
        end: Where it ends.
        value: What stood there.
    """

    start: int
    end: int
    value: str = field(repr=False)


def redact(texts: Sequence[str], redaction: Redaction) -> Redacted:
    """The texts of one ticket with placeholders: the same value has the same one in all of them. Placeholders that are there stay."""
    found = _find_all(texts, redaction)
    if not any(found):
        return Redacted(tuple(texts), ())
    numbers = _Numbers(texts)
    replaced = tuple(_replaced(text, places, numbers) for text, places in zip(texts, found, strict=True))
    return Redacted(replaced, tuple(numbers.values))


def hidden(text: str, values: Iterable[tuple[str, str]]) -> tuple[Hidden, ...]:
    """What the placeholders in `text` stand for; those that a customer wrote stand for nothing.

    Args:
        text: With placeholders. Of what was redacted, a beginning may be gone since, such as a title.
        values: Of all that was redacted; see `Redacted`.
    """
    written: defaultdict[str, list[str]] = defaultdict(list)
    for placeholder, value in values:
        written[placeholder].append(value)
    found = []
    for match in reversed([*_PLACEHOLDER.finditer(text)]):
        if spellings := written.get(match[0]):
            value = spellings.pop() if len(spellings) > 1 else spellings[0]
            found.append(Hidden(*match.span(), value))
    return tuple(reversed(found))


def find(text: str, redaction: Redaction) -> list[Place]:
    """The places of personal data in `text`, in order; they do not overlap."""
    return _find_all((text,), redaction)[0]


def _find_all(texts: Sequence[str], redaction: Redaction) -> list[list[Place]]:
    folded = [text if text.isascii() else text.translate(_FOLDED) for text in texts]
    found = [_find_one(text, redaction) for text in folded]
    if not any(found):
        return found
    known = {
        text[place.start : place.end]
        for text, places in zip(folded, found, strict=True)
        for place in places
        if place.kind == "name"
    }
    told = _told(known)
    if not told:
        return found
    return [_with_names(text, places, told) for text, places in zip(folded, found, strict=True)]


def _find_one(text: str, redaction: Redaction) -> list[Place]:
    if not text:
        return []
    if "[" in text:
        text = _PLACEHOLDER.sub(_blank, text)
    places: list[Place] = []
    for detectors in _in_turn(redaction):
        if found := [Place(*at, kind) for kind, detector in detectors for at in detector(text)]:
            kept = _apart(text, found)
            places += kept
            text = _without(text, kept)
    return sorted(places)


@functools.lru_cache(maxsize=64)
def _in_turn(redaction: Redaction) -> Sequence[Sequence[tuple[str, Detector]]]:
    """The detectors, one group after the other: what one has found the next do not see."""
    patterns = redaction.patterns.items()
    own: list[tuple[str, Detector]] = [(kind, functools.partial(_own, kind=kind, pattern=pattern)) for kind, pattern in patterns]
    formatted = [(kind, detector) for kind, detector in FORMATTED.items() if kind not in redaction.keep]
    cued = [[(kind, detector)] for kind, detector in CUED.items() if kind not in redaction.keep]
    return [detectors for detectors in (own, formatted, *cued) if detectors]


def _apart(text: str, places: Sequence[Place]) -> list[Place]:
    """Of places that overlap only the longest; of those that are equally long the first."""
    kept: list[Place] = []
    taken = bytearray(len(text))
    for place in sorted(places, key=lambda place: place.start - place.end):
        if _HIDDEN not in text[place.start : place.end] and not any(taken[place.start : place.end]):
            taken[place.start : place.end] = b"\x01" * (place.end - place.start)
            kept.append(place)
    return kept


def _without(text: str, places: Sequence[Place]) -> str:
    """`text` with places blanked out that are found already, at its old length."""
    if not places:
        return text
    parts: list[str] = []
    position = 0
    for place in sorted(places):
        parts += (text[position : place.start], _HIDDEN * (place.end - place.start))
        position = place.end
    return "".join((*parts, text[position:]))


def _blank(match: re.Match[str]) -> str:
    return _HIDDEN * len(match[0])


# -- own patterns --------------------------------------------------------------------------------


def _own(text: str, kind: str, pattern: str) -> Iterator[Found]:
    compiled, begin = _compiled(kind, pattern), 0
    for line in text.split("\n"):
        for match in compiled.finditer(line):
            if match.end() > match.start():
                yield begin + match.start(), begin + match.end()
        begin += len(line) + 1


@functools.cache
def _compiled(kind: str, pattern: str) -> Any:
    """The pattern, which RE2 compiles: however it is written, a customer's text cannot make it hang."""
    if not _KIND.fullmatch(kind) or kind in KINDS:
        remedy = "use lower-case letters, digits and _, and none of the kinds that exist"
        raise InputError(f"{short(kind)!r} cannot name a kind of personal data", field="redact", remedy=remedy)
    try:
        import re2
    except ImportError:
        raise MissingExtraError.of("patterns", "a pattern for personal data") from None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else "it is not one"
        raise InputError(f"not a pattern of RE2 ({short(reason)})", field=f"redact {kind}", remedy="mend that pattern") from None


# -- names again ---------------------------------------------------------------------------------


def _told(known: set[str]) -> Sequence[str]:
    """Names that are looked for where no cue stands; not a single Latin word, which may be one of the language: May, Will, Rose."""
    return sorted((name for name in known if not name.isascii() or " " in name), key=len, reverse=True)[:_MOST_NAMES]


def _with_names(text: str, places: list[Place], told: Sequence[str]) -> list[Place]:
    text = _without(_PLACEHOLDER.sub(_blank, text), places)
    if not any(name in text for name in told):  # mostly so, and to compile a pattern takes longer than all else
        return places
    again = re.compile("|".join(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])" for name in told))
    return sorted([*places, *(Place(*match.span(), "name") for match in again.finditer(text))])


# -- placeholders --------------------------------------------------------------------------------


class _Numbers:
    """The placeholders of one ticket."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._last: Counter[str] = Counter()
        self._given: dict[tuple[str, str], str] = {}
        self.values: list[tuple[str, str]] = []
        for text in texts:
            for label, number in _PLACEHOLDER.findall(text) if "[" in text else ():
                self._last[label] = max(self._last[label], int(number))

    def placeholder(self, kind: str, value: str) -> str:
        """What stands for `value`: however it is written, it is the same value."""
        same = _same(kind, value)
        if (kind, same) not in self._given:
            label = kind.upper()
            self._last[label] += 1
            self._given[kind, same] = f"[{label}_{self._last[label]}]"
        self.values.append((self._given[kind, same], value))
        return self._given[kind, same]


def _same(kind: str, value: str) -> str:
    bare = "".join(c for c in value.translate(_FOLDED).casefold() if c.isalnum() or c == "*")
    return bare[-_SAME_PHONE:] if kind == "phone" else bare


def _replaced(text: str, places: Sequence[Place], numbers: _Numbers) -> str:
    if not places:
        return text
    parts: list[str] = []
    position = 0
    for place in places:
        parts += (text[position : place.start], numbers.placeholder(place.kind, text[place.start : place.end]))
        position = place.end
    return "".join((*parts, text[position:]))
