"""Tickets split by what they have in common, and which of the parts go wrong more often than the others or than was promised."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from llmtriage.evaluation.report import AcceptedFigures, SliceFigures, Slices
from llmtriage.probability import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from llmtriage.evaluation.judging import Row, Tickets
    from llmtriage.tickets import Ticket

LENGTH, LANGUAGE = "length", "language"
SHORT, MEDIUM = 100, 500
"""The most characters of the prepared text of a short and of a medium ticket."""
GUESSED_CHINESE, GUESSED_OTHER = "guessed zh", "guessed other"
MOST_VALUES = 20
LEAST_FOR_ECE = 100
SIGNIFICANT = 0.05

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")
_KANA = re.compile(r"[\u3041-\u30ff]")
_CHINESE = 0.2  # of the letters; names of products and people are often Latin in a Chinese ticket


def sliced_fields(ticket: Ticket, text: str, by: Iterable[str]) -> dict[str, str]:
    """What a ticket is to be counted under.

    Args:
        ticket: As received.
        text: Its prepared text.
        by: `length` (of the prepared text), `language` (guessed from it where the ticket tells none), or the name of another field.

    Returns:
        By those names; a field that the ticket does not have is left out.
    """
    found = {name: _value(ticket, text, name) for name in by}
    return {name: value for name, value in found.items() if value}


def _value(ticket: Ticket, text: str, name: str) -> str | None:
    told = ticket.value(name)
    if told is None and name == LENGTH:
        return _length(text)
    if told is None and name == LANGUAGE:
        return guessed_language(text)
    return told.strip() if told else None


def _length(text: str) -> str | None:
    """Short, medium or long."""
    if not text:
        return None
    return "short" if len(text) <= SHORT else "medium" if len(text) <= MEDIUM else "long"


def guessed_language(text: str) -> str | None:
    """Chinese if a fifth of the letters or more are Chinese characters and more of them than Japanese kana; None without letters."""
    letters = sum(character.isalpha() for character in text)
    if not letters:
        return None
    chinese = len(_HAN.findall(text))
    return GUESSED_CHINESE if chinese >= _CHINESE * letters and chinese > len(_KANA.findall(text)) else GUESSED_OTHER


# -- figures ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the tickets, with whether each was accepted where it belongs; None: it was not accepted."""

    by: str
    value: str | None
    merged: int
    rows: list[Row]
    right: list[bool | None]

    @property
    def accepted(self) -> AcceptedFigures:
        return accepted_figures(self.right)


def accepted_figures(right: Sequence[bool | None]) -> AcceptedFigures:
    """The figures of the accepted among tickets, of each of which is told whether it was accepted where it belongs; None: not accepted."""
    n, errors = sum(one is not None for one in right), sum(one is False for one in right)
    return AcceptedFigures(
        n=n,
        share=n / len(right),
        errors=errors,
        error=errors / n if n else None,
        error_interval=metrics.clopper_pearson(errors, n) if n else None,
    )


def slices(tickets: Tickets, right: Sequence[bool | None], by: Sequence[str], promised: float | None) -> tuple[Slices, ...]:
    """The figures of each part.

    Args:
        tickets: All of them.
        right: Whether each was accepted where it belongs; None: it was not accepted.
        by: The names of fields; see `sliced_fields`.
        promised: The largest error rate promised for any answer; None: nothing is promised.
    """
    parts = [part for name in dict.fromkeys(by) for part in _parts(tickets.rows, right, name)]
    total = accepted_figures(right)
    p = _corrected([_p(part.accepted, total, promised) for part in parts])
    against: Literal["promise", "all"] = "all" if promised is None else "promise"
    found = [(part.by, _figures(part, value)) for part, value in zip(parts, p, strict=True)]
    return tuple(
        Slices(
            by=name,
            against=against,
            limit=total.error if promised is None else promised,
            tests=sum(value is not None for value in p),
            groups=tuple(group for of, group in found if of == name),
        )
        for name in dict.fromkeys(by)
    )


def _parts(rows: Sequence[Row], right: Sequence[bool | None], by: str) -> Iterator[_Part]:
    values = [row.judged.fields.get(by) for row in rows]
    names = [value for value, _ in Counter(value for value in values if value is not None).most_common()]
    shown, others = names[:MOST_VALUES], set(names[MOST_VALUES:])
    groups: list[tuple[str | None, int, list[int]]] = [
        *((name, 0, [i for i, value in enumerate(values) if value == name]) for name in shown),
        (None, len(others), [i for i, value in enumerate(values) if value in others]),
        (None, 0, [i for i, value in enumerate(values) if value is None]),
    ]
    for name, merged, places in groups:
        if places:
            yield _Part(by, name, merged, [rows[i] for i in places], [right[i] for i in places])


def _p(part: AcceptedFigures, total: AcceptedFigures, promised: float | None) -> float | None:
    """How often chance alone gives the accepted of a part so many errors."""
    if not part.n:
        return None
    if promised is None:
        return metrics.excess_over_rest(part.errors, part.n, total.errors, total.n)
    return metrics.excess_over_limit(part.errors, part.n, promised)


def _corrected(p: Sequence[float | None]) -> list[float | None]:
    told = [value for value in p if value is not None]
    corrected = iter(metrics.holm(told) if told else ())
    return [None if value is None else next(corrected) for value in p]


def _figures(part: _Part, p: float | None) -> SliceFigures:
    told = [(row.confidence, row.right) for row in part.rows if row.confidence is not None]
    check = metrics.ece_check(*np.array(told, np.float64).T) if len(told) >= LEAST_FOR_ECE else None
    right = sum(row.right for row in part.rows)
    return SliceFigures(
        value=part.value,
        merged=part.merged,
        n=len(part.rows),
        accuracy=right / len(part.rows),
        accuracy_interval=metrics.wilson(right, len(part.rows)),
        accepted=part.accepted,
        ece=None if check is None else check.ece,
        ece_limit=None if check is None else check.limit,
        p=p,
        worse=p is not None and p < SIGNIFICANT,
    )
