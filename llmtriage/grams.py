"""Texts as weighted n-grams: words, pairs of words and character n-grams; in Chinese n-grams of signs. Hashed, so nothing is spelt out."""

from __future__ import annotations

import re
import threading
import unicodedata
import zlib
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Hashes = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]
Ints32 = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]

_MAX_FEATURES = 65_536
_CHUNK = 2_048  # texts turned into n-grams at a time, and
_CHUNK_CHARACTERS = 2**20  # about so many characters: both bound memory
_MOST_WORDS = 32_768  # noted at a time
_SIGNS = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # kana and Chinese characters
_RUN = re.compile(f"[{_SIGNS}]+")
_LONGEST = 64
_WORD = re.compile(f"[^\\W_{_SIGNS}]{{1,{_LONGEST}}}")
_BLANKS = {code: " " for code in range(128) if not chr(code).isalnum()}
_CAMEL = re.compile("[A-Z](?<=[a-z0-9].)")


class Grams:
    """Turns texts into hashed n-grams: even hashes are words and pairs of words, odd ones are character n-grams."""

    def __init__(self) -> None:
        self._counter: _Counter | None = None
        self._counting = threading.Lock()

    def count(self, texts: Sequence[str], vocabulary: Hashes) -> tuple[sparse.csr_matrix, Floats]:
        """How often each text holds each entry of `vocabulary`, (n, d), and the share of its n-grams that stand there, (n, 1)."""
        with self._counting:
            chunks = [self._count(chunk, vocabulary) for chunk in _chunks(texts)]
        if len(chunks) == 1:
            return chunks[0]
        return sparse.csr_matrix(sparse.vstack([counts for counts, _ in chunks])), np.concatenate([known for _, known in chunks])

    def _count(self, texts: Sequence[str], vocabulary: Hashes) -> tuple[sparse.csr_matrix, Floats]:
        counter, self._counter = self._counter, None  # one that fails half-way is used no more
        if counter is None or counter.vocabulary is not vocabulary or counter.is_full:
            counter = _Counter(vocabulary)
        counted = counter.count(texts)
        self._counter = counter
        return counted

    def vocabulary(self, texts: Sequence[str]) -> tuple[Hashes, Floats]:
        """The most widespread n-grams, sorted by hash, and in how many texts each stands."""
        seen, df = np.zeros(1, np.uint32), np.zeros(1)  # one entry that never occurs: a vocabulary is never empty
        of_word = lru_cache(maxsize=_MOST_WORDS)(_word_hashes)
        for chunk in _chunks(texts):
            new = np.concatenate([np.empty(0, np.uint32), *(np.unique(_hashes(text, of_word)) for text in chunk)])
            seen, place = np.unique(np.concatenate([seen, new]), return_inverse=True)
            df = np.bincount(place, np.concatenate([df, np.ones(len(new))])).astype(np.float64)
        keep = np.sort(np.argsort(-df, kind="stable")[:_MAX_FEATURES])
        return seen[keep], df[keep]


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts, a part at a time; one empty part if there are none."""
    begin = characters = 0
    for i, text in enumerate(texts):
        if i - begin == _CHUNK or (characters and characters + len(text) > _CHUNK_CHARACTERS):
            yield texts[begin:i]
            begin, characters = i, 0
        characters += len(text)
    yield texts[begin:]


def _hashes(text: str, of_word: Callable[[str], Hashes]) -> Hashes:
    """The n-grams of a text, with repetitions."""
    words, runs = _tokens(text)
    grams = [of_word(word) for word in words]
    return np.concatenate([*grams, _pairs(np.array([own[0] for own in grams], np.uint32)), np.array(_of_runs(runs), np.uint32)])


def _tokens(text: str) -> tuple[Sequence[str], Sequence[str]]:
    """The words of a text, and its runs of signs."""
    plain = _CAMEL.sub(r" \g<0>", unicodedata.normalize("NFKC", text)).casefold()
    if not plain.isascii():
        return _WORD.findall(plain), _RUN.findall(plain)
    words = plain.translate(_BLANKS).split()  # half of the pattern's time
    return words if max(map(len, words), default=0) <= _LONGEST else _WORD.findall(plain), ()


class _Counter:
    """Counts the entries of one vocabulary in texts. What a word holds of it is noted once: a text is a sum of such rows."""

    def __init__(self, vocabulary: Hashes) -> None:
        self.vocabulary = vocabulary
        self._places = _Places(vocabulary)
        self._numbers = _Numbers()
        self._words = _Growing(np.empty(0, np.uint32))  # their hashes
        self._sizes = _Growing(np.empty(0, np.int64))  # how many n-grams each has
        # Rows of what is summed: each entry of the vocabulary by itself, then the words.
        self._columns = _Growing(np.arange(len(vocabulary), dtype=np.int32))
        self._ends = _Growing(np.arange(len(vocabulary) + 1, dtype=np.int32))
        self._ones = _Growing(np.ones(len(vocabulary), np.float32))

    @property
    def is_full(self) -> bool:
        """Whether it knows so many words that it should begin anew."""
        return len(self._numbers) > _MOST_WORDS

    def count(self, texts: Sequence[str]) -> tuple[sparse.csr_matrix, Floats]:
        """How often each text holds each entry, (n, d), and the share of its n-grams that stand there, (n, 1)."""
        tokens = [_tokens(text) for text in texts]
        words = _flat(([self._numbers[word] for word in words] for words, _ in tokens), np.int32)
        of_words = _owners([words for words, _ in tokens])
        self._note_new_words()
        signs = [_of_runs(runs) for _, runs in tokens]
        in_one_text = of_words[:-1] == of_words[1:]
        loose = np.concatenate([_pairs(self._words.values[words])[in_one_text], _flat(signs, np.uint32)])
        of_loose = np.concatenate([of_words[:-1][in_one_text], _owners(signs)])
        size = np.bincount(of_words, self._sizes.values[words], len(texts)) + np.bincount(of_loose, minlength=len(texts))
        columns, is_known = self._looked_up(loose)
        rows = np.concatenate([words + len(self.vocabulary), columns[is_known]])
        counts = self._sums(rows, np.concatenate([of_words, of_loose[is_known]]), len(texts))
        return counts, np.asarray(counts.sum(axis=1)) / np.maximum(size, 1)[:, None]

    def _note_new_words(self) -> None:
        if not self._numbers.new:
            return
        new = [_word_hashes(word) for word in self._numbers.new]
        self._numbers.new.clear()
        columns, is_known = self._looked_up(np.concatenate(new))
        sizes = np.array([len(own) for own in new])
        known = np.add.reduceat(is_known, np.cumsum(sizes) - sizes)
        self._words.add(np.array([own[0] for own in new], np.uint32))
        self._sizes.add(sizes)
        self._columns.add(columns[is_known])
        self._ends.add(self._ends.values[-1] + np.cumsum(known, dtype=np.int32))
        self._ones.add(np.ones(int(known.sum()), np.float32))

    def _looked_up(self, hashes: Hashes) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Where hashes stand in the vocabulary, and whether they do."""
        columns = self._places.of(hashes).clip(max=len(self.vocabulary) - 1)
        return columns.astype(np.int32), self.vocabulary[columns] == hashes

    def _sums(self, rows: Ints32, of: Ints, n: int) -> sparse.csr_matrix:
        """The sum of rows for each text."""
        order = np.argsort(of.astype(np.uint16), kind="stable")  # numpy sorts short numbers in linear time
        ends = np.searchsorted(of[order], np.arange(n + 1))
        count = len(self._ends.values) - 1
        chosen = sparse.csr_matrix((np.ones(len(rows), np.float32), rows[order], ends.astype(np.int32)), shape=(n, count))
        held = sparse.csr_matrix(
            (self._ones.values, self._columns.values, self._ends.values), shape=(count, len(self.vocabulary))
        )
        return chosen @ held


class _Growing:
    """Numbers one behind the other, with room for more: to add some does not copy all."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._room, self._size = values, len(values)

    @property
    def values(self) -> npt.NDArray[Any]:
        """All of them."""
        return self._room[: self._size]

    def add(self, values: npt.NDArray[Any]) -> None:
        """Put some behind the last one."""
        begin, self._size = self._size, self._size + len(values)
        if self._size > len(self._room):
            self._room = np.concatenate([self._room, np.empty(self._size, self._room.dtype)])
        self._room[begin : self._size] = values


class _Numbers(dict[str, int]):
    """Words by the order in which they were first asked for."""

    def __init__(self) -> None:
        self.new: list[str] = []

    def __missing__(self, word: str) -> int:
        self.new.append(word)
        return self.setdefault(word, len(self))


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


def _of_runs(runs: Sequence[str]) -> list[int]:
    """The n-grams of runs of signs."""
    return [gram for run in runs for gram in _ngrams(run, (1, 2, 3))]


def _pairs(words: Hashes) -> Hashes:
    """Each two words that follow each other."""
    return (words[:-1] * np.uint32(0x9E3779B1) + words[1:]) & ~np.uint32(1)


def _owners(parts: Sequence[Sequence[Any]]) -> Ints:
    """Of each item of the parts, the number of its part."""
    return np.repeat(np.arange(len(parts)), np.array([len(part) for part in parts], np.int64))


def _flat(parts: Iterable[Sequence[int]], kind: type[np.generic]) -> Any:
    return np.fromiter(chain.from_iterable(parts), kind)


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
