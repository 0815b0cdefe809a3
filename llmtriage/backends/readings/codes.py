"""Codes that stand for categories: each is one token of the model, so that the first token of an answer tells them apart."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Literal

from llmtriage.errors import InputError, short
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
            turn: Which of how many assignments; if there are no more than categories, each gives a category another code. Words have one.

        Raises:
            InputError: There are not so many codes.
        """
        if self.kind == "words":
            return self._words(categories)
        count = len(categories)
        if count > len(self.pool):
            problem = f"{count} categories in one question, and the model has {len(self.pool)} codes of one token"
            raise InputError(problem, field="codes", remedy="leave out --many all, so that they are asked about in parts")
        shift = turn[0] * count // turn[1]
        return tuple(self.pool[(place + shift) % count] for place in range(count))

    def _words(self, categories: Sequence[Category]) -> tuple[str, ...]:
        names = tuple(category.id for category in categories)
        begun: dict[object, str] = {}
        for name in names:
            other = begun.setdefault(self.ids.get(name, name[0].casefold()), name)
            if other != name:
                problem = f"the names {short(other)!r} and {short(name)!r} may begin with the same token"
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
    return [text for code in _tried(kind, taxonomy, most) for text in (code, f" {code}")]


def codebook(kind: CodeKind, taxonomy: Taxonomy, *, most: int, tokens: Mapping[str, tuple[int, ...]] | None) -> CodeBook:
    """The codes for `taxonomy`.

    Args:
        kind: Of codes.
        taxonomy: Its names are no codes: a code must not be read as a name.
        most: How many categories one question has at most.
        tokens: The tokens of texts, those of `texts_for` among them; None: nobody tells them, and a trial must show that codes are
            one token.

    Raises:
        InputError: Fewer than two codes can be told apart by one token, or the tokens of a name are not known.
    """
    if kind == "words":
        return CodeBook("words", (), _beginnings(taxonomy, tokens) if tokens is not None else {})
    ids: dict[str, tuple[int, ...]] = {}
    if tokens is None:
        pool = candidates(kind, taxonomy, sure=False)
    else:
        ids = _told_apart(_tried(kind, taxonomy, most), tokens, most)
        pool = list(ids)
    if len(pool) < min(2, most):
        problem = "no two letters are one token of this model each and the name of no category"
        raise InputError(problem, field="codes", remedy="use --codes words, or --reading votes")
    return CodeBook(kind, tuple(pool[:most]), ids)


def _told_apart(pool: Sequence[str], tokens: Mapping[str, tuple[int, ...]], most: int) -> dict[str, tuple[int, ...]]:
    """The first `most` codes that are one token, which no other code is."""
    ids: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    for code in pool:
        found = _single(code, tokens)
        if found and taken.isdisjoint(found) and len(ids) < most:
            ids[code] = found
            taken.update(found)
    return ids


def _beginnings(taxonomy: Taxonomy, tokens: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The first token of each name."""
    unknown = [node.id for node in taxonomy.nodes if not tokens.get(node.id)]
    if unknown:
        problem = f"the tokens of the name {short(unknown[0])!r} are not known"
        raise InputError(problem, field="codes", remedy="use --codes letters or --codes random")
    return {node.id: tokens[node.id][:1] for node in taxonomy.nodes}


def _tried(kind: CodeKind, taxonomy: Taxonomy, most: int) -> list[str]:
    """The codes whose tokens are looked up; what else happens to be known of tokens must not change a code."""
    codes = candidates(kind, taxonomy, sure=True)
    pairs = [code for code in codes if len(code) == 2][: 2 * most]
    return [code for code in codes if len(code) == 1 or code in pairs]


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
        names.update(text.casefold() for text in (node.id, *texts))
    return names


def _single(code: str, tokens: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The tokens that the code may be, with and without a blank before it; empty where it is several."""
    alone, spaced = tokens.get(code, ()), tokens.get(f" {code}", ())
    if len(alone) != 1:
        return ()
    return (*alone, *spaced) if len(spaced) == 1 and spaced != alone else alone
