"""All hooks and callbacks of a service, and what runs beside it for them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from llmtriage.service.hooks.receiving import hooks_of
from llmtriage.service.hooks.telling import Telling, callbacks_of
from llmtriage.service.hooks.working import Working

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from llmtriage.service.serving import Service

_LET_FINISH = 15.0  # seconds for what is under way when the service is told to stop
_AGAIN = 5.0  # seconds until what met a fault of this program is started again

_log = logging.getLogger("llmtriage.service")


class Hooks:
    """What comes in from other systems, and what goes out to them."""

    def __init__(self, service: Service, count: Callable[[str, str], None] = lambda _callback, _became: None) -> None:
        """Read the secrets; start nothing yet.

        Args:
            service: What it belongs to.
            count: Is given a callback's name and what became of an attempt: "arrived", "failed" or "given_up".

        Raises:
            InputError: A secret is missing, a field does not exist, or an address may not be called.
        """
        settings = service.settings
        self.known = hooks_of(settings.hooks)
        self.working = Working(service)
        self._tellings = [Telling(service, one, count) for one in callbacks_of(settings.callbacks)]

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Decide what came and tell what was decided, as long as the block goes on. What is in flight at its end may finish."""
        parts: list[Working | Telling] = [self.working, *self._tellings]
        tasks = [asyncio.create_task(_kept_up(part)) for part in parts]
        try:
            yield
        finally:
            for part in parts:
                part.stop()
            _, late = await asyncio.wait(tasks, timeout=_LET_FINISH)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def _kept_up(part: Working | Telling) -> None:
    """Run a part to its end; after a fault of this program again."""
    while True:
        try:
            await part.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, messages must not wait for ever
            _log.error("a fault of this program: %s", type(error).__name__)
            await asyncio.sleep(_AGAIN)
        else:
            return
