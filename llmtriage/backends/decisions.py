"""A decision endpoint, asked for a probability of every category; it generates no text: `source="decisions"`.

Two dialects: "openai" (`POST /v1/decisions`; the types of the openai package, 3.54) and "systemone" (`POST /v1/systemone`; vLLM 0.32 and
others). `probabilities` are read. The `confidence` beside them says how concentrated they are, each server by a formula of its own, and
is never used.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import numpy as np

from llmtriage.backends.decision_questions import Limits, choices, with_examples, wording_hash
from llmtriage.backends.fields import mapping, usage_of
from llmtriage.backends.lead import Lead
from llmtriage.backends.planning import Planned
from llmtriage.backends.prompt_tokens import least_tokens
from llmtriage.backends.readings.many import Narrowed, divided, narrowed_question
from llmtriage.backends.same_model import SameModel
from llmtriage.backends.shortlisting import shortlist_for
from llmtriage.backends.transport import Reply, Transport
from llmtriage.errors import BackendRefusedError, InputError, UnknownRouteError
from llmtriage.predictions import Failure, Prediction, Scores, Usage
from llmtriage.prompting import fenced
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterator, Mapping, Sequence

    from llmtriage.backends.decision_questions import Choice
    from llmtriage.backends.readings.many import Shortlist
    from llmtriage.predictions import EngineReason, Example, Question
    from llmtriage.prompting import Prompt
    from llmtriage.settings import BackendSettings
    from llmtriage.taxonomy import Category, Taxonomy

Dialect = Literal["openai", "systemone"]

_PATHS: dict[Dialect, str] = {"openai": "/decisions", "systemone": "/systemone"}
# What the openai package says of its API, and what vLLM 0.32 takes.
_LIMITS: dict[Dialect, Limits] = {"openai": Limits(options=255, questions=400), "systemone": Limits(options=26, questions=64)}
_LIMITS_OF_HOSTS = {"api.fireworks.ai": Limits(options=208, questions=64), "api.typesafe.ai": Limits(options=255, questions=32)}
_LEAST_SUM, _LARGEST_SUM = 0.5, 1.5  # of the probabilities of one answer: rounding moves their sum, nothing else may
_ABOVE_ONE = 1e-3  # what a server's own arithmetic may add to a probability of 1
_MOST_RAW = 200  # characters of an option that was never offered, kept for people


class DecisionBackend:
    """Asks a decision endpoint, one request a ticket."""

    reads_prompts = True

    def __init__(
        self,
        name: str,
        settings: BackendSettings,
        prompt: Prompt,
        transport: Transport,
        taxonomy: Taxonomy,
        *,
        examples: Sequence[Example] = (),
    ) -> None:
        """Put the parts together; nothing is sent yet.

        Args:
            name: What people read.
            settings: Model, dialect, limits, floor, extra fields.
            prompt: Language and shared examples; its templates are for chat models.
            transport: Sends the requests.
            taxonomy: What is chosen among.
            examples: Labelled texts, for a shortlist where a level of the taxonomy is wider than a question may be.

        Raises:
            InputError: A level is wider, and only the tree may be asked. Where no dialect is set, OpenAI's limits count here, and those
                of "systemone" when that is found.
        """
        self.name = name
        self.taxonomy = taxonomy
        self.settings = settings
        self._prompt = prompt
        self.transport = transport
        self._dialect: Dialect | None = settings.dialect
        self._asked: dict[tuple[Dialect, tuple[str, ...]], tuple[Choice, ...]] = {}
        self._examples = tuple(examples)
        self._fit: dict[tuple[Dialect, tuple[str, ...]], bool] = {}
        self._shortlists: dict[Dialect, Shortlist | None] = {}
        self._fitting = threading.Lock()
        self._missed = 0  # searches that found no dialect
        self._lead = Lead()
        self._same = SameModel(name)
        self._fits(self._dialect or "openai", taxonomy.leaves)

    def fingerprint(self) -> Mapping[str, str]:
        """Model, dialect as set, wording, examples and options: all that an answer depends on."""
        dialects = [self.settings.dialect] if self.settings.dialect else list(_PATHS)
        limits = [[limits.options, limits.questions] for limits in map(self._limits, dialects)]
        options = self.settings.model_dump(mode="json", include={"extra_body", "omit"})
        return {
            "engine": f"decisions:{self.settings.model}",
            "reading": "decisions",
            "dialect": self.settings.dialect or "as found",
            "prompt": wording_hash(self._prompt.language),
            "examples": digest([[example.text, example.category] for example in self._prompt.examples]),
            "floor": repr(self.settings.floor),
            "limits": digest(limits),
            "many": self._many(),
            "options": digest(options),
        }

    def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:
        """See `llmtriage.protocols.Backend`."""
        return self.transport.each(self._one, questions, online=online)

    def _many(self) -> str:
        """How more categories are asked about than fit: what a shortlist keeps depends on its examples."""
        dialects: list[Dialect] = [self.settings.dialect] if self.settings.dialect else list(_PATHS)
        if self.settings.many == "tree":  # whether it fits, the dialect that answers will show
            return "tree"
        if all(self._fits(dialect, self.taxonomy.leaves) for dialect in dialects):
            return "tree"
        return f"shortlist {digest([[example.text, example.category] for example in self._examples])}"

    def request(self, question: Question) -> dict[str, Any]:
        """The body of the request for one question; while the dialect is not known, in OpenAI's."""
        dialect = self._dialect or "openai"
        question = self._narrowed(dialect, question).question
        return request_body(self.settings, dialect, fenced(question.text), self._for(dialect, question))

    def plan(self, question: Question) -> Planned:
        """What would be sent, for an estimate; while the dialect is not known, in OpenAI's."""
        dialect = self._dialect or "openai"
        body, ticket = self.request(question), fenced(question.text)
        return Planned(
            url=self.transport.endpoint.url,
            model=self.settings.model,
            shared=json.dumps(body["questions"], ensure_ascii=False, indent=2),
            own=ticket,
            output_tokens=0,
            known=self.transport.is_known(_PATHS[dialect], body),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()

    async def _one(self, question: Question, **how: Any) -> Prediction | Failure:
        if len(question.categories) == 1:
            scores = Scores(values=np.zeros(1), missing=np.zeros(1, dtype=np.bool_))
            return Prediction(answer=scores, source="decisions", model=self.settings.model, usage=Usage(attempts=0))
        if self._dialect is None:
            missed = self._missed
            found = await self._lead.go(
                lambda: self._dialect is not None or self._missed > missed, lambda: self._first(question, **how)
            )
            if found is not None:
                return self._same.checked(found)
        if self._dialect is None:  # found out while this one waited
            raise self._neither()
        return self._same.checked(await self._ask(self._dialect, question, **how))

    async def _first(self, question: Question, **how: Any) -> Prediction | Failure:
        """Ask while the dialect is not known; the first answer, whatever it says, decides it for good."""
        try:
            return await self._ask("openai", question, **how)
        except UnknownRouteError:
            pass
        try:
            return await self._ask("systemone", question, before=1, **how)
        except UnknownRouteError:
            self._missed += 1
            raise self._neither() from None

    def _neither(self) -> BackendRefusedError:
        problem = f"neither /decisions nor /systemone answers at {self.transport.endpoint.url}"
        remedy = "check the URL and that the server offers decisions; a chat model is openai:MODEL@URL"
        return BackendRefusedError(problem, remedy=remedy, backend=self.name)

    async def _ask(self, dialect: Dialect, question: Question, *, before: int = 0, **how: Any) -> Prediction | Failure:
        if not self._fits(dialect, question.categories):
            await asyncio.to_thread(self._narrowed, dialect, question)  # the first time takes seconds
        narrowed = self._narrowed(dialect, question)
        asked, ticket = self._for(dialect, narrowed.question), fenced(question.text)
        body = request_body(self.settings, dialect, ticket, asked)
        reply = await self.transport.post(_PATHS[dialect], body, **how)
        if isinstance(reply, Failure):
            return reply
        if reply.attempts:  # not out of a cache: the server itself has answered
            self._dialect = self._dialect or dialect
        ids = [category.id for category in narrowed.question.categories]
        answer = read_reply(replace(reply, attempts=before + reply.attempts), asked, ids, floor=self.settings.floor)
        read = answer.usage.prompt_tokens
        if read and read < least_tokens(ticket):
            return Failure(
                reason="too_long", detail=f"the server read {read} tokens, fewer than the ticket has", usage=answer.usage
            )
        if isinstance(answer, Failure):
            return answer
        self.transport.remember(reply)
        return replace(narrowed.whole(answer), read={"reading": "decisions", "dialect": dialect})

    def _fits(self, dialect: Dialect, categories: Sequence[Category]) -> bool:
        """Whether the tree, or a single question, takes these categories. Raises InputError if it does not and nothing else may be done."""
        key = dialect, tuple(category.id for category in categories)
        if key not in self._fit and self.settings.many == "shortlist":
            self._fit[key] = len(categories) <= self._limits(dialect).options
        elif key not in self._fit:
            try:
                self._choices(dialect, categories)
                self._fit[key] = True
            except InputError:
                if self.settings.many == "tree":
                    raise
                self._fit[key] = False
        return self._fit[key]

    def _narrowed(self, dialect: Dialect, question: Question) -> Narrowed:
        """The question with as many categories as one question takes."""
        if self._fits(dialect, question.categories):
            return Narrowed(question)
        most = self._limits(dialect).options
        root = divided(self.taxonomy, question.categories, most, "shortlist")
        return narrowed_question(question, root, most, self._shortlist(dialect, most))

    def _shortlist(self, dialect: Dialect, most: int) -> Shortlist | None:
        """What narrows questions, made once, however many threads ask for it."""
        with self._fitting:
            if dialect not in self._shortlists:
                root = divided(self.taxonomy, self.taxonomy.leaves, most, "shortlist")
                self._shortlists[dialect] = shortlist_for(self.taxonomy, self._examples, root, most)
            return self._shortlists[dialect]

    def _for(self, dialect: Dialect, question: Question) -> tuple[Choice, ...]:
        asked = self._choices(dialect, question.categories)
        if not question.examples:
            return asked
        add = partial(with_examples, taxonomy=self.taxonomy, examples=question.examples, language=self._prompt.language)
        return tuple(add(choice) for choice in asked)

    def _choices(self, dialect: Dialect, categories: Sequence[Any]) -> tuple[Choice, ...]:
        key = dialect, tuple(category.id for category in categories)
        if key not in self._asked:
            prompt = self._prompt
            limits = self._limits(dialect)
            self._asked[key] = choices(self.taxonomy, categories, limits, language=prompt.language, examples=prompt.examples)
        return self._asked[key]

    def _limits(self, dialect: Dialect) -> Limits:
        known = _LIMITS_OF_HOSTS.get(urlsplit(self.transport.endpoint.url).hostname or "", _LIMITS[dialect])
        settings = self.settings
        return Limits(options=settings.max_options or known.options, questions=settings.max_questions or known.questions)


def request_body(settings: BackendSettings, dialect: Dialect, ticket: str, asked: Sequence[Choice]) -> dict[str, Any]:
    """A request as plain data.

    Args:
        settings: Model and options.
        dialect: The form of the request.
        ticket: The fenced text.
        asked: The questions.
    """
    if dialect == "openai":
        about: dict[str, Any] = {"input": ticket, "questions": [_as_openai(choice) for choice in asked]}
    else:
        about = {"state": ticket, "questions": {choice.name: _as_systemone(choice) for choice in asked}}
    body = {"model": settings.model, **about, **settings.extra_body}
    return {name: value for name, value in body.items() if name not in settings.omit}


def _as_openai(choice: Choice) -> dict[str, Any]:
    options = [{"value": value, "description": text} for value, text in choice.options.items()]
    return {"type": "choice", "name": choice.name, "instructions": choice.instructions, "choices": options}


def _as_systemone(choice: Choice) -> dict[str, Any]:
    return {"type": "choice", "instructions": choice.instructions, "criteria": dict(choice.options)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """What the answer to one question says.

    Attributes:
        logs: The natural logarithm of the probability of every option; exp sums to 1.
        unlisted: Options that the answer does not list.
        label_mass: The probability of all options together before normalising; None where the server does not tell.
    """

    logs: Mapping[str, float]
    unlisted: frozenset[str]
    label_mass: float | None = None


class _UnusableError(Exception):
    """An answer that gives no distribution; it is caught in `read_reply` and never leaves this file."""

    def __init__(self, reason: EngineReason, detail: str, raw: str | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.raw = reason, detail, raw


def read_reply(reply: Reply, asked: Sequence[Choice], ids: Sequence[str], *, floor: float) -> Prediction | Failure:
    """Read the answers in either dialect. Every field of a reply may be missing, null or of another type.

    Args:
        reply: What came back.
        asked: The questions, a node's before those of its parts.
        ids: The categories of the ticket's question, for the order of the scores.
        floor: The most probability that an option gets which the server gave none; half a step of a server that rounds.
    """
    body = mapping(reply.body)
    usage = usage_of(body.get("usage"), attempts=reply.attempts, waited=reply.waited)
    try:
        masses = mapping(body.get("diagnostics"))
        found = [
            replace(
                read_answer(answer, tuple(choice.options), floor=floor),
                label_mass=_share(mapping(masses.get(choice.name)).get("label_mass")),
            )
            for choice, answer in zip(asked, _answers(body.get("answers"), asked), strict=True)
        ]
    except _UnusableError as error:
        return Failure(reason=error.reason, detail=error.detail, raw=error.raw, usage=usage, seconds=reply.seconds)
    model = body.get("model")
    return Prediction(
        answer=joined(asked, found, ids),
        source="decisions",
        model=model if isinstance(model, str) else "",
        usage=usage,
        seconds=reply.seconds,
    )


def _answers(answers: object, asked: Sequence[Choice]) -> list[object]:
    """One answer a question: a list in their order ("openai") or a mapping by their names ("systemone")."""
    if isinstance(answers, dict):
        return [answers.get(choice.name) for choice in asked]
    if not isinstance(answers, list) or len(answers) != len(asked):
        raise _UnusableError("bad_response", "the reply holds not one answer for each question")
    if any(mapping(answer).get("name") not in (None, choice.name) for choice, answer in zip(asked, answers, strict=True)):
        raise _UnusableError("bad_response", "the answers are not in the order of the questions")
    return answers


def read_answer(answer: object, options: Collection[str], *, floor: float) -> Distribution:
    """The distribution that one answer gives over `options`; raises for one that gives none.

    Positive values stay as they are, up to normalising. An option that is listed with 0 or not at all gets the largest value that the
    listed ones allow: no more than `floor`, than the smallest positive one, and than its share of what is left of 1 when each positive
    value may be too large by `floor`. So rounding to 0.01 never gives a logarithm of 0, and many zeros together take no more than
    rounding can have hidden.
    """
    kind = mapping(answer).get("type", "choice")
    if kind == "refusal":
        raise _UnusableError("refused", "the model refused to answer")
    if kind != "choice":
        raise _UnusableError("bad_response", "the answer is not a choice")
    listed: dict[str, float] = {}
    for option, probability in _pairs(mapping(answer).get("probabilities")):
        if option not in options:
            raise _UnusableError("unknown_label", "the answer lists an option that was not offered", raw=option[:_MOST_RAW])
        if option in listed:
            raise _UnusableError("bad_response", "the answer lists an option twice")
        listed[option] = probability
    total = math.fsum(listed.values())
    if not _LEAST_SUM <= total <= _LARGEST_SUM:
        raise _UnusableError("bad_response", f"the probabilities sum to {total:.3g}")
    positive = {option: value for option, value in listed.items() if value > 0}
    left = max(0.0, 1 - total) + floor * len(positive)
    bound = min(floor, *positive.values(), left / max(1, len(options) - len(positive)))
    values = {option: positive.get(option, bound) for option in options}
    whole = math.log(math.fsum(values.values()))
    logs = {option: math.log(value) - whole for option, value in values.items()}
    return Distribution(logs=logs, unlisted=frozenset(options) - listed.keys())


def _pairs(probabilities: object) -> Iterator[tuple[str, float]]:
    """Options with their probabilities: a list of objects ("openai") or a mapping ("systemone")."""
    if isinstance(probabilities, dict):
        pairs = list(probabilities.items())
    elif isinstance(probabilities, list):
        pairs = [(mapping(pair).get("value"), mapping(pair).get("probability")) for pair in probabilities]
    else:
        raise _UnusableError("bad_response", "the answer lists no probabilities")
    for option, value in pairs:
        probability = _share(value)
        if not isinstance(option, str) or probability is None:
            raise _UnusableError("bad_response", "the answer lists something that is no option with a probability")
        yield option, probability


def joined(asked: Sequence[Choice], found: Sequence[Distribution], ids: Sequence[str]) -> Scores:
    """Scores over `ids` from the answers of all questions: the probability of a leaf is the product along its path.

    The label mass of several questions is the probability that every answer on the way down is an option, where each step follows the
    model's own distribution: for one question its own label mass.
    """
    top = asked[0].within
    logs, unlisted, masses = {top: 0.0}, {top: False}, {top: 1.0}
    for choice, answer in zip(asked, found, strict=True):
        for option, log in answer.logs.items():
            logs[option] = logs[choice.within] + log
            unlisted[option] = unlisted[choice.within] or option in answer.unlisted
            masses[option] = masses[choice.within] * (math.nan if answer.label_mass is None else answer.label_mass)
    values = np.array([logs[category] for category in ids])
    values -= np.logaddexp.reduce(values)
    mass = float(np.exp(values) @ np.array([masses[category] for category in ids]))
    return Scores(
        values=values,
        missing=np.array([unlisted[category] for category in ids]),
        label_mass=None if math.isnan(mass) else min(mass, 1.0),
    )


def _share(value: object) -> float | None:
    """A probability, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1 + _ABOVE_ONE:
        return None
    return min(float(value), 1.0)
