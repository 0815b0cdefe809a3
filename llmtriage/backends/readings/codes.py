"""Codes that stand for categories: each is one token of the model, so that the first token of an answer tells them apart."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Literal

from llmtriage.errors import InputError
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from llmtriage.taxonomy import Category, Taxonomy

    Tokens = Callable[[str], Awaitable[tuple[int, ...]]]

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

    def of(self, categories: Sequence[Category], *, shift: int = 0) -> tuple[str, ...]:
        """A code for each category; another `shift` gives each another one.

        Raises:
            InputError: There are not so many codes.
        """
        if self.kind == "words":
            return self._words(categories)
        count = len(categories)
        if count > len(self.pool):
            problem = f"{count} categories in one question, and the model has {len(self.pool)} codes of one token"
            raise InputError(problem, field="codes", remedy="set max_options, so that they are asked about in parts")
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


async def codebook(kind: CodeKind, taxonomy: Taxonomy, *, most: int, tokens: Tokens | None) -> CodeBook:
    """The codes for `taxonomy`.

    Args:
        kind: Of codes.
        taxonomy: Its names are no codes: a code must not be read as a name.
        most: How many categories one question has at most.
        tokens: Tells the tokens of a text; None: nothing does, and a trial must show that codes are one token.

    Raises:
        InputError: Too few codes are one token.
    """
    if kind == "words":
        return CodeBook("words", (), await _firsts(taxonomy, tokens) if tokens else {})
    pool: list[str] = []
    ids: dict[str, tuple[int, ...]] = {}
    for code in _candidates(kind, taxonomy, sure=tokens is not None):
        if tokens is not None:
            found = await _single(code, tokens)
            if not found or any(number in known for number in found for known in ids.values()):
                continue
            ids[code] = found
        pool.append(code)
        if len(pool) == most:
            break
    if len(pool) < min(2, most):
        raise InputError("no letter is one token of this model", field="codes", remedy="use --codes words, or --reading votes")
    return CodeBook(kind, tuple(pool), ids)


def _candidates(kind: CodeKind, taxonomy: Taxonomy, *, sure: bool) -> list[str]:
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
    names = set()
    for node in taxonomy.nodes:
        texts = [node.name] if isinstance(node.name, str) else list((node.name or {}).values())
        names.update(text.strip().casefold() for text in (node.id, *texts))
    return names


async def _single(code: str, tokens: Tokens) -> tuple[int, ...]:
    """The tokens that the code may be; empty where it is several."""
    alone = await tokens(code)
    if len(alone) != 1:
        return ()
    spaced = await tokens(f" {code}")
    return (*alone, *spaced) if len(spaced) == 1 and spaced != alone else alone


async def _firsts(taxonomy: Taxonomy, tokens: Tokens) -> dict[str, tuple[int, ...]]:
    return {node.id: (await tokens(node.id))[:1] for node in taxonomy.nodes}
