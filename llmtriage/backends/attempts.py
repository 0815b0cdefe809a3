"""The attempts of one request: when each may go, how long it may take, whether another follows."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import tenacity

from llmtriage.backends.faults import Fault
from llmtriage.errors import BackendError, BackendRefusedError, BackendUnavailableError, StoppedError
from llmtriage.predictions import Failure, Usage

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from typing import Literal

    from llmtriage.backends.pacing import Pace, Waiting
    from llmtriage.backends.transport import Endpoint

_log = logging.getLogger(__name__)

_LOOK_AGAIN = 1.0  # seconds between looks at a closed door
_MARGIN = 0.05  # seconds that the last attempt ends before the deadline, so that it is noted as a time-out
_TOLD_FROM = 10.0  # seconds: a shorter wait is not worth a line


class Attempts:
    """What one request has gone through so far."""

    def __init__(self, endpoint: Endpoint, pace: Pace, *, online: bool, until: float | None = None) -> None:
        """Nothing is sent yet.

        Args:
            endpoint: Who is asked.
            pace: How hard it may be asked.
            online: Somebody waits.
            until: The end of their patience, by the clock of `pace`; None: it begins now.
        """
        self.sent = 0
        self.waited = 0.0
        self.last: Fault | None = None
        self._endpoint, self._pace, self._online = endpoint, pace, online
        self._counted = 0
        self._owes = False
        self._began = pace.clock.now()
        self._ends = until or self._began + (pace.patience.online if online else pace.patience.batch)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._pace.clock.now() - self._began

    def deadline(self) -> AbstractAsyncContextManager[object]:
        """Ends whatever happens inside when somebody who waits has waited long enough."""
        return asyncio.timeout(max(0.0, self._ends - self._began) if self._online else None)

    def limit(self) -> float:
        """Seconds the next attempt may take."""
        if not self._online:
            return self._endpoint.timeout
        return max(_MARGIN, min(self._endpoint.timeout, self._ends - self._pace.clock.now() - _MARGIN))

    def retrying(self) -> tenacity.AsyncRetrying:
        """The loop over attempts."""
        return tenacity.AsyncRetrying(
            stop=self._is_over,
            wait=self._wait,
            sleep=self._sleep,
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, Fault) and (error.retryable or self._is_held(error))
            ),
            reraise=True,
        )

    async def door(self) -> None:
        """Wait, with nothing in hand that others need, until a request may go.

        Raises:
            Fault: It may not go in time.
            BackendError: The server stayed away for too long.
        """
        while (waiting := self._pace.waiting()) is not None or not self._paid():
            await self._held_back(waiting)

    def enters(self, queued: float) -> Literal["yes", "trial", "no"]:
        """Whether the request goes, now that it has a slot; `queued` seconds in the queue for it are not counted in a batch."""
        if not self._online:
            self._ends += queued
        if self._pace.waiting() is not None:
            return "no"
        verdict = self._pace.breaker.admits(self._pace.clock.now())
        self.sent += verdict != "no"
        self._counted += verdict == "yes"
        return verdict

    def failed(self, fault: Fault, sent: float, *, trial: bool) -> None:
        """Note an attempt that failed.

        Raises:
            BackendRefusedError: It is one too many that is none of an API's answers.
        """
        pace, self.last = self._pace, fault
        if fault.wait is not None:
            pace.pause(fault.wait)
        if fault.outage and (pace.answered or fault.gone is None):
            pace.failure(sent, trial=trial, refused=fault.crowded)
            self._counted -= fault.unsent and not trial and not self._online  # nobody's attempt: the server is not there
            pace.trouble = fault.detail
        elif fault.outage:
            pace.breaker.undecided(trial=trial)  # nobody has ever answered here: that is told at once
        else:
            self._heard(fault)

    def _heard(self, fault: Fault) -> None:
        """The server lives, whatever it said."""
        pace = self._pace
        pace.breaker.success()
        if fault.error is not None:
            return  # a wrong key or path ends the run; it is no answer to anything
        if not fault.unusable:
            pace.answered, pace.unusable = True, 0
            return
        if pace.answered and not fault.retryable:
            return  # a server that has answered others says no to this one
        pace.unusable += 1
        if pace.unusable >= pace.patience.unusable:
            problem = f"{self._endpoint.url} gives no answer that can be used ({fault.detail}, {pace.unusable} times in a row)"
            raise BackendRefusedError(problem, remedy="look at it with llmtriage doctor", backend=self._endpoint.name)

    def failure(self, fault: Fault) -> Failure:
        """What the ticket gets."""
        usage = Usage(attempts=self.sent, waited=self.waited)
        return Failure(reason=fault.reason, detail=fault.detail, usage=usage, seconds=self.seconds)

    # -- between attempts ----------------------------------------------------------------------

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        fault = state.outcome.exception() if state.outcome else None
        if isinstance(fault, Fault) and self._is_held(fault):
            return False
        if not isinstance(fault, Fault) or self._counted >= self._most(fault) or self._pace.clock.now() >= self._ends:
            return True
        self._owes = fault.wait is None
        return self._online and not self._paid()

    def _is_held(self, fault: Fault) -> bool:
        """Whether a ticket of a batch waits for a server that seems dead, instead of being given up."""
        return fault.outage and not self._online and self._pace.breaker.since is not None

    def _most(self, fault: Fault) -> int:
        patience = self._pace.patience
        if fault.wait is not None and self._online and fault.wait > patience.longest_pause:
            return 0
        if fault.wait is not None and self._endpoint.attempts > 1:
            return max(self._endpoint.attempts, patience.attempts_after_wait)
        if fault.unusable or fault.reason == "timeout":
            return min(self._endpoint.attempts, patience.attempts_unclear)
        return self._endpoint.attempts

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Full jitter, U(0, min(longest, first * 2^n)); a wait that the server stated is the whole endpoint's, not this request's."""
        fault = state.outcome.exception() if state.outcome else None
        if isinstance(fault, Fault) and fault.wait is not None:
            return 0.0
        patience = self._pace.patience
        return tenacity.wait_random_exponential(multiplier=patience.first_wait, max=patience.longest_wait)(state)

    def _paid(self) -> bool:
        """Whether this attempt is paid for from the budget of retries; the first one is free."""
        if self._owes and not self._pace.retries.take(self._pace.clock.now()):
            return False
        self._owes = False
        return True

    # -- waiting for the endpoint --------------------------------------------------------------

    async def _held_back(self, waiting: Waiting | None) -> None:
        seconds = waiting.seconds if waiting else self._pace.patience.first_wait
        if self._online:
            self._refuse_online(waiting, seconds)
        elif waiting is not None:
            self._stop_batch(waiting)
            self._tell(waiting)
        elif self._pace.clock.now() >= self._ends:
            raise replace(self.last or Fault("backend_unavailable", "too many retries are needed"), retryable=False)
        pause = min(max(seconds, 0.05), seconds if waiting and waiting.reason == "rate_limited" else _LOOK_AGAIN)
        await self._sleep(pause)
        if waiting is not None and not self._online:
            self._ends += pause  # the whole endpoint waits: no fault of this ticket

    def _refuse_online(self, waiting: Waiting | None, seconds: float) -> None:
        """Somebody waits: an open breaker, or a pause longer than the deadline, is an answer."""
        if waiting is None or waiting.reason == "backend_unavailable":
            known = self.last or Fault("backend_unavailable", "the server did not answer lately")
            raise replace(known, retryable=False)
        if self._pace.clock.now() + seconds > self._ends or seconds > 1.1 * self._pace.patience.longest_pause:
            raise Fault("rate_limited", f"the server asks to wait {seconds:.0f} s")

    def _stop_batch(self, waiting: Waiting) -> None:
        """A server that is gone must not fill the queue of those who review: the run stops and can go on later."""
        pace = self._pace
        since = pace.breaker.since
        gone = pace.clock.now() - since if since is not None else 0.0
        if waiting.reason == "rate_limited":
            if waiting.seconds > pace.patience.outage:
                problem = f"the server asks to wait {waiting.seconds:.0f} s"
                raise StoppedError(problem, remedy="go on then", backend=self._endpoint.name)
            return
        if gone >= pace.patience.outage:
            raise self._gone(f"{self._endpoint.url} has not worked for {gone:.0f} s ({pace.trouble})")

    def _gone(self, problem: str) -> BackendError:
        kind = StoppedError if self._pace.answered else BackendUnavailableError
        return kind(problem, remedy="see that the server works, then go on", backend=self._endpoint.name)

    def _tell(self, waiting: Waiting) -> None:
        if waiting.seconds > _TOLD_FROM and self._pace.tells():
            why = "asks to wait" if waiting.reason == "rate_limited" else "does not work"
            _log.warning("%s %s: next request in %.0f s", self._endpoint.name, why, waiting.seconds)

    async def _sleep(self, seconds: float) -> None:
        self.waited += seconds
        await self._pace.clock.sleep(seconds)
