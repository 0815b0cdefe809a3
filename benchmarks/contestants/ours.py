"""llmtriage through its public API, and its parts alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from contestants.common import Skipped, Task, clocked, each, stopwatch
from llmtriage import Failure, Outcome, Prediction, Question, Settings, SingleLabel, Taxonomy, Ticket, Triage
from llmtriage.backends.chat import ChatBackend
from llmtriage.backends.choosing import ChosenBackend
from llmtriage.backends.replies import Labels, read_reply
from llmtriage.backends.transport import Endpoint, Reply, Transport
from llmtriage.prepare import prepare

T = TypeVar("T")


def sorter(url: str, in_flight: int, **settings: Any) -> Triage:
    """A `Triage` on the sample taxonomy whose chat engine asks `url` for JSON."""
    return Triage(
        taxonomy=Taxonomy.sample(),
        backend=f"openai:bench@{url}",
        threshold=0.5,
        settings=Settings(concurrency=in_flight, reading="json", **settings),
    )


def json_engine(sorting: Triage) -> ChatBackend:
    """The engine below the one that chooses how a model is read."""
    assert isinstance(sorting.backend, ChosenBackend)  # noqa: S101 - for the type checker: its name begins with openai:
    engine = sorting.backend.engine
    assert isinstance(engine, ChatBackend)  # noqa: S101 - JSON is what is set
    return engine


def tickets_of(task: Task) -> list[Ticket]:
    """The tickets as a caller has them."""
    return [Ticket(title=title, content=content) for title, content in task.tickets]


def category_of(outcome: Outcome) -> str:
    """The category the model named, accepted or not."""
    return outcome.candidates[0].category if outcome.candidates else "none"


async def triage(task: Task) -> dict[str, float]:
    """All of it: preparation, prompt, request, reading, routing."""
    return await _clocked_triage(task, tickets_of(task))


async def identical(task: Task) -> dict[str, float]:
    """One ticket over and over, which no ticket of the warm-up is."""
    tickets = tickets_of(task)
    again = [tickets[task.warm_up]] * (len(tickets) - task.warm_up)
    return await _clocked_triage(task, tickets[: task.warm_up] + again)


async def _clocked_triage(task: Task, tickets: Sequence[Ticket]) -> dict[str, float]:
    async with sorter(task.url, task.in_flight) as sorting:

        async def ask(some: Sequence[Ticket]) -> list[str]:
            return [category_of(outcome) async for outcome in sorting.aclassify_many(some)]

        return await clocked(task, ask, tickets)


async def reply_cache(task: Task) -> dict[str, float]:
    """Tickets that were all asked in an earlier run, out of the reply cache."""
    if "reply_cache" not in Settings.model_fields:
        raise Skipped("this llmtriage has no Settings(reply_cache=...)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "replies"
        async with sorter(task.url, task.in_flight, reply_cache=path) as first:
            _ = [outcome async for outcome in first.aclassify_many(tickets_of(task))]
        async with sorter(task.url, task.in_flight, reply_cache=path) as second:

            async def ask(some: Sequence[Ticket]) -> list[str]:
                return [_from_cache(outcome) async for outcome in second.aclassify_many(some)]

            return await clocked(task, ask, tickets_of(task))


def _from_cache(outcome: Outcome) -> str:
    prediction = outcome.prediction
    return category_of(outcome) if prediction and prediction.usage.attempts == 0 else "asked again"


async def backend(task: Task) -> dict[str, float]:
    """The engine alone, on prepared texts."""
    sorting = sorter(task.url, task.in_flight)

    async def ask(some: Sequence[Question]) -> list[str]:
        return [_named(answer) async for answer in sorting.backend.predict(_stream(some), online=False)]

    async with sorting:
        return await clocked(task, ask, questions_of(task, sorting))


def questions_of(task: Task, sorting: Triage) -> list[Question]:
    """What the engine is asked."""
    return [Question(text=text, categories=sorting.taxonomy.leaves) for text in task.texts]


async def _stream(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item


def _named(answer: Prediction | Failure) -> str:
    if isinstance(answer, Prediction) and isinstance(answer.answer, SingleLabel):
        return answer.answer.category
    return repr(answer)


async def parts(task: Task) -> dict[str, float]:
    """CPU milliseconds a ticket of each part alone, over the same tickets.

    `rendering` is in `request`, `client` (the openai package's own `post` with a ready body, its text thrown away) in `transport`.
    """
    sorting = sorter(task.url, task.in_flight)
    engine = json_engine(sorting)
    tickets, questions = tickets_of(task), questions_of(task, sorting)
    labels = Labels.of(sorting.taxonomy.leaves, taxonomy=sorting.taxonomy)
    reply = _reply(task)
    prediction = read_reply(reply, labels)
    return {
        "preparation": await _alone(task, tickets, lambda ticket: prepare(ticket, sorting.preparation)),
        "rendering": await _alone(task, questions, engine.prompt.render),
        "request": await _alone(task, questions, engine.request),
        "client": await _client_alone(task),
        "transport": await _transport_alone(task),
        "reading": await _alone(task, tickets, lambda _: read_reply(reply, labels)),
        "routing": await _alone(
            task,
            list(zip(tickets, task.texts, strict=True)),
            lambda pair: sorting.router.gate(*pair) or sorting.router.route(*pair, prediction),
        ),
    }


async def _alone(task: Task, items: Sequence[T], work: Callable[[T], object]) -> float:
    """CPU milliseconds an item of a pure function, warmed up before."""

    async def all_of(some: Sequence[T]) -> None:
        for item in some:
            work(item)

    await all_of(items[: task.warm_up])
    taken, _ = await stopwatch(all_of(items[task.warm_up :]))
    return 1000 * taken.cpu / (len(items) - task.warm_up)


async def _transport_alone(task: Task) -> float:
    """CPU milliseconds a ticket of our transport with ready bodies."""
    transport = Transport(Endpoint(name="bench", url=task.url, concurrency=task.in_flight))

    async def one(body: dict[str, Any]) -> str:
        reply = await transport.post("/chat/completions", body)
        return task.answer if isinstance(reply, Reply) else repr(reply)

    result = await clocked(task, each(one, task.in_flight), [task.body(user) for user in task.users])
    await transport.aclose()
    return result["cpu_ms"]


async def _client_alone(task: Task) -> float:
    """CPU milliseconds a ticket of the openai package's `post` with ready bodies."""
    import openai

    async with openai.AsyncOpenAI(base_url=task.url, api_key="none", max_retries=0) as client:

        async def one(body: dict[str, Any]) -> str:
            text = await client.post("/chat/completions", body=body, cast_to=str)
            return task.answer if text else "nothing"

        result = await clocked(task, each(one, task.in_flight), [task.body(user) for user in task.users])
    return result["cpu_ms"]


def _reply(task: Task) -> Reply:
    """A reply as the transport hands it on, like the server's."""
    message = {"role": "assistant", "content": json.dumps({"category": task.answer, "confidence": 0.93}), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}
    return Reply(body={"model": "bench", "choices": [choice], "usage": usage}, attempts=1, seconds=0.01)


def prompts(source: Path, count: int, warm_up: int) -> dict[str, Any]:
    """The data of the file that all contestants read: `count` tickets out of those of `source`, no two alike, with their prompts."""
    from llmtriage.tickets import read_tickets

    sorting = sorter("http://127.0.0.1:1/v1", 1)
    engine = json_engine(sorting)
    rows = [row.ticket for row in read_tickets(source)]
    numbered = (Ticket(title=f"{rows[i % len(rows)].title} ({i})", content=rows[i % len(rows)].content) for i in range(count))
    tickets = list(numbered)
    texts = [prepare(ticket, sorting.preparation).text for ticket in tickets]
    requests = [engine.request(Question(text=text, categories=sorting.taxonomy.leaves)) for text in texts]
    users = [body["messages"][1]["content"] for body in requests]
    if len(set(users)) < count:
        raise RuntimeError("two prompts are alike")
    return {
        "warm_up": warm_up,
        "answer": sorting.taxonomy.leaves[0].id,
        "system": requests[0]["messages"][0]["content"],
        "users": users,
        "options": {name: value for name, value in requests[0].items() if name != "messages"},
        "categories": [leaf.id for leaf in sorting.taxonomy.leaves],
        "tickets": [(ticket.title, ticket.content) for ticket in tickets],
        "texts": texts,
    }
