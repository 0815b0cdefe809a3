"""The chat engine: the shape of the request, and what each reply becomes."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx
from pydantic import SecretStr
from support import completion, refusal

from llmtriage import BackendRefusedError, Example, Failure, Prediction, Question, SingleLabel, Taxonomy
from llmtriage.backends import base_url
from llmtriage.backends.chat import ChatBackend, answer_schema
from llmtriage.backends.dialect import Dialect
from llmtriage.backends.prompt_tokens import least_tokens
from llmtriage.backends.transport import Endpoint, Transport
from llmtriage.errors import RefusedFieldError
from llmtriage.prompting import Prompt
from llmtriage.settings import BackendSettings, Patience
from llmtriage.streams import as_async
from llmtriage.testing import FrozenClock

URL = "http://llm.test/v1"
KEY = "sk-secret-1234"


def backend(
    taxonomy: Taxonomy, *, url: str = URL, repair: bool = True, shorten: bool = False, language: str = "en", **settings: Any
) -> ChatBackend:
    """An engine whose client respx can see, and that never waits."""
    options = BackendSettings(**{"kind": "openai", "model": "m", **settings})
    endpoint = Endpoint(name="openai:m", url=url, key=SecretStr(KEY), concurrency=4)
    transport = Transport(endpoint, http_client=httpx.AsyncClient(), clock=FrozenClock())
    prompt = Prompt(taxonomy, language=language)
    return ChatBackend("openai:m", options, prompt, transport, repair=repair, shorten=shorten)


async def ask(
    engine: ChatBackend, taxonomy: Taxonomy, text: str = "Where is my money?", examples: tuple[Example, ...] = ()
) -> Prediction | Failure:
    """Ask one question."""
    questions = as_async([Question(text=text, categories=taxonomy.leaves, examples=examples)])
    [answer] = [answer async for answer in engine.predict(questions, online=False)]
    await engine.aclose()
    return answer


def bodies(route: respx.Route) -> list[dict[str, Any]]:
    """What was sent."""
    return [json.loads(call.request.content) for call in route.calls]


ANSWER = '{"category": "refund", "confidence": 0.9}'


@respx.mock
async def test_the_request_asks_for_one_category_as_json(shop: Taxonomy) -> None:
    """A strict schema with the ids, temperature 0, the ticket last, the key as bearer token."""
    route = respx.post(f"{URL}/chat/completions").respond(json=completion(ANSWER))
    answer = await ask(backend(shop), shop)
    assert isinstance(answer, Prediction)
    assert answer.answer == SingleLabel(category="refund", score=0.9)
    assert (answer.source, answer.model) == ("verbalized", "m-2026")
    assert (answer.usage.prompt_tokens, answer.usage.output_tokens, answer.usage.attempts) == (1000, 8, 1)
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
    schema = answer_schema(("a",), rationale=True)
    assert list(schema["properties"]) == ["rationale", "category", "confidence"]


async def test_without_a_key_nothing_is_sent_to_openai(shop: Taxonomy) -> None:
    """No ticket leaves for a host that would refuse it."""
    endpoint = Endpoint(name="openai:m", url="https://api.openai.com/v1", key_hint="OPENAI_API_KEY")
    engine = ChatBackend("openai:m", BackendSettings(kind="openai", model="m"), Prompt(shop), Transport(endpoint))
    with pytest.raises(BackendRefusedError, match="no key is set; set OPENAI_API_KEY"):
        await ask(engine, shop)


# -- how this server is asked ----------------------------------------------------------------------


@respx.mock
async def test_a_model_without_temperature_is_asked_without(shop: Taxonomy, caplog: pytest.LogCaptureFixture) -> None:
    """Models that think refuse the field; it is left out from then on, and the log says so."""
    refused = httpx.Response(400, json=refusal("unsupported_value", param="temperature"))
    route = respx.post(f"{URL}/chat/completions").mock(side_effect=[refused, httpx.Response(200, json=completion(ANSWER))])
    with caplog.at_level(logging.WARNING, logger="llmtriage"):
        assert isinstance(await ask(backend(shop), shop), Prediction)
    assert ["temperature" in body for body in bodies(route)] == [True, False]
    assert "does not take temperature" in caplog.text


def picky(takes: Callable[[dict[str, Any]], str | None], answer: str = ANSWER) -> Callable[[httpx.Request], httpx.Response]:
    """A server that refuses the field that `takes` names for a body."""

    def reply(request: httpx.Request) -> httpx.Response:
        refused = takes(json.loads(request.content))
        if refused is None:
            return httpx.Response(200, json=completion(answer))
        return httpx.Response(400, json=refusal(message=f"This {refused} type is unavailable now"))

    return reply


@pytest.mark.parametrize(
    ("taken", "forms"), [("json_object", ["json_schema", "json_object"]), (None, ["json_schema", "json_object", None])]
)
@respx.mock
async def test_json_is_asked_for_as_strictly_as_the_server_takes_it(
    shop: Taxonomy, taken: str | None, forms: list[str | None]
) -> None:
    """By a schema, else as an object, else in the prompt; settled with the first request, which goes alone."""

    def takes(body: dict[str, Any]) -> str | None:
        form = body.get("response_format", {}).get("type")
        return None if form == taken else "response_format"

    route = respx.post(f"{URL}/chat/completions").mock(side_effect=picky(takes))
    questions = [Question(text=f"ticket {n}", categories=shop.leaves) for n in range(6)]
    answers = [answer async for answer in backend(shop).predict(as_async(questions), online=False)]
    assert all(isinstance(answer, Prediction) for answer in answers)
    seen = [body.get("response_format", {}).get("type") for body in bodies(route)]
    assert seen == [*forms, *([taken] * 5)]
    assert all("JSON" in body["messages"][0]["content"] for body in bodies(route))


@pytest.mark.parametrize(
    ("url", "settings", "sent"),
    [
        ("https://api.openai.com/v1", {}, {"reasoning_effort": "none"}),
        ("http://gpu:8000/v1", {"kind": "vllm"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("http://localhost:11434/v1", {}, {"reasoning_effort": "none"}),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", {}, {"enable_thinking": False}),
        ("https://api.deepseek.com/v1", {}, {"thinking": {"type": "disabled"}}),
        ("https://ark.cn-beijing.volces.com/api/v3", {}, {"thinking": {"type": "disabled"}}),
        ("https://api.moonshot.cn/v1", {}, {"thinking": {"type": "disabled"}}),
        ("https://elsewhere.test/v1", {}, {}),
        ("https://notapi.openai.com.test/v1", {}, {}),
        ("https://elsewhere.test/v1", {"thinking": "thinking"}, {"thinking": {"type": "disabled"}}),
        ("http://gpu:8000/v1", {"kind": "vllm", "thinking": "leave"}, {}),
    ],
)
def test_each_server_has_its_switch_against_thinking(url: str, settings: dict[str, Any], sent: dict[str, Any]) -> None:
    """Chosen by kind and host, or by the settings."""
    options = BackendSettings(**{"kind": "openai", "model": "m", **settings})
    fields = Dialect.of(options, url).fields({}, most=1, temperature=0)
    switches = {"reasoning_effort", "chat_template_kwargs", "enable_thinking", "thinking"}
    assert {name: value for name, value in fields.items() if name in switches} == sent


@respx.mock
async def test_a_model_that_cannot_be_kept_from_thinking_says_so(shop: Taxonomy, caplog: pytest.LogCaptureFixture) -> None:
    """From "none" to "minimal" to nothing; its answers get room."""

    def takes(body: dict[str, Any]) -> str | None:
        return "reasoning_effort" if "reasoning_effort" in body else None

    reply = completion(f"<think>It is about money.</think>{ANSWER}")
    route = respx.post("http://localhost:11434/v1/chat/completions").mock(
        side_effect=lambda request: (
            picky(takes)(request) if takes(json.loads(request.content)) else httpx.Response(200, json=reply)
        )
    )
    engine = backend(shop, url="http://localhost:11434/v1")
    with caplog.at_level(logging.WARNING, logger="llmtriage"):
        assert isinstance(await ask(engine, shop, "one"), Prediction)
        assert isinstance(await ask(engine, shop, "two"), Prediction)
    assert [body.get("reasoning_effort") for body in bodies(route)] == ["none", "minimal", None, None]
    assert [body["max_tokens"] for body in bodies(route)] == [200, 200, 200, 4000]
    assert "has no switch against thinking" in caplog.text
    assert "thinks before it answers" in caplog.text


@respx.mock
async def test_a_model_without_a_system_role_gets_one_message(shop: Taxonomy) -> None:
    """The instructions stand at the beginning of the user's; the ticket stays last."""

    def takes(body: dict[str, Any]) -> str | None:
        return None if body["messages"][0]["role"] == "user" else "System role not supported, so this"

    route = respx.post(f"{URL}/chat/completions").mock(side_effect=picky(takes))
    engine = backend(shop)
    assert isinstance(await ask(engine, shop, "one"), Prediction)
    assert isinstance(await ask(engine, shop, "two"), Prediction)
    assert [[message["role"] for message in body["messages"]] for body in bodies(route)] == [
        ["system", "user"],
        ["user"],
        ["user"],
    ]
    content = bodies(route)[-1]["messages"][0]["content"]
    assert content.startswith("You sort customer-service tickets.")
    assert "two\n</ticket-" in content


@respx.mock
async def test_the_limit_of_an_answer_has_two_names(shop: Taxonomy) -> None:
    """Hosted models that think know only one of them."""
    route = respx.post(f"{URL}/chat/completions").mock(
        side_effect=[
            httpx.Response(400, json=refusal("unsupported_parameter", param="max_tokens")),
            httpx.Response(200, json=completion(ANSWER)),
        ]
    )
    assert isinstance(await ask(backend(shop), shop), Prediction)
    assert [("max_tokens" in body, "max_completion_tokens" in body) for body in bodies(route)] == [(True, False), (False, True)]


@respx.mock
async def test_a_field_refused_later_stops_the_run_and_a_message_that_names_one_does_not(shop: Taxonomy) -> None:
    """The dialect never changes in mid-run; and what a message quotes may be the customer's words."""
    route = respx.post(f"{URL}/chat/completions").mock(return_value=httpx.Response(200, json=completion(ANSWER)))
    engine = backend(shop)
    assert isinstance(await ask(engine, shop, "one"), Prediction)
    route.mock(return_value=httpx.Response(400, json=refusal(message="cannot read 'my temperature is 39'")))
    failure = await ask(engine, shop, "my temperature is 39")
    assert isinstance(failure, Failure)
    assert failure.reason == "bad_response"
    route.mock(return_value=httpx.Response(400, json=refusal(param="temperature")))
    with pytest.raises(RefusedFieldError):
        await ask(engine, shop, "three")


# -- a second try ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "words"), [("en", "names no category of the list"), ("zh", "不是列表中的类别")])
@respx.mock
async def test_an_answer_that_cannot_be_read_is_shown_to_the_model_once(shop: Taxonomy, language: str, words: str) -> None:
    """With what is wrong; both requests are paid for."""
    route = respx.post(f"{URL}/chat/completions").mock(
        side_effect=[
            httpx.Response(200, json=completion('{"category": "refunds"}')),
            httpx.Response(200, json=completion(ANSWER)),
        ]
    )
    answer = await ask(backend(shop, language=language), shop)
    assert isinstance(answer, Prediction)
    assert answer.answer == SingleLabel(category="refund", score=0.9)
    assert (answer.usage.attempts, answer.usage.prompt_tokens, answer.usage.output_tokens) == (2, 2000, 16)
    roles = [message["role"] for message in bodies(route)[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert words in bodies(route)[1]["messages"][3]["content"]
    assert "money" not in bodies(route)[1]["messages"][3]["content"]


@respx.mock
async def test_a_mended_answer_counts_only_if_the_whole_prompt_was_read() -> None:
    """The repair shows the prompt once more, and that can be cut too."""
    sample = Taxonomy.sample()
    answer = json.dumps({"category": sample.leaves[0].id, "confidence": 0.9})
    texts, counts = ("no idea", answer), (5000, 400)
    replies = [
        httpx.Response(200, json=completion(text, usage={"prompt_tokens": count, "completion_tokens": 8}))
        for text, count in zip(texts, counts, strict=True)
    ]
    respx.post(f"{URL}/chat/completions").mock(side_effect=replies)
    failure = await ask(backend(sample), sample)
    assert isinstance(failure, Failure)
    assert failure.reason == "too_long"


@pytest.mark.slow
async def test_nobody_who_waits_queues_behind_the_first_request(shop: Taxonomy, serve_slowly: str) -> None:
    """The deadline is the ticket's, from its beginning to its end."""
    options = BackendSettings(kind="openai", model="m")
    transport = Transport(Endpoint(name="m", url=serve_slowly, timeout=5, patience=Patience(online=0.4)))
    engine = ChatBackend("m", options, Prompt(shop), transport)
    questions = [Question(text=f"ticket {n}", categories=shop.leaves) for n in range(4)]
    start = time.monotonic()
    answers = [answer async for answer in engine.predict(as_async(questions), online=True)]
    await engine.aclose()
    assert [getattr(answer, "reason", None) for answer in answers] == ["timeout"] * 4
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(("repair", "requests"), [(True, 2), (False, 1)])
@respx.mock
async def test_no_label_is_invented(shop: Taxonomy, *, repair: bool, requests: int) -> None:
    """At most one attempt to mend; then a person reads it, with what the model wrote."""
    route = respx.post(f"{URL}/chat/completions").respond(json=completion('{"category": "refundd"}'))
    failure = await ask(backend(shop, repair=repair), shop)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.raw, route.call_count) == ("unknown_label", '{"category": "refundd"}', requests)
    assert failure.usage.attempts == requests


@respx.mock
async def test_what_is_forgiven_is_counted(shop: Taxonomy) -> None:
    """Case, white space, the name in place of the id; one request."""
    route = respx.post(f"{URL}/chat/completions").respond(json=completion('{"category": " REFUND ", "confidence": 0.9}'))
    answer = await ask(backend(shop), shop)
    assert isinstance(answer, Prediction)
    assert answer.answer == SingleLabel(category="refund", score=0.9)
    assert (answer.forgiven, route.call_count) == (True, 1)


@respx.mock
async def test_a_cut_answer_gets_twice_the_room_once(shop: Taxonomy) -> None:
    """Not the same prompt with the same limit."""
    route = respx.post(f"{URL}/chat/completions").respond(json=completion('{"category": "ref', finish_reason="length"))
    failure = await ask(backend(shop), shop)
    assert isinstance(failure, Failure)
    assert failure.reason == "truncated"
    assert [body["max_tokens"] for body in bodies(route)] == [200, 400]


@respx.mock
async def test_an_empty_answer_is_asked_for_once_more(shop: Taxonomy) -> None:
    """JSON modes give none now and then."""
    empty, good = httpx.Response(200, json=completion("")), httpx.Response(200, json=completion(ANSWER))
    route = respx.post(f"{URL}/chat/completions").mock(side_effect=[empty, good])
    assert isinstance(await ask(backend(shop), shop), Prediction)
    assert route.call_count == 2


@respx.mock
async def test_a_refusal_is_final(shop: Taxonomy) -> None:
    """The same text would be refused again."""
    route = respx.post(f"{URL}/chat/completions").respond(json=completion(None, message={"refusal": "I cannot"}))
    failure = await ask(backend(shop), shop)
    assert isinstance(failure, Failure)
    assert (failure.reason, route.call_count) == ("refused", 1)


# -- what does not fit -----------------------------------------------------------------------------

LONG = "The parcel that I ordered last week has not arrived at my house. " * 200


def reading(window: int, seen: list[int]) -> Callable[[httpx.Request], httpx.Response]:
    """A server that reads only the last `window` tokens and says nothing about it, except in its count."""

    def reply(request: httpx.Request) -> httpx.Response:
        text = "".join(message["content"] for message in json.loads(request.content)["messages"])
        tokens = int(len(text.encode()) / 4.5)
        seen.append(tokens)
        return httpx.Response(200, json=completion(ANSWER, usage={"prompt_tokens": min(window, tokens), "completion_tokens": 8}))

    return reply


@respx.mock
async def test_a_prompt_that_was_cut_without_a_word_waits_for_a_person(shop: Taxonomy) -> None:
    """The server's own count gives it away; short tickets before it show what the rest of the prompt takes."""
    seen: list[int] = []
    respx.post(f"{URL}/chat/completions").mock(side_effect=reading(2048, seen))
    engine = backend(shop)
    assert isinstance(await ask(engine, shop), Prediction)
    assert isinstance(await ask(engine, shop, LONG[:2000]), Prediction)
    failure = await ask(engine, shop, LONG)
    assert seen[-1] > 2048
    assert isinstance(failure, Failure)
    assert failure.reason == "too_long"
    assert "read 2048 tokens, fewer than the prompt has" in failure.detail
    assert isinstance(await ask(engine, shop, "Where is it?"), Prediction)


@respx.mock
async def test_a_server_that_counts_only_what_it_had_not_cached_is_believed(shop: Taxonomy) -> None:
    """Its count falls from the second ticket on, for short tickets too: that is no cut."""
    usages = [{"prompt_tokens": 1000, "completion_tokens": 8}, *([{"prompt_tokens": 20, "completion_tokens": 8}] * 3)]
    route = respx.post(f"{URL}/chat/completions")
    route.mock(side_effect=[httpx.Response(200, json=completion(ANSWER, usage=usage)) for usage in usages])
    engine = backend(shop)
    for text in ("one", "two", "three", LONG[:3000]):
        assert isinstance(await ask(engine, shop, text), Prediction)


@pytest.mark.parametrize(
    "text",
    [
        "The parcel that I ordered last week has not arrived.",
        "我上周订的包裹还没有送到，请问什么时候能到？",
        "Ich habe letzte Woche ein Paket bestellt und es ist noch nicht angekommen.",
        "a" * 1000,
        "😀" * 50,
        "-" * 500,
    ],
)
def test_the_least_count_is_below_what_tokenizers_make(text: str) -> None:
    """A Chinese character takes at least half a token, six bytes of other text one; runs are packed."""
    words = len(text) if any("\u4e00" <= c <= "\u9fff" for c in text) else len(text.split())
    assert least_tokens(text) <= max(1.7 * words, len(text.encode()) / 6)


TOO_LONG = httpx.Response(400, json=refusal("context_length_exceeded"))
READ_IT_ALL = httpx.Response(200, json=completion(ANSWER, usage={"prompt_tokens": 5000, "completion_tokens": 8}))


@respx.mock
async def test_a_ticket_that_is_too_long_waits_unless_it_may_lose_its_middle(shop: Taxonomy) -> None:
    """And then it says how much of it was not seen."""
    route = respx.post(f"{URL}/chat/completions").mock(side_effect=[TOO_LONG])
    failure = await ask(backend(shop), shop, LONG)
    assert isinstance(failure, Failure)
    assert (failure.reason, route.call_count) == ("too_long", 1)
    route.mock(side_effect=[TOO_LONG, READ_IT_ALL])
    answer = await ask(backend(shop, shorten=True), shop, LONG)
    assert isinstance(answer, Prediction)
    assert 0.4 * len(LONG) < answer.left_out < 0.6 * len(LONG)
    sent = bodies(route)[-1]["messages"][-1]["content"]
    assert "[…]" in sent
    assert sent.count("arrived at my house") == pytest.approx(100, abs=4)


@respx.mock
async def test_what_surely_does_not_fit_is_not_sent(shop: Taxonomy) -> None:
    """Where the context is known; shortened, it fits."""
    route = respx.post(f"{URL}/chat/completions").respond(json=completion(ANSWER))
    failure = await ask(backend(shop, context=1500), shop, LONG)
    assert isinstance(failure, Failure)
    assert (failure.reason, route.call_count) == ("too_long", 0)
    answer = await ask(backend(shop, context=1500, shorten=True), shop, LONG)
    assert isinstance(answer, Prediction)
    assert answer.left_out > 0
    assert len(json.dumps(bodies(route)[-1]["messages"])) / 4 < 1500 - 200


@respx.mock
async def test_examples_of_the_ticket_go_first(shop: Taxonomy) -> None:
    """They help; the ticket is what it is about."""
    route = respx.post(f"{URL}/chat/completions").mock(side_effect=[TOO_LONG, READ_IT_ALL])
    answer = await ask(backend(shop), shop, LONG, (Example(text="similar words", category="parcel"),))
    assert isinstance(answer, Prediction)
    assert answer.left_out == 0
    assert ["similar words" in body["messages"][-1]["content"] for body in bodies(route)] == [True, False]


# -- who gets to see what --------------------------------------------------------------------------


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
    for thing in (engine, engine.transport, engine.transport.endpoint, engine.settings):
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
