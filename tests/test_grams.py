"""Texts as weighted n-grams."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llmtriage.grams import _Places

_HASHES = st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(2**32 - 5, 2**32 - 1), st.integers(65_530, 65_545))


@given(st.sets(_HASHES, max_size=60), st.lists(_HASHES, max_size=60))
def test_hashes_are_found_where_a_binary_search_finds_them(known: set[int], wanted: list[int]) -> None:
    """Also between, before and behind those of the vocabulary, and in an empty one."""
    vocabulary, hashes = np.array(sorted(known), np.uint32), np.array([*wanted, *known], np.uint32)
    assert np.array_equal(_Places(vocabulary).of(hashes), np.searchsorted(vocabulary, hashes))
