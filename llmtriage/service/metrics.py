"""What a service counts, for Prometheus."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from llmtriage import __version__
from llmtriage.errors import StoreError
from llmtriage.estimate import price_of
from llmtriage.outcomes import Accepted
from llmtriage.reviewing import Lane
from llmtriage.store import inbox
from llmtriage.store.overview import audited

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llmtriage.outcomes import Outcome
    from llmtriage.store import SqlStore
    from llmtriage.triage import Triage

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_LOW = 0.6
_AUDITED = 300.0  # seconds for which it is told again whether a promise holds
_FRESH = 5.0  # seconds for which the figures of the queue are told again


class _Registry(CollectorRegistry):
    """Without the times at which counting began: as many lines as there are figures, and Prometheus does not read them."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class Metrics:
    """The figures of one service. May be used from any thread."""

    def __init__(self) -> None:
        """Count from nothing."""
        own = self._registry = _Registry()
        self._requests = Counter(
            "llmtriage_http_requests", "Requests that were answered.", ["route", "method", "status"], registry=own
        )
        self._request_seconds = Histogram(
            "llmtriage_http_request_duration_seconds", "From its head to its answer.", ["route"], buckets=_SECONDS, registry=own
        )
        self._tickets = Counter(
            "llmtriage_tickets", "Tickets decided, with the first reason of one that waits.", ["outcome", "reason"], registry=own
        )
        self._decision_seconds = Histogram(
            "llmtriage_classify_duration_seconds", "Deciding on all tickets of a call.", buckets=_SECONDS, registry=own
        )
        self._tokens = Counter("llmtriage_tokens", "Tokens of the engine, as far as it tells.", ["kind"], registry=own)
        self._cost = Counter("llmtriage_cost", "Of these tokens, where a price is known.", ["currency"], registry=own)
        self._shown = Counter("llmtriage_confidence_tickets", "Tickets with a confidence or a score.", registry=own)
        self._low = Counter("llmtriage_low_confidence_tickets", f"Of these, those below {_LOW}.", registry=own)
        self._open = Gauge("llmtriage_queue_open", "Tickets that wait for a person.", ["lane"], registry=own)
        self._oldest = Gauge("llmtriage_queue_oldest_age_seconds", "Since when the oldest waits; 0: none does.", registry=own)
        self._inbox = Gauge("llmtriage_inbox_messages", "Messages of other systems not decided yet.", registry=own)
        self._inbox_oldest = Gauge(
            "llmtriage_inbox_oldest_age_seconds", "Since when the oldest waits; 0: none does.", registry=own
        )
        self._backend = Gauge("llmtriage_backend_up", "Whether the engine worked when it was last asked.", registry=own)
        self._store = Gauge("llmtriage_store_up", "Whether the store can be read.", registry=own)
        self._deliveries = Counter(
            "llmtriage_deliveries", "Attempts to tell another system.", ["callback", "result"], registry=own
        )
        self._dropped = Counter("llmtriage_log_lines_dropped", "Lines of the log that could not be written.", registry=own)
        self._promise = Gauge("llmtriage_promise_alarm", "Whether the probes say that a promise does not hold.", registry=own)
        Gauge("llmtriage_build_info", "The version of this program.", ["version"], registry=own).labels(__version__).set(1)
        self._reading = threading.Lock()
        self._read_at = self._audited_at = -math.inf
        self._sees = True  # whether the store could be read when it was last looked at

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            route: The template of its path; empty where there is none.
            method: Of HTTP.
            status: Of the answer.
            seconds: What it took.
        """
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def decided(self, outcomes: Sequence[Outcome], triage: Triage, seconds: float) -> None:
        """Count the outcomes of one call and what they took."""
        self._decision_seconds.observe(seconds)
        for outcome in outcomes:
            is_accepted = isinstance(outcome, Accepted)
            self._tickets.labels("accepted" if is_accepted else "pending", _reason(outcome)).inc()
            shown = outcome.score if outcome.confidence is None else outcome.confidence
            if shown is not None:
                self._shown.inc()
                self._low.inc(shown < _LOW)
            self._spent(outcome, triage)

    def delivered(self, callback: str, result: str) -> None:
        """Count an attempt to tell another system: "arrived", "failed" or "given_up"."""
        self._deliveries.labels(callback, result).inc()

    def dropped(self) -> None:
        """Count a line of the log that is lost."""
        self._dropped.inc()

    def page(self, store: SqlStore, triage: Triage, *, backend_is_up: bool, store_is_silent: bool = False) -> bytes:
        """All figures as Prometheus reads them; the queue is looked at every five seconds at most, probes every five minutes.

        Args:
            store: What is looked at.
            triage: What decides.
            backend_is_up: Whether its engine works.
            store_is_silent: Whether the store could not be read a moment ago; then it is not asked again while somebody waits for the figures.
        """
        self._backend.set(backend_is_up)
        with self._reading:
            if store_is_silent:
                self._lose_sight()
                self._read_at = -math.inf
            elif time.monotonic() - self._read_at > _FRESH:
                self._look(store)
                self._read_at = time.monotonic()
            if self._sees and time.monotonic() - self._audited_at > _AUDITED:
                self._audit(store, triage)
                self._audited_at = time.monotonic()
        return generate_latest(self._registry)

    def _audit(self, store: SqlStore, triage: Triage) -> None:
        if triage.calibration is None:
            self._promise.set(0)
            return
        with contextlib.suppress(StoreError):  # the figure of the store says so
            audits = audited(store.database, triage.taxonomy, triage.calibration)
            self._promise.set(any(one.audit.state == "broken" for one in audits))

    def _spent(self, outcome: Outcome, triage: Triage) -> None:
        answer = outcome.prediction or getattr(outcome, "failure", None)
        if answer is None or not answer.usage.attempts:
            return
        usage = answer.usage
        prompt, cached, output = (usage.prompt_tokens or 0, usage.cached_tokens or 0, usage.output_tokens or 0)
        for kind, tokens in (("prompt", prompt), ("cached", cached), ("output", output)):
            if tokens:
                self._tokens.labels(kind).inc(tokens)
        price = price_of(triage)
        if price is not None:
            self._cost.labels(price.currency).inc(price.of(prompt, output, cached))

    def _look(self, store: SqlStore) -> None:
        try:
            counts = store.queue.counts()
            messages, oldest = inbox.backlog(store)
        except StoreError:
            self._lose_sight()
            return
        self._store.set(1)
        self._sees = True
        for lane in get_args(Lane):
            self._open.labels(lane).set(counts.lanes.get(lane, 0))
        self._oldest.set(_age(None if counts.oldest is None else counts.oldest.timestamp()))
        self._inbox.set(messages)
        self._inbox_oldest.set(_age(None if oldest is None else oldest / 1e6))

    def _lose_sight(self) -> None:
        """Of the store: what was read of it is no longer told."""
        self._store.set(0)
        self._sees = False
        self._open.clear()
        for gauge in (self._oldest, self._inbox, self._inbox_oldest):
            gauge.set(math.nan)


def _reason(outcome: Outcome) -> str:
    return "" if isinstance(outcome, Accepted) else outcome.reasons[0].code


def _age(since: float | None) -> float:
    return 0.0 if since is None else max(0.0, time.time() - since)
