"""What all engines share that show a prompt to a chat model: long tickets, cut prompts, the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmtriage.backends.prompt_tokens import PromptCheck
from llmtriage.backends.same_model import SameModel
from llmtriage.predictions import Failure, Prediction, Usage
from llmtriage.prompting import estimated_tokens, shortened
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from llmtriage.backends.dialect import Dialect
    from llmtriage.backends.planning import Planned
    from llmtriage.backends.speaking import Speaker, Wanted
    from llmtriage.backends.transport import Transport
    from llmtriage.predictions import Question
    from llmtriage.prompting import Messages, Prompt
    from llmtriage.settings import BackendSettings

AHEAD = 4  # times the requests in flight, where some tickets share a longer beginning of their prompts than all do
_MARGIN = 64  # tokens of a chat template around the messages
_OPTIONS = {"extra_body", "omit", "temperature", "answer_tokens", "context", "thinking", "json_mode", "engine"}


class PromptedBackend(ABC):
    """Renders a prompt for each question and asks a chat model."""

    reads_prompts = True
    ahead = 1

    def __init__(self, speaker: Speaker, prompt: Prompt, *, shorten: bool = False, model: str = "") -> None:
        """Put the parts together; nothing is sent yet.

        Args:
            speaker: Sends messages.
            prompt: Renders the questions.
            shorten: A ticket that does not fit the context may lose its middle.
            model: That the run begins with, as answers name it; empty: not known yet.
        """
        self.speaker = speaker
        self.prompt = prompt
        self._shorten = shorten
        self._check = PromptCheck()
        self._same = SameModel(speaker.name, model)

    @property
    def name(self) -> str:
        """What people read."""
        return self.speaker.name

    @property
    def settings(self) -> BackendSettings:
        """Of the engine."""
        return self.speaker.settings

    @property
    def transport(self) -> Transport:
        """What sends the requests."""
        return self.speaker.transport

    @property
    def dialect(self) -> Dialect:
        """How this server is asked, as far as that is known."""
        return self.speaker.dialect

    def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:
        """See `llmtriage.protocols.Backend`."""
        return self.transport.each(self._one, questions, online=online, ahead=self.ahead)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()

    @abstractmethod
    def fingerprint(self) -> Mapping[str, str]:
        """All that its scores depend on."""

    @abstractmethod
    def request(self, question: Question) -> dict[str, Any]:
        """The body of the first request for one question."""

    @abstractmethod
    def plan(self, question: Question) -> Planned:
        """What would be sent first, for an estimate."""

    @abstractmethod
    async def _answer(self, question: Question, **how: Any) -> Prediction | Failure:
        """The answer to what is asked."""

    @abstractmethod
    def _messages(self, question: Question) -> Messages:
        """The messages of the first request."""

    @property
    @abstractmethod
    def _wanted(self) -> Wanted:
        """What is asked for."""

    def _fingerprint(self, **own: Any) -> dict[str, str]:
        """Model, wording, examples and options, with those of a kind of engine."""
        settings = self.settings.model_dump(mode="json", include=_OPTIONS)
        return {
            "engine": f"{self.settings.kind}:{self.settings.model}",
            "prompt": self.prompt.hash,
            "examples": digest([[example.text, example.category] for example in self.prompt.examples]),
            "options": digest({**settings, **own, "shorten": self._shorten}),
        }

    async def _one(self, question: Question, **how: Any) -> Prediction | Failure:
        answer: Prediction | Failure = Failure(reason="too_long", detail="the prompt is longer than the model's context")
        if not self._surely_too_long(question):
            answer = self._same.checked(await self._answer(question, **how))
        if not (isinstance(answer, Failure) and answer.reason == "too_long"):
            return answer
        fitting, left_out = self._fitting(question)
        if fitting == question:
            return answer
        second = after(answer, self._same.checked(await self._answer(fitting, **how)))
        return replace(second, left_out=left_out) if isinstance(second, Prediction) else second

    def _whole(self, messages: Messages, answer: Prediction | Failure) -> Prediction | Failure:
        """`answer`, unless the server read less than it was sent."""
        if not self._check.is_cut(messages, answer.usage.prompt_tokens):
            return answer
        detail = f"the server read {answer.usage.prompt_tokens} tokens, fewer than the prompt has: it cut it without a word"
        return Failure(reason="too_long", detail=detail, usage=answer.usage, seconds=answer.seconds)

    def _surely_too_long(self, question: Question) -> bool:
        """Whether the prompt cannot fit the context, by the lowest count there is."""
        if self.settings.context is None:
            return False
        return self._check.least(self._messages(question)) + self.speaker.most(self._wanted) > self.settings.context

    def _fitting(self, question: Question) -> tuple[Question, int]:
        """The question without its own examples and, if that is allowed, without the middle of the ticket; and how much that is."""
        if not self._shorten:
            return replace(question, examples=()), 0
        room = estimated_tokens(question.text) // 2
        if self.settings.context is not None:
            bare = self._messages(replace(question, text="", examples=()))
            answer = self.speaker.most(self._wanted)
            around = estimated_tokens(bare.system) + estimated_tokens(bare.user) + answer + _MARGIN
            room = max(1, int(0.7 * (self.settings.context - around)))  # our count may be a third too low
        text, left_out = shortened(question.text, room)
        return replace(question, text=text, examples=()), left_out


def after(first: Prediction | Failure, second: Prediction | Failure) -> Prediction | Failure:
    """The second answer with what both cost."""
    return replace(second, usage=summed(first.usage, second.usage), seconds=first.seconds + second.seconds)


def summed(one: Usage, other: Usage) -> Usage:
    """What two answers cost together."""

    def both(a: int | None, b: int | None) -> int | None:
        return None if a is None and b is None else (a or 0) + (b or 0)

    return Usage(
        prompt_tokens=both(one.prompt_tokens, other.prompt_tokens),
        cached_tokens=both(one.cached_tokens, other.cached_tokens),
        output_tokens=both(one.output_tokens, other.output_tokens),
        attempts=one.attempts + other.attempts,
        waited=one.waited + other.waited,
    )
