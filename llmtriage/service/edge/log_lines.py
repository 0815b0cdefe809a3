"""Lines of the log, which nobody need read: whoever does not is no reason to wait."""

from __future__ import annotations

import logging
import os
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_THE_END = 1.0  # seconds


class LogLines(logging.Handler):
    """Has a thread of its own write them. Where that does not come after, because a pipe is full or a disk, lines are dropped and counted."""

    def __init__(self, file: int, dropped: Callable[[], None], *, most: int = 10_000) -> None:
        """Begin.

        Args:
            file: The number of the file. It is written without a lock, which the end of the process would wait for.
            dropped: Called for each line that is lost.
            most: Lines that wait to be written.
        """
        super().__init__()
        self._file, self._dropped = file, dropped
        self._lines: queue.Queue[str | None] = queue.Queue(most)
        self._writer = threading.Thread(target=self._write, name="log lines", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Put a line with those that wait."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._dropped()

    def close(self) -> None:
        """Wait for the last lines, but only a moment."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=_AT_THE_END)
        self._writer.join(_AT_THE_END)
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                os.write(self._file, f"{line}\n".encode(errors="backslashreplace"))
            except OSError:
                self._dropped()
