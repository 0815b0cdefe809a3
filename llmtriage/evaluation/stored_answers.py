"""What the cells of stored predictions say: scores of categories, a label with a number, right or wrong."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy.special import logsumexp

from llmtriage.errors import InputError, UnknownNameError, nearest, short
from llmtriage.predictions import Scores, SingleLabel
from llmtriage.probability.scores import SUM_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from llmtriage.predictions import Floats
    from llmtriage.tables import Row, Table
    from llmtriage.taxonomy import Taxonomy

Scale = Literal["probability", "logit", "logprob"]
SCALES: tuple[Scale, ...] = get_args(Scale)
RIGHT, WRONG = "right", "wrong"

_ROUNDING = 1e-9  # of a sum of floats
_TINY = 1e-300  # a probability of 0: its logarithm is taken
_TRUTHS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


@dataclass(frozen=True, slots=True)
class ScoreColumns:
    """The columns of scores: on which scale they are, and which category each is about."""

    scale: Scale
    columns: Mapping[str, str]

    @classmethod
    def find(cls, table: Table, taken: Collection[str], scale: Scale | None, taxonomy: Taxonomy | None) -> ScoreColumns:
        """Find them by their names.

        Args:
            table: The file.
            taken: Columns that hold something else, in small letters; not looked at where there is a taxonomy.
            scale: What the scores are; None: as a prefix says, else probabilities.
            taxonomy: What there have to be scores for; None: what there are columns for.

        Raises:
            InputError: There are none.
            UnknownNameError: A category of the taxonomy has none.
        """
        prefixed = [one for one in SCALES if any(name.startswith(f"{one}_") for name in table.columns)]
        scale = scale or (prefixed[0] if prefixed else "probability")
        prefix = f"{scale}_" if scale in prefixed else ""
        known = None if taxonomy is None else {leaf.id for leaf in taxonomy.leaves}
        named = {name.removeprefix(prefix): name for name in table.columns if name.startswith(prefix)}
        found = {
            category: name
            for category, name in named.items()
            if (name.casefold() not in taken if known is None else category in known)
        }
        if taxonomy is not None:
            found = {leaf.id: _column(leaf.id, named, table) for leaf in taxonomy.leaves}
        if not found:
            problem = "no column of scores, and none called 'pred' or 'correct'"
            raise InputError(problem, file=table.path, remedy="give each category a column that is called as it")
        return cls(scale, found)

    def answer(self, row: Row) -> Scores | None:
        """The scores of a row; None if all its cells are empty. Raises InputError."""
        texts = [_text(row, name) for name in self.columns.values()]
        if not any(texts):
            return None
        numbers = np.array([_number(text, name) for text, name in zip(texts, self.columns.values(), strict=True)])
        return _SCORES[self.scale](numbers)


def _column(category: str, named: Mapping[str, str], table: Table) -> str:
    if category not in named:
        problem = f"no column for the category {short(category)!r}"
        raise UnknownNameError(problem, file=table.path, remedy=nearest(category, named))
    return named[category]


def of_probabilities(shares: Floats) -> Scores:
    """Probabilities as scores: rows that sum to 1 within 0.01."""
    if (shares < 0).any():
        raise InputError("a probability is negative", remedy="are these logits? then add --scores logit")
    total = float(shares.sum())
    if abs(total - 1) > SUM_TOLERANCE + _ROUNDING:
        raise InputError(f"the probabilities sum to {total:.4g}", remedy="mend them, or say what they are with --scores")
    return Scores(values=np.log(np.maximum(shares / total, _TINY)))


def of_logits(logits: Floats) -> Scores:
    """Any numbers as scores: their softmax is taken."""
    return Scores(values=logits - logsumexp(logits))


def of_logprobs(logprobs: Floats) -> Scores:
    """Natural logarithms of probabilities as scores: their sum is the label mass, which may be less than 1."""
    mass = float(np.exp(min(1.0, logsumexp(logprobs))))
    if mass > 1 + SUM_TOLERANCE + _ROUNDING:
        raise InputError("the probabilities sum to more than 1", remedy="are these logits? then add --scores logit")
    return Scores(values=logprobs - logsumexp(logprobs), label_mass=1.0 if mass > 1 - _ROUNDING else mass)


_SCORES = {"probability": of_probabilities, "logit": of_logits, "logprob": of_logprobs}


def labelled_answer(
    row: Row, label: str, number: str | None, taxonomy: Taxonomy | None, none_label: str | None
) -> SingleLabel | None:
    """The label in the column `label`, which a taxonomy must know if there is one, with the number in the column `number`; None: an empty cell."""
    said = _text(row, label)
    if not said:
        return None
    if taxonomy is not None:
        said = taxonomy.catch_all.id if taxonomy.catch_all and said == none_label else taxonomy.leaf(said, field=label)
    return SingleLabel(category=said, score=_confidence(row, number))


def judged_answer(row: Row, correct: str, number: str | None) -> SingleLabel:
    """`RIGHT` or `WRONG`, as the column `correct` says, with the number in the column `number`."""
    said = _text(row, correct)
    if said.casefold() not in _TRUTHS:
        raise InputError(f"{short(said)!r} is neither 1 nor 0", field=correct, remedy="write 1 for right and 0 for wrong")
    return SingleLabel(category=RIGHT if _TRUTHS[said.casefold()] else WRONG, score=_confidence(row, number))


def _confidence(row: Row, column: str | None) -> float | None:
    text = _text(row, column) if column else ""
    if not text:
        return None
    number = _number(text, column or "")
    if not 0 <= number <= 1:
        raise InputError(f"{number:g} is not between 0 and 1", field=column, remedy="divide per cents by 100")
    return number


def _number(text: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        what = repr(short(text)) if text else "an empty cell"
        remedy = "name columns that hold no scores with --by, or give the --taxonomy"
        raise InputError(f"{what} is no number", field=column, remedy=remedy) from None
    if not math.isfinite(number):
        raise InputError(f"{short(text)!r} is no finite number", field=column, remedy="mend it, or remove the row")
    return number


def _text(row: Row, column: str) -> str:
    value = row.cells.get(column)
    return value.strip() if isinstance(value, str) else "" if value is None else json.dumps(value)
