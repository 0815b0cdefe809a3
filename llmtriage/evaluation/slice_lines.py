"""What a report says of its slices, for the terminal and the page alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtriage.evaluation.slicing import LANGUAGE, LENGTH, MEDIUM, SHORT
from llmtriage.evaluation.words import NONE, number, percent
from llmtriage.terminal import neutral

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmtriage.evaluation.report import Report, SliceFigures, Slices
    from llmtriage.evaluation.words import Words
    from llmtriage.probability.metrics import Interval

HEAD = ("value of slice", "tickets", "share right", "share right interval", "routed", "wrong", "wrong interval", "ECE")
"""Keys of the columns, the name of the slice first."""


def title(slices: Slices, words: Words) -> str:
    """What the tickets are split by."""
    return words("sliced by", name=_field(slices, words))


def rows(slices: Slices, words: Words) -> Iterator[tuple[str, ...]]:
    """A row for each part, as `HEAD` says."""
    for part in slices.groups:
        accepted = part.accepted
        yield (
            _name(part, slices.by, words),
            f"{part.n:,}",
            percent(part.accuracy),
            _range(part.accuracy_interval, words),
            percent(accepted.share),
            percent(accepted.error),
            _range(accepted.error_interval, words),
            number(part.ece),
        )


def warnings(report: Report, words: Words) -> Iterator[str]:
    """The parts that go wrong more often than was promised, or than all."""
    for slices in report.slices:
        for part in slices.groups:
            if part.worse and part.p is not None:
                yield words(
                    f"worse {slices.against}",
                    by=_field(slices, words),
                    value=_name(part, slices.by, words),
                    errors=f"{part.accepted.errors:,}",
                    n=f"{part.accepted.n:,}",
                    error=percent(part.accepted.error),
                    limit=percent(slices.limit),
                    p=f"{part.p:.2g}",
                    tests=slices.tests,
                )


def _field(slices: Slices, words: Words) -> str:
    return words.get(f"field {slices.by}") or neutral(slices.by)


def _name(part: SliceFigures, by: str, words: Words) -> str:
    if part.merged:
        return words("other values", n=part.merged)
    if part.value is None:
        return words("not given")
    if by in (LENGTH, LANGUAGE) and words.get(part.value):
        return words(part.value, short=SHORT, medium=MEDIUM)
    return neutral(part.value)


def _range(interval: Interval | None, words: Words) -> str:
    return NONE if interval is None else words("range", low=percent(interval[0]), high=percent(interval[1]))
