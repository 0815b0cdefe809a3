"""Turns `async one(item)` into an ordered stream with a constant number in flight and a bounded number held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from llmtriage.streams import Puts

T = TypeVar("T")
R = TypeVar("R")

_HELD_PER_CALL = 16  # results that may wait behind a slow one, for each call in flight


async def in_flight(one: Callable[[T], Awaitable[R]], items: AsyncIterable[T], concurrency: int) -> AsyncIterator[R]:
    """Apply `one` to each item, `concurrency` at a time, and yield the results in the order of the items.

    Items are taken as they come. When `_HELD_PER_CALL * concurrency` items are held, finished or not, no new one is taken: memory
    is bounded however slow one of them is. The first exception of `one` stops the taking and is raised in its turn.
    """
    slots = asyncio.Semaphore(concurrency)
    held: Puts[asyncio.Task[R]] = Puts(_HELD_PER_CALL * concurrency)
    broken = asyncio.Event()

    async def run(item: T) -> R:
        try:
            return await one(item)
        except BaseException:
            broken.set()
            raise
        finally:
            slots.release()

    async def take() -> None:
        async for item in items:
            await slots.acquire()
            if broken.is_set():
                return
            await held.put(asyncio.create_task(run(item)))

    held.fill(take())
    try:
        while (task := await held.get()) is not None:
            yield await task
    finally:
        tasks = await held.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
