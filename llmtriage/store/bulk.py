"""Many rows, many values at once. What SQLAlchemy does with each takes longer than the database, so it is given the statement itself."""

from __future__ import annotations

from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from llmtriage.store.records import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

T = TypeVar("T")

MOST = 256  # rows of one statement: in every table fewer values than a database takes at once


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], tail: str = "") -> Sequence[Any]:
    """Insert rows.

    Args:
        connection: In a transaction.
        table: Where to.
        rows: By the names of columns, all with the same ones in the same order, two at least.
        tail: What stands behind the values, such as "on conflict do nothing returning id": nothing from outside.

    Returns:
        What the tail returns.
    """
    found: list[Any] = []
    if not rows:
        return found
    columns = tuple(rows[0])
    values, with_json = itemgetter(*columns), _with_json(table, columns)
    for part in _parts(rows):
        given: list[Any] = []
        for row in part:
            given += values(row)
        for place in with_json:
            given[place :: len(columns)] = map(json_text, given[place :: len(columns)])
        statement = _insertion(table.name, columns, len(part), _mark(connection))
        result = connection.exec_driver_sql(statement + tail, tuple(given))
        found += result.all() if result.returns_rows else ()
    return found


def known(
    connection: sa.Connection, column: sa.Column[T], values: Iterable[T], *conditions: sa.ColumnElement[bool], **fixed: Any
) -> set[T]:
    """Those of the values that stand in a column, which has an index.

    Args:
        connection: To read with.
        column: Where to look.
        values: What to look for.
        conditions: Of the index, such as `schema.COSTLY`, where it holds some of the rows alone.
        fixed: What other columns of the same rows must hold.
    """
    found: set[T] = set()
    for part in _parts(list(values)):
        wanted = (f"{column.name} = column1", *map(str, conditions), *(f"{name} = {_mark(connection)}" for name in fixed))
        statement = _search(column.table.name, wanted, len(part), _mark(connection))
        found.update(connection.exec_driver_sql(statement, (*part, *fixed.values())).scalars())
    return found


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Items in powers of two, so that a database meets few different statements and keeps them compiled."""
    begin = 0
    while left := len(items) - begin:
        size = min(MOST, 1 << left.bit_length() - 1)
        yield items[begin : begin + size]
        begin += size


def _mark(connection: sa.Connection) -> str:
    return "?" if connection.dialect.paramstyle == "qmark" else "%s"


@cache
def _with_json(table: sa.Table, columns: tuple[str, ...]) -> Sequence[int]:
    """The places of columns that hold JSON."""
    return [place for place, name in enumerate(columns) if isinstance(table.c[name].type, sa.JSON)]


@cache
def _insertion(table: str, columns: tuple[str, ...], rows: int, mark: str) -> str:
    row = f"({', '.join([mark] * len(columns))})"
    return f"insert into {table} ({', '.join(columns)}) values {', '.join([row] * rows)} "  # noqa: S608 - names of our own


@cache
def _search(table: str, wanted: tuple[str, ...], values: int, mark: str) -> str:
    """Looks each value up by itself: thousands of rows with one value take no longer than one. Databases call what VALUES gives column1."""
    given = ", ".join([f"({mark})"] * values)
    where = f"SELECT 1 FROM {table} WHERE {' AND '.join(wanted)}"  # noqa: S608 - names of our own
    return f"SELECT column1 FROM (VALUES {given}) AS given WHERE EXISTS ({where})"  # noqa: S608
