"""What a backend is asked and what it answers. Plain data; the words are those of docs/architecture.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from llmtriage.taxonomy import Category

Floats = npt.NDArray[np.float64]

Source = Literal["logprobs", "decisions", "votes", "verbalized", "lexical", "embedding", "stored"]
"""How an answer was read; "stored": by somebody else, from whose file it comes. A calibrator belongs to one source."""

EngineReason = Literal[
    "refused",
    "unknown_label",
    "truncated",
    "bad_response",
    "too_long",
    "timeout",
    "rate_limited",
    "backend_unavailable",
]
"""Why an engine gave no answer for one ticket."""

PASSING: tuple[EngineReason, ...] = ("timeout", "rate_limited", "backend_unavailable")
"""Reasons that pass by themselves: they say nothing about what a server can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prepared text with its category: shown in a prompt, or learnt from."""

    text: str = field(repr=False)
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a backend is asked about one ticket.

    Attributes:
        text: The prepared text of the ticket.
        categories: What to choose among.
        examples: Examples chosen for this ticket alone; those shared by all tickets belong to the backend.
    """

    text: str = field(repr=False)
    categories: tuple[Category, ...]
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer cost. None: the engine did not say.

    Attributes:
        prompt_tokens: Tokens read, those from the server's prefix cache included.
        cached_tokens: Of these, what the server had in its prefix cache.
        output_tokens: Tokens written, hidden thinking included.
        attempts: Requests sent; 0 where the answer was known already (the same request before, or the reply cache).
        waited: Seconds spent waiting between attempts, and for the server to take requests again.
    """

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    attempts: int = 1
    waited: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """A log-score for every category: the distribution an engine gives, before calibration.

    Attributes:
        values: Shape (K,), natural logarithms, aligned with `Question.categories`; normalised: exp sums to 1.
        missing: Shape (K,), true where the engine listed no value and the one here is a bound.
        label_mass: The probability the engine put on all labels together before normalising, in [0, 1]; None where it has no such thing.
    """

    values: Floats
    missing: npt.NDArray[np.bool_] | None = None
    label_mass: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleLabel:
    """One category and the model's own number for it: there is no distribution.

    Attributes:
        category: The id of a category of the question.
        score: The model's own number in [0, 1]; not a probability of anything. None where it gave none.
        rationale: Why, in the model's words, if asked for.
    """

    category: str
    score: float | None = None
    rationale: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a backend answered.

    Attributes:
        answer: One of the two forms, which never mix.
        source: How it was read.
        model: The model that answered, as the server names it.
        usage: What it cost.
        seconds: Wall-clock time for this ticket; for an engine that takes batches, its share of the batch.
        forgiven: Whether the category was named with other case, other white space, or by its name instead of its id.
        left_out: Characters of the ticket that the model did not see because they did not fit its context.
        read: How it was read, in words of the engine: the same for all answers of a run.
    """

    answer: Scores | SingleLabel
    source: Source
    model: str
    usage: Usage = Usage()
    seconds: float = 0.0
    forgiven: bool = False
    left_out: int = 0
    read: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a backend gave no answer for one ticket: data, not an exception.

    Attributes:
        reason: The code a reviewer sees.
        detail: A sentence, without ticket text or keys.
        raw: What the model said, if anything; kept for people, never logged.
    """

    reason: EngineReason
    detail: str
    raw: str | None = field(default=None, repr=False)
    usage: Usage = Usage()
    seconds: float = 0.0
