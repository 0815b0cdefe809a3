"""The command line, killed with SIGKILL at a chosen moment: `killed.py MOMENT COUNT ARGUMENTS...`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from llmtriage import triage
from llmtriage.cli import main
from llmtriage.store import recording
from llmtriage.tables import writing

triage._TOGETHER = 50  # more commits to be killed after


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _at(owner: Any, name: str, count: int, *, before: Callable[..., None] | None = None, after: bool = False) -> None:
    """Kill at the call number `count` of a method: before it, after it, or after `before` was called in its place."""
    inner, calls = getattr(owner, name), iter(range(1, sys.maxsize))

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        this = next(calls)
        if this == count and not after:
            if before is not None:
                before(self, *args, **kwargs)
            _kill()
        result = inner(self, *args, **kwargs)
        if this == count:
            _kill()
        return result

    setattr(owner, name, counted)


def _half_a_row(self: Any, cells: Any) -> None:
    """What is on disk when a kill meets a write: the beginning of a row."""
    row = writing.encode_row(cells, self.columns, self.fmt)
    self.flush()
    self._write(row[: len(row) // 2])


MOMENTS: dict[str, Callable[[int], None]] = {
    "after-commit": lambda count: _at(recording.Recorder, "record", count, after=True),
    "in-transaction": lambda count: _at(recording._Group, "_write_entries", count),
    "in-row": lambda count: _at(writing.RowWriter, "write", count, before=_half_a_row),
    "never": lambda count: None,
}

if __name__ == "__main__":
    MOMENTS[sys.argv[1]](int(sys.argv[2]))
    sys.argv[1:] = sys.argv[3:]
    sys.exit(main())
