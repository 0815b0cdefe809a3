"""Whether the store can be used now, however many ask."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from llmtriage.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmtriage.store import SqlStore

_FRESH = 2.0  # seconds for which an answer is told again
_PATIENCE = 8.0  # seconds to wait for one: longer than for another writer
_SILENT = ("it does not answer", "it does not answer")


class Readiness:
    """Looks at a store at most every two seconds and once at a time: to see that it can be written takes the turn of a writer."""

    def __init__(self, store: SqlStore) -> None:
        """Look at nothing yet."""
        self._store = store
        self._look: asyncio.Task[tuple[str, str]] | None = None
        self._fresh_until = 0.0

    async def store(self) -> tuple[str, str]:
        """Whether it can be read, and written: "ok", or why not."""
        if self._look is None or (self._look.done() and time.monotonic() > self._fresh_until):
            self._look = asyncio.create_task(self._see())
        if not self._look.done():
            await asyncio.wait([self._look], timeout=_PATIENCE)
        return self._look.result() if self._look.done() else _SILENT

    async def _see(self) -> tuple[str, str]:
        seen = await asyncio.to_thread(lambda: (_trouble(lambda: self._store.check(writes=False)), _trouble(self._store.check)))
        self._fresh_until = time.monotonic() + _FRESH
        return seen


def _trouble(check: Callable[[], None]) -> str:
    try:
        check()
    except StoreError as error:
        return error.problem
    return "ok"
