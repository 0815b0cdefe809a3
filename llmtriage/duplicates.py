"""Near-duplicates: texts that say the same in almost the same characters.

Two texts are compared by the Jaccard similarity of their character shingles: shared shingles / all shingles, 1 for equal
sets. Before that, case, width (NFKC), punctuation, white space and invisible characters are folded away, spaces beside an
ideograph too, and every run of digits becomes one sign, so that two letters which differ only in an order number are the
same. A shingle is three neighbouring characters of the folded text with a space at each end; one that begins with an
ideograph, kana or hangul syllable has two, because such a character says more than a letter.

Pairs are found by MinHash and locality-sensitive hashing (Broder 1997, doi:10.1109/SEQUEN.1997.666900), then compared
exactly: a pair that is reported reaches the similarity, and one that just reaches it is overlooked with a chance below 1 in
10,000. The hash functions are fixed, so equal texts give equal groups. Time grows with the number of characters, memory too.
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Shingles compared at once: bounds the memory of a comparison to some 100 MB.
_BLOCK = 4_000_000
# 4 / 5 >= 0.8 must hold whatever the rounding.
_ROUNDING = 1e-9
# MinHash values a text may cost, and the chance that a pair which just reaches the similarity is overlooked.
_HASHES = 256
_OVERLOOKED = 1e-4
# Neighbours each text of a crowded bucket is compared with.
_WINDOW = 64
# Equal sets share every hash value; a few make buckets of nothing else.
_ROWS_OF_EQUALS = 8
# Similarities tried one after another for the most similar pairs.
_STEPS = (0.9, 0.8, 0.65)
_IDEOGRAPHS = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
_IDEOGRAPH = "[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in _IDEOGRAPHS) + "]"
# People write "买iPhone 手机" with and without spaces; they mean nothing there.
_SPACE_AT_IDEOGRAPH = re.compile(f" (?={_IDEOGRAPH})|(?<={_IDEOGRAPH}) ")


class Pair(NamedTuple):
    """Two texts, by position, and how similar they are, in [0, 1]."""

    first: int
    second: int
    similarity: float


def near_duplicate_groups(texts: Sequence[str], *, similarity: float = 0.8) -> list[int]:
    """The group of each text: texts in one group are joined by a chain of pairs that reach `similarity`.

    Args:
        texts: Any number. Those without a letter or digit are compared as they stand.
        similarity: In (0, 1]. Low values take longer, because more pairs have to be compared.

    Returns:
        Group numbers from 0, in order of first appearance. The order of the texts changes the numbers, never the groups.

    Raises:
        InputError: `similarity` is out of range.

    Example:
        >>> near_duplicate_groups(["Where is order 123?", "where is order 98 !", "我要退款", "我要退款。", "Close my account"])
        [0, 0, 1, 1, 2]
    """
    _check(similarity)
    positions, distinct = _distinct(texts)
    sets = _ShingleSets.of(distinct)
    groups = np.arange(len(distinct))
    for first, second in _candidates(sets, similarity):
        groups = _joined(groups, sets, first, second, similarity)
    seen: dict[int, int] = {}
    return [seen.setdefault(group, len(seen)) for group in groups[positions].tolist()]


def most_similar_pairs(texts: Sequence[str], limit: int = 20, *, at_least: float = 0.5) -> list[Pair]:
    """The most similar pairs of texts, the most similar first, then by position.

    Args:
        texts: Any number.
        limit: At most this many pairs.
        at_least: Pairs below this similarity are not looked for; in (0, 1].

    Raises:
        InputError: `limit` is negative or `at_least` is out of range.

    Example:
        >>> most_similar_pairs(["Where is my order?", "Hello", "where is my order"])
        [Pair(first=0, second=2, similarity=1.0)]
    """
    _check(at_least)
    if limit < 0:
        raise InputError(f"a limit of {limit} pairs", remedy="0 or more", field="limit")
    positions, distinct = _distinct(texts)
    members: list[list[int]] = [[] for _ in distinct]
    for row, position in enumerate(positions.tolist()):
        members[position].append(row)
    sets = _ShingleSets.of(distinct)
    best: list[Pair] = []
    # High similarities are found much faster, and mostly they are enough.
    for similarity in (*(step for step in _STEPS if step > at_least), at_least):
        best = heapq.nsmallest(limit, _pairs(sets, members, limit, similarity), key=_worst_last)
        if len(best) == limit:
            break
    return best


def near_duplicate_table(texts: Sequence[str], *, similarity: float = 0.8) -> npt.NDArray[np.bool_]:
    """Which of a few texts are near-duplicates of which: shape (n, n), every pair compared exactly.

    Args:
        texts: Few: time and memory grow with the square of their number.
        similarity: In (0, 1].

    Raises:
        InputError: `similarity` is out of range.

    Example:
        >>> near_duplicate_table(["Where is order 123?", "where is order 98 !", "Close my account"]).tolist()
        [[True, True, False], [True, True, False], [False, False, True]]
    """
    _check(similarity)
    folding = _Folding()
    sets = _ShingleSets.of([_fold(text, folding) for text in texts])
    shared = (sets.rows @ sets.rows.T).toarray()
    total = sets.sizes[:, None] + sets.sizes[None, :]
    return np.asarray(shared >= (similarity - _ROUNDING) * (total - shared), dtype=np.bool_)


def folded(text: str) -> str:
    """`text` as it is compared: case, width, punctuation, white space, invisible characters and numbers folded."""
    return _fold(text, _Folding())


def _pairs(sets: _ShingleSets, members: Sequence[Sequence[int]], limit: int, similarity: float) -> Iterator[Pair]:
    """Enough pairs of rows to hold the best `limit` that reach `similarity`."""
    # Identical texts may make very many pairs; no more than `limit` of one kind can be among the best.
    for rows in members:
        yield from (Pair(i, j, 1.0) for i, j in itertools.islice(itertools.combinations(rows, 2), limit))
    for (one, other), found in _reaching(sets, similarity).items():
        rows_of_both = itertools.islice(itertools.product(members[one], members[other]), limit)
        yield from (Pair(min(i, j), max(i, j), found) for i, j in rows_of_both)


def _reaching(sets: _ShingleSets, similarity: float) -> dict[tuple[int, int], float]:
    reaching: dict[tuple[int, int], float] = {}
    for first, second in _candidates(sets, similarity):
        found = sets.jaccard(first, second)
        kept = found >= similarity - _ROUNDING
        reaching.update(zip(zip(first[kept].tolist(), second[kept].tolist(), strict=True), found[kept].tolist(), strict=True))
    return reaching


def _worst_last(pair: Pair) -> tuple[float, int, int]:
    return -pair.similarity, pair.first, pair.second


def _check(similarity: float) -> None:
    if not 0 < similarity <= 1:
        raise InputError(f"a similarity of {similarity}", remedy="a number above 0, at most 1", field="similarity")


# -- folding ------------------------------------------------------------------------------------


class _Folding(dict[int, str]):
    """For `str.translate`: what each character becomes, looked up once."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        # Format characters (zero width, bidi) may stand inside a word; the others end one.
        folding = "" if category == "Cf" else " " if category[0] in "CPZ" else chr(code)
        self[code] = folding
        return folding


def _fold(text: str, folding: _Folding) -> str:
    words = unicodedata.normalize("NFKC", text).casefold().translate(folding).split()
    return re.sub(r"\d+", "0", _SPACE_AT_IDEOGRAPH.sub("", " ".join(words))) or " ".join(text.split())


def _distinct(texts: Sequence[str]) -> tuple[Integers, list[str]]:
    """Which of the distinct folded texts each text is, and those, sorted: the order of the texts must not matter."""
    folding = _Folding()
    all_folded = [_fold(text, folding) for text in texts]
    distinct = sorted(set(all_folded))
    place = {text: i for i, text in enumerate(distinct)}
    return np.array([place[text] for text in all_folded], dtype=np.int64), distinct


# -- shingles -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ShingleSets:
    """The shingles of each text, as a row of ones.

    Attributes:
        rows: Shape (texts, distinct shingles).
        numbers: What each column stands for; the same shingle has the same number in every collection of texts.
    """

    rows: csr_array
    numbers: Integers

    @classmethod
    def of(cls, texts: Sequence[str]) -> _ShingleSets:
        """The sets of these folded texts."""
        row, shingle = _shingles([f" {text or ' '} " for text in texts])
        numbers, column = np.unique(shingle, return_inverse=True)
        width = max(1, len(numbers))
        cells = np.unique(row * width + column)
        starts = np.concatenate([[0], np.cumsum(np.bincount(cells // width, minlength=len(texts)))])
        ones = np.ones(len(cells), dtype=np.int32)
        return cls(csr_array((ones, cells % width, starts), shape=(len(texts), width)), numbers)

    @property
    def sizes(self) -> Integers:
        """How many shingles each text has."""
        return np.diff(self.rows.indptr).astype(np.int64)

    def jaccard(self, first: Integers, second: Integers) -> Floats:
        """The similarity of each pair of rows."""
        sizes = self.sizes
        total = sizes[first] + sizes[second]
        shared = np.empty(len(first), dtype=np.int64)
        for start, stop in _pieces(np.cumsum(total), _BLOCK):
            shared[start:stop] = self.rows[first[start:stop]].multiply(self.rows[second[start:stop]]).sum(axis=1)
        return np.asarray(shared / (total - shared), dtype=np.float64)

    def minima(self, seed: int) -> npt.NDArray[np.uint64]:
        """A MinHash of each text: two are equal with a chance of the similarity of the texts."""
        hashed = _mixed(self.numbers.astype(np.uint64) ^ _mixed(np.array([seed + 1], dtype=np.uint64))) >> np.uint64(32)
        return np.minimum.reduceat(hashed.astype(np.uint32)[self.rows.indices], self.rows.indptr[:-1]).astype(np.uint64)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195): every bit depends on every bit."""
    values = values * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _shingles(texts: Sequence[str]) -> tuple[Integers, Integers]:
    """Row and number of every shingle of every text; equal shingles have equal numbers."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    row = np.repeat(np.arange(len(texts)), lengths)
    left = np.cumsum(lengths)[row] - np.arange(len(codes))
    size = np.where(_ideographic(codes), 2, 3)
    following = np.concatenate([codes, [0, 0]])
    third = np.where(size > 2, following[2:], 0)
    # A code point has 21 bits, so three of them fit into one number without collisions.
    number = (codes << 42) | (following[1:-1] << 21) | third
    return row[left >= size], number[left >= size]


def _ideographic(codes: Integers) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(codes), dtype=np.bool_)
    for low, high in _IDEOGRAPHS:
        found |= (codes >= low) & (codes <= high)
    return found


# -- the search ---------------------------------------------------------------------------------


def _candidates(sets: _ShingleSets, similarity: float) -> Iterator[tuple[Integers, Integers]]:
    """Pairs of rows that may reach `similarity`, some of them more than once."""
    if not sets.rows.shape[0]:
        return
    sizes = sets.sizes
    rows, bands = _bands(similarity)
    for band in range(bands):
        for first, second in _in_one_bucket(_bucket(sets, range(band * rows, (band + 1) * rows))):
            small, large = np.minimum(sizes[first], sizes[second]), np.maximum(sizes[first], sizes[second])
            kept = small >= similarity * large - _ROUNDING
            yield first[kept], second[kept]


def _bands(similarity: float) -> tuple[int, int]:
    """Hash values per band and number of bands: as selective as `_HASHES` allow with so few overlooked.

    A pair shares one band of r values with the chance s^r, so all of b bands miss it with (1 - s^r)^b.
    """
    if similarity == 1:
        return _ROWS_OF_EQUALS, 1
    choices = [(r, math.ceil(math.log(_OVERLOOKED) / math.log1p(-(similarity**r)))) for r in range(1, _HASHES)]
    return max((choice for choice in choices if math.prod(choice) <= _HASHES), default=choices[0])


def _bucket(sets: _ShingleSets, seeds: range) -> npt.NDArray[np.uint64]:
    bucket = np.zeros(sets.rows.shape[0], dtype=np.uint64)
    for seed in seeds:
        bucket = _mixed(bucket ^ sets.minima(seed))
    return bucket


def _in_one_bucket(bucket: npt.NDArray[np.uint64]) -> Iterator[tuple[Integers, Integers]]:
    """All pairs of a small bucket; in a crowded one, which would cost its square, each row with the `_WINDOW` before it."""
    order = np.argsort(bucket, kind="stable")
    sorted_bucket = bucket[order]
    for distance in range(1, min(_WINDOW, len(bucket) - 1) + 1):
        same = np.flatnonzero(sorted_bucket[distance:] == sorted_bucket[:-distance])
        if not len(same):
            return
        yield order[same], order[same + distance]


def _pieces(work: Integers, most: int) -> Iterator[tuple[int, int]]:
    """Ranges whose work is at most `most`, or that hold a single item."""
    start = 0
    while start < len(work):
        done = work[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(work, done + most, side="right")))
        yield start, stop
        start = stop


def _joined(groups: Integers, sets: _ShingleSets, first: Integers, second: Integers, similarity: float) -> Integers:
    """`groups` with those joined that a pair connects. A pair within one group need not be compared."""
    apart = groups[first] != groups[second]
    first, second = first[apart], second[apart]
    near = sets.jaccard(first, second) >= similarity - _ROUNDING
    if not near.any():
        return groups
    ends = (groups[first[near]], groups[second[near]])
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(len(groups), len(groups)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)[groups]
