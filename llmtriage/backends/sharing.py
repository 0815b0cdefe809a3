"""The same request twice is sent once: what is in flight is waited for, and what came lately is remembered."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

R = TypeVar("R")

_REMEMBERED = 4096  # answers; each is a few hundred bytes, and at most what the transport reads


_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"})


def key_of(url: str, path: str, content: bytes, headers: Mapping[str, str]) -> bytes:
    """What a request is known by: the SHA-256 of all that is sent, without what says who asks.

    Args:
        url: The base URL.
        path: Below it.
        content: The body as it is sent.
        headers: Extra headers; the case of their names does not count. Those that carry keys are left out.
    """
    sent = sorted((name.lower(), value) for name, value in headers.items() if name.lower() not in _SECRET_HEADERS)
    place = json.dumps([url, path, sent], ensure_ascii=True)
    return hashlib.sha256(place.encode() + b"\0" + content).digest()


class Shared(Generic[R]):
    """Answers by request, of one batch. The last few thousand are remembered."""

    def __init__(self, *, keep: Callable[[R], bool] = lambda _: True) -> None:
        """Nothing is known.

        Args:
            keep: Whether an answer is worth remembering.
        """
        self._keep = keep
        self._answers: OrderedDict[bytes, asyncio.Future[R]] = OrderedDict()

    async def of(self, key: bytes, ask: Callable[[], Awaitable[R]]) -> tuple[R, bool]:
        """The answer to the request that `key` stands for, and whether it was asked for just now."""
        while (known := self._answers.get(key)) is not None:
            try:
                return await asyncio.shield(known), False
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not known.cancelled() or (task is not None and task.cancelling()):
                    raise  # it is the waiter that is cancelled, perhaps together with the one who asks
        return await self._first(key, ask), True

    async def _first(self, key: bytes, ask: Callable[[], Awaitable[R]]) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._answers[key] = future
        while len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        try:
            answer = await ask()
        except asyncio.CancelledError:
            self._answers.pop(key, None)
            future.cancel()
            raise
        except BaseException as error:
            self._answers.pop(key, None)
            future.set_exception(error)
            future.exception()  # looked at, so that the loop does not warn when nobody waits for it
            raise
        future.set_result(answer)
        if not self._keep(answer):
            self._answers.pop(key, None)
        return answer
