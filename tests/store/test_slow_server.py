"""A server that does not answer is given up, in one line, and works again when it is back."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import postgresql
import pytest
from decided import accepted, decision, record, rows, ticket
from hooked import until
from serving import started

from llmtriage.errors import StoreError
from llmtriage.service.hooks import working
from llmtriage.service.serving import Service
from llmtriage.store import SqlStore, database, inbox, schema
from llmtriage.store.database import Database

_NO_ANSWER = r"the server does not answer in time; see whether it runs and how busy it is, and whether it was kept"


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the real one has, in less time."""
    monkeypatch.setattr(database, "_STATEMENT_SECONDS", 1.0)
    monkeypatch.setattr(database, "_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(database, "_CONNECT_SECONDS", 2)


@pytest.fixture
def kept(server: postgresql.Server, made_schema: str) -> Iterator[SqlStore]:
    """A store in PostgreSQL in which nothing is."""
    server.empty(made_schema)
    with SqlStore(server.url(schema=made_schema)) as store:
        yield store


@pytest.mark.slow
def test_a_server_that_stands_still_is_told_and_the_store_goes_on_when_it_is_back(
    server: postgresql.Server, kept: SqlStore
) -> None:
    """Reading, writing, and with a new connection; its side of the connections stays open all the time."""
    record(kept, decision(ticket(), accepted()))
    with server.standing_still():
        for _ in range(2):  # with the connection there is, then with a new one
            began = time.monotonic()
            with pytest.raises(StoreError, match=_NO_ANSWER):
                kept.recall([(ticket(), "run-1")])
            assert time.monotonic() - began < 8
        with pytest.raises(StoreError, match=_NO_ANSWER):
            record(kept, decision(ticket("another", "T2"), accepted()))
    record(kept, decision(ticket("another", "T2"), accepted()))
    assert [row.external_id for row in rows(kept, schema.ticket)] == ["T1", "T2"]


@pytest.mark.slow
def test_nobody_waits_for_ever_for_a_server_that_takes_a_connection_and_says_nothing() -> None:
    """As behind a firewall that has forgotten it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(StoreError, match=_NO_ANSWER):
            SqlStore(f"postgresql://u:wr0ng@127.0.0.1:{port}/d")
        assert time.monotonic() - began < 8


@pytest.mark.slow
def test_a_statement_that_takes_too_long_is_ended(kept: SqlStore) -> None:
    """By the server itself, so that it does not go on with it; tables may take as long as they need."""
    with pytest.raises(StoreError, match=_NO_ANSWER), kept.database.reading() as connection:
        connection.exec_driver_sql("select pg_sleep(20)")
    with kept.database.changing_tables() as connection:
        connection.exec_driver_sql("select pg_sleep(1.7)")
    with kept.database.reading() as connection:
        assert connection.exec_driver_sql("show statement_timeout").scalar_one() == "1s"


@pytest.mark.parametrize(("own", "seconds"), [("0", float("inf")), ("2s", 2.5)])
def test_what_the_address_says_counts(server: postgresql.Server, own: str, seconds: float) -> None:
    """Of statements; and of connections: keepalives, how long to wait."""
    url = f"{server.url()}%20-cstatement_timeout%3D{own}&connect_timeout=3&keepalives_idle=7"
    found = Database(url)
    with found.reading() as connection:
        assert connection.exec_driver_sql("show statement_timeout").scalar_one() == own
        own_connection = connection.connection.driver_connection
        assert own_connection is not None
        assert own_connection.patience == pytest.approx(seconds)
        said = own_connection.info.get_parameters()
    found.close()
    assert (said["connect_timeout"], said["keepalives_idle"], said["keepalives_count"]) == ("3", "7", "3")
    assert said["tcp_user_timeout"] == "30000"


def test_who_finds_all_connections_in_use_is_told(kept: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, after some seconds."""
    monkeypatch.setattr(kept.database.engine.pool, "_timeout", 0.1)
    told: list[str] = []

    def read(left: int) -> None:
        with kept.database.reading():
            if left:
                read(left - 1)

    def many() -> None:
        try:
            read(20)
        except StoreError as error:
            told.append(str(error))

    thread = Thread(target=many)
    thread.start()
    thread.join(20)
    assert len(told) == 1
    assert "all its connections are in use; try again in a moment" in told[0]


@pytest.mark.slow
def test_a_service_waits_for_a_server_that_stands_still(
    server: postgresql.Server, made_schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who asks is told to come again; a message that came before is decided when it is back, for it had no fault of its own."""
    server.empty(made_schema)
    monkeypatch.setattr(working, "_FIRST_WAIT", 0.1)
    decide, still = Service.decide, ExitStack()

    async def stands_still(service: Service, tickets: Any) -> Any:
        monkeypatch.setattr(Service, "decide", decide)
        still.enter_context(server.standing_still())
        return await decide(service, tickets)

    with started(tmp_path, store={"where": server.url(schema=made_schema)}) as served, still:
        monkeypatch.setattr(Service, "decide", stands_still)
        inbox.put(served.store, "crm", "m1", ticket("我的包裹一直没有收到"))
        until(lambda: "messages wait: the server does not answer in time" in caplog.text)
        reply = served.client.post("/classify/single", json={"content": "我的包裹一直没有收到"})
        assert (reply.status_code, reply.json()["title"]) == (503, "the server does not answer in time")
        assert reply.headers["retry-after"]
        assert served.client.get("/health").status_code == 200
        still.close()
        until(lambda: not inbox.waiting(served.store))
        assert len(rows(served.store, schema.outcome)) == 1
    assert "cannot be decided" not in caplog.text
