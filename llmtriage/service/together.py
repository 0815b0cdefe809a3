"""Calls that come while others are decided are decided together, where that takes an engine hardly longer than one of them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from llmtriage.errors import is_everybodys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.outcomes import Outcome
    from llmtriage.service.versions import Version
    from llmtriage.tickets import Ticket

_MOST = 64  # tickets of one group: more gain little, and hold the next ones up

Decided = tuple["Version", "Outcome"]


class _Deciding(Protocol):
    async def decide(self, tickets: Sequence[Ticket], /) -> tuple[Version, list[Outcome]]: ...


class Together:
    """Tickets of many callers, decided in groups: the first at once, the others as soon as those before them are done."""

    def __init__(self, deciding: _Deciding) -> None:
        """Have them decided there."""
        self._deciding = deciding
        self._waiting: deque[tuple[Ticket, asyncio.Future[Decided]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def decide(self, ticket: Ticket) -> Decided:
        """What becomes of a ticket. Raises whatever deciding on it raises."""
        told: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        self._waiting.append((ticket, told))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await told

    async def _work(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
            await self._answer([one for one in group if not one[1].done()])

    async def _answer(self, group: list[tuple[Ticket, asyncio.Future[Decided]]]) -> None:
        if not group:
            return
        try:
            version, outcomes = await self._deciding.decide([ticket for ticket, _ in group])
        except BaseException as error:  # noqa: BLE001 - whatever it is must reach who waits
            if len(group) > 1 and not is_everybodys(error):  # one caller's ticket must not fail another's
                await asyncio.gather(*(self._answer([one]) for one in group))
                return
            for _, told in group:
                if not told.done():
                    told.set_exception(error)
            return
        for (_, told), outcome in zip(group, outcomes, strict=True):
            if not told.done():  # else nobody waits any more
                told.set_result((version, outcome))
