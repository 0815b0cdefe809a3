"""The one HTTP client under every engine that speaks to a server, and the only place that retries."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import openai
import tenacity

from llmtriage.backends.faults import Fault, fault_of, of_body, unreadable
from llmtriage.errors import BackendRefusedError
from llmtriage.predictions import Failure, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from pydantic import SecretStr

_OPENAI_HOST = "api.openai.com"
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests go and how patient they are.

    Attributes:
        name: The engine's name, for messages.
        url: The base URL, with its path (".../v1").
        key: Sent as bearer token; None: the server needs none.
        key_hint: What to set when the server refuses the key.
        headers: Extra headers.
        attempts: The most requests for one ticket.
        timeout: Seconds for one attempt, by the clock on the wall.
        concurrency: Requests in flight, however many callers there are.
    """

    name: str
    url: str
    key: SecretStr | None = field(default=None, repr=False)
    key_hint: str = "LLMTRIAGE_API_KEY"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    attempts: int = 3
    timeout: float = 60.0
    concurrency: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The JSON body of an answer and what it took to get it."""

    body: Any = field(repr=False)
    attempts: int
    seconds: float


class _Session(NamedTuple):
    """What belongs to one event loop."""

    client: openai.AsyncOpenAI
    slots: asyncio.Semaphore


class Transport:
    """Posts JSON to one endpoint."""

    def __init__(
        self, endpoint: Endpoint, *, http_client: Any = None, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Nothing is opened yet.

        Args:
            endpoint: Where to.
            http_client: An async client of `httpx` or `httpx2` to use instead of the package's own, for tests and proxies.
            sleep: How to wait between attempts.
        """
        self.endpoint = endpoint
        self._sleep = sleep
        self._http_client = http_client
        # Connections belong to an event loop, and one engine may be asked from several: sync calls have a loop of their own.
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}

    async def post(self, path: str, body: Mapping[str, Any], *, online: bool = False, fresh: bool = False) -> Reply | Failure:  # noqa: ARG002
        """Post `body` to `path`; try again where that can help.

        Args:
            path: Below the base URL.
            body: The request.
            online: Somebody waits for this one ticket.
            fresh: Ask the server even if the same request was answered before: for samples and measurements.

        Raises:
            BackendError: The server as a whole cannot work (no connection, wrong key, unknown model or field).
        """
        if self.endpoint.key is None and is_openai(self.endpoint.url):
            raise BackendRefusedError("no key is set", remedy=f"set {self.endpoint.key_hint}", backend=self.endpoint.name)
        start = time.monotonic()
        attempts = 0
        try:
            async for attempt in self._retrying():
                with attempt:
                    attempts = attempt.retry_state.attempt_number
                    text = await self._once(path, body)
                    return Reply(body=self._read(text), attempts=attempts, seconds=time.monotonic() - start)
        except Fault as fault:
            if fault.error is not None:
                raise fault.error from None
            usage = Usage(attempts=attempts)
            return Failure(reason=fault.reason, detail=fault.detail, usage=usage, seconds=time.monotonic() - start)
        raise AssertionError  # tenacity either returns or raises

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None and self._http_client is None:
            await session.client.close()

    def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            self._sessions = {known: kept for known, kept in self._sessions.items() if not known.is_closed()}
            slots = asyncio.Semaphore(self.endpoint.concurrency)
            self._sessions[loop] = _Session(_client(self.endpoint, self._http_client), slots)
        return self._sessions[loop]

    def _retrying(self) -> tenacity.AsyncRetrying:
        return tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.endpoint.attempts),
            wait=_wait,
            sleep=self._sleep,
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Fault) and error.retryable),
            reraise=True,
        )

    def _read(self, text: str) -> Any:
        """The JSON of an answer; an error object in a 200 counts as what it says."""
        body = _parsed(text)
        if isinstance(body, dict) and isinstance(body.get("error"), dict) and not body.get("choices"):
            status = body["error"].get("code")
            raise of_body(status if isinstance(status, int) else 500, body["error"], self.endpoint)
        return body

    async def _once(self, path: str, body: Mapping[str, Any]) -> str:
        session = self._session()
        try:
            async with session.slots, asyncio.timeout(self.endpoint.timeout):
                # The typed methods of the client walk through the whole request; a plain post with a text answer does not.
                return await session.client.post(path, body=dict(body), cast_to=str, options={"follow_redirects": False})
        except (openai.OpenAIError, TimeoutError) as error:
            raise fault_of(error, self.endpoint) from None


def is_openai(url: str) -> bool:
    """Whether `url` is on OpenAI's own host, by its name and not by what the URL holds."""
    return urlsplit(url).hostname == _OPENAI_HOST


def _wait(state: tenacity.RetryCallState) -> float:
    """What the server asked for, else full jitter: U(0, min(8 s, 0.5 s * 2^n))."""
    fault = state.outcome.exception() if state.outcome else None
    stated = fault.wait if isinstance(fault, Fault) else None
    if stated is not None:
        return stated * random.uniform(1.0, 1.1)  # noqa: S311 - so that not all come back at once
    return tenacity.wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)(state)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise unreadable("the server's answer is not JSON") from None


def _client(endpoint: Endpoint, http_client: Any) -> openai.AsyncOpenAI:
    client = openai.AsyncOpenAI(
        base_url=endpoint.url,
        api_key=endpoint.key.get_secret_value() if endpoint.key else "none",
        admin_api_key="",
        max_retries=0,
        timeout=endpoint.timeout,
        default_headers=dict(endpoint.headers),
        http_client=http_client,
    )
    if not is_openai(endpoint.url):
        # The client reads these from OPENAI_* variables; they are for OpenAI alone.
        client.organization = client.project = None
        client._custom_headers = dict(endpoint.headers)  # noqa: SLF001 - there is no public way to leave OPENAI_CUSTOM_HEADERS out
    return client
