"""One output token, read as log-probabilities: what is asked for, and what the reply says. Pure conversions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmtriage.backends.fields import mapping
from llmtriage.backends.readings.listed import Listed, positions
from llmtriage.predictions import Failure, Scores
from llmtriage.probability.readings import MASKED, NoLabelError, NotProbabilitiesError, from_logprobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.backends.readings.codes import CodeBook
    from llmtriage.backends.readings.listed import Position
    from llmtriage.predictions import Floats

ListForm = Literal["ids", "openai", "integer"]

MOST_IDS = 128  # vLLM 0.32 refuses more in one request
# Fields with which a server masks what it does not allow, and normalises what is left.
_MASKS = (
    *("structured_outputs", "guided_choice", "guided_json", "guided_regex", "guided_grammar", "response_format"),
    *("allowed_token_ids", "logit_bias", "grammar", "json_schema", "regex", "ebnf"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """How a server lists log-probabilities.

    Attributes:
        form: By the numbers of tokens (`logprob_token_ids`), or the most probable ones (`top_logprobs: n`, or `logprobs: n`).
        most: The most that it lists.
    """

    form: ListForm
    most: int

    def fields(self, wanted: Sequence[int] = ()) -> dict[str, Any]:
        """The fields of a request.

        Args:
            wanted: The numbers of the tokens, where `form` is "ids".
        """
        if self.form == "ids":
            return {"logprobs": True, "logprob_token_ids": list(wanted), "return_tokens_as_token_ids": True}
        if self.form == "openai":
            return {"logprobs": True, "top_logprobs": self.most}
        return {"logprobs": self.most}


def wanted_ids(codes: Sequence[str], book: CodeBook, most: int) -> tuple[int, ...]:
    """The tokens to ask for by number: also those with a blank before them, where there is room for all."""
    every = tuple(number for code in codes for number in book.ids[code])
    return every if len(every) <= most else tuple(book.ids[code][0] for code in codes)


def renormalises(body: Mapping[str, Any]) -> bool:
    """Whether a request has the server mask tokens: then nothing tells how much probability the codes had."""
    return any(body.get(name) for name in _MASKS)


def read_first(
    choice: Mapping[str, Any], codes: Sequence[str], book: CodeBook, *, wanted: Sequence[int] = (), renormalised: bool = False
) -> Scores | Failure:
    """The distribution over `codes` at the first token of an answer.

    Args:
        choice: The first choice of a chat completion.
        codes: What stands for each category.
        book: Knows their tokens.
        wanted: The tokens that were asked for by number; empty: the most probable ones were asked for.
        renormalised: The server was made to mask other tokens.

    """
    places = positions(choice)
    if not places:
        return Failure(reason="bad_response", detail="the server listed no log-probabilities")
    tokens = places[0].tokens
    if wanted:
        absent = set(wanted) - {token.id for token in tokens}
        if absent:
            detail = f"the server left out {len(absent)} of the {len(wanted)} tokens that were asked for by number"
            return Failure(reason="bad_response", detail=detail)
    return scores(tokens, _by_code(tokens, codes, book), renormalised=renormalised)


def read_within(places: Sequence[Position], codes: Sequence[str], *, key: str = "category") -> Scores | Failure:
    """The distribution over `codes` where the value of `key` stands in an answer in JSON.

    The server holds answers to a schema, so it masks all other tokens: there is no label mass.

    Args:
        places: Of the answer.
        codes: What may stand there.
        key: Whose value is read.
    """
    if not places:
        return Failure(reason="bad_response", detail="the server listed no log-probabilities")
    found = _value_place(places, key)
    if found is None:
        return Failure(reason="bad_response", detail="the answer has no place where the code would stand")
    place, before = found
    values = np.full(len(codes), -math.inf)
    for token in place.tokens:
        if token.text.startswith(before):
            said = token.text[len(before) :].strip()
            for index, code in enumerate(codes):
                if said == code or said.startswith(f'{code}"'):
                    values[index] = np.logaddexp(values[index], token.logprob)
    return scores(place.tokens, np.where(values > MASKED, values, math.nan), renormalised=True)


def scores(tokens: Sequence[Listed], found: Floats, *, renormalised: bool) -> Scores | Failure:
    """Scores from what was found for each code among the listed tokens."""
    try:
        values, missing, mass = from_logprobs(
            found, listed=np.array([token.logprob for token in tokens]), renormalised=renormalised
        )
    except NoLabelError:
        return Failure(reason="unknown_label", detail=f"no code is among the {len(tokens)} most probable tokens")
    except NotProbabilitiesError as error:
        return Failure(reason="bad_response", detail=f"the server's numbers are no log-probabilities ({error})")
    return Scores(values=values, missing=missing, label_mass=mass)


def _by_code(tokens: Sequence[Listed], codes: Sequence[str], book: CodeBook) -> Floats:
    """The logarithm of each code's probability: several tokens may be the same code, with and without a blank."""
    numbers = {number: index for index, code in enumerate(codes) for number in book.ids.get(code, ())}
    values = np.full(len(codes), -math.inf)
    for token in tokens:
        index = numbers.get(token.id) if token.id is not None and numbers else _index_of(token.text, codes, book)
        if index is not None and token.logprob > MASKED:  # never of NaN
            values[index] = np.logaddexp(values[index], token.logprob)
    return np.where(values > MASKED, values, math.nan)


def _index_of(text: str, codes: Sequence[str], book: CodeBook) -> int | None:
    said = text.strip()
    if not said:
        return None
    if book.kind != "words":
        return codes.index(said) if said in codes else None
    # Names differ in their first letter, so any beginning tells which one it is.
    fitting = [index for index, code in enumerate(codes) if code.startswith(said)]
    return fitting[0] if len(fitting) == 1 else None


def _value_place(places: Sequence[Position], key: str) -> tuple[Position, str] | None:
    """The place whose token holds the first letter of the value of `key`, and what that token has before it."""
    text = "".join(place.chosen.text for place in places)
    at = text.find(f'"{key}"')
    colon = text.find(":", at + len(key) + 2) if at >= 0 else -1
    quote = text.find('"', colon + 1) if colon >= 0 else -1
    if quote < 0 or text[colon + 1 : quote].strip():
        return None
    start, read = quote + 1, 0
    for place in places:
        length = len(place.chosen.text)
        if read <= start < read + length:
            return place, place.chosen.text[: start - read]
        read += length
    return None


def first_choice(body: object) -> Mapping[str, Any]:
    """The first choice of a chat completion; empty where there is none."""
    choices = mapping(body).get("choices")
    return mapping(choices[0] if isinstance(choices, list) and choices else None)
