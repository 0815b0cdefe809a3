"""One goes first and finds something out; the others wait and go on together, in their order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

R = TypeVar("R")


class Lead:
    """The one who goes first, in each event loop.

    No lock: its waiters would be woken one by one, and whoever comes later would overtake them.
    """

    def __init__(self) -> None:
        """Nobody has gone yet."""
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Event] = WeakKeyDictionary()

    async def go(self, done: Callable[[], bool], first: Callable[[], Awaitable[R]]) -> R | None:
        """Run `first` if it is this one's turn; None once it is `done` by another."""
        loop = asyncio.get_running_loop()
        while not done():
            gate = self._gates.get(loop)
            if gate is not None:
                await gate.wait()
                continue
            gate = self._gates[loop] = asyncio.Event()
            try:
                return await first()
            finally:
                del self._gates[loop]
                gate.set()
        return None
