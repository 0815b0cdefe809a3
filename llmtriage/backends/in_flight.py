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
    is bounded however slow one of them is. The first exception of `one` stops the taking and whatever is behind it, and is raised in
    its turn.
    """
    slots = asyncio.Semaphore(concurrency)
    held: Puts[asyncio.Task[R]] = Puts(_HELD_PER_CALL * concurrency)
    broken = asyncio.Event()
    under_way: dict[int, asyncio.Task[R]] = {}

    async def run(place: int, item: T) -> R:
        try:
            return await one(item)
        except BaseException:
            broken.set()
            for later in [number for number in under_way if number > place]:
                under_way.pop(later).cancel()  # its result would never be asked for, and it may not have been sent yet
            raise
        finally:
            under_way.pop(place, None)
            slots.release()

    async def take() -> None:
        place = 0
        async for item in items:
            await slots.acquire()
            if broken.is_set():
                return
            place += 1
            under_way[place] = asyncio.create_task(run(place, item))
            await held.put(under_way[place])

    held.fill(take())
    try:
        while (task := await held.get()) is not None:
            yield await task
    finally:
        tasks = await held.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
