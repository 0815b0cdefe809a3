"""The ordered stream: order, constant concurrency, bounded memory, failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from llmtriage.backends.in_flight import in_flight
from llmtriage.streams import as_async


class Gauge:
    """A slow function that counts how many of its calls are under way."""

    def __init__(self) -> None:
        self.now = self.most = self.started = 0

    async def __call__(self, item: int) -> int:
        self.started += 1
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(1 + item % 7):
            await asyncio.sleep(0)
        self.now -= 1
        return item * 10


async def test_results_come_in_order_with_constant_concurrency() -> None:
    """However long each takes."""
    gauge = Gauge()
    results = [result async for result in in_flight(gauge, as_async(range(200)), 5)]
    assert results == [i * 10 for i in range(200)]
    assert gauge.most == 5


async def test_a_slow_one_bounds_what_is_held() -> None:
    """Behind an item that never ends, only a bounded number is taken."""
    taken = 0

    async def items() -> AsyncIterator[int]:
        nonlocal taken
        for i in range(100_000):
            taken += 1
            yield i

    async def one(item: int) -> int:
        await asyncio.sleep(3600 if item == 0 else 0)
        return item

    stream = in_flight(one, items(), 4)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.1)
    assert 4 <= taken <= 4 * 16 + 6


async def test_the_first_exception_stops_the_taking() -> None:
    """Earlier results come, the exception is raised in its turn, and no second wave is sent."""
    gauge = Gauge()

    async def one(item: int) -> int:
        if item == 3:
            raise RuntimeError("broken")
        return await gauge(item)

    results = []
    with pytest.raises(RuntimeError, match="broken"):
        async for result in in_flight(one, as_async(range(1000)), 4):
            results.append(result)
    assert results == [0, 10, 20]
    assert gauge.started < 12


async def test_nothing_behind_an_exception_begins_while_an_earlier_one_takes_long() -> None:
    """Those that wait for their turn inside the call are not let go when the exception frees one."""
    turns, began, broke = asyncio.Semaphore(2), list[int](), asyncio.Event()

    async def one(item: int) -> int:
        async with turns:
            began.append(item)
            if item == 0:
                await broke.wait()
                await asyncio.sleep(0.05)
            if item == 3:
                broke.set()
                raise RuntimeError("broken")
            return item

    results = []
    with pytest.raises(RuntimeError, match="broken"):
        async for result in in_flight(one, as_async(range(1000)), 8):
            results.append(result)
    assert results == [0, 1, 2]
    assert began == [0, 1, 2, 3]


async def test_an_exception_of_the_source_comes_after_the_results() -> None:
    """What was taken before is answered."""

    async def items() -> AsyncIterator[int]:
        yield 1
        raise ValueError("bad row")

    results = []
    with pytest.raises(ValueError, match="bad row"):
        async for result in in_flight(Gauge(), items(), 4):
            results.append(result)
    assert results == [10]


async def test_results_come_while_the_source_pauses() -> None:
    """A source that waits for our result before it goes on does not deadlock."""
    got = asyncio.Event()

    async def items() -> AsyncIterator[int]:
        yield 1
        await got.wait()
        yield 2

    results = []
    async with asyncio.timeout(5):
        async for result in in_flight(Gauge(), items(), 4):
            results.append(result)
            got.set()
    assert results == [10, 20]


async def test_leaving_early_cancels_what_is_under_way() -> None:
    """No task is left behind."""
    before = len(asyncio.all_tasks())
    stream = in_flight(Gauge(), as_async(range(1000)), 8)
    assert await anext(stream) == 0
    await stream.aclose()  # type: ignore[attr-defined]
    assert len(asyncio.all_tasks()) == before
