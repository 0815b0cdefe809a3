"""The tokens that a server listed with their log-probabilities, in whatever form it lists them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmtriage.backends.fields import mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID = "token_id:"


@dataclass(frozen=True, slots=True)
class Listed:
    """One token of a list.

    Attributes:
        text: As the server writes it; empty where it tells only the id.
        id: Its number in the vocabulary; None where the server does not tell.
        logprob: The natural logarithm of its probability; NaN where there is none.
    """

    text: str
    id: int | None
    logprob: float


@dataclass(frozen=True, slots=True)
class Position:
    """What stands at one place of an answer: the token that was chosen, and all that were listed, it included, each once."""

    chosen: Listed
    tokens: tuple[Listed, ...]


def positions(choice: Mapping[str, Any]) -> tuple[Position, ...]:
    """The places of an answer; empty where the server lists nothing."""
    held = mapping(choice.get("logprobs"))
    content = held.get("content")
    if isinstance(content, list) and content:
        return tuple(_position(mapping(entry)) for entry in content)
    tops, tokens = held.get("top_logprobs"), held.get("tokens")
    if isinstance(tops, list) and tops:
        chosen = tokens if isinstance(tokens, list) else []
        return tuple(_of_integer_form(mapping(top), chosen[place : place + 1]) for place, top in enumerate(tops))
    return ()


def _position(entry: Mapping[str, Any]) -> Position:
    chosen, top = _listed(entry), entry.get("top_logprobs")
    others = [_listed(mapping(other)) for other in top] if isinstance(top, list) else []
    return Position(chosen, _each_once(others if any(_same(chosen, other) for other in others) else [chosen, *others]))


def _of_integer_form(top: Mapping[str, Any], chosen: list[Any]) -> Position:
    tokens = _each_once([_token(text, value, None) for text, value in top.items()])
    said = str(chosen[0]) if chosen else (tokens[0].text if tokens else "")
    first = next((token for token in tokens if token.text == said), Listed(said, None, math.nan))
    return Position(first, tokens)


def _listed(entry: Mapping[str, Any]) -> Listed:
    number = entry.get("id", entry.get("token_id"))
    found = _token(entry.get("token"), entry.get("logprob"), number)
    if found.id is None or not isinstance(entry.get("token"), str) or not entry["token"].startswith(_ID):
        return Listed(_decoded(found.text, entry.get("bytes")), found.id, found.logprob)
    return found


def _token(text: object, value: object, number: object) -> Listed:
    logprob = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    word = text if isinstance(text, str) else ""
    if word.startswith(_ID) and word.removeprefix(_ID).isascii() and word.removeprefix(_ID).isdigit():
        return Listed("", int(word.removeprefix(_ID)), logprob)
    return Listed(word, number if isinstance(number, int) and not isinstance(number, bool) else None, logprob)


def _decoded(text: str, raw: object) -> str:
    """Texts of tokens that hold a part of a character come empty or with a mark; then the bytes tell more."""
    if (text and "\ufffd" not in text) or not isinstance(raw, list):
        return text
    try:
        return bytes(raw).decode("utf-8", "replace")
    except (TypeError, ValueError):
        return text


def _same(one: Listed, other: Listed) -> bool:
    return one.id == other.id if one.id is not None and other.id is not None else one.text == other.text


def _each_once(tokens: list[Listed]) -> tuple[Listed, ...]:
    """Texts repeat, and servers list the chosen token twice; the first of each is the most probable."""
    known: dict[object, Listed] = {}
    for token in tokens:
        known.setdefault(token.text if token.id is None else token.id, token)
    return tuple(known.values())
