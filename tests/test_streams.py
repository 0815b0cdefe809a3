"""Sync calls over async work: from a plain thread, inside a running loop, with little memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from llmtriage.streams import WINDOW, PrivateLoop, Puts


async def doubled(items: AsyncIterator[int]) -> AsyncIterator[int]:
    """Twice each item."""
    async for item in items:
        yield 2 * item


@pytest.fixture
def loop() -> PrivateLoop:
    """A loop that nothing else uses."""
    return PrivateLoop()


def test_results_come_in_order(loop: PrivateLoop) -> None:
    """One for each item."""
    assert list(loop.stream(doubled, range(10_000))) == [2 * i for i in range(10_000)]
    assert list(loop.stream(doubled, [])) == []


async def test_it_works_inside_a_running_loop(loop: PrivateLoop) -> None:
    """As in a notebook."""

    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert loop.run(answer()) == 42
    assert list(loop.stream(doubled, [1, 2])) == [2, 4]


def test_items_are_drawn_in_the_callers_thread_and_a_bounded_number_ahead(loop: PrivateLoop) -> None:
    """So a database cursor may be an input, and an endless one too."""
    drawn = 0

    def items() -> Iterator[int]:
        nonlocal drawn
        assert threading.current_thread() is threading.main_thread()
        while True:
            drawn += 1
            yield drawn

    results = loop.stream(doubled, items())
    assert [next(results) for _ in range(3)] == [2, 4, 6]
    assert drawn <= WINDOW + 1
    results.close()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_results_come_while_the_input_is_slow(loop: PrivateLoop) -> None:
    """An early result does not wait for the window to fill."""
    pause = threading.Event()
    drawn, lags = 0, []

    def items() -> Iterator[int]:
        nonlocal drawn
        for i in range(200):
            pause.wait(0.002)
            drawn += 1
            yield i

    for received, _ in enumerate(loop.stream(doubled, items())):
        lags.append(drawn - received)
    assert len(lags) == 200
    assert max(lags) <= 20  # of a window of hundreds; some, because a busy machine may look away


def test_a_function_that_ends_early_is_an_error(loop: PrivateLoop) -> None:
    """It must not look like the end of the items."""

    async def lazy(items: AsyncIterator[int]) -> AsyncIterator[int]:
        yield await anext(items)

    with pytest.raises(RuntimeError, match="fewer results than items"):
        list(loop.stream(lazy, range(10)))


def test_exceptions_of_either_side_reach_the_caller(loop: PrivateLoop) -> None:
    """After the results before them."""

    async def breaks(items: AsyncIterator[int]) -> AsyncIterator[int]:
        async for item in items:
            if item == 3:
                raise RuntimeError("broken")
            yield item

    results = []
    with pytest.raises(RuntimeError, match="broken"):
        for result in loop.stream(breaks, range(10)):
            results.append(result)
    assert results == [0, 1, 2]

    def bad() -> Iterator[int]:
        yield 1
        raise ValueError("bad row")

    with pytest.raises(ValueError, match="bad row"):
        list(loop.stream(doubled, bad()))


def test_leaving_early_stops_the_work(loop: PrivateLoop) -> None:
    """A caller who breaks out of the loop leaves nothing running."""
    stopped = threading.Event()

    async def watched(items: AsyncIterator[int]) -> AsyncIterator[int]:
        try:
            async for item in items:
                yield item
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            stopped.set()
            raise

    results = loop.stream(watched, range(5))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert stopped.wait(5)


async def test_what_is_put_is_never_lost() -> None:
    """Also that of a coroutine which is stopped while it waits for room."""
    held: Puts[int] = Puts(2)

    async def put() -> None:
        for item in range(10):
            await held.put(item)

    held.fill(put())
    assert await held.take(1) == [0]
    await asyncio.sleep(0)
    assert await held.take(5) == [1, 2]
    await asyncio.sleep(0)
    assert await held.close() == [3, 4]
