"""What a run would take, before anything is asked: tickets, requests, tokens, money, time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmtriage.predictions import Question
from llmtriage.prompting import estimated_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmtriage.backends.planning import Planned
    from llmtriage.measured import Measured
    from llmtriage.settings import Price
    from llmtriage.tickets import Ticket
    from llmtriage.triage import Triage


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run would take. Token counts are estimates: without a measured ratio real ones differ by about a third either way.

    Attributes:
        tickets: In the file.
        gated: Of these, decided without the engine, for example because they are too short.
        repeated: Of these, the same request as an earlier one, sent once.
        known: Of the requests, those that the reply cache can answer.
        calls: Requests that would be sent.
        prompt_tokens: Of all calls.
        shared_tokens: Of these, in the part that is the same for every ticket, which servers can cache.
        output_tokens: Of all calls.
        cost: In `currency`; None without a price.
        cost_cached: The same if the server has the shared part of all but the first call in its prefix cache; None without a price.
        currency: Of the costs.
        seconds: At the measured rate; None where none was measured.
        tickets_per_second: That rate.
        measured: Where and when the rate was measured; None: it was not.
        ratio_is_measured: Whether the tokens rest on the server's own count.
        prompt: The first request as it would be sent; None where no ticket needs one.
    """

    tickets: int
    gated: int
    repeated: int
    known: int
    calls: int
    prompt_tokens: int
    shared_tokens: int
    output_tokens: int
    cost: float | None
    cost_cached: float | None
    currency: str | None
    seconds: float | None
    tickets_per_second: float | None
    measured: str | None
    ratio_is_measured: bool
    prompt: str | None

    @property
    def shared(self) -> float | None:
        """The share of the prompts that is the same for every ticket, in [0, 1]."""
        return self.shared_tokens / self.prompt_tokens if self.prompt_tokens else None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "shared": self.shared}


def price_of(triage: Triage) -> Price | None:
    """What the model of the engine costs, if that is known."""
    settings = getattr(triage.backend, "settings", None)
    return triage.settings.prices.get(settings.model) if settings else None


def estimate(triage: Triage, tickets: Iterable[Ticket]) -> Estimate:
    """What it would take to classify `tickets`; nothing is sent."""
    plan = getattr(triage.backend, "plan", None)
    count = _Count(triage)
    for ticket in tickets:
        question = count.ticket(ticket)
        if question is not None and plan is not None:
            count.request(plan(question))
    return count.result()


class _Count:
    """The sums over a file."""

    def __init__(self, triage: Triage) -> None:
        self._triage = triage
        self._tickets = self._gated = self._repeated = self._known = self._calls = 0
        self._shared = self._own = self._output = 0
        self._sizes: dict[str, int] = {}
        self._seen: set[int] = set()
        self._first: Planned | None = None

    def ticket(self, ticket: Ticket) -> Question | None:
        self._tickets += 1
        question = self._triage.planned(ticket)
        self._gated += question is None
        return question

    def request(self, planned: Planned) -> None:
        self._first = self._first or planned
        key = hash((planned.shared, planned.own))
        if key in self._seen:
            self._repeated += 1
            return
        self._seen.add(key)
        if planned.known:
            self._known += 1
            return
        if planned.shared not in self._sizes:
            self._sizes[planned.shared] = estimated_tokens(planned.shared)
        self._calls += planned.calls
        self._shared += planned.calls * self._sizes[planned.shared]
        self._own += planned.calls * estimated_tokens(planned.own)
        self._output += planned.calls * planned.output_tokens

    def result(self) -> Estimate:
        measured, price = self._server()
        ratio = (measured and measured.prompt_ratio) or 1.0
        shared, prompt = round(self._shared * ratio), round((self._shared + self._own) * ratio)
        output = round(self._calls * measured.output_tokens) if measured and measured.output_tokens else self._output
        rate = measured.tickets_per_second if measured else None
        cacheable = shared - shared // max(self._calls, 1)
        return Estimate(
            tickets=self._tickets,
            gated=self._gated,
            repeated=self._repeated,
            known=self._known,
            calls=self._calls,
            prompt_tokens=prompt,
            shared_tokens=shared,
            output_tokens=output,
            cost=price.of(prompt, output) if price else None,
            cost_cached=price.of(prompt, output, cacheable) if price else None,
            currency=price.currency if price else None,
            seconds=self._calls / rate if rate else None,
            tickets_per_second=rate,
            measured=f"{measured.source}, {measured.when}" if measured else None,
            ratio_is_measured=bool(measured and measured.prompt_ratio),
            prompt=self._first.text if self._first else None,
        )

    def _server(self) -> tuple[Measured | None, Price | None]:
        from llmtriage.measured import recall

        if self._first is None:
            return None, None
        return recall(self._first.url, self._first.model), self._triage.settings.prices.get(self._first.model)
