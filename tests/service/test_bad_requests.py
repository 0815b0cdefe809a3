"""What is no ticket is told as a problem: never a 500, and nothing of it comes back or goes to the log."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from serving import Served, started

PRIVATE = "13812345678"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all: what is refused leaves nothing."""
    with started(tmp_path_factory.mktemp("service")) as served:
        yield served


def _ticket(**fields: str) -> bytes:
    """A ticket in JSON, of which parts are written as they stand."""
    return ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode()


BODIES = {
    "nothing": b"",
    "no JSON": f"content={PRIVATE}".encode(),
    "cut": f'{{"content": "{PRIVATE}'.encode(),
    "not UTF-8": f'{{"content": "{PRIVATE} 退款"}}'.encode("gbk"),
    "two documents": f'{{"content": "{PRIVATE}"}} {{}}'.encode(),
    "a list": f'["{PRIVATE}"]'.encode(),
    "a text": f'"{PRIVATE}"'.encode(),
    "NaN": _ticket(content=f'"{PRIVATE}"', title="NaN"),
    "Infinity": _ticket(content=f'"{PRIVATE}"', title="-Infinity"),
    "a number too large": _ticket(content=f'"{PRIVATE}"', title="1e999"),
    "a number too long": _ticket(content=f'"{PRIVATE}"', title="9" * 5000),
    "a name twice": _ticket(content=f'"{PRIVATE}"', metadata='{"a": "1", "a": "2"}'),
    "nested": b'{"content":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested less": b'{"content":' + b"[" * 900 + b"]" * 900 + b"}",
    "half a pair": _ticket(content=f'"{PRIVATE} \\ud83d"'),
    "half a pair in the id": _ticket(content=f'"{PRIVATE}"', id='"\\udc00"'),
    "half a pair in a name": _ticket(content=f'"{PRIVATE}"', metadata='{"\\ud800": "1"}'),
    "half a pair as a field": _ticket(content=f'"{PRIVATE}"') [:-1] + b',"\\ud800": 1}',
    "NUL": _ticket(content=f'"{PRIVATE} \\u0000"'),
    "NUL in the id": _ticket(content=f'"{PRIVATE}"', id='"\\u0000"'),
    "NUL in a name": _ticket(content=f'"{PRIVATE}"', metadata='{"\\u0000": "1"}'),
    "a telephone number as a field": f'{{"content": "x", "{PRIVATE}": 1}}'.encode(),
    "a telephone number as a name": f'{{"content": "x", "metadata": {{"{PRIVATE}": 1}}}}'.encode(),
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", ["/classify/single", "/classify/batch"])
def test_what_is_no_ticket_is_told(served: Served, caplog: pytest.LogCaptureFixture, path: str, body: bytes) -> None:
    """As a problem; nothing is kept."""
    caplog.set_level("DEBUG", "llmtriage")
    reply = served.client.post(path, content=body, headers={**JSON, "Idempotency-Key": "one"})
    assert 400 <= reply.status_code < 500
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == reply.status_code
    assert PRIVATE not in reply.text + caplog.text
    assert served.store.queue.counts().entries == 0


@pytest.mark.parametrize("kind", ["text/plain", "text/html", "application/xml", "application/octet-stream", "", "json"])
def test_a_body_of_another_kind_is_not_taken(served: Served, kind: str) -> None:
    """Not even where JSON stands in it: a page of a browser may send text without being asked."""
    reply = served.client.post("/classify/single", content=b'{"content": "my parcel"}', headers={"Content-Type": kind})
    assert reply.status_code == 415
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_is_no_ticket(served: Served, kind: str) -> None:
    """It is told as what it is not."""
    reply = served.client.post("/classify/single", content=f"content={PRIVATE}".encode(), headers={"Content-Type": kind})
    assert reply.status_code == 415
    assert PRIVATE not in reply.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/classify/single", 405), ("GET", "/classify/batch", 405), ("POST", "/health", 405)],
)
def test_what_is_not_there_is_told(served: Served, method: str, path: str, status: int) -> None:
    """As a problem too."""
    reply = served.client.request(method, path)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")


def test_a_batch_has_one_item_at_least_and_a_thousand_at_most(served: Served) -> None:
    """One problem, however many there are, and at once."""
    empty = served.client.post("/classify/batch", json={"items": []})
    start = time.monotonic()
    many = served.client.post("/classify/batch", json={"items": [{"content": PRIVATE}] * 10_001})
    assert time.monotonic() - start < 2
    assert (empty.status_code, many.status_code) == (422, 422)
    assert [one["place"] for one in many.json()["errors"]] == ["body/items"]
    assert PRIVATE not in many.text


def test_each_bad_item_of_a_batch_fails_alone(served: Served) -> None:
    """Whatever it is."""
    bad = [json.loads(body) for name, body in BODIES.items() if "half" in name or "NUL" in name or "telephone" in name]
    items: list[Any] = [5, None, "退款", [], {}, *bad, {"content": 1}, {"content": "x", "id": ""}]
    body = json.dumps({"items": [*items, {"content": "钱还没有退回来，请尽快处理"}]}).encode()
    reply = served.client.post("/classify/batch", content=body, headers=JSON)
    assert reply.status_code == 200
    assert PRIVATE not in reply.text
    *wrong, right = reply.json()["items"]
    assert all(one["errors"] and one["outcome"] is None for one in wrong)
    assert right["outcome"]["outcome"] == "pending"


@pytest.mark.slow
def test_a_thousand_items_are_decided(served: Served) -> None:
    """In one call."""
    items = [{"id": f"B{number}", "content": f"where is my parcel {number}"} for number in range(1000)]
    told = served.client.post("/classify/batch", json={"items": items}).json()["items"]
    assert [one["outcome"]["id"] for one in told] == [f"B{number}" for number in range(1000)]
