"""Which labelled examples stand in a prompt: a block that every ticket shares, and those of one ticket, within one budget of tokens."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.examples import for_prompt
from llmtriage.predictions import Example
from llmtriage.prompting import estimated_tokens, fenced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llmtriage.protocols import Selector

SelectorName = Literal["static", "nearest"]
SELECTORS: tuple[str, ...] = get_args(SelectorName)
NEAREST = 4


class Static:
    """Chooses nothing: every ticket sees the shared examples alone. Implements `llmtriage.protocols.Selector`."""

    def fingerprint(self) -> Mapping[str, str]:
        """The name."""
        return {"selector": "static"}

    def examples_for(self, text: str) -> tuple[Example, ...]:  # noqa: ARG002 - the same for every ticket
        """None."""
        return ()


class Selection:
    """The examples of a prompt: a shared block, those of one ticket, and one budget over both."""

    def __init__(
        self,
        examples: Sequence[Example],
        selector: SelectorName | Selector = "static",
        *,
        most: int,
        nearest: int = NEAREST,
        tokens: int | None = None,
        seed: int = 0,
    ) -> None:
        """Keep what is chosen from; nothing is chosen yet.

        Args:
            examples: Labelled texts.
            selector: What chooses for one ticket, or its name.
            most: The most examples in the shared block.
            nearest: The most examples for one ticket, for the selector `nearest`.
            tokens: The most estimated tokens of all examples of a prompt; None: no limit.
            seed: Of the draw of the shared block.

        Raises:
            InputError: A number is negative, or the selector is unknown.
        """
        if isinstance(selector, str) and selector not in SELECTORS:
            raise UnknownNameError.among("selector", selector, SELECTORS, field="selector")
        if nearest < 1:
            raise InputError(f"{nearest} is below 1", field="nearest", remedy="give 1 or more, or choose the selector static")
        if tokens is not None and tokens < 0:
            raise InputError(f"{tokens} is negative", field="example_tokens", remedy="give 0 or more tokens")
        self._examples, self._given = examples, selector
        self._most, self._nearest, self._tokens, self._seed = most, nearest, tokens, seed

    @cached_property
    def shared(self) -> tuple[Example, ...]:
        """The block that every ticket sees: balanced, in a seeded order, within the budget.

        Raises:
            InputError: `most` is negative.
        """
        if self._tokens is None:
            return for_prompt(self._examples, self._most, seed=self._seed)
        fitting = [example for example in self._examples if example_tokens(example) <= self._tokens]
        return _largest(fitting, self._most, self._tokens, self._seed)

    @cached_property
    def selector(self) -> Selector:
        """What chooses for one ticket."""
        if not isinstance(self._given, str):
            return self._given
        from llmtriage.nearest import Nearest  # loads scipy

        return Nearest(self._examples, self._nearest, shown=self.shared) if self._given == "nearest" else Static()

    @property
    def per_ticket(self) -> bool:
        """Whether a ticket may get examples of its own."""
        return self._given != "static" and not isinstance(self._given, Static)

    def for_ticket(self, text: str) -> tuple[Example, ...]:
        """The examples for one prepared text: none that the shared block shows, within what that leaves of the budget."""
        if not self.per_ticket:
            return ()
        chosen = [example for example in self.selector.examples_for(text) if example not in self._block]
        return tuple(chosen if self._left is None else _within(chosen, self._left))

    def fingerprint(self) -> Mapping[str, str]:
        """All that the examples of a prompt depend on, apart from the ticket and the shared block itself."""
        return {**self.selector.fingerprint(), "tokens": "" if self._tokens is None else str(self._tokens)}

    @cached_property
    def _block(self) -> frozenset[Example]:
        return frozenset(self.shared)

    @cached_property
    def _left(self) -> int | None:
        """Tokens that the shared block leaves."""
        return None if self._tokens is None else self._tokens - sum(map(example_tokens, self.shared))


def example_tokens(example: Example) -> int:
    """Estimated tokens of an example as the shipped prompts show it: fenced text and label, without the words around them."""
    return estimated_tokens(f'{fenced(example.text)}\n{{"category": {json.dumps(example.category, ensure_ascii=False)}}}\n')


def _largest(examples: Sequence[Example], most: int, tokens: int, seed: int) -> tuple[Example, ...]:
    """The largest balanced block of at most `most` examples that fits; fewer are always among more, so halving finds it."""
    block = for_prompt(examples, most, seed=seed)
    if sum(map(example_tokens, block)) <= tokens:
        return block
    fits, too_many = 0, len(block)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        total = sum(map(example_tokens, for_prompt(examples, middle, seed=seed)))
        fits, too_many = (middle, too_many) if total <= tokens else (fits, middle)
    return for_prompt(examples, fits, seed=seed)


def _within(chosen: Sequence[Example], tokens: int) -> Iterator[Example]:
    """Those that fit: one too long by itself is skipped, then the farthest, which stand first, are dropped."""
    costs = [(example, cost) for example in chosen if (cost := example_tokens(example)) <= tokens]
    total = sum(cost for _, cost in costs)
    for example, cost in costs:
        if total <= tokens:
            yield example
        else:
            total -= cost
