"""Speaks to one chat server in its own dialect, which the first request settles."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llmtriage.backends.dialect import Dialect
from llmtriage.backends.lead import Lead
from llmtriage.backends.replies import thought
from llmtriage.backends.transport import Reply
from llmtriage.errors import RefusedFieldError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from llmtriage.backends.transport import Transport
    from llmtriage.predictions import Failure
    from llmtriage.settings import BackendSettings

_log = logging.getLogger(__name__)

PATH = "/chat/completions"
THINKING_TOKENS = 4000  # for models that think before they answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for, apart from the messages.

    Attributes:
        schema: The JSON schema of the answer; None: it is no JSON.
        tokens: Of the answer, at most.
        room: Times as many, where an answer was cut.
        thinking: Whether a model that thinks gets room for it.
        temperature: 0 asks for the most probable answer.
        fields: Of the request, besides.
    """

    schema: Mapping[str, Any] | None
    tokens: int
    room: int = 1
    thinking: bool = True
    temperature: float = 0.0
    fields: Mapping[str, Any] = field(default_factory=dict)


class Speaker:
    """Sends messages to one model."""

    def __init__(self, name: str, settings: BackendSettings, transport: Transport, dialect: Dialect | None = None) -> None:
        """Nothing is sent yet.

        Args:
            name: The engine's, for what people read.
            settings: Model, thinking, JSON, extra fields.
            transport: Sends the requests.
            dialect: Of the server, where it is known already; None: it is settled by the first request.
        """
        self.name = name
        self.settings = settings
        self.transport = transport
        self.dialect = dialect or Dialect.of(settings, transport.endpoint.url)
        self._settled = dialect is not None
        self._lead = Lead()

    async def post(
        self, chat: list[dict[str, str]], wanted: Wanted, *, naming: Collection[str] = (), **how: Any
    ) -> Reply | Failure:
        """Send messages; the first request of all goes alone and settles how this server is asked.

        Args:
            chat: The messages.
            wanted: What is asked for.
            naming: Fields that the caller can do without.
            how: As `Transport.post` takes it, and raises.
        """
        if not self._settled:
            reply = await self._lead.go(lambda: self._settled, lambda: self._settle(chat, wanted, naming, **how))
            if reply is not None:
                return reply
        return await self.transport.post(PATH, self.body(chat, wanted), naming=naming, **how)

    def body(self, chat: list[dict[str, str]], wanted: Wanted) -> dict[str, Any]:
        """The request as plain data."""
        settings = self.settings
        fields = self.dialect.fields(wanted.schema, most=self.most(wanted), temperature=wanted.temperature)
        body = {
            "model": settings.model,
            "messages": self.dialect.messages(chat),
            **fields,
            **wanted.fields,
            **settings.extra_body,
        }
        return {name: value for name, value in body.items() if name not in settings.omit}

    def most(self, wanted: Wanted) -> int:
        """Tokens that the answer may have."""
        if not wanted.thinking:
            return wanted.tokens
        thinks = self.dialect.thinks or self.dialect.limit == "max_completion_tokens"
        return wanted.room * (self.settings.answer_tokens or (THINKING_TOKENS if thinks else wanted.tokens))

    async def _settle(self, chat: list[dict[str, str]], wanted: Wanted, naming: Collection[str], **how: Any) -> Reply | Failure:
        while True:
            try:
                optional = (*naming, *self.dialect.optional)
                reply = await self.transport.post(PATH, self.body(chat, wanted), naming=optional, **how)
            except RefusedFieldError as error:
                other = None if error.field in naming else self.dialect.without(error.field)
                if other is None:
                    raise
                self._change(other, error.field)
                continue
            if isinstance(reply, Reply) and reply.attempts:  # not out of a cache: the server itself has answered
                self._settled = True
                if thought(reply.body) and not self.dialect.thinks:
                    self.dialect = replace(self.dialect, thinks=True)
                    _log.warning("%s thinks before it answers and was not to be kept from it: slower and dearer", self.name)
            return reply

    def _change(self, other: Dialect, field: str) -> None:
        if other.switch == "leave" != self.dialect.switch:
            _log.warning("%s has no switch against thinking that we know; set thinking under [backends.NAME]", self.name)
        elif other.system != self.dialect.system:
            _log.warning("%s has no system message; the user's begins with it", self.name)
        else:
            _log.warning("%s does not take %s; it is asked otherwise", self.name, field)
        self.dialect = other
