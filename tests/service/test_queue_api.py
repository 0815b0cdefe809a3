"""The queue over HTTP: looked at, lent, answered, taken back; who comes too late is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel
from serving import Served

from llmtriage.resources import shipped
from llmtriage.service.api import queue_models, reviews, tickets
from llmtriage.store import answers, queue, recording

Serve = Callable[..., Served]
TEXTS = [
    "My parcel never arrived and nobody answers the phone",
    "我的订单已经退货两周了，钱还没有退回来",
    "I forgot my password and cannot sign in",
    "发票抬头开错了，请重新开具",
]
MINUTE = 60_000_000


def wait(client: TestClient, n: int = 1) -> None:
    """Let tickets T1, T2, ... wait."""
    items = [{"id": f"T{number + 1}", "content": TEXTS[number], "language": "zh" if number % 2 else "en"} for number in range(n)]
    assert client.post("/classify/batch", json={"items": items}).status_code == 200


def claim(client: TestClient, reviewer: str = "王芳", **more: Any) -> list[Any]:
    """What a person is lent."""
    reply = client.post("/queue/claim", json={"reviewer": reviewer, **more})
    assert reply.status_code == 200, reply.text
    return list(reply.json()["items"])


def do(client: TestClient, what: str, entry: Any, reviewer: str = "王芳", **more: Any) -> Any:
    """Do something with an entry as it was shown."""
    body = {"token": entry["token"], "reviewer": reviewer, **more}
    return client.post(f"/queue/{entry['entry']}/{what}", json=body)


def leaf(served: Served, place: int = 0) -> str:
    """A category that can be answered."""
    return served.service.taxonomy.leaves[place].id


def test_what_waits_is_listed_and_counted(client: TestClient) -> None:
    """With its text, why it waits in words and what the model would say; nothing is lent."""
    wait(client, 2)
    told = client.get("/queue").json()
    assert [one["id"] for one in told["items"]] == ["T1", "T2"]
    assert told["counts"]["lanes"] == {"pending": 2}
    assert told["counts"]["reasons"] == {"uncalibrated": 2}
    assert told["next"] is None
    first = told["items"][0]
    assert (first["content"], first["held_by"], first["blind"], first["state"]) == (TEXTS[0], None, False, "open")
    assert first["suggestion"] == first["candidates"][0]["category"]
    assert client.get(f"/queue/{first['entry']}").json() == first


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"headers": {"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"}}, "校准"),
        ({"headers": {"accept-language": "fr, zh;q=0.2, en-GB;q=0.7"}}, "calibration"),
        ({"headers": {"accept-language": "fr;q=x, *"}}, "calibration"),
        ({"params": {"language": "zh"}, "headers": {"accept-language": "en"}}, "校准"),
    ],
)
def test_reasons_are_in_the_language_of_the_caller(client: TestClient, asked: dict[str, Any], expected: str) -> None:
    """As the parameter says, else the header, else the service."""
    wait(client)
    assert expected in client.get("/queue", **asked).json()["items"][0]["reasons"][0]["text"]


@pytest.mark.slow
def test_filters_and_inner_categories(serve: Serve) -> None:
    """A category stands for all below it; all that is given must hold."""
    served = serve()
    wait(served.client, 4)
    every = served.client.get("/queue").json()["items"]

    def found(**params: Any) -> list[str]:
        return [one["id"] for one in served.client.get("/queue", params=params).json()["items"]]

    suggestion = every[1]["suggestion"]
    top = served.service.taxonomy.path(suggestion)[0].id
    below = {one.id for one in served.service.taxonomy[top].walk()}
    assert found(category=top) == [one["id"] for one in every if one["suggestion"] in below]
    assert found(ticket_language="zh") == ["T2", "T4"]
    assert found(ticket_language="zh", reason="too_short") == []
    assert found(reason="uncalibrated", lane="pending", newer_than=3600) == ["T1", "T2", "T3", "T4"]
    assert found(older_than=3600) == found(lane="probe") == found(sample="s1") == []
    reply = served.client.get("/queue", params={"category": "no.such"})
    assert (reply.status_code, reply.json()["title"]) == (422, "unknown category 'no.such'")
    assert [one["id"] for one in claim(served.client, n=10, filters={"ticket_language": "zh"})] == ["T2", "T4"]


@pytest.mark.parametrize("order", ["oldest", "uncertain", "useful"])
def test_pages(client: TestClient, order: str) -> None:
    """Each entry stands on one page; only the first counts."""
    wait(client, 4)
    every = [one["id"] for one in client.get("/queue", params={"order": order}).json()["items"]]
    told = client.get("/queue", params={"order": order, "limit": 3}).json()
    rest = client.get("/queue", params={"order": order, "limit": 3, "cursor": told["next"]}).json()
    assert [one["id"] for one in told["items"] + rest["items"]] == every
    assert (rest["next"], rest["counts"]) == (None, None)


def test_a_cursor_that_is_none_is_told(client: TestClient) -> None:
    """Whatever was made of it; also one of another order."""

    def made(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode()

    bad = ["x", "中", made("[]"), made('["oldest", 1.0, -1]'), made('["oldest", NaN, 1]'), made('["oldest", 1.0, 1e400]')]
    bad += [made('["oldest", "1", 1]'), made('["up", 1.0, 1]'), made("[" * 100), made(f'["oldest", 0.5, {2**63}]')]
    bad += [made('["uncertain", 0.5, 1]'), made("[[], 0.5, 1]")]
    for cursor in bad:
        reply = client.get("/queue", params={"cursor": cursor})
        assert reply.status_code == 422, cursor
        assert "begin with the first page" in reply.json()["detail"]


def test_an_answer_is_kept_under_both_names(serve: Serve) -> None:
    """The caller's, and behind it that of the person the caller speaks for."""
    served = serve()
    wait(served.client, 2)
    first, second = claim(served.client, n=2)
    assert first["held_by"] == "local/王芳"
    confirmed = do(served.client, "confirm", first, note="清楚", active_ms=5400)
    assert confirmed.status_code == 200
    told = confirmed.json()
    assert (told["verdict"], told["category"], told["reviewer"]) == ("confirm", first["suggestion"], "local/王芳")
    other = next(one.id for one in served.service.taxonomy.leaves if one.id != second["suggestion"])
    corrected = do(served.client, "correct", second, category=other).json()
    assert (corrected["verdict"], corrected["category"], corrected["id"]) == ("correct", other, "T2")
    assert served.client.get("/queue").json()["counts"]["entries"] == 0
    (kept, _) = served.store.queue.history("local/王芳")[::-1]
    assert (kept.note, kept.active_ms, kept.shown) == ("清楚", 5400, True)


@pytest.mark.slow
def test_a_caller_answers_by_its_own_name_alone(serve: Serve) -> None:
    """Where it names nobody."""
    served = serve()
    wait(served.client)
    (item,) = served.client.post("/queue/claim", json={}).json()["items"]
    reply = served.client.post(f"/queue/{item['entry']}/correct", json={"token": item["token"], "category": leaf(served)})
    assert reply.json()["reviewer"] == "local"


def test_who_comes_too_late_is_told(serve: Serve) -> None:
    """Who has the entry, or who answered it; nothing is kept."""
    served = serve()
    wait(served.client)
    (item,) = claim(served.client)
    held = do(served.client, "correct", item, "李强", category=leaf(served))
    assert (held.status_code, held.json()["title"]) == (409, "T1 is with local/王芳 now")
    assert held.headers["content-type"] == "application/problem+json"
    assert do(served.client, "extend", item, "李强").status_code == 409
    assert do(served.client, "confirm", item).status_code == 200
    done = do(served.client, "correct", item, "李强", category=leaf(served))
    assert (done.status_code, done.json()["title"]) == (409, "T1 was answered already by local/王芳")
    stale = do(served.client, "release", {**item, "token": 0})
    assert stale.status_code == 409
    assert len(served.store.queue.history("local/李强")) == 0


def test_a_token_of_an_earlier_showing_is_refused(serve: Serve) -> None:
    """The text was changed under the person's hands."""
    served = serve()
    wait(served.client)
    (item,) = claim(served.client)
    served.client.post("/classify/single", json={"id": "T1", "content": "another text of the same ticket"})
    reply = do(served.client, "confirm", item)
    assert reply.status_code == 409
    (again,) = claim(served.client)
    assert (again["entry"], again["content"]) == (item["entry"], "another text of the same ticket")
    assert do(served.client, "confirm", again).status_code == 200


def test_two_answers_at_once(serve: Serve) -> None:
    """One is kept, the other is told; never both."""
    served = serve()
    wait(served.client, 4)
    for item in claim(served.client, "a", n=4):
        assert do(served.client, "release", item, "a").status_code == 204
    shown = served.client.get("/queue").json()["items"]
    for item in shown:
        with ThreadPoolExecutor(2) as pool:
            replies = list(pool.map(lambda who, item=item: do(served.client, "correct", item, who, category=leaf(served)), "ab"))
        assert sorted(reply.status_code for reply in replies) == [200, 409]
    assert len(list(served.store.queue.labels())) == 4


def test_a_lease_that_ran_out(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is kept while nobody else has the entry; then it is told who has it."""
    passed = 0
    for module in (queue, answers):
        monkeypatch.setattr(module, "now", lambda: recording.now() + passed)
    served = serve()
    wait(served.client, 2)
    first, second = claim(served.client, n=2)
    passed = 9 * MINUTE
    assert do(served.client, "extend", second).status_code == 204
    passed = 11 * MINUTE
    assert do(served.client, "confirm", first).status_code == 200
    assert claim(served.client, "李强") == []
    passed = 20 * MINUTE
    (taken,) = claim(served.client, "李强")
    assert (taken["entry"], taken["token"]) == (second["entry"], second["token"] + 1)
    late = do(served.client, "confirm", second)
    assert (late.status_code, late.json()["title"]) == (409, "T2 is with local/李强 now")


def test_each_person_is_told_what_waits_for_them(serve: Serve) -> None:
    """A second opinion is no work of who gave the first."""
    served = serve(second=1.0)
    wait(served.client)
    [item] = claim(served.client)
    do(served.client, "correct", item, category=leaf(served))
    for reviewer, n in {"王芳": 0, "李强": 1}.items():
        told = served.client.get("/queue", params={"reviewer": reviewer}).json()
        assert (len(told["items"]), told["counts"]["entries"]) == (n, n)
    assert served.client.get("/queue", params={"reviewer": "a\nb"}).status_code == 422


def test_skip_release_and_undo(serve: Serve) -> None:
    """What is skipped is given to others; what is released to anybody; what is taken back waits again with the same person."""
    served = serve()
    wait(served.client)
    (item,) = claim(served.client)
    assert do(served.client, "release", item).status_code == 204
    (item,) = claim(served.client)
    assert do(served.client, "skip", item).status_code == 204
    assert claim(served.client) == []
    (item,) = claim(served.client, "李强")
    assert do(served.client, "confirm", item, "李强").status_code == 200
    undone = served.client.post("/queue/undo", json={"reviewer": "李强"}).json()
    assert undone["taken_back"]["category"] == item["suggestion"]
    again = served.client.get(f"/queue/{undone['entry']}").json()
    assert (again["round"], again["held_by"], again["state"]) == (2, "local/李强", "open")
    assert (undone["token"], undone["held_until"]) == (again["token"], again["held_until"])
    assert do(served.client, "confirm", item, "李强").status_code == 409
    assert do(served.client, "confirm", undone, "李强").status_code == 200
    nothing = served.client.post("/queue/undo", json={"reviewer": "陈静"})
    assert nothing.status_code == 422
    assert "no answer" in nothing.json()["title"]


def test_a_category_that_is_gone_is_told(serve: Serve, tmp_path: Path) -> None:
    """In the answer, and in a suggestion of before; nothing is kept, the entry waits."""
    path = tmp_path / "taxonomy.yaml"
    sample = shipped("taxonomy.yaml").read_text(encoding="utf-8")
    path.write_text(sample, encoding="utf-8")
    served = serve(triage={"taxonomy": path})
    wait(served.client)
    (item,) = claim(served.client)
    path.write_text("categories:\n  - id: alpha\n  - id: beta\n", encoding="utf-8")
    assert served.client.post("/versions/reload").status_code == 200
    for reply in (do(served.client, "confirm", item), do(served.client, "correct", item, category=item["suggestion"])):
        assert (reply.status_code, reply.json()["title"]) == (422, f"unknown category '{item['suggestion']}'")
    assert do(served.client, "correct", item, category="alpha").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("lane", ["probe", "second"])
def test_a_blind_entry_tells_nothing(serve: Serve, lane: str) -> None:
    """Listed, lent, answered, taken back: no suggestion, no number, one verdict, whatever was answered."""
    served = serve(triage={"probe": 1.0} if lane == "probe" else {}, second=1)
    wait(served.client)
    if lane == "second":
        do(served.client, "correct", claim(served.client, "a")[0], "a", category=leaf(served, 1))
    for category in (leaf(served), leaf(served, 1), served.service.taxonomy.leaves[2].id):
        (item,) = claim(served.client)
        (listed,) = served.client.get("/queue").json()["items"]
        for one in (item, listed, served.client.get(f"/queue/{item['entry']}").json()):
            assert (one["lane"], one["blind"], [reason["code"] for reason in one["reasons"]]) == (lane, True, [lane])
            assert (one["suggestion"], one["candidates"], one["confidence"], one["score"]) == (None, [], None, None)
        refused = do(served.client, "confirm", item)
        assert (refused.status_code, refused.json()["title"]) == (422, "there is no suggestion to confirm")
        given = do(served.client, "correct", item, category=category).json()
        assert (given["verdict"], given["lane"], given["category"]) == ("correct", lane, category)
        assert set(given) == {"review", "entry", "id", "reviewer", "verdict", "category", "lane", "round", "at"}
        undone = served.client.post("/queue/undo", json={"reviewer": "王芳"}).json()
        again = served.client.get(f"/queue/{undone['entry']}").json()
        assert (again["suggestion"], again["blind"]) == (None, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("claim", {"n": 11}),
        ("claim", {"n": 0}),
        ("claim", {"who": "x"}),
        ("claim", {"filters": {"colour": "red"}}),
        ("claim", {"filters": {"older_than": -1}}),
        ("claim", {"reviewer": "a\nb"}),
        ("claim", {"reviewer": "x" * 81}),
        ("1/correct", {"category": "x"}),
        ("1/correct", {"token": 1}),
        ("1/correct", {"token": 1, "category": "x", "active_ms": -1}),
        ("1/confirm", {"token": 2**40}),
        ("undo", {"entry": 2**70}),
    ],
)
def test_a_body_that_is_not_what_is_wanted(client: TestClient, path: str, body: dict[str, Any]) -> None:
    """A problem, never a fault."""
    wait(client)
    reply = client.post(f"/queue/{path}", json=body)
    assert reply.status_code == 422, reply.text
    assert reply.headers["content-type"] == "application/problem+json"


def test_an_entry_that_is_not_there(client: TestClient) -> None:
    """404, whatever is wanted of it."""
    assert client.get("/queue/99").status_code == 404
    for what in ("confirm", "skip", "release", "extend"):
        assert client.post(f"/queue/99/{what}", json={"token": 1}).status_code == 404
    assert client.post("/queue/99/correct", json={"token": 1, "category": "x"}).status_code == 404


@pytest.mark.parametrize("part", [queue_models, reviews, tickets], ids=lambda part: part.__name__.rpartition(".")[2])
def test_the_examples_are_what_they_are_examples_of(part: ModuleType) -> None:
    """Each model takes its own."""
    models = [
        one
        for one in vars(part).values()
        if isinstance(one, type) and issubclass(one, BaseModel) and one.__module__ == part.__name__
    ]
    extras: list[tuple[type[BaseModel], Any]] = [(model, model.model_config.get("json_schema_extra") or {}) for model in models]
    examples = [(model, one) for model, extra in extras for one in extra.get("examples", [])]
    assert examples
    for model, one in examples:
        model.model_validate(one)


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "\u202etxt", "=1+1", "{{7*7}}", "中" * 200])
def test_no_name_makes_a_fault(client: TestClient, text: str) -> None:
    """Whatever is asked for."""
    wait(client)
    (item,) = claim(client)
    sent = json.dumps({"token": item["token"], "reviewer": "王芳", "category": text})
    replies = [client.post(f"/queue/{item['entry']}/correct", content=sent, headers={"content-type": "application/json"})]
    label = {"items": [{"id": text, "category": text, "at": "2026-01-05T09:02:00Z"}], "source": text}
    for body, path in [({"filters": {"sample": text, "ticket_language": text}}, "queue/claim"), (label, "reviews")]:
        replies.append(client.post(f"/{path}", content=json.dumps(body), headers={"content-type": "application/json"}))
    if text.isprintable():
        replies += [
            client.get("/queue", params={name: text}) for name in ("category", "ticket_language", "sample", "cursor", "reason")
        ]
        replies.append(client.get(f"/tickets/{text}"))
    assert {reply.status_code for reply in replies} <= {200, 404, 422}
