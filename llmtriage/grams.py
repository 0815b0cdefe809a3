"""Texts as weighted n-grams: words, pairs of words and character n-grams; in Chinese n-grams of signs. Hashed, so nothing is spelt out."""

from __future__ import annotations

import re
import unicodedata
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Hashes = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]

_MAX_FEATURES = 65_536
_CHUNK = 2_048  # texts turned into n-grams at a time: bounds memory
_SIGNS = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # kana and Chinese characters
_TOKEN = re.compile(f"(?P<signs>[{_SIGNS}]+)|[^\\W_{_SIGNS}]{{1,64}}")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Grams:
    """Turns texts into hashed n-grams: even hashes are words and pairs of words, odd ones are character n-grams."""

    def __init__(self) -> None:
        self._word = lru_cache(maxsize=32_768)(_word_hashes)
        self._places = _Places(np.empty(0, np.uint32))

    def count(self, texts: Sequence[str], vocabulary: Hashes) -> tuple[sparse.csr_matrix, Floats]:
        """How often each text holds each entry of `vocabulary`, (n, d), and the share of its n-grams that stand there, (n, 1)."""
        chunks = [self._count(texts[i : i + _CHUNK], vocabulary) for i in range(0, max(1, len(texts)), _CHUNK)]
        return sparse.csr_matrix(sparse.vstack([counts for counts, _ in chunks])), np.concatenate([known for _, known in chunks])

    def _count(self, texts: Sequence[str], vocabulary: Hashes) -> tuple[sparse.csr_matrix, Floats]:
        grams = [self.of(text) for text in texts]
        found = np.concatenate([*grams, np.empty(0, np.uint32)])
        if self._places.vocabulary is not vocabulary:
            self._places = _Places(vocabulary)
        columns = self._places.of(found).clip(max=len(vocabulary) - 1)
        known = vocabulary[columns] == found
        size = np.array([len(g) for g in grams], np.int64)
        rows = np.repeat(np.arange(len(texts)), size)[known]
        counts = _counted(rows, columns[known], (len(texts), len(vocabulary)))
        return counts, (np.bincount(rows, minlength=len(texts)) / np.maximum(size, 1))[:, None]

    def vocabulary(self, texts: Sequence[str]) -> tuple[Hashes, Floats]:
        """The most widespread n-grams, sorted by hash, and in how many texts each stands."""
        seen, df = np.zeros(1, np.uint32), np.zeros(1)  # one entry that never occurs: a vocabulary is never empty
        for i in range(0, len(texts), _CHUNK):
            new = np.concatenate([np.unique(self.of(text)) for text in texts[i : i + _CHUNK]])
            seen, place = np.unique(np.concatenate([seen, new]), return_inverse=True)
            df = np.bincount(place, np.concatenate([df, np.ones(len(new))])).astype(np.float64)
        keep = np.sort(np.argsort(-df, kind="stable")[:_MAX_FEATURES])
        return seen[keep], df[keep]

    def of(self, text: str) -> Hashes:
        """The n-grams of `text`, with repetitions."""
        plain = _CAMEL.sub(" ", unicodedata.normalize("NFKC", text)).casefold()
        tokens = list(_TOKEN.finditer(plain))
        grams = [np.array([*_ngrams(t[0], (1, 2, 3))], np.uint32) if t["signs"] else self._word(t[0]) for t in tokens]
        words = np.array([g[0] for g, t in zip(grams, tokens, strict=True) if not t["signs"]], np.uint32)
        pairs = (words[:-1] * np.uint32(0x9E3779B1) + words[1:]) & ~np.uint32(1)
        return np.concatenate([*grams, pairs])


def _counted(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sparse.csr_matrix:
    """How often each place is named. One sort of numbers takes a third of the time in which scipy sums repetitions."""
    places, n = np.unique(rows * shape[1] + columns, return_counts=True)
    ends = np.searchsorted(places, np.arange(shape[0] + 1) * shape[1])
    return sparse.csr_matrix((n.astype(np.float32), places % shape[1], ends), shape=shape)


class _Places:
    """Where hashes stand in a sorted vocabulary: what `numpy.searchsorted` says, in a fraction of the time, because hashes are spread evenly."""

    def __init__(self, vocabulary: Hashes) -> None:
        """Note where the hashes with the same upper half begin."""
        self.vocabulary = vocabulary
        self._begins = np.searchsorted(vocabulary, np.arange(0, 2**32, 2**16, dtype=np.uint32))
        self._most = int(np.diff(self._begins, append=len(vocabulary)).max())

    def of(self, hashes: Hashes) -> npt.NDArray[np.intp]:
        """The first place of a hash as large as each, or behind the last one."""
        places: npt.NDArray[np.intp] = self._begins[hashes >> np.uint32(16)]
        if len(self.vocabulary):
            for _ in range(self._most):
                places += (self.vocabulary.take(places, mode="clip") < hashes) & (places < len(self.vocabulary))
        return places


def _word_hashes(word: str) -> Hashes:
    """The word, then its character 2- to 4-grams with the word's edges marked."""
    return np.array([hashed(word) & ~1, *_ngrams(f" {word} ", (2, 3, 4))], np.uint32)


def _ngrams(text: str, sizes: Sequence[int]) -> Iterator[int]:
    return (hashed(text[i : i + n]) | 1 for n in sizes for i in range(len(text) - n + 1))


def hashed(text: str) -> int:
    """The CRC-32 of `text`."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def tfidf(counts: sparse.csr_matrix, idf: Floats32) -> sparse.csr_matrix:
    """Rows of (1 + log count) * idf, of length one; a text without known n-grams stays zero."""
    weights = (1 + np.log(counts.data)) * idf[counts.indices]
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    length = np.sqrt(np.bincount(rows, weights**2, minlength=counts.shape[0]))
    data = (weights / length[rows]).astype(np.float32)
    return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)
