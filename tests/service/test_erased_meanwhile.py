"""Whoever is erased while a call about it is decided is kept by nobody, however long that takes and however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
from decided import entries, rows

from llmtriage import Pending, Ticket, Triage
from llmtriage.errors import BackendError
from llmtriage.predictions import Failure, Prediction, Question
from llmtriage.service.serving import Service
from llmtriage.service.settings import ServiceSettings
from llmtriage.service.versions import Versions
from llmtriage.store import SqlStore, erasing, schema


class _Slow:
    """An engine that says nothing of value when it is told to, or breaks."""

    name = "slow"

    def __init__(self, *, breaks: bool) -> None:
        """Wait to be told."""
        self.asked, self.go_on, self._breaks = asyncio.Event(), asyncio.Event(), breaks

    def fingerprint(self) -> Mapping[str, str]:
        """Nothing of it matters."""
        return {}

    async def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:  # noqa: ARG002
        """Refuse each, or break at the first."""
        async for _ in questions:
            self.asked.set()
            await self.go_on.wait()
            if self._breaks:
                raise BackendError("it is gone", backend=self.name)
            yield Failure(reason="refused", detail="no")

    async def aclose(self) -> None:
        """Hold nothing."""


@pytest.mark.parametrize(("n", "breaks"), [(1, False), (1, True), (300, False), (300, True)])
async def test_a_call(tmp_path: Path, n: int, *, breaks: bool) -> None:
    """Also in a group that is looked up long after the call came."""
    tickets: Sequence[Ticket] = [Ticket(id=f"编号{i}", content=f"我的包裹没有收到 {i}") for i in range(n)]
    engine = _Slow(breaks=breaks)
    with SqlStore(tmp_path / "service.db") as store:
        service = Service(ServiceSettings(), store, Versions(lambda: Triage(backend=engine, store=store)))
        await service.versions.take_over()
        call = asyncio.create_task(service.decide(tickets))
        await engine.asked.wait()
        await asyncio.to_thread(erasing.erase_named, store, erasing.Named([f"编号{n - 1}"]))
        engine.go_on.set()
        _, outcomes = await call
        assert [isinstance(one, Pending) for one in outcomes] == [True] * n
        assert {row.external_id for row in rows(store, schema.ticket)} == {one.id for one in tickets[:-1]}
        assert len(entries(store)) == n - 1
        await service.versions.aclose()
