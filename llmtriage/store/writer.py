"""One thread that writes: what waits is committed together, so that many callers share one wait for the disk."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

from llmtriage.errors import is_everybodys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Job = tuple[Sequence["T"], Future[Sequence["R"]]]

T = TypeVar("T")
R = TypeVar("R")

MOST = 256  # items of one commit: more gain nothing, and hold other writers up


class Writer(Generic[T, R]):
    """Commits items in groups; who hands them over learns when they are on disk."""

    def __init__(self, commit: Callable[[Sequence[T]], Sequence[R]]) -> None:
        """Start nothing yet.

        Args:
            commit: Keeps all of the items or none, raises where it cannot, and says what became of each.
        """
        self._commit = commit
        self._jobs: queue.SimpleQueue[_Job[T, R] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process = 0

    def submit(self, items: Sequence[T]) -> Future[Sequence[R]]:
        """Have items committed. The future says what became of each when they are, or holds what went wrong; then none of them is kept."""
        done: Future[Sequence[R]] = Future()
        with self._lock:
            if self._thread is None or self._process != os.getpid():  # the first call, also of a forked child
                self._start()
            self._jobs.put((items, done))
        return done

    def close(self) -> None:
        """End the thread when it has committed what it was handed. A later `submit` starts another one."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None or self._process != os.getpid():
                return
            self._jobs.put(None)
        thread.join()

    def _start(self) -> None:
        self._process, self._jobs = os.getpid(), queue.SimpleQueue()
        self._thread = threading.Thread(target=_work, args=(self._jobs, self._commit), name="llmtriage-writer", daemon=True)
        self._thread.start()
        weakref.finalize(self, self._jobs.put, None).atexit = False  # nor does one that was not closed leave a thread behind


def _work(jobs: queue.SimpleQueue[_Job[T, R] | None], commit: Callable[[Sequence[T]], Sequence[R]]) -> None:
    group: list[_Job[T, R] | None] = []
    while None not in group:  # behind it nothing comes
        group = [jobs.get()]
        while sum(len(job[0]) for job in group if job) < MOST and not jobs.empty():
            group.append(jobs.get())
        _together([job for job in group if job and job[1].set_running_or_notify_cancel()], commit)


def _together(group: list[_Job[T, R]], commit: Callable[[Sequence[T]], Sequence[R]]) -> None:
    if not group:
        return
    try:
        became = commit([item for items, _ in group for item in items])
    except BaseException as error:  # noqa: BLE001 - whatever it is must reach who waits
        if len(group) == 1 or is_everybodys(error):
            for _, done in group:
                done.set_exception(error)
            return
        for job in group:  # one caller's items must not fail another's
            _together([job], commit)
        return
    begin = 0
    for items, done in group:
        done.set_result(became[begin : begin + len(items)])
        begin += len(items)
