"""Near-duplicates: what counts as one, and the search against a plain comparison of all pairs."""

from __future__ import annotations

import doctest
import itertools
import random
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage import duplicates
from llmtriage.duplicates import Pair, folded, most_similar_pairs, near_duplicate_groups
from llmtriage.errors import InputError

# Few characters and short texts, so that similar pairs are frequent.
texts_of = st.lists(st.text("ab退款1! ", max_size=12), max_size=12)
similarities = st.sampled_from([0.3, 0.5, 0.8, 1.0])


def shingles(text: str) -> set[str]:
    """The definition, character by character."""
    padded = f" {folded(text) or ' '} "
    lengths = [2 if "\u4e00" <= character <= "\u9fff" else 3 for character in padded]
    return {padded[i : i + n] for i, n in enumerate(lengths) if i + n <= len(padded)}


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the shingles."""
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def components(texts: list[str], least: float) -> list[int]:
    """Groups by comparing every pair."""
    group = list(range(len(texts)))
    for i, j in itertools.combinations(range(len(texts)), 2):
        if similarity(texts[i], texts[j]) >= least - 1e-9:
            group = [group[i] if g == group[j] else g for g in group]
    seen: dict[int, int] = {}
    return [seen.setdefault(g, len(seen)) for g in group]


# Derandomized: a pair that just reaches the similarity may be overlooked, by design once in 10,000 times.
@pytest.mark.slow
@settings(derandomize=True, max_examples=100, deadline=None)
@given(texts_of, similarities)
def test_groups_are_those_of_comparing_all_pairs(texts: list[str], least: float) -> None:
    """The fast search finds the chains of similar pairs that a comparison of all pairs finds."""
    assert near_duplicate_groups(texts, similarity=least) == components(texts, least)


@pytest.mark.slow
@settings(derandomize=True, max_examples=100, deadline=None)
@given(texts_of, st.integers(0, 10))
def test_most_similar_pairs_are_those_of_comparing_all_pairs(texts: list[str], limit: int) -> None:
    """The similarities are the largest there are, in falling order, each of its pair."""
    pairs = most_similar_pairs(texts, limit)
    found = [similarity(a, b) for a, b in itertools.combinations(texts, 2)]
    expected = sorted((s for s in found if s >= 0.5), reverse=True)[:limit]
    assert [pair.similarity for pair in pairs] == pytest.approx(expected)
    assert all(pair.first < pair.second for pair in pairs)
    assert len({pair[:2] for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert pair.similarity == pytest.approx(similarity(texts[pair.first], texts[pair.second]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("Where is my order?", "where is  my ORDER", id="case, space, punctuation"),
        pytest.param("Order 12345 is late", "Order 9 is late", id="numbers"),
        pytest.param("ＡＢＣ１２３", "abc456", id="full-width letters and digits"),
        pytest.param("我要退款", "我要退款！", id="Chinese punctuation"),
        pytest.param("ref\u200bund please", "refund please", id="zero-width character inside a word"),
        pytest.param("买iPhone 手机，包邮", "买 iphone手机 包邮", id="spaces beside ideographs"),
        pytest.param("哈哈哈哈", "哈哈哈哈哈哈", id="repeated characters"),
        pytest.param(
            "I want my money back for the broken lamp", "I want my money back for the broken lamps", id="one letter more"
        ),
        pytest.param(
            "昨天买的空气净化器一直没有发货请尽快处理",
            "昨天买的空气净化器一直没有发货，请尽快处理谢谢",
            id="Chinese, a word more",
        ),
        pytest.param("???", " ??? ", id="punctuation only"),
        pytest.param("", " \n", id="empty"),
    ],
)
def test_near_duplicates(one: str, other: str) -> None:
    """Texts that differ in form only, or in very little, are near-duplicates."""
    assert near_duplicate_groups([one, other]) == [0, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("我要退款", "我要换货", id="four Chinese characters, another wish"),
        pytest.param("退款", "退货", id="two Chinese characters"),
        pytest.param("I want a refund", "I want a new lamp", id="another wish"),
        pytest.param("yes", "no", id="very short"),
        pytest.param("???", "!!!", id="punctuation only"),
        pytest.param("", "a", id="empty and not"),
        pytest.param("क्या", "का", id="vowel signs count"),
    ],
)
def test_different_texts(one: str, other: str) -> None:
    """Texts that say something else are no near-duplicates, however short."""
    assert near_duplicate_groups([one, other]) == [0, 1]


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(texts_of, st.randoms(use_true_random=False))
def test_the_order_of_texts_changes_only_the_numbers(texts: list[str], shuffler: random.Random) -> None:
    """Two texts are together or apart in whatever order all are given."""
    order = list(range(len(texts)))
    shuffler.shuffle(order)
    groups, shuffled = near_duplicate_groups(texts), near_duplicate_groups([texts[i] for i in order])
    together = {(i, j) for i, j in itertools.product(range(len(texts)), repeat=2) if groups[i] == groups[j]}
    assert together == {
        (order[i], order[j]) for i, j in itertools.product(range(len(texts)), repeat=2) if shuffled[i] == shuffled[j]
    }


@settings(max_examples=50, deadline=None)
@given(texts_of)
def test_a_lower_similarity_joins_more(texts: list[str]) -> None:
    """Groups of a higher similarity are parts of those of a lower one."""
    fine, coarse = near_duplicate_groups(texts, similarity=1.0), near_duplicate_groups(texts, similarity=0.5)
    assert len(set(zip(fine, coarse, strict=True))) == len(set(fine))


def test_one_template_with_many_names_is_one_group() -> None:
    """Thousands of letters from one template are found without comparing all of them with all."""
    generator = random.Random(0)  # noqa: S311 (no secrets)
    names = ["".join(generator.choices(string.ascii_lowercase, k=6)) for _ in range(2000)]
    texts = [f"My name is {name} and my parcel should have been here a long time ago, please help" for name in names]
    assert set(near_duplicate_groups(texts)) == {0}


def test_many_different_texts_stay_apart() -> None:
    """Among thousands of random texts there are no false near-duplicates."""
    generator = np.random.default_rng(0)
    texts = [" ".join(map(str, generator.choice(list(string.ascii_letters), 60))) for _ in range(3000)]
    assert near_duplicate_groups(texts) == list(range(3000))


def test_identical_texts_give_no_more_pairs_than_asked_for() -> None:
    """A text that stands there a thousand times fills the list up to its limit."""
    assert most_similar_pairs(["same"] * 1000, 2) == [Pair(0, 1, 1.0), Pair(0, 2, 1.0)]


@pytest.mark.parametrize("similarity", [0.0, -1.0, 1.1, float("nan")])
def test_a_similarity_out_of_range_is_refused(similarity: float) -> None:
    """A similarity is above 0 and at most 1."""
    with pytest.raises(InputError, match="similarity"):
        near_duplicate_groups(["a"], similarity=similarity)


def test_copies_of_similar_texts_make_pairs_too() -> None:
    """Every row of one text pairs with every row of a similar one, after the identical rows."""
    texts = ["the parcel is late", "the parcel is later", "the parcel is late"]
    pairs = most_similar_pairs(texts)
    assert [pair[:2] for pair in pairs] == [(0, 2), (0, 1), (1, 2)]
    assert pairs[1].similarity == pairs[2].similarity < 1


def test_characters_that_cannot_be_encoded_are_compared_too() -> None:
    """A lone surrogate, as a broken file brings it, is a character like another."""
    assert near_duplicate_groups(["\ud800", "\ud800", "\ud801!"]) == [0, 0, 1]


def test_a_negative_limit_is_refused() -> None:
    """A limit is not negative."""
    with pytest.raises(InputError, match="limit"):
        most_similar_pairs(["a"], -1)


def test_documented_examples_run() -> None:
    """Every example in a docstring gives what it says."""
    assert doctest.testmod(duplicates).failed == 0
