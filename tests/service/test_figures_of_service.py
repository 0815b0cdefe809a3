"""The figures are those of what happened, and the page about them names each."""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from serving import Served
from support import ROOT

from llmtriage import Ticket
from llmtriage.errors import StoreError
from llmtriage.predictions import Failure, Prediction, Question, Usage
from llmtriage.settings import Price, Settings
from llmtriage.store import SqlStore, inbox

Serve = Callable[..., Served]


def _figures(client: TestClient) -> dict[str, float]:
    """By name with its labels, as they stand on the page."""
    page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    samples = [one for family in text_string_to_metric_families(page.text) for one in family.samples]
    return {one.name + "".join(f" {key}={value}" for key, value in sorted(one.labels.items())): one.value for one in samples}


def test_what_was_decided_is_counted(serve: Serve) -> None:
    """By outcome and reason, with how sure it was, what waits and since when."""
    client = serve(triage={"threshold": 0.2}).client
    client.post("/classify/single", json={"content": "where is my parcel"})
    client.post("/classify/single", json={"content": "嗯"})
    client.post("/classify/single", json={"content": 1})
    found = _figures(client)
    assert found["llmtriage_tickets_total outcome=accepted reason="] == 1
    assert sum(value for name, value in found.items() if name.startswith("llmtriage_tickets_total outcome=pending")) == 1
    assert found["llmtriage_classify_duration_seconds_count"] == 2
    assert found["llmtriage_http_requests_total method=POST route=/classify/single status=200"] == 2
    assert found["llmtriage_http_requests_total method=POST route=/classify/single status=422"] == 1
    assert found["llmtriage_http_request_duration_seconds_count route=/classify/single"] == 3
    assert found["llmtriage_queue_open lane=pending"] == 1
    assert 0 < found["llmtriage_queue_oldest_age_seconds"] < 60
    assert found["llmtriage_confidence_tickets_total"] >= found["llmtriage_low_confidence_tickets_total"] == 1
    assert found["llmtriage_backend_up"] == found["llmtriage_store_up"] == 1


def test_messages_that_wait_are_counted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how long the oldest has waited, also those for another service."""
    served = serve(store={"source": "shop"})
    with SqlStore(served.store.name, source="bank") as other, monkeypatch.context() as patched:
        patched.setattr("llmtriage.store.inbox.now", lambda: time.time_ns() // 1000 - 90_000_000)
        inbox.put(other, "crm", "m1", Ticket(content="包裹"))
    found = _figures(served.client)
    assert found["llmtriage_inbox_messages"] == 1
    assert 90 <= found["llmtriage_inbox_oldest_age_seconds"] < 150


class _Priced:
    """An engine that is sure of nothing and tells what it took."""

    name = "priced"
    settings = SimpleNamespace(model="small")

    def fingerprint(self) -> Mapping[str, str]:
        return {"model": "small"}

    async def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:  # noqa: ARG002
        async for _ in questions:
            usage = Usage(prompt_tokens=1_000_000, cached_tokens=400_000, output_tokens=10_000)
            yield Failure(reason="refused", detail="by its filter", usage=usage)


def test_tokens_and_money_are_counted(serve: Serve) -> None:
    """At the price of the settings."""
    prices = {"small": Price(input=2, output=10, cached_input=0.5, currency="CNY")}
    client = serve(triage={"backend": _Priced(), "settings": Settings(prices=prices)}).client
    client.post("/classify/single", json={"content": "where is my parcel"})
    found = _figures(client)
    assert found["llmtriage_tickets_total outcome=pending reason=refused"] == 1
    assert found["llmtriage_tokens_total kind=prompt"] == 1_000_000
    assert found["llmtriage_tokens_total kind=cached"] == 400_000
    assert found["llmtriage_tokens_total kind=output"] == 10_000
    assert found["llmtriage_cost_total currency=CNY"] == pytest.approx(1.2 + 0.2 + 0.1)
    assert found["llmtriage_confidence_tickets_total"] == 0


def test_the_queue_is_looked_at_every_five_seconds_at_most(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is asked; a store that is gone leaves the other figures."""
    served = serve()
    looks: list[float] = []
    queue = type(served.store.queue)
    real = queue.counts

    def counted(*arguments: Any) -> Any:
        looks.append(1)
        return real(*arguments)

    monkeypatch.setattr(queue, "counts", counted)
    for _ in range(5):
        _figures(served.client)
    assert len(looks) == 1

    def gone(*_: Any) -> Any:
        raise StoreError("it is gone", store="here")

    monkeypatch.setattr(queue, "counts", gone)
    monkeypatch.setattr("llmtriage.service.metrics._FRESH", -1.0)
    found = _figures(served.client)
    assert found["llmtriage_store_up"] == 0
    assert not any(name.startswith("llmtriage_queue_open") for name in found)
    assert math.isnan(found["llmtriage_inbox_messages"])
    monkeypatch.setattr(queue, "counts", real)
    assert _figures(served.client)["llmtriage_queue_open lane=pending"] == 0


@pytest.mark.slow
def test_two_services_count_by_themselves(serve: Serve) -> None:
    """Nothing is shared in the process."""
    first, second = serve(), serve()
    first.client.post("/classify/single", json={"content": "where is my parcel"})
    assert "llmtriage_tickets_total outcome=pending reason=uncalibrated" in _figures(first.client)
    assert not any(name.startswith("llmtriage_tickets_total") for name in _figures(second.client))


def test_what_callers_make_up_makes_no_new_figures(client: TestClient) -> None:
    """Paths and methods that are not there are one each."""
    for number in range(20):
        client.get(f"/nowhere/{number}")
        client.request(f"M{number}", "/health")
    names = [name for name in _figures(client) if name.startswith("llmtriage_http_requests_total")]
    assert len(names) == 2


def test_the_page_names_every_figure(client: TestClient) -> None:
    """With its labels, and no other."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(llmtriage_\w+)(?:\{([\w,]+)\})?` \|", page, flags=re.MULTILINE))
    client.app.state.service.metrics.delivered("helpdesk", "arrived")  # type: ignore[attr-defined]
    text = client.get("/metrics").text
    assert set(told) == set(re.findall(r"^# TYPE (\S+)", text, flags=re.MULTILINE))
    labels = {
        one.name.removesuffix("_count"): ",".join(sorted(one.labels))
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for one in family.samples
        if not one.name.endswith(("_bucket", "_sum"))
    }
    assert {name: ",".join(sorted(told[name].split(","))) for name in labels} == labels
