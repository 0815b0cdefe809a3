"""How fast an engine answers, what a ticket takes in tokens, and how far answers move when the same ticket is asked again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.doctor.samples import samples
from llmtriage.predictions import Failure, Prediction, Question, Scores
from llmtriage.prompting import estimated_tokens
from llmtriage.streams import as_async

if TYPE_CHECKING:
    from llmtriage.triage import Triage

AT_ONCE = 32
_ALONE = 10
_LONGEST = 60.0  # seconds: a slow server is asked one by one no longer than this
_AGAIN = 2  # how often each repeated ticket stands among those asked at once

Answer = Prediction | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """The same tickets asked again.

    Attributes:
        asked: How many answers were compared with the most frequent one for their ticket.
        equal: The share of them that name the same category.
        equal_at_once: The share among those asked beside others that name the category most frequent alone; None: none could be read.
        spread: The largest difference between two of the model's own numbers for one ticket; None: it gave none.
        change: The largest difference between two probabilities of one category of one ticket; None: it gives none.
    """

    asked: int
    equal: float
    equal_at_once: float | None
    spread: float | None
    change: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was measured on sample tickets, with the prompt of the taxonomy in use.

    Attributes:
        alone: Seconds of each ticket asked by itself, ascending.
        at_once: How many were asked at once.
        wall: Seconds until the last of these was answered.
        seconds: Seconds of each of them, ascending, failures included.
        failed: Reasons of failures with their numbers, all tickets together.
        asked: Tickets asked in all.
        failed_at_once: Failures among those asked at once.
        prompt_tokens: Mean of a ticket; None where the engine does not tell. The same for the next two.
        cached_tokens: Of these, in the server's cache.
        output_tokens: Of an answer.
        ratio: The server's count of prompt tokens by our estimate.
        ratios: The same for each language.
        repeats: None where too few answers could be read.
    """

    alone: tuple[float, ...]
    at_once: int
    wall: float
    seconds: tuple[float, ...]
    failed: Mapping[str, int] = field(default_factory=dict)
    asked: int = 0
    failed_at_once: int = 0
    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    output_tokens: float | None = None
    ratio: float | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)
    repeats: Repeats | None = None

    @property
    def answered(self) -> int:
        """How many answers could be used."""
        return self.asked - sum(self.failed.values())

    @property
    def tickets_per_second(self) -> float | None:
        """Of those asked at once; None where none could be used."""
        done = self.at_once - self.failed_at_once
        return done / self.wall if done and self.wall > 0 else None


@dataclass(frozen=True, slots=True)
class _Asked:
    number: int
    answer: Answer
    seconds: float


async def load(triage: Triage, *, repeat: int) -> Load:
    """Ask sample tickets: ten one by one, the first two of them again until each was asked `repeat` times, and 32 at once.

    Args:
        triage: With the engine; its prompt is what a run would send.
        repeat: How often the same ticket is asked alone.

    Raises:
        BackendError: The engine cannot work.
    """
    began = time.monotonic()
    alone = await _one_by_one(triage, range(_ALONE), began)
    again = await _one_by_one(triage, [number for _ in range(repeat - 1) for number in (0, 1)], began)
    numbers = _mixed()
    started = time.monotonic()
    at_once = await asyncio.gather(*(_ask(triage, number) for number in numbers))
    wall = time.monotonic() - started
    every = [*alone, *again, *at_once]
    prompt, cached, output = (_mean(every, name) for name in ("prompt_tokens", "cached_tokens", "output_tokens"))
    ratios = _ratios(triage, every)
    return Load(
        alone=tuple(sorted(one.seconds for one in alone)),
        at_once=len(at_once),
        wall=wall,
        seconds=tuple(sorted(one.seconds for one in at_once)),
        failed=dict(Counter(one.answer.reason for one in every if isinstance(one.answer, Failure))),
        asked=len(every),
        failed_at_once=sum(isinstance(one.answer, Failure) for one in at_once),
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output,
        ratio=fmean(ratios.values()) if ratios else None,
        ratios=ratios,
        repeats=_repeats([*alone, *again], at_once),
    )


def _mixed() -> list[int]:
    """Tickets that were not asked before, with the two repeated ones among them."""
    fresh = list(range(_ALONE, _ALONE + AT_ONCE - 2 * _AGAIN))
    step = len(fresh) // (2 * _AGAIN)
    for place in range(2 * _AGAIN):
        fresh.insert(place * (step + 1), place % 2)
    return fresh


async def _one_by_one(triage: Triage, numbers: Sequence[int], began: float) -> list[_Asked]:
    asked: list[_Asked] = []
    for number in numbers:
        if asked and time.monotonic() - began > _LONGEST:
            break
        asked.append(await _ask(triage, number))
    return asked


async def _ask(triage: Triage, number: int) -> _Asked:
    started = time.monotonic()
    question = _question(triage, number)
    # Somebody who waits is never served from what is remembered.
    answers = [answer async for answer in triage.backend.predict(as_async([question]), online=True)]
    return _Asked(number, answers[0], time.monotonic() - started)


def _question(triage: Triage, number: int) -> Question:
    return Question(text=samples(1, first=number)[0][1], categories=triage.taxonomy.leaves)


def _mean(every: Sequence[_Asked], name: str) -> float | None:
    values = [value for one in every if (value := getattr(one.answer.usage, name)) is not None]
    return fmean(values) if values else None


def _ratios(triage: Triage, every: Sequence[_Asked]) -> dict[str, float]:
    """By language. Only answers of one request count: others add up several prompts."""
    plan = getattr(triage.backend, "plan", None)
    if plan is None:
        return {}
    counted: dict[str, list[float]] = {}
    for one in every:
        usage = one.answer.usage
        if usage.prompt_tokens and usage.attempts == 1:
            planned = plan(_question(triage, one.number))
            ours = estimated_tokens(planned.shared) + estimated_tokens(planned.own)
            counted.setdefault(samples(1, first=one.number)[0][0], []).append(usage.prompt_tokens / ours)
    return {language: fmean(values) for language, values in sorted(counted.items())}


def _repeats(alone: Sequence[_Asked], at_once: Sequence[_Asked]) -> Repeats | None:
    """Compare what was said about the two tickets that were asked again."""
    asked, equal, beside, equal_beside = 0, 0, 0, 0
    spreads: list[float] = []
    changes: list[float] = []
    for number in (0, 1):
        mine = [one.answer for one in alone if one.number == number and isinstance(one.answer, Prediction)]
        others = [one.answer for one in at_once if one.number == number and isinstance(one.answer, Prediction)]
        if len(mine) < 2:
            continue
        usual = Counter(map(_category, mine)).most_common(1)[0][0]
        asked, equal = asked + len(mine), equal + sum(_category(answer) == usual for answer in mine)
        beside, equal_beside = beside + len(others), equal_beside + sum(_category(answer) == usual for answer in others)
        spreads += _range([_number(answer) for answer in [*mine, *others]])
        changes += _range_of_all([answer.answer for answer in [*mine, *others]])
    if not asked:
        return None
    return Repeats(
        asked=asked,
        equal=equal / asked,
        equal_at_once=equal_beside / beside if beside else None,
        spread=max(spreads, default=None),
        change=max(changes, default=None),
    )


def _category(answer: Prediction) -> str | int:
    said = answer.answer
    return int(np.argmax(said.values)) if isinstance(said, Scores) else said.category


def _number(answer: Prediction) -> float | None:
    return None if isinstance(answer.answer, Scores) else answer.answer.score


def _range(values: Sequence[float | None]) -> list[float]:
    known = [value for value in values if value is not None]
    return [max(known) - min(known)] if known else []


def _range_of_all(answers: Sequence[object]) -> list[float]:
    shares = [np.exp(answer.values) for answer in answers if isinstance(answer, Scores)]
    return [float(np.ptp(np.stack(shares), axis=0).max())] if shares else []
