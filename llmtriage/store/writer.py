"""One thread that writes: what waits is committed together, so that many callers share one wait for the disk."""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

MOST = 256  # items of one commit: more gain nothing, and hold other writers up


class Writer(Generic[T]):
    """Commits items in groups; who hands them over learns when they are on disk."""

    def __init__(self, commit: Callable[[Sequence[T]], None]) -> None:
        """Start nothing yet.

        Args:
            commit: Keeps all of the items or none, and raises where it cannot.
        """
        self._commit = commit
        self._jobs: queue.SimpleQueue[tuple[Sequence[T], Future[None]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._process = 0

    def submit(self, items: Sequence[T]) -> Future[None]:
        """Have items committed. The future is done when they are, or holds what went wrong; then none of them is kept."""
        with self._lock:
            if self._process != os.getpid():  # the first call, also of a forked child
                self._process, self._jobs = os.getpid(), queue.SimpleQueue()
                threading.Thread(target=self._work, args=(self._jobs,), name="llmtriage-writer", daemon=True).start()
        done: Future[None] = Future()
        self._jobs.put((items, done))
        return done

    def _work(self, jobs: queue.SimpleQueue[tuple[Sequence[T], Future[None]]]) -> None:
        while True:
            group = [jobs.get()]
            while sum(len(items) for items, _ in group) < MOST and not jobs.empty():
                group.append(jobs.get())
            self._together([job for job in group if job[1].set_running_or_notify_cancel()])

    def _together(self, group: list[tuple[Sequence[T], Future[None]]]) -> None:
        if not group:
            return
        try:
            self._commit([item for items, _ in group for item in items])
        except BaseException as error:  # noqa: BLE001 - whatever it is must reach who waits
            if len(group) == 1:
                group[0][1].set_exception(error)
                return
            for job in group:  # one caller's items must not fail another's
                self._together([job])
            return
        for _, done in group:
            done.set_result(None)
