"""vLLM in this process, with a package that only plays vLLM: what it is given, what its outputs become, how it is shared and closed."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from llmtriage import BackendRefusedError, Failure, Prediction, Question, Taxonomy
from llmtriage.backends import Setup, create, settings_of
from llmtriage.backends.budget import Budget
from llmtriage.backends.dialect import Dialect
from llmtriage.backends.probing import Prober
from llmtriage.backends.probing.identity import identity, token_ids
from llmtriage.backends.reply_cache import ReplyCache
from llmtriage.backends.transport import Endpoint, Reply
from llmtriage.backends.vllm_bodies import constraint, sampling, template_arguments
from llmtriage.backends.vllm_offline import OfflineTransport
from llmtriage.doctor.load import Load
from llmtriage.doctor.table import table_for
from llmtriage.errors import (
    BackendError,
    InputError,
    MissingExtraError,
    RefusedFieldError,
    StoppedError,
    UnknownNameError,
    UnknownRouteError,
)
from llmtriage.prompting import Prompt
from llmtriage.settings import BackendSettings, Patience, Settings, load_settings
from llmtriage.streams import as_async

NAME = "vllm-offline:m"
PATH = "/chat/completions"
ANSWER = '{"category": "refund", "confidence": 0.9}'
CONTEXT = 100


def body(text: str = "hello", **changes: Any) -> dict[str, Any]:
    """A request."""
    return {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 5, "temperature": 0, **changes}


class ValidationError(Exception):
    """As vLLM's: a plain exception that names the field."""

    def __init__(self, said: str, parameter: str | None) -> None:
        super().__init__(said)
        self.parameter = parameter


class Tokenizer:
    """One token a word; its id is the word's length."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [0] * add_special_tokens + [len(word) for word in text.split()]

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [f"<{number}>" for number in ids]

    def decode(self, ids: list[int]) -> str:
        return f"<{ids[0]}>"

    def apply_chat_template(self, messages: Any, *, tokenize: bool, add_generation_prompt: bool, **told: Any) -> str:
        assert not tokenize
        words = [message["content"] for message in messages]
        return " ".join([*words, *["assistant"] * add_generation_prompt, *[f"{key}={told[key]}" for key in told]])


class Played:
    """The package `vllm`, and what was asked of it.

    Attributes:
        made: Arguments of each `LLM`, with the environment it saw.
        begun: Arguments of each request.
        together: How many ran, at each step.
        aborted: The ids that were given up.
        shut: How many engines were shut down.
        may_load, may_step: Who waits here is held.
        fails: What `LLM` raises.
        dies: What a step raises.
        writes: The text of an answer.
        listed: The log-probabilities of its first token.
        context: Characters that fit it.
        reads: Tokens it counts in a prompt.
    """

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.begun: list[dict[str, Any]] = []
        self.together: list[int] = []
        self.aborted: list[str] = []
        self.shut = 0
        self.may_load, self.may_step = threading.Event(), threading.Event()
        self.may_load.set()
        self.may_step.set()
        self.fails: Exception | None = None
        self.dies: Exception | None = None
        self.writes: Callable[[str], str] = lambda text: f"answer to {text}"
        self.listed: dict[int, Any] | None = None
        self.context = CONTEXT
        self.reads = 3
        self._running: dict[str, dict[str, Any]] = {}
        self._ids = count()

    def module(self) -> ModuleType:
        """What `import vllm` finds."""
        package = ModuleType("vllm")
        package.__file__ = "/site-packages/vllm/__init__.py"
        package.__dict__.update(LLM=self.llm, __version__="0.0.1")
        return package

    def llm(self, model: str, **options: Any) -> SimpleNamespace:
        """`vllm.LLM`."""
        self.may_load.wait(10)
        self.made.append({"model": model, **options, "environment": dict(os.environ)})
        if self.fails:
            raise self.fails
        return SimpleNamespace(
            model_config=SimpleNamespace(max_model_len=self.context, get_diff_sampling_param=lambda: {"top_k": 20}),
            enqueue_chat=self.enqueue_chat,
            get_tokenizer=Tokenizer,
            llm_engine=SimpleNamespace(
                step=self.step, abort_request=self.abort, engine_core=SimpleNamespace(shutdown=self.shutdown)
            ),
        )

    def enqueue_chat(self, messages: Any, params: Any, *, use_tqdm: bool, chat_template_kwargs: dict[str, Any]) -> list[str]:
        """Takes a request, or refuses it."""
        assert not use_tqdm
        text = messages[-1]["content"]
        if len(text) > self.context:
            raise ValidationError(
                f"This model's maximum context length is {self.context} tokens; you wrote {text}", "input_tokens"
            )
        if text == "exactly full":
            raise ValidationError(f"The prompt is longer than the maximum model length of {CONTEXT}", None)
        if text == "broken":
            raise ValueError("something about this one")
        if text == "dead":
            raise RuntimeError("the engine core is gone")
        if len(params.get("logprob_token_ids", ())) > 128:
            raise ValidationError("too many", "logprob_token_ids")
        request = str(next(self._ids))
        self.begun.append({"text": text, **params, "template": chat_template_kwargs})
        self._running[request] = self.begun[-1]
        return [f"{request}-deadbeef"]

    def step(self) -> list[SimpleNamespace]:
        """All that run end with this token."""
        self.may_step.wait(10)
        self.together.append(len(self._running))
        if self.dies:
            raise self.dies
        ended, self._running = self._running, {}
        return [self._output(request, params) for request, params in ended.items()]

    def abort(self, ids: list[str]) -> None:
        """Gives requests up."""
        self.aborted += ids
        for request in ids:
            del self._running[request]

    def shutdown(self) -> None:
        """Ends the engine."""
        self.shut += 1

    def _output(self, request: str, params: dict[str, Any]) -> SimpleNamespace:
        found = [
            SimpleNamespace(
                index=index,
                text=self.writes(params["text"]),
                token_ids=[7, 8],
                logprobs=[self.listed, None] if self.listed else None,
                finish_reason="stop",
            )
            for index in range(params.get("n", 1))
        ]
        return SimpleNamespace(
            request_id=request, finished=True, prompt_token_ids=[1] * self.reads, num_cached_tokens=2, outputs=found
        )


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Played:
    """The package is installed."""
    played = Played()
    params = ModuleType("vllm.sampling_params")
    params.__dict__.update(SamplingParams=SimpleNamespace(from_optional=dict), StructuredOutputsParams=dict)
    monkeypatch.setitem(sys.modules, "vllm", played.module())
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", params)
    return played


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Every test closes what it opened."""
    before = set(threading.enumerate())
    yield
    assert [thread for thread in set(threading.enumerate()) - before if thread.name == "llmtriage-vllm"] == []


def transport(
    options: dict[str, Any] | None = None, *, model: str = "m", patience: float = 60.0, **others: Any
) -> OfflineTransport:
    """A transport for the engine in this process."""
    endpoint = Endpoint(name=NAME, url=f"vllm-offline:{model}", concurrency=8, patience=Patience(online=patience, start=8))
    return OfflineTransport(endpoint, model, options or {}, **others)


async def asked(*bodies: dict[str, Any], path: str = PATH, **how: Any) -> list[Reply | Failure | BaseException]:
    """Ask all at once, and close."""
    offline = transport()
    try:
        return await asyncio.gather(*(offline.post(path, one, **how) for one in bodies), return_exceptions=True)
    finally:
        await offline.aclose()


def ok(found: object) -> Any:
    """The body of a reply."""
    assert isinstance(found, Reply), found
    return found.body


# -- requests and replies --------------------------------------------------------------------------


async def test_a_reply_has_the_shape_of_a_server_s(vllm: Played) -> None:
    """With its text, why it ended, and all counts."""
    [found] = await asked(body())
    assert ok(found) == {
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "answer to hello"},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 2},
        },
    }


async def test_what_the_request_says_wins_over_what_the_model_s_folder_says(vllm: Played) -> None:
    """As on a server."""
    await asked(body(n=3, temperature=0.7, seed=5), body("other", top_k=1))
    first, second = sorted(vllm.begun, key=lambda begun: str(begun["text"]))
    assert first == {
        "text": "hello",
        "n": 3,
        "temperature": 0.7,
        "seed": 5,
        "top_k": 20,
        "max_tokens": 5,
        "template": {},
    }
    assert second["top_k"] == 1


async def test_several_answers_to_one_request(vllm: Played) -> None:
    """Each is a choice, and all are counted."""
    [found] = await asked(body(n=3))
    assert [choice["index"] for choice in ok(found)["choices"]] == [0, 1, 2]
    assert ok(found)["usage"]["completion_tokens"] == 6


async def test_the_template_hears_of_the_switch_against_thinking(vllm: Played) -> None:
    """With each request: another may have another."""
    await asked(body(chat_template_kwargs={"enable_thinking": False}))
    assert vllm.begun[0]["template"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"reasoning_effort": "none"}, {"reasoning_effort": "none", "enable_thinking": False}, id="no effort"),
        pytest.param({"reasoning_effort": "low"}, {"reasoning_effort": "low", "enable_thinking": True}, id="some effort"),
        pytest.param(
            {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}},
            {"reasoning_effort": "low", "enable_thinking": False},
            id="its own word wins",
        ),
    ],
)
def test_what_the_template_is_told(given: dict[str, Any], told: dict[str, Any]) -> None:
    """The two ways to say it."""
    assert template_arguments(given) == told


SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    ("given", "form"),
    [
        pytest.param({}, None, id="any text"),
        pytest.param({"response_format": {"type": "text"}}, None, id="text"),
        pytest.param({"response_format": {"type": "json_object"}}, {"json_object": True}, id="any object"),
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
            {"json": SCHEMA},
            id="a schema",
        ),
        pytest.param({"structured_outputs": {"choice": ["a", "b"]}}, {"choice": ["a", "b"]}, id="a choice"),
        pytest.param(
            {"structured_outputs": {"disable_any_whitespace": True}, "response_format": {"type": "json_object"}},
            {"json_object": True, "disable_any_whitespace": True},
            id="both",
        ),
    ],
)
def test_what_holds_the_text(given: dict[str, Any], form: dict[str, Any] | None) -> None:
    """The form of OpenAI, vLLM's own, and both."""
    assert constraint(given) == form


async def test_the_schema_reaches_the_model(vllm: Played) -> None:
    """As vLLM's own argument."""
    await asked(body(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}))
    assert vllm.begun[0]["structured_outputs"] == {"json": SCHEMA}


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        pytest.param({"max_completion_tokens": 9, "max_tokens": 5}, {"max_tokens": 9}, id="the newer name counts"),
        pytest.param({}, {"max_tokens": None}, id="what the context leaves"),
        pytest.param({"logprobs": True}, {"max_tokens": None, "logprobs": 0}, id="its own alone"),
        pytest.param({"logprobs": True, "top_logprobs": 5}, {"max_tokens": None, "logprobs": 5}, id="five beside it"),
        pytest.param(
            {"logprobs": True, "top_logprobs": 5, "logprob_token_ids": [3]},
            {"max_tokens": None, "logprob_token_ids": [3]},
            id="ids win",
        ),
        pytest.param({"logprobs": False, "top_logprobs": 0, "seed": None}, {"max_tokens": None}, id="said, but nothing"),
    ],
)
def test_arguments_of_the_sampling(given: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Names that a request and vLLM do not share."""
    assert sampling(given, {}) == arguments


def entry(logprob: float, text: str | None = None) -> SimpleNamespace:
    """A log-probability as vLLM tells it."""
    return SimpleNamespace(logprob=logprob, decoded_token=text, rank=1)


async def test_log_probabilities_of_the_ids_that_were_asked_for(vllm: Played) -> None:
    """All of them, and a masked one as the number that JSON can hold."""
    vllm.listed = {7: entry(-0.1, "x"), 3: entry(-2.0, "A"), 4: entry(-math.inf, "B")}
    wanted: dict[str, Any] = {"logprobs": True, "logprob_token_ids": [3, 4], "return_tokens_as_token_ids": True}
    [found] = await asked(body(**wanted))
    first = ok(found)["choices"][0]["logprobs"]["content"][0]
    assert (first["token"], first["logprob"]) == ("token_id:7", -0.1)
    assert [(one["token"], one["logprob"]) for one in first["top_logprobs"]] == [
        ("token_id:7", -0.1),
        ("token_id:3", -2.0),
        ("token_id:4", -9999.0),
    ]


async def test_the_most_probable_tokens_in_words(vllm: Played) -> None:
    """So many as were asked for; a text that vLLM left out is looked up."""
    vllm.listed = {7: entry(-0.1, "x"), 3: entry(-2.0), 4: entry(-3.0, "B")}
    [found] = await asked(body(logprobs=True, top_logprobs=2))
    first, second = ok(found)["choices"][0]["logprobs"]["content"]
    assert [one["token"] for one in first["top_logprobs"]] == ["x", "<3>"]
    assert first["bytes"] == [120]
    assert (second["token"], second["logprob"], second["top_logprobs"]) == ("<8>", -9999.0, [])


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "field"),
    [
        pytest.param({"logprob_tokens": [1], "logprobs": True}, "logprob_tokens", id="a misspelt field"),
        pytest.param({"stream": True}, "stream", id="no server"),
        pytest.param({"logprob_token_ids": [1]}, "logprob_token_ids", id="ids without log-probabilities"),
        pytest.param({"top_logprobs": 3}, "top_logprobs", id="a list without log-probabilities"),
        pytest.param({"logprobs": 5}, "logprobs", id="the other form"),
        pytest.param({"max_tokens": CONTEXT + 1}, "max_tokens", id="an answer longer than the context"),
        pytest.param({"response_format": {"type": "odd"}}, "response_format", id="an unknown form"),
        pytest.param({"logprobs": True, "logprob_token_ids": list(range(129))}, "logprob_token_ids", id="by vLLM itself"),
    ],
)
async def test_a_field_that_is_not_taken_is_an_error_of_the_run(vllm: Played, given: dict[str, Any], field: str) -> None:
    """Whoever refuses it: it is never passed over."""
    [found] = await asked(body(**given))
    assert isinstance(found, RefusedFieldError)
    assert found.field == field


async def test_one_that_is_refused_takes_no_other_along(vllm: Played) -> None:
    """Nor does its text reach a message."""
    texts = ["one", "x" * (CONTEXT + 1), "two", "exactly full", "broken", "three"]
    found = await asked(*map(body, texts))
    answers = [one.reason if isinstance(one, Failure) else ok(one)["choices"][0]["message"]["content"] for one in found]
    assert answers == ["answer to one", "too_long", "answer to two", "too_long", "bad_response", "answer to three"]
    assert "xxx" not in str(found)


async def test_another_model_and_other_routes_do_not_exist(vllm: Played) -> None:
    """The same errors as a server's."""
    [other] = await asked(body() | {"model": "n"})
    assert isinstance(other, BackendRefusedError)
    assert "does not know this model" in str(other)
    [route] = await asked({"input": "a"}, path="/decisions")
    assert isinstance(route, UnknownRouteError)


# -- other routes ----------------------------------------------------------------------------------


async def test_tokens_of_a_text_and_of_messages(vllm: Played) -> None:
    """With and without what the tokenizer adds."""
    plain, special, chat = await asked(
        {"model": "m", "prompt": "an apple", "add_special_tokens": False},
        {"prompt": "an apple", "return_token_strs": True},
        {"messages": [{"role": "user", "content": "an apple"}], "chat_template_kwargs": {"x": 1}},
        path="http://host/tokenize",
    )
    assert ok(plain) == {"count": 2, "max_model_len": CONTEXT, "tokens": [2, 5]}
    assert (ok(special)["tokens"], ok(special)["token_strs"]) == ([0, 2, 5], ["<0>", "<2>", "<5>"])
    assert ok(chat)["tokens"] == [2, 5, 9, 3]


async def test_a_probe_finds_vllm_its_model_and_its_context(vllm: Played) -> None:
    """By the routes that a server has."""
    offline = transport(model="folder/m")
    prober = Prober(offline, BackendSettings(kind="vllm-offline", model="folder/m"), Dialect())
    found = await identity(prober)
    assert (found.server, found.version, found.listed, found.context) == ("vLLM", "0.0.1", ("folder/m",), CONTEXT)
    assert await token_ids(prober, "A") == (1,)
    with pytest.raises(UnknownRouteError, match="in this process has no /props"):
        await offline.get("/props")
    await offline.aclose()


# -- one engine for all ----------------------------------------------------------------------------


async def test_nothing_is_loaded_before_the_first_request_and_one_load_serves_all(vllm: Played) -> None:
    """With the options of the engine, and without progress bars."""
    offline = transport({"max_model_len": 512})
    assert not vllm.made
    await asyncio.gather(*(offline.post(PATH, body(str(number))) for number in range(5)))
    await offline.aclose()
    [made] = vllm.made
    assert (made["model"], made["max_model_len"], made["use_tqdm_on_load"]) == ("m", 512, False)


async def test_what_comes_together_runs_together(vllm: Played) -> None:
    """None waits for the end of another, and each gets its own answer."""
    vllm.may_step.clear()
    offline = transport()
    posts = [asyncio.ensure_future(offline.post(PATH, body(str(number)))) for number in range(8)]
    await _until(lambda: len(vllm.begun) >= 1)
    vllm.may_step.set()
    answers = [ok(found)["choices"][0]["message"]["content"] for found in await asyncio.gather(*posts)]
    await offline.aclose()
    assert answers == [f"answer to {number}" for number in range(8)]
    assert len(vllm.together) <= 3


async def test_a_batch_asks_the_same_once_and_keeps_its_order(vllm: Played) -> None:
    """As with a server."""
    offline = transport()

    async def one(text: str, **how: Any) -> Reply | Failure:
        return await offline.post(PATH, body(text), **how)

    texts = ["a", "b", "a", "c"] * 5
    found = [answer async for answer in offline.each(one, as_async(texts), online=False)]
    await offline.aclose()
    assert [ok(answer)["choices"][0]["message"]["content"] for answer in found] == [f"answer to {text}" for text in texts]
    assert sorted(begun["text"] for begun in vllm.begun) == ["a", "b", "c"]


@pytest.mark.slow
async def test_loading_does_not_count_as_waiting_for_an_answer(vllm: Played) -> None:
    """An answer that is late does."""
    vllm.may_load.clear()
    offline = transport(patience=0.2)

    async def one(text: str, **how: Any) -> Reply | Failure:
        return await offline.post(PATH, body(text), **how)

    async def load_later() -> None:
        await asyncio.sleep(0.5)
        vllm.may_load.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(load_later())
        [found] = [answer async for answer in offline.each(one, as_async(["a"]), online=True)]
    assert ok(found)
    vllm.may_step.clear()
    late = await offline.post(PATH, body("late"), online=True)
    assert isinstance(late, Failure)
    assert late.reason == "timeout"
    vllm.may_step.set()
    await offline.aclose()


async def test_what_nobody_waits_for_is_given_up(vllm: Played) -> None:
    """The others go on."""
    vllm.may_step.clear()
    offline = transport()
    gone, stays = (asyncio.ensure_future(offline.post(PATH, body(text))) for text in ("gone", "stays"))
    await _until(lambda: len(vllm.begun) >= 1)
    gone.cancel()
    await asyncio.sleep(0)
    vllm.may_step.set()
    assert ok(await stays)
    assert ok(await offline.post(PATH, body("next")))
    await offline.aclose()
    assert gone.cancelled()


async def test_an_answer_that_nobody_waits_for_frees_its_place(vllm: Played) -> None:
    """Once begun it is aborted; not begun, it never is."""
    vllm.may_step.clear()
    offline = transport()
    first = asyncio.ensure_future(offline.post(PATH, body("first")))
    await _until(lambda: len(vllm.begun) == 1)  # and the thread is held in a step
    gone = asyncio.ensure_future(offline.post(PATH, body("gone")))
    await asyncio.sleep(0.05)

    def write(text: str) -> str:
        gone.get_loop().call_soon_threadsafe(gone.cancel)
        time.sleep(0.1)
        return text

    vllm.writes = write
    vllm.may_step.set()
    assert ok(await first)
    vllm.writes = str
    assert ok(await offline.post(PATH, body("next")))
    await offline.aclose()
    assert gone.cancelled()
    assert len([begun for begun in vllm.begun if begun["text"] == "gone"]) == len(vllm.aborted)


async def test_closing_shuts_down_and_the_next_request_loads_again(vllm: Played) -> None:
    """Twice does no harm."""
    offline = transport()
    ok(await offline.post(PATH, body()))
    await offline.aclose()
    await offline.aclose()
    assert vllm.shut == 1
    ok(await offline.post(PATH, body()))
    await offline.aclose()
    assert (len(vllm.made), vllm.shut) == (2, 2)


async def test_what_is_not_answered_when_it_is_closed_gets_an_error(vllm: Played) -> None:
    """Nobody waits for ever."""
    vllm.may_load.clear()
    offline = transport()
    post = asyncio.ensure_future(offline.post(PATH, body()))
    await asyncio.sleep(0.05)
    closing = asyncio.ensure_future(offline.aclose())
    await asyncio.sleep(0.05)
    vllm.may_load.set()
    await closing
    with pytest.raises(BackendError, match="the engine was closed"):
        await post
    assert vllm.shut == 1


@pytest.mark.parametrize("where", ["step", "begin"])
async def test_an_engine_that_dies_ends_the_run_for_all(vllm: Played, where: str) -> None:
    """A run that can go on later; nothing more is tried."""
    offline = transport()
    ok(await offline.post(PATH, body("before")))
    if where == "step":
        vllm.dies = RuntimeError("EngineCore encountered an issue")
    text = "dead" if where == "begin" else "alive"
    found = await asyncio.gather(*(offline.post(PATH, body(f"{text}")) for _ in range(3)), return_exceptions=True)
    assert {type(one) for one in found} == {StoppedError}
    assert "the engine stopped working (RuntimeError)" in str(found[0])
    with pytest.raises(StoppedError):
        await offline.post(PATH, body("after"))
    await offline.aclose()  # those who wait are told before the engine is shut down
    assert vllm.shut == 1


async def test_a_budget_counts_what_the_engine_says(vllm: Played) -> None:
    """Prompt and answer."""
    budget = Budget(tokens=100)
    offline = transport(budget=budget)
    ok(await offline.post(PATH, body()))
    await offline.aclose()
    assert budget.spent_tokens == 5


async def test_a_known_reply_loads_nothing_and_other_options_are_another_engine(vllm: Played, tmp_path: Path) -> None:
    """Nobody waits for a model that is not asked."""

    async def ask(options: dict[str, Any]) -> int:
        with ReplyCache(tmp_path / "replies.db") as cache:
            offline = transport(options, cache=cache)
            reply = await offline.post(PATH, body())
            assert isinstance(reply, Reply)
            offline.remember(reply)
            assert offline.is_known(PATH, body())
            await offline.aclose()
        return reply.attempts

    assert [await ask({}), await ask({}), await ask({"dtype": "float32"})] == [1, 0, 1]
    assert len(vllm.made) == 2


# -- loading ---------------------------------------------------------------------------------------


async def _load_error(model: str = "m") -> BaseException:
    offline = transport(model=model)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - looked at by the caller
        await offline.post(PATH, body() | {"model": model})
    with pytest.raises(type(raised.value)):
        await offline.post(PATH, body() | {"model": model})
    await offline.aclose()
    return raised.value


async def test_without_vllm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, at the first request."""
    monkeypatch.setitem(sys.modules, "vllm", None)
    error = await _load_error()
    assert isinstance(error, MissingExtraError)
    assert str(error) == f"{NAME} needs an optional package; pip install 'llmtriage[vllm]'"


async def test_a_folder_of_that_name_is_not_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes any folder for a package."""
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    assert isinstance(await _load_error(), MissingExtraError)


async def test_a_package_that_cannot_be_imported_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there, but not whole."""
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise ImportError('libcudart.so.12: cannot open')")
    monkeypatch.syspath_prepend(str(tmp_path))
    error = await _load_error()
    assert str(error).startswith(f"{NAME}: vLLM cannot be imported (ImportError: libcudart.so.12: cannot open); ")


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        pytest.param(
            RuntimeError("Engine core initialization failed. See root cause above."), "gpu_memory_utilization", id="its process"
        ),
        pytest.param(ValueError("Free memory on device is less than desired"), "gpu_memory_utilization", id="memory"),
        pytest.param(TypeError("unexpected keyword argument 'max_modl_len'"), "max_modl_len", id="a misspelt option"),
        pytest.param(OSError("no\nsuch\nmodel"), "no such model); check the model's name", id="no such model"),
    ],
)
async def test_what_vllm_raises_while_loading_is_one_line_with_a_remedy(vllm: Played, raised: Exception, words: str) -> None:
    """Also for the second request."""
    vllm.fails = raised
    error = await _load_error()
    assert isinstance(error, BackendError)
    assert "vLLM cannot load the model" in str(error)
    assert words in str(error)
    assert "\n" not in str(error)


async def test_a_folder_that_is_not_there_is_told_before_vllm_is_imported(tmp_path: Path) -> None:
    """That alone takes seconds."""
    missing = tmp_path / "none"
    error = await _load_error(str(missing))
    assert str(error) == f"{NAME}: there is no {str(missing)!r}; check the path of the model's folder"


async def test_the_environment_is_quiet_and_private_while_it_loads(vllm: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user has set stays, and nothing is left behind."""
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "INFO")
    monkeypatch.delenv("VLLM_NO_USAGE_STATS", raising=False)
    await asked(body())
    seen = vllm.made[0]["environment"]
    assert (seen["VLLM_LOGGING_LEVEL"], seen["VLLM_LOGGING_STREAM"], seen["VLLM_NO_USAGE_STATS"], seen["DO_NOT_TRACK"]) == (
        "INFO",
        "ext://sys.stderr",
        "1",
        "1",
    )
    assert "VLLM_NO_USAGE_STATS" not in os.environ


# -- by name ---------------------------------------------------------------------------------------


def made(name: str, shop: Taxonomy, **settings: Any) -> Any:
    """The engine of a name."""
    return create(name, Setup(taxonomy=shop, prompt=lambda: Prompt(shop), settings=Settings(**settings)))


async def test_the_chat_engine_asks_it(vllm: Played, shop: Taxonomy) -> None:
    """End to end, with the switch against thinking."""
    vllm.writes, vllm.context, vllm.reads = lambda _: ANSWER, 10_000, 1000
    engine = made("vllm-offline:m", shop, reading="json")
    questions = [Question(text=f"Where is parcel {number}?", categories=shop.leaves) for number in range(20)]
    found = [answer async for answer in engine.predict(as_async(questions), online=False)]
    await engine.aclose()
    assert [answer for answer in found if not isinstance(answer, Prediction)] == []
    assert vllm.begun[0]["template"] == {"enable_thinking": False}
    assert engine.fingerprint()["engine"] == "vllm-offline:m"


def test_it_is_asked_by_many_at_once_unless_something_else_is_said(shop: Taxonomy) -> None:
    """By the table, or for all engines."""

    def at_once(**settings: Any) -> int:
        engine = made("tiny", shop, **{"backends": {"tiny": {"kind": "vllm-offline", "model": "m"}}, **settings})
        return int(engine.transport.endpoint.concurrency)

    own = {"backends": {"tiny": {"kind": "vllm-offline", "model": "m", "concurrency": 7}}}
    assert (at_once(), at_once(concurrency=64), at_once(**own)) == (256, 64, 7)


def test_options_of_the_engine_are_part_of_the_fingerprint(shop: Taxonomy) -> None:
    """Another precision is another engine."""
    backends = {
        name: {"kind": "vllm-offline", "model": "m", "engine": options}
        for name, options in {"one": {}, "other": {"dtype": "float32"}}.items()
    }
    one, other = (made(name, shop, backends=backends).fingerprint()["options"] for name in backends)
    assert one != other


def test_the_table_of_doctor_keeps_the_options_of_the_engine() -> None:
    """As they were, whatever they hold."""
    options = {"max_model_len": 512, "enforce_eager": True, "hf_overrides": {"rope": {"factor": 2.0}}, "dtype": "auto"}
    settings = BackendSettings(kind="vllm-offline", model="m", engine=options)
    load = Load(alone=(), at_once=1, wall=1.0, seconds=())
    found = tomllib.loads(table_for(settings, None, None, load))["backends"]["NAME"]
    assert BackendSettings(**found) == settings


def test_a_folder_may_hold_an_at_sign() -> None:
    """There is no URL behind it."""
    found = settings_of("vllm-offline:/models/a@b/c", Settings())
    assert found is not None
    assert found.model == "/models/a@b/c"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        pytest.param(
            {"kind": "vllm-offline", "model": "m", "url": "http://x/v1"},
            "url cannot be set for vllm-offline, which asks no server",
            id="url",
        ),
        pytest.param(
            {"kind": "vllm-offline", "model": "m", "proxy": "http://x"}, "proxy cannot be set for vllm-offline", id="proxy"
        ),
        pytest.param(
            {"kind": "vllm-offline", "model": "m", "key_env": "KEY"}, "key_env cannot be set for vllm-offline", id="key"
        ),
        pytest.param(
            {"kind": "vllm", "model": "m", "engine": {"dtype": "float32"}},
            "engine cannot be set for vllm, which starts no engine",
            id="engine",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(table: dict[str, Any], words: str) -> None:
    """A server's settings, and an engine's."""
    with pytest.raises(InputError) as raised:
        load_settings({"backends": {"tiny": table}}, file=Path("llmtriage.toml"))
    assert words in str(raised.value)
    assert str(raised.value).startswith("llmtriage.toml: backends.tiny: ")


def test_a_url_behind_the_name_is_refused(shop: Taxonomy) -> None:
    """And no name at all, and a mistyped kind."""
    with pytest.raises(InputError, match=r"which asks no server; write vllm-offline:MODEL$"):
        made("vllm-offline:m@http://localhost:8000/v1", shop)
    with pytest.raises(InputError, match="names no model"):
        made("vllm-offline:", shop)
    with pytest.raises(UnknownNameError, match="did you mean 'vllm-offline'"):
        made("vllm-ofline:m", shop)


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0.001)
