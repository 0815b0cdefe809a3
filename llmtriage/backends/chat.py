"""An LLM behind a chat API, asked for a JSON object that names one category: `source="verbalized"`."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from llmtriage.backends.in_flight import in_flight
from llmtriage.backends.transport import Reply, Transport, is_openai
from llmtriage.errors import RefusedFieldError
from llmtriage.predictions import Failure, Prediction, SingleLabel, Usage
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping

    from llmtriage.predictions import Question
    from llmtriage.prompting import Messages, Prompt
    from llmtriage.settings import BackendSettings

_log = logging.getLogger(__name__)

_ANSWER_TOKENS, _RATIONALE_TOKENS = 200, 300
_HOSTED_TOKENS = 4000  # OpenAI's models spend some of it on thinking before they answer
_BROKEN_OFF = frozenset({"insufficient_system_resource", "aborted", "error"})
_FILTERED = frozenset({"content_filter", "sensitive", "PROHIBITED_CONTENT"})
_MOST_RAW = 2000  # characters of a reply kept for people


class ChatBackend:
    """Asks a chat model for one category and its own number for it. There is no distribution."""

    reads_prompts = True

    def __init__(self, name: str, settings: BackendSettings, prompt: Prompt, transport: Transport) -> None:
        """Put the parts together; nothing is sent yet.

        Args:
            name: What people read.
            settings: Model, temperature, extra fields.
            prompt: Renders the questions.
            transport: Sends them.
        """
        self.name = name
        self.prompt = prompt
        self._settings = settings
        self._transport = transport
        self._schemas: dict[tuple[str, ...], dict[str, Any]] = {}
        self._left_out: set[str] = set()

    def fingerprint(self) -> Mapping[str, str]:
        """Model, wording, examples and options: all that an answer depends on."""
        options = self._settings.model_dump(mode="json", include={"extra_body", "omit", "temperature", "max_tokens"})
        return {
            "engine": f"{self._settings.kind}:{self._settings.model}",
            "reading": "json",
            "prompt": self.prompt.hash,
            "examples": digest([[example.text, example.category] for example in self.prompt.examples]),
            "options": digest(options),
        }

    def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:  # noqa: ARG002
        """See `llmtriage.protocols.Backend`."""
        return in_flight(self._one, questions, self._transport.endpoint.concurrency)

    def request(self, question: Question) -> dict[str, Any]:
        """The body of the request for one question."""
        ids = tuple(category.id for category in question.categories)
        if ids not in self._schemas:
            self._schemas[ids] = response_format(ids, rationale=self.prompt.rationale)
        body = request_body(
            self._settings, self.prompt.render(question), self._schemas[ids], hosted=is_openai(self._transport.endpoint.url)
        )
        return {key: value for key, value in body.items() if key not in self._left_out}

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _one(self, question: Question) -> Prediction | Failure:
        ids = frozenset(category.id for category in question.categories)
        reply = await self._ask(question)
        return reply if isinstance(reply, Failure) else read_reply(reply, ids)

    async def _ask(self, question: Question) -> Reply | Failure:
        try:
            return await self._transport.post("/chat/completions", self.request(question))
        except RefusedFieldError as error:
            # Models that think take no temperature. It is ours to ask for and theirs to refuse; anything else stops the run.
            if error.field != "temperature":
                raise
        self._left_out.add("temperature")
        _log.warning("%s takes no temperature; its own default is used", self.name)
        return await self._transport.post("/chat/completions", self.request(question))


def response_format(ids: tuple[str, ...], *, rationale: bool) -> dict[str, Any]:
    """The JSON schema of an answer: a category among `ids`, a number, and before them a rationale if asked for."""
    properties: dict[str, Any] = {"rationale": {"type": "string"}} if rationale else {}
    properties |= {"category": {"type": "string", "enum": list(ids)}, "confidence": {"type": "number"}}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "classification", "strict": True, "schema": schema}}


def request_body(settings: BackendSettings, messages: Messages, answer: Mapping[str, Any], *, hosted: bool) -> dict[str, Any]:
    """A chat request as plain data.

    Args:
        settings: Model and options.
        messages: The rendered prompt.
        answer: The response format.
        hosted: Whether the host is OpenAI's own, whose newer models know only `max_completion_tokens`.
    """
    thinks = "rationale" in answer["json_schema"]["schema"]["properties"]
    most = settings.max_tokens or (_HOSTED_TOKENS if hosted else _ANSWER_TOKENS + thinks * _RATIONALE_TOKENS)
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": messages.as_chat(),
        "response_format": dict(answer),
        "max_completion_tokens" if hosted else "max_tokens": most,
        "temperature": settings.temperature,
    }
    if settings.kind == "vllm":
        body["chat_template_kwargs"] = {"enable_thinking": False}
    body |= settings.extra_body
    return {name: value for name, value in body.items() if name not in settings.omit}


def _number(value: object) -> float | None:
    """The model's own number if it is one between 0 and 1, else None: the label stands without it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        return None
    return float(value)


class _Answer(BaseModel):
    """What the model wrote."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    category: str
    confidence: Annotated[float | None, BeforeValidator(_number)] = None
    rationale: str | None = None


def read_reply(reply: Reply, ids: Collection[str]) -> Prediction | Failure:
    """Read a chat completion. Every field of it may be missing or null.

    Args:
        reply: What came back.
        ids: The categories that were offered.
    """
    body = _mapping(reply.body)
    usage = _usage(body.get("usage"), reply.attempts)
    failure = partial(Failure, usage=usage, seconds=reply.seconds)
    choices = body.get("choices")
    choice = _mapping(choices[0] if isinstance(choices, list) and choices else None)
    message = _mapping(choice.get("message"))
    text, finish = message.get("content"), str(choice.get("finish_reason"))
    if finish in _BROKEN_OFF:
        return failure(reason="backend_unavailable", detail=f"the server broke off ({finish})")
    if message.get("refusal") or finish in _FILTERED:
        return failure(reason="refused", detail="the model or its filter refused to answer")
    if finish == "length":
        return failure(reason="truncated", detail="the answer was longer than allowed", raw=_raw(text))
    if not isinstance(text, str) or not text.strip():
        return failure(reason="bad_response", detail="the answer holds no text")
    answer = read_answer(text, ids)
    if isinstance(answer, Failure):
        return replace(answer, usage=usage, seconds=reply.seconds)
    model = str(body.get("model") or "")
    return Prediction(answer=answer, source="verbalized", model=model, usage=usage, seconds=reply.seconds)


def read_answer(text: str, ids: Collection[str]) -> SingleLabel | Failure:
    """Read what the model wrote: the JSON object that was asked for, and nothing like it."""
    try:
        answer = _Answer.model_validate(json.loads(text, object_pairs_hook=_no_duplicates))
    except (ValueError, RecursionError):
        return Failure(reason="bad_response", detail="the answer is not the JSON object asked for", raw=_raw(text))
    if answer.category not in ids:
        return Failure(reason="unknown_label", detail="the answer is not a category of the list", raw=_raw(text))
    return SingleLabel(category=answer.category, score=answer.confidence, rationale=answer.rationale)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        message = "a key stands twice"
        raise ValueError(message)
    return dict(pairs)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _usage(usage: object, attempts: int) -> Usage:
    counts = {name: value for name, value in _mapping(usage).items() if isinstance(value, int)}
    return Usage(prompt_tokens=counts.get("prompt_tokens"), output_tokens=counts.get("completion_tokens"), attempts=attempts)


def _raw(text: object) -> str | None:
    return text[:_MOST_RAW] if isinstance(text, str) else None
