"""What a run may cost at most: reserved before each request, settled after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmtriage.errors import StoppedError

if TYPE_CHECKING:
    from llmtriage.settings import Price


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a request and its answer; `cached` are those of the prompt that the server had in its prefix cache."""

    prompt: int
    output: int
    cached: int = 0


class Budget:
    """A limit on tokens, on money, or on both.

    A request goes only if all that is reserved and spent stays within the limits, so the limit is passed at most by what the servers
    count more than we do for the requests in flight.
    """

    def __init__(self, *, tokens: int | None = None, cost: float | None = None, currency: str = "") -> None:
        """Nothing is spent yet.

        Args:
            tokens: The most tokens, prompts and answers together.
            cost: The most money.
            currency: Of that money, for messages.
        """
        self._most_tokens, self._most_cost, self._currency = tokens, cost, currency
        self.spent_tokens, self.spent_cost = 0, 0.0
        self._held_tokens, self._held_cost = 0, 0.0

    def reserve(self, tokens: Tokens, *, price: Price | None = None) -> bool:
        """Set the tokens of one request aside; False: not now, because others in flight may leave enough.

        Args:
            tokens: The most it can take.
            price: What its model costs.

        Raises:
            StoppedError: The limit is reached and nothing in flight can change that.
        """
        cost = _cost(tokens, price)
        if self._fits(tokens, cost):
            self._hold(tokens, cost, 1)
            return True
        if self._held_tokens:
            return False
        if not self.spent_tokens:
            needed = tokens.prompt + tokens.output
            problem = f"the limit of {self._limit()} is too low for one request, which may take {needed} tokens"
            raise StoppedError(problem, remedy="raise it")
        raise StoppedError(f"the limit of {self._limit()} is reached", remedy="it holds for one run")

    def settle(self, reserved: Tokens, used: Tokens, *, price: Price | None = None) -> None:
        """Replace what was set aside by what was used."""
        self._hold(reserved, _cost(reserved, price), -1)
        self.spent_tokens += used.prompt + used.output
        self.spent_cost += _cost(used, price)

    def _fits(self, tokens: Tokens, cost: float) -> bool:
        total = self.spent_tokens + self._held_tokens + tokens.prompt + tokens.output
        if self._most_tokens is not None and total > self._most_tokens:
            return False
        return self._most_cost is None or self.spent_cost + self._held_cost + cost <= self._most_cost

    def _hold(self, tokens: Tokens, cost: float, sign: int) -> None:
        self._held_tokens += sign * (tokens.prompt + tokens.output)
        self._held_cost += sign * cost

    def _limit(self) -> str:
        limits = [f"{self._most_tokens} tokens"] if self._most_tokens is not None else []
        if self._most_cost is not None:
            limits.append(f"{self._most_cost:g} {self._currency}".strip())
        return " or ".join(limits)


def _cost(tokens: Tokens, price: Price | None) -> float:
    return price.of(tokens.prompt, tokens.output, tokens.cached) if price else 0.0
