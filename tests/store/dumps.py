"""Writes a store of the present version as SQL: python tests/store/dumps.py. Done once a version, before its release."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from decided import accepted, answer, decision, entries, pending, record, ticket

from llmtriage.store import SqlStore, schema
from llmtriage.store.versions import LATEST

FOLDER = Path(__file__).parent / "versions"


def fill(store: SqlStore) -> None:
    """Put rows into every table."""
    first = ticket("我的耳机还没有退款", title="退款", customer="李雷", channel="chat", language="zh", metadata={"订单": "A-17"})
    record(store, decision(first, pending()), decision(ticket("where is my parcel", "T2"), accepted("parcel")))
    record(
        store, decision(ticket("drawn", "T3"), accepted(), probe=0.02), decision(ticket("second", "T4"), pending(None, "timeout"))
    )
    record(store, decision(ticket("second", "T4"), pending("parcel")))
    answer(store, entries(store)[0], note="电话里说的")
    waiting = entries(store)[0]
    common = {"created_at": 1}
    with store.database.writing() as connection:
        connection.execute(schema.skip.insert(), {"queue_entry_id": waiting.id, "reviewer": "王芳", "at": 1})
        connection.execute(schema.example_set.insert(), {"name": "一月", "hash": "h", **common})
        member = {"set_name": "一月", "position": 0, "ticket_text_id": 1, "category": "parcel"}
        connection.execute(schema.example_member.insert(), member)
        _fill_for_the_service(connection)
        look = {"sample": "s", "labels": 1, "alphas": [0.1], "delta": 0.05, "at": 1}
        connection.execute(schema.look.insert(), look)


def _fill_for_the_service(connection: sa.Connection) -> None:
    key = {"prefix": "abcd", "name": "helpdesk", "hash": b"h", "scopes": "classify", "created_at": 1}
    connection.execute(schema.api_key.insert(), key)
    connection.execute(schema.account.insert(), {"name": "王芳", "password": "p", "role": "lead", "created_at": 1})
    connection.execute(schema.erasure.insert(), {"subject": b"s", "event": 1, "at": 1})
    session = {"hash": b"s", "reviewer": "王芳", "role": "lead", "created_at": 1, "seen_at": 1}
    connection.execute(schema.session.insert(), session)
    connection.execute(schema.idempotency.insert(), {"caller": "abcd", "key": "k", "request": b"r", "created_at": 1})
    message = {"hook": "zendesk", "message": "m", "source": "", "ticket_key": "id:T5", "ticket": {"title": "退款"}}
    connection.execute(schema.inbox.insert(), {**message, "received_at": 1, "next_at": 1})
    connection.execute(schema.callback.insert(), {"name": "crm", "last_event": 0})
    delivery = {"callback": "crm", "event_id": 1, "ticket_id": 1, "body": {}, "attempts": 0, "next_at": 1}
    connection.execute(schema.delivery.insert(), delivery)


def main() -> None:
    """Write the file of this version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        with SqlStore(path) as store:
            fill(store)
        with closing(sqlite3.connect(path)) as connection:
            (FOLDER / f"{LATEST}.sql").write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
