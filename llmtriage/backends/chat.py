"""An LLM behind a chat API, asked for a JSON object that names one category: `source="verbalized"`."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llmtriage.backends.dialect import Dialect
from llmtriage.backends.lead import Lead
from llmtriage.backends.planning import Planned
from llmtriage.backends.prompt_tokens import PromptCheck
from llmtriage.backends.replies import Labels, read_reply, repair_messages, thought
from llmtriage.backends.transport import Reply, Transport
from llmtriage.errors import RefusedFieldError
from llmtriage.predictions import Failure, Prediction, Usage
from llmtriage.prompting import estimated_tokens, shortened
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping

    from llmtriage.predictions import Question
    from llmtriage.prompting import Messages, Prompt
    from llmtriage.settings import BackendSettings

    _Post = Callable[..., Awaitable[Reply | Failure]]

_log = logging.getLogger(__name__)

_PATH = "/chat/completions"
_ANSWER_TOKENS, _RATIONALE_TOKENS = 200, 300
_THINKING_TOKENS = 4000  # for models that think before they answer
_USUAL_RATIONALE = 40  # tokens of one short sentence
_MARGIN = 64  # tokens of a chat template around the messages


class ChatBackend:
    """Asks a chat model for one category and its own number for it. There is no distribution."""

    reads_prompts = True

    def __init__(
        self,
        name: str,
        settings: BackendSettings,
        prompt: Prompt,
        transport: Transport,
        *,
        repair: bool = True,
        shorten: bool = False,
    ) -> None:
        """Put the parts together; nothing is sent yet.

        Args:
            name: What people read.
            settings: Model, temperature, extra fields.
            prompt: Renders the questions.
            transport: Sends them.
            repair: Show an answer that cannot be read to the model once, with what is wrong.
            shorten: A ticket that does not fit the context may lose its middle.
        """
        self.name = name
        self.prompt = prompt
        self.transport = transport
        self.dialect = Dialect.of(settings, transport.endpoint.url)
        self.settings, self._repair, self._shorten = settings, repair, shorten
        self._labels: dict[tuple[str, ...], Labels] = {}
        self._check = PromptCheck()
        self._settled = False
        self._lead = Lead()

    def fingerprint(self) -> Mapping[str, str]:
        """Model, wording, examples and options: all that an answer depends on."""
        options = {"extra_body", "omit", "temperature", "answer_tokens", "context", "thinking", "json_mode", "engine"}
        settings = self.settings.model_dump(mode="json", include=options)
        return {
            "engine": f"{self.settings.kind}:{self.settings.model}",
            "reading": "json",
            "prompt": self.prompt.hash,
            "examples": digest([[example.text, example.category] for example in self.prompt.examples]),
            "options": digest({**settings, "repair": self._repair, "shorten": self._shorten}),
        }

    def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:
        """See `llmtriage.protocols.Backend`."""
        return self.transport.each(self._one, questions, online=online)

    def request(self, question: Question) -> dict[str, Any]:
        """The body of the request for one question."""
        return self._body(self.prompt.render(question).as_chat(), self._labels_of(question))

    def plan(self, question: Question) -> Planned:
        """What would be sent first, for an estimate."""
        messages, labels = self.prompt.render(question), self._labels_of(question)
        body = self._body(messages.as_chat(), labels)
        longest = max(labels.ids, key=len)
        usual = estimated_tokens(f'{{"category": "{longest}", "confidence": 0.95}}') + self.prompt.rationale * _USUAL_RATIONALE
        return Planned(
            url=self.transport.endpoint.url,
            model=self.settings.model,
            shared=messages.system,
            own=messages.user,
            output_tokens=usual,
            known=self.transport.is_known(_PATH, body),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()

    # -- one question --------------------------------------------------------------------------

    async def _one(self, question: Question, **how: Any) -> Prediction | Failure:
        post = partial(self._post, **how)
        answer: Prediction | Failure = Failure(reason="too_long", detail="the prompt is longer than the model's context")
        if not self._surely_too_long(question):
            answer = await self._answer(question, post)
        if not (isinstance(answer, Failure) and answer.reason == "too_long"):
            return answer
        fitting, left_out = self._fitting(question)
        if fitting == question:
            return answer
        second = _after(answer, await self._answer(fitting, post))
        return replace(second, left_out=left_out) if isinstance(second, Prediction) else second

    async def _answer(self, question: Question, post: _Post) -> Prediction | Failure:
        """The answer to what is asked, with at most one second try where the first cannot be read."""
        labels, messages = self._labels_of(question), self.prompt.render(question)
        reply = await post(messages.as_chat(), labels)
        if isinstance(reply, Failure):
            return reply
        answer = self._whole(messages, read_reply(reply, labels))
        if isinstance(answer, Prediction):
            self.transport.remember(reply)
            return answer
        second = await self._second(post, messages, labels, answer)
        if second is None:
            return answer
        if isinstance(second, Failure):
            return replace(answer, usage=_sum(answer.usage, second.usage))
        mended = self._whole(messages, read_reply(second, labels))
        if isinstance(mended, Prediction):
            self.transport.remember(reply)
            self.transport.remember(second)
        return _after(answer, mended)

    def _whole(self, messages: Messages, answer: Prediction | Failure) -> Prediction | Failure:
        """`answer`, unless the server read less than it was sent."""
        if not self._check.is_cut(messages, answer.usage.prompt_tokens):
            return answer
        detail = f"the server read {answer.usage.prompt_tokens} tokens, fewer than the prompt has: it cut it without a word"
        return Failure(reason="too_long", detail=detail, usage=answer.usage, seconds=answer.seconds)

    async def _second(self, post: _Post, messages: Messages, labels: Labels, answer: Failure) -> Reply | Failure | None:
        """What a second request brought; None where none can help."""
        if answer.reason == "truncated":
            return await post(messages.as_chat(), labels, room=2)
        if answer.reason not in ("bad_response", "unknown_label") or not self._repair:
            return None
        if not answer.raw:
            return await post(messages.as_chat(), labels, fresh=True)
        return await post(repair_messages(messages, answer.raw, answer, labels, language=self.prompt.language), labels)

    # -- sending -------------------------------------------------------------------------------

    async def _post(self, chat: list[dict[str, str]], labels: Labels, *, room: int = 1, **how: Any) -> Reply | Failure:
        """Send messages; the first request of all goes alone and settles how this server is asked."""
        if not self._settled:
            reply = await self._lead.go(lambda: self._settled, lambda: self._settle(chat, labels, **how))
            if reply is not None:
                return reply
        return await self.transport.post(_PATH, self._body(chat, labels, room=room), **how)

    async def _settle(self, chat: list[dict[str, str]], labels: Labels, **how: Any) -> Reply | Failure:
        while True:
            try:
                reply = await self.transport.post(_PATH, self._body(chat, labels), naming=self.dialect.optional, **how)
            except RefusedFieldError as error:
                other = self.dialect.without(error.field)
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

    def _body(self, chat: list[dict[str, str]], labels: Labels, *, room: int = 1) -> dict[str, Any]:
        settings = self.settings
        schema = answer_schema(labels.ids, rationale=self.prompt.rationale)
        fields = self.dialect.fields(schema, most=room * self._most(), temperature=settings.temperature)
        body = {"model": settings.model, "messages": self.dialect.messages(chat), **fields, **settings.extra_body}
        return {name: value for name, value in body.items() if name not in settings.omit}

    def _most(self) -> int:
        """Tokens an answer may have."""
        if self.settings.answer_tokens:
            return self.settings.answer_tokens
        if self.dialect.thinks or self.dialect.limit == "max_completion_tokens":
            return _THINKING_TOKENS
        return _ANSWER_TOKENS + self.prompt.rationale * _RATIONALE_TOKENS

    def _labels_of(self, question: Question) -> Labels:
        ids = tuple(category.id for category in question.categories)
        if ids not in self._labels:
            self._labels[ids] = Labels.of(question.categories, taxonomy=self.prompt.taxonomy)
        return self._labels[ids]

    # -- what does not fit ---------------------------------------------------------------------

    def _surely_too_long(self, question: Question) -> bool:
        """Whether the prompt cannot fit the context, by the lowest count there is."""
        if self.settings.context is None:
            return False
        return self._check.least(self.prompt.render(question)) + self._most() > self.settings.context

    def _fitting(self, question: Question) -> tuple[Question, int]:
        """The question without its own examples and, if that is allowed, without the middle of the ticket; and how much that is."""
        if not self._shorten:
            return replace(question, examples=()), 0
        room = estimated_tokens(question.text) // 2
        if self.settings.context is not None:
            bare = self.prompt.render(replace(question, text="", examples=()))
            around = estimated_tokens(bare.system) + estimated_tokens(bare.user) + self._most() + _MARGIN
            room = max(1, int(0.7 * (self.settings.context - around)))  # our count may be a third too low
        text, left_out = shortened(question.text, room)
        return replace(question, text=text, examples=()), left_out


def answer_schema(ids: tuple[str, ...], *, rationale: bool) -> dict[str, Any]:
    """The JSON schema of an answer: a category among `ids`, a number, and before them a rationale if asked for."""
    properties: dict[str, Any] = {"rationale": {"type": "string"}} if rationale else {}
    properties |= {"category": {"type": "string", "enum": list(ids)}, "confidence": {"type": "number"}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _after(first: Failure, second: Prediction | Failure) -> Prediction | Failure:
    """The second answer with what both cost."""
    return replace(second, usage=_sum(first.usage, second.usage), seconds=first.seconds + second.seconds)


def _sum(one: Usage, other: Usage) -> Usage:
    def both(a: int | None, b: int | None) -> int | None:
        return None if a is None and b is None else (a or 0) + (b or 0)

    return Usage(
        prompt_tokens=both(one.prompt_tokens, other.prompt_tokens),
        cached_tokens=both(one.cached_tokens, other.cached_tokens),
        output_tokens=both(one.output_tokens, other.output_tokens),
        attempts=one.attempts + other.attempts,
        waited=one.waited + other.waited,
    )
