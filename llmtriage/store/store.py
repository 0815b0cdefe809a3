"""`SqlStore`: what a run decided outlives it, and what waits for a person is a queue."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Self

import sqlalchemy as sa

from llmtriage.remembering import Known
from llmtriage.store import schema, versions
from llmtriage.store.database import Database
from llmtriage.store.example_sets import members
from llmtriage.store.queue import Queue
from llmtriage.store.recording import Recorder
from llmtriage.store.records import draw, name, outcome_of, text_hmac, ticket_key
from llmtriage.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from llmtriage.remembering import Decision
    from llmtriage.store.records import Kept
    from llmtriage.tickets import Ticket, TicketRow


class SqlStore:
    """Tickets, outcomes, the queue and what people answered, in SQLite or PostgreSQL. May be used from any thread and by several processes."""

    def __init__(
        self, where: str | Path, *, source: str = "", kept: Kept = "original", create: bool = True, busy_seconds: float = 5
    ) -> None:
        """Open a store; a new one is made where there is none.

        Args:
            where: The path of an SQLite file, or postgresql://USER@HOST/DATABASE.
            source: Where the tickets come from: ids of two sources are never the same ticket.
            kept: What is stored of texts: as received, as the model saw them ("redacted"), or "none".
            create: Whether to make a file that is missing.
            busy_seconds: How long to wait for another writer.

        Raises:
            InputError: It cannot be used, is of another version, or is something else.
            StoreError: It cannot be read or written now.
        """
        self.database = Database(where, create=create, busy_seconds=busy_seconds)
        self.source, self.kept = name(source), kept
        try:
            with self.database.opening():
                versions.make_sure(self.database)
                self.key = self._the_key()
                self._writer: Writer[Decision] = Writer(self._recorder().record)
        except BaseException:
            self.database.close()
            raise
        self.queue = Queue(self)

    @property
    def name(self) -> str:
        """What people read: the file, or the address without its password."""
        return self.database.name

    # -- what a run needs ----------------------------------------------------------------------

    def recall(self, tickets: Sequence[tuple[Ticket, str]]) -> list[Known | None]:
        """What is known of tickets, each with its run (`Triage.run_of`): nothing need be asked about these again. Raises StoreError."""
        hmacs = [text_hmac(self.key, ticket) for ticket, _ in tickets]
        found = self._outcomes(set(hmacs), {run for _, run in tickets})
        known: list[Known | None] = []
        for (ticket, run), digest in zip(tickets, hmacs, strict=True):
            rows = found.get((digest, run), {})
            own = rows.get((self.source, ticket_key(ticket, digest)))
            row = own or next(iter(rows.values()), None)
            known.append(None if row is None else Known(outcome_of(row, ticket_id=ticket.id, text=""), own is not None))
        return known

    def record(self, decisions: Sequence[Decision]) -> Future[None]:
        """Keep decisions, those that wait with a place in the queue: all of them or none. Done when they are on disk."""
        return self._writer.submit(decisions)

    def draw(self, ticket: Ticket, name: str) -> float:
        """A number in [0, 1) that belongs to this ticket and this name, and that nobody outside can foresee."""
        return draw(self.key, name, ticket_key(ticket, text_hmac(self.key, ticket)))

    def examples(self, name: str) -> Sequence[TicketRow]:
        """The tickets of a frozen set (`example_sets.freeze`) with their categories. Raises InputError, StoreError."""
        return members(self.database, name)

    # -- itself --------------------------------------------------------------------------------

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

    def _outcomes(
        self, hmacs: set[bytes], runs: set[str]
    ) -> Mapping[tuple[bytes, str], Mapping[tuple[str, str], sa.Row[tuple[object, ...]]]]:
        """The final outcomes of these texts in these runs: by text and run, then by source and key of the ticket."""
        outcome, text, ticket = schema.outcome, schema.ticket_text, schema.ticket
        joined = outcome.join(text, outcome.c.ticket_text_id == text.c.id).join(ticket, text.c.ticket_id == ticket.c.id)
        chosen = sa.select(outcome, text.c.hmac, ticket.c.source, ticket.c.key).select_from(joined).order_by(outcome.c.id)
        found: dict[tuple[bytes, str], dict[tuple[str, str], sa.Row[tuple[object, ...]]]] = {}
        with self.database.reading() as connection:
            for row in connection.execute(chosen.where(text.c.hmac.in_(hmacs), outcome.c.run_key.in_(runs), outcome.c.final)):
                found.setdefault((bytes(row.hmac), row.run_key), {})[row.source, row.key] = row
        return found

    def _recorder(self) -> Recorder:
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
