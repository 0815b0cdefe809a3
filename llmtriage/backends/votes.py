"""A chat model, asked several times at a temperature: how often it names each category: `source="votes"`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmtriage.backends.chat import ChatBackend
from llmtriage.backends.fields import mapping
from llmtriage.backends.http import is_openai
from llmtriage.backends.prompted import summed
from llmtriage.backends.replies import read_reply
from llmtriage.errors import RefusedFieldError
from llmtriage.predictions import Failure, Prediction, Scores, SingleLabel
from llmtriage.probability.readings import from_votes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.backends.planning import Planned
    from llmtriage.backends.replies import Labels
    from llmtriage.backends.speaking import Wanted
    from llmtriage.backends.transport import Reply
    from llmtriage.predictions import Question, Usage

_TEMPERATURE = 1.0  # the model's own distribution


class VotesBackend(ChatBackend):
    """Samples answers in JSON until there are enough; where a server writes several to one request, that saves prompts."""

    votes: int = 5
    _refused = False

    def fingerprint(self) -> Mapping[str, str]:
        """As for one answer, and how many there are."""
        return {**super().fingerprint(), "reading": f"{self.votes} votes", "temperature": repr(self._heat)}

    def plan(self, question: Question) -> Planned:
        """What would be sent first, for an estimate."""
        return replace(super().plan(question), calls=self.votes)

    @property
    def _heat(self) -> float:
        return self.settings.temperature or _TEMPERATURE

    @property
    def _several(self) -> bool:
        """Whether one request may ask for several answers. Some hosts refuse that; where it is ignored, the rest is asked for again."""
        return not self._refused and (self.settings.kind in ("vllm", "vllm-offline") or is_openai(self.transport.endpoint.url))

    def _asking(self, labels: Labels, *, room: int = 1) -> Wanted:
        return replace(super()._asking(labels, room=room), temperature=self._heat)

    async def _answer(self, question: Question, **how: Any) -> Prediction | Failure:
        """Ask until enough answers came; an answer that cannot be read is a vote for none."""
        labels, messages = self._labels_of(question), self._messages(question)
        said: list[Prediction | Failure] = []
        how |= {"shared": None, "fresh": True, "beginning": (messages.system, question.examples)}  # samples are never shared
        while len(said) < self.votes:
            wanted = self._asking(labels)
            left = self.votes - len(said)
            if left > 1 and self._several:
                wanted = replace(wanted, fields={**wanted.fields, "n": left})
            try:
                reply = await self.speaker.post(messages.as_chat(), wanted, **how)
            except RefusedFieldError as error:
                if error.field != "n" or "n" not in wanted.fields:
                    raise
                self._refused = True  # one by one from now on
                continue
            if isinstance(reply, Failure):
                return replace(reply, usage=_total([*said, reply]))
            found = [self._whole(messages, answer) for answer in _each(reply, labels)][:left]
            cut = next((one for one in found if isinstance(one, Failure) and one.reason == "too_long"), None)
            if cut is not None:
                return replace(cut, usage=_total([*said, *found]))
            said += found
        return self._counted(said, labels.ids)

    def _counted(self, said: Sequence[Prediction | Failure], ids: Sequence[str]) -> Prediction | Failure:
        usage, seconds = _total(said), sum(one.seconds for one in said)
        named = [one.answer.category for one in said if isinstance(one, Prediction) and isinstance(one.answer, SingleLabel)]
        if not named:
            failed = next(one for one in said if isinstance(one, Failure))
            return replace(failed, usage=usage, seconds=seconds)
        counts = np.array([named.count(name) for name in ids])
        values, missing, mass = from_votes(counts, unreadable=len(said) - len(named))
        first = next(one for one in said if isinstance(one, Prediction))
        scores = Scores(values=values, missing=missing, label_mass=mass)
        read = {"reading": f"{self.votes} votes", "temperature": repr(self._heat)}
        return replace(first, answer=scores, source="votes", usage=usage, seconds=seconds, read=read, forgiven=False)


def _each(reply: Reply, labels: Labels) -> list[Prediction | Failure]:
    """One answer for each choice of a reply; what it cost counts once."""
    body = mapping(reply.body)
    choices = body.get("choices")
    several = choices if isinstance(choices, list) and choices else [None]
    answers = [read_reply(replace(reply, body={**body, "choices": [choice]}), labels) for choice in several]
    nothing = replace(answers[0].usage, prompt_tokens=None, cached_tokens=None, output_tokens=None, attempts=0, waited=0.0)
    return [answers[0], *(replace(answer, usage=nothing, seconds=0.0) for answer in answers[1:])]


def _total(said: Sequence[Prediction | Failure]) -> Usage:
    usage = said[0].usage
    for one in said[1:]:
        usage = summed(usage, one.usage)
    return usage
