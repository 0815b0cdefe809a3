"""Decisions into tables: one transaction for a group of them, each statement over all of the group."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.outcomes import Pending
from llmtriage.store import schema
from llmtriage.store.bulk import insert
from llmtriage.store.records import (
    DESCRIBING,
    cost_something,
    decided,
    erased_subject,
    of_customer,
    outcome_row,
    storable,
    text_columns,
    text_hmac,
    ticket_key,
    ticket_row,
    uncertainty,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.remembering import Decision, Run
    from llmtriage.store.database import Database
    from llmtriage.store.records import Kept
    from llmtriage.tickets import Ticket

Rows = list[dict[str, Any]]
_Place = tuple[int, str]  # of an outcome: its text and its run key

DAY = 86_400_000_000  # microseconds
_GOLDEN = 0.6180339887498949
_CHANGING = ", ".join(f"{name} = excluded.{name}" for name in DESCRIBING)
_TICKETS_KEPT = f"on conflict (source, key) do update set {_CHANGING}, erased_at = null returning key, id"
_COSTLY = "costly = ticket_text.costly or excluded.costly"
_TEXTS_KEPT = f"on conflict (ticket_id, hmac) do update set {_COSTLY} returning ticket_id, hmac, id"
_OUTCOMES_KEPT = "on conflict (ticket_text_id, run_key) where final do nothing returning id, ticket_text_id, run_key"


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def last_event(connection: sa.Connection) -> int:
    """The number of the newest event; events grow as transactions are committed, for writers take turns."""
    newest: int = connection.execute(sa.select(sa.func.coalesce(sa.func.max(schema.event.c.id), 0))).scalar_one()
    return newest


def new(column: str) -> sa.ColumnElement[Any]:
    """What an insert would have written where a row is there already. SQLAlchemy's own `excluded` makes all columns of the table anew each time."""
    return sa.literal_column(f"excluded.{column}")


def keep_tickets(connection: sa.Connection, rows: Rows) -> dict[str, int]:
    """Write tickets: one that is there says of itself what it says now, and is erased no longer. Returns their ids by their keys."""
    return dict(insert(connection, schema.ticket, rows, _TICKETS_KEPT))


def keep_texts(connection: sa.Connection, rows: Rows) -> dict[tuple[int, bytes], int]:
    """Write texts: of one that is there it is noted that it was costly once. Returns their ids by ticket and hash."""
    return {
        (ticket, bytes(digest)): number for ticket, digest, number in insert(connection, schema.ticket_text, rows, _TEXTS_KEPT)
    }


def anywhere(number: int) -> float:
    """The rank of an entry of which nothing is known: it stands anywhere among the others."""
    return -((number * _GOLDEN) % 1.0)


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes what one process decides.

    Attributes:
        database: Where to.
        key: The store's key.
        source: Where the tickets come from: ids of two sources are never the same ticket.
        kept: What is stored of texts.
        opened_at: The last outcome when this process began. An open entry for one up to this gives way to a newer text of its ticket; of two
            texts with one id that come in one run, both wait.
    """

    database: Database
    key: bytes
    source: str
    kept: Kept
    opened_at: int

    def record(self, decisions: Sequence[Decision]) -> list[bool]:
        """Keep the decisions, with their places in the queue; outcomes that are there already are left as they are. Raises StoreError.

        Of a ticket that was erased since it was read nothing is kept.

        Returns:
            Of each, whether it may be told as it is. Else another outcome of this ticket, text and run was there first, or the text waits for
            a blind review that an earlier run drew, so that nobody is told what this one decided, or the ticket was erased.
        """
        runs = {decision.run.id: decision.run for decision in decisions}
        written: list[_Written] = []
        self.database.keep_log_short()  # before the transaction: trouble with it must not make what is committed look lost
        with self.database.writing() as connection:
            wanted = self._without_erased(connection, decisions)
            for run in runs.values():
                group = [one for one in wanted if one.run.id == run.id]
                written += _Group(self, connection, run, group).write() if group else []
        new = {id(one.decision) for one in written}
        return [id(decision) in new for decision in decisions]

    def _without_erased(self, connection: sa.Connection, decisions: Sequence[Decision]) -> Sequence[Decision]:
        """Those whose tickets were read after all that was erased of them."""
        known = [one.ticket.as_of for one in decisions if one.ticket.as_of is not None]
        if not known:
            return decisions
        table = schema.erasure.c
        rows = connection.execute(
            sa.select(table.subject, table.event).where(table.event > min(known)).order_by(table.event)
        ).all()
        erased = {bytes(row.subject): row.event for row in rows}
        return [one for one in decisions if not self._is_erased(one.ticket, erased)] if erased else decisions

    def _is_erased(self, ticket: Ticket, erased: Mapping[bytes, int]) -> bool:
        if ticket.as_of is None:
            return False
        whats = [ticket_key(ticket, text_hmac(self.key, ticket))]
        whats += [of_customer(ticket.customer)] if ticket.customer is not None else []
        subjects = [erased_subject(self.key, source, what) for what in whats for source in (self.source, None)]
        return any(erased.get(subject, 0) > ticket.as_of for subject in subjects)


class _Group:
    """One transaction."""

    def __init__(self, recorder: Recorder, connection: sa.Connection, run: Run, decisions: Sequence[Decision]) -> None:
        self._recorder, self._connection, self._run = recorder, connection, run
        self._insert = recorder.database.insert
        self._at = now()
        by_key = {}
        for decision in decisions:
            digest = text_hmac(recorder.key, decision.ticket)
            by_key[ticket_key(decision.ticket, digest), digest, decision.run_key] = decision
        self._decisions = by_key

    def write(self) -> Sequence[_Written]:
        self._write_run()
        newest = self._newest_ticket()
        tickets = self._write_tickets()
        texts = self._write_texts(tickets)
        places = {(texts[tickets[key], digest], run_key): one for (key, digest, run_key), one in self._decisions.items()}
        of_text = {text: ticket for (ticket, _), text in texts.items()}
        before = self._entries_before({ticket for ticket in of_text.values() if ticket <= newest})
        written = self._write_outcomes(_as_told(places, before), of_text)
        if written:
            tickets_of = {one.ticket for one in written}
            drawn = {entry.ticket_text_id for entry in before if entry.lane == "probe"}
            answered = self._answered({one.text for one in written if one.ticket <= newest})
            self._write_entries(written, [entry for entry in before if entry.ticket_id in tickets_of], answered, drawn)
            self._write_events(written)
            self._count([one for one in written if one.decision.probe is None or one.text not in drawn])
        return written

    def _write_run(self) -> None:
        from llmtriage import __version__

        row: dict[str, Any] = {"id": self._run.id, "backend": self._run.backend, "fingerprint": dict(self._run.fingerprint)}
        row |= {"version": __version__, "started_at": self._at}
        self._connection.execute(self._insert(schema.run).on_conflict_do_nothing(), row)

    def _newest_ticket(self) -> int:
        """Of a ticket with a higher number nothing was known before: writers take turns."""
        table = schema.ticket.c
        newest: int = self._connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.id), 0))).scalar_one()
        return newest

    def _write_tickets(self) -> dict[str, int]:
        """The tickets of the group by their keys."""
        common: dict[str, Any] = {"source": self._recorder.source, "kept": self._recorder.kept, "at": self._at}
        rows = {key: ticket_row(decision.ticket, key=key, **common) for (key, _, _), decision in self._decisions.items()}
        return keep_tickets(self._connection, list(rows.values()))

    def _write_texts(self, tickets: Mapping[str, int]) -> dict[tuple[int, bytes], int]:
        """The texts of the group by ticket and hash."""
        kept = self._recorder.kept
        rows = {
            (tickets[key], digest): {**text_columns(one.ticket, one.outcome.text, kept), "costly": cost_something(one.outcome)}
            for (key, digest, _), one in self._decisions.items()
        }
        common = {"kept": kept, "received_at": self._at}
        values = [{"ticket_id": ticket, "hmac": digest, **texts, **common} for (ticket, digest), texts in rows.items()]
        return keep_texts(self._connection, values)

    def _write_outcomes(self, places: Mapping[_Place, Decision], of_text: Mapping[int, int]) -> list[_Written]:
        """Those of the outcomes that were not there."""
        values = [
            {
                "ticket_id": of_text[text],
                "ticket_text_id": text,
                "run_id": self._run.id,
                "run_key": run_key,
                "probe": decision.probe,
                "created_at": self._at,
                **outcome_row(decision.outcome),
            }
            for (text, run_key), decision in places.items()
        ]
        rows = insert(self._connection, schema.outcome, self._without_known_failures(values), _OUTCOMES_KEPT)
        ids = {(text, run_key): number for number, text, run_key in rows}
        return [_Written(ids[place], of_text[place[0]], place[0], one) for place, one in places.items() if place in ids]

    def _without_known_failures(self, values: Rows) -> Rows:
        """Without those that failed here where another process had an answer meanwhile."""
        failed = {row["ticket_text_id"] for row in values if not row["final"]}
        if not failed:
            return values
        table = schema.outcome.c
        chosen = sa.select(table.ticket_text_id, table.run_key).where(table.ticket_text_id.in_(failed), schema.FINAL)
        known = {(row.ticket_text_id, row.run_key) for row in self._connection.execute(chosen)}
        return [row for row in values if row["final"] or (row["ticket_text_id"], row["run_key"]) not in known]

    def _write_entries(self, written: Sequence[_Written], before: Sequence[Any], answered: set[int], drawn: set[int]) -> None:
        """A place in the queue for each that waits, unless a person has answered, or it is drawn already. A ticket keeps the place it has."""
        texts = {one.text: one for one in written}
        waiting = {text: one for text, one in texts.items() if _waits(one, answered, drawn)}
        moved, gone = self._moved(before, texts, waiting)
        self._withdraw(gone)
        self._move([{"entry": entry, **_place(waiting[text])} for text, entry in moved.items()])
        insert(
            self._connection,
            schema.queue_entry,
            [{**_place(one), **self._entry(one)} for text, one in waiting.items() if text not in moved],
        )

    def _moved(
        self, before: Sequence[Any], texts: Mapping[int, _Written], waiting: Mapping[int, _Written]
    ) -> tuple[dict[int, int], list[int]]:
        """The entries that go on for texts that wait, by text, and those that end: an entry goes to its own text, else to the newest."""
        free: dict[int, list[int]] = {}
        for text, one in waiting.items():
            if one.decision.probe is None:
                free.setdefault(one.ticket, []).append(text)
        moved, gone = {}, []
        places = [entry for entry in before if entry.lane == "pending" and entry.state == "open"]
        for entry in sorted(places, key=lambda entry: entry.ticket_text_id not in texts):
            mine, left = entry.ticket_text_id, free.get(entry.ticket_id, [])
            if mine not in texts and entry.outcome_id > self._recorder.opened_at:
                continue
            wanted = [mine] if mine in texts else left[-1:]
            if wanted and wanted[0] in left:
                left.remove(wanted[0])
                moved[wanted[0]] = entry.id
            else:
                gone.append(entry.id)
        return moved, gone

    def _withdraw(self, entries: Sequence[int]) -> None:
        if entries:
            table = schema.queue_entry
            self._connection.execute(table.update().where(table.c.id.in_(entries)).values(state="withdrawn"))

    def _move(self, rows: Rows) -> None:
        """Let entries stand for newer outcomes. Who holds one has seen another text, so the lease ends; whose it was is still known."""
        if rows:
            table = schema.queue_entry
            names = [name for name in rows[0] if name != "entry"]
            moved = table.update().where(table.c.id == sa.bindparam("entry")).values({name: sa.bindparam(name) for name in names})
            ended = {"lease_until": None, "lease_token": table.c.lease_token + 1}
            self._connection.execute(moved.values(ended), rows)

    def _entries_before(self, tickets: set[int]) -> Sequence[Any]:
        if not tickets:
            return []
        entries = schema.queue_entry.c
        names = ("id", "ticket_id", "ticket_text_id", "outcome_id", "lane", "inclusion_p", "state")
        chosen = sa.select(*(entries[name] for name in names)).order_by(entries.id)
        return self._connection.execute(chosen.where(entries.ticket_id.in_(tickets), entries.state != "withdrawn")).all()

    def _answered(self, texts: set[int]) -> set[int]:
        """Those of the texts whose category a person has told."""
        if not texts:
            return set()
        column = schema.review.c.ticket_text_id
        answered = schema.standing().with_only_columns(column).where(column.in_(texts))
        return set(self._connection.scalars(answered))

    def _entry(self, one: _Written) -> dict[str, Any]:
        probe = one.decision.probe
        return {
            "lane": "pending" if probe is None else "probe",
            "sample": None,
            "blind": probe is not None,
            "inclusion_p": probe,
            "state": "open",
            "round": 1,
            "enqueued_at": self._at,
            "lease_token": 0,
        }

    def _write_events(self, written: Sequence[_Written]) -> None:
        kinds = {True: "probe", False: "outcome"}
        rows = [
            {
                "at": self._at,
                "actor": "run",
                "kind": kinds[one.decision.probe is not None],
                "subject": "ticket",
                "subject_id": one.ticket,
                "data": {"outcome": one.outcome},
            }
            for one in written
        ]
        insert(self._connection, schema.event, rows)

    def _count(self, written: Sequence[_Written]) -> None:
        """What was decided, for the counts of the day."""
        counts: dict[tuple[str, str], int] = {}
        for one in written:
            kind, category = decided(one.decision.outcome)
            place = ("probe" if one.decision.probe is not None else kind, category or "")
            counts[place] = counts.get(place, 0) + 1
        if counts:
            count(self._connection, self._insert, self._at, counts)


@dataclass(frozen=True, slots=True)
class _Written:
    """An outcome that was not there before."""

    outcome: int
    ticket: int
    text: int
    decision: Decision


def _as_told(places: Mapping[_Place, Decision], before: Sequence[Any]) -> dict[_Place, Decision]:
    """Decisions with the probability of a blind review that their texts wait for since an earlier run: it would be led by what is told now."""
    waiting = {entry.ticket_text_id: entry.inclusion_p for entry in before if entry.lane == "probe" and entry.state == "open"}
    return {
        place: replace(one, probe=waiting[place[0]]) if one.probe is None and place[0] in waiting else one
        for place, one in places.items()
    }


def _waits(one: _Written, answered: set[int], drawn: set[int]) -> bool:
    if one.text in drawn:
        return False
    return one.decision.probe is not None or (isinstance(one.decision.outcome, Pending) and one.text not in answered)


def _place(one: _Written) -> dict[str, Any]:
    """What an entry of the queue says of its outcome: of a probe nothing that tells what a model thinks."""
    place = {
        "outcome_id": one.outcome,
        "ticket_id": one.ticket,
        "ticket_text_id": one.text,
        "language": one.decision.ticket.language and storable(one.decision.ticket.language),
    }
    outcome = one.decision.outcome
    if one.decision.probe is not None or not isinstance(outcome, Pending):
        return {**place, "reasons": " probe ", "category": None, "rank": anywhere(one.outcome)}
    codes = " ".join(reason.code for reason in outcome.reasons)
    return {**place, "reasons": f" {codes} ", "category": outcome.suggestion, "rank": -uncertainty(outcome)}


def count(connection: sa.Connection, insert: Any, at: int, counts: Mapping[tuple[str, str], int]) -> None:
    """Add to the counts of the day, which stay when outcomes and tickets go: by kind and category."""
    day = int(datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y%m%d"))
    rows = [{"day": day, "kind": kind, "category": category, "n": n} for (kind, category), n in counts.items()]
    changing = {"n": schema.daily_count.c.n + new("n")}
    added = insert(schema.daily_count).on_conflict_do_update(index_elements=["day", "kind", "category"], set_=changing)
    connection.execute(added, rows)
