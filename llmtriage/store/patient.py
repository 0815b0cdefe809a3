"""A connection to PostgreSQL that gives up on a server that does not answer: one that is stopped keeps its connections open, and ends nothing."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Generator


class Connection(psycopg.Connection[Any]):
    """psycopg's, with patience.

    Attributes:
        patience: Seconds to wait for an answer; then the connection is closed.
    """

    patience = math.inf

    def be_patient(self, seconds: float, *, grace: float) -> None:
        """Have the server end statements after some time, unless its settings or the address say otherwise, and wait a little longer than it."""
        self.patience = seconds + grace
        chosen = "select setting::bigint, source = 'default' from pg_settings where name = 'statement_timeout'"
        [(milliseconds, is_default)] = self.execute(chosen).fetchall()
        if is_default:
            milliseconds = round(seconds * 1000)
            self.execute(f"set statement_timeout = {milliseconds}".encode())
        self.commit()
        self.patience = milliseconds / 1000 + grace if milliseconds else math.inf

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Do what psycopg does, until the patience ends."""
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        end = time.monotonic() + self.patience
        ready = None
        while True:
            try:
                wanted = steps.send(ready)
            except StopIteration as done:
                return done.value
            ready = yield wanted
            if not ready and time.monotonic() > end:
                self.pgconn.finish()
                raise psycopg.OperationalError("no answer in time")
