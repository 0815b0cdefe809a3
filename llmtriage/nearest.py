"""The labelled examples most like a ticket.

Likeness is the cosine of tf-idf weights of words, pairs of words and character n-grams (in Chinese: n-grams of signs), as in the embedded
engine; a number counts as one sign.
"""

from __future__ import annotations

import threading
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from llmtriage.duplicates import folded, near_duplicate_groups, near_duplicate_table
from llmtriage.errors import InputError
from llmtriage.grams import Grams, tfidf
from llmtriage.predictions import Example
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scipy import sparse

    from llmtriage.grams import Floats

AT_MOST_A_CATEGORY = 2

_METHOD = "1"  # changes whenever the same examples would be chosen otherwise
_READ = 8_000  # characters of a ticket that are looked at for likeness: bounds the time
_COMPARED = 12  # candidates whose near-duplicates are looked for at once


class Nearest:
    """Chooses the examples most like a ticket, at most two a category. Implements `llmtriage.protocols.Selector`.

    Never the ticket itself or a near-duplicate of it, never two near-duplicates, never an example that shares no n-gram with the
    ticket. Of examples that are near-duplicates of each other (`llmtriage.duplicates`) one can be chosen, under the category that most
    of them have. The order of the examples does not matter.

    Fitted on first use; may be used from several threads.
    """

    def __init__(self, examples: Sequence[Example], k: int = 4, *, shown: Sequence[Example] = ()) -> None:
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
        order = iter(index.likeness.nearest(text))
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
                examples = self._candidates()
                self._index = _Index(examples, Likeness([example.text for example in examples]))
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
    """The examples, and which of them are like a text."""

    examples: list[Example]
    likeness: Likeness


class Likeness:
    """Texts in the order of their likeness to another one. May be used from several threads."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Fit the texts."""
        read = [_read(text) for text in texts]
        self._grams = Grams()
        self._vocabulary, df = self._grams.vocabulary(read)  # (d,), sorted
        self._idf = (np.log((1 + len(read)) / (1 + df)) + 1).astype(np.float32)  # (d,)
        rows = tfidf(self._grams.count(read, self._vocabulary)[0], self._idf)
        # (d, n): a row for each n-gram, so that only those of a text are walked through
        self._columns: sparse.csr_matrix = rows.T.tocsr()

    def nearest(self, text: str) -> list[int]:
        """The places of the texts that share an n-gram with `text`, the most like it first."""
        if not self._columns.shape[1]:
            return []
        row = tfidf(self._grams.count([_read(text)], self._vocabulary)[0], self._idf)
        likeness: Floats = (row @ self._columns).toarray()[0]
        order: list[int] = np.argsort(-likeness, kind="stable")[: np.count_nonzero(likeness)].tolist()
        return order


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
