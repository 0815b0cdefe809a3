"""How hard one endpoint is asked: requests in flight, pauses, a budget of retries, a breaker. Numbers and a clock; no network.

The practice and its sources: Google SRE book, "Handling Overload" (retries below 10 % of requests); AWS Builders' Library, "Timeouts,
retries and backoff with jitter" (full jitter, token bucket, one retry point); Chiu and Jain 1989 (additive increase, multiplicative
decrease).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    from llmtriage.predictions import EngineReason
    from llmtriage.settings import Patience


_LONGEST_RUN = 64  # requests with the same beginning


class Clock(Protocol):
    """Time that a test can hold in its hands."""

    def now(self) -> float:
        """Seconds since some beginning."""

    async def sleep(self, seconds: float) -> None:
        """Come back that much later."""


class RealClock:
    """The machine's own."""

    now = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Come back that much later."""
        await asyncio.sleep(seconds)


class Slots:
    """Requests in flight in one event loop, under a limit that may change while they are.

    Of those who wait, the next is one with the same beginning as the last, which the server then still has in its prefix cache; after
    `_LONGEST_RUN` of them in a row, whoever waits longest.
    """

    def __init__(self, concurrency: Concurrency) -> None:
        """Nothing is in flight."""
        self._concurrency = concurrency
        self._used = 0
        self._waiting: deque[tuple[asyncio.Future[None], Hashable]] = deque()
        self._last: Hashable = None
        self._run = 0

    @asynccontextmanager
    async def taken(self, beginning: Hashable = None) -> AsyncIterator[None]:
        """Wait for a slot, and give it back at the end.

        Args:
            beginning: Equal for requests that begin with the same long text.
        """
        await self._take(beginning)
        try:
            yield
        finally:
            self._free()

    async def _take(self, beginning: Hashable) -> None:
        if self._used < self._concurrency.limit and not self._waiting:
            self._used += 1
            self._last = beginning
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, beginning))
        try:
            await turn  # who wakes us has taken the slot for us
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free()
            raise

    def _free(self) -> None:
        self._used -= 1
        while self._waiting and self._used < self._concurrency.limit:
            turn = self._next()
            if not turn.done():
                self._used += 1
                turn.set_result(None)

    def _next(self) -> asyncio.Future[None]:
        self._run += 1
        if self._run < _LONGEST_RUN:
            for place, (turn, beginning) in enumerate(self._waiting):
                if beginning == self._last:
                    del self._waiting[place]
                    return turn
        turn, self._last = self._waiting.popleft()
        self._run = 0
        return turn


@dataclass(slots=True)
class Concurrency:
    """How many requests may be in flight: one more after `growth` good answers, half after a refusal, never above `cap`."""

    limit: int
    cap: int
    growth: int
    _good: int = 0
    _cut: float = -1.0

    def good(self) -> None:
        """An answer came in good time."""
        self._good += 1
        if self._good >= self.growth:
            self._good, self.limit = 0, min(self.cap, self.limit + 1)

    def slow(self) -> None:
        """An answer came, but late: many in a row mean one less."""
        self._good -= 1
        if self._good <= -self.growth:
            self._good, self.limit = 0, max(1, self.limit - 1)

    def refused(self, sent: float, now: float) -> None:
        """The server refused or never answered. Requests sent before the last cut say nothing about the limit after it."""
        if sent > self._cut:
            self._good, self._cut, self.limit = 0, now, max(1, self.limit // 2)


@dataclass(slots=True)
class RetryBudget:
    """A bucket: each retry takes one, each success gives `refund` back, and each second `rate`, so that nobody waits for ever."""

    size: float
    refund: float
    rate: float
    left: float
    _looked: float | None = None

    def take(self, now: float) -> bool:
        """Whether a retry is allowed now; if so it is paid."""
        self.left = min(self.size, self.left + self.rate * (now - (now if self._looked is None else self._looked)))
        self._looked = now
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def success(self) -> None:
        """A request was answered."""
        self.left = min(self.size, self.left + self.refund)


@dataclass(slots=True)
class Breaker:
    """Opens when a server seems dead; lets one request through now and then to see whether it lives.

    Attributes:
        failures: It opens at so many in a row,
        share: or at this share of failures
        window: among so many of the last requests.
        wait: Seconds until the first trial; doubled after each that fails, up to
        longest: this many.
        since: When it opened; None while it is closed.
    """

    failures: int
    share: float
    window: int
    wait: float
    longest: float
    since: float | None = None
    _in_a_row: int = 0
    _recent: deque[bool] = field(default_factory=deque)
    _until: float = 0.0
    _next_wait: float = 0.0
    _trying: bool = False

    def is_open(self, now: float) -> bool:
        """Whether no request may go now, not even a trial."""
        return self.since is not None and (now < self._until or self._trying)

    def admits(self, now: float) -> Literal["yes", "trial", "no"]:
        """Whether a request may go: as usual, as the one trial, or not now. A trial that is admitted must be told of its end."""
        if self.is_open(now):
            return "no"
        if self.since is None:
            return "yes"
        self._trying = True
        return "trial"

    def seconds_left(self, now: float) -> float:
        """Until the next trial may go."""
        return max(0.0, self._until - now) if self.since is not None else 0.0

    def success(self) -> None:
        """The server answered: whatever was, it lives."""
        if self.since is not None:
            self._recent.clear()
        self.since, self._trying, self._in_a_row = None, False, 0
        self._note(failed=False)

    def failure(self, now: float, *, trial: bool) -> None:
        """The server did not answer, or said that it cannot."""
        if trial:
            self._trying = False
            self._next_wait = min(self.longest, 2 * self._next_wait)
            self._until = now + self._next_wait
            return
        if self.since is not None:
            return  # sent before it opened
        self._in_a_row += 1
        self._note(failed=True)
        full = len(self._recent) == self.window
        if self._in_a_row >= self.failures or (full and sum(self._recent) >= self.share * self.window):
            self.since, self._next_wait = now, self.wait
            self._until = now + self.wait

    def undecided(self, *, trial: bool) -> None:
        """The request ended without saying anything about the server, for example because it was cancelled."""
        if trial:
            self._trying = False

    def _note(self, *, failed: bool) -> None:
        self._recent.append(failed)
        if len(self._recent) > self.window:
            self._recent.popleft()


@dataclass(frozen=True, slots=True)
class Waiting:
    """For what all requests wait, and for how many seconds more."""

    seconds: float
    reason: EngineReason


class Pace:
    """All of it for one endpoint."""

    def __init__(self, patience: Patience, concurrency: int, clock: Clock) -> None:
        """Begin with a closed breaker and a full budget.

        Args:
            patience: The numbers.
            concurrency: The most requests in flight.
            clock: The time.
        """
        self.patience = patience
        self.clock = clock
        self.concurrency = Concurrency(min(patience.start, concurrency), concurrency, patience.growth)
        self.retries = RetryBudget(patience.retry_budget, patience.retry_refund, patience.retry_rate, patience.retry_budget)
        self.breaker = Breaker(
            patience.breaker_failures,
            patience.breaker_share,
            patience.breaker_window,
            patience.breaker_wait,
            patience.breaker_longest,
        )
        self.answered = False
        self.unusable = 0
        self.trouble = ""
        self._paused_until = 0.0
        self._told_until = 0.0

    def tells(self) -> bool:
        """Whether it is time for a line about waiting: once for each wait, not once for each request that waits."""
        waiting, now = self.waiting(), self.clock.now()
        if waiting is None or now < self._told_until:
            return False
        self._told_until = now + waiting.seconds
        return True

    def pause(self, seconds: float) -> None:
        """The server asked for a break: nobody asks it meanwhile. A tenth more by chance, so that not all come back at once."""
        until = self.clock.now() + seconds * random.uniform(1.0, 1.1)  # noqa: S311
        self._paused_until = max(self._paused_until, until)

    def waiting(self) -> Waiting | None:
        """What keeps every request back now."""
        now = self.clock.now()
        if self._paused_until > now:
            return Waiting(self._paused_until - now, "rate_limited")
        return Waiting(self.breaker.seconds_left(now), "backend_unavailable") if self.breaker.is_open(now) else None

    def success(self, seconds: float) -> None:
        """An answer that can be used came after so many seconds."""
        self.answered, self.unusable = True, 0
        self.retries.success()
        self.breaker.success()
        if seconds > self.patience.slow:
            self.concurrency.slow()
        else:
            self.concurrency.good()

    def failure(self, sent: float, *, trial: bool, refused: bool) -> None:
        """The server could not answer.

        Args:
            sent: When the request was sent.
            trial: Whether it was the breaker's trial.
            refused: Whether it is a sign of too much at once.
        """
        now = self.clock.now()
        self.breaker.failure(now, trial=trial)
        if refused:
            self.concurrency.refused(sent, now)
