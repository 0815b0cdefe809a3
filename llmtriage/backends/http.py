"""The `openai` client as this library uses it: no retries of its own, nothing sent that was not meant for the host, bounded replies."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2
import openai

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from llmtriage.backends.transport import Endpoint

MOST_BYTES = 2**20
_MOST_COMPRESSED = MOST_BYTES // 16  # nobody was asked to compress; what is small still grows a thousandfold
_OPENAI_HOST = "api.openai.com"


class ReplyTooLongError(Exception):
    """A reply is larger than any answer; the rest of it was not read."""


def is_openai(url: str) -> bool:
    """Whether `url` is on OpenAI's own host, by its name and not by what the URL holds."""
    return urlsplit(url).hostname == _OPENAI_HOST


def client_of(endpoint: Endpoint, http_client: Any = None) -> openai.AsyncOpenAI:
    """A client for `endpoint`; `http_client` replaces the HTTP client below it."""
    client = openai.AsyncOpenAI(
        base_url=endpoint.url,
        api_key=endpoint.key.get_secret_value() if endpoint.key else "none",
        admin_api_key="",
        max_retries=0,
        timeout=_timeout(endpoint),  # what the HTTP client below says counts for nothing: this is sent with each request
        default_headers=dict(endpoint.headers),
        http_client=http_client or _http_client(endpoint),
    )
    if not is_openai(endpoint.url):
        # The client reads these from OPENAI_* variables; they are for OpenAI alone.
        client.organization = client.project = None
        client._custom_headers = dict(endpoint.headers)  # noqa: SLF001 - there is no public way to leave OPENAI_CUSTOM_HEADERS out
    return client


def _timeout(endpoint: Endpoint) -> httpx2.Timeout:
    return httpx2.Timeout(endpoint.timeout, connect=endpoint.patience.connect_timeout)


def _http_client(endpoint: Endpoint) -> httpx2.AsyncClient:
    options: dict[str, Any] = {
        "headers": {"Accept-Encoding": "identity"},
    }
    context = _trusted(endpoint.ca_file)
    if endpoint.proxy or getproxies():
        hooks = {"response": [_bound]}
        return openai.DefaultAsyncHttpxClient(proxy=endpoint.proxy, verify=context, event_hooks=hooks, **options)
    return openai.DefaultAsyncHttpxClient(transport=_Connections(context), **options)


class _Connections(httpx2.AsyncBaseTransport):
    """One connection for each request in flight, taken from a stack.

    A pool looks at every idle connection for each request and each answer; with 64 in flight that was a third of all we spend.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._all: list[httpx2.AsyncHTTPTransport] = []
        self._free: list[httpx2.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        connection = self._free.pop() if self._free else self._new()
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            self._free.append(connection)
            raise
        await _bound(response, lambda: self._free.append(connection))
        return response

    async def aclose(self) -> None:
        for connection in self._all:
            await connection.aclose()

    def _new(self) -> httpx2.AsyncHTTPTransport:
        self._all.append(httpx2.AsyncHTTPTransport(verify=self._context))
        return self._all[-1]


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    context = httpx2.create_ssl_context()
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        remedy = "name a PEM file that holds the certificates"
        raise InputError(f"cannot be used as certificates ({type(error).__name__})", file=ca_file, remedy=remedy) from None
    return context


async def _bound(response: httpx2.Response, closed: Callable[[], None] | None = None) -> None:
    """Let no more of a reply be read than an answer can have; say when it is closed."""
    encoding = response.headers.get("content-encoding", "identity")
    most = MOST_BYTES if encoding == "identity" else _MOST_COMPRESSED if "," not in encoding else 0
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, most, closed)


class _Bounded(httpx2.AsyncByteStream):
    """A stream that is given up when it becomes too long, and says once when it is closed."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int, closed: Callable[[], None] | None) -> None:
        self._stream, self._left, self._closed = stream, most, closed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise ReplyTooLongError
            yield chunk

    async def aclose(self) -> None:
        closed, self._closed = self._closed, None
        try:
            await self._stream.aclose()
        finally:
            if closed:
                closed()
