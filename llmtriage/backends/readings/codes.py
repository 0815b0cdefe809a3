"""Codes that stand for categories: each is one token of the model, so that the first token of an answer tells them apart."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Literal

from llmtriage.errors import InputError
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.taxonomy import Category, Taxonomy

CodeKind = Literal["letters", "words", "random"]

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"


@dataclass(frozen=True, slots=True)
class CodeBook:
    """The codes of a taxonomy for one model.

    Attributes:
        kind: "letters" in the order of the list; "random" ones, drawn anew for each version of the taxonomy; "words": the ids.
        pool: Codes to give away, in their order; empty for words.
        ids: For each code the numbers of the tokens that it may be, with and without a blank before it; empty: told by their texts.
    """

    kind: CodeKind
    pool: tuple[str, ...] = ()
    ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)

    def of(self, categories: Sequence[Category], turn: tuple[int, int] = (0, 1)) -> tuple[str, ...]:
        """A code for each category.

        Args:
            categories: Of one question.
            turn: Which of how many assignments, each of which gives a category another code; words have one.

        Raises:
            InputError: There are not so many codes.
        """
        if self.kind == "words":
            return self._words(categories)
        count = len(categories)
        if count > len(self.pool):
            problem = f"{count} categories in one question, and the model has {len(self.pool)} codes of one token"
            raise InputError(problem, field="codes", remedy="set max_options, so that they are asked about in parts")
        shift = turn[0] * count // turn[1]
        return tuple(self.pool[(place + shift) % count] for place in range(count))

    def _words(self, categories: Sequence[Category]) -> tuple[str, ...]:
        names = tuple(category.id for category in categories)
        begins = {name: self.ids.get(name, name[0].casefold()) for name in names}
        alike = [name for name in names if list(begins.values()).count(begins[name]) > 1]
        if alike:
            problem = f"the names {alike[0]!r} and {alike[1]!r} may begin with the same token"
            raise InputError(problem, field="codes", remedy="use --codes letters or --codes random")
        return names

    @property
    def hash(self) -> str:
        """What an answer depends on."""
        return digest([self.kind, self.pool, dict(self.ids)])


def texts_for(kind: CodeKind, taxonomy: Taxonomy, most: int) -> list[str]:
    """The texts whose tokens are needed to find `most` codes: more than there will be, because not each is one token."""
    if kind == "words":
        return [node.id for node in taxonomy.nodes]
    codes = candidates(kind, taxonomy, sure=True)[: 2 * most + len(LETTERS)]
    return [text for code in codes for text in (code, f" {code}")]


def codebook(kind: CodeKind, taxonomy: Taxonomy, *, most: int, tokens: Mapping[str, tuple[int, ...]] | None) -> CodeBook:
    """The codes for `taxonomy`.

    Args:
        kind: Of codes.
        taxonomy: Its names are no codes: a code must not be read as a name.
        most: How many categories one question has at most.
        tokens: The tokens of texts, those of `texts_for` among them; None: nobody tells them, and a trial must show that codes are
            one token.

    Raises:
        InputError: Fewer than two codes are one token.
    """
    if kind == "words":
        return CodeBook("words", (), {node.id: tokens.get(node.id, ())[:1] for node in taxonomy.nodes} if tokens else {})
    if tokens is None:
        return CodeBook(kind, tuple(candidates(kind, taxonomy, sure=False)[:most]))
    ids: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    for code in candidates(kind, taxonomy, sure=True):
        found = _single(code, tokens)
        if found and taken.isdisjoint(found):
            ids[code] = found
            taken.update(found)
        if len(ids) == most:
            break
    if len(ids) < min(2, most):
        raise InputError("no letter is one token of this model", field="codes", remedy="use --codes words, or --reading votes")
    return CodeBook(kind, tuple(ids), ids)


def candidates(kind: CodeKind, taxonomy: Taxonomy, *, sure: bool) -> list[str]:
    """Codes to try, the best first. Pairs of letters are one token for some models only, so they need somebody who knows."""
    rng = random.Random(taxonomy.hash)  # noqa: S311 - nobody is kept out by it
    pairs = ["".join(pair) for pair in product(_CONSONANTS, repeat=2)] if sure else []
    letters = list(LETTERS)
    if kind == "random":
        rng.shuffle(pairs)
        rng.shuffle(letters)
    found = pairs + letters if kind == "random" else letters + pairs
    taken = _names(taxonomy)
    return [code for code in found if code.casefold() not in taken]


def _names(taxonomy: Taxonomy) -> set[str]:
    names: set[str] = set()
    for node in taxonomy.nodes:
        texts = [node.name] if isinstance(node.name, str) else list((node.name or {}).values())
        names.update(text.strip().casefold() for text in (node.id, *texts))
    return names


def _single(code: str, tokens: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The tokens that the code may be, with and without a blank before it; empty where it is several."""
    alone, spaced = tokens.get(code, ()), tokens.get(f" {code}", ())
    if len(alone) != 1:
        return ()
    return (*alone, *spaced) if len(spaced) == 1 and spaced != alone else alone
