"""Decides what other systems sent, a group at a time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from llmtriage.errors import StoreError
from llmtriage.store import inbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.service.serving import Service
    from llmtriage.store.inbox import Received

TOGETHER = 32
"""Tickets of one group: held for no longer than a slow engine takes for them."""
LOOK = 1.0
"""Seconds until it is looked whether another process took something in."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds, while the store is away
_LATER = 600.0  # seconds until a message that met a fault is tried again

_log = logging.getLogger("llmtriage.service")


class Working:
    """Works through the inbox of a service. Several processes may share one."""

    def __init__(self, service: Service) -> None:
        """Do nothing yet."""
        self._service, self._store = service, service.store
        self._woken = asyncio.Event()
        self._stopping = False
        self._left: list[int] = []  # what is still held since the store went away

    def wake(self) -> None:
        """Something came."""
        self._woken.set()

    def stop(self) -> None:
        """Let `run` end with the group it works on."""
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """Work until told to stop. What a killed process held, another one goes on with when the time is over."""
        wait = _FIRST_WAIT
        while not self._stopping:
            try:
                await asyncio.to_thread(inbox.forget, self._store)
                while await self._group():
                    wait = _FIRST_WAIT
            except StoreError as error:
                _log.warning("messages wait: %s", error.problem)
                await self._rest(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                await self._rest(LOOK)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    async def _group(self) -> bool:
        """Decide a group. False where there is none, or the end has come."""
        if self._stopping:
            return False
        await asyncio.to_thread(inbox.give_back, self._store, self._left)
        self._left = []
        received = await asyncio.to_thread(inbox.take, self._store, TOGETHER)
        if not received:
            return False
        self._left = [one.id for one in received]
        try:
            await self._decide(received)
        except asyncio.CancelledError:
            with suppress(StoreError):  # then another process has them when the time is over
                inbox.give_back(self._store, self._left)
            raise
        return True

    async def _decide(self, received: Sequence[Received]) -> None:
        try:
            await self._service.decide([one.ticket for one in received])
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault with one ticket must not keep the others waiting
            await self._by_itself(received, type(error).__name__)
        else:
            await asyncio.to_thread(inbox.done, self._store, [one.id for one in received])
            self._settled(received)

    def _settled(self, received: Sequence[Received]) -> None:
        """These are no longer held by this process."""
        settled = {one.id for one in received}
        self._left = [number for number in self._left if number not in settled]

    async def _by_itself(self, received: Sequence[Received], fault: str) -> None:
        if len(received) > 1:
            for one in received:
                await self._decide([one])
            return
        _log.error("message %d waits: it cannot be decided now (%s)", received[0].id, fault)
        await asyncio.to_thread(inbox.give_back, self._store, [received[0].id], seconds=_LATER)
        self._settled(received)
