"""Chat engines that ask a `ToyModel` in this process: no ports, no waiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from pydantic import SecretStr
from toy_model import ToyModel

from llmtriage import Example, Failure, Prediction, Question, Scores, Taxonomy
from llmtriage.backends.choosing import ChosenBackend
from llmtriage.backends.transport import Endpoint, Transport
from llmtriage.backends.ways import Options
from llmtriage.predictions import Floats
from llmtriage.prompting import Prompt
from llmtriage.settings import BackendSettings, Settings
from llmtriage.streams import as_async
from llmtriage.testing import FrozenClock

URL = "http://toy.test/v1"


def engine(
    model: ToyModel,
    taxonomy: Taxonomy,
    *,
    kind: str = "openai",
    url: str = URL,
    language: str = "en",
    rationale: bool = False,
    examples: Sequence[Example] = (),
    shown: Sequence[Example] = (),
    per_ticket: bool = False,
    transport: dict[str, Any] | None = None,
    timeout: float = 60.0,
    **settings: Any,
) -> ChosenBackend:
    """An engine that reads `model` as `settings` of its backend say.

    Args:
        model: Answers.
        taxonomy: What it chooses among.
        kind: Of the backend.
        url: Of the server.
        language: Of the prompt.
        rationale: Of the prompt.
        examples: Labelled texts that no prompt shows.
        shown: Examples in the prompt.
        per_ticket: Whether tickets have examples of their own.
        transport: Options of the transport.
        timeout: Seconds for one attempt.
        settings: Of the backend.
    """

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(model.plays.delay)
        path = request.url.path
        status, body = model.get(path) if request.method == "GET" else model.post(path, json.loads(request.content))
        return httpx.Response(status, content=body) if isinstance(body, str) else httpx.Response(status, json=body)

    endpoint = Endpoint(name="toy", url=url, key=SecretStr("sk-secret-1234"), concurrency=8, timeout=timeout)
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    options = {"clock": FrozenClock(), **(transport or {})}
    return ChosenBackend(
        "toy",
        Settings().engine(BackendSettings(kind=kind, model="toy", **settings)),
        Prompt(taxonomy, language=language, rationale=rationale, examples=shown),
        Transport(endpoint, http_client=client, **options),
        Options(examples=examples, per_ticket=per_ticket),
    )


async def ask(backend: ChosenBackend, *texts: str, online: bool = False) -> list[Prediction | Failure]:
    """The answers about texts, over all leaves."""
    questions = [Question(text=text, categories=backend.prompt.taxonomy.leaves) for text in texts]
    return [answer async for answer in backend.predict(as_async(questions), online=online)]


async def shares(backend: ChosenBackend, *texts: str) -> Floats:
    """The probabilities of all leaves, one row a text; each must be a distribution."""
    rows = []
    for answer in await ask(backend, *texts):
        assert isinstance(answer, Prediction), answer
        assert isinstance(answer.answer, Scores)
        rows.append(np.exp(answer.answer.values))
    found = np.stack(rows)
    assert found.shape == (len(texts), len(backend.prompt.taxonomy.leaves))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-9)
    assert (found > 0).all()
    return found
