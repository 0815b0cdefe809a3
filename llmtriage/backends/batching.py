"""Batches out of a stream that may pause: an engine that computes in batches takes what is there and never waits for more."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from llmtriage.streams import Puts

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
    held: Puts[T] = Puts(size)

    async def read() -> None:
        try:
            async for item in items:
                await held.put(item)
        finally:
            # A generator that is left open is closed at some time by the loop, which may be at its end by then.
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    held.fill(read())
    try:
        while batch := await held.take(size):
            yield batch
    finally:
        await held.close()
