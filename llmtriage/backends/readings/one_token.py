"""One output token, read as log-probabilities: what is asked for, and what the reply says. Pure conversions."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmtriage.backends.fields import mapping
from llmtriage.backends.readings.listed import positions
from llmtriage.predictions import Failure, Scores
from llmtriage.probability.readings import MASKED, NoLabelError, NotProbabilitiesError, from_logprobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llmtriage.backends.readings.codes import CodeBook
    from llmtriage.backends.readings.listed import Listed, Position
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
    place = places[0]
    tokens = place.tokens
    absent = set(wanted) - {token.id for token in tokens if not math.isnan(token.logprob)}
    if absent:
        detail = f"the server left out {len(absent)} of the {len(wanted)} tokens that were asked for by number"
        return Failure(reason="bad_response", detail=detail)
    numbers = {number: index for index, code in enumerate(codes) for number in book.ids.get(code, ())}
    written = [code.encode() for code in codes]

    def index_of(token: Listed) -> int | None:
        if token.id is not None and numbers:
            return numbers.get(token.id)
        return _index_of(token.raw.strip(), written, begun=book.kind == "words")

    return _scores(place, _found(tokens, len(codes), index_of), renormalised=renormalised)


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
    opening = re.compile(rb"\s*".join([b"", *(re.escape(sign) for sign in before), b""]))
    written = [json.dumps(code, ensure_ascii=False)[1:-1].encode() for code in codes]

    def index_of(token: Listed) -> int | None:
        opened = opening.match(token.raw)
        if opened is None:
            return None
        said = token.raw[opened.end() :]
        closed = next((index for index, code in enumerate(written) if said.startswith(code + b'"')), None)
        return _index_of(said.strip(), written, begun=True) if closed is None else closed

    return _scores(place, _found(place.tokens, len(codes), index_of), renormalised=True)


def _value_place(places: Sequence[Position], key: str) -> tuple[Position, list[bytes]] | None:
    """Where the value of `key` begins, and the signs, blanks left out, that the chosen token has before it."""
    text = b"".join(place.chosen.raw for place in places)
    quoted = re.search(rb'"%s"\s*:\s*"\s*' % re.escape(key.encode()), text)
    if quoted is None:
        return None
    ends = list(accumulate(len(place.chosen.raw) for place in places))
    index = bisect_right(ends, quoted.end())
    if index == len(places):
        return None
    place = places[index]
    before = place.chosen.raw[: quoted.end() - ends[index]]
    return place, [bytes([sign]) for sign in before if not bytes([sign]).isspace()]


def _found(tokens: Sequence[Listed], count: int, index_of: Callable[[Listed], int | None]) -> Floats:
    """Shape (count,): the logarithm of each code's probability, minus infinity where no token is it; several may be the same code."""
    values = np.full(count, -math.inf)
    for token in tokens:
        index = index_of(token)
        if index is not None and token.logprob > MASKED:  # never of NaN
            values[index] = np.logaddexp(values[index], token.logprob)
    return values


def _index_of(said: bytes, written: Sequence[bytes], *, begun: bool) -> int | None:
    """Which of the codes is written; a beginning counts if `begun` and no other code begins so."""
    if said in written:
        return written.index(said)
    fitting = [index for index, code in enumerate(written) if begun and code.startswith(said)]
    return fitting[0] if len(fitting) == 1 else None


def _scores(place: Position, found: Floats, *, renormalised: bool) -> Scores | Failure:
    """Scores from what was found for each code among the listed tokens."""
    listed = np.array([token.logprob for token in place.tokens])
    try:
        values, missing, mass = from_logprobs(found, listed=listed, bound=place.bound, renormalised=renormalised)
    except NoLabelError:
        return Failure(reason="unknown_label", detail=f"no code is among the {len(place.tokens)} tokens that the server listed")
    except NotProbabilitiesError as error:
        return Failure(reason="bad_response", detail=f"the server's numbers are no log-probabilities ({error})")
    return Scores(values=values, missing=missing, label_mass=mass)


def first_choice(body: object) -> Mapping[str, Any]:
    """The first choice of a chat completion; empty where there is none."""
    choices = mapping(body).get("choices")
    return mapping(choices[0] if isinstance(choices, list) and choices else None)
