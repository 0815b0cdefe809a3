"""One request of a probe, whose every end is data: an answer, a refusal, or nothing that says anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmtriage.backends.fields import mapping, usage_of
from llmtriage.backends.replies import without_thinking
from llmtriage.backends.transport import Reply, Transport
from llmtriage.errors import BackendError, BackendRefusedError, BackendUnavailableError, RefusedFieldError
from llmtriage.predictions import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.backends.dialect import Dialect
    from llmtriage.settings import BackendSettings

_REFUSED = "the server answered 4"  # how the transport words a status of 400 to 499 that names no field
_THINKING_ROOM = 4000  # tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        body: The JSON; empty where there was none.
        refused: Whether the server refused the request for what it asked.
        failure: Why there is no answer, where there is none.
        seconds: Until it came.
    """

    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    refused: bool = False
    failure: Failure | None = None
    seconds: float = 0.0

    @property
    def came(self) -> bool:
        """Whether there is an answer."""
        return not self.refused and self.failure is None

    @property
    def choice(self) -> Mapping[str, Any]:
        """The first choice; empty where there is none."""
        choices = self.body.get("choices")
        return mapping(choices[0] if isinstance(choices, list) and choices else None)

    @property
    def text(self) -> str:
        """What the model wrote, without thinking."""
        content = mapping(self.choice.get("message")).get("content")
        return without_thinking(content).strip() if isinstance(content, str) else ""

    @property
    def cut(self) -> bool:
        """Whether the answer broke off at its limit."""
        return self.choice.get("finish_reason") == "length"

    @property
    def prompt_tokens(self) -> int | None:
        """The server's count; None where it does not tell."""
        return usage_of(self.body.get("usage")).prompt_tokens or None

    @property
    def output_tokens(self) -> int | None:
        """The server's count; None where it does not tell."""
        return usage_of(self.body.get("usage")).output_tokens or None


@dataclass(frozen=True, slots=True)
class Prober:
    """Asks one model of one server.

    Attributes:
        transport: Best with one attempt and short limits.
        settings: Model, extra fields, fields to leave out.
        dialect: How requests are put.
    """

    transport: Transport
    settings: BackendSettings
    dialect: Dialect

    async def chat(
        self, text: str, *, most: int, fields: Mapping[str, Any] | None = None, plain: bool = False, model: str | None = None
    ) -> Answer:
        """Ask one user message.

        Args:
            text: The message.
            most: Tokens of the answer; a model that thinks gets more, except for a single token.
            fields: Of the request, beyond the usual ones.
            plain: Without the switch against thinking.
            model: Another name than the engine's.

        Raises:
            BackendError: The account is spent, or the server went away.
        """
        body = self.body(text, most=most, fields=fields or {}, plain=plain, model=model)
        naming = (*(fields or {}), *self.dialect.optional)
        try:
            return await asked(self.transport, "/chat/completions", body, naming)
        except BackendRefusedError:
            return Answer(refused=True)  # a plain question was answered, so it is this one that is refused

    def body(self, text: str, *, most: int, fields: Mapping[str, Any], plain: bool, model: str | None) -> dict[str, Any]:
        """The request as plain data."""
        room = max(most, _THINKING_ROOM) if self.dialect.thinks and most > 1 else most
        dialect = replace(self.dialect, json="prompt", switch="leave" if plain else self.dialect.switch)
        usual = {**dialect.fields({}, most=room, temperature=self.settings.temperature), **self.settings.extra_body}
        usual = {name: value for name, value in usual.items() if name not in self.settings.omit}
        messages = [{"role": "user", "content": text}]
        return {"model": model or self.settings.model, "messages": messages, **usual, **fields}

    def root(self, path: str) -> str:
        """The whole URL of a route beside the API."""
        parts = urlsplit(self.transport.endpoint.url)
        return f"{parts.scheme}://{parts.netloc}{path}"


async def asked(transport: Transport, path: str, body: Mapping[str, Any], naming: tuple[str, ...] = ()) -> Answer:
    """Post; a refused field is an answer, a refused key an error."""
    try:
        reply = await transport.post(path, body, online=True, fresh=True, naming=naming)
    except RefusedFieldError:
        return Answer(refused=True)
    return read(reply)


async def looked_up(transport: Transport, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """What a route that need not exist says; empty where it says nothing, for whatever reason."""
    try:
        if body is None:
            reply = await transport.get(path)
        else:
            reply = await transport.post(path, body, online=True, fresh=True)
    except BackendError:
        return {}
    return read(reply).body


def read(reply: Reply | Failure) -> Answer:
    """What a reply is to a probe."""
    if isinstance(reply, Reply):
        return Answer(body=mapping(reply.body), seconds=reply.seconds)
    return Answer(refused=reply.detail.startswith(_REFUSED), failure=reply, seconds=reply.seconds)


def cannot_work(answer: Answer, prober: Prober) -> BackendError:
    """The error for a server that gave no answer to a plain question."""
    endpoint = prober.transport.endpoint
    detail = answer.failure.detail if answer.failure else "an answer without choices"
    if answer.failure and answer.failure.reason in ("timeout", "backend_unavailable"):
        remedy = "look at the server's log, or give it more time with --timeout"
        return BackendUnavailableError(f"{endpoint.url}: {detail}", remedy=remedy, backend=endpoint.name)
    if answer.failure and answer.failure.reason == "rate_limited":
        return BackendUnavailableError(f"{endpoint.url}: {detail}", remedy="wait, then ask again", backend=endpoint.name)
    problem = f"{endpoint.url} does not answer like an API ({detail})"
    return BackendRefusedError(problem, remedy="check the URL; most servers want it to end in /v1", backend=endpoint.name)
