"""Texts as weighted n-grams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import grams
from llmtriage.grams import Grams, _chunks, _hashes, _Places, _tokens, _word_hashes

_HASHES = st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(2**32 - 5, 2**32 - 1), st.integers(65_530, 65_545))


@given(st.sets(_HASHES, max_size=60), st.lists(_HASHES, max_size=60))
def test_hashes_are_found_where_a_binary_search_finds_them(known: set[int], wanted: list[int]) -> None:
    """Also between, before and behind those of the vocabulary, and in an empty one."""
    vocabulary, hashes = np.array(sorted(known), np.uint32), np.array([*wanted, *known], np.uint32)
    assert np.array_equal(_Places(vocabulary).of(hashes), np.searchsorted(vocabulary, hashes))


_TEXTS = st.lists(st.text(st.sampled_from("abzAB 1退款订单号，.\n"), max_size=40), max_size=6)


@given(st.text(st.characters(max_codepoint=127), max_size=30), st.integers(0, 140))
def test_plain_text_has_the_words_it_has_beside_other_letters(text: str, more: int) -> None:
    """It is taken apart in a quicker way, also where a word is longer than one may be."""
    plain = f"{text}b{'a' * more}"
    (words, _), (among, _) = _tokens(plain), _tokens(f"{plain} é")
    assert [*words, "é"] == list(among)


@pytest.mark.parametrize(
    ("text", "words"), [("resetPIN iOS17", ["reset", "pin", "i", "os17"]), ("A1B2", ["a1", "b2"]), ("caféAU", ["caféau"])]
)
def test_capitals_inside_a_word_begin_another(text: str, words: list[str]) -> None:
    """Behind a small letter or a digit."""
    assert list(_tokens(text)[0]) == words


@given(_TEXTS, _TEXTS)
def test_a_text_is_counted_as_the_sum_of_its_n_grams(learnt: list[str], texts: list[str]) -> None:
    """Whatever was counted before, and in whichever company."""
    engine = Grams()
    vocabulary, _ = engine.vocabulary(learnt)
    engine.count(texts[::-1], vocabulary)
    counts, known = engine.count([*texts, *learnt], vocabulary)
    assert counts.shape == (len(texts) + len(learnt), len(vocabulary))
    for i, text in enumerate([*texts, *learnt]):
        hashes = _hashes(text, _word_hashes)
        expected = (hashes[:, None] == vocabulary).sum(axis=0)
        assert np.array_equal(counts[[i]].toarray()[0], expected)
        assert known[i] == expected.sum() / max(len(hashes), 1)


def test_the_same_text_has_the_same_row_in_every_company() -> None:
    """Also the order of its entries, in which sums are rounded."""
    engine, text = Grams(), "我要退款 for order 12 for order 13"
    vocabulary, _ = engine.vocabulary([text, "another order"])
    alone, _ = engine.count([text], vocabulary)
    among, _ = Grams().count(["order order", text, "13 退款"], vocabulary)
    row = slice(among.indptr[1], among.indptr[2])
    assert np.array_equal(alone.indices, among.indices[row])
    assert np.array_equal(alone.data, among.data[row])


def test_words_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """And noted anew: memory is bounded, and counts stay what they are."""
    monkeypatch.setattr(grams, "_MOST_WORDS", 3)
    engine, texts = Grams(), ["one two three four", "five two"]
    vocabulary, _ = engine.vocabulary(texts)
    before = [engine.count([text], vocabulary)[0].toarray() for text in texts]
    assert engine._counter is not None
    assert len(engine._counter._numbers) == 2
    assert np.array_equal(np.vstack(before), engine.count(texts, vocabulary)[0].toarray())


def test_texts_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by length; one that is too long for any part is one by itself."""
    monkeypatch.setattr(grams, "_CHUNK", 3)
    monkeypatch.setattr(grams, "_CHUNK_CHARACTERS", 10)
    texts = ["a", "b", "c", "d", "12345678", "x" * 20, "", "y"]
    assert [list(part) for part in _chunks(texts)] == [["a", "b", "c"], ["d", "12345678"], ["x" * 20], ["", "y"]]
    assert [list(part) for part in _chunks([])] == [[]]


def test_a_count_that_fails_half_way_spoils_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as where memory is short while a new word is noted."""
    engine, texts = Grams(), ["one two", "two three"]
    vocabulary, _ = engine.vocabulary(texts)
    expected = Grams().count(texts, vocabulary)[0].toarray()
    with monkeypatch.context() as broken:
        broken.setattr(grams._Growing, "add", _without_memory)
        with pytest.raises(MemoryError):
            engine.count(["one four"], vocabulary)
    assert np.array_equal(engine.count(texts, vocabulary)[0].toarray(), expected)


def _without_memory(*_: object) -> None:
    raise MemoryError
