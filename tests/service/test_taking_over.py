"""A new taxonomy or calibration decides once it is known to fit, and the one before is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from pathlib import Path

from serving import Served

from llmtriage import Ticket, Triage
from llmtriage.outcomes import Pending
from llmtriage.predictions import Failure, Prediction, Question
from llmtriage.resources import shipped
from llmtriage.service.serving import Service
from llmtriage.service.settings import ServiceSettings
from llmtriage.service.versions import Versions
from llmtriage.store import SqlStore

Serve = Callable[..., Served]


def test_a_new_taxonomy_is_taken_over_and_given_back(serve: Serve, tmp_path: Path) -> None:
    """Every outcome names the version; a file that is broken changes nothing."""
    path = tmp_path / "taxonomy.yaml"
    sample = shipped("taxonomy.yaml").read_text(encoding="utf-8")
    path.write_text(sample, encoding="utf-8")
    client = serve(triage={"taxonomy": path}).client
    first = client.get("/versions").json()["current"]["id"]
    path.write_text(sample.replace("team:", "team: new-", 1), encoding="utf-8")
    changed = client.post("/versions/reload").json()
    assert changed["before"]["id"] == first
    assert changed["current"]["id"] != first
    assert client.post("/classify/single", json={"content": "where is my parcel"}).json()["version"] == changed["current"]["id"]
    path.write_text("categories: [", encoding="utf-8")
    broken = client.post("/versions/reload")
    assert broken.status_code == 422
    assert broken.headers["content-type"] == "application/problem+json"
    assert broken.json()["detail"].startswith("taxonomy.yaml:")
    assert str(tmp_path) not in broken.text
    assert client.get("/versions").json() == changed
    assert client.post("/versions/back").json()["current"]["id"] == first
    assert client.get("/versions").json()["before"]["id"] == changed["current"]["id"]


def test_a_taxonomy_that_only_says_what_was_is_taken_over_too(serve: Serve, tmp_path: Path) -> None:
    """It decides as before, and knows the labels of former categories."""
    path = tmp_path / "taxonomy.yaml"
    path.write_text("categories:\n- id: refund\n- id: parcel\n", encoding="utf-8")
    served = serve(triage={"taxonomy": path})
    path.write_text("categories:\n- id: refund\n  was: [money_back]\n- id: parcel\n", encoding="utf-8")
    told = served.client.post("/versions/reload").json()
    assert told["current"]["id"] == told["before"]["id"]
    assert served.service.taxonomy.carried("money_back") == "refund"


def test_there_is_nothing_before_the_first_version(serve: Serve) -> None:
    """And it is told."""
    reply = serve().client.post("/versions/back")
    assert reply.status_code == 409
    assert "no version before" in reply.json()["title"]


class _Waiting:
    """An engine that answers when it is told to, and not once it is closed."""

    name = "waiting"

    def __init__(self, number: int) -> None:
        self.number, self.closed = number, 0
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    def fingerprint(self) -> Mapping[str, str]:
        return {"model": str(self.number)}

    async def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:  # noqa: ARG002
        async for _ in questions:
            self.asked.set()
            await self.go_on.wait()
            yield Failure(reason="refused", detail="open" if not self.closed else "closed")

    async def aclose(self) -> None:
        self.closed += 1


async def test_what_is_used_is_closed_when_its_last_user_is_done(tmp_path: Path) -> None:
    """However often something else was taken over meanwhile; at the end all are closed, each once."""
    engines: list[_Waiting] = []

    def build() -> Triage:
        engines.append(_Waiting(len(engines)))
        return Triage(backend=engines[-1])

    with SqlStore(tmp_path / "service.db") as store:
        service = Service(ServiceSettings(), store, Versions(build))
        await service.versions.take_over()
        slow = [asyncio.create_task(service.decide([Ticket(content="my parcel never arrived")])) for _ in range(2)]
        await engines[0].asked.wait()
        await service.versions.take_over()
        await service.versions.take_over()
        assert [one.closed for one in engines] == [0, 0, 0]
        engines[0].go_on.set()
        for task in slow:
            _, [outcome] = await task
            assert isinstance(outcome, Pending)
            assert outcome.failure is not None
            assert outcome.failure.detail == "open"
        assert [one.closed for one in engines] == [1, 0, 0]
        last = asyncio.create_task(service.decide([Ticket(content="my parcel never arrived")]))
        await engines[2].asked.wait()
        await service.versions.aclose()
        assert [one.closed for one in engines] == [1, 1, 0]
        engines[2].go_on.set()
        await last
        assert [one.closed for one in engines] == [1, 1, 1]
