"""Second opinions: some answers are asked for once more, of a person who does not know the first one. They say how far people agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.errors import OutdatedError
from llmtriage.store import schema
from llmtriage.store.recording import anywhere, now
from llmtriage.store.records import draw

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llmtriage.store.answers import Answer
    from llmtriage.store.store import SqlStore

_AT_ONCE = 500  # texts that are asked about in one statement

_entry, _review = schema.queue_entry.c, schema.review.c
_ENDED = {"lease_owner": None, "lease_until": None, "lease_token": _entry.lease_token + 1}


def ask(connection: sa.Connection, store: SqlStore, answers: Sequence[Answer]) -> None:
    """Put those of the answers just written that are drawn into the queue once more, blind, and not for who gave them.

    A ticket is drawn by its key, so that an answer taken back and given again changes nothing about it. A second opinion that was withdrawn
    waits again; one that was given stays.
    """
    firsts = {one.entry.ticket_text_id: one for one in answers if one.entry.lane == "pending"}
    texts = sorted(firsts)
    for start in range(0, len(texts), _AT_ONCE):
        _ask(connection, store, {text: firsts[text] for text in texts[start : start + _AT_ONCE]})


def withdraw(connection: sa.Connection, text: int) -> None:
    """Nobody is asked about a text any longer whose first answer was taken back; a second opinion that was given stays."""
    of_text = schema.queue_entry.update().where(_entry.ticket_text_id == text, _entry.lane == "second", _entry.state == "open")
    connection.execute(of_text.values(**_ENDED, state="withdrawn"))


def first_reviewers(connection: sa.Connection, text: int) -> set[str]:
    """Who gave an answer to what waited that was not taken back: the people whom a second opinion on a text is to be independent of."""
    return {row.reviewer for row in connection.execute(_first_answers([text]))}


def refuse_own(connection: sa.Connection, rows: Iterable[tuple[Any, str]]) -> None:
    """See that nobody gives a second opinion on an own answer.

    Args:
        connection: Where.
        rows: Entries, each with who answers.

    Raises:
        OutdatedError: Somebody does.
    """
    asked = {(row.ticket_text_id, reviewer): row for row, reviewer in rows if row.lane == "second"}
    texts = sorted({text for text, _ in asked})
    for start in range(0, len(texts), _AT_ONCE):
        for row in connection.execute(_first_answers(texts[start : start + _AT_ONCE])):
            if (own := asked.get((row.ticket_text_id, row.reviewer))) is not None:
                problem = f"entry {own.id} asks for a second opinion on an own answer"
                raise OutdatedError(problem, remedy="leave it to another person")


def _first_answers(texts: Sequence[int]) -> sa.Select[tuple[int, str]]:
    retraction = schema.review.alias("retraction")
    taken_back = sa.exists().where(retraction.c.retracts_id == _review.id)
    given = sa.select(_review.ticket_text_id, _review.reviewer).where(_review.ticket_text_id.in_(texts), ~taken_back)
    return given.where(_review.lane == "pending", _review.verdict != "retract", _review.queue_entry_id.is_not(None))


def _ask(connection: sa.Connection, store: SqlStore, firsts: Mapping[int, Answer]) -> None:
    at = now()
    asked = sa.select(_entry.id, _entry.ticket_text_id, _entry.state).where(_entry.ticket_text_id.in_(firsts))
    before = {row.ticket_text_id: row for row in connection.execute(asked.where(_entry.lane == "second").order_by(_entry.id))}
    drawn = _drawn(connection, store, firsts)
    again = [row.id for text, row in before.items() if row.state == "withdrawn" and text in drawn]
    if again:
        reopened = schema.queue_entry.update().where(_entry.id.in_(again))
        connection.execute(reopened.values(state="open", round=_entry.round + 1, enqueued_at=at, inclusion_p=store.second))
    new = [_row(firsts[text].entry, store.second, at) for text in sorted(drawn - set(before))]
    entries = {text: row.id for text, row in before.items()}
    if new:
        written = schema.queue_entry.insert().returning(_entry.ticket_text_id, _entry.id)
        entries |= {row.ticket_text_id: row.id for row in connection.execute(written, new)}
    _keep_from(connection, store, {entry: firsts[text].reviewer for text, entry in entries.items()}, at)


def _drawn(connection: sa.Connection, store: SqlStore, firsts: Mapping[int, Answer]) -> set[int]:
    if not store.second:
        return set()
    table = schema.ticket.c
    tickets = {one.entry.ticket_id for one in firsts.values()}
    chosen = sa.select(table.id, table.key).where(table.id.in_(tickets))
    wanted = {row.id for row in connection.execute(chosen) if draw(store.key, "second", row.key) < store.second}
    return {text for text, one in firsts.items() if one.entry.ticket_id in wanted}


def _row(first: Any, share: float, at: int) -> dict[str, Any]:
    """An entry that holds nothing of the first one but whose text it is about."""
    return {
        "outcome_id": None,
        "ticket_id": first.ticket_id,
        "ticket_text_id": first.ticket_text_id,
        "lane": "second",
        "sample": None,
        "blind": True,
        "inclusion_p": share,
        "state": "open",
        "reasons": " second ",
        "category": None,
        "language": first.language,
        "rank": anywhere(first.ticket_text_id),
        "round": 1,
        "enqueued_at": at,
        "lease_token": 0,
    }


def _keep_from(connection: sa.Connection, store: SqlStore, entries: Mapping[int, str], at: int) -> None:
    """Entries are never lent to these people, and no longer if they are."""
    if not entries:
        return
    rows = [{"queue_entry_id": entry, "reviewer": reviewer, "at": at} for entry, reviewer in entries.items()]
    connection.execute(store.database.insert(schema.skip).on_conflict_do_nothing(), rows)
    held = schema.queue_entry.update().where(_entry.state == "open")
    held = held.where(_entry.id == sa.bindparam("entry"), _entry.lease_owner == sa.bindparam("owner"))
    connection.execute(held.values(_ENDED), [{"entry": entry, "owner": reviewer} for entry, reviewer in entries.items()])
