"""The tokens that a server listed with their log-probabilities, in whatever form it lists them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmtriage.backends.fields import count, mapping
from llmtriage.probability.readings import MASKED

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID = re.compile(r"token_id:([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Listed:
    """One token of a list.

    Attributes:
        raw: What it writes, in UTF-8, which may be a part of a character; empty where the server tells only the id.
        id: Its number in the vocabulary; None where the server does not tell.
        logprob: The natural logarithm of its probability; NaN where there is none.
    """

    raw: bytes
    id: int | None
    logprob: float


@dataclass(frozen=True, slots=True)
class Position:
    """What stands at one place of an answer.

    Attributes:
        chosen: The token that stands there. One that was drawn by lot may be less probable than others that are not listed.
        tokens: All that were listed, the chosen one included, each once.
    """

    chosen: Listed
    tokens: tuple[Listed, ...]

    @property
    def bound(self) -> float:
        """The logarithm of the largest probability that a token may have that is not listed.

        The chosen one says nothing of that, even where it stands in the list: vLLM lists one that was drawn in place of the last.
        """
        own = _key(self.chosen)
        others = [token.logprob for token in self.tokens if _key(token) != own and token.logprob > MASKED]
        return min(others, default=self.chosen.logprob if self.chosen.logprob > MASKED else 0.0)


def positions(choice: Mapping[str, Any]) -> tuple[Position, ...]:
    """The places of an answer; empty where the server lists nothing."""
    held = mapping(choice.get("logprobs"))
    content, tops = _list(held.get("content")), _list(held.get("top_logprobs"))
    if content:
        return tuple(_of_openai_form(mapping(entry)) for entry in content)
    return tuple(_of_integer_form(held, place, mapping(top)) for place, top in enumerate(tops))


def _of_openai_form(entry: Mapping[str, Any]) -> Position:
    return _position(_entry(entry), [_entry(mapping(other)) for other in _list(entry.get("top_logprobs"))])


def _of_integer_form(held: Mapping[str, Any], place: int, top: Mapping[str, Any]) -> Position:
    chosen = _token(_at(held.get("tokens"), place), _at(held.get("token_logprobs"), place))
    return _position(chosen, [_token(text, value) for text, value in top.items()])


def _position(chosen: Listed, others: list[Listed]) -> Position:
    """Servers list the chosen token again or not, and some twice; of two with one text the first is the more probable."""
    known: dict[bytes | int, Listed] = {}
    for token in (*others, chosen):
        known.setdefault(_key(token), token)
    return Position(chosen, tuple(known.values()))


def _key(token: Listed) -> bytes | int:
    """What tells a token from others."""
    return token.raw if token.id is None else token.id


def _entry(entry: Mapping[str, Any]) -> Listed:
    number = entry.get("token_id") if entry.get("id") is None else entry.get("id")
    return _token(entry.get("token"), entry.get("logprob"), number, entry.get("bytes"))


def _token(text: object, value: object, number: object = None, raw: object = None) -> Listed:
    word = text if isinstance(text, str) else ""
    told = _ID.fullmatch(word)
    if told:  # its bytes, where there are any, spell "token_id:"
        return Listed(b"", int(told[1]), _logarithm(value))
    return Listed(_bytes(raw) or word.encode("utf-8", "replace"), count(number), _logarithm(value))


def _logarithm(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:  # JSON has whole numbers of any length
        return math.nan


def _bytes(raw: object) -> bytes:
    """What a token writes where it holds a part of a character, which its text cannot show; empty where the server does not tell."""
    try:
        return bytes(raw) if isinstance(raw, list) else b""
    except (TypeError, ValueError):
        return b""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _at(values: object, place: int) -> object:
    held = _list(values)
    return held[place] if place < len(held) else None
