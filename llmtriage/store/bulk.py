"""Many rows into a table. What SQLAlchemy does with each value takes longer than the database, so it is given the statement and the values."""

from __future__ import annotations

from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.store.records import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST = 256  # rows of one statement: in every table fewer values than a database takes at once


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], tail: str = "") -> list[sa.Row[Any]]:
    """Insert rows.

    Args:
        connection: In a transaction.
        table: Where to.
        rows: By the names of columns, all with the same ones in the same order, two at least.
        tail: What stands behind the values, such as "on conflict do nothing returning id": nothing from outside.

    Returns:
        What the tail returns.
    """
    found: list[sa.Row[Any]] = []
    if not rows:
        return found
    columns = tuple(rows[0])
    values, with_json = itemgetter(*columns), _with_json(table, columns)
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    for part in _parts(rows):
        given: list[Any] = []
        for row in part:
            given += values(row)
        for place in with_json:
            given[place :: len(columns)] = map(json_text, given[place :: len(columns)])
        result = connection.exec_driver_sql(_statement(table.name, columns, len(part), mark) + tail, tuple(given))
        found += result.all() if result.returns_rows else ()
    return found


def _parts(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Rows in powers of two, so that a database meets few different statements and keeps them compiled."""
    begin = 0
    while left := len(rows) - begin:
        size = min(MOST, 1 << left.bit_length() - 1)
        yield rows[begin : begin + size]
        begin += size


@cache
def _with_json(table: sa.Table, columns: tuple[str, ...]) -> Sequence[int]:
    """The places of columns that hold JSON."""
    return [place for place, name in enumerate(columns) if isinstance(table.c[name].type, sa.JSON)]


@cache
def _statement(table: str, columns: tuple[str, ...], rows: int, mark: str) -> str:
    row = f"({', '.join([mark] * len(columns))})"
    return f"insert into {table} ({', '.join(columns)}) values {', '.join([row] * rows)} "  # noqa: S608 - names of our own
