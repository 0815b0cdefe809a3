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

URL = "http://llm.test/v1"
IDS = frozenset({"refund", "parcel", "login", "privacy", "other"})
KEY = "sk-secret-1234"


def backend(
    taxonomy: Taxonomy, *, url: str = URL, timeout: float = 5.0, waited: list[float] | None = None, **settings: Any
) -> ChatBackend:
    """An engine whose client respx can see, and that notes its waits in `waited` instead of waiting."""
    noted = [] if waited is None else waited

    async def sleep(seconds: float) -> None:
        noted.append(seconds)

    options = BackendSettings(**{"kind": "openai", "model": "m", **settings})
    endpoint = Endpoint(
        name="openai:m", url=url, key=SecretStr(KEY), key_hint="LLMTRIAGE_API_KEY", timeout=timeout, concurrency=4
    )
    transport = Transport(endpoint, http_client=httpx.AsyncClient(), sleep=sleep)
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


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(completion('{"category": "nonsense", "confidence": 1}'), "unknown_label", id="outside the taxonomy"),
        pytest.param(completion('{"category": "Refund", "confidence": 1}'), "unknown_label", id="nothing is matched by likeness"),
        pytest.param(completion('{"category": "refund"'), "bad_response", id="broken JSON"),
        pytest.param(completion("I think it is a refund."), "bad_response", id="prose"),
        pytest.param(completion("null"), "bad_response", id="JSON null"),
        pytest.param(completion("[]"), "bad_response", id="JSON list"),
        pytest.param(completion("0.7"), "bad_response", id="JSON number"),
        pytest.param(completion('{"category": null}'), "bad_response", id="null category"),
        pytest.param(completion('{"category": ["refund"]}'), "bad_response", id="list of categories"),
        pytest.param(completion('{"category": "refund", "category": "login"}'), "bad_response", id="two labels"),
        pytest.param(completion("[" * 100_000), "bad_response", id="deep"),
        pytest.param(completion(""), "bad_response", id="empty text"),
        pytest.param(completion(None), "bad_response", id="no text"),
        pytest.param(completion([{"type": "text", "text": ANSWER}]), "bad_response", id="list of parts"),
        pytest.param(completion(None, message={"refusal": "I cannot"}), "refused", id="refusal"),
        pytest.param(completion(None, finish_reason="content_filter"), "refused", id="content filter"),
        pytest.param(completion('{"category": "ref', finish_reason="length"), "truncated", id="cut off"),
        pytest.param({"choices": []}, "bad_response", id="no choice"),
        pytest.param({"choices": None}, "bad_response", id="choices null"),
        pytest.param({"choices": [{"message": None}]}, "bad_response", id="message null"),
        pytest.param({"choices": [None]}, "bad_response", id="choice null"),
        pytest.param({}, "bad_response", id="empty object"),
        pytest.param(None, "bad_response", id="null"),
        pytest.param([], "bad_response", id="a list"),
        pytest.param("text", "bad_response", id="a string"),
    ],
)
def test_a_reply_that_is_no_answer_is_a_failure_of_its_ticket(body: object, reason: str) -> None:
    """Each with its code; no label is ever made up."""
    failure = read_reply(Reply(body=body, attempts=2, seconds=1.5), IDS)
    assert isinstance(failure, Failure)
    assert failure.reason == reason
    assert (failure.usage.attempts, failure.seconds) == (2, 1.5)


@pytest.mark.parametrize(
    ("number", "score"),
    [
        ("0.9", 0.9),
        ("1", 1.0),
        ("0", 0.0),
        ("95", None),
        ("-0.1", None),
        ('"0.9"', None),
        ("true", None),
        ("null", None),
        ("NaN", None),
        ("Infinity", None),
        ("1" + "0" * 400, None),
    ],
)
def test_the_models_number_is_a_share_or_nothing(number: str, score: float | None) -> None:
    """A number outside 0..1 is dropped; the label stands and waits for a person."""
    reply = Reply(body=completion(f'{{"category": "refund", "confidence": {number}}}'), attempts=1, seconds=0)
    prediction = read_reply(reply, IDS)
    assert isinstance(prediction, Prediction)
    assert prediction.answer == SingleLabel(category="refund", score=score)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage", "finish_reason", "refusal", "model"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_reply_crashes_the_reading(body: object) -> None:
    """Any JSON at all is a prediction or a failure."""
    assert isinstance(read_reply(Reply(body=body, attempts=1, seconds=0), IDS), Prediction | Failure)


def error(code: object = None, message: str = "no", param: object = None) -> dict[str, Any]:
    """An error body."""
    return {"error": {"message": message, "type": "t", "param": param, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        pytest.param(401, error("invalid_api_key"), "the server refused the key (401); set LLMTRIAGE_API_KEY", id="wrong key"),
        pytest.param(403, error(), "the server refused the key (403)", id="forbidden"),
        pytest.param(404, error("model_not_found", param="model"), "the server does not know this model", id="unknown model"),
        pytest.param(404, {"detail": "Not Found"}, "nothing answers at http://llm.test/v1", id="wrong path"),
        pytest.param(402, error(), "the account has no credit left", id="no money"),
        pytest.param(429, error("insufficient_quota"), "the account has no credit left (429)", id="quota"),
        pytest.param(302, error(), "http://llm.test/v1 redirects to another place; name that place", id="redirect"),
        pytest.param(200, error("insufficient_quota"), "the account has no credit left", id="quota with 200"),
        pytest.param(400, error(param="response_format"), "the server does not take the field 'response_format'", id="field"),
        pytest.param(400, [error("Arrearage")], "the account has no credit left", id="body is a list"),
    ],
)
@respx.mock
async def test_what_concerns_the_run_stops_it_at_once(shop: Taxonomy, status: int, body: object, words: str) -> None:
    """One request, one line, no key in it."""
    route = respx.post(f"{URL}/chat/completions").respond(status, json=body)
    with pytest.raises(BackendRefusedError) as caught:
        await ask(backend(shop), shop)
    assert words in str(caught.value)
    assert KEY not in str(caught.value)
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("status", "body", "reason", "requests"),
    [
        pytest.param(429, error("rate_limit_exceeded"), "rate_limited", 3, id="rate limit"),
        pytest.param(500, error(), "backend_unavailable", 3, id="server error"),
        pytest.param(503, "<html>busy</html>", "backend_unavailable", 3, id="overload as HTML"),
        pytest.param(408, error(), "backend_unavailable", 3, id="request timeout"),
        pytest.param(409, error(), "backend_unavailable", 3, id="conflict"),
        pytest.param(400, error("context_length_exceeded"), "too_long", 1, id="context"),
        pytest.param(400, error(param="input_tokens"), "too_long", 1, id="context, vLLM"),
        pytest.param(413, error(), "too_long", 1, id="entity too large"),
        pytest.param(400, error("content_filter"), "refused", 1, id="filter"),
        pytest.param(400, error("DataInspectionFailed"), "refused", 1, id="filter, DashScope"),
        pytest.param(400, error(), "bad_response", 1, id="bad request"),
        pytest.param(403, error("content_filter"), "refused", 1, id="filter with 403"),
        pytest.param(403, {"error": {"message": "no", "metadata": {"reasons": ["x"]}}}, "refused", 1, id="moderation"),
        pytest.param(200, error("server_error"), "backend_unavailable", 3, id="error with 200"),
        pytest.param(
            200, completion(ANSWER, finish_reason="insufficient_system_resource"), "backend_unavailable", 1, id="broken off"
        ),
        pytest.param(200, "<html>log in</html>", "bad_response", 3, id="HTML with 200"),
        pytest.param(200, "null", "bad_response", 1, id="null with 200"),
    ],
)
@respx.mock
async def test_what_concerns_a_ticket_belongs_to_it(
    shop: Taxonomy, status: int, body: object, reason: str, requests: int
) -> None:
    """What may pass by itself is asked for again, three times at most; the rest is asked once."""
    content = {"text": body} if isinstance(body, str) else {"json": body}
    route = respx.post(f"{URL}/chat/completions").respond(status, **content)
    failure = await ask(backend(shop), shop)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.usage.attempts, route.call_count) == (reason, requests, requests)


@respx.mock
async def test_a_passing_fault_passes(shop: Taxonomy) -> None:
    """The second attempt counts, after the wait that the server asked for."""
    respx.post(f"{URL}/chat/completions").mock(
        side_effect=[
            httpx.Response(429, headers={"retry-after": "1.5"}, json=error()),
            httpx.Response(200, json=completion(ANSWER)),
        ]
    )
    waited: list[float] = []
    answer = await ask(backend(shop, waited=waited), shop)
    assert isinstance(answer, Prediction)
    assert answer.usage.attempts == 2
    assert 1.5 <= waited[0] <= 1.65


@respx.mock
async def test_a_wait_may_be_a_date_and_may_be_too_long(shop: Taxonomy) -> None:
    """A date in the past is no wait at all; an hour is not waited for."""
    waited: list[float] = []
    route = respx.post(f"{URL}/chat/completions")
    route.respond(429, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, json=error())
    await ask(backend(shop, waited=waited), shop)
    assert waited == [0.0, 0.0]
    route.respond(429, headers={"retry-after": "3600"}, json=error())
    failure = await ask(backend(shop, waited=waited), shop)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.usage.attempts) == ("rate_limited", 1)


async def test_without_a_key_nothing_is_sent_to_openai(shop: Taxonomy) -> None:
    """No ticket leaves for a host that would refuse it."""
    endpoint = Endpoint(name="openai:m", url="https://api.openai.com/v1", key_hint="OPENAI_API_KEY")
    engine = ChatBackend("openai:m", BackendSettings(kind="openai", model="m"), Prompt(shop), Transport(endpoint))
    with pytest.raises(BackendRefusedError, match="no key is set; set OPENAI_API_KEY"):
        await ask(engine, shop)


@respx.mock
def test_connections_of_closed_loops_are_let_go(shop: Taxonomy) -> None:
    """A script that calls asyncio.run many times does not gather clients."""
    respx.post(f"{URL}/chat/completions").respond(json=completion(ANSWER))
    engine = backend(shop)
    questions = [Question(text="a text", categories=shop.leaves)]

    async def once() -> None:
        assert [answer async for answer in engine.predict(as_async(questions), online=True)]

    for _ in range(5):
        asyncio.run(once())
    assert len(engine._transport._sessions) == 1


@pytest.mark.parametrize("header", ["nan", "-1", "soon", "inf", ""])
@respx.mock
async def test_a_senseless_wait_is_not_obeyed(shop: Taxonomy, header: str) -> None:
    """Backoff with jitter instead, within its limits."""
    respx.post(f"{URL}/chat/completions").respond(503, headers={"retry-after": header}, json=error())
    waited: list[float] = []
    await ask(backend(shop, waited=waited), shop)
    assert len(waited) == 2
    assert 0 <= waited[0] <= 0.5
    assert 0 <= waited[1] <= 1


@respx.mock
async def test_no_connection_stops_the_run(shop: Taxonomy) -> None:
    """After the attempts, with the address."""
    route = respx.post(f"{URL}/chat/completions").mock(side_effect=httpx.ConnectError("refused"))
    with pytest.raises(BackendUnavailableError, match=r"no connection to http://llm\.test/v1; check that the server runs"):
        await ask(backend(shop), shop)
    assert route.call_count == 3


@pytest.mark.parametrize(
    ("fault", "reason"), [(httpx.ReadTimeout("slow"), "timeout"), (httpx.RemoteProtocolError("cut"), "backend_unavailable")]
)
@respx.mock
async def test_a_connection_that_breaks_belongs_to_the_ticket(shop: Taxonomy, fault: Exception, reason: str) -> None:
    """Slow, or cut in the middle of the answer."""
    respx.post(f"{URL}/chat/completions").mock(side_effect=fault)
    failure = await ask(backend(shop), shop)
    assert isinstance(failure, Failure)
    assert failure.reason == reason


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
