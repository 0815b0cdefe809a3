"""An LLM behind a chat API, asked for a JSON object that names one category: `source="verbalized"`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llmtriage.backends.planning import Planned
from llmtriage.backends.prompted import PromptedBackend, after, summed
from llmtriage.backends.replies import Labels, read_reply, repair_messages
from llmtriage.backends.speaking import PATH, Speaker, Wanted
from llmtriage.predictions import Failure, Prediction
from llmtriage.prompting import estimated_tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from llmtriage.backends.transport import Reply, Transport
    from llmtriage.predictions import Question
    from llmtriage.prompting import Messages, Prompt
    from llmtriage.settings import BackendSettings

    _Post = Callable[..., Awaitable[Reply | Failure]]

_ANSWER_TOKENS, _RATIONALE_TOKENS = 200, 300
_USUAL_RATIONALE = 40  # tokens of one short sentence


class ChatBackend(PromptedBackend):
    """Asks a chat model for one category and its own number for it. There is no distribution."""

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
        super().__init__(Speaker(name, settings, transport), prompt, shorten=shorten)
        self._repair = repair
        self._labels: dict[tuple[str, ...], Labels] = {}

    def fingerprint(self) -> Mapping[str, str]:
        """Model, wording, examples and options: all that an answer depends on."""
        return {**self._fingerprint(repair=self._repair), "reading": "json"}

    def request(self, question: Question) -> dict[str, Any]:
        """The body of the request for one question."""
        return self.speaker.body(self._messages(question).as_chat(), self._asking(self._labels_of(question)))

    def plan(self, question: Question) -> Planned:
        """What would be sent first, for an estimate."""
        messages, labels = self._messages(question), self._labels_of(question)
        longest = max(labels.ids, key=len)
        usual = estimated_tokens(f'{{"category": "{longest}", "confidence": 0.95}}') + self.prompt.rationale * _USUAL_RATIONALE
        return Planned(
            url=self.transport.endpoint.url,
            model=self.settings.model,
            shared=messages.system,
            own=messages.user,
            output_tokens=usual,
            known=self.transport.is_known(PATH, self.request(question)),
        )

    # -- one question --------------------------------------------------------------------------

    async def _answer(self, question: Question, **how: Any) -> Prediction | Failure:
        """The answer to what is asked, with at most one second try where the first cannot be read."""
        labels, messages = self._labels_of(question), self._messages(question)
        post: _Post = partial(self.speaker.post, beginning=(messages.system, question.examples), **how)
        reply = await post(messages.as_chat(), self._asking(labels))
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
            return replace(answer, usage=summed(answer.usage, second.usage))
        mended = self._whole(messages, read_reply(second, labels))
        if isinstance(mended, Prediction):
            self.transport.remember(reply)
            self.transport.remember(second)
        return after(answer, mended)

    async def _second(self, post: _Post, messages: Messages, labels: Labels, answer: Failure) -> Reply | Failure | None:
        """What a second request brought; None where none can help."""
        if answer.reason == "truncated":
            return await post(messages.as_chat(), self._asking(labels, room=2))
        if answer.reason not in ("bad_response", "unknown_label") or not self._repair:
            return None
        if not answer.raw:
            return await post(messages.as_chat(), self._asking(labels), fresh=True)
        mended = repair_messages(messages, answer.raw, answer, labels, language=self.prompt.language)
        return await post(mended, self._asking(labels))

    def _messages(self, question: Question) -> Messages:
        return self.prompt.render(question)

    def _asking(self, labels: Labels, *, room: int = 1) -> Wanted:
        schema = answer_schema(labels.ids, rationale=self.prompt.rationale)
        tokens = _ANSWER_TOKENS + self.prompt.rationale * _RATIONALE_TOKENS
        return Wanted(schema=schema, tokens=tokens, room=room, temperature=self.settings.temperature)

    @property
    def _wanted(self) -> Wanted:
        return self._asking(Labels((), frozenset(), {}))

    def _labels_of(self, question: Question) -> Labels:
        ids = tuple(category.id for category in question.categories)
        if ids not in self._labels:
            self._labels[ids] = Labels.of(question.categories, taxonomy=self.prompt.taxonomy)
        return self._labels[ids]


def answer_schema(ids: tuple[str, ...], *, rationale: bool) -> dict[str, Any]:
    """The JSON schema of an answer: a category among `ids`, a number, and before them a rationale if asked for."""
    properties: dict[str, Any] = {"rationale": {"type": "string"}} if rationale else {}
    properties |= {"category": {"type": "string", "enum": list(ids)}, "confidence": {"type": "number"}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
