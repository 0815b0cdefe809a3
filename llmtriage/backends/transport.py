"""The one HTTP client under every engine that speaks to a server, and the only place that retries."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import openai

from llmtriage.backends.attempts import Attempts
from llmtriage.backends.budget import Tokens
from llmtriage.backends.faults import Fault, fault_of, of_body, unreadable
from llmtriage.backends.fields import mapping, usage_of
from llmtriage.backends.http import ReplyTooLongError, client_of, is_openai
from llmtriage.backends.in_flight import in_flight
from llmtriage.backends.pacing import Pace, RealClock, Slots
from llmtriage.backends.replies import BROKEN_OFF
from llmtriage.backends.sharing import Shared, key_of
from llmtriage.errors import BackendError, BackendRefusedError, UnknownModelError, nearest
from llmtriage.predictions import Failure, Usage
from llmtriage.prompting import estimated_tokens
from llmtriage.settings import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping
    from pathlib import Path

    from pydantic import SecretStr

    from llmtriage.backends.budget import Budget
    from llmtriage.backends.pacing import Clock, Waiting
    from llmtriage.backends.reply_cache import ReplyCache
    from llmtriage.settings import Price

Q = TypeVar("Q")
R = TypeVar("R")

_ANSWER_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests go and how patient they are.

    Attributes:
        name: The engine's name, for messages.
        url: The base URL, with its path (".../v1").
        key: Sent as bearer token; None: the server needs none.
        key_hint: What to set when the server refuses the key.
        headers: Extra headers.
        proxy: URL of an HTTP proxy; None: what the environment says.
        ca_file: Certificates to trust besides those of the system.
        attempts: The most requests for one ticket.
        timeout: Seconds for one attempt, by the clock on the wall.
        concurrency: The most requests in flight in an event loop, however many callers there are.
        patience: All other numbers.
    """

    name: str
    url: str
    key: SecretStr | None = field(default=None, repr=False)
    key_hint: str = "LLMTRIAGE_API_KEY"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    attempts: int = 3
    timeout: float = 60.0
    concurrency: int = 64
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The JSON body of an answer and what it took to get it.

    Attributes:
        body: Parsed.
        attempts: Requests sent; 0: it was known already.
        seconds: Wall-clock time, waits included.
        waited: Seconds of it spent waiting.
        key: Under which it may be remembered; None: it is, or nothing is.
    """

    body: Any = field(repr=False)
    attempts: int
    seconds: float
    waited: float = 0.0
    key: bytes | None = None


@dataclass(slots=True)
class _Session:
    """What belongs to one event loop."""

    slots: Slots
    purse: asyncio.Lock = field(default_factory=asyncio.Lock)
    client: openai.AsyncOpenAI | None = None


@dataclass(slots=True)
class _Spent:
    """What a request took: as the server told, or, where it may have read the prompt and told nothing, unknown."""

    told: Tokens | None = None
    unknown: bool = False


class Request(NamedTuple):
    """What is sent: where to, whom it asks, the JSON, the longest answer it allows, the fields it can do without, its beginning."""

    path: str
    model: str
    content: bytes
    most: int
    naming: Collection[str]
    beginning: Hashable

    @classmethod
    def of(cls, path: str, body: Mapping[str, Any], naming: Collection[str] = (), beginning: Hashable = None) -> Request:
        """The request that posts `body` to `path`."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        most = next((body[name] for name in _ANSWER_FIELDS if isinstance(body.get(name), int)), 0)
        return cls(path, str(body.get("model")), content, most, naming, beginning)


class _Reserved(NamedTuple):
    """What is set aside for a request, and our count of its tokens."""

    tokens: Tokens
    estimate: int


class Transport:
    """Posts JSON to one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        http_client: Any = None,
        clock: Clock | None = None,
        budget: Budget | None = None,
        price: Price | None = None,
        cache: ReplyCache | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            endpoint: Where to.
            http_client: An async client of `httpx` or `httpx2` to use instead of the package's own, for tests.
            clock: What waits between attempts; None: the machine's own.
            budget: What may be spent; None: no limit. It may be shared with other engines.
            price: What the model costs, if money is limited.
            cache: Replies of earlier runs; None: none.
        """
        self.endpoint = endpoint
        self.cache = cache
        self.pace = Pace(endpoint.patience, endpoint.concurrency, clock or RealClock())
        self.budget = budget
        self._price = price
        self._ratio = 1.0  # of the server's tokens to our estimate, the largest seen
        self._http_client = http_client
        # Connections belong to an event loop, and one engine may be asked from several: sync calls have a loop of their own.
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        online: bool = False,
        until: float | None = None,
        shared: Shared[Reply | Failure] | None = None,
        fresh: bool = False,
        naming: Collection[str] = (),
        beginning: Hashable = None,
    ) -> Reply | Failure:
        """Post `body` to `path`; try again where that can help.

        Args:
            path: Below the base URL.
            body: The request.
            online: Somebody waits for this one ticket.
            until: The end of their patience, by the clock of `pace`; None: it begins now.
            shared: Answers of the same batch: what stands there is not asked for again.
            fresh: Ask the server even if the same request was answered before: for samples and measurements.
            naming: Fields that the caller can do without; an error message that names one refuses it.
            beginning: Equal for requests that begin with the same long text; they are sent one after the other where many wait.

        Raises:
            RefusedFieldError: The server does not take a field of the request.
            StoppedError: The budget or the account is spent, or the server stayed away; going on later can help.
            BackendError: The server as a whole cannot work (no connection, wrong key, unknown model).
        """
        if self.endpoint.key is None and is_openai(self.endpoint.url):
            raise BackendRefusedError("no key is set", remedy=f"set {self.endpoint.key_hint}", backend=self.endpoint.name)
        if online and until is None:
            await self.ready()
        request = Request.of(path, body, naming, beginning)
        ask = partial(self._asked, request, Attempts(self.endpoint, self.pace, online=online, until=until))
        key = self._key(request)
        if fresh:
            return _keyed(key, await ask())
        if self.cache is not None and (known := self.cache.get(key)) is not None:
            return Reply(body=known, attempts=0, seconds=0.0)
        if shared is None:
            return _keyed(key, await ask())
        answer, first = await shared.of(key, ask)
        return _keyed(key, answer) if first else _free(answer)

    def each(
        self, one: Callable[..., Awaitable[R]], questions: AsyncIterable[Q], *, online: bool, ahead: int = 1
    ) -> AsyncIterator[R | Failure]:
        """`one(question, online=, until=, shared=)` for each question, in their order; the options are those of `post`.

        A batch shares its answers. Where somebody waits, all that is done for a question must end by one moment.

        Args:
            one: What is done for a question.
            questions: Any number of them.
            online: Somebody waits.
            ahead: So many times the requests in flight are begun, that those with the same beginning can be sent together.
        """
        shared: Shared[Reply | Failure] | None = None if online else Shared(keep=lambda answer: isinstance(answer, Reply))
        patience = self.endpoint.patience.online

        async def in_time(question: Q) -> R | Failure:
            if not online:
                return await one(question, online=False, until=None, shared=shared)
            await self.ready()
            try:
                async with asyncio.timeout(patience):
                    return await one(question, online=True, until=self.pace.clock.now() + patience, shared=None)
            except TimeoutError:
                return Failure(reason="timeout", detail=f"no answer within {patience:g} s")

        return in_flight(in_time, questions, ahead * self.endpoint.concurrency)

    async def ready(self) -> None:
        """Come back when somebody's patience may begin; a server is there or not."""

    async def get(self, path: str) -> Reply | Failure:
        """What the server says at `path`, asked once; a path that begins with a scheme is a whole URL. Raises as `post` does."""
        began = self.pace.clock.now()
        limit = min(self.endpoint.timeout, self.endpoint.patience.online)
        try:
            async with asyncio.timeout(limit):
                text = await self._client().get(path, cast_to=str, options=_OPTIONS)
            body = _parsed(text)
            _refuse_faults(body, self.endpoint)
        except (openai.OpenAIError, TimeoutError, ReplyTooLongError) as error:
            return _unanswered(fault_of(error, self.endpoint, limit=limit))
        except Fault as fault:
            return _unanswered(fault)
        return Reply(body=body, attempts=1, seconds=self.pace.clock.now() - began)

    def is_known(self, path: str, body: Mapping[str, Any]) -> bool:
        """Whether the reply cache has the answer to a request."""
        return self.cache is not None and self.cache.get(self._key(Request.of(path, body))) is not None

    def remember(self, reply: Reply) -> None:
        """Keep a reply that could be read; what could not be read is asked for again another time."""
        if self.cache is not None and reply.key is not None:
            self.cache.put(reply.key, reply.body)

    def waiting(self) -> Waiting | None:
        """What keeps every request back now, for a line of progress."""
        return self.pace.waiting()

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None and session.client is not None and self._http_client is None:
            await session.client.close()
        if self.cache is not None:
            self.cache.close()

    # -- asking --------------------------------------------------------------------------------

    async def _asked(self, request: Request, attempts: Attempts) -> Reply | Failure:
        try:
            async with attempts.deadline():
                async for attempt in attempts.retrying():
                    with attempt:
                        body = await self._once(request, attempts)
                        return Reply(body=body, attempts=attempts.sent, seconds=attempts.seconds, waited=attempts.waited)
        except Fault as fault:
            if fault.gone is not None and not self.pace.answered:
                raise fault.gone from None
            return attempts.failure(fault)
        except UnknownModelError as error:
            raise await self._with_names(error, request.model) from None
        except TimeoutError:
            return attempts.failure(attempts.last or Fault("timeout", f"no answer within {self.endpoint.patience.online:g} s"))
        raise AssertionError  # tenacity either returns or raises

    async def _with_names(self, error: UnknownModelError, model: str) -> UnknownModelError:
        """The same error with the models that the server has, where it tells."""
        try:
            listed = await self.get("/models")
        except BackendError:
            return error
        names = _names(listed.body) if isinstance(listed, Reply) else []
        remedy = nearest(model, names) if names else error.remedy
        return UnknownModelError(error.problem, remedy=remedy, backend=error.backend)

    async def _once(self, request: Request, attempts: Attempts) -> Any:
        """One request: money, the door, a slot, and it goes. Raises `Fault`."""
        reserved = await self._reserved(request)
        spent = _Spent()
        try:
            while True:
                await attempts.door()
                queued = self.pace.clock.now()
                async with self._session().slots.taken(request.beginning):
                    verdict = attempts.enters(self.pace.clock.now() - queued)
                    if verdict != "no":
                        return await self._exchanged(request, attempts, spent, trial=verdict == "trial")
        finally:
            self._settle(reserved, spent)

    async def _exchanged(self, request: Request, attempts: Attempts, spent: _Spent, *, trial: bool) -> Any:
        sent = self.pace.clock.now()
        try:
            body = await self._sent(request, attempts.limit())
            spent.told = _used(body)
            spent.unknown = spent.told is None
            _refuse_faults(body, self.endpoint)
        except Fault as fault:
            if fault.gateway and self.pace.answered:
                fault = Fault("refused", "a gateway refused the text (403)")
            # What was sent may have been read, and may be billed, where no answer came.
            spent.unknown = spent.unknown or fault.reason == "timeout" or (fault.gone is not None and not fault.unsent)
            attempts.failed(fault, sent, trial=trial)
            raise fault.error or fault from None
        except BaseException:
            self.pace.breaker.undecided(trial=trial)
            raise
        self.pace.success(self.pace.clock.now() - sent)
        return body

    def _settle(self, reserved: _Reserved | None, spent: _Spent) -> None:
        if self.budget is None or reserved is None:
            return
        used = spent.told or (Tokens(reserved.tokens.prompt, 0) if spent.unknown else Tokens(0, 0))
        self.budget.settle(reserved.tokens, used, price=self._price)
        self._ratio = max(self._ratio, used.prompt / max(reserved.estimate, 1))

    async def _sent(self, request: Request, limit: float) -> dict[str, Any]:
        """The JSON object that comes back within `limit` seconds. Raises `Fault`."""
        try:
            async with asyncio.timeout(limit):
                # The typed methods of the client walk through the whole request; a plain post with a text answer does not.
                text = await self._client().post(request.path, content=request.content, cast_to=str, options=_OPTIONS)
        except (openai.OpenAIError, TimeoutError, ReplyTooLongError) as error:
            raise fault_of(error, self.endpoint, limit=limit, naming=request.naming) from None
        return _parsed(text)

    async def _reserved(self, request: Request) -> _Reserved | None:
        if self.budget is None or request.path.startswith("http"):  # routes beside the API cost nothing
            return None
        estimate = estimated_tokens(request.content.decode())
        tokens = Tokens(round(self._ratio * estimate), request.most)
        async with self._session().purse:  # in their order: else a later ticket takes what an earlier one waits for
            while not self.budget.reserve(tokens, price=self._price):
                await self.pace.clock.sleep(0.05)
        return _Reserved(tokens, estimate)

    def _key(self, request: Request) -> bytes:
        return key_of(self.endpoint.url, request.path, request.content, self.endpoint.headers)

    def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            self._sessions = {known: kept for known, kept in self._sessions.items() if not known.is_closed()}
            self._sessions[loop] = _Session(Slots(self.pace.concurrency))
        return self._sessions[loop]

    def _client(self) -> openai.AsyncOpenAI:
        session = self._session()
        if session.client is None:
            session.client = client_of(self.endpoint, self._http_client)
        return session.client


_OPTIONS: Any = {"follow_redirects": False, "headers": {"Content-Type": "application/json"}}


def _parsed(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise unreadable("the server's answer is not JSON") from None
    if not isinstance(body, dict):
        raise unreadable("the server's answer is not a JSON object")
    return body


def _refuse_faults(body: Mapping[str, Any], endpoint: Endpoint) -> None:
    """An error object in a 200 counts as what it says, and so does an answer that the server broke off."""
    error, choices = body.get("error"), body.get("choices")
    if isinstance(error, dict) and not choices:
        status = error.get("code")
        raise of_body(status if isinstance(status, int) else 500, error, endpoint)
    first = choices[0] if isinstance(choices, list) and choices else None
    finish = str(first.get("finish_reason")).lower() if isinstance(first, dict) else ""
    if finish in BROKEN_OFF:
        raise Fault("backend_unavailable", f"the server broke off ({finish})", retryable=True, outage=True)


def _names(models: object) -> list[str]:
    """The names of a list of models."""
    data = mapping(models).get("data")
    entries = data if isinstance(data, list) else []
    return [name for entry in entries if isinstance(name := mapping(entry).get("id"), str) and name]


def _used(body: Mapping[str, Any]) -> Tokens | None:
    """What the server says it used; None where it says nothing."""
    usage = usage_of(body.get("usage"))
    prompt = usage.prompt_tokens
    return Tokens(prompt, usage.output_tokens or 0, min(prompt, usage.cached_tokens or 0)) if prompt else None


def _unanswered(fault: Fault) -> Failure:
    if fault.error or fault.gone:
        raise (fault.error or fault.gone) from None  # type: ignore[misc]
    return Failure(reason=fault.reason, detail=fault.detail)


def _keyed(key: bytes, answer: Reply | Failure) -> Reply | Failure:
    return replace(answer, key=key) if isinstance(answer, Reply) else answer


def _free(answer: Reply | Failure) -> Reply | Failure:
    """An answer that another request with the same body paid for."""
    if isinstance(answer, Reply):
        return replace(answer, attempts=0, waited=0.0)
    return replace(answer, usage=Usage(attempts=0))
