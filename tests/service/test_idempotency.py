"""A POST that is sent again under its key is answered as before, and does nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from serving import Served, started

from llmtriage.errors import StoreError
from llmtriage.service.serving import Service
from llmtriage.store import erasing, keys, recording, schema
from llmtriage.store.requests import Requests

Serve = Callable[..., Served]
LOST = {"id": "T1", "content": "我的包裹一直没有到，客服也没有人接电话"}
KEY = {"Idempotency-Key": "a-key"}


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tickets each call to the engine was about."""
    calls: list[int] = []
    decide = Service.decide

    async def counted(service: Service, tickets: Any) -> Any:
        calls.append(len(tickets))
        return await decide(service, tickets)

    monkeypatch.setattr(Service, "decide", counted)
    return calls


def test_the_same_request_is_answered_as_before(serve: Serve, decided: list[int]) -> None:
    """Status, body and kind; another key or none is another request."""
    client = serve().client
    first = client.post("/classify/single", json=LOST, headers=KEY)
    again = client.post("/classify/single", json=LOST, headers=KEY)
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert client.post("/classify/single", json=LOST, headers={"Idempotency-Key": "another"}).json()["recalled"]
    assert decided == [1, 1]


def test_no_ticket_text_is_kept(serve: Serve) -> None:
    """In the table."""
    served = serve()
    assert served.client.post("/classify/batch", json={"items": [LOST]}, headers=KEY).status_code == 200
    [row] = _kept(served)
    assert "包裹" not in str(row)
    assert row.status == 200


def test_no_ticket_text_is_kept_of_an_answer_taken_back(serve: Serve) -> None:
    """Its reply says where the ticket waits, not what stands in it; asked again it says the same, and takes back no second answer."""
    client = (served := serve()).client
    client.post("/classify/batch", json={"items": [LOST, {**LOST, "id": "T2"}]})
    for item in client.post("/queue/claim", json={"n": 2}).json()["items"]:
        client.post(f"/queue/{item['entry']}/confirm", json={"token": item["token"]})
    first, again = (client.post("/queue/undo", json={}, headers=KEY) for _ in range(2))
    assert (first.status_code, first.json()) == (200, again.json())
    assert "包裹" not in str(_kept(served))
    assert client.get(f"/queue/{first.json()['entry']}").json()["content"] == LOST["content"]
    assert client.get("/queue").json()["counts"]["entries"] == 1


def test_a_reply_is_for_who_may_have_it(serve: Serve) -> None:
    """A scope that was taken away is missed also by what was answered before."""
    served = serve()
    database = served.store.database
    made = keys.create(database, "crm", ["classify"])
    bearer = {"Authorization": f"Bearer {made.secret}"}
    assert served.client.post("/classify/single", json=LOST, headers={**bearer, **KEY}).status_code == 200
    keys.revoke(database, made.key.prefix)
    bearer = {"Authorization": f"Bearer {keys.create(database, 'crm', ['review']).secret}"}
    assert served.client.post("/classify/single", json=LOST, headers={**bearer, **KEY}).status_code == 403


def test_replies_go_after_their_day_also_where_no_new_one_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service itself looks for them."""
    with started(tmp_path) as served:
        assert served.client.post("/classify/single", json=LOST, headers=KEY).status_code == 200
        assert len(_kept(served)) == 1
    monkeypatch.setattr("llmtriage.store.requests.now", lambda: recording.now() + 86_400_000_001)
    with started(tmp_path) as served:
        for _ in range(200):
            if not _kept(served):
                break
            time.sleep(0.01)
        assert not _kept(served)


@pytest.mark.slow
def test_another_request_under_the_key_is_refused(serve: Serve, decided: list[int]) -> None:
    """Another body, path or query."""
    client = serve().client
    client.post("/classify/single", json=LOST, headers=KEY)
    for path, body in [
        ("/classify/single", {**LOST, "id": "T2"}),
        ("/classify/batch", {"items": [LOST]}),
        ("/classify/single?a", LOST),
    ]:
        reply = client.post(path, json=body, headers=KEY)
        assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
    assert decided == [1]


@pytest.mark.parametrize("key", ["", "x" * 201, "with blank", "钥匙".encode(), "a\tb"])
def test_a_key_is_visible_characters(serve: Serve, decided: list[int], key: str | bytes) -> None:
    """Two hundred at most."""
    headers: Any = {"Idempotency-Key": key}
    assert serve().client.post("/classify/single", json=LOST, headers=headers).status_code == 422
    assert decided == []


def test_a_refusal_is_answered_again_and_a_fault_is_not(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was wrong stays wrong; what could not be done may be tried again."""
    client = serve().client
    wrong = [client.post("/classify/single", json={"id": "T1"}, headers=KEY) for _ in range(2)]
    assert [one.status_code for one in wrong] == [422, 422]
    decide = Service.decide
    key = {"Idempotency-Key": "another"}
    for error in (StoreError("it is gone", store="here"), KeyError("x")):

        async def broken(*_: Any, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(Service, "decide", broken)
        assert client.post("/classify/single", json=LOST, headers=key).status_code >= 500
    monkeypatch.setattr(Service, "decide", decide)
    assert client.post("/classify/single", json=LOST, headers=key).status_code == 200


def test_a_request_whose_reply_was_erased_is_not_done_again(serve: Serve, decided: list[int]) -> None:
    """Nor is its reply made up."""
    served = serve()
    assert served.client.post("/classify/single", json=LOST, headers=KEY).status_code == 200
    erasing.erase_named(served.store, erasing.Named(["T1"]))
    again = served.client.post("/classify/single", json=LOST, headers=KEY)
    assert (again.status_code, again.json()["title"]) == (410, "what was answered was erased")
    assert decided == [1]


@pytest.mark.timeout(60)
def test_of_two_at_once_one_runs(serve: Serve, decided: list[int]) -> None:
    """The other is told to come again, then gets the answer of the first."""
    served = serve()
    begun, go_on = threading.Event(), threading.Event()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(Requests, "keep", _after(Requests.keep, begun, go_on))
        first = pool.submit(served.client.post, "/classify/single", json=LOST, headers=KEY)
        assert begun.wait(20)
        second = served.client.post("/classify/single", json=LOST, headers=KEY)
        assert (second.status_code, second.headers["retry-after"]) == (409, "1")
        go_on.set()
        assert first.result().status_code == 200
    third = served.client.post("/classify/single", json=LOST, headers=KEY)
    assert third.content == first.result().content
    assert decided == [1]


def _kept(served: Served) -> list[Any]:
    with served.store.database.reading() as connection:
        return list(connection.execute(sa.select(schema.idempotency)))


def _after(call: Callable[..., Any], begun: threading.Event, go_on: threading.Event) -> Callable[..., Any]:
    def waits(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return call(*arguments)

    return waits
