"""`SqlStore`: what a run decided outlives it, and what waits for a person is a queue."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import sqlalchemy as sa

from llmtriage.remembering import Known, Recalled
from llmtriage.store import schema, versions
from llmtriage.store.bulk import known
from llmtriage.store.database import Database
from llmtriage.store.example_sets import members
from llmtriage.store.queue import Queue
from llmtriage.store.reading import waits_as_probe
from llmtriage.store.recording import Recorder, last_event
from llmtriage.store.records import DESCRIBING, described, draw, name, outcome_of, text_hmac, ticket_key
from llmtriage.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from llmtriage.remembering import Decision
    from llmtriage.store.records import Kept
    from llmtriage.tickets import Ticket, TicketRow

    _Row = sa.Row[Any]


_LAST = 2**63 - 1  # no outcome has a larger number


class SqlStore:
    """Tickets, outcomes, the queue and what people answered, in SQLite or PostgreSQL. May be used from any thread and by several processes."""

    def __init__(
        self,
        where: str | Path,
        *,
        source: str = "",
        kept: Kept = "original",
        create: bool = True,
        busy_seconds: float = 5,
        newest_waits: bool = False,
        second: float = 0.0,
    ) -> None:
        """Open a store; a new one is made where there is none.

        Args:
            where: The path of an SQLite file, or postgresql://USER@HOST/DATABASE.
            source: Where the tickets come from: ids of two sources are never the same ticket.
            kept: What is stored of texts: as received, as the model saw them ("redacted"), or "none".
            create: Whether to make a file that is missing.
            busy_seconds: How long to wait for another writer.
            newest_waits: Whether a newer text of a ticket always takes the place of the one before, as where each text is an edit. Else two texts
                with one id that come in one run both wait.
            second: The share of answers of people that a second person is asked for independently, in [0, 1].

        Raises:
            InputError: It cannot be used, is of another version, or is something else.
            StoreError: It cannot be read or written now.
        """
        self.database = Database(where, create=create, busy_seconds=busy_seconds)
        self.source, self.kept, self.second = name(source), kept, second
        self._newest_waits = newest_waits
        try:
            with self.database.opening():
                versions.make_sure(self.database)
                self.key = self._the_key()
                self._writer: Writer[Decision, bool] = Writer(self._recorder().record)
        except BaseException:
            self.database.close()
            raise
        self.queue = Queue(self)

    @property
    def name(self) -> str:
        """What people read: the file, or the address without its password."""
        return self.database.name

    # -- what a run needs ----------------------------------------------------------------------

    def recall(self, tickets: Sequence[tuple[Ticket, str]]) -> Recalled:
        """What is known of tickets, each with its run (`Triage.run_of`): nothing need be asked about these again. Raises StoreError."""
        asked = [_Asked.of(self.key, ticket, run) for ticket, run in tickets]
        with self.database.reading() as connection:
            as_of = last_event(connection)
            keys = known(connection, schema.ticket.c.key, {one.key for one in asked}, source=self.source)
            own = self._own(connection, [one for one in asked if one.key in keys])
            others = {one.digest for one in asked if one not in own}
            digests = known(connection, schema.ticket_text.c.hmac, others, schema.COSTLY)
            alike = self._alike(connection, [one for one in asked if one.digest in digests])
        found: list[Known | None] = []
        for (ticket, _), one in zip(tickets, asked, strict=True):
            row = own.get(one) or alike.get((one.digest, one.run))
            as_kept = one in own and _is_described_by(ticket, own[one], self.kept)
            probed = one in own and bool(own[one].probed)
            found.append(None if row is None else Known(outcome_of(row, ticket_id=ticket.id, text=""), as_kept, probed))
        return Recalled(found, as_of)

    def received(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Tickets as they came now: of one that is erased while it is decided nothing is kept, however long that takes. Raises StoreError."""
        if all(ticket.as_of is not None for ticket in tickets):
            return list(tickets)
        with self.database.reading() as connection:
            as_of = last_event(connection)
        return [ticket if ticket.as_of is not None else replace(ticket, as_of=as_of) for ticket in tickets]

    def record(self, decisions: Sequence[Decision]) -> Future[Sequence[bool]]:
        """Keep decisions, those that wait with a place in the queue: all of them or none. Done when they are on disk."""
        return self._writer.submit(decisions)

    def draw(self, ticket: Ticket, name: str) -> float:
        """A number in [0, 1) that belongs to this ticket and this name, and that nobody outside can foresee."""
        return draw(self.key, name, ticket_key(ticket, text_hmac(self.key, ticket)))

    def examples(self, name: str) -> Sequence[TicketRow]:
        """The tickets of a frozen set (`example_sets.freeze`) with their categories. Raises InputError, StoreError."""
        return members(self.database, name)

    # -- itself --------------------------------------------------------------------------------

    def check(self, *, writes: bool = True) -> None:
        """See that it can be written, or only read. Raises StoreError."""
        with self.database.writing() if writes else self.database.reading() as connection:
            connection.execute(sa.select(schema.meta.c.name).limit(1))

    def close(self) -> None:
        """Keep what was handed over, end the thread that writes, and close every connection. Used again, the store opens them again."""
        self._writer.close()
        self.database.close()

    def __enter__(self) -> Self:
        """Use as a context manager to close the connections at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        self.close()

    def _own(self, connection: sa.Connection, asked: Sequence[_Asked]) -> Mapping[_Asked, _Row]:
        """The final outcomes of these very tickets, with what they say of themselves."""
        if not asked:
            return {}
        ticket = schema.ticket.c
        of_ticket = [ticket.key, *(ticket[name].label(f"ticket_{name}") for name in DESCRIBING)]
        chosen = _outcomes(*of_ticket, waits_as_probe(schema.ticket_text.c.id).label("probed")).where(
            ticket.source == self.source, ticket.key.in_({one.key for one in asked})
        )
        rows = connection.execute(_of(chosen, asked))
        return {_Asked(row.key, bytes(row.hmac), row.run_key): row for row in rows}

    def _alike(self, connection: sa.Connection, asked: Sequence[_Asked]) -> Mapping[tuple[bytes, str], _Row]:
        """Outcomes of other tickets with these texts. Of a text that a thousand tickets have only the first and the last are looked at."""
        if not asked:
            return {}
        text = schema.ticket_text.c
        ends = sa.select(sa.func.min(text.id), sa.func.max(text.id)).group_by(text.hmac)
        texts = connection.execute(ends.where(text.hmac.in_({one.digest for one in asked}), schema.COSTLY)).all()
        if not texts:
            return {}
        chosen = (
            _outcomes().where(text.id.in_({number for ends in texts for number in ends})).order_by(schema.outcome.c.id.desc())
        )
        rows = connection.execute(_of(chosen, asked))
        return {(bytes(row.hmac), row.run_key): row for row in rows}

    def _recorder(self) -> Recorder:
        if self._newest_waits:
            return Recorder(self.database, self.key, self.source, self.kept, _LAST)
        last = sa.select(sa.func.coalesce(sa.func.max(schema.outcome.c.id), 0))
        with self.database.reading() as connection:
            opened_at = connection.execute(last).scalar_one()
        return Recorder(self.database, self.key, self.source, self.kept, opened_at)

    def _the_key(self) -> bytes:
        """The store's own key, made with it. That it can be written is found out here, before anything is asked."""
        new = {"name": "key", "value": secrets.token_hex(32)}
        with self.database.writing() as connection:
            connection.execute(self.database.insert(schema.meta).on_conflict_do_nothing(), new)
            found = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "key")).scalar_one()
        return bytes.fromhex(found)


class _Asked(NamedTuple):
    """A ticket, its text and the run."""

    key: str
    digest: bytes
    run: str

    @classmethod
    def of(cls, key: bytes, ticket: Ticket, run: str) -> _Asked:
        digest = text_hmac(key, ticket)
        return cls(ticket_key(ticket, digest), digest, run)


def _outcomes(*more: sa.ColumnElement[Any]) -> sa.Select[Any]:
    outcome, text, ticket = schema.outcome, schema.ticket_text, schema.ticket
    joined = outcome.join(text, outcome.c.ticket_text_id == text.c.id).join(ticket, text.c.ticket_id == ticket.c.id)
    return sa.select(outcome, text.c.hmac, *more).select_from(joined).where(schema.FINAL)


def _of(outcomes: sa.Select[Any], asked: Sequence[_Asked]) -> sa.Select[Any]:
    digests, runs = {one.digest for one in asked}, {one.run for one in asked}
    return outcomes.where(schema.ticket_text.c.hmac.in_(digests), schema.outcome.c.run_key.in_(runs))


def _is_described_by(ticket: Ticket, row: _Row, kept: Kept) -> bool:
    """Whether the store knows the newest of what a ticket says of itself: a customer that came later must be found to be erased."""
    said = described(ticket, kept)
    return all(getattr(row, f"ticket_{name}") == said[name] for name in DESCRIBING)
