"""Batches out of streams that pause, end, fail or are left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage.backends.batching import batches


async def _stream(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


async def _collect(items: AsyncIterator[int], size: int) -> list[list[int]]:
    return [batch async for batch in batches(items, size)]


@given(n=st.integers(0, 40), size=st.integers(1, 12))
def test_nothing_is_lost(n: int, size: int) -> None:
    """Whatever the sizes, every item comes once, in order, in batches of one to `size`."""
    found = asyncio.run(_collect(_stream(n), size))
    assert [item for batch in found for item in batch] == list(range(n))
    assert all(1 <= len(batch) <= size for batch in found)


async def test_takes_what_is_there() -> None:
    """Items that are ready come together, up to the size."""
    assert await _collect(_stream(7), 3) == [[0, 1, 2], [3, 4, 5], [6]]


async def test_never_waits_for_a_full_batch() -> None:
    """A source that pauses until its item is answered gets its answer: waiting for more would be a deadlock."""
    answered = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 0
        await answered.wait()
        yield 1

    found = []
    async with asyncio.timeout(5), aclosing(batches(source(), 10)) as stream:
        async for batch in stream:
            found.append(batch)
            answered.set()
    assert found == [[0], [1]]


async def test_reads_ahead_within_bounds() -> None:
    """While a batch is worked on, at most `size` further items are taken from the source."""
    taken = []

    async def source() -> AsyncIterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    async with aclosing(batches(source(), 3)) as stream:
        assert await anext(stream) == [0, 1, 2]
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(taken) <= 6


async def test_an_error_comes_after_the_items_before_it() -> None:
    """The source's exception reaches the consumer, and no item that came before it is lost."""

    async def source() -> AsyncIterator[int]:
        yield 0
        yield 1
        raise LookupError

    stream = batches(source(), 10)
    assert await anext(stream) == [0, 1]
    with pytest.raises(LookupError):
        await anext(stream)


async def test_a_cancelled_source_does_not_hang_the_consumer() -> None:
    """A cancellation inside the source ends the stream with a cancellation."""

    async def source() -> AsyncIterator[int]:
        yield 0
        raise asyncio.CancelledError

    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await _collect(source(), 10)


async def test_leaving_early_stops_the_reader() -> None:
    """When the consumer stops, the source is stopped too, and no task stays behind."""
    stopped = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        try:
            yield 0
            await asyncio.Event().wait()
            yield 1
        finally:
            stopped.set()

    async with aclosing(batches(source(), 10)) as stream:
        assert await anext(stream) == [0]
        await asyncio.sleep(0)
    assert stopped.is_set()
    assert len(asyncio.all_tasks()) == 1


async def test_a_batch_holds_something() -> None:
    """A size below one is refused."""
    with pytest.raises(ValueError, match="at least one"):
        await _collect(_stream(1), 0)
