"""What the store said of who may call, for the moments in which it can say nothing: who watches the service must see then that it is gone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from llmtriage.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

_Said = TypeVar("_Said")
_LONGEST = 60.0  # seconds


class Remembered:
    """Answers of the store, each for a minute. It is asked first each time, so what changed in it counts at once. May be used from any thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing was said yet.

        Args:
            clock: Seconds.
        """
        self._clock, self._lock = clock, threading.Lock()
        self._said: dict[object, tuple[float, Any]] = {}

    def ask(self, about: object, look: Callable[[], _Said | None]) -> _Said | None:
        """What `look` finds; where the store cannot be read, what it found last. That it found nothing (None) is not remembered.

        Raises:
            StoreError: It cannot be read, and said nothing of this in the last minute.
        """
        at = self._clock()
        try:
            found = look()
        except StoreError:
            with self._lock:
                since, last = self._said.get(about, (-_LONGEST, None))
            if last is None or at - since > _LONGEST:
                raise
            return last  # type: ignore[no-any-return]
        with self._lock:
            self._said.pop(about, None)
            if found is not None:
                self._said[about] = at, found
        return found
