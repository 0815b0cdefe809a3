"""One token, alone or inside JSON: every code gets what the server listed for it, and a reading that lies is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import Failure
from llmtriage.backends.readings.codes import CodeBook
from llmtriage.backends.readings.listed import Listed, Position, positions
from llmtriage.backends.readings.one_token import Lists, first_choice, read_first, read_within, renormalises, wanted_ids
from llmtriage.predictions import Floats, Scores

CODES = ("A", "B", "C")
NUMBERED = CodeBook("letters", CODES, {"A": (1, 11), "B": (2, 12), "C": (3,)})
WRITTEN = CodeBook("letters", CODES)
WORDS = CodeBook("words")
NAN, INF = math.nan, math.inf

Shares = Mapping[str, float] | Sequence[tuple[str, float]]


def ln(share: float) -> float:
    """The natural logarithm, also of nothing."""
    return math.log(share) if share > 0 else -INF


def by_text(shares: Shares) -> dict[str, Any]:
    """The first choice of a completion that lists these tokens with their probabilities."""
    pairs = list(shares.items()) if isinstance(shares, Mapping) else list(shares)
    top = [{"token": token, "logprob": ln(share)} for token, share in pairs]
    return {"logprobs": {"content": [{**top[0], "top_logprobs": top}]}}


def by_number(logs: Mapping[int, object]) -> dict[str, Any]:
    """The same with numbers for texts, and logarithms."""
    top = [{"token": f"token_id:{number}", "logprob": log} for number, log in logs.items()]
    return {"logprobs": {"content": [{**top[0], "top_logprobs": top}]}}


def scored(answer: Scores | Failure) -> tuple[list[float], list[bool]]:
    """Probabilities, and which of them nothing was seen of."""
    assert isinstance(answer, Scores)
    assert answer.missing is not None
    assert np.exp(answer.values).sum() == pytest.approx(1)
    return np.exp(answer.values).tolist(), answer.missing.tolist()


def shows(answer: Scores | Failure, shares: Sequence[float] | Floats, missing: Sequence[bool]) -> bool:
    """Whether these are its probabilities, and these of them were not seen."""
    found, unseen = scored(answer)
    return found == pytest.approx(shares) and unseen == missing


def failed(answer: Scores | Failure) -> tuple[str, str]:
    """Why there is none."""
    assert isinstance(answer, Failure)
    return answer.reason, answer.detail


# -- what is asked for -----------------------------------------------------------------------------


def test_fields_of_each_form() -> None:
    """By number vLLM also needs `logprobs`, and must write numbers for texts."""
    by_ids = {"logprobs": True, "logprob_token_ids": [1, 2], "return_tokens_as_token_ids": True}
    assert Lists(form="ids", most=128).fields([1, 2]) == by_ids
    assert Lists(form="openai", most=20).fields([1, 2]) == {"logprobs": True, "top_logprobs": 20}
    assert Lists(form="integer", most=5).fields() == {"logprobs": 5}


@pytest.mark.parametrize(("most", "wanted"), [(5, (1, 11, 2, 12, 3)), (4, (1, 2, 3)), (3, (1, 2, 3))])
def test_tokens_with_a_blank_are_asked_for_where_there_is_room_for_all(most: int, wanted: tuple[int, ...]) -> None:
    """Some of them alone would favour their codes."""
    assert wanted_ids(CODES, NUMBERED, most) == wanted


@pytest.mark.parametrize(
    ("body", "masks"),
    [
        ({}, False),
        ({"temperature": 0.5, "chat_template_kwargs": {"x": 1}}, False),
        ({"logit_bias": {}, "guided_choice": None}, False),
        ({"logit_bias": {"1": 5}}, True),
        ({"structured_outputs": {"choice": ["A"]}}, True),
        ({"response_format": {"type": "json_object"}}, True),
        ({"allowed_token_ids": [1, 2]}, True),
        ({"grammar": "root ::= [AB]"}, True),
    ],
)
def test_a_field_that_masks_tokens_is_known(body: dict[str, Any], masks: bool) -> None:  # noqa: FBT001
    """After it nothing tells the label mass."""
    assert renormalises(body) is masks


@pytest.mark.parametrize("body", [None, [], "x", {}, {"choices": None}, {"choices": []}, {"choices": [None]}, {"choices": "x"}])
def test_the_first_choice_of_anything_else_is_empty(body: object) -> None:
    """Null, empty, absent and of another type are nothing."""
    assert first_choice({"choices": [{"index": 0}, {"index": 1}]}) == {"index": 0}
    assert first_choice(body) == {}


# -- by number -------------------------------------------------------------------------------------


def test_by_number_codes_with_and_without_a_blank_are_summed() -> None:
    """And the mass is theirs together; the sampled token need be none of them."""
    logs = {99: ln(0.1), 1: ln(0.4), 11: ln(0.2), 2: ln(0.1), 12: ln(0.05), 3: ln(0.05)}
    answer = read_first(by_number(logs), CODES, NUMBERED, wanted=(1, 11, 2, 12, 3))
    assert shows(answer, [0.75, 0.1875, 0.0625], [False] * 3)
    assert isinstance(answer, Scores)
    assert answer.label_mass == pytest.approx(0.8)


def test_codes_are_aligned_with_what_they_stand_for() -> None:
    """In a turn the same tokens are other categories."""
    logs = {1: ln(0.6), 2: ln(0.3), 3: ln(0.1)}
    assert scored(read_first(by_number(logs), ("C", "A", "B"), NUMBERED, wanted=(3, 1, 2)))[0] == pytest.approx([0.1, 0.6, 0.3])


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        pytest.param(by_number({1: -0.1, 2: -3.0}), 1, id="one left out"),
        pytest.param(by_number({7: -0.1, 8: -3.0}), 3, id="the field was ignored"),
        pytest.param(by_text({"A": 0.9, "B": 0.1}), 3, id="texts came"),
        pytest.param(by_number({1: -0.1, 2: None, 3: -3.0}), 1, id="one null"),
        pytest.param(by_number({1: -0.1, 2: "x", 3: NAN}), 2, id="no numbers"),
    ],
)
def test_tokens_that_were_asked_for_and_did_not_come_are_a_lie(choice: dict[str, Any], count: int) -> None:
    """A server that does not know a field answers as if it were not there."""
    detail = f"the server left out {count} of the 3 tokens that were asked for by number"
    assert failed(read_first(choice, CODES, NUMBERED, wanted=(1, 2, 3))) == ("bad_response", detail)


@pytest.mark.parametrize("mask", [-9999.0, -INF, -1e30])
def test_a_masked_code_is_bounded(mask: float) -> None:
    """Not zero, and not more than the least of the others."""
    shares, missing = scored(read_first(by_number({1: ln(0.7), 2: ln(0.2), 3: mask}), CODES, NUMBERED, wanted=(1, 2, 3)))
    assert missing == [False, False, True]
    assert shares == pytest.approx([0.7, 0.2, 0.1], rel=1e-6)


def test_where_every_code_is_masked_none_was_named() -> None:
    """All of them came back."""
    answer = read_first(by_number({9: -0.1, 1: -9999.0, 2: -9999.0, 3: -9999.0}), CODES, NUMBERED, wanted=(1, 2, 3))
    assert failed(answer) == ("unknown_label", "no code is among the 4 tokens that the server listed")


def test_a_hidden_mass_is_none() -> None:
    """After a mask the codes have everything."""
    answer = read_first(by_number({1: ln(0.7), 2: ln(0.2), 3: ln(0.1)}), CODES, NUMBERED, wanted=(1, 2, 3), renormalised=True)
    assert isinstance(answer, Scores)
    assert answer.label_mass is None


@pytest.mark.parametrize("value", [3.0, INF, 1e308])
def test_numbers_that_are_no_logarithms_of_probabilities_are_refused(value: float) -> None:
    """Logits, percent, and what else servers may send."""
    reason, detail = failed(read_first(by_number({1: value, 2: -3.0, 3: -4.0}), CODES, NUMBERED, wanted=(1, 2, 3)))
    assert reason == "bad_response"
    assert detail.startswith("the server's numbers are no log-probabilities (one is ")


# -- the most probable tokens ----------------------------------------------------------------------


def test_by_text_blanks_around_a_code_do_not_count() -> None:
    """All that is the same code is summed; what only looks like one is another token."""
    shares = {"A": 0.3, " A": 0.2, "A\n": 0.1, "B": 0.1, "a": 0.05, "AB": 0.05, '"A"': 0.05, "": 0.02, "Ａ": 0.02, "C ": 0.04}
    answer = read_first(by_text(shares), CODES, WRITTEN)
    assert shows(answer, np.array([0.6, 0.1, 0.04]) / 0.74, [False] * 3)
    assert isinstance(answer, Scores)
    assert answer.label_mass == pytest.approx(0.74)


def test_a_code_that_is_not_among_the_most_probable_is_bounded_by_the_least_of_these() -> None:
    """Of all tokens, not of the codes."""
    shares, missing = scored(read_first(by_text({"A": 0.5, "B": 0.3, "x": 0.01}), CODES, WRITTEN))
    assert missing == [False, False, True]
    assert shares == pytest.approx(np.array([0.5, 0.3, 0.01]) / 0.81)


@pytest.mark.parametrize("drawn", [{}, {"x": 0.001}], ids=["beside the list", "in the list, as vLLM has it"])
def test_a_token_that_was_drawn_by_lot_bounds_nothing(drawn: dict[str, float]) -> None:
    """It may be less probable than many that are not listed; the least of the most probable bounds these."""
    listed = [{"token": text, "logprob": ln(share)} for text, share in {**drawn, "A": 0.5, "B": 0.2, "y": 0.1}.items()]
    choice = {"logprobs": {"content": [{"token": "x", "logprob": ln(0.001), "top_logprobs": listed}]}}
    shares, missing = scored(read_first(choice, CODES, WRITTEN))
    assert missing == [False, False, True]
    assert shares == pytest.approx(np.array([0.5, 0.2, 0.1]) / 0.8)


def test_where_no_code_is_among_them_none_was_named() -> None:
    """The model wants to say something else."""
    assert failed(read_first(by_text({"The": 0.9, "a": 0.1}), CODES, WRITTEN)) == (
        "unknown_label",
        "no code is among the 2 tokens that the server listed",
    )


def test_a_letter_of_a_pair_is_another_token() -> None:
    """A code is one token, so what only begins like one is not it."""
    book = CodeBook("random", ("BX", "JR"), {"BX": (1,), "JR": (2,)})
    assert shows(read_first(by_text({"BX": 0.4, "B": 0.3, "JR": 0.2, "J": 0.1}), book.pool, book), [2 / 3, 1 / 3], [False, False])


def test_numbers_beside_texts_are_believed_where_codes_have_some() -> None:
    """llama.cpp tells both; a text that looks like a code may be another token."""
    top = [{"id": 1, "token": "A", "logprob": ln(0.5)}, {"id": 77, "token": "B", "logprob": ln(0.2)}]
    choice = {"logprobs": {"content": [{**top[0], "top_logprobs": [*top, {"id": 12, "token": " B", "logprob": ln(0.1)}]}]}}
    assert scored(read_first(choice, CODES[:2], NUMBERED))[0] == pytest.approx([5 / 6, 1 / 6])
    assert scored(read_first(choice, CODES[:2], WRITTEN))[0] == pytest.approx([5 / 8, 3 / 8])


def test_only_the_first_place_is_read() -> None:
    """What comes after it depends on it."""
    choice = by_text({"A": 0.6, "B": 0.4})
    choice["logprobs"]["content"] += by_text({"B": 1.0})["logprobs"]["content"]
    assert scored(read_first(choice, CODES[:2], WRITTEN))[0] == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize("held", [None, {}, {"content": None}, {"content": []}, {"content": "A"}, "absent"])
def test_a_server_that_lists_nothing_is_told_so(held: object) -> None:
    """Null, absent and empty look like success everywhere else."""
    choice = {} if held == "absent" else {"logprobs": held}
    assert failed(read_first(choice, CODES, WRITTEN)) == ("bad_response", "the server listed no log-probabilities")


# -- words -----------------------------------------------------------------------------------------


def test_a_beginning_is_a_word_if_no_other_begins_so() -> None:
    """A name is several tokens, of which the first is read; the whole name is itself though another begins with it."""
    codes = ("refund", "return", "parcel", "parcels")
    shares = {"ref": 0.3, "refund": 0.1, "re": 0.2, "pa": 0.1, "parcel": 0.15, "parcels": 0.05, "refunds": 0.02, "und": 0.02}
    answer = read_first(by_text(shares), codes, WORDS)
    assert scored(answer)[1] == [False, True, False, False]
    assert isinstance(answer, Scores)
    assert answer.label_mass == pytest.approx(0.6)
    assert np.exp(answer.values[[0, 2, 3]] - answer.values[0]) == pytest.approx(np.array([0.4, 0.15, 0.05]) / 0.4)


def test_a_beginning_may_be_a_part_of_a_character() -> None:
    """Signs that are rare for a model are several tokens."""
    top = [
        {"token": "\ufffd", "logprob": ln(0.6), "bytes": list("退".encode()[:2])},
        {"token": "\ufffd", "logprob": ln(0.3), "bytes": list("物".encode()[:2])},
    ]
    answer = read_first({"logprobs": {"content": [{**top[0], "top_logprobs": top}]}}, ("退款", "物流"), WORDS)
    assert shows(answer, [2 / 3, 1 / 3], [False, False])


# -- inside JSON -----------------------------------------------------------------------------------


def answer_of(*pieces: str | Shares) -> tuple[Position, ...]:
    """The places of an answer: a text is certain, else the first of what is listed was chosen."""
    rows = [by_text([(piece, 1.0)] if isinstance(piece, str) else piece)["logprobs"]["content"][0] for piece in pieces]
    return positions({"logprobs": {"content": rows}})


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(['{"', "category", '":', ' "', {"A": 0.6, "B": 0.3, "C": 0.1}, '"}'], id="a token of its own"),
        pytest.param(['{"category":', ' "', {"A": 0.6, "B": 0.3, "C": 0.1}, '"}'], id="fewer tokens"),
        pytest.param(['{"category": ', {'"A': 0.6, '"B': 0.3, '"C': 0.1}, '"}'], id="with the quote before it"),
        pytest.param(['{"category":', {' "A': 0.6, ' "B': 0.3, ' "C': 0.1}, '"}'], id="with quote and blank"),
        pytest.param(['{"category":', {' "A': 0.5, '"A': 0.1, '  "B': 0.3, ' "C': 0.1}, '"}'], id="with more or fewer blanks"),
        pytest.param(['{"category', {'": "A': 0.6, '":"B': 0.3, '" :"C': 0.1}, '"}'], id="with all before it"),
        pytest.param(
            [{'([{"category": "A': 0.6, '([ {"category":"B': 0.3, '([{"category": "C': 0.1}, '"}])'], id="with signs before it"
        ),
        pytest.param(['{"category": "', {'A"': 0.4, "A": 0.2, 'B"}': 0.3, 'C"': 0.1}, "}"], id="with the quote after it"),
        pytest.param(['{"category": ', {'"A"}': 0.6, '"B"}': 0.3, '"C': 0.1}], id="with both"),
        pytest.param(['{\n  "category"', " :\n", '"', {"A": 0.6, "B": 0.3, "C": 0.1}, '"\n}'], id="white space"),
        pytest.param(['{"category": "', " ", {"A": 0.6, "B": 0.3, "C": 0.1}, '"}'], id="a blank inside"),
        pytest.param(['{"category": " ', {"A": 0.5, " A": 0.1, "B ": 0.3, "C": 0.1}, '"}'], id="blanks inside"),
        pytest.param(['{"category": "', "", {"A": 0.6, "B": 0.3, "C": 0.1}, '"}'], id="an empty token"),
        pytest.param(['{"x": "y", "category": "', {"A": 0.6, "B": 0.3, "C": 0.1}, '", "z": 1}'], id="between other keys"),
        pytest.param(['{"category": "', {"A": 0.6, "B": 0.3, "C": 0.1}], id="cut after it"),
        pytest.param(['```json\n{"category": "', {"A": 0.6, "B": 0.3, "C": 0.1}, '"}\n```'], id="in a fence"),
    ],
)
def test_the_code_is_found_however_the_answer_is_split(pieces: list[str | Shares]) -> None:
    """Quotes, blanks and the end may be in one token with it."""
    answer = read_within(answer_of(*pieces), CODES)
    assert shows(answer, [0.6, 0.3, 0.1], [False] * 3)
    assert isinstance(answer, Scores)
    assert answer.label_mass is None


@given(
    st.sampled_from(CODES),
    st.sampled_from(['{"category": "', '{"category":"', '{\n "category"\n:\n"', '{"a":"b","category": "']),
    st.data(),
)
def test_any_split_of_an_answer_is_read(said: str, before: str, data: st.DataObject) -> None:
    """Where the tokens end is the tokenizer's business."""
    text = f'{before}{said}"}}'
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    shares, missing = scored(read_within(answer_of(*pieces), CODES))
    assert CODES[int(np.argmax(shares))] == said
    assert missing == [code != said for code in CODES]


def test_a_code_that_begins_another_is_itself() -> None:
    """And one that is only begun is the one that begins so."""
    shares, missing = scored(
        read_within(answer_of('{"category": "', {"A": 0.4, "AB": 0.3, "B": 0.2, "C": 0.1}, '"}'), ("A", "AB", "BD", "CE", "CF"))
    )
    assert missing == [False, False, False, True, True]
    assert np.array(shares[:3]) / sum(shares[:3]) == pytest.approx(np.array([0.4, 0.3, 0.2]) / 0.9)


def test_what_a_grammar_forbids_is_bounded() -> None:
    """-9999 is no probability, and the forbidden ones are no part of any sum."""
    top = [("A", -0.2), ("B", -1.8), ("C", -9999.0), ("x", -9999.0)]
    place = Position(Listed(b"A", None, -0.2), tuple(Listed(text.encode(), None, value) for text, value in top))
    shares, missing = scored(read_within([*answer_of('{"category": "'), place, *answer_of('"}')], CODES))
    assert missing == [False, False, True]
    assert 0 < shares[2] < 0.02


def test_a_token_without_a_value_does_not_spoil_its_code() -> None:
    """Another token of the same code has one."""
    tokens = (Listed(b"A", None, ln(0.7)), Listed(b" A", None, NAN), Listed(b"B", None, ln(0.3)))
    places = [*answer_of('{"category": "'), Position(tokens[0], tokens), *answer_of('"}')]
    assert shows(read_within(places, CODES[:2]), [0.7, 0.3], [False, False])


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "{brace}", "退款", "长" * 200, "😀", "a, b"])
def test_odd_names_are_read_as_json_writes_them(name: str) -> None:
    """Whole, or by the beginning that the first token has."""
    written = json.dumps(name, ensure_ascii=False)[1:-1]
    for length in {1, len(written)}:
        pieces: list[str | Shares] = ['{"category": "', [(written[:length], 0.8), ("zebra", 0.2)], f'{written[length:]}"}}']
        assert shows(read_within(answer_of(*pieces), (name, "zebra")), [0.8, 0.2], [False, False])


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(['{"label": "', "A", '"}'], id="another key"),
        pytest.param(['{"category": ', "null", "}"], id="null"),
        pytest.param(['{"category": ', '["A"]', "}"], id="a list"),
        pytest.param(['{"category": "'], id="cut before it"),
        pytest.param(['{"category": "', " ", "\n"], id="cut in white space"),
        pytest.param(["A"], id="no JSON"),
        pytest.param([""], id="nothing"),
        pytest.param(["token_id:35", "token_id:36"], id="numbers for texts"),
    ],
)
def test_an_answer_without_that_place_is_a_failure(pieces: list[str]) -> None:
    """No other place is taken for it."""
    assert failed(read_within(answer_of(*pieces), CODES)) == (
        "bad_response",
        "the answer has no place where the code would stand",
    )


def test_an_empty_answer_lists_nothing() -> None:
    """As for one token."""
    assert failed(read_within((), CODES)) == ("bad_response", "the server listed no log-probabilities")


def test_a_place_without_codes_names_none() -> None:
    """The schema was not kept to."""
    answer = read_within(answer_of('{"category": "', {"refund": 0.9, "parcel": 0.1}, '"}'), CODES)
    assert failed(answer)[0] == "unknown_label"


def test_the_value_of_another_key_is_read_if_asked() -> None:
    """Whatever is in its name."""
    places = answer_of('{"category": "A", "a_b": "A", "a.b": "', {"B": 0.9, "C": 0.1}, '"}')
    assert scored(read_within(places, CODES, key="a.b"))[1] == [True, False, False]


# -- whatever is listed ----------------------------------------------------------------------------

tokens = st.lists(
    st.builds(
        Listed,
        st.sampled_from([b"A", b" A", b"B", b"C\n", b'"A', b'{"category": "', b'"}', b"x", b"", b"\xe9\x80"]),
        st.none() | st.sampled_from([1, 2, 3, 11, 12, 99]),
        st.floats() | st.sampled_from([-9999.0, -0.1, -2.0, -5.0]),
    ),
    min_size=1,
    max_size=6,
)


@given(st.lists(tokens, max_size=4), st.sampled_from([NUMBERED, WRITTEN]), st.sampled_from([(), (1, 2, 3)]), st.booleans())
def test_any_list_gives_a_distribution_or_a_reason(
    rows: list[list[Listed]],
    book: CodeBook,
    wanted: tuple[int, ...],
    masked: bool,  # noqa: FBT001
) -> None:
    """Sums to 1 and finite, with a mass from 0 to 1, or a failure; never an exception or a warning."""
    places = [Position(row[0], tuple(row)) for row in rows]
    content = [
        {"top_logprobs": [{"token": token.raw.decode("latin-1"), "id": token.id, "logprob": token.logprob} for token in row]}
        for row in rows
    ]
    first = read_first({"logprobs": {"content": content}}, CODES, book, wanted=wanted, renormalised=masked)
    for answer in (first, read_within(places, CODES)):
        if isinstance(answer, Scores):
            assert np.isfinite(answer.values).all()
            assert np.exp(answer.values).sum() == pytest.approx(1)
            assert answer.missing is not None
            assert not answer.missing.all()
            assert answer.label_mass is None or 0 <= answer.label_mass <= 1
        else:
            assert answer.reason in ("bad_response", "unknown_label")
