"""The `openai` package and pydantic, as one would write a classifier with them."""

from __future__ import annotations

import asyncio
import time
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import openai
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from llmtriage.taxonomy import in_language
from ways.clock import Ask, Said
from ways.tasks import Task

MOST = 100  # tokens of an answer


@contextmanager
def asking(task: Task) -> Iterator[Ask]:
    """A client in an event loop of its own."""
    with asyncio.Runner() as runner:
        classifier = Classifier(task)
        yield lambda texts: runner.run(classifier.all(texts))
        runner.run(classifier.client.close())


class Classifier:
    """Asks for a JSON object whose schema is that of a pydantic model."""

    def __init__(self, task: Task) -> None:
        """Nothing is sent yet."""
        self.client = openai.AsyncOpenAI(base_url=task.url, api_key="none", max_retries=0)
        self._answer = _answer([leaf.id for leaf in task.categories.leaves])
        self._system = _instructions(task)
        self._slots = asyncio.Semaphore(task.in_flight)
        schema = {"name": "answer", "strict": True, "schema": self._answer.model_json_schema()}
        self._options: dict[str, Any] = {
            "model": task.model,
            "temperature": 0,
            "max_tokens": MOST,
            "response_format": {"type": "json_schema", "json_schema": schema},
            "extra_body": {"cache_salt": task.salt, "chat_template_kwargs": {"enable_thinking": False}},
        }

    async def all(self, texts: Sequence[str]) -> list[Said]:
        """Ask about each of them."""
        return await asyncio.gather(*map(self._one, texts))

    async def _one(self, text: str) -> Said:
        async with self._slots:
            start = time.perf_counter()
            messages: Any = [{"role": "system", "content": self._system}, {"role": "user", "content": text}]
            reply = await self.client.chat.completions.create(messages=messages, **self._options)
            try:
                found: Any = self._answer.model_validate_json(reply.choices[0].message.content or "")
                category = str(found.category)
            except ValidationError:
                category = None
            return Said(category=category, seconds=time.perf_counter() - start)


def _answer(categories: Sequence[str]) -> type[BaseModel]:
    one_of: Any = typing.Literal.__getitem__(tuple(categories))
    return create_model("Answer", __config__=ConfigDict(extra="forbid"), category=(one_of, ...))


def _instructions(task: Task) -> str:
    """What the taxonomy says of each category, in one line each, and the examples."""
    lines = ["Classify the customer's message into one of these categories:"]
    for leaf in task.categories.leaves:
        about = [f"{leaf.label()}.", *([in_language(leaf.description, "en")] if leaf.description else [])]
        about += [f"Includes {in_language(line, 'en')}." for line in leaf.includes] + [
            f"Not {in_language(line, 'en')}." for line in leaf.excludes
        ]
        lines.append(f"- {leaf.id}: {' '.join(about)}")
    for text, category in task.examples:
        lines += ["", f"Message: {text}", f'Answer: {{"category": "{category}"}}']
    return "\n".join(lines)
