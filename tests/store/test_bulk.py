"""Many rows at once come out as they went in, in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from llmtriage.store import schema
from llmtriage.store.bulk import MOST, insert, known
from llmtriage.store.records import json_text

if TYPE_CHECKING:
    from llmtriage.store import SqlStore

HOSTILE = "%s ? :id '); drop table event; -- 退款"


def events(n: int, **more: Any) -> list[dict[str, Any]]:
    """Rows of the event log."""
    common = {"at": 2**40, "actor": HOSTILE, "kind": "outcome", "subject": "ticket", **more}
    return [
        {**common, "subject_id": number or None, "data": {"outcome": number, "说": [HOSTILE, 0.1, None]}} for number in range(n)
    ]


@pytest.mark.parametrize("n", [0, 1, 2, 7, MOST - 1, MOST, 2 * MOST + 3])
def test_rows_come_out_as_they_went_in(store: SqlStore, n: int) -> None:
    """However many; also with marks of parameters, nothing and JSON in them."""
    rows = events(n)
    with store.database.writing() as connection:
        assert insert(connection, schema.event, rows) == []
        table = schema.event.c
        found = connection.execute(sa.select(*(table[name] for name in events(1)[0])).order_by(table.id)).mappings().all()
    assert [dict(row) for row in found] == rows


def test_what_the_tail_returns(store: SqlStore) -> None:
    """Of the rows that were not there; a value of bytes comes back as such."""
    rows = [{"subject": bytes([number]) * 16, "event": number, "at": 1} for number in range(5)]
    with store.database.writing() as connection:
        found = insert(connection, schema.erasure, rows, "returning subject, event")
        assert [(bytes(row.subject), row.event) for row in found] == [(row["subject"], row["event"]) for row in rows]
        runs = [{"id": f"r{n}", "backend": "b", "fingerprint": {}, "version": "1", "started_at": n} for n in range(3)]
        assert [row.id for row in insert(connection, schema.run, runs[1:], "on conflict do nothing returning id")] == ["r1", "r2"]
        assert [row.id for row in insert(connection, schema.run, runs, "on conflict do nothing returning id")] == ["r0"]


def test_few_different_statements(store: SqlStore) -> None:
    """A database compiles each once: groups of every size need no more than nine for a table."""
    seen: set[str] = set()
    with store.database.writing() as connection:

        @sa.event.listens_for(connection, "before_cursor_execute")
        def look(_: Any, __: Any, statement: str, *___: Any) -> None:
            seen.add(statement)

        for n in range(1, 80):
            insert(connection, schema.event, events(n))
    assert len(seen) == 7  # 1, 2, 4 ... 64


@pytest.mark.parametrize("n", [0, 1, 3, MOST + 1])
def test_values_that_stand_there(store: SqlStore, n: int) -> None:
    """Those alone, each once however many rows hold it; with marks of parameters in them, and of bytes too."""
    rows = [
        *events(2),
        *({**row, "actor": f"{number}"} for number, row in enumerate(events(n))),
        events(1)[0] | {"kind": "other"},
    ]
    subjects = [{"subject": bytes([number % 256]) * 16, "event": number, "at": 1} for number in range(n)]
    with store.database.writing() as connection:
        insert(connection, schema.event, rows)
        insert(connection, schema.erasure, subjects)
        asked = [HOSTILE, "退", *(f"{number}" for number in range(-1, n + 1))]
        there = {HOSTILE, *(f"{number}" for number in range(n))}
        assert known(connection, schema.event.c.actor, asked) == there
        assert known(connection, schema.event.c.actor, asked, kind="other") == {HOSTILE}
        assert known(connection, schema.event.c.actor, asked, kind="other", subject="") == set()
        assert known(connection, schema.erasure.c.subject, [b"", *(row["subject"] for row in subjects)]) == {
            row["subject"] for row in subjects
        }


@pytest.mark.parametrize("value", [{}, [], {"退款": ["NaN", "Infinity", 1e-7, 1e16, 5e-324, -0.0, 2**53, None, True, "\x00"]}])
def test_json_comes_back_as_it_was(value: object) -> None:
    """Also words that look like numbers which are none."""
    assert json.loads(json_text(value)) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_no_json(number: float) -> None:
    """No database would read it again."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"score": number})


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    """No database takes one."""
    assert json_text({"note": "退\ud800款"}) == '{"note":"退\ufffd款"}'
