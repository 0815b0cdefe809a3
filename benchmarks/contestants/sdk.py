"""The `openai` package as users write it, with pydantic and with instructor."""

from __future__ import annotations

import typing
from typing import Any

import openai
from pydantic import BaseModel, create_model

from contestants.common import Task, clocked, each


def answer_model(categories: list[str]) -> Any:
    """The model class a user would write: one of the categories, and a number."""
    category: Any = typing.Literal.__getitem__(tuple(categories))
    return create_model("Answer", __base__=BaseModel, category=(category, ...), confidence=(float, ...))


def client_of(task: Task, http_client: Any = None) -> openai.AsyncOpenAI:
    """A client that does not retry."""
    return openai.AsyncOpenAI(base_url=task.url, api_key="none", max_retries=0, http_client=http_client)


async def create(task: Task, http_client: Any = None) -> dict[str, float]:
    """`create` with a JSON schema, then `model_validate_json`."""
    answer = answer_model(task.categories)
    async with client_of(task, http_client) as client:

        async def one(user: str) -> str:
            completion = await client.chat.completions.create(messages=task.messages(user), **task.options)
            return str(answer.model_validate_json(completion.choices[0].message.content).category)

        return await clocked(task, each(one, task.in_flight), task.users)


async def create_over_aiohttp(task: Task) -> dict[str, float]:
    """The same over the package's own aiohttp transport."""
    return await create(task, openai.DefaultAioHttpClient())


async def parse(task: Task) -> dict[str, float]:
    """`parse` with the model class as response format."""
    answer = answer_model(task.categories)
    options = {**task.options, "response_format": answer}
    async with client_of(task) as client:

        async def one(user: str) -> str:
            completion = await client.chat.completions.parse(messages=task.messages(user), **options)
            parsed: Any = completion.choices[0].message.parsed
            return str(parsed.category)

        return await clocked(task, each(one, task.in_flight), task.users)


async def with_instructor(task: Task) -> dict[str, float]:
    """Instructor in the mode that asks for a JSON schema, as the others do."""
    import instructor

    answer = answer_model(task.categories)
    options = {name: value for name, value in task.options.items() if name != "response_format"}
    async with client_of(task) as plain:
        client = instructor.from_openai(plain, mode=instructor.Mode.JSON_SCHEMA)

        async def one(user: str) -> str:
            found = await client.chat.completions.create(response_model=answer, messages=task.messages(user), **options)
            return str(found.category)

        return await clocked(task, each(one, task.in_flight), task.users)
