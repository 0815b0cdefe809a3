"""One goes first and finds something out; the others wait and go on together, in their order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from llmtriage.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

R = TypeVar("R")


class Lead:
    """The one who goes first, in each event loop.

    No lock: its waiters would be woken one by one, and whoever comes later would overtake them.
    """

    def __init__(self) -> None:
        """Nobody has gone yet."""
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Future[BackendError | None]] = WeakKeyDictionary()

    async def go(self, done: Callable[[], bool], first: Callable[[], Awaitable[R]]) -> R | None:
        """Run `first` if it is this one's turn; None once it is `done` by another.

        Raises:
            BackendError: The one whom this one waited for found that the engine cannot work: nobody finds that out again.
        """
        loop = asyncio.get_running_loop()
        while not done():
            gate = self._gates.get(loop)
            if gate is None:
                return await self._first(loop, first)
            error = await asyncio.shield(gate)
            if error is not None:
                raise error
        return None

    async def _first(self, loop: asyncio.AbstractEventLoop, first: Callable[[], Awaitable[R]]) -> R:
        gate = self._gates[loop] = loop.create_future()
        found: BackendError | None = None
        try:
            return await first()
        except BackendError as error:
            found = error
            raise
        finally:
            del self._gates[loop]
            gate.set_result(found)
