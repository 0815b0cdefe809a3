"""Tickets over HTTP: each is decided and kept, and a bad one fails alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving import Served

from llmtriage.errors import BackendError
from llmtriage.predictions import Failure

Serve = Callable[..., Served]
LOST = {"id": "T1", "title": "Parcel lost", "content": "My parcel never arrived and nobody answers the phone"}
REFUND = {"id": "T2", "title": "退款", "content": "我的订单已经退货两周了，钱还没有退回来"}


def test_a_ticket_is_decided_and_kept(serve: Serve) -> None:
    """The answer says what was decided, by which version and how long it took; the store has it."""
    served = serve(triage={"threshold": 0.0})
    reply = served.client.post("/classify/single", json=LOST)
    assert reply.status_code == 200
    told = reply.json()
    assert told["outcome"] == "accepted"
    assert told["category"] in [leaf.id for leaf in served.service.taxonomy.leaves]
    assert told["version"] == served.service.versions.current.id
    assert 0 < told["processing_time"] < 10
    assert not told["recalled"]
    assert served.client.post("/classify/single", json=LOST).json()["recalled"]


def test_reasons_are_in_the_language_of_the_service(serve: Serve) -> None:
    """Chinese where that is wanted."""
    told = serve(language="zh").client.post("/classify/single", json=REFUND).json()
    assert told["outcome"] == "pending"
    assert [one["code"] for one in told["reasons"]] == ["uncalibrated"]
    assert "校准" in told["reasons"][0]["text"]


def test_a_bad_item_fails_alone(client: TestClient) -> None:
    """With its place and what is wrong; the others are decided in their places."""
    items: list[Any] = [LOST, {"title": "no content"}, REFUND, {"content": "x", "colour": "red"}, LOST]
    told = client.post("/classify/batch", json={"items": items}).json()["items"]
    assert [one["index"] for one in told] == [0, 1, 2, 3, 4]
    assert [one["outcome"] is not None for one in told] == [True, False, True, False, False]
    assert told[2]["outcome"]["id"] == "T2"
    assert told[1]["errors"] == [{"place": "items/1/content", "problem": "Field required"}]
    assert told[4]["errors"] == [{"place": "items/4/id", "problem": "an item before has this id"}]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"content": 7}, "body/content"),
        ({}, "body/content"),
        ({"content": "x", "urgent": True}, "body/urgent"),
        ({"content": "x", "id": "9" * 10_000}, "body/id"),
        ({"content": "x", "metadata": {"a": 1}}, "body/metadata/a"),
    ],
)
def test_a_request_that_is_not_what_is_wanted_is_told_without_its_text(
    client: TestClient, body: dict[str, Any], place: str
) -> None:
    """As a problem that names the place and holds nothing of what was sent."""
    reply = client.post("/classify/single", json=body)
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert place in [one["place"] for one in problem["errors"]]
    assert "9999" not in reply.text


def test_an_engine_that_cannot_work_lets_tickets_wait(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a 500: a reason on each ticket, and `/ready` says what is wrong, until it works again."""
    served = serve(triage={"threshold": 0.0})
    backend = served.service.versions.current.triage.backend
    works = type(backend).predict

    def broken(*_: Any, **__: Any) -> Any:
        raise BackendError("it is away", backend="lexical")

    monkeypatch.setattr(type(backend), "predict", broken)
    told = served.client.post("/classify/single", json=LOST).json()
    assert told["outcome"] == "pending"
    assert [one["code"] for one in told["reasons"]] == ["backend_unavailable"]
    ready = served.client.get("/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert "away" in ready.json()["backend"]
    assert served.store.queue.counts().reasons == {"backend_unavailable": 1}
    monkeypatch.setattr(type(backend), "predict", works)
    assert served.client.post("/classify/single", json=LOST).json()["outcome"] == "accepted"
    assert served.client.get("/ready").status_code == 200
    assert served.store.queue.counts().entries == 0


def test_an_engine_that_fails_ticket_by_ticket_is_told_too(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that was there when the service began; a ticket that nobody is asked about changes nothing of it."""
    served = serve(triage={"threshold": 0.0})
    assert served.client.post("/classify/single", json=LOST).json()["outcome"] == "accepted"
    backend = served.service.versions.current.triage.backend

    async def away(_: Any, questions: Any, **__: Any) -> Any:
        async for _question in questions:
            yield Failure(reason="backend_unavailable", detail="no connection")

    works = type(backend).predict
    monkeypatch.setattr(type(backend), "predict", away)
    told = served.client.post("/classify/single", json=REFUND).json()
    assert [one["code"] for one in told["reasons"]] == ["backend_unavailable"]
    assert served.client.post("/classify/single", json=LOST).json()["recalled"]
    assert served.client.post("/classify/single", json={"content": "?"}).json()["outcome"] == "pending"
    ready = served.client.get("/ready")
    assert (ready.status_code, ready.json()["backend"]) == (503, "no connection")
    monkeypatch.setattr(type(backend), "predict", works)
    served.client.post("/classify/single", json=REFUND)
    assert served.client.get("/ready").status_code == 200


def test_a_newer_text_of_a_ticket_takes_its_place_in_the_queue(serve: Serve) -> None:
    """However long the service has run: an edit is no second ticket."""
    served = serve()
    for content in ("the first text of it", "the second text of it", "the third text of it"):
        served.client.post("/classify/single", json={"id": "T1", "content": content})
    [item] = served.store.queue.page().items
    assert item.ticket.content == "the third text of it"
