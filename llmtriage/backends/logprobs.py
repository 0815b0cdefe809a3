"""A chat model, asked for one code and read by the log-probabilities of its answer: `source="logprobs"`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmtriage.backends.fields import mapping, usage_of
from llmtriage.backends.lead import Lead
from llmtriage.backends.planning import Planned
from llmtriage.backends.probing.asking import read
from llmtriage.backends.prompted import AHEAD, PromptedBackend
from llmtriage.backends.readings.codes import CodeBook
from llmtriage.backends.readings.listed import positions
from llmtriage.backends.readings.many import Ask, Node, Shortlist, Steps, descent, divided, turned, unseen_of
from llmtriage.backends.readings.one_token import Lists, first_choice, read_first, read_within, renormalises, wanted_ids
from llmtriage.backends.replies import thought, withheld
from llmtriage.backends.speaking import PATH, Wanted
from llmtriage.backends.transport import Reply
from llmtriage.errors import InputError, StoppedError
from llmtriage.predictions import Failure, Prediction, Question, Scores, Usage
from llmtriage.probability.readings import prior_of, without_prior
from llmtriage.prompting import Form

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.backends.readings.many import Many
    from llmtriage.backends.speaking import Speaker
    from llmtriage.predictions import Floats
    from llmtriage.prompting import Messages, Prompt
    from llmtriage.taxonomy import Category

Place = Literal["token", "json-token"]

_AROUND_CODE = 24  # tokens of {"category": "..."} with white space
_CONTENT_FREE = ("N/A", "[MASK]", "...")  # Zhao et al. 2021 use N/A, [MASK] and an empty text, which a fence would show empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one model is read, found out before the first ticket and the same for all.

    Attributes:
        place: Where the code stands: the answer's one token, or the value in a JSON object.
        lists: How the server lists log-probabilities.
        book: The codes.
        most: Options of one question.
        many: How more of them are asked about.
        model: The model, as answers name it; empty where they do not.
        turns: Assignments of codes that are averaged.
        between: Only for tickets whose largest probability lies within these; None: for all.
        content_free: Whether what is said of texts without content is divided out.
    """

    place: Place = "token"
    lists: Lists
    book: CodeBook
    most: int
    many: Many = "auto"
    model: str = ""
    turns: int = 1
    between: tuple[float, float] | None = None
    content_free: bool = False

    def facts(self) -> dict[str, str]:
        """All that an answer depends on, in words."""
        found = {
            "reading": self.place,
            "codes": self.book.kind,
            "lists": self.lists.form,
            "most": str(self.most),
            "many": self.many,
            "answers_as": self.model,
        }
        if self.turns > 1:
            found["debias"] = f"permute {self.turns}" + (" between {} and {}".format(*self.between) if self.between else "")
        return {**found, "debias": "content-free"} if self.content_free else found


class LogprobBackend(PromptedBackend):
    """Reads a probability of every category from log-probabilities."""

    def __init__(
        self, speaker: Speaker, prompt: Prompt, way: Way, *, shortlist: Shortlist | None = None, shorten: bool = False
    ) -> None:
        """Put the parts together; nothing is sent yet.

        Args:
            speaker: Sends messages.
            prompt: Renders the questions.
            way: How the model is read.
            shortlist: Narrows questions that are wider than one takes; None: there are none.
            shorten: A ticket that does not fit the context may lose its middle.

        Raises:
            InputError: The categories, codes and options do not go together.
        """
        super().__init__(speaker, prompt, shorten=shorten, model=way.model)
        self.way = way
        self.shortlist = shortlist
        self._facts = way.facts()
        self._roots: dict[tuple[str, ...], Node] = {}
        self._priors: dict[tuple[str, ...], Floats] = {}
        self._begun: set[str] = set()
        self._leads: dict[str, Lead] = {}
        root = self._root(prompt.taxonomy.leaves)
        self._narrows = way.many != "all" and any(len(node.options) > way.most for node in root.walk())
        if root.below:
            self.ahead = AHEAD
        for node in root.walk():
            wide = len(node.options) > way.most
            if wide and (way.content_free or shortlist is None) and way.many != "all":
                problem = f"a question with {len(node.options)} options is wider than the {way.most} that fit"
                remedy = "use --many tree" if way.content_free else "set max_options"
                raise InputError(
                    f"{problem}, and content-free texts need fixed ones" if way.content_free else problem, remedy=remedy
                )
            way.book.of(node.options if way.many == "all" or way.book.kind == "words" else node.options[: way.most])

    def fingerprint(self) -> Mapping[str, str]:
        """Model, wording, examples, options, and how it is read."""
        narrowed = None if self.shortlist is None else [repr(self.shortlist.left_out), self.shortlist.learnt]
        return {**self._fingerprint(shortlist=narrowed), **self._facts, "codes": f"{self.way.book.kind} {self.way.book.hash}"}

    def request(self, question: Question) -> dict[str, Any]:
        """The body of the first request for one question."""
        ask = self._first(question)
        codes = self._codes(ask)
        return self.speaker.body(self._rendered(question, ask).as_chat(), self._asking(codes))

    def plan(self, question: Question) -> Planned:
        """What would be sent first, for an estimate."""
        messages = self._messages(question)
        root = self._root(question.categories)
        return Planned(
            url=self.transport.endpoint.url,
            model=self.settings.model,
            shared=messages.system,
            own=messages.user,
            output_tokens=1 if self.way.place == "token" else _AROUND_CODE // 2,
            known=self.transport.is_known(PATH, self.request(question)),
            calls=(1 + bool(root.below)) * (1 if self.way.between else self.way.turns) * (len(question.categories) > 1),
        )

    async def learn_priors(self) -> None:
        """Ask about texts without content, once, for every question that may be asked. Nothing to do without that correction."""
        if not self.way.content_free:
            return
        for node in self._root(self.prompt.taxonomy.leaves).walk():
            ask = Ask(node.options, node.within)
            said = await asyncio.gather(*(self._ask(Question(text=text, categories=node.options), ask) for text in _CONTENT_FREE))
            found = [one.answer for one in said if isinstance(one, Prediction) and isinstance(one.answer, Scores)]
            failed = next((one for one in said if isinstance(one, Failure)), None)
            if failed is not None:  # a correction by some of the texts would be another one
                problem = f"a text without content got no answer, so the correction cannot be learnt: {failed.detail}"
                raise StoppedError(problem, remedy="try again, or leave out --debias", backend=self.name)
            missing = np.stack([unseen_of(scores) for scores in found])
            self._priors[_ids(node.options)] = prior_of(np.stack([scores.values for scores in found]), missing)

    async def trial(self, question: Question, *, naming: Sequence[str], online: bool = False) -> tuple[Prediction | Failure, int]:
        """Ask one question to see whether this way works: the answer, and how many tokens the server listed.

        Args:
            question: About a text of ours.
            naming: Fields that a server may not know.
            online: Somebody waits.

        Raises:
            RefusedFieldError: It does not know one of them.
        """
        ask = self._first(question)
        codes, messages = self._codes(ask), self._rendered(question, ask)
        reply = await self.speaker.post(messages.as_chat(), self._asking(codes), naming=naming, fresh=True, online=online)
        if isinstance(reply, Failure):
            # What comes from a gateway and is no refusal says nothing about the server behind it.
            unclear = reply.reason == "bad_response" and not read(reply).refused
            return (replace(reply, reason="backend_unavailable") if unclear else reply), 0
        listed = [len(place.tokens) for place in positions(first_choice(reply.body))]
        return self._whole(messages, self._read(reply, ask, codes)), max(listed, default=0)

    # -- one question --------------------------------------------------------------------------

    async def _answer(self, question: Question, **how: Any) -> Prediction | Failure:
        """Follow the steps: ask what they want at once, tell them what came."""
        if len(question.categories) == 1:
            return self._certain()
        root = self._root(question.categories)
        steps = self._steps(question, root)
        asks = next(steps)
        while True:
            said = await asyncio.gather(*(self._ask(question, ask, **how) for ask in asks))
            try:
                asks = steps.send(said)
            except StopIteration as end:
                answer: Prediction | Failure = end.value
                return answer

    def _steps(self, question: Question, root: Node) -> Steps:
        most = len(root.options) if self.way.many == "all" else self.way.most
        shortlist = self.shortlist and self.shortlist.among(question.categories)
        make = partial(descent, root, question.text, most=most, shortlist=shortlist)
        turns = min(self.way.turns, len(root.options))  # there are no more assignments of codes
        return turned(lambda turn: make(turn=turn), turns, self.way.between)

    async def _ask(self, question: Question, ask: Ask, **how: Any) -> Prediction | Failure:
        """One question to the model."""
        if len(ask.categories) == 1:
            return self._certain()
        codes, messages = self._codes(ask), self._rendered(question, ask)
        how["beginning"] = messages.system, question.examples
        reply = await self._posted(messages, self._asking(codes), **how)
        if isinstance(reply, Reply) and not reply.attempts and self._same.is_another(_model_of(reply.body)):
            reply = await self._posted(messages, self._asking(codes), fresh=True, **how)  # an earlier run's answer was kept
        if isinstance(reply, Failure):
            return reply
        answer = self._whole(messages, self._read(reply, ask, codes))
        if isinstance(answer, Prediction):
            self.transport.remember(reply)
        return answer

    async def _posted(self, messages: Messages, wanted: Wanted, **how: Any) -> Reply | Failure:
        """The first request with a system message goes alone: what comes after it finds that in the server's prefix cache."""
        if self._narrows or messages.system in self._begun:
            return await self.speaker.post(messages.as_chat(), wanted, **how)
        lead = self._leads.setdefault(messages.system, Lead())

        async def first() -> Reply | Failure:
            reply = await self.speaker.post(messages.as_chat(), wanted, **how)
            self._begun.add(messages.system)
            return reply

        reply = await lead.go(lambda: messages.system in self._begun, first)
        return reply or await self.speaker.post(messages.as_chat(), wanted, **how)

    def _read(self, reply: Reply, ask: Ask, codes: Sequence[str]) -> Prediction | Failure:
        body = mapping(reply.body)
        usage = usage_of(body.get("usage"), attempts=reply.attempts, waited=reply.waited)
        scores = withheld(body) or self._scores(body, codes)
        if isinstance(scores, Failure):
            return replace(scores, usage=usage, seconds=reply.seconds)
        self._same.check(_model_of(body))
        prior = self._priors.get(_ids(ask.categories))
        if prior is not None:
            scores = replace(scores, values=without_prior(scores.values, prior, unseen_of(scores)))
        return Prediction(
            answer=scores,
            source="logprobs",
            model=_model_of(body),
            usage=usage,
            seconds=reply.seconds,
            read=self._facts,
        )

    def _scores(self, body: Mapping[str, Any], codes: Sequence[str]) -> Scores | Failure:
        if thought(body):
            return Failure(reason="bad_response", detail="the model thought before it answered, so its first token is no answer")
        choice = first_choice(body)
        if self.way.place == "json-token":
            return read_within(positions(choice), codes)
        wanted = self._wanted_ids(codes)
        masked = renormalises(self.settings.extra_body)
        return read_first(choice, codes, self.way.book, wanted=wanted, renormalised=masked)

    def _certain(self) -> Prediction:
        """The one category there is; nobody is asked."""
        scores = Scores(values=np.zeros(1), missing=np.zeros(1, dtype=np.bool_))
        return Prediction(answer=scores, source="logprobs", model=self.settings.model, usage=Usage(attempts=0), read=self._facts)

    # -- what is asked -------------------------------------------------------------------------

    def _root(self, categories: Sequence[Category]) -> Node:
        key = _ids(categories)
        if key not in self._roots:
            self._roots[key] = divided(self.prompt.taxonomy, categories, self.way.most, self.way.many)
        return self._roots[key]

    def _first(self, question: Question) -> Ask:
        root = self._root(question.categories)
        if len(root.options) < 2:
            return Ask(root.options, root.within)
        return next(self._steps(question, root))[0]

    def _codes(self, ask: Ask) -> tuple[str, ...]:
        return self.way.book.of(ask.categories, ask.turn)

    def _rendered(self, question: Question, ask: Ask) -> Messages:
        form = Form(codes=self._codes(ask), in_json=self.way.place == "json-token", within=ask.within)
        return self.prompt.render(replace(question, categories=ask.categories), form)

    def _messages(self, question: Question) -> Messages:
        return self._rendered(question, self._first(question))

    def _wanted_ids(self, codes: Sequence[str]) -> tuple[int, ...]:
        return wanted_ids(codes, self.way.book, self.way.lists.most) if self.way.lists.form == "ids" else ()

    def _asking(self, codes: Sequence[str]) -> Wanted:
        temperature = self.settings.temperature
        if self.way.place == "json-token":
            fields = self.way.lists.fields()
            schema = code_schema(codes)
            return Wanted(schema=schema, tokens=_AROUND_CODE, thinking=False, temperature=temperature, fields=fields)
        fields = self.way.lists.fields(self._wanted_ids(codes))
        return Wanted(schema=None, tokens=1, thinking=False, temperature=temperature, fields=fields)

    @property
    def _wanted(self) -> Wanted:
        return self._asking(())


def code_schema(codes: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of an answer that names a code."""
    properties = {"category": {"type": "string", "enum": list(codes)}}
    return {"type": "object", "properties": properties, "required": ["category"], "additionalProperties": False}


def _model_of(body: object) -> str:
    """The model that answered, as the server names it; empty where it does not."""
    model = mapping(body).get("model")
    return model if isinstance(model, str) else ""


def _ids(categories: Sequence[Category]) -> tuple[str, ...]:
    return tuple(category.id for category in categories)
