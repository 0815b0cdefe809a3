"""Bounded streams: between coroutines, and between a caller's thread and the loop in which the engines work."""

from __future__ import annotations

import asyncio
import inspect
import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WINDOW = 2048  # items of one stream that are under way at most
_THREAD = "llmtriage-loop"


class Puts(Generic[T]):
    """A bounded queue that one coroutine fills and one consumer empties; it ends when the coroutine ends, however it ends."""

    def __init__(self, size: int) -> None:
        """Hold at most `size` items."""
        self._items: deque[T] = deque()
        self._size = size
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._maker: asyncio.Task[None]

    def fill(self, work: Coroutine[Any, Any, None]) -> None:
        """Start the coroutine that puts."""
        self._maker = asyncio.create_task(work)
        self._maker.add_done_callback(lambda _: self._news.set())

    async def put(self, item: T) -> None:
        """Put one item, and wait until there is room for the next: whatever stops the waiting, the item is in the queue."""
        self._items.append(item)
        self._news.set()
        while len(self._items) >= self._size:
            self._room.clear()
            await self._room.wait()

    async def get(self) -> T | None:
        """The next item; None at the end. Raises what ended the coroutine."""
        return self._items.popleft() if await self._some() else None

    async def take(self, most: int) -> list[T]:
        """The items that are there, one at least and at most so many; none at the end. Raises what ended the coroutine."""
        return [self._items.popleft() for _ in range(min(most, len(self._items)))] if await self._some() else []

    async def _some(self) -> bool:
        """Wait for an item, and say whether there is one or the end; whoever puts may go on when it was taken."""
        while not self._items:
            if self._maker.done():
                await self._maker
                return False
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return True

    async def close(self) -> list[T]:
        """Stop the coroutine; what was put and not taken."""
        self._maker.cancel()
        await asyncio.gather(self._maker, return_exceptions=True)
        left, self._items = list(self._items), deque()
        return left


async def as_async(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """`items` as an async iterator."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class PrivateLoop:
    """An event loop in a thread of its own, so that sync calls work everywhere, inside a running loop too."""

    def __init__(self) -> None:
        """Start nothing yet: the thread begins with the first call."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._lock = threading.Lock()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine to its end and return its result; an interrupted caller cancels it."""

        async def only(_: AsyncIterator[None]) -> AsyncIterator[R]:
            yield await work

        try:
            [result] = self.stream(only, [None])
        finally:
            if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                work.close()
        return result

    def stream(self, function: Callable[[AsyncIterator[T]], AsyncIterator[R]], items: Iterable[T]) -> Iterator[R]:
        """Results of `function` over `items`, one for each; items are drawn in the caller's thread, at most `WINDOW` ahead."""
        loop = self._running()
        if threading.current_thread().name == _THREAD:
            raise RuntimeError("a sync call inside the loop would wait for itself; use the async one")
        bridge: _Bridge[T, R] = _Bridge(loop)
        future = asyncio.run_coroutine_threadsafe(bridge.work(function), loop)
        try:
            yield from bridge.exchange(items)
        finally:
            future.cancel()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():  # a forked child has no thread
                self._loop, self._process = asyncio.new_event_loop(), os.getpid()
                threading.Thread(target=_serve, args=(self._loop,), name=_THREAD, daemon=True).start()
                weakref.finalize(self, _stop, self._loop, self._process)
            return self._loop


class _Bridge(Generic[T, R]):
    """Two queues between a caller's thread and the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: deque[T] = deque()
        self._complete = False
        self._news = asyncio.Event()
        self._told = False
        self._outbox: queue.SimpleQueue[tuple[R | None, BaseException | None]] = queue.SimpleQueue()
        self._under_way = 0

    async def work(self, function: Callable[[AsyncIterator[T]], AsyncIterator[R]]) -> None:
        try:
            async for result in function(self._source()):
                self._outbox.put((result, None))
            self._outbox.put((None, RuntimeError("fewer results than items")))  # read only by a caller who still waits for one
        except asyncio.CancelledError:
            self._outbox.put((None, RuntimeError("cancelled")))
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is must reach the caller
            self._outbox.put((None, error))

    async def _source(self) -> AsyncIterator[T]:
        while True:
            await self._news.wait()
            self._news.clear()
            self._told = False  # before looking, so that what comes while we look is told again
            while self._arrived:
                yield self._arrived.popleft()
            if self._complete and not self._arrived:
                return

    def exchange(self, items: Iterable[T]) -> Iterator[R]:
        for item in items:
            self._under_way += 1
            self._arrived.append(item)
            self._tell()
            while self._under_way and (self._under_way >= WINDOW or not self._outbox.empty()):
                yield self._receive()
        self._complete = True
        self._tell()
        while self._under_way:
            yield self._receive()

    def _tell(self) -> None:
        """Wake the loop, once for all that has come since it last looked: waking costs as much as ten items."""
        if not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._news.set)

    def _receive(self) -> R:
        result, error = self._outbox.get()
        if error is not None:
            raise error
        self._under_way -= 1
        return result  # type: ignore[return-value]


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    while tasks := asyncio.all_tasks(loop):  # a generator that is let go meanwhile starts one more to close it
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _stop(loop: asyncio.AbstractEventLoop, process: int) -> None:
    if process == os.getpid() and not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
