"""What the store said of who may call, for the moments in which it can say nothing: who watches the service must see then that it is gone."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from llmtriage.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

_Said = TypeVar("_Said")
MOMENT = 60.0
"""Seconds for which an answer counts as a rule."""
OUTAGE = 3600.0
"""Seconds for which an answer counts where all that is told are figures: an alert takes longer than a moment."""
_REST = 5.0  # seconds for which a store that could not be read is left alone


class Remembered:
    """Answers of the store, for a while. It is asked first, so what changed in it counts at once; not so in the moments after it failed.

    May be used from any thread.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing was said yet.

        Args:
            clock: Seconds.
        """
        self._clock, self._lock = clock, threading.Lock()
        self._said: dict[object, tuple[float, Any]] = {}
        self._rests_until = -math.inf

    @property
    def store_is_silent(self) -> bool:
        """Whether the store could not be read a moment ago, and nobody has read it since."""
        return self._clock() < self._rests_until

    def ask(self, about: object, look: Callable[[], _Said | None], *, longest: float = MOMENT) -> _Said | None:
        """What `look` finds; where the store cannot be read, what it found last. That it found nothing (None) is not remembered.

        Args:
            about: What is looked for.
            look: Asks the store; not called in the moments after a look that failed, where an answer is remembered.
            longest: For how many seconds an answer counts.

        Raises:
            StoreError: It cannot be read, and said nothing of this in that time.
        """
        at = self._clock()
        with self._lock:
            since, last = self._said.get(about, (-math.inf, None))
        is_known = last is not None and at - since <= longest
        if is_known and self.store_is_silent:
            return last  # type: ignore[no-any-return]
        try:
            found = look()
        except StoreError:
            self._rests_until = self._clock() + _REST
            if not is_known:
                raise
            return last  # type: ignore[no-any-return]
        self._rests_until = -math.inf
        with self._lock:
            self._said.pop(about, None)
            if found is not None:
                self._said[about] = at, found
        return found
