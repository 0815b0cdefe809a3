"""Answers inside a transaction: checked against what the queue holds, then written with their events and counts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.errors import InputError, OutdatedError, short
from llmtriage.store import schema
from llmtriage.store.reading import is_free, item_of, items
from llmtriage.store.recording import count, now
from llmtriage.store.records import storable
from llmtriage.store.second import ask, refuse_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from llmtriage.reviewing import Filled, Item, Verdict
    from llmtriage.store.database import Database
    from llmtriage.store.store import SqlStore
    from llmtriage.taxonomy import Taxonomy

_AT_ONCE = 500  # entries that are asked about in one statement

_entry, _review = schema.queue_entry.c, schema.review.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is to be written of an entry; `entry` is its row, `at` when it was said (microseconds), if not now."""

    entry: Any
    reviewer: str
    verdict: Verdict
    category: str | None
    suggested: str | None = None
    shown: bool = False
    note: str | None = None
    active_ms: int | None = None
    taxonomy: str
    retracts: int | None = None
    at: int | None = None

    @property
    def kind(self) -> str:
        """Of its event and in the counts of the day: a second opinion is no label, and nobody acts on it."""
        return f"second {self.verdict}" if self.entry.lane == "second" else self.verdict

    def row(self, at: int) -> dict[str, Any]:
        """The row of table `review`."""
        of_entry = {name: getattr(self.entry, name) for name in ("ticket_id", "ticket_text_id", "lane", "inclusion_p", "round")}
        return {
            **of_entry,
            "queue_entry_id": self.entry.id,
            "reviewer": self.reviewer,
            "verdict": self.verdict,
            "category": self.category,
            "suggested": self.suggested,
            "suggestion_shown": self.shown,
            "note": None if self.note is None else storable(self.note),
            "active_ms": self.active_ms,
            "taxonomy": self.taxonomy,
            "retracts_id": self.retracts,
            "created_at": at if self.at is None else self.at,
        }


def verdict_on(item: Item, category: str, taxonomy: Taxonomy) -> Verdict:
    """Whether a person says what was suggested. Of a blind entry no suggestion is known here, so that no verdict tells it."""
    suggested = None if item.suggestion is None else taxonomy.carried(item.suggestion)
    return "confirm" if suggested == category else "correct"


def locked(entry: int) -> sa.Select[Any]:
    """The row of an entry, held against others till the end of the transaction."""
    return sa.select(schema.queue_entry).where(_entry.id == entry).with_for_update()


def check(connection: sa.Connection, item: Item, reviewer: str) -> Any:
    """The row of an entry, which is what was shown and may be answered by this person. Raises OutdatedError."""
    row = connection.execute(locked(item.entry)).one()
    remedy = "go on with the next one"
    if row.state == "done":
        raise OutdatedError(f"{item.name} was answered already{_by(connection, row)}", remedy=remedy)
    if row.state == "withdrawn" or row.ticket_text_id != item.text_id:
        raise OutdatedError(f"the text of {item.name} was changed meanwhile, or it waits no longer", remedy=remedy)
    if row.lease_owner not in (None, reviewer) and not is_free(row, now()):
        raise OutdatedError(f"{item.name} is with {short(row.lease_owner)} now", remedy=remedy)
    if row.lease_token != item.token:
        problem = f"{item.name} was given to somebody else meanwhile, or asked about again"
        raise OutdatedError(problem, remedy="look at it again")
    if (
        row.lease_owner == reviewer and row.lease_until is None
    ):  # asked for by its number, after it was moved under this person's hands
        raise OutdatedError(
            f"{item.name} was decided anew since you were given it", remedy="take it again: llmtriage review next"
        )
    refuse_own(connection, [(row, reviewer)])
    return row


def write(connection: sa.Connection, database: Database, answers: Sequence[Answer]) -> list[int]:
    """Write answers with their events and their places in the counts of the day. Returns their numbers."""
    at = now()
    insert = schema.review.insert().returning(_review.id, sort_by_parameter_order=True)
    numbers = list(connection.scalars(insert, [one.row(at) for one in answers]))
    events = [
        {
            "at": at,
            "actor": one.reviewer,
            "kind": one.kind,
            "subject": "ticket",
            "subject_id": one.entry.ticket_id,
            "data": {"review": number, "entry": one.entry.id, "lane": one.entry.lane},
        }
        for number, one in zip(numbers, answers, strict=True)
    ]
    connection.execute(schema.event.insert(), events)
    count(connection, database.insert, at, Counter((one.kind, one.category or "") for one in answers))
    return numbers


def close(connection: sa.Connection, entries: Iterable[int]) -> None:
    """Entries are answered, and nobody's any longer."""
    done = {"state": "done", "lease_owner": None, "lease_until": None}
    for part in _parts(entries):
        connection.execute(schema.queue_entry.update().where(_entry.id.in_(part)).values(done))


def fill(connection: sa.Connection, store: SqlStore, filled: Sequence[Filled], taxonomy: Taxonomy) -> int:
    """Write the answers of a file that are not there yet, and return how many they are. Raises InputError."""
    rows, given = _entries(connection, filled), _given(connection, filled)
    new: dict[int, Answer] = {}
    for one in filled:
        row = rows.get(one.entry)
        _check_filled(one, row)
        before = new[one.entry].category if one.entry in new else given.get(one.entry)
        if before is None:
            _refuse_done(one, row)
            new[one.entry] = _answer(one, row, taxonomy)
        elif before != one.category:
            problem = f"entry {one.entry} was answered already, with {short(before)!r}"
            raise OutdatedError(problem, line=one.line, remedy="remove the row, or take that answer back first")
    if new:
        refuse_own(connection, [(one.entry, one.reviewer) for one in new.values()])
        write(connection, store.database, list(new.values()))
        close(connection, new)
        ask(connection, store, list(new.values()))
    return len(new)


def _check_filled(one: Filled, row: Any) -> None:
    if row is None:
        raise InputError(f"the queue has no entry {one.entry}", line=one.line, remedy="import what llmtriage review export wrote")
    if one.ticket_id is not None and not _is_same_id(one.ticket_id, row.external_id or ""):
        problem = f"entry {one.entry} is of another ticket than {short(one.ticket_id)!r}"
        raise InputError(problem, line=one.line, remedy="keep the cells of a row together when you sort or paste")
    if row.ticket_text_id != one.text_id or row.state == "withdrawn":
        problem = f"the text of entry {one.entry} was changed meanwhile, or it waits no longer"
        raise OutdatedError(problem, line=one.line, remedy="remove the row, and export anew")


def _refuse_done(one: Filled, row: Any) -> None:
    if row.state == "done":
        problem = f"entry {one.entry} was closed by an answer from elsewhere"
        raise OutdatedError(problem, line=one.line, remedy="remove the row")


def _is_same_id(cell: str, own: str) -> bool:
    """Whether a cell, without spaces around it, holds this id, or what a spreadsheet makes of it: 12 of 0012, 1.23457E+15 of a long number."""
    if cell.removeprefix("'").strip() == own.removeprefix("'").strip():
        return True
    try:
        return math.isclose(float(cell), float(own), rel_tol=1e-5 if "E" in cell.upper() else 0)
    except ValueError:
        return False


def _answer(one: Filled, row: Any, taxonomy: Taxonomy) -> Answer:
    item = item_of(row, now())
    return Answer(
        entry=row,
        reviewer=one.reviewer,
        verdict=verdict_on(item, one.category, taxonomy),
        category=one.category,
        suggested=item.suggestion,
        shown=one.shown and not item.blind,
        note=one.note,
        taxonomy=taxonomy.hash,
    )


def _entries(connection: sa.Connection, filled: Sequence[Filled]) -> Mapping[int, Any]:
    """The entries of a file, held against others till the end of the transaction."""
    found: dict[int, Any] = {}
    for part in _parts({one.entry for one in filled}):
        chosen = items().where(_entry.id.in_(part)).with_for_update(of=schema.queue_entry)
        found |= {row.id: row for row in connection.execute(chosen)}
    return found


def _given(connection: sa.Connection, filled: Sequence[Filled]) -> Mapping[int, str]:
    """The answers that stand to the entries of a file."""
    retraction = schema.review.alias("retraction")
    taken_back = sa.exists().where(retraction.c.retracts_id == _review.id)
    stand = sa.select(_review.queue_entry_id, _review.category).where(_review.verdict != "retract", ~taken_back)
    found: dict[int, str] = {}
    for part in _parts({one.entry for one in filled}):
        rows = connection.execute(stand.where(_review.queue_entry_id.in_(part)))
        found |= {row.queue_entry_id: row.category for row in rows}
    return found


def _parts(entries: Iterable[int]) -> Iterator[list[int]]:
    ordered = sorted(entries)
    return (ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE))


def _by(connection: sa.Connection, row: Any) -> str:
    asked = sa.select(_review.reviewer).where(_review.queue_entry_id == row.id, _review.verdict != "retract")
    name = connection.scalar(asked.order_by(_review.id.desc()).limit(1))
    return f" by {short(name)}" if name else ""
