"""Which labelled examples stand in a prompt: a block that all tickets share, and those chosen for one ticket.

`static` shows the shared block alone. `nearest` adds the examples most like the ticket. By likeness is meant the cosine of TF-IDF
weights of words, pairs of words and character n-grams (in Chinese: n-grams of signs), as in the embedded engine; a number counts as
a number, whichever it is.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from llmtriage.duplicates import folded, near_duplicate_groups, near_duplicate_table
from llmtriage.errors import InputError, UnknownNameError
from llmtriage.examples import for_prompt
from llmtriage.grams import Grams, tfidf
from llmtriage.predictions import Example
from llmtriage.prompting import estimated_tokens, fenced
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scipy import sparse

    from llmtriage.grams import Floats, Floats32, Hashes
    from llmtriage.protocols import Selector

SelectorName = Literal["static", "nearest"]
SELECTORS: tuple[str, ...] = get_args(SelectorName)
NEAREST = 4
AT_MOST_A_CATEGORY = 2

_METHOD = "1"  # changes whenever the same examples would be chosen otherwise
_READ = 8_000  # characters of a ticket that are looked at for likeness: bounds the time
_COMPARED = 12  # candidates whose near-duplicates are looked for at once


class Static:
    """Chooses nothing: every ticket sees the shared examples alone. Implements `llmtriage.protocols.Selector`."""

    def fingerprint(self) -> Mapping[str, str]:
        """The name."""
        return {"selector": "static"}

    def examples_for(self, text: str) -> tuple[Example, ...]:  # noqa: ARG002 - the same for every ticket
        """None."""
        return ()


class Nearest:
    """Chooses the examples most like a ticket, at most two a category. Implements `llmtriage.protocols.Selector`.

    Never the ticket itself or a near-duplicate of it, never two near-duplicates, never an example that shares no n-gram with the
    ticket. Of examples that are near-duplicates of each other (`llmtriage.duplicates`) one can be chosen, under the category that most
    of them have. The order of the examples does not matter.

    Fitted on first use; may be used from several threads.
    """

    def __init__(self, examples: Sequence[Example], k: int = NEAREST, *, shown: Sequence[Example] = ()) -> None:
        """Keep the examples; nothing is fitted yet.

        Args:
            examples: Labelled texts to choose from.
            k: The most examples for one ticket, at least 1.
            shown: Examples that every prompt shows anyway: neither they nor their near-duplicates are chosen.

        Raises:
            InputError: `k` is below 1.
        """
        if k < 1:
            raise InputError(f"{k} is below 1", field="nearest", remedy="give 1 or more, or choose the selector static")
        self._k = k
        self._examples = sorted({(example.text, example.category) for example in examples})
        self._shown = sorted({(example.text, example.category) for example in shown})
        self._grams = Grams()
        self._fitting = threading.Lock()
        self._index: _Index | None = None

    def fingerprint(self) -> Mapping[str, str]:
        """The method, how many, and the examples chosen from."""
        held = digest([self._examples, self._shown])
        return {"selector": "nearest", "method": _METHOD, "nearest": str(self._k), "examples": held}

    def fit(self) -> None:
        """Fit now instead of on first use."""
        self._fitted()

    def examples_for(self, text: str) -> tuple[Example, ...]:
        """The nearest examples, the nearest last."""
        index = self._fitted()
        order = iter(index.nearest(self._grams, _read(text)))
        chosen: list[Example] = []
        while len(chosen) < self._k:
            full = {category for category, count in _counts(chosen).items() if count == AT_MOST_A_CATEGORY}
            open_ones = (index.examples[i] for i in order if index.examples[i].category not in full)
            candidates = list(islice(open_ones, _COMPARED))
            if not candidates:
                break
            chosen = self._enlarged(chosen, candidates, text)
        return tuple(reversed(chosen))

    def _enlarged(self, chosen: Sequence[Example], candidates: Sequence[Example], text: str) -> list[Example]:
        """`chosen` and those of `candidates` that may stand beside them, as far as there is room."""
        known = [*chosen, *candidates]
        near = near_duplicate_table([text, *(example.text for example in known)])
        counts = _counts(chosen)
        kept = [0, *range(1, len(chosen) + 1)]  # the ticket, then what is chosen
        for place in range(len(chosen) + 1, len(known) + 1):
            category = known[place - 1].category
            if len(kept) <= self._k and counts[category] < AT_MOST_A_CATEGORY and not near[place, kept].any():
                kept.append(place)
                counts[category] += 1
        return [known[place - 1] for place in kept[1:]]

    def _fitted(self) -> _Index:
        with self._fitting:
            if self._index is None:
                self._index = _fit(self._candidates(), self._grams)
            return self._index

    def _candidates(self) -> list[Example]:
        """One example of each group of near-duplicates that is not shown anyway."""
        both = [*self._examples, *self._shown]
        groups = near_duplicate_groups([text for text, _ in both])
        taken = set(groups[len(self._examples) :])
        members: dict[int, list[tuple[str, str]]] = {}
        for group, pair in zip(groups, self._examples, strict=False):
            if group not in taken:
                members.setdefault(group, []).append(pair)
        return [_representative(pairs) for pairs in members.values()]


class _Index(NamedTuple):
    """What likeness is computed with."""

    examples: list[Example]
    vocabulary: Hashes  # (d,), sorted
    idf: Floats32  # (d,)
    columns: sparse.csr_matrix  # (d, n): a row for each n-gram, so that only those of the ticket are walked through

    def nearest(self, grams: Grams, text: str) -> list[int]:
        """The examples that share an n-gram with `text`, the most like it first."""
        if not self.examples:
            return []
        row = tfidf(grams.count([text], self.vocabulary)[0], self.idf)
        likeness: Floats = (row @ self.columns).toarray()[0]
        order: list[int] = np.argsort(-likeness, kind="stable")[: np.count_nonzero(likeness)].tolist()
        return order


def _fit(examples: list[Example], grams: Grams) -> _Index:
    texts = [_read(example.text) for example in examples]
    vocabulary, df = grams.vocabulary(texts)
    idf = (np.log((1 + len(texts)) / (1 + df)) + 1).astype(np.float32)
    rows = tfidf(grams.count(texts, vocabulary)[0], idf)
    return _Index(examples, vocabulary, idf, rows.T.tocsr())


def _counts(examples: Sequence[Example]) -> Counter[str]:
    return Counter(example.category for example in examples)


def _read(text: str) -> str:
    """What likeness looks at. Numbers are one sign, as where near-duplicates are looked for: two order numbers say nothing."""
    return folded(text[:_READ])


def _representative(pairs: Sequence[tuple[str, str]]) -> Example:
    """The first of those whose category is the most frequent one; of equally frequent categories the first."""
    counts = Counter(category for _, category in pairs)
    best = min(counts, key=lambda category: (-counts[category], category))
    return next(Example(text=text, category=category) for text, category in pairs if category == best)


class Selection:
    """The examples of a prompt: a shared block, those of one ticket, and one budget over both."""

    def __init__(
        self,
        examples: Sequence[Example],
        selector: SelectorName | Selector = "static",
        *,
        most: int,
        nearest: int = NEAREST,
        tokens: int | None = None,
        seed: int = 0,
    ) -> None:
        """Keep what is chosen from; nothing is chosen yet.

        Args:
            examples: Labelled texts.
            selector: What chooses for one ticket, or its name.
            most: The most examples in the shared block.
            nearest: The most examples for one ticket, for the selector `nearest`.
            tokens: The most estimated tokens of all examples of a prompt; None: no limit.
            seed: Of the draw of the shared block.

        Raises:
            InputError: A number is negative, or the selector is unknown.
        """
        if isinstance(selector, str) and selector not in SELECTORS:
            raise UnknownNameError.among("selector", selector, SELECTORS, field="selector")
        if nearest < 1:
            raise InputError(f"{nearest} is below 1", field="nearest", remedy="give 1 or more, or choose the selector static")
        if tokens is not None and tokens < 0:
            raise InputError(f"{tokens} is negative", field="example_tokens", remedy="give 0 or more tokens")
        self._examples, self._given = examples, selector
        self._most, self._nearest, self._tokens, self._seed = most, nearest, tokens, seed

    @cached_property
    def shared(self) -> tuple[Example, ...]:
        """The block that every ticket sees: balanced, in a seeded order, within the budget.

        Raises:
            InputError: `most` is negative.
        """
        if self._tokens is None:
            return for_prompt(self._examples, self._most, seed=self._seed)
        fitting = [example for example in self._examples if example_tokens(example) <= self._tokens]
        return _largest(fitting, self._most, self._tokens, self._seed)

    @cached_property
    def selector(self) -> Selector:
        """What chooses for one ticket."""
        if not isinstance(self._given, str):
            return self._given
        return Nearest(self._examples, self._nearest, shown=self.shared) if self._given == "nearest" else Static()

    @property
    def per_ticket(self) -> bool:
        """Whether a ticket may get examples of its own."""
        return self._given != "static" and not isinstance(self._given, Static)

    def for_ticket(self, text: str) -> tuple[Example, ...]:
        """The examples for one prepared text: none that the shared block shows, within what that leaves of the budget."""
        if not self.per_ticket:
            return ()
        chosen = [example for example in self.selector.examples_for(text) if example not in self._block]
        return tuple(chosen if self._left is None else _within(chosen, self._left))

    def fingerprint(self) -> Mapping[str, str]:
        """All that the examples of a prompt depend on, apart from the ticket and the shared block itself."""
        return {**self.selector.fingerprint(), "tokens": "" if self._tokens is None else str(self._tokens)}

    @cached_property
    def _block(self) -> frozenset[Example]:
        return frozenset(self.shared)

    @cached_property
    def _left(self) -> int | None:
        """Tokens that the shared block leaves."""
        return None if self._tokens is None else self._tokens - sum(map(example_tokens, self.shared))


def example_tokens(example: Example) -> int:
    """Estimated tokens of an example as the shipped prompts show it: fenced text and label, without the words around them."""
    return estimated_tokens(f'{fenced(example.text)}\n{{"category": {json.dumps(example.category, ensure_ascii=False)}}}\n')


def _largest(examples: Sequence[Example], most: int, tokens: int, seed: int) -> tuple[Example, ...]:
    """The largest balanced block of at most `most` examples that fits; fewer are always among more, so halving finds it."""
    block = for_prompt(examples, most, seed=seed)
    if sum(map(example_tokens, block)) <= tokens:
        return block
    fits, too_many = 0, len(block)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        total = sum(map(example_tokens, for_prompt(examples, middle, seed=seed)))
        fits, too_many = (middle, too_many) if total <= tokens else (fits, middle)
    return for_prompt(examples, fits, seed=seed)


def _within(chosen: Sequence[Example], tokens: int) -> Iterator[Example]:
    """Those that fit: one too long by itself is skipped, then the farthest, which stand first, are dropped."""
    costs = [(example, cost) for example in chosen if (cost := example_tokens(example)) <= tokens]
    total = sum(cost for _, cost in costs)
    for example, cost in costs:
        if total <= tokens:
            yield example
        else:
            total -= cost
