"""What decides, and what decided before: a new calibration, taxonomy or example set is taken over whole or not at all."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from llmtriage.triage import Triage


@dataclass(frozen=True, slots=True)
class Version:
    """What decides.

    Attributes:
        id: Its fingerprint in short: every outcome names it.
        triage: All of it.
        since: When it was put in place.
    """

    id: str
    triage: Triage
    since: datetime


class Versions:
    """The version that decides now, and the one before."""

    def __init__(self, build: Callable[[], Triage]) -> None:
        """Build nothing yet.

        Args:
            build: Reads the files anew and puts a `Triage` together; called in a thread.
        """
        self._build = build
        self._changing = asyncio.Lock()
        self._current: Version | None = None
        self._before: Version | None = None
        self._users: Counter[Triage] = Counter()
        self._is_over = False

    @property
    def current(self) -> Version:
        """What decides now."""
        assert self._current is not None  # noqa: S101 - the service starts with taking one over
        return self._current

    @property
    def before(self) -> Version | None:
        """What decided before, if there was one."""
        return self._before

    @asynccontextmanager
    async def using(self) -> AsyncIterator[Version]:
        """What decides now, open until the block ends, also where it was replaced meanwhile."""
        version = self.current
        self._users[version.triage] += 1
        try:
            yield version
        finally:
            self._users[version.triage] -= 1
            await self._let_go(version.triage)

    async def take_over(self) -> Version:
        """Read everything anew; once it is known to fit it decides, and what came before the last one is let go when nobody uses it any more.

        Raises:
            InputError: A file cannot be used. What decides goes on.
            CalibrationError: The calibration was made under something else. What decides goes on.
            BackendError: The engine cannot work. What decides goes on.
        """
        async with self._changing:
            new = await self._built()
            if self._current is not None and new.id == self._current.id and new.triage.taxonomy == self._current.triage.taxonomy:
                await new.triage.aclose()
                return self._current
            gone, self._before, self._current = self._before, self._current, new
            if gone is not None:
                await self._let_go(gone.triage)
            return new

    async def back(self) -> Version:
        """Put the version before in place again; called again it is taken back. Raises InputError if there is none."""
        async with self._changing:
            if self._before is None:
                raise InputError("there is no version before this one", remedy="it is kept from the first change on")
            before = Version(self._before.id, self._before.triage, datetime.now(UTC))
            self._before, self._current = self.current, before
            return before

    async def aclose(self) -> None:
        """Let both go; one that is still used when its last user is done."""
        self._is_over = True
        for version in (self._current, self._before):
            if version is not None:
                await self._let_go(version.triage)

    async def _let_go(self, triage: Triage) -> None:
        """Close it where nobody uses it, and nobody will."""
        kept = not self._is_over and any(one is not None and one.triage is triage for one in (self._current, self._before))
        if not kept and not self._users[triage]:
            del self._users[triage]
            await triage.aclose()

    async def _built(self) -> Version:
        triage = await asyncio.to_thread(self._build)
        try:
            await triage.asettle()
            run = await triage.arun()
        except BaseException:
            await triage.aclose()
            raise
        return Version(run.id, triage, datetime.now(UTC))
