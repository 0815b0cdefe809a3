"""How often somebody may: in this process, for a limit is no secret and no count that must be right."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_REMEMBERED = 10_000  # names or addresses; the one not seen for longest is forgotten


class Rates:
    """A token bucket for each caller: a minute's worth at once, and then as they come back."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has called yet.

        Args:
            per_minute: Requests a minute of one caller.
            clock: Seconds.
        """
        self._most, self._each, self._clock = float(per_minute), per_minute / 60, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str) -> float:
        """Count one request. Returns the seconds to wait; 0: it may go on, and was counted."""
        with self._lock:
            at = self._clock()
            left, since = self._buckets.pop(caller, (self._most, at))
            left = min(self._most, left + (at - since) * self._each)
            wait = 0.0 if left >= 1 else (1 - left) / self._each
            self._buckets[caller] = (left if wait else left - 1, at)
            _forget_oldest(self._buckets)
        return wait


class Attempts:
    """Failed sign-ins of a name or an address: so many in a while, then none until the first of them is over."""

    def __init__(self, most: int = 10, within: float = 600, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has tried yet.

        Args:
            most: Attempts that may fail,
            within: in so many seconds.
            clock: Seconds.
        """
        self._most, self._within, self._clock = most, within, clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, keys: Sequence[str]) -> float:
        """Count an attempt of all of `keys` as failed, before it is known whether it is: many at once are no way around.

        Returns:
            The seconds to wait; 0: it may be made.
        """
        with self._lock:
            at = self._clock()
            wait = max(self._wait(key, at) for key in keys)
            for key in keys if not wait else ():
                self._failed.setdefault(key, deque()).append(at)
                self._failed.move_to_end(key)
            _forget_oldest(self._failed)
        return wait

    def take_back(self, keys: Sequence[str]) -> None:
        """Take the last attempt of `keys` back: it did not fail, or was not made."""
        with self._lock:
            for key in keys:
                if self._failed.get(key):
                    self._failed[key].pop()

    def _wait(self, key: str, at: float) -> float:
        times = self._failed.get(key, deque())
        while times and times[0] <= at - self._within:
            times.popleft()
        return times[0] + self._within - at if len(times) >= self._most else 0.0


def _forget_oldest(remembered: OrderedDict[str, Any]) -> None:
    while len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)
