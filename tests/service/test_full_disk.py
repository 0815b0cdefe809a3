"""A store that takes no writes: who asks is told to come again, nothing is kept by halves, and all goes on when there is room again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from decided import entries, rows
from hooked import SECRET, standard, until
from serving import Served

from llmtriage.service.hooks import working
from llmtriage.service.serving import Service
from llmtriage.store import inbox, schema

Serve = Callable[..., Served]
HOOKS = {"crm": {"secret_env": "CRM_SECRET"}}


def _ticket(number: int, *, times: int = 200) -> dict[str, Any]:
    return {"id": f"T{number}", "title": f"包裹 {number}", "content": f"我的包裹一直没有收到 {number}。" * times}


@contextmanager
def _full(served: Served, pages: int = 8) -> Iterator[None]:
    """As on a disk without room: while the block goes on the file may grow by some pages and no more."""
    engine = served.store.database.writer
    with served.store.database.reading() as connection:
        most = connection.exec_driver_sql("pragma page_count").scalar_one() + pages

    def limit(connection: Any, _: object) -> None:
        connection.execute(f"pragma max_page_count={most}")

    sa.event.listen(engine, "connect", limit)
    engine.dispose()
    try:
        yield
    finally:
        sa.event.remove(engine, "connect", limit)
        engine.dispose()


@contextmanager
def _locked(served: Served) -> Iterator[None]:
    """Another program writes, and does not end."""
    with closing(sqlite3.connect(served.store.name, isolation_level=None)) as other:
        other.execute("begin immediate")
        yield
        other.execute("rollback")


def _is_told(reply: Any, title: str) -> bool:
    assert (reply.status_code, reply.json()["title"]) == (503, title)
    assert int(reply.headers["retry-after"]) > 0
    assert "包裹" not in reply.text
    return True


def _whole(served: Served) -> set[str]:
    """The tickets that are kept; each with its text, its outcome, its event and its place in the queue."""
    kept = rows(served.store, schema.ticket)
    decided = [row for row in rows(served.store, schema.event) if row.kind == "outcome"]
    found = [rows(served.store, table) for table in (schema.ticket_text, schema.outcome, schema.queue_entry)]
    assert [len(one) for one in (*found, decided)] == [len(kept)] * 4
    assert sum(row.n for row in rows(served.store, schema.daily_count)) == len(kept)
    return {row.external_id for row in kept}


@pytest.fixture
def served(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A service that waits for nobody, and in which every ticket waits."""
    monkeypatch.setenv("CRM_SECRET", SECRET)
    monkeypatch.setattr(working, "_FIRST_WAIT", 0.05)
    return serve(hooks=HOOKS, store={"busy_seconds": 0.1}, second=0.0)


@pytest.mark.slow
def test_a_full_disk_is_told_and_nothing_is_kept_by_halves(served: Served) -> None:
    """Each ticket is answered with 200 and kept, or with 503 and not; after that the same one is taken, under the same key."""
    client, told = served.client, set()
    with _full(served):
        for number in range(40):
            reply = client.post("/classify/single", json=_ticket(number), headers={"Idempotency-Key": f"K{number}"})
            if reply.status_code != 200 and _is_told(reply, "the disk is full"):
                break
            told.add(f"T{number}")
        assert _whole(served) == told
        assert number < 39
        body = json.dumps(_ticket(99, times=2000), ensure_ascii=False).encode()
        assert _is_told(client.post("/hooks/crm", content=body, headers=standard("m1", body)), "the disk is full")
        assert _is_told(client.post("/classify/batch", json={"items": [_ticket(n) for n in range(50, 60)]}), "the disk is full")
        assert _whole(served) == told
        assert client.get("/health").status_code == 200
        assert client.get("/queue").status_code == 200
    again = client.post("/classify/single", json=_ticket(number), headers={"Idempotency-Key": f"K{number}"})
    assert again.status_code == 200
    assert _whole(served) == told | {f"T{number}"}
    assert client.post("/hooks/crm", content=body, headers=standard("m1", body)).status_code == 202
    until(lambda: inbox.waiting(served.store) == 0)
    assert "T99" in _whole(served)


def test_a_message_that_was_taken_waits_until_the_disk_has_room(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was answered with 202, so it is not lost, and it has no fault of its own."""
    decide, full = Service.decide, ExitStack()

    async def finds_it_full(service: Service, tickets: Any) -> Any:
        monkeypatch.setattr(Service, "decide", decide)
        full.enter_context(_full(served, pages=0))
        return await decide(service, tickets)

    with full:
        monkeypatch.setattr(Service, "decide", finds_it_full)
        body = json.dumps(_ticket(1, times=2000), ensure_ascii=False).encode()
        assert served.client.post("/hooks/crm", content=body, headers=standard("m1", body)).status_code == 202
        until(lambda: "messages wait: the disk is full" in caplog.text)
        assert _whole(served) == set()
        assert inbox.waiting(served.store) == 1
    until(lambda: inbox.waiting(served.store) == 0)
    assert _whole(served) == {"T1"}
    assert "cannot be decided" not in caplog.text


@pytest.mark.slow
def test_a_store_that_another_program_holds_is_told(served: Served) -> None:
    """Reading goes on; what was refused is done when it lets go."""
    client = served.client
    assert client.post("/classify/single", json=_ticket(1)).status_code == 200
    [entry] = entries(served.store)
    [item] = client.post("/queue/claim", json={"reviewer": "王芳"}).json()["items"]
    with _locked(served):
        held = "another program holds the store"
        assert _is_told(client.post("/classify/single", json=_ticket(2), headers={"Idempotency-Key": "K"}), held)
        said = {"reviewer": "王芳", "token": item["token"], "category": "other"}
        assert _is_told(client.post(f"/queue/{entry.id}/correct", json=said), held)
        assert client.get(f"/queue/{entry.id}").status_code == 200
        assert client.get("/tickets/T1").status_code == 200
    assert client.post("/classify/single", json=_ticket(2), headers={"Idempotency-Key": "K"}).status_code == 200
    assert client.post(f"/queue/{entry.id}/correct", json=said).status_code == 200
    assert [row.category for row in rows(served.store, schema.review)] == ["other"]
