"""Log-probabilities: are they taken, do they come, and do they show what is chosen among?"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmtriage.backends.fields import mapping
from llmtriage.backends.probing.capabilities import Listed, LogProbs
from llmtriage.backends.probing.identity import token_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from llmtriage.backends.probing.asking import Answer, Prober

_LABELS = ("A", "B")
_QUESTIONS = (
    "A customer writes: where is my parcel? Is it about A = delivery or B = payment? Answer with one letter, A or B.",
    "顾客写道：我的快递到哪里了？这是 A = 物流 还是 B = 付款？只回答一个字母，A 或 B。",
)
_NUMBERS = (20, 5, 2)  # what hosts allow: 20 by most, 5 by some
_MORE = (200, 100, 50)  # what a server of your own may be started with
_ID = "token_id:"


async def logprobs(prober: Prober, *, tokenizer: bool) -> LogProbs:
    """One token each time: two to twelve requests, most of them only where something is refused."""
    found = await _openai_form(prober)
    if found.state != "listed":
        integer = await _integer_form(prober)
        found = integer if integer.state == "listed" else found
    if tokenizer and found.state == "listed":
        return replace(found, token_ids=await _by_id(prober))
    return found


async def _openai_form(prober: Prober) -> LogProbs:
    found = LogProbs()
    for number in _NUMBERS:
        fields = {"logprobs": True, "top_logprobs": number}
        found = await _tried(prober, fields, "openai")
        if found.state != "refused":
            break
    for number in _MORE if found.most == _NUMBERS[0] else ():
        answer = await prober.chat(_QUESTIONS[0], most=1, fields={"logprobs": True, "top_logprobs": number})
        if answer.came:
            return replace(found, most=max(found.most, len(_listed(answer))))
    return found


async def _integer_form(prober: Prober) -> LogProbs:
    return await _tried(prober, {"logprobs": 5}, "integer")


async def _tried(prober: Prober, fields: Mapping[str, Any], form: Any) -> LogProbs:
    """The first question tells what comes, the second whether that holds in Chinese too."""
    first = await prober.chat(_QUESTIONS[0], most=1, fields=fields)
    state = state_of(first)
    if state != "listed":
        return LogProbs(state=state, form=form)
    second = await prober.chat(_QUESTIONS[1], most=1, fields=fields)
    lists = [top_of(first), top_of(second)]
    masses = [_mass(found) for found in lists]
    both = all(_labels(found) == set(_LABELS) for found in lists)
    return LogProbs(state=state, form=form, most=len(_listed(first)), both=both, mass=min(masses))


async def _by_id(prober: Prober) -> bool:
    """Servers ignore fields they do not know, so only ids that came back count; one that no model would list makes it sure."""
    asked = [await token_ids(prober, text) for text in (*_LABELS, "§")]
    if not all(len(ids) >= 1 for ids in asked):
        return False
    wanted = [ids[-1] for ids in asked]
    fields = {"logprobs": True, "logprob_token_ids": wanted, "return_tokens_as_token_ids": True}
    answer = await prober.chat(_QUESTIONS[0], most=1, fields=fields)
    return {f"{_ID}{number}" for number in wanted} <= top_of(answer).keys()


def state_of(answer: Answer) -> Listed:
    """What came where log-probabilities were asked for."""
    if not answer.came:
        return "refused" if answer.refused else "unknown"
    if "logprobs" not in answer.choice:
        return "absent"
    if answer.choice["logprobs"] is None:
        return "null"
    return "listed" if top_of(answer) else "empty"


def top_of(answer: Answer) -> dict[str, float]:
    """The tokens of the first position with their log-probabilities, in either form; empty where there are none."""
    return dict(reversed(_listed(answer)))  # texts repeat, and the first of them is the most probable


def _listed(answer: Answer) -> list[tuple[str, float]]:
    held = mapping(answer.choice.get("logprobs"))
    first = _first(held.get("content"))
    if not first and isinstance(held.get("top_logprobs"), list):
        return _numbers(_first(held["top_logprobs"]).items())
    listed = first.get("top_logprobs")
    pairs = [mapping(entry) for entry in listed] if isinstance(listed, list) else []
    return _numbers((str(pair.get("token")), pair.get("logprob")) for pair in pairs)


def _first(values: object) -> Mapping[str, Any]:
    return mapping(values[0]) if isinstance(values, list) and values else {}


def _numbers(found: Iterable[tuple[str, Any]]) -> list[tuple[str, float]]:
    return [(token, float(value)) for token, value in found if isinstance(value, int | float) and not math.isnan(value)]


def _labels(found: Mapping[str, float]) -> set[str]:
    return {token.strip() for token in found} & set(_LABELS)


def _mass(found: Mapping[str, float]) -> float:
    return min(1.0, math.fsum(math.exp(min(value, 0.0)) for token, value in found.items() if token.strip() in _LABELS))
