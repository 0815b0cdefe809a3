"""What servers list, in each form they have: the same tokens come out, and nothing raises."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage.backends.readings.listed import Listed, Position, positions

NAN = math.nan


def entry(token: Any, logprob: Any, **other: Any) -> dict[str, Any]:
    """A token as chat completions write it."""
    return {"token": token, "logprob": logprob, **other}


def content(*entries: dict[str, Any]) -> dict[str, Any]:
    """A choice with the places of its answer."""
    return {"logprobs": {"content": list(entries)}}


def told(position: Position) -> list[tuple[bytes, int | None, float]]:
    """The tokens of a place as tuples."""
    return [(token.raw, token.id, token.logprob) for token in position.tokens]


# -- the forms -------------------------------------------------------------------------------------


def test_chat_completions_list_texts() -> None:
    """Each place with what was chosen and what else there was."""
    first = entry("A", -0.1, bytes=[65], top_logprobs=[entry("A", -0.1, bytes=[65]), entry(" B", -3, bytes=[32, 66])])
    second = entry("!", -0.5, top_logprobs=[])
    found = positions(content(first, second))
    assert [place.chosen.raw for place in found] == [b"A", b"!"]
    assert [told(place) for place in found] == [[(b"A", None, -0.1), (b" B", None, -3.0)], [(b"!", None, -0.5)]]


def test_asked_by_number_vllm_writes_numbers_for_texts_and_for_bytes() -> None:
    """The bytes spell "token_id:35" and are not used; the sampled token comes before those asked for."""
    spelt = list(b"token_id:35")
    top = [entry("token_id:35", -0.1, bytes=spelt), entry("token_id:36", -2.5), entry("token_id:7", -9999.0)]
    (place,) = positions(content(entry("token_id:35", -0.1, bytes=spelt, top_logprobs=top)))
    assert told(place) == [(b"", 35, -0.1), (b"", 36, -2.5), (b"", 7, -9999.0)]
    assert place.chosen == Listed(b"", 35, -0.1)


@pytest.mark.parametrize("name", ["id", "token_id"])
def test_llama_cpp_tells_the_number_beside_the_text(name: str) -> None:
    """Under either name; one that is null does not hide the other."""
    top = [entry("A", -0.1, **{name: 32}), entry(" A", -2.0, **{name: 362, "token_id" if name == "id" else "id": None})]
    (place,) = positions(content(entry("A", -0.1, **{name: 32}, top_logprobs=top)))
    assert told(place) == [(b"A", 32, -0.1), (b" A", 362, -2.0)]


def test_the_older_form_lists_texts_with_their_values() -> None:
    """`logprobs: n`, as in completions."""
    held = {"tokens": ["A", "."], "token_logprobs": [-0.1, -0.2], "top_logprobs": [{"A": -0.1, " B": -3}, {".": -0.2}]}
    first, second = positions({"logprobs": held})
    assert told(first) == [(b"A", None, -0.1), (b" B", None, -3.0)]
    assert (second.chosen.raw, told(second)) == (b".", [(b".", None, -0.2)])


def test_the_older_form_adds_the_chosen_token_that_is_not_listed() -> None:
    """With its own value."""
    (place,) = positions({"logprobs": {"tokens": ["C"], "token_logprobs": [-7.5], "top_logprobs": [{"A": -0.1}]}})
    assert told(place) == [(b"A", None, -0.1), (b"C", None, -7.5)]
    assert place.chosen.raw == b"C"


# -- repetitions -----------------------------------------------------------------------------------


def test_a_chosen_token_that_was_not_listed_is_added() -> None:
    """A sampled one need not be among the most probable; one that is needs no value of its own."""
    (place,) = positions(content(entry("Z", -8.0, top_logprobs=[entry("A", -0.1), entry("B", -3.0)])))
    assert told(place) == [(b"A", None, -0.1), (b"B", None, -3.0), (b"Z", None, -8.0)]
    (place,) = positions(content(entry("A", None, top_logprobs=[entry("A", -0.1), entry("B", -3.0)])))
    assert told(place) == [(b"A", None, -0.1), (b"B", None, -3.0)]


def test_a_chosen_token_that_is_listed_twice_counts_once() -> None:
    """As vLLM does with the sampled one among those asked for."""
    top = [entry("token_id:3", -0.1), entry("token_id:4", -3.0), entry("token_id:3", -0.1)]
    (place,) = positions(content(entry("token_id:3", -0.1, top_logprobs=top)))
    assert told(place) == [(b"", 3, -0.1), (b"", 4, -3.0)]


def test_texts_that_repeat_are_one_unless_numbers_tell_them_apart() -> None:
    """The first of them is the more probable; numbered ones with one text are two."""
    top = [entry("A", -0.2), entry("B", -2.0), entry("A", -6.0)]
    assert told(positions(content(entry("A", -0.2, top_logprobs=top)))[0]) == [(b"A", None, -0.2), (b"B", None, -2.0)]
    numbered = [entry("", -0.2, id=1), entry("", -2.0, id=2)]
    assert told(positions(content(entry("", -0.2, id=1, top_logprobs=numbered)))[0]) == [(b"", 1, -0.2), (b"", 2, -2.0)]


# -- parts of characters ---------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "\ufffd", "bytes:\\xe9\\x80"])
def test_a_part_of_a_character_is_known_by_its_bytes(text: str) -> None:
    """Its text is empty, a mark or a description, as servers differ."""
    top = [entry(text, -0.1, bytes=[0xE9, 0x80]), entry(text, -3.0, bytes=[0xE7, 0x89])]
    (place,) = positions(content(entry(text, -0.1, bytes=[0xE9, 0x80], top_logprobs=top)))
    assert told(place) == [(b"\xe9\x80", None, -0.1), (b"\xe7\x89", None, -3.0)]


@pytest.mark.parametrize("raw", [None, [], "A", [256], [-1], [1.5], ["A"], [None], [10**400], {"0": 65}])
def test_bytes_that_are_none_leave_the_text(raw: object) -> None:
    """Servers leave them out, or null."""
    assert positions(content(entry("退", -0.1, bytes=raw)))[0].chosen == Listed("退".encode(), None, -0.1)


def test_a_lone_surrogate_is_no_error() -> None:
    """JSON can hold one, UTF-8 cannot."""
    assert positions(content(entry(json.loads('"\\ud800"'), -0.1)))[0].chosen.raw == b"?"


# -- whatever comes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "held",
    [
        None,
        {},
        [],
        "x",
        3,
        {"content": None},
        {"content": []},
        {"content": {}},
        {"content": None, "top_logprobs": None},
        {"tokens": ["A"]},
    ],
)
def test_where_nothing_is_listed_there_are_no_places(held: object) -> None:
    """Null, empty, absent and of another type are all the same."""
    assert positions({"logprobs": held}) == positions({}) == ()


@pytest.mark.parametrize("value", [None, "-0.1", True, [], {}, 10**400, math.nan])
def test_a_value_that_is_no_number_is_nan(value: object) -> None:
    """And not zero, which would be certainty."""
    assert math.isnan(positions(content(entry("A", value)))[0].chosen.logprob)


@pytest.mark.parametrize(
    "text", ["token_id:", "token_id:-1", "token_id:1x", "token_id:１", "token_id:" + "9" * 5000, "xtoken_id:1"]
)
def test_only_a_number_is_a_number(text: str) -> None:
    """Another text that begins like one is a text."""
    assert positions(content(entry(text, -0.1)))[0].chosen == Listed(text.encode(), None, -0.1)


@pytest.mark.parametrize("number", [True, -1, 1.5, "32", None])
def test_an_id_that_is_no_count_is_none(number: object) -> None:
    """The text stays."""
    assert positions(content(entry("A", -0.1, id=number)))[0].chosen == Listed(b"A", None, -0.1)


plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["A", "token_id:3", 10**400])
)
odd = st.recursive(
    plain, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=3), some, max_size=3), max_leaves=6
)
token = st.fixed_dictionaries({}, optional={"token": odd, "logprob": odd, "bytes": odd, "id": odd, "token_id": odd})
place = st.fixed_dictionaries(
    {}, optional={"token": odd, "logprob": odd, "top_logprobs": odd | st.lists(token | odd, max_size=3)}
)
openai = st.fixed_dictionaries({"content": st.lists(place | odd, max_size=3)})
integer = st.fixed_dictionaries(
    {"top_logprobs": st.lists(st.dictionaries(st.text(max_size=3), odd, max_size=3) | odd, max_size=3)},
    optional={"tokens": odd | st.lists(odd, max_size=3), "token_logprobs": odd | st.lists(odd, max_size=3), "content": odd},
)


@pytest.mark.slow
@given(openai | integer | odd)
def test_nothing_that_a_server_sends_raises(held: object) -> None:
    """Any field may be null, absent or of another type; no token is listed twice, and the chosen one is among those listed."""
    for position in positions({"logprobs": held}):
        keys = [token.raw if token.id is None else token.id for token in position.tokens]
        assert len(set(keys)) == len(keys)
        assert position.chosen.raw in {token.raw for token in position.tokens} or position.chosen.id in keys
        for token in position.tokens:
            assert isinstance(token.raw, bytes)
            assert isinstance(token.logprob, float)
            assert token.id is None or token.id >= 0
