"""Batches out of a stream that may pause: an engine that computes in batches takes what is there and never waits for more."""

from __future__ import annotations

import asyncio
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
    queue: asyncio.Queue[T | _End] = asyncio.Queue()
    room = asyncio.Semaphore(size)
    reader = asyncio.create_task(_read(items, queue, room))
    # The end goes through the reader's callback: it is told whatever ended the reader, a cancellation inside the source included.
    reader.add_done_callback(lambda task: queue.put_nowait(_End(task)))
    try:
        end = None
        while end is None:
            batch, end = _drained(await queue.get(), queue, size)
            for _ in batch:
                room.release()
            if batch:
                yield batch
        end.reader.result()
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


class _End:
    """Stands in the queue behind the last item."""

    def __init__(self, reader: asyncio.Task[None]) -> None:
        self.reader = reader


async def _read(items: AsyncIterable[T], queue: asyncio.Queue[T | _End], room: asyncio.Semaphore) -> None:
    try:
        await room.acquire()
        async for item in items:
            queue.put_nowait(item)
            await room.acquire()
    finally:
        # A generator that is left open is closed at some time by the loop, which may be at its end by then.
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


def _drained(first: T | _End, queue: asyncio.Queue[T | _End], size: int) -> tuple[list[T], _End | None]:
    """`first` and what stands in the queue behind it."""
    batch: list[T] = []
    item = first
    while not isinstance(item, _End):
        batch.append(item)
        if len(batch) == size or queue.empty():
            return batch, None
        item = queue.get_nowait()
    return batch, item
