"""Helpers for tests of programs that use llmtriage: an engine that answers from a script, and tickets."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any

import numpy as np

from llmtriage.backends.in_flight import in_flight
from llmtriage.errors import UnknownNameError
from llmtriage.predictions import Failure, Prediction, Question, Scores, SingleLabel
from llmtriage.tickets import Ticket

Answer = Prediction | Failure | Mapping[str, float] | str | Exception
"""What a script may answer: a prediction or failure as it is; probabilities by category id; one category id; an exception to raise."""

_REST = 1e-6  # the share of a category that a script does not name


class FrozenClock:
    """Time that passes only by waiting: a test of patience takes no time.

    Attributes:
        waits: The seconds of each wait, in order.
    """

    def __init__(self, now: float = 0.0) -> None:
        """Begin at `now`, in seconds."""
        self._now = now
        self.waits: list[float] = []

    def now(self) -> float:
        """Seconds since some beginning."""
        return self._now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once, and let others work."""
        self.waits.append(seconds)
        self._now += seconds
        await asyncio.sleep(0)


class ScriptedBackend:
    """An engine that answers what it is told to, keeps count, and can be slow.

    Example:
        >>> from llmtriage import Taxonomy, Triage
        >>> shop = Taxonomy.from_labels(["refund", "parcel"])
        >>> Triage(taxonomy=shop, backend=ScriptedBackend({"refund": 0.9, "parcel": 0.1}), threshold=0.8).classify("Money back!").category
        'refund'
    """

    def __init__(
        self,
        script: Answer | Callable[[Question], Answer],
        *,
        name: str = "scripted",
        seconds: Callable[[Question], float] | None = None,
        concurrency: int = 16,
    ) -> None:
        """Set the script.

        Args:
            script: One answer for all questions, or a function from question to answer.
            name: What people read.
            seconds: How long each answer takes; None: no time.
            concurrency: Answers worked on at once, where they take time.
        """
        self.name = name
        self.asked = 0
        self.most_in_flight = 0
        self._in_flight = 0
        self._script = script
        self._seconds = seconds
        self._concurrency = concurrency

    def fingerprint(self) -> Mapping[str, str]:
        """The name: a script has nothing else."""
        return {"engine": self.name}

    def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:  # noqa: ARG002
        """See `llmtriage.protocols.Backend`."""
        return self._at_once(questions) if self._seconds is None else in_flight(self._slowly, questions, self._concurrency)

    async def _at_once(self, questions: AsyncIterable[Question]) -> AsyncIterator[Prediction | Failure]:
        async for question in questions:
            yield self._answer(question)

    async def _slowly(self, question: Question) -> Prediction | Failure:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            await asyncio.sleep(self._seconds(question) if self._seconds else 0)
            return self._answer(question)
        finally:
            self._in_flight -= 1

    def _answer(self, question: Question) -> Prediction | Failure:
        self.asked += 1
        answer = self._script(question) if callable(self._script) else self._script
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Prediction | Failure):
            return answer
        if isinstance(answer, str):
            return Prediction(answer=SingleLabel(category=answer, score=1.0), source="verbalized", model=self.name)
        return Prediction(answer=scores(question, answer), source="logprobs", model=self.name)


def scores(question: Question, probabilities: Mapping[str, float]) -> Scores:
    """Log-scores over the categories of `question` from probabilities by id; categories not named share next to nothing."""
    known = {category.id for category in question.categories}
    for name in probabilities:
        if name not in known:
            raise UnknownNameError.among("category", name, known)
    shares = np.array([max(probabilities.get(category.id, 0.0), _REST) for category in question.categories])
    return Scores(values=np.log(shares) - math.log(float(shares.sum())))


def make_ticket(content: str = "Where is my parcel?", **fields: Any) -> Ticket:
    """A ticket with plausible defaults."""
    return Ticket(**{"content": content, "title": "A question", "id": "1", **fields})
