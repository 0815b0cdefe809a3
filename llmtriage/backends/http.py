"""The `openai` client as this library uses it: no retries of its own, nothing sent that was not meant for the host, bounded replies."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import openai

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
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
        http_client=http_client or _bounded(endpoint),
    )
    if not is_openai(endpoint.url):
        # The client reads these from OPENAI_* variables; they are for OpenAI alone.
        client.organization = client.project = None
        client._custom_headers = dict(endpoint.headers)  # noqa: SLF001 - there is no public way to leave OPENAI_CUSTOM_HEADERS out
    return client


def _bounded(endpoint: Endpoint) -> httpx2.AsyncClient:
    return openai.DefaultAsyncHttpxClient(
        timeout=_timeout(endpoint),
        headers={"Accept-Encoding": "identity"},
        proxy=endpoint.proxy,
        verify=_trusted(endpoint.ca_file) if endpoint.ca_file else True,
        event_hooks={"response": [_bound]},
    )


def _timeout(endpoint: Endpoint) -> httpx2.Timeout:
    return httpx2.Timeout(endpoint.timeout, connect=endpoint.patience.connect_timeout)


def _trusted(ca_file: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        remedy = "name a PEM file that holds the certificates"
        raise InputError(f"cannot be used as certificates ({type(error).__name__})", file=ca_file, remedy=remedy) from None
    return context


async def _bound(response: httpx2.Response) -> None:
    compressed = response.headers.get("content-encoding", "identity") != "identity"
    most = _MOST_COMPRESSED if compressed else MOST_BYTES
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, most)


class _Bounded(httpx2.AsyncByteStream):
    """A stream that is given up when it becomes too long."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self._stream, self._left = stream, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise ReplyTooLongError
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
