"""What every contestant is given and how it is clocked."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Skipped(Exception):  # noqa: N818 - not an error: the row cannot be measured here, and why
    """Why a contestant is left out."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be asked, the same for all.

    Attributes:
        url: The base URL of the server, with its path.
        in_flight: Requests at a time.
        warm_up: So many of the first tickets are asked before the clock starts.
        answer: The category that the server always names.
        system: The system message.
        users: The user message of each ticket.
        options: The other fields of a request: model, response format and limits.
        categories: The ids to choose among.
        tickets: The tickets as llmtriage gets them, aligned with `users`: title and content.
        texts: The prepared texts, aligned with `users`.
    """

    url: str
    in_flight: int
    warm_up: int
    answer: str
    system: str
    users: list[str]
    options: dict[str, Any]
    categories: list[str]
    tickets: list[tuple[str, str]]
    texts: list[str]

    @classmethod
    def read(cls, prompts: Path, *, url: str, n: int, in_flight: int) -> Task:
        """The task of a file of prompts that `clients.py` wrote, cut to the warm-up and `n` tickets."""
        data = json.loads(prompts.read_text(encoding="utf-8"))
        for name in ("users", "tickets", "texts"):
            data[name] = data[name][: data["warm_up"] + n]
        return cls(url=url, in_flight=in_flight, **data)

    def messages(self, user: str) -> Any:
        """The messages of one request."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]

    def body(self, user: str) -> dict[str, Any]:
        """The whole request as plain data."""
        return {**self.options, "messages": self.messages(user)}


@dataclass(frozen=True, kw_only=True)
class Clocked:
    """What asking took, of CPU in this process and by the clock on the wall, in seconds."""

    cpu: float
    wall: float


async def clocked(task: Task, ask: Callable[[Sequence[T]], Awaitable[Sequence[str]]], items: Sequence[T]) -> dict[str, float]:
    """CPU milliseconds a ticket and tickets a second of `ask`, which gives the category of each item; warmed up before."""
    await ask(items[: task.warm_up])
    measured = items[task.warm_up :]
    taken, answers = await stopwatch(ask(measured))
    if len(answers) != len(measured) or set(answers) != {task.answer}:
        raise RuntimeError(f"{sum(answer == task.answer for answer in answers)} of {len(measured)} tickets got their answer")
    return {"cpu_ms": 1000 * taken.cpu / len(measured), "per_second": len(measured) / taken.wall}


async def stopwatch(work: Awaitable[T]) -> tuple[Clocked, T]:
    """What `work` took, and what it gave."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    value = await work
    return Clocked(cpu=time.process_time() - cpu, wall=time.perf_counter() - wall), value


def each(one: Callable[[T], Awaitable[str]], in_flight: int) -> Callable[[Sequence[T]], Awaitable[list[str]]]:
    """`one` for many items, so many at a time, in the cheapest way: workers that share one iterator."""

    async def worker(left: Iterator[T], answers: list[str]) -> None:
        answers += [await one(item) for item in left]

    async def ask(items: Sequence[T]) -> list[str]:
        left, answers = iter(items), list[str]()
        await asyncio.gather(*(worker(left, answers) for _ in range(in_flight)))
        return answers

    return ask
