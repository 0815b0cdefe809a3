"""Batches out of a stream that may pause: an engine that computes in batches takes what is there and never waits for more."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

T = TypeVar("T")


async def batches(items: AsyncIterable[T], size: int) -> AsyncGenerator[list[T], None]:
    """Yield what is available now: at least one item, at most `size`, in order.

    A batch is never held back until it is full, because a source may pause until it has seen the answers to its earlier items.
    At most `size` items are read ahead of the consumer. Who leaves early closes it (`contextlib.aclosing`).

    Raises:
        ValueError: `size` is not positive.
        Exception: Whatever the source raises, after the items before it were yielded.
    """
    if size < 1:
        message = f"a batch holds at least one item, not {size}"
        raise ValueError(message)
    read: deque[T] = deque()
    news, room = asyncio.Event(), asyncio.Event()
    reader = asyncio.create_task(_read(items, read, size, news, room))
    # The end goes through the reader's callback: it is told whatever ended the reader, a cancellation inside the source included.
    reader.add_done_callback(lambda _: news.set())
    try:
        while True:
            await news.wait()
            news.clear()
            has_ended = reader.done()  # asked first: what it read before its end is in the queue by then
            while read:
                batch = [read.popleft() for _ in range(min(size, len(read)))]
                room.set()
                yield batch
            if has_ended:
                break
        reader.result()
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _read(items: AsyncIterable[T], read: deque[T], size: int, news: asyncio.Event, room: asyncio.Event) -> None:
    """Put items into `read`, at most `size` of them at a time. Plain Python where a queue of asyncio's would cost more than an item's own work."""
    try:
        async for item in items:
            read.append(item)
            news.set()
            if len(read) >= size:
                room.clear()
                await room.wait()
    finally:
        # A generator that is left open is closed at some time by the loop, which may be at its end by then.
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
