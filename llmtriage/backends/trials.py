"""Does a way to read a model work? One request with the prompt itself, on a text of ours, shows it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.backends.http import is_openai
from llmtriage.backends.logprobs import LogprobBackend, Place
from llmtriage.backends.readings.one_token import MOST_IDS, Lists
from llmtriage.errors import BackendRefusedError, BackendUnavailableError, InputError, RefusedFieldError
from llmtriage.predictions import PASSING, Failure, Question, Scores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.backends.speaking import Speaker
    from llmtriage.backends.tokenizing import Tokenizer
    from llmtriage.backends.ways import Ways

_log = logging.getLogger(__name__)

TOPS = (20, 5)  # what hosts list: 20 by most, 5 by some
FIELDS = ("logprobs", "top_logprobs", "logprob_token_ids", "return_tokens_as_token_ids")
_MASS = 0.5  # of the probability in a trial must lie on codes, else the model means something else
_TEXTS = {"en": "Hello, I have a question about my order.", "zh": "你好，我想咨询一下我的订单。"}


@dataclass(frozen=True, slots=True)
class Try:
    """What is tried: a place to read at, whether it must be that one, and whether somebody waits."""

    place: Place
    must: bool
    online: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial showed: an engine that can be used, or why not."""

    engine: LogprobBackend | None
    problem: str = ""
    mass: float | None = None
    refused: bool = False
    thinks: bool = False


async def forms(ways: Ways, place: Place, tokenizer: Tokenizer) -> list[Lists]:
    """The forms of lists to try, the best first."""
    settings = ways.settings
    tops = TOPS if settings.top_logprobs is None else (settings.top_logprobs,)
    forms = [Lists(form="openai", most=most) for most in tops if most >= 2]
    forms += [Lists(form="integer", most=most) for most in tops[-1:] if most >= 2]
    ids = MOST_IDS if settings.token_ids is None else settings.token_ids
    if place == "token" and ids >= 2 and not is_openai(ways.transport.endpoint.url) and await tokenizer.works():
        forms.insert(0, Lists(form="ids", most=ids))
    return forms


async def tried(ways: Ways, wanted: Try, speaker: Speaker, lists: Lists, tokenizer: Tokenizer) -> Trial:
    """One request with the prompt itself, on a text of ours."""
    try:
        engine = await ways.made(speaker, wanted.place, lists, tokenizer, ways.first_kind)
        return await _judged(ways, wanted, engine)
    except RefusedFieldError as error:
        return Trial(None, error.problem, refused=True)
    except InputError as error:
        if wanted.must:
            raise
        return Trial(None, error.problem)


async def _judged(ways: Ways, wanted: Try, engine: LogprobBackend) -> Trial:
    text = _TEXTS["zh" if ways.prompt.language.startswith("zh") else "en"]
    question = Question(text=text, categories=ways.prompt.taxonomy.leaves)
    answer, listed = await engine.trial(question, naming=FIELDS, online=wanted.online)
    if isinstance(answer, Failure) and answer.reason in PASSING:
        problem = f"a first question got no answer: {answer.detail}"
        raise BackendUnavailableError(problem, remedy="try again when the server answers", backend=ways.name)
    if isinstance(answer, Failure) and answer.reason == "too_long":  # so is every ticket, whatever the way
        remedy = "give the server a larger window, show fewer examples, or ask about less at once with max_options"
        raise BackendRefusedError(f"even with a short ticket, {answer.detail}", remedy=remedy, backend=ways.name)
    if isinstance(answer, Failure):
        return Trial(None, answer.detail)
    scores = answer.answer
    assert isinstance(scores, Scores)  # noqa: S101 - this engine gives nothing else
    if scores.missing is not None and np.count_nonzero(~scores.missing) < 2:
        return Trial(None, "of all codes only the chosen one has a log-probability")
    if scores.label_mass is not None and scores.label_mass < _MASS:
        problem = f"only {scores.label_mass:.2f} of the probability lies on codes: the model wants to answer something else"
        if ways.settings.reading != wanted.place:
            return Trial(None, problem)
        _log.warning("%s: %s", ways.name, problem)
    way = replace(engine.way, model=answer.model)
    if way.lists.form != "ids" and listed < min(way.lists.most / 2, len(scores.values)):  # a few less is chance
        way = replace(way, lists=replace(way.lists, most=listed), most=min(way.most, listed))
    return Trial(await ways.with_way(engine, way), mass=scores.label_mass)


def most_telling(trials: Mapping[Lists, Trial]) -> Trial:
    """Of trials that failed: the first of the usual form that got an answer, else the first."""
    usual = [trial for lists, trial in trials.items() if lists.form == "openai"]
    answered = [trial for trial in usual if not trial.refused]
    return next(iter([*answered, *usual, *trials.values()]), Trial(None, "the server lists no log-probabilities"))
