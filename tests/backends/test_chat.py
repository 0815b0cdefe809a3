"""The chat engine: the shape of the request, and what each reply becomes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from llmtriage import BackendRefusedError, BackendUnavailableError, Failure, Prediction, Question, SingleLabel, Taxonomy
from llmtriage.backends import base_url
from llmtriage.backends.chat import ChatBackend, read_reply, response_format
from llmtriage.backends.transport import Endpoint, Reply, Transport
from llmtriage.prompting import Prompt
from llmtriage.settings import BackendSettings
from llmtriage.streams import as_async
from llmtriage.testing import FrozenClock

URL = "http://llm.test/v1"
IDS = frozenset({"refund", "parcel", "login", "privacy", "other"})
KEY = "sk-secret-1234"


def backend(
    taxonomy: Taxonomy, *, url: str = URL, timeout: float = 5.0, waited: list[float] | None = None, **settings: Any
) -> ChatBackend:
    """An engine whose client respx can see, and that notes its waits in `waited` instead of waiting."""
    clock = FrozenClock()
    clock.waits = [] if waited is None else waited
    options = BackendSettings(**{"kind": "openai", "model": "m", **settings})
    endpoint = Endpoint(
        name="openai:m", url=url, key=SecretStr(KEY), key_hint="LLMTRIAGE_API_KEY", timeout=timeout, concurrency=4
    )
    transport = Transport(endpoint, http_client=httpx.AsyncClient(), clock=clock)
    return ChatBackend("openai:m", options, Prompt(taxonomy), transport)


async def ask(engine: ChatBackend, taxonomy: Taxonomy, text: str = "Where is my money?") -> Prediction | Failure:
    """Ask one question."""
    questions = as_async([Question(text=text, categories=taxonomy.leaves)])
    [answer] = [answer async for answer in engine.predict(questions, online=False)]
    await engine.aclose()
    return answer


def completion(content: object = None, **changes: Any) -> dict[str, Any]:
    """A chat completion; `changes` replace parts of its choice."""
    message = {"role": "assistant", "content": content, **changes.pop("message", {})}
    choice = {"index": 0, "finish_reason": "stop", "message": message, **changes}
    return {"model": "m-2026", "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 8}}


ANSWER = '{"category": "refund", "confidence": 0.9}'


@respx.mock
async def test_the_request_asks_for_one_category_as_json(shop: Taxonomy) -> None:
    """A strict schema with the ids, temperature 0, the ticket last, the key as bearer token."""
    route = respx.post(f"{URL}/chat/completions").respond(json=completion(ANSWER))
    answer = await ask(backend(shop), shop)
    assert isinstance(answer, Prediction)
    assert answer.answer == SingleLabel(category="refund", score=0.9)
    assert (answer.source, answer.model) == ("verbalized", "m-2026")
    assert (answer.usage.prompt_tokens, answer.usage.output_tokens, answer.usage.attempts) == (100, 8, 1)
    request = route.calls.last.request
    body = json.loads(request.content)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert body["temperature"] == 0
    assert body["max_tokens"] == 200
    assert body["response_format"]["json_schema"]["strict"] is True
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["category"]["enum"] == ["refund", "parcel", "login", "privacy", "other"]
    assert schema["required"] == ["category", "confidence"]
    assert schema["additionalProperties"] is False
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "Where is my money?" in body["messages"][1]["content"]
    assert "chat_template_kwargs" not in body


@respx.mock
async def test_vllm_is_told_not_to_think(shop: Taxonomy) -> None:
    """And fields of the settings are added or left out."""
    route = respx.post(f"{URL}/chat/completions").respond(json=completion(ANSWER))
    await ask(backend(shop, kind="vllm", extra_body={"seed": 7}, omit=("temperature",)), shop)
    body = json.loads(route.calls.last.request.content)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["seed"] == 7
    assert "temperature" not in body


def test_a_rationale_comes_before_the_choice() -> None:
    """So that the model explains before it decides."""
    schema = response_format(("a",), rationale=True)["json_schema"]["schema"]
    assert list(schema["properties"]) == ["rationale", "category", "confidence"]


async def test_without_a_key_nothing_is_sent_to_openai(shop: Taxonomy) -> None:
    """No ticket leaves for a host that would refuse it."""
    endpoint = Endpoint(name="openai:m", url="https://api.openai.com/v1", key_hint="OPENAI_API_KEY")
    engine = ChatBackend("openai:m", BackendSettings(kind="openai", model="m"), Prompt(shop), Transport(endpoint))
    with pytest.raises(BackendRefusedError, match="no key is set; set OPENAI_API_KEY"):
        await ask(engine, shop)


@respx.mock
async def test_a_model_without_temperature_is_asked_without(shop: Taxonomy, caplog: pytest.LogCaptureFixture) -> None:
    """Models that think refuse the field; it is left out from then on, and the log says so."""
    route = respx.post(f"{URL}/chat/completions").mock(
        side_effect=[
            httpx.Response(400, json=error("unsupported_value", param="temperature")),
            httpx.Response(200, json=completion(ANSWER)),
        ]
    )
    with caplog.at_level(logging.WARNING, logger="llmtriage"):
        assert isinstance(await ask(backend(shop), shop), Prediction)
    assert "temperature" not in json.loads(route.calls.last.request.content)
    assert "takes no temperature" in caplog.text


@respx.mock
async def test_nothing_meant_for_openai_reaches_another_host(shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that the client package reads by itself stay here."""
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", f"private-{name}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Private: private-header")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.test/v1")
    route = respx.post(f"{URL}/chat/completions").respond(json=completion(ANSWER))
    await ask(backend(shop), shop)
    assert "private" not in str(route.calls.last.request.headers.raw)


def test_no_repr_shows_the_key(shop: Taxonomy) -> None:
    """Of the endpoint, the settings, the engine."""
    engine = backend(shop)
    for thing in (engine, engine._transport, engine._transport.endpoint, engine._settings):
        assert KEY not in repr(thing)
        assert KEY not in str(vars(thing) if hasattr(thing, "__dict__") else thing)


@respx.mock
async def test_no_log_shows_key_or_ticket(shop: Taxonomy, caplog: pytest.LogCaptureFixture) -> None:
    """Ours at any level, and the HTTP client's at the level people use."""
    respx.post(f"{URL}/chat/completions").mock(
        side_effect=[httpx.Response(500, text="Where is my money?"), httpx.Response(200, json=completion(ANSWER))]
    )
    with caplog.at_level(logging.INFO), caplog.at_level(logging.DEBUG, logger="llmtriage"):
        await ask(backend(shop), shop)
    assert KEY not in caplog.text
    assert "money" not in caplog.text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("http://h:8000/v1/", "http://h:8000/v1"),
        ("https://h/api/paas/v4", "https://h/api/paas/v4"),
    ],
)
def test_a_url_is_taken_with_and_without_its_end(url: str, expected: str) -> None:
    """The slash and /v1 may be missing."""
    assert base_url(url) == expected


@respx.mock
async def test_the_fingerprint_sees_model_wording_and_options(shop: Taxonomy) -> None:
    """What an answer depends on, and nothing secret."""
    make: Callable[..., ChatBackend] = lambda **changes: backend(shop, **changes)  # noqa: E731
    prints = [make(), make(model="n"), make(extra_body={"seed": 1}), make(temperature=1), make(kind="vllm")]
    assert len({json.dumps(dict(engine.fingerprint()), sort_keys=True) for engine in prints}) == len(prints)
    assert KEY not in str([engine.fingerprint() for engine in prints])


@respx.mock
async def test_a_host_that_only_looks_like_openais_is_another_host(shop: Taxonomy) -> None:
    """It needs no OpenAI key and gets the request of any other server."""
    url = "https://api.openai.com.elsewhere.test/v1"
    route = respx.post(f"{url}/chat/completions").respond(json=completion(ANSWER))
    endpoint = Endpoint(name="openai:m", url=url)
    transport = Transport(endpoint, http_client=httpx.AsyncClient())
    engine = ChatBackend("openai:m", BackendSettings(kind="openai", model="m"), Prompt(shop), transport)
    assert isinstance(await ask(engine, shop), Prediction)
    assert "max_tokens" in json.loads(route.calls.last.request.content)
