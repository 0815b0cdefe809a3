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
    from collections.abc import Mapping, Sequence

    from llmtriage.reviewing import Cursor, Filters
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


@dataclass(frozen=True, slots=True)
class Ranked:
    """Entries in the order of their usefulness.

    Attributes:
        filters: What they fulfil.
        at: When this was found out, by a clock that only runs forward.
        entries: Their numbers.
        rest: Where the entries that were not looked at begin, in the order of uncertainty; None where there are none.
    """

    filters: Filters
    at: float
    entries: Sequence[int]
    rest: Cursor | None


class Useful:
    """The order of the most useful entries."""

    def __init__(self, database: Database) -> None:
        """Look at nothing yet."""
        self._database = database
        self._known: Ranked | None = None

    def ranked(self, filters: Filters) -> Ranked:
        """The most uncertain open entries, `LOOKED_AT` of them, the most useful to label first; found out anew after a minute. Raises StoreError."""
        known = self._known
        if known is None or known.filters != filters or monotonic() - known.at > _SECONDS:
            with self._database.reading() as connection:
                rows = connection.execute(_most_uncertain(filters)).all()
                answered = [_words(row) for row in connection.execute(_LATEST)]
                labels = _labels(connection)
            rest = (rows[-1].rank, rows[-1].id) if len(rows) == LOOKED_AT else None
            self._known = known = Ranked(filters, monotonic(), _in_turn(rows, _repeated(rows, answered), labels), rest)
        return known


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
    chosen = sa.select(_entry.id, _entry.rank, _entry.category, _text.title, _text.content)
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


def _repeated(rows: Sequence[Any], answered: Sequence[str]) -> list[bool]:
    """Of each whether it is a near-duplicate of an earlier one, or of an answered one; a ticket whose text is not kept is none."""
    from llmtriage.duplicates import near_duplicate_groups

    texts = [_words(row) for row in rows]
    groups = near_duplicate_groups([*texts, *answered])
    seen = set(groups[len(texts) :])
    repeated = []
    for text, group in zip(texts, groups, strict=False):
        repeated.append(bool(text) and group in seen)
        seen.add(group)
    return repeated


def _words(row: Any) -> str:
    return f"{row.title or ''}\n{row.content or ''}"[:_READ].strip()


def _in_turn(rows: Sequence[Any], repeated: Sequence[bool], labels: Mapping[str, int]) -> list[int]:
    """Each next entry is one of the category that has the fewest labels so far; then those without a suggestion, then near-duplicates."""
    taken: Counter[str] = Counter(labels)
    turns = []
    for place, (row, again) in enumerate(zip(rows, repeated, strict=True)):
        turn = taken[row.category] if row.category else 0
        turns.append((again, row.category is None, turn, place, row.id))
        if row.category and not again:
            taken[row.category] += 1
    return [entry for *_, entry in sorted(turns)]
