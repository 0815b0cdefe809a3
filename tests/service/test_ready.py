"""`/ready` says what cannot be used; a store that is gone loses nothing, and works again without a restart."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import postgresql
import pytest
from fastapi.testclient import TestClient
from serving import Served, started

from llmtriage.errors import StoreError
from llmtriage.service import readiness
from llmtriage.store import SqlStore, keys, recording

Serve = Callable[..., Served]


def _ticket(number: int) -> dict[str, str]:
    return {"id": f"T{number}", "content": f"我的包裹 {number} 一直没有到，客服也没有人接电话"}


def _parts(client: TestClient) -> tuple[int, dict[str, Any]]:
    reply = client.get("/ready")
    told = reply.json()
    assert told.pop("ready") == (reply.status_code == 200)
    del told["version"]
    return reply.status_code, told


def _is_refused(client: TestClient) -> None:
    """One ticket and a batch: as a problem that says when to come again."""
    for path, body in [("single", _ticket(2)), ("batch", {"items": [_ticket(2), _ticket(3)]})]:
        reply = client.post(f"/classify/{path}", json=body)
        assert (reply.status_code, reply.headers["content-type"]) == (503, "application/problem+json")
        assert int(reply.headers["retry-after"]) > 0
        assert "包裹" not in reply.text
    assert client.get("/health").status_code == 200


def _works_again(served: Served) -> None:
    """What was refused was not kept in part: it is decided once it is sent again."""
    assert _parts(served.client)[0] == 200
    assert served.store.queue.counts().entries == 1
    told = served.client.post("/classify/batch", json={"items": [_ticket(2), _ticket(3)]}).json()["items"]
    assert [one["outcome"]["recalled"] for one in told] == [False, False]
    assert served.store.queue.counts().entries == 3


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call looks at the store."""
    monkeypatch.setattr(readiness, "_FRESH", -1.0)


def _key(served: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.create(served.store.database, 'prometheus', ['admin']).secret}"}


@contextmanager
def _gone(folder: Path) -> Iterator[None]:
    """The store's files are elsewhere."""
    (folder / "away").mkdir()
    files = list(folder.glob("service.db*"))
    for file in files:
        file.rename(folder / "away" / file.name)
    yield
    for file in files:
        file.unlink(missing_ok=True)
        (folder / "away" / file.name).rename(file)


ALL_WELL = {"store": "ok", "writable": "ok", "backend": "ok", "calibration": "none"}


@pytest.mark.slow
def test_a_store_that_another_program_holds(serve: Serve, tmp_path: Path) -> None:
    """It can be read, not written."""
    served = serve(store={"busy_seconds": 0.1})
    assert served.client.post("/classify/single", json=_ticket(1)).status_code == 200
    assert _parts(served.client) == (200, ALL_WELL)
    with closing(sqlite3.connect(tmp_path / "service.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        assert _parts(served.client) == (503, {**ALL_WELL, "writable": "another program holds the store"})
        _is_refused(served.client)
        assert served.client.get("/metrics").status_code == 200
    _works_again(served)


def test_a_file_that_is_gone_and_back(serve: Serve, tmp_path: Path) -> None:
    """Nothing is written to a file that nobody can find."""
    served = serve()
    assert served.client.post("/classify/single", json=_ticket(1)).status_code == 200
    with _gone(tmp_path):
        status, parts = _parts(served.client)
        assert status == 503
        assert parts["backend"] == "ok"
        _is_refused(served.client)
    _works_again(served)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_however_many_ask_the_store_is_looked_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a time, and for two seconds: each look takes the turn of a writer."""
    served, seen = serve(), threading.Semaphore(0)
    check, go_on = type(served.store).check, threading.Event()

    def slow(store: SqlStore, *, writes: bool = True) -> None:
        seen.release()
        assert go_on.wait(20)
        check(store, writes=writes)

    monkeypatch.setattr(type(served.store), "check", slow)
    monkeypatch.setattr(readiness, "_FRESH", 2.0)
    with ThreadPoolExecutor(5) as pool:
        at_once = [pool.submit(served.client.get, "/ready") for _ in range(5)]
        assert seen.acquire(timeout=20)
        go_on.set()
        assert [one.result().status_code for one in at_once] == [200] * 5
    assert served.client.get("/ready").status_code == 200
    assert [seen.acquire(blocking=False) for _ in range(2)] == [True, False]  # to write, after to read
    served.client.app.state.readiness._fresh_until = 0  # type: ignore[attr-defined]
    assert served.client.get("/ready").status_code == 200
    assert [seen.acquire(blocking=False) for _ in range(3)] == [True, True, False]


@pytest.mark.timeout(60)
def test_a_store_that_says_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is waited for by one thread, and not for ever."""
    served, go_on, waiting = serve(), threading.Event(), threading.Semaphore(0)

    def hangs(_: SqlStore, *, writes: bool = True) -> None:
        waiting.release()
        assert go_on.wait(20), writes

    monkeypatch.setattr(readiness, "_PATIENCE", 0.05)
    monkeypatch.setattr(type(served.store), "check", hangs)
    silent = "it does not answer"
    assert [_parts(served.client) for _ in range(3)] == [(503, {**ALL_WELL, "store": silent, "writable": silent})] * 3
    assert [waiting.acquire(blocking=False) for _ in range(2)] == [True, False]
    go_on.set()


def test_what_is_wrong_is_told_to_who_shows_a_key(serve: Serve) -> None:
    """Others are told which part it is: an error may hold an address."""
    served = serve()
    key = _key(served)
    served.service.trouble = "http://10.0.0.9:8000/v1 cannot be reached"
    assert _parts(served.client) == (503, {**ALL_WELL, "backend": "failing"})
    assert served.client.get("/ready").json()["version"] is None
    reply = served.client.get("/ready", headers=key)
    assert (reply.json()["backend"], reply.json()["version"]) == (served.service.trouble, served.service.versions.current.id)
    assert "10.0.0.9" not in served.client.get("/ready", headers={"Authorization": "Bearer lt_x"}).text


def test_the_figures_are_told_while_the_store_is_gone(serve: Serve, tmp_path: Path) -> None:
    """To a key that could be used in the last hour, and nothing else to it after a minute; of others nobody can say whether they could."""
    served, clock = serve(), [0.0]
    access = served.client.app.state.access  # type: ignore[attr-defined]
    access.remembered._clock = lambda: clock[0]
    known, unknown, revoked = _key(served), _key(served), _key(served)
    for key in (known, revoked):
        assert served.client.get("/metrics", headers=key).status_code == 200
    keys.revoke(served.store.database, revoked["Authorization"].removeprefix("Bearer "))
    assert served.client.get("/metrics", headers=revoked).status_code == 401
    with _gone(tmp_path):
        served.service.metrics._read_at = -math.inf
        clock[0] = 60
        page = served.client.get("/metrics", headers=known)
        assert "llmtriage_store_up 0.0" in page.text
        assert 'llmtriage_http_requests_total{method="GET",route="/metrics",status="200"} 2.0' in page.text
        assert served.client.get("/ready", headers=known).json()["store"] == "the file is gone"
        assert served.client.get("/categories", headers=known).status_code == 403
        for key in (unknown, revoked):
            assert served.client.get("/metrics", headers=key).status_code == 503
        clock[0] += 0.1
        assert served.client.get("/categories", headers=known).status_code == 503
        clock[0] = 3600
        assert "llmtriage_store_up 0.0" in served.client.get("/metrics", headers=known).text
        clock[0] += 0.1
        assert served.client.get("/metrics", headers=known).status_code == 503
    assert served.client.get("/metrics", headers=unknown).status_code == 200


def test_a_store_that_just_failed_is_asked_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the key, not for the figures too, nor for the next key within seconds: who reads the figures does not wait for long."""
    served, clock, looks = serve(), [0.0], list[str]()
    access = served.client.app.state.access  # type: ignore[attr-defined]
    access.remembered._clock = lambda: clock[0]
    known = _key(served)
    assert "llmtriage_store_up 1.0" in served.client.get("/metrics", headers=known).text

    def hangs(*_: Any, **__: Any) -> None:
        looks.append("look")
        raise StoreError("the server does not answer in time", store="x")

    with monkeypatch.context() as away:
        away.setattr(keys, "find", hangs)
        away.setattr(type(served.store.queue), "counts", hangs)
        for at, asked in ((1.0, 1), (2.0, 1), (7.0, 2)):
            clock[0] = at
            assert "llmtriage_store_up 0.0" in served.client.get("/metrics", headers=known).text
            assert len(looks) == asked
    clock[0] = 13.0
    assert "llmtriage_store_up 1.0" in served.client.get("/metrics", headers=known).text


def test_a_key_that_expires_meanwhile_is_refused(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its day is known."""
    served = serve()
    secret = keys.create(served.store.database, "prometheus", ["admin"], days=1).secret
    bearer = {"Authorization": f"Bearer {secret}"}
    assert served.client.get("/metrics", headers=bearer).status_code == 200
    with _gone(tmp_path):
        assert served.client.get("/metrics", headers=bearer).status_code == 200
        monkeypatch.setattr(keys, "now", lambda: recording.now() + 86_400_000_000)
        assert served.client.get("/metrics", headers=bearer).status_code == 401


@pytest.mark.slow
def test_a_server_that_is_gone_and_back(tmp_path: Path) -> None:
    """PostgreSQL, stopped and started again."""
    if postgresql.programs() is None:
        pytest.skip("no PostgreSQL here: install postgresql")
    with postgresql.running() as server, started(tmp_path, store={"where": server.url()}) as served:
        assert served.client.post("/classify/single", json=_ticket(1)).status_code == 200
        server.stop()
        gone = "the server cannot be reached"
        assert _parts(served.client) == (503, {**ALL_WELL, "store": gone, "writable": gone})
        _is_refused(served.client)
        server.start()
        _works_again(served)
