"""Which entries to label first: the uncertain ones of categories with few labels, and of near-duplicates one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.store import schema
from llmtriage.store.reading import conditions
from llmtriage.store.recording import now

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llmtriage.reviewing import Filters
    from llmtriage.store.database import Database

LOOKED_AT = 1_000  # of the most uncertain entries
_READ = 8_000  # characters of a text that are compared: bounds the time
_SECONDS = 60  # an order stands so long, since it takes a while
_AT_ONCE = 100  # entries of an order that are asked about in one statement

_entry, _text, _count, _review = schema.queue_entry.c, schema.ticket_text.c, schema.daily_count.c, schema.review.c
_LATEST = (  # answers, whose near-duplicates tell little
    sa.select(_text.title, _text.content)
    .select_from(schema.review.join(schema.ticket_text, _review.ticket_text_id == _text.id))
    .where(_review.verdict != "retract")
    .order_by(_review.id.desc())
    .limit(LOOKED_AT)
)


class Useful:
    """The order of the most useful entries."""

    def __init__(self, database: Database) -> None:
        """Look at nothing yet."""
        self._database = database
        self._known: _Known | None = None

    def entries(self, filters: Filters) -> Sequence[int]:
        """The numbers of open entries, the most useful to label first, at most `LOOKED_AT`; found out anew after a minute. Raises StoreError."""
        known = self._known
        if known is None or known.filters != filters or monotonic() - known.at > _SECONDS:
            with self._database.reading() as connection:
                rows = connection.execute(_most_uncertain(filters)).all()
                answered = [_words(row) for row in connection.execute(_LATEST)]
                labels = _labels(connection)
            self._known = known = _Known(filters, monotonic(), _in_turn(_once(rows, answered), labels))
        return known.entries


@dataclass(frozen=True, slots=True)
class _Known:
    """An order that was found out, and when."""

    filters: Filters
    at: float
    entries: list[int]


def first_of(connection: sa.Connection, entries: Sequence[int], may: sa.Select[Any], n: int) -> list[int]:
    """The first `n` of `entries` that are among `may`."""
    chosen: list[int] = []
    for start in range(0, len(entries), _AT_ONCE):
        part = entries[start : start + _AT_ONCE]
        place = sa.case({one: place for place, one in enumerate(part)}, value=_entry.id)
        chosen += connection.scalars(may.where(_entry.id.in_(part)).order_by(place).limit(n - len(chosen)))
        if len(chosen) == n:
            break
    return chosen


def _most_uncertain(filters: Filters) -> sa.Select[Any]:
    chosen = sa.select(_entry.id, _entry.category, _text.title, _text.content)
    chosen = chosen.select_from(schema.queue_entry.join(schema.ticket_text, _entry.ticket_text_id == _text.id))
    return chosen.where(*conditions(filters, now())).order_by(_entry.rank, _entry.id).limit(LOOKED_AT)


def _labels(connection: sa.Connection) -> Mapping[str, int]:
    """So many answers were given for each category and not taken back."""
    kinds = {"confirm": 1, "correct": 1, "retract": -1}
    summed = sa.select(_count.category, _count.kind, sa.func.sum(_count.n)).where(_count.kind.in_(kinds))
    labels: Counter[str] = Counter()
    for category, kind, n in connection.execute(summed.group_by(_count.category, _count.kind)):
        labels[category] += kinds[kind] * int(n)
    return labels


def _once(rows: Sequence[Any], answered: Sequence[str]) -> list[Any]:
    """The first of each group of near-duplicates, none of a group that was answered; a ticket whose text is not kept is like no other."""
    from llmtriage.duplicates import near_duplicate_groups

    texts = [_words(row) for row in rows]
    groups = near_duplicate_groups([*texts, *answered])
    seen = set(groups[len(texts) :])
    kept = []
    for row, text, group in zip(rows, texts, groups, strict=False):
        if group not in seen or not text:
            kept.append(row)
        seen.add(group)
    return kept


def _words(row: Any) -> str:
    return f"{row.title or ''}\n{row.content or ''}"[:_READ].strip()


def _in_turn(rows: Iterable[Any], labels: Mapping[str, int]) -> list[int]:
    """Each next entry is one of the category that has the fewest labels so far; those without a suggestion come last."""
    taken: Counter[str] = Counter(labels)
    turns = []
    for place, row in enumerate(rows):
        turns.append((row.category is None, taken[row.category] if row.category else 0, place, row.id))
        if row.category:
            taken[row.category] += 1
    return [entry for *_, entry in sorted(turns)]
