"""What is known of a ticket over HTTP: what became of it, and of a probe nothing that a model said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import Served

from llmtriage.service.access import Caller, caller_of
from llmtriage.store import SqlStore, erasing, schema

Serve = Callable[..., Served]
LOST = {"id": "T/1 中", "title": "Parcel lost", "content": "My parcel never arrived and nobody answers the phone"}


def told(served: Served, ticket_id: str = "T/1 中", **params: Any) -> Any:
    """What is known."""
    reply = served.client.get(f"/tickets/{ticket_id}", params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_ticket_that_waits_and_is_answered(serve: Serve) -> None:
    """Its outcome with version and time, its place in the queue, then the answer."""
    served = serve()
    decided = served.client.post("/classify/single", json=LOST).json()
    known = told(served)
    assert (known["id"], known["source"], known["category"], known["decided_by"]) == ("T/1 中", "", None, None)
    assert known["current"]["outcome"]["suggestion"] == decided["suggestion"]
    assert known["current"]["outcome"]["version"] == decided["version"]
    assert known["outcomes"] == [known["current"]]
    assert [(one["lane"], one["held"]) for one in known["waiting"]] == [("pending", False)]
    assert (known["answers"], known["title"], known["content"]) == ([], None, None)
    (item,) = served.client.post("/queue/claim", json={"reviewer": "王芳"}).json()["items"]
    assert told(served)["waiting"][0]["held"]
    body = {"token": item["token"], "reviewer": "王芳", "note": "清楚"}
    served.client.post(f"/queue/{item['entry']}/confirm", json=body)
    known = told(served)
    assert (known["category"], known["decided_by"], known["waiting"]) == (decided["suggestion"], "person", [])
    (given,) = known["answers"]
    assert (given["category"], given["reviewer"], given["note"]) == (decided["suggestion"], "local/王芳", None)


def test_a_ticket_that_was_accepted(serve: Serve) -> None:
    """By which version and when, the latest first; with a newer text the answer is of the one before."""
    served = serve(triage={"threshold": 0.0})
    first = served.client.post("/classify/single", json=LOST).json()
    served.client.post("/classify/single", json={**LOST, "content": "我要退款"})
    known = told(served)
    assert known["decided_by"] == "model"
    assert [one["outcome"]["version"] for one in known["outcomes"]] == [first["version"]] * 2
    assert [one["text"] for one in known["outcomes"]] == [2, 1]
    assert known["outcomes"][1]["outcome"]["category"] == first["category"]
    assert known["outcomes"][0]["at"] > known["outcomes"][1]["at"]


@pytest.mark.slow
def test_an_answer_to_an_earlier_text_is_not_the_ticket_now(serve: Serve) -> None:
    """It stands for its own text."""
    served = serve()
    served.client.post("/classify/single", json=LOST)
    (item,) = served.client.post("/queue/claim", json={}).json()["items"]
    served.client.post(f"/queue/{item['entry']}/confirm", json={"token": item["token"]})
    served.client.post("/classify/single", json={**LOST, "content": "我要退款"})
    known = told(served)
    assert (known["category"], known["decided_by"], len(known["answers"]), len(known["waiting"])) == (None, None, 1, 1)


@pytest.mark.parametrize("lane", ["probe", "sample", "second"])
def test_what_waits_blind_tells_nothing(serve: Serve, lane: str) -> None:
    """No suggestion, no candidates, no number; of a probe neither before nor after its answer."""
    served = serve(triage={"probe": 1.0} if lane == "probe" else {}, second=1)
    served.client.post("/classify/single", json=LOST)
    if lane == "sample":
        with served.store.database.writing() as connection:
            connection.execute(schema.queue_entry.update().values(lane="sample", sample="s", blind=True))
    if lane == "second":
        (item,) = served.client.post("/queue/claim", json={}).json()["items"]
        served.client.post(f"/queue/{item['entry']}/confirm", json={"token": item["token"]})

    def blind() -> bool:
        outcome = told(served)["current"]["outcome"]
        hidden = (outcome["suggestion"], outcome["category"], outcome["candidates"], outcome["score"], outcome["confidence"])
        return hidden == (None, None, [], None, None) and [one["code"] for one in outcome["reasons"]] == [lane]

    assert [one["lane"] for one in told(served)["waiting"]] == [lane]
    assert blind()
    (item,) = served.client.post("/queue/claim", json={"reviewer": "李强"}).json()["items"]
    body = {"token": item["token"], "reviewer": "李强", "category": served.service.taxonomy.leaves[0].id}
    assert served.client.post(f"/queue/{item['entry']}/correct", json=body).status_code == 200
    assert blind() == (lane == "probe")


def test_who_may_be_asked_for_a_second_opinion_sees_no_first(serve: Serve) -> None:
    """Neither by the ticket nor by the entry; a program that acts on answers, and an admin, do."""
    served = serve(second=1.0)
    served.client.post("/classify/single", json=LOST)
    (item,) = served.client.post("/queue/claim", json={}).json()["items"]
    served.client.post(f"/queue/{item['entry']}/confirm", json={"token": item["token"]})
    sees = {("classify",): True, ("classify", "review"): False, ("classify", "review", "admin"): True}
    for scopes, all_of_it in sees.items():
        served.client.app.dependency_overrides[caller_of] = lambda scopes=scopes: Caller("key", "crm", frozenset(scopes))  # type: ignore[attr-defined]
        known = told(served)
        assert (known["category"] is not None, len(known["answers"])) == (all_of_it, int(all_of_it)), scopes
        if "review" in scopes:
            entry = served.client.get(f"/queue/{item['entry']}").json()
            assert (entry["suggestion"] is not None, entry["blind"]) == (all_of_it, not all_of_it)


def test_an_accepted_ticket_of_a_planned_sample_is_told(serve: Serve) -> None:
    """Others act on it; that it waits blind changes nothing about where it went."""
    served = serve(triage={"threshold": 0.0})
    decided = served.client.post("/classify/single", json=LOST).json()
    row = {
        "ticket_id": 1,
        "ticket_text_id": 1,
        "lane": "sample",
        "sample": "s",
        "blind": True,
        "inclusion_p": 0.5,
        "state": "open",
    }
    row |= {"reasons": " sample ", "rank": 0, "round": 1, "enqueued_at": 1, "lease_token": 0}
    with served.store.database.writing() as connection:
        connection.execute(schema.queue_entry.insert(), row)
    assert told(served)["category"] == decided["category"]


def test_text_is_for_those_who_may_review(serve: Serve) -> None:
    """Others are refused it, and see no names of people."""
    served = serve()
    served.client.post("/classify/single", json=LOST)
    (item,) = served.client.post("/queue/claim", json={}).json()["items"]
    served.client.post(f"/queue/{item['entry']}/confirm", json={"token": item["token"], "note": "清楚"})
    known = told(served, text=True)
    assert (known["title"], known["content"], known["answers"][0]["note"]) == (LOST["title"], LOST["content"], "清楚")
    served.client.app.dependency_overrides[caller_of] = lambda: Caller("key", "crm", frozenset({"classify"}))  # type: ignore[attr-defined]
    refused = served.client.get("/tickets/T/1 中", params={"text": True})
    assert (refused.status_code, LOST["content"] in refused.text) == (403, False)
    reply = served.client.get("/tickets/T/1 中")
    assert (reply.json()["answers"][0]["reviewer"], LOST["content"] in reply.text) == (None, False)


def test_a_ticket_that_is_not_known(serve: Serve) -> None:
    """404, also of one that was erased, and of no id at all."""
    served = serve()
    served.client.post("/classify/single", json=LOST)
    erasing.erase(served.store, [1])
    for ticket_id in ("T/1 中", "T9", "", "x" * 200):
        assert served.client.get(f"/tickets/{ticket_id}").status_code in ((404, 422) if not ticket_id else (404,))


def test_two_sources(serve: Serve, tmp_path: Path) -> None:
    """Which of them is meant has to be said."""
    served = serve(store={"source": "a"})
    served.client.post("/classify/single", json=LOST)
    with SqlStore(tmp_path / "service.db", source="乙") as other:
        row = {"source": "乙", "key": "id:T/1 中", "external_id": "T/1 中", "metadata": {}, "received_at": 1}
        with other.database.writing() as connection:
            connection.execute(schema.ticket.insert(), row)
            text = {"ticket_id": 2, "content": "x", "title": "", "hmac": b"1", "kept": "original", "received_at": 1}
            connection.execute(schema.ticket_text.insert(), text)
    reply = served.client.get("/tickets/T/1 中")
    assert (reply.status_code, reply.json()["detail"]) == (422, "name one of 'a', '乙'")
    assert told(served, source="a")["current"] is not None
    known = told(served, source="乙", text=True)
    assert (known["current"], known["content"], known["outcomes"]) == (None, "x", [])
