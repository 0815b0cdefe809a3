"""What a report says of the answers of people that it rests on, for the terminal and the page alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtriage.evaluation.lines import Line
from llmtriage.evaluation.words import percent
from llmtriage.terminal import neutral

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmtriage.evaluation.report import Report, ReviewFigures, SuggestionFigures
    from llmtriage.evaluation.words import Words

_COUNTS = ("waiting", "undecided", "carried", "lost", "erased", "changed", "timed")


def warning(report: Report, words: Words) -> str | None:
    """That the figures are not about all tickets that come; None where they are, or where the labels are those of a file."""
    if report.reviews is None or report.reviews.all_traffic:
        return None
    return words(f"not all {report.reviews.lane}")


def reviews(report: Report, words: Words) -> Iterator[Line]:
    """Whose labels these are, how often people and model agree, and what was left out."""
    found = report.reviews
    if found is None:
        return
    if report.run is not None:
        yield Line("run judged", neutral(report.run))
    yield Line("labels of", words(f"labels {found.lane}"), _drawn(found, words))
    if found.lane in ("pending", "all"):
        yield _agreement("suggestion shown", found.shown, words)
        yield _agreement("suggestion unseen", found.unseen, words)
    for name in _COUNTS:
        if n := getattr(found, name):
            yield Line(f"reviews {name}", f"{n:,}", (words(f"why {name}"),))


def _drawn(found: ReviewFigures, words: Words) -> tuple[str, ...]:
    if not found.drawn:
        return ()
    shares = ", ".join(f"{share:.3g}" for share in found.drawn)
    return (words("drawn with" if len(found.drawn) == 1 else "drawn unevenly", shares=shares),)


def _agreement(key: str, found: SuggestionFigures, words: Words) -> Line:
    if not found.n:
        return Line(key, words("none of them"))
    share = words("share", n=found.right, total=found.n)
    confirmed = (words("confirmed", n=found.confirmed),) if found.confirmed else ()
    return Line(key, percent(found.accuracy), (share, *words.interval(found.accuracy_interval), *confirmed))
