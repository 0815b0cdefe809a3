"""Tells other systems what was decided: at least once, signed, and again later where it does not arrive."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from llmtriage import __version__
from llmtriage.backends.stated_wait import stated_wait
from llmtriage.errors import InputError, StoreError
from llmtriage.service.hooks.addresses import ForbiddenAddressError, is_public, resolved
from llmtriage.service.hooks.signing import Standard
from llmtriage.store import outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llmtriage.service.serving import Service
    from llmtriage.settings import CallbackSettings
    from llmtriage.store.outbox import Delivery

    _Failed = dict[int, tuple[int | None, float | None]]
    _PutOff = dict[int, tuple[int | None, float]]

WAITS = (5, 30, 120, 600, 3600, 6 * 3600, 86_400, 86_400, 86_400)
"""Seconds before each further attempt; after the last one it is given up."""
TIMEOUT = 10.0
"""Seconds for one attempt, by the clock on the wall."""
LONGEST = 86_400.0
"""Seconds that a receiver may ask to be left alone."""
LOOK = 1.0
"""Seconds between two looks at what is to be told."""

_JITTER = 0.2  # a wait is so much longer or shorter, so that not all come back at once
_TOGETHER = 16  # in flight to one receiver
_MOST_BYTES = 65_536  # read of an answer, so that the connection can be used again
_READ_SECONDS = 2.0
_GONE = 410
_BUSY = (429, 503)
_FORGET = 3600.0  # seconds between two looks for what arrived long ago
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds, while the store is away

_log = logging.getLogger("llmtriage.service")


@dataclass(frozen=True, slots=True)
class Callback:
    """Somebody who is told.

    Attributes:
        name: In the settings.
        settings: Where to, and what.
        signed: Signs.
    """

    name: str
    settings: CallbackSettings
    signed: Standard


@dataclass(frozen=True, slots=True)
class _Became:
    """What an attempt led to: the status of the answer if there was one; how long the receiver asks to be left alone, in seconds."""

    status: int | None
    why: str
    wait: float = 0.0

    @property
    def has_arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def callbacks_of(settings: Mapping[str, CallbackSettings]) -> list[Callback]:
    """The callbacks. Raises InputError where a secret is missing, or an address may not be called."""
    return [_callback(name, one) for name, one in settings.items()]


def _callback(name: str, settings: CallbackSettings) -> Callback:
    place = f"callbacks.{name}.url"
    try:
        url = httpx2.URL(settings.url)
    except httpx2.InvalidURL:
        raise InputError("no address", field=place, remedy="write it like https://crm.example/llmtriage") from None
    if not url.host or url.userinfo:
        raise InputError("no address", field=place, remedy="write it like https://crm.example/llmtriage, without a password")
    with suppress(ValueError):  # a name: it is looked up each time
        if not settings.private and not is_public(str(ipaddress.ip_address(url.host))):
            raise InputError("this address is a private one", field=place, remedy="add private = true if it is meant")
    signed = Standard(os.environ.get(settings.secret_env, ""), variable=settings.secret_env)
    return Callback(name, settings, signed)


class Telling:
    """Tells one receiver. Several processes may share the work."""

    def __init__(self, service: Service, callback: Callback, count: Callable[[str, str], None]) -> None:
        """Tell nothing yet.

        Args:
            service: What is told of.
            callback: Who is told.
            count: Is given the callback's name and "arrived", "failed" or "given_up" after each attempt.
        """
        self._service, self._store, self._callback, self._count = service, service.store, callback, count
        self._stopping = asyncio.Event()
        self._forget_at = 0.0
        self._alone_until = 0.0  # as the receiver asked

    def stop(self) -> None:
        """Let `run` end with what is in flight."""
        self._stopping.set()

    async def run(self) -> None:
        """Tell until told to stop."""
        wait = _FIRST_WAIT
        known = False
        client = httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=False, trust_env=False, headers=_HEADERS)
        async with client:
            while not self._stopping.is_set():
                try:
                    if not known:
                        await asyncio.to_thread(outbox.follow, self._store, self._callback.name)
                        known = True
                    is_busy = await self._round(client)
                    wait = _FIRST_WAIT
                except StoreError as error:
                    _log.warning("callback %s waits: %s", self._callback.name, error.problem)
                    await self._rest(wait)
                    wait = min(2 * wait, _LONGEST_WAIT)
                else:
                    if not is_busy:
                        await self._rest(LOOK)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _round(self, client: httpx2.AsyncClient) -> bool:
        """Note what is new and send what is due. Whether there was something."""
        name, settings = self._callback.name, self._callback.settings
        new = await asyncio.to_thread(outbox.fill, self._store, name, settings.events, self._team)
        due = [] if time.monotonic() < self._alone_until else await asyncio.to_thread(outbox.take, self._store, name, _TOGETHER)
        became = await asyncio.gather(*(self._send(client, one) for one in due))
        arrived = {one.id: end.status for one, end in zip(due, became, strict=True) if end.has_arrived and end.status}
        failed, put_off = self._in_vain([(one, end) for one, end in zip(due, became, strict=True) if not end.has_arrived])
        await asyncio.to_thread(outbox.arrived, self._store, arrived)
        await asyncio.to_thread(outbox.failed, self._store, failed)
        await asyncio.to_thread(outbox.put_off, self._store, put_off)
        if time.monotonic() > self._forget_at:
            await asyncio.to_thread(outbox.forget, self._store)
            self._forget_at = time.monotonic() + _FORGET
        return new or bool(due)

    def _in_vain(self, attempts: Sequence[tuple[Delivery, _Became]]) -> tuple[_Failed, _PutOff]:
        """What failed, and what the receiver asked to get later: it is left alone as a whole until then."""
        asked = [(one, end) for one, end in attempts if end.wait]
        for one, end in asked:
            _log.warning("callback %s: %s is asked for later: %s", self._callback.name, one.message, end.why)
            self._alone_until = max(self._alone_until, time.monotonic() + end.wait)
        put_off = {one.id: (end.status, max(_usual_wait(one), end.wait)) for one, end in asked}
        return {one.id: (end.status, self._wait(one, end)) for one, end in attempts if not end.wait}, put_off

    def _wait(self, delivery: Delivery, became: _Became) -> float | None:
        """Seconds until the next attempt; None: there is none."""
        name, tried = self._callback.name, delivery.attempts + 1
        if became.status == _GONE or tried > len(WAITS):
            _log.error("callback %s: %s given up after %d attempts: %s", name, delivery.message, tried, became.why)
            self._count(name, "given_up")
            return None
        _log.warning("callback %s: %s did not arrive: %s", name, delivery.message, became.why)
        return _usual_wait(delivery)

    async def _send(self, client: httpx2.AsyncClient, delivery: Delivery) -> _Became:
        try:
            async with asyncio.timeout(TIMEOUT):
                became = await self._attempt(client, delivery)
        except TimeoutError:
            became = _Became(None, "no answer in time")
        except ForbiddenAddressError:
            became = _Became(None, "its name leads to a private address; private = true allows it")
        except (OSError, httpx2.HTTPError, httpx2.StreamError) as error:
            became = _Became(None, type(error).__name__)
        self._count(self._callback.name, "arrived" if became.has_arrived else "failed")
        return became

    async def _attempt(self, client: httpx2.AsyncClient, delivery: Delivery) -> _Became:
        """One attempt, at an address that was looked up and checked for it alone; the certificate must still be of the name."""
        url = httpx2.URL(self._callback.settings.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        host = url.raw_host.decode("ascii")
        address = await resolved(host, port, private=self._callback.settings.private)
        body = json.dumps(delivery.body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"host": url.netloc.decode("ascii"), **self._callback.signed.sign(delivery.message, body, time.time())}
        request = client.build_request(
            "POST", url.copy_with(host=address), content=body, headers=headers, extensions={"sni_hostname": host}
        )
        response = await client.send(request, stream=True)
        try:
            await _drain(response)
        finally:
            await response.aclose()
        asked = stated_wait(response.headers) if response.status_code in _BUSY else None
        return _Became(response.status_code, f"status {response.status_code}", min(asked or 0.0, LONGEST))

    def _team(self, category: str) -> str | None:
        taxonomy = self._service.taxonomy
        leaf = taxonomy.carried(category)
        return None if leaf is None else taxonomy.team(leaf)


def _usual_wait(delivery: Delivery) -> float:
    """Seconds until the next attempt, if this one fails."""
    wait = WAITS[min(delivery.attempts, len(WAITS) - 1)]
    return wait * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret


_HEADERS = {"content-type": "application/json", "user-agent": f"llmtriage/{__version__}", "accept-encoding": "identity"}


async def _drain(response: httpx2.Response) -> None:
    """Read a short answer to its end. What is in it does not matter, nor whether it comes: the status has."""
    read = 0
    with suppress(TimeoutError, httpx2.HTTPError, httpx2.StreamError):
        async with asyncio.timeout(_READ_SECONDS):
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > _MOST_BYTES:
                    return
