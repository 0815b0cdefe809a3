"""`Service`: all that the routes share."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from llmtriage.errors import BackendError
from llmtriage.outcomes import Pending
from llmtriage.predictions import PASSING, Failure
from llmtriage.service.metrics import Metrics
from llmtriage.service.together import Together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import HTTPConnection

    from llmtriage.outcomes import Outcome
    from llmtriage.service.settings import ServiceSettings
    from llmtriage.service.versions import Version, Versions
    from llmtriage.store import SqlStore
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.tickets import Ticket
    from llmtriage.triage import Triage


@dataclass(slots=True)
class Service:
    """What a running service is made of.

    Attributes:
        settings: How it behaves towards others.
        store: Where outcomes, the queue, keys and accounts are kept.
        versions: What decides.
        trouble: What the engine last could not do; empty while it works.
        metrics: What it counts.
    """

    settings: ServiceSettings
    store: SqlStore
    versions: Versions
    trouble: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    _together: Together = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is decided yet."""
        self._together = Together(self)

    @property
    def taxonomy(self) -> Taxonomy:
        """Where tickets go now."""
        return self.versions.current.triage.taxonomy

    async def decide_one(self, ticket: Ticket) -> tuple[Version, Outcome]:
        """`decide` for one ticket; those that come at the same time go to an engine together where it likes that. Raises StoreError."""
        if getattr(self.versions.current.triage.backend, "answers_together", False):
            return await self._together.decide(ticket)
        version, [outcome] = await self.decide([ticket])
        return version, outcome

    async def decide(self, tickets: Sequence[Ticket]) -> tuple[Version, list[Outcome]]:
        """Decide on tickets that somebody waits for, with what decided them. Where the engine cannot work they wait for a person.

        Raises:
            StoreError: They cannot be kept; then nothing is decided.
        """
        start = time.perf_counter()
        received = await asyncio.to_thread(self.store.received, tickets)
        async with self.versions.using() as version:
            outcomes = await self._decided(version.triage, received)
        self.metrics.decided(outcomes, version.triage, time.perf_counter() - start)
        return version, outcomes

    async def _decided(self, triage: Triage, tickets: Sequence[Ticket]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            async for outcome in triage.aclassify_many(tickets, online=True):
                outcomes.append(outcome)  # noqa: PERF401 - those before an error count
            self._heed(outcomes)
        except BackendError as error:
            self.trouble = str(error)
            failure = Failure(reason="backend_unavailable", detail="the engine cannot work now")
            outcomes += await triage.adefer(tickets[len(outcomes) :], failure)
        return outcomes

    def _heed(self, outcomes: Sequence[Outcome]) -> None:
        """Note whether the engine worked, where it was asked: one that was there when the service began fails ticket by ticket."""
        asked = [one for one in outcomes if not one.recalled and (one.prediction or getattr(one, "failure", None))]
        failures = [one.failure for one in asked if isinstance(one, Pending) and one.failure and one.failure.reason in PASSING]
        if asked:
            self.trouble = failures[-1].detail if len(failures) == len(asked) else ""


def service_of(connection: HTTPConnection) -> Service:
    """The service that a request came to."""
    return cast("Service", connection.app.state.service)
