"""Answers that were given elsewhere, as in the helpdesk, to tickets whether they wait or not. They come late and tell of what was routed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from llmtriage.errors import InputError, OutdatedError, UnknownNameError, short
from llmtriage.store import schema
from llmtriage.store.answers import Answer, close, write
from llmtriage.store.recording import now
from llmtriage.store.records import name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.store.store import SqlStore
    from llmtriage.taxonomy import Taxonomy

_AHEAD = 300_000_000  # microseconds that another clock may be ahead
_AT_ONCE = 500  # texts that are asked about in one statement

_entry, _outcome, _review, _ticket, _text = (
    schema.queue_entry.c,
    schema.outcome.c,
    schema.review.c,
    schema.ticket.c,
    schema.ticket_text.c,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What somebody elsewhere says of a ticket.

    Attributes:
        ticket_id: The ticket's id.
        category: A leaf, or a former id of one.
        reviewer: Who.
        at: When it was said; without a zone: UTC.
        note: What the person wrote beside it.
    """

    ticket_id: str
    category: str
    reviewer: str
    at: datetime
    note: str | None = field(default=None, repr=False)

    @property
    def microseconds(self) -> int:
        """`at` as the store has it. Raises ValueError where no such time is."""
        return round(self.at.timestamp() * 1e6)


@dataclass(frozen=True, slots=True)
class _Place:
    """The current text of a ticket in place of an entry of the queue."""

    ticket_id: int
    ticket_text_id: int
    id: None = None
    lane: Literal["pending"] = "pending"
    inclusion_p: None = None
    round: Literal[1] = 1


Became = Literal["kept", "known"] | InputError
"""What became of one: it was kept, it was there already, or what is wrong with it."""


def keep(store: SqlStore, told: Sequence[Told], taxonomy: Taxonomy, *, source: str | None = None) -> list[Became]:
    """Keep answers as answers to the current texts of their tickets, each by itself; an entry that waits because routing said so is done then.

    They are examples, never evidence for a promise: who gives them saw what was routed. A text that waits blind goes on waiting, and the
    verdict on what was or is to be decided blind is always "correct", for a comparison would tell what a model said. The same answer
    again changes nothing; one that is older than the answer that stands is refused, so that what comes late puts nothing back.

    Args:
        store: Where.
        told: The answers, in the order in which they count.
        taxonomy: What the categories must be leaves of.
        source: Where the tickets come from; None: the store's own source.

    Returns:
        What became of each: UnknownNameError for a ticket that is not known or was erased, OutdatedError for an answer that comes too late,
        InputError for a category that is no leaf or a time in the future.

    Raises:
        StoreError: They cannot be written; then none is kept.
    """
    origin = store.source if source is None else name(source)
    with store.database.writing() as connection:
        at = now()
        places = _places(connection, origin, {name(one.ticket_id) for one in told})
        known = _Known.of(connection, [place.ticket_text_id for place in places.values()])
        became: list[Became] = []
        new: list[Answer] = []
        for one in told:
            try:
                answer = _answer(one, places.get(name(one.ticket_id)), known, taxonomy, at)
            except InputError as error:
                became.append(error)
                continue
            became.append("known" if answer is None else "kept")
            new += [] if answer is None else [answer]
        if new:
            write(connection, store.database, new)
            close(connection, {entry for one in new for entry in known.waiting.get(one.entry.ticket_text_id, ())})
    return became


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of texts before.

    Attributes:
        given: The answers from elsewhere: text, reviewer, category, time.
        latest: When the answer that stands was given.
        waiting: The entries that wait because routing said so.
        blind: Those of which nothing that a model said may be told.
        said: What the last outcome says.
    """

    given: set[tuple[int, str, str, int]]
    latest: dict[int, int]
    waiting: dict[int, list[int]]
    blind: set[int]
    said: dict[int, str | None]

    @classmethod
    def of(cls, connection: sa.Connection, texts: Sequence[int]) -> _Known:
        """Of these texts; their open entries are held against others till the end of the transaction."""
        known = cls(set(), {}, {}, set(), {})
        for start in range(0, len(texts), _AT_ONCE):
            known.read(connection, texts[start : start + _AT_ONCE])
        return known

    def read(self, connection: sa.Connection, texts: Sequence[int]) -> None:
        columns = (_review.ticket_text_id, _review.reviewer, _review.category, _review.created_at)
        outside = sa.select(*columns).where(_review.ticket_text_id.in_(texts), _review.queue_entry_id.is_(None))
        self.given.update((row[0], row[1], row[2], row[3]) for row in connection.execute(outside))
        stand = schema.standing().where(_review.ticket_text_id.in_(texts)).with_only_columns(columns[0], columns[3])
        self.latest.update({row[0]: row[1] for row in connection.execute(stand)})
        entries = sa.select(_entry.id, _entry.ticket_text_id, _entry.lane, _entry.state)
        entries = entries.where(_entry.ticket_text_id.in_(texts), _entry.state != "withdrawn").with_for_update()
        for row in connection.execute(entries):
            if row.lane in ("probe", "sample"):
                self.blind.add(row.ticket_text_id)
            elif row.lane == "pending" and row.state == "open":
                self.waiting.setdefault(row.ticket_text_id, []).append(row.id)
        of = sa.select(_text.ticket_id).where(
            _text.id.in_(texts)
        )  # without it all outcomes would be read: none is found by its text alone
        outcomes = sa.select(_outcome.ticket_text_id, _outcome.category, _outcome.probe).order_by(_outcome.id)
        outcomes = outcomes.where(_outcome.ticket_id.in_(of), _outcome.ticket_text_id.in_(texts))
        for text, category, probe in connection.execute(outcomes):
            self.said[text] = category
            if probe is not None:
                self.blind.add(text)


def _places(connection: sa.Connection, source: str, ids: set[str]) -> Mapping[str, _Place]:
    """The current texts of tickets, by id: that of the last outcome, else the last that came. No two calls at once work on one ticket."""
    places: dict[str, _Place] = {}
    ordered = sorted(ids)
    latest = sa.select(_outcome.ticket_text_id).where(_outcome.ticket_id == _ticket.id).order_by(_outcome.id.desc()).limit(1)
    newest = sa.select(sa.func.max(_text.id)).where(_text.ticket_id == _ticket.id)
    text = sa.func.coalesce(latest.scalar_subquery(), newest.scalar_subquery()).label("text")
    for start in range(0, len(ordered), _AT_ONCE):
        chosen = sa.select(_ticket.id, _ticket.external_id, text).where(
            _ticket.external_id.in_(ordered[start : start + _AT_ONCE])
        )
        chosen = chosen.where(_ticket.source == source).order_by(_ticket.id).with_for_update(of=schema.ticket, key_share=True)
        for row in connection.execute(chosen):
            if row.text is not None:
                places[row.external_id] = _Place(row.id, row.text)
    return places


def _answer(one: Told, place: _Place | None, known: _Known, taxonomy: Taxonomy, at: int) -> Answer | None:
    """What is to be written; None where it is there. Raises InputError."""
    if place is None:
        raise UnknownNameError(f"no ticket {short(one.ticket_id)!r} is known", remedy="send the ticket first")
    leaf, said_at, text = _leaf(one, taxonomy), _moment(one, at), place.ticket_text_id
    key = (text, one.reviewer, leaf, said_at)
    if key in known.given:
        return None
    if known.latest.get(text, said_at) > said_at:
        problem = f"a later answer to ticket {short(one.ticket_id)!r} stands"
        raise OutdatedError(problem, remedy="send what was said last")
    known.given.add(key)
    known.latest[text] = said_at
    suggested = None if text in known.blind else known.said.get(text)
    return Answer(
        entry=place,
        reviewer=one.reviewer,
        verdict="confirm" if suggested is not None and taxonomy.carried(suggested) == leaf else "correct",
        category=leaf,
        suggested=suggested,
        shown=suggested is not None,
        note=one.note,
        taxonomy=taxonomy.hash,
        at=said_at,
    )


def _leaf(one: Told, taxonomy: Taxonomy) -> str:
    try:
        return taxonomy.leaf(one.category, field="category")
    except UnknownNameError as error:  # of an unknown ticket it is the ticket that is missing
        raise InputError(error.problem, field="category", remedy=error.remedy) from None


def _moment(one: Told, at: int) -> int:
    try:
        said_at = one.microseconds
    except (ValueError, OverflowError):
        said_at = -1
    if not 0 <= said_at <= at + _AHEAD:
        raise InputError("this time is in the future, or before 1970", field="at", remedy="send when it was said")
    return said_at
