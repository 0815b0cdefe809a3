"""The stratified split: laws on any data."""

from __future__ import annotations

import doctest
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage import split as module
from llmtriage.duplicates import near_duplicate_groups
from llmtriage.errors import InputError
from llmtriage.split import split

THREE = {"train": 0.8, "dev": 0.1, "test": 0.1}
fractions_of = st.sampled_from([THREE, {"a": 0.5, "b": 0.5}, {"a": 0.6, "b": 0.3, "c": 0.1}, {"all": 1.0}])
rows_of = st.lists(st.tuples(st.sampled_from("xyz"), st.text("ab退 ", max_size=6)), max_size=40)
labels_of = st.lists(st.sampled_from("xxxyyz"), min_size=1, max_size=150)


def unlike(n: int) -> list[str]:
    """Texts of which no two are near-duplicates: one ideograph each."""
    return [chr(0x4E00 + i) for i in range(n)]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(rows_of, fractions_of, st.integers(0, 3))
def test_near_duplicates_stay_together(rows: list[tuple[str, str]], fractions: dict[str, float], seed: int) -> None:
    """No group of near-duplicates is in two parts, and every row is in one."""
    labels, texts = [label for label, _ in rows], [text for _, text in rows]
    parts = split(labels, texts, fractions, seed)
    assert len(parts) == len(rows)
    assert set(parts) <= set(fractions)
    groups = near_duplicate_groups(texts)
    assert len(set(zip(groups, parts, strict=True))) == len(set(groups))


@settings(max_examples=40, deadline=None)
@given(labels_of, fractions_of, st.integers(0, 3))
def test_a_label_with_enough_rows_is_in_every_part(labels: list[str], fractions: dict[str, float], seed: int) -> None:
    """Where no texts are alike, as many rows as parts are enough."""
    dealt = Counter(zip(labels, split(labels, unlike(len(labels)), fractions, seed), strict=True))
    for label, n in Counter(labels).items():
        if n >= len(fractions):
            assert all(dealt[label, part] for part in fractions)


@settings(max_examples=40, deadline=None)
@given(labels_of, fractions_of, st.integers(0, 3))
def test_each_label_is_dealt_in_the_fractions(labels: list[str], fractions: dict[str, float], seed: int) -> None:
    """Where no texts are alike, each label of each part is less than one row off, if its fair share is a row or more."""
    dealt = Counter(zip(labels, split(labels, unlike(len(labels)), fractions, seed), strict=True))
    for label, n in Counter(labels).items():
        if n * min(fractions.values()) >= 1:
            assert all(abs(dealt[label, part] - share * n) < 1 for part, share in fractions.items())


def test_the_same_seed_gives_the_same_split_and_another_another() -> None:
    """The split depends on the data and the seed alone."""
    labels, texts = ["x", "y"] * 50, unlike(100)
    assert split(labels, texts, THREE, 1) == split(labels, texts, THREE, 1)
    assert split(labels, texts, THREE, 1) != split(labels, texts, THREE, 2)


def test_large_groups_go_to_every_part() -> None:
    """Templates are not all in the largest part: each part is a fair sample of what customers write."""
    texts = [f"{text * 3} {n}" for text in unlike(50) for n in range(4)]
    parts = Counter(split(["x"] * 200, texts, {"train": 0.8, "test": 0.2}))
    assert parts == {"train": 160, "test": 40}


def test_groups_of_several_labels_are_kept_together() -> None:
    """A text that stands there under two labels is in one part under both."""
    texts = [text for text in unlike(30) for _ in range(2)]
    parts = split(["x", "y"] * 30, texts, THREE)
    assert parts[::2] == parts[1::2]
    assert set(parts) == set(THREE)


def test_thousands_of_rows_are_split_in_the_fractions() -> None:
    """Many labels with a skewed frequency: every part is close to its share, and every label in each."""
    generator = np.random.default_rng(0)
    labels = [str(label) for label in np.minimum(generator.geometric(0.05, 5000), 60)]
    parts = split(labels, unlike(5000), {"train": 0.7, "test": 0.3})
    assert parts.count("train") / 5000 == pytest.approx(0.7, abs=0.01)


def test_nothing_to_split_gives_nothing() -> None:
    """No rows, no parts."""
    assert split([], [], THREE) == []


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        pytest.param({}, "empty", id="no parts"),
        pytest.param({"train": 1.0, "test": 0.0}, "empty", id="a part of nothing"),
        pytest.param({"train": 0.8, "test": 0.1}, "sum to 0.9", id="a sum below 1"),
        pytest.param({"train": float("nan"), "test": 0.1}, "empty", id="not a number"),
    ],
)
def test_unusable_fractions_are_refused(fractions: dict[str, float], message: str) -> None:
    """Fractions are above 0 and sum to 1."""
    with pytest.raises(InputError, match=message):
        split(["x"], ["a"], fractions)


def test_a_text_without_a_label_is_refused() -> None:
    """Labels and texts are of one length."""
    with pytest.raises(InputError, match="1 labels for 2 texts"):
        split(["x"], ["a", "b"], THREE)


def test_documented_examples_run() -> None:
    """Every example in a docstring gives what it says."""
    assert doctest.testmod(module).failed == 0
