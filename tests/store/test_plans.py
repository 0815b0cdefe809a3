"""What a run asks the store never reads a whole table: else each ticket costs more than the one before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from decided import accepted, decision, pending, recall, record, ticket
from drawn import SHOP
from overseen import accept_probes, decide_probes, promised, run_under

from llmtriage.reviewing import Filters, Order
from llmtriage.store import SqlStore
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

    sa.event.listen(store.database.engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        sa.event.remove(store.database.engine, "before_cursor_execute", look)


def test_a_run_searches_and_never_scans(tmp_path: Path) -> None:
    """Tickets are looked up and kept by indexes alone, also those whose text another one has."""
    with SqlStore(tmp_path / "run.db") as store, plans(store) as found:
        for outcome in (accepted(), pending()):
            record(store, decision(ticket(), outcome))
            record(store, decision(ticket("T2"), outcome))
            recall(store, ticket())
            recall(store, ticket("T3"))
    assert len(found) == 4
    assert {step for steps in found.values() for step in steps if step.startswith("SCAN")} == set()


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
