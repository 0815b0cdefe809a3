"""`/ready` says what cannot be used; a store that is gone loses nothing, and works again without a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import postgresql
import pytest
from fastapi.testclient import TestClient
from serving import Served, started

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


ALL_WELL = {"store": "ok", "writable": "ok", "backend": "ok", "calibration": "none"}


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
    (tmp_path / "away").mkdir()
    files = list(tmp_path.glob("service.db*"))
    for file in files:
        file.rename(tmp_path / "away" / file.name)
    status, parts = _parts(served.client)
    assert status == 503
    assert parts["backend"] == "ok"
    _is_refused(served.client)
    for file in files:
        file.unlink(missing_ok=True)
        (tmp_path / "away" / file.name).rename(file)
    _works_again(served)


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
