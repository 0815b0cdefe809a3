"""What a run asks the store never reads a whole table: else each ticket costs more than the one before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import postgresql
import sqlalchemy as sa
from decided import accepted, decision, pending, recall, record, ticket
from drawn import SHOP
from overseen import accept_probes, decide_probes, promised, run_under

from llmtriage.reviewing import Filters, Order
from llmtriage.store import SqlStore, inbox, outbox
from llmtriage.store.agreement import agreement
from llmtriage.store.overview import overview


@contextmanager
def plans(store: SqlStore) -> Iterator[dict[str, list[str]]]:
    """How SQLite goes about each statement that is executed meanwhile."""
    found: dict[str, list[str]] = {}

    def look(connection: Any, _: object, statement: str, values: Any, __: object, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's
        if statement.startswith(("SELECT", "UPDATE")):
            steps = connection.connection.driver_connection.execute(
                f"explain query plan {statement}", values[0] if many else values
            )
            found[statement] = [step[3] for step in steps]

    engines = (store.database.engine, store.database.writer)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", look)


def walks(found: dict[str, list[str]]) -> set[str]:
    """The steps that read a whole table, or sort what no index has in order."""
    return {step for steps in found.values() for step in steps if step.startswith(("SCAN", "USE TEMP B-TREE"))}


def test_a_run_searches_and_never_scans(tmp_path: Path) -> None:
    """Tickets are looked up and kept by indexes alone, also those whose text another one has."""
    with SqlStore(tmp_path / "run.db") as store, plans(store) as found:
        for outcome in (accepted(), pending()):
            record(store, decision(ticket(), outcome))
            record(store, decision(ticket("T2"), outcome))
            recall(store, ticket())
            recall(store, ticket("T3"))
    assert len(found) == 7
    assert walks(found) == {"SCAN given", "SCAN CONSTANT ROW"}  # what is asked for


def test_what_is_due_is_taken_in_order_from_an_index(tmp_path: Path) -> None:
    """It is asked each second for each callback, and what has arrived stays for a month."""
    with SqlStore(tmp_path / "run.db") as store:
        outbox.follow(store, "crm")
        record(store, decision(ticket(), accepted()))
        with plans(store) as found:
            outbox.fill(store, "crm", ["accepted"], lambda _: None)
            assert len(outbox.take(store, "crm", 9)) == 1
            outbox.arrived(store, {1: 200})
            outbox.forget(store)
            inbox.put(store, "crm", "m1", ticket())
            assert len(inbox.take(store, 9)) == 1
            inbox.backlog(store)
            inbox.forget(store)
    assert walks(found) <= {"SCAN inbox USING INDEX ix_inbox_due", "SCAN inbox USING INDEX ix_inbox_ticket"}  # what waits alone
    assert any("ix_inbox_due (source=? AND next_at<?)" in step for steps in found.values() for step in steps)
    assert any("ix_inbox_ticket (ticket_key=? AND id<?)" in step for steps in found.values() for step in steps)
    assert any("ix_delivery_due (callback=? AND next_at<?)" in step for steps in found.values() for step in steps)


def test_what_is_due_is_taken_in_order_from_an_index_of_a_server(server: postgresql.Server, made_schema: str) -> None:
    """As soon as the table is long enough for it."""
    server.empty(made_schema)
    with SqlStore(server.url(schema=made_schema)) as store:
        found: list[str] = []

        def look(connection: Any, _: object, statement: str, values: Any, *__: object) -> None:
            if statement.startswith("SELECT") and "ORDER BY" in statement:
                cursor = connection.connection.driver_connection.cursor()
                cursor.execute("set local enable_seqscan = off")
                found.extend(line for (line,) in cursor.execute(f"explain {statement}", values))

        sa.event.listen(store.database.engine, "before_cursor_execute", look)
        outbox.follow(store, "crm")
        record(store, decision(ticket(), accepted()))
        outbox.fill(store, "crm", ["accepted"], lambda _: None)
        found.clear()
        assert len(outbox.take(store, "crm", 9)) == 1
    assert any("ix_delivery_due" in line for line in found)
    assert not any("Sort" in line for line in found)


def test_what_people_and_the_model_say_is_compared_by_indexes(tmp_path: Path) -> None:
    """Of an answer to a planned sample the last outcome of its text is wanted: by its ticket, not backwards through all outcomes."""
    with SqlStore(tmp_path / "run.db") as store, plans(store) as found:
        agreement(store.database)
    assert any("ix_outcome_ticket_id_id (ticket_id=?)" in step for steps in found.values() for step in steps)
    assert not any(step.startswith("SCAN outcome") for steps in found.values() for step in steps)


def test_an_overview_scans_neither_tickets_nor_outcomes(tmp_path: Path) -> None:
    """Nor answers and entries; but the few runs, and what waits."""
    calibration = promised()
    with SqlStore(tmp_path / "run.db") as store:
        accept_probes(store, run_under(calibration), [f"P{n}" for n in range(5)])
        decide_probes(store, ["refund"] * 3)
        with plans(store) as found:
            overview(store, SHOP, calibration)
    scans = {step for steps in found.values() for step in steps if step.startswith("SCAN")}
    assert scans == {"SCAN run", "SCAN queue_entry USING INDEX ix_queue_entry_open_lane"}


def test_what_waits_for_a_person_is_found_by_indexes(tmp_path: Path) -> None:
    """In the order of the page, without sorting; whether the person skipped an entry is looked up."""
    orders: list[Order] = ["oldest", "uncertain"]
    with SqlStore(tmp_path / "run.db") as store:
        record(store, decision(ticket(), pending()))
        with plans(store) as found:
            for order in orders:
                store.queue.page(Filters(open_to="王芳"), order)
                store.queue.claim("王芳", order=order)
    steps = {step for steps in found.values() for step in steps}
    assert {step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step} == {
        "SCAN queue_entry USING INDEX ix_queue_entry_open",
        "SCAN queue_entry USING INDEX ix_queue_entry_open_rank",
    }
    assert any(step.startswith("SEARCH skip USING COVERING INDEX") for step in steps)
