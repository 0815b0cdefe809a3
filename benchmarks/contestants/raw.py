"""HTTP clients alone: the same body, and the category out of the reply with nothing checked."""

from __future__ import annotations

import json
from typing import Any

from contestants.common import Task, clocked, each


def category(completion: Any) -> str:
    """What the model named."""
    return str(json.loads(completion["choices"][0]["message"]["content"])["category"])


async def over_httpx2(task: Task) -> dict[str, float]:
    """httpx2, with as many connections kept as there are requests in flight."""
    import httpx2

    limits = httpx2.Limits(max_connections=task.in_flight, max_keepalive_connections=task.in_flight)
    async with httpx2.AsyncClient(limits=limits) as client:

        async def one(user: str) -> str:
            response = await client.post(f"{task.url}/chat/completions", json=task.body(user))
            response.raise_for_status()
            return category(response.json())

        return await clocked(task, each(one, task.in_flight), task.users)


async def over_aiohttp(task: Task) -> dict[str, float]:
    """Aiohttp as it comes."""
    import aiohttp

    async with aiohttp.ClientSession(raise_for_status=True) as session:

        async def one(user: str) -> str:
            async with session.post(f"{task.url}/chat/completions", json=task.body(user)) as response:
                return category(await response.json())

        return await clocked(task, each(one, task.in_flight), task.users)
