"""A store is made by opening it."""

from __future__ import annotations

from dataclasses import replace

from decided import accepted, decision, recall, record, ticket

from llmtriage.store import SqlStore


def test_a_store_is_made_by_opening_it(nothing: str) -> None:
    """What one process stored, another one knows."""
    with SqlStore(nothing) as store:
        record(store, decision(ticket(), accepted()))
    with SqlStore(nothing) as store:
        (known,) = recall(store, ticket())
    assert known
    assert known.own
    assert known.outcome == replace(accepted(), ticket_id="T1")
