"""vLLM in this process, for batches without HTTP: the same requests and replies as those of a server, answered by `vllm.LLM`."""

from __future__ import annotations

import asyncio
import json
import math
import queue
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmtriage.backends.faults import Fault, of_body
from llmtriage.backends.sharing import key_of
from llmtriage.backends.transport import Endpoint, Reply, Request, Transport
from llmtriage.backends.vllm_model import Model, is_of_one_request, load
from llmtriage.errors import BackendError, LlmtriageError, StoppedError, UnknownRouteError, short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llmtriage.predictions import Failure
    from llmtriage.settings import BackendSettings, Settings

_AT_ONCE = 256  # requests in flight where nothing else is said
_NO_ROOM = "maximum model length"  # vLLM's words for a prompt that fills the context to the last token; it names no field then


class OfflineTransport(Transport):
    """Asks an engine in this process; pace, budget, reply cache and sharing are those of every transport."""

    def __init__(self, endpoint: Endpoint, model: str, options: Mapping[str, Any], **others: Any) -> None:
        """Nothing is loaded yet: the first request does that.

        Args:
            endpoint: Its name, for messages, and how many requests may be in flight. Nothing is sent to its URL.
            model: A folder, or a name that vLLM knows where to find.
            options: Further arguments of `vllm.LLM`.
            others: `clock`, `budget`, `price` and `cache` of `Transport`.
        """
        super().__init__(endpoint, **others)
        self._model, self._options = model, dict(options)
        self._engine = Engine(partial(load, model, self._options, endpoint.name), endpoint.name)

    @classmethod
    def of(cls, name: str, backend: BackendSettings, settings: Settings, **others: Any) -> OfflineTransport:
        """A transport for the engine `name`; `others` are those of `Transport`."""
        given = settings.concurrency if "concurrency" in settings.model_fields_set else _AT_ONCE
        concurrency = backend.concurrency or given
        # All at once from the beginning: it works for nobody else, and queues by itself.
        patience = settings.patience_of(backend).model_copy(update={"start": concurrency, "slow": math.inf})
        url = f"{backend.kind}:{backend.model}"
        endpoint = Endpoint(name=name, url=url, attempts=settings.attempts, concurrency=concurrency, patience=patience)
        return cls(endpoint, backend.model, backend.engine, **others)

    async def ready(self) -> None:
        """Come back when the model is loaded: that takes longer than anybody's patience. Raises as `post` does."""
        await self._engine.call(lambda _: None)

    async def get(self, path: str) -> Reply | Failure:
        """What a server says at `/models` and `/version`. Raises as `post` does; UnknownRouteError for any other path."""
        began = self.pace.clock.now()
        found = _route(path)
        if found == "/models":
            body = await self._engine.call(Model.listed)
        elif found == "/version":
            body = await self._engine.call(Model.version)
        else:
            raise self._unknown(found)
        return Reply(body=body, attempts=1, seconds=self.pace.clock.now() - began)

    async def aclose(self) -> None:
        """Shut the engine down, for every event loop."""
        await super().aclose()
        await asyncio.to_thread(self._engine.close)

    async def _sent(self, request: Request, limit: float) -> dict[str, Any]:  # noqa: ARG002 - who waits has a deadline; a batch has time
        body, path = json.loads(request.content), _route(request.path)
        if body.get("model", self._model) != self._model:
            raise of_body(404, {"param": "model"}, self.endpoint)
        try:
            if path == "/chat/completions":
                return await self._engine.chat(body)
            if path == "/tokenize":
                tokens: dict[str, Any] = await self._engine.call(lambda model: model.tokens(body))
                return tokens
        except LlmtriageError:
            raise
        except Exception as error:  # noqa: BLE001 - what vLLM raised for this request
            raise self._fault(error, request) from None
        raise self._unknown(path)

    def _fault(self, error: Exception, request: Request) -> Fault:
        """What the server makes of the same error, so that both end alike."""
        said, field = str(error), getattr(error, "parameter", None)
        code = "context_length_exceeded" if field is None and _NO_ROOM in said else None
        status = 501 if isinstance(error, NotImplementedError) else 400
        return of_body(status, {"message": said, "param": field, "code": code}, self.endpoint, naming=request.naming)

    def _unknown(self, path: str) -> UnknownRouteError:
        return UnknownRouteError(f"an engine in this process has no {short(path)}", backend=self.endpoint.name)

    def _key(self, request: Request) -> bytes:
        return key_of(self.endpoint.url, request.path, request.content, {"engine": json.dumps(self._options, sort_keys=True)})


def _route(path: str) -> str:
    """What stands behind the host, if one is named, and the version of the API."""
    return urlsplit(path).path.removeprefix("/v1")


# -- the engine ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    """Something that is done at once; `answer` gets what `do` returns."""

    do: Callable[[Model], Any]
    answer: Future[Any] = field(default_factory=Future)


@dataclass(slots=True)
class _Chat:
    """A chat completion; `answer` gets the body of the reply."""

    body: Mapping[str, Any] = field(repr=False)
    answer: Future[Any] = field(default_factory=Future)


_Inbox = queue.SimpleQueue[_Call | _Chat | None]


class Engine:
    """A model on a thread of its own, which loads it, feeds it and shuts it down.

    A request joins those that run between two tokens of the model, so that none waits for the end of a batch.
    """

    def __init__(self, make: Callable[[], Model], name: str) -> None:
        """Nothing is loaded.

        Args:
            make: Loads the model; called on the thread.
            name: Of the backend, for messages.
        """
        self._make, self._name = make, name
        self._lock = threading.Lock()
        self._inbox = _Inbox()
        self._thread: threading.Thread | None = None
        self._broken: LlmtriageError | None = None

    async def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of the reply to a chat completion.

        Raises:
            LlmtriageError: The model cannot be loaded, or the engine stopped working.
            Exception: Whatever vLLM raises for this request.
        """
        work = _Chat(body)
        self._put(work)
        answer: dict[str, Any] = await asyncio.wrap_future(work.answer)
        return answer

    async def call(self, do: Callable[[Model], Any]) -> Any:
        """What `do` returns, called on the thread. Raises as `chat` does."""
        work = _Call(do)
        self._put(work)
        return await asyncio.wrap_future(work.answer)

    def close(self) -> None:
        """Shut down and wait for the end; what is not answered gets an error. Used again, it loads the model again."""
        with self._lock:
            thread, self._thread, self._broken = self._thread, None, None
            inbox, self._inbox = self._inbox, _Inbox()
        if thread is not None:
            inbox.put(None)
            thread.join()

    def _put(self, work: _Call | _Chat) -> None:
        with self._lock:
            if self._broken is not None:
                raise self._broken
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(self._inbox,), name="llmtriage-vllm", daemon=True)
                self._thread.start()
            self._inbox.put(work)

    # -- on the thread -------------------------------------------------------------------------

    def _run(self, inbox: _Inbox) -> None:
        running: dict[str, _Chat] = {}
        end: LlmtriageError = BackendError("the engine was closed", backend=self._name)
        model = None
        try:
            model = self._make()
            while _fed(model, inbox, running):
                _step(model, running)
        except LlmtriageError as error:
            end = error
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing more comes from this engine
            problem = f"the engine stopped working ({type(error).__name__})"
            end = StoppedError(problem, remedy="see what vLLM wrote above, then go on", backend=self._name)
        finally:
            self._end(inbox, running, end)
            if model is not None:
                model.close()

    def _end(self, inbox: _Inbox, running: dict[str, _Chat], error: LlmtriageError) -> None:
        with self._lock:
            if inbox is self._inbox:
                self._broken = error
            left: list[_Call | _Chat | None] = [*running.values()]
            while not inbox.empty():
                left.append(inbox.get())
        for work in left:
            if work is not None:
                _fail(work.answer, error)


def _fed(model: Model, inbox: _Inbox, running: dict[str, _Chat]) -> bool:
    """Take in what has come, and wait for it if nothing runs; False: that was all."""
    while not running or not inbox.empty():
        work = inbox.get()
        if work is None:
            return False
        if not work.answer.cancelled():
            try:
                _begin(model, work, running)
            except Exception:
                inbox.put(work)  # it ends with all others
                raise
    return True


def _begin(model: Model, work: _Call | _Chat, running: dict[str, _Chat]) -> None:
    try:
        if isinstance(work, _Call):
            _set(work.answer, work.do(model))
        else:
            running[model.begin(work.body)] = work
    except Exception as error:
        if not is_of_one_request(error):
            raise
        _fail(work.answer, error)


def _step(model: Model, running: dict[str, _Chat]) -> None:
    """One token for all that run; answers that are whole go out."""
    left = [request for request, work in running.items() if work.answer.cancelled()]
    if left:
        model.abort(left)
        for request in left:
            del running[request]
    if not running:
        return
    for request, output in model.ended():
        work = running.pop(request)
        _set(work.answer, model.reply(output, work.body))


def _set(answer: Future[Any], value: Any) -> None:
    with suppress(InvalidStateError):  # cancelled meanwhile
        answer.set_result(value)


def _fail(answer: Future[Any], error: Exception) -> None:
    with suppress(InvalidStateError):
        answer.set_exception(error)
