"""Labels of the helpdesk over HTTP: each by itself, once, and told to nobody who is to decide blind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.testclient import TestClient
from serving import Served

Serve = Callable[..., Served]
AT = "2026-01-05T09:02:00+08:00"


def label(served: Served, **more: Any) -> dict[str, Any]:
    """What a person in the helpdesk says."""
    return {"id": "T1", "category": served.service.taxonomy.leaves[0].id, "reviewer": "王芳", "at": AT, **more}


def send(client: TestClient, *items: Any, **more: Any) -> list[Any]:
    """What became of labels."""
    reply = client.post("/reviews", json={"items": list(items), **more})
    assert reply.status_code == 200, reply.text
    return list(reply.json()["items"])


def test_a_label_closes_what_waits(serve: Serve) -> None:
    """It stands, under both names, and the same again changes nothing."""
    served = serve()
    served.client.post("/classify/single", json={"id": "T1", "content": "我的包裹丢了"})
    assert send(served.client, label(served)) == [{"index": 0, "status": 200, "became": "kept", "errors": None}]
    assert [one["became"] for one in send(served.client, label(served), label(served, at="2026-01-05T01:02:00Z"))] == [
        "known"
    ] * 2
    assert served.store.queue.counts().entries == 0
    (kept,) = served.store.queue.labels()
    assert (kept.reviewer, kept.lane, kept.category) == ("local/王芳", "pending", label(served)["category"])
    answers = served.client.get("/tickets/T1").json()["answers"]
    assert [(one["outside"], one["at"]) for one in answers] == [(True, "2026-01-05T01:02:00Z")]


def test_a_bad_label_fails_alone(serve: Serve) -> None:
    """With its place and what is wrong."""
    served = serve()
    served.client.post("/classify/single", json={"id": "T1", "content": "my parcel is lost"})
    good = label(served)
    bare = {name: value for name, value in good.items() if name != "at"}
    late = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    found = send(
        served.client,
        label(served, id="T9"),
        label(served, category="no.such"),
        bare,
        label(served, at="2026-01-05T09:02:00"),
        label(served, at=late),
        label(served, colour="red"),
        label(served, reviewer="a\nb"),
        label(served, at="1e9999"),
        good,
        label(served, at="2025-01-05T09:02:00Z"),
    )
    assert [one["status"] for one in found] == [404, 422, 422, 422, 422, 422, 422, 422, 200, 409]
    places = [one["errors"][0]["place"] for one in found if one["errors"]]
    assert places[:5] == ["items/0/id", "items/1/category", "items/2/at", "items/3/at", "items/4/at"]
    assert len(list(served.store.queue.labels())) == 1


def test_a_probe_goes_on_waiting_and_is_not_told(serve: Serve) -> None:
    """The reply is the same as of any other ticket."""
    served = serve(triage={"probe": 1.0})
    served.client.post("/classify/single", json={"id": "T1", "content": "退款"})
    assert send(served.client, label(served)) == [{"index": 0, "status": 200, "became": "kept", "errors": None}]
    assert served.store.queue.counts().lanes == {"probe": 1}


def test_a_body_that_is_not_what_is_wanted(client: TestClient) -> None:
    """None, too many, or something else."""
    bad: list[Any] = [{"items": []}, {"items": [{}] * 1_001}, {"items": "x"}, {"items": [1]}, {}, [], {"items": [{}], "more": 1}]
    for body in bad:
        assert client.post("/reviews", json=body).status_code == 422
