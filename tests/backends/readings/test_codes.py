"""Codes: each is one token, no category's name, and another one for each category in each turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import Category, InputError, Taxonomy
from llmtriage.backends.readings.codes import LETTERS, CodeBook, CodeKind, candidates, codebook, texts_for

Tokens = Mapping[str, tuple[int, ...]]
KINDS: list[CodeKind] = ["letters", "random"]
ODD = ['say "hi"', "{{ 7 * 7 }}", "back\\slash", "长" * 200, "退款", "物流", "😀 smile", "a, b"]


def flat(count: int) -> Taxonomy:
    """Categories whose names are no codes."""
    return Taxonomy.from_labels(f"category {place}" for place in range(count))


def tokenized(taxonomy: Taxonomy, kind: CodeKind, split: Callable[[str], tuple[object, ...]], most: int = 400) -> Tokens:
    """The tokens of all texts that are asked for, by a tokenizer that splits texts in this way."""
    numbers: dict[object, int] = {}
    return {
        text: tuple(numbers.setdefault(piece, len(numbers)) for piece in split(text)) for text in texts_for(kind, taxonomy, most)
    }


def pairs_too(text: str) -> tuple[object, ...]:
    """Texts of one or two letters are one token, with a blank before them another one."""
    return (text,) if len(text.strip()) <= 2 else tuple(text)


def letters_only(text: str) -> tuple[object, ...]:
    """The same with one letter."""
    return (text,) if len(text.strip()) <= 1 else tuple(text)


def book_of(kind: CodeKind, taxonomy: Taxonomy, most: int, split: Callable[[str], tuple[object, ...]] = pairs_too) -> CodeBook:
    """The codes for a model that splits texts in this way."""
    return codebook(kind, taxonomy, most=most, tokens=tokenized(taxonomy, kind, split, most))


# -- which ones ------------------------------------------------------------------------------------


def test_letters_come_in_their_order_and_pairs_after_them() -> None:
    """Nobody counts categories by pairs where letters are enough."""
    assert book_of("letters", flat(3), 3).pool == ("A", "B", "C")
    book = book_of("letters", flat(128), 128)
    assert (len(book.pool), book.pool[:26], book.pool[26]) == (128, LETTERS, "BB")
    assert len(set(book.pool)) == 128


def test_where_nobody_tells_tokens_only_letters_are_sure() -> None:
    """A trial must show that these are one token."""
    assert codebook("letters", flat(40), most=40, tokens=None) == CodeBook("letters", LETTERS)
    shuffled = codebook("random", flat(40), most=40, tokens=None)
    assert sorted(shuffled.pool) == list(LETTERS)
    assert shuffled.pool != LETTERS


@pytest.mark.parametrize("kind", KINDS)
def test_where_pairs_are_several_tokens_there_are_letters_only(kind: CodeKind) -> None:
    """However many are wanted."""
    assert sorted(book_of(kind, flat(40), 40, letters_only).pool) == list(LETTERS)


@pytest.mark.parametrize("kind", KINDS)
def test_where_no_letter_is_one_token_there_are_no_codes(kind: CodeKind) -> None:
    """With what to do instead."""
    with pytest.raises(InputError, match=r"no two letters are one token .* use --codes words, or --reading votes"):
        book_of(kind, flat(3), 3, lambda text: (*text, "end"))


@pytest.mark.parametrize("kind", KINDS)
def test_letters_that_are_unknown_to_the_model_are_no_codes(kind: CodeKind) -> None:
    """They are one token each, and all the same one."""
    with pytest.raises(InputError, match="no two letters"):
        book_of(kind, flat(3), 3, lambda text: ("<unk>",))


def test_where_all_letters_are_names_and_nobody_tells_tokens_there_are_no_codes() -> None:
    """Before anything is asked."""
    with pytest.raises(InputError, match="the name of no category"):
        codebook("letters", Taxonomy.from_labels(LETTERS), most=20, tokens=None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_is_the_name_of_no_category(kind: CodeKind) -> None:
    """Neither an id nor a name in any language, of a leaf or above, in any case."""
    taxonomy = Taxonomy.model_validate(
        {
            "categories": [
                {"id": "A"},
                {"id": "b", "children": [{"id": "x1", "name": {"en": "C", "zh": "D"}}, {"id": "bb"}]},
                {"id": "x2", "name": " e "},
            ]
        }
    )
    for tokens in (None, tokenized(taxonomy, kind, pairs_too)):
        pool = codebook(kind, taxonomy, most=500, tokens=tokens).pool
        assert set(LETTERS) - set(pool) == set("ABCDE")
        assert "BB" not in pool


def test_random_codes_are_those_of_one_version_of_the_taxonomy() -> None:
    """The same today and tomorrow, other ones after a change: a ticket that was written for one version names no answer of the next."""
    first, again, changed = (book_of("random", flat(n), 10) for n in (10, 10, 11))
    assert first == again
    assert first.hash == again.hash
    assert first.pool != changed.pool
    assert all(len(code) == 2 for code in first.pool)
    assert candidates("random", flat(3), sure=True)[:4] == ["JX", "JR", "FG", "LC"]  # the seed does not move between versions


# -- their tokens ----------------------------------------------------------------------------------


def test_a_code_is_known_with_and_without_a_blank_before_it() -> None:
    """Both are answers; where the tokenizer makes no difference there is one, and a blank of its own is none."""
    two: Tokens = {"A": (1,), " A": (2,), "B": (3,), " B": (3,), "C": (4,), " C": (9, 4), "D": (5,)}
    assert codebook("letters", flat(4), most=4, tokens=two).ids == {"A": (1, 2), "B": (3,), "C": (4,), "D": (5,)}


def test_a_code_that_shares_a_token_with_another_is_passed_over() -> None:
    """In either form."""
    shared: Tokens = {"A": (1,), " A": (2,), "B": (2,), " B": (3,), "C": (4,), " C": (1,), "D": (5,), " D": (6,)}
    assert codebook("letters", flat(2), most=2, tokens=shared).ids == {"A": (1, 2), "D": (5, 6)}


def test_the_hash_sees_codes_and_their_tokens() -> None:
    """Another tokenizer is another reading."""
    books = [CodeBook("letters", ("A", "B")), CodeBook("random", ("A", "B")), CodeBook("letters", ("B", "A"))]
    books += [CodeBook("letters", ("A", "B"), {"A": (1,), "B": (2,)}), CodeBook("letters", ("A", "B"), {"A": (1, 3), "B": (2,)})]
    assert len({book.hash for book in books}) == 5
    assert all(re.fullmatch("[0-9a-f]{16}", book.hash) for book in books)


@pytest.mark.parametrize("kind", KINDS)
def test_enough_texts_are_looked_up(kind: CodeKind) -> None:
    """Where every second code is one token there are still as many as one request takes, each with its twin."""
    texts = texts_for(kind, flat(128), 128)
    assert len(texts) == len(set(texts))
    assert {text.strip() for text in texts if text.startswith(" ")} == {text for text in texts if not text.startswith(" ")}
    every_second = {text: (place,) if place % 4 < 2 else (0, place) for place, text in enumerate(texts)}
    assert len(codebook(kind, flat(128), most=128, tokens=every_second).pool) == 128


# -- who gets which --------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.integers(1, 26), st.data())
def test_every_turn_gives_each_category_another_code(count: int, data: st.DataObject) -> None:
    """Every turn is a permutation of the same codes; the first one leaves them in their order."""
    turns = data.draw(st.integers(1, count))
    book, leaves = CodeBook("letters", LETTERS), flat(count).leaves
    given_codes = [book.of(leaves, (turn, turns)) for turn in range(turns)]
    assert given_codes[0] == book.of(leaves) == LETTERS[:count]
    for codes in given_codes:
        assert sorted(codes) == list(LETTERS[:count])
    for of_one in zip(*given_codes, strict=True):
        assert len(set(of_one)) == turns


def test_two_turns_are_half_a_list_apart() -> None:
    """Codes that follow each other may pull alike."""
    assert CodeBook("letters", LETTERS).of(flat(5).leaves, (1, 2)) == ("C", "D", "E", "A", "B")


def test_more_categories_than_codes_are_refused() -> None:
    """Two categories never share one."""
    with pytest.raises(
        InputError, match="4 categories in one question, and the model has 3 codes of one token; leave out --many all"
    ):
        CodeBook("letters", ("A", "B", "C")).of(flat(4).leaves)


@pytest.mark.parametrize("kind", [*KINDS, "words"])
def test_odd_names_have_codes_too(kind: CodeKind) -> None:
    """Quotes, braces, signs and 200 characters change nothing."""
    leaves = Taxonomy.from_labels(ODD).leaves
    book = book_of(kind, Taxonomy.from_labels(ODD), len(ODD))
    assert len(set(book.of(leaves))) == len(ODD)


# -- words -----------------------------------------------------------------------------------------


def test_words_are_the_ids_and_are_told_apart_by_their_first_tokens() -> None:
    """Names that share letters need not share a token."""
    taxonomy = Taxonomy.from_labels(["refund", "return", "退款", "退货"])
    tokens: Tokens = {"refund": (1, 2), "return": (3,), "退款": (4, 5), "退货": (6,)}
    book = codebook("words", taxonomy, most=4, tokens=tokens)
    assert book.of(taxonomy.leaves) == book.of(taxonomy.leaves, (1, 2)) == ("refund", "return", "退款", "退货")
    assert book.ids == {"refund": (1,), "return": (3,), "退款": (4,), "退货": (6,)}


@pytest.mark.parametrize("tokens", [None, {"Billing": (1,), "退款": (2, 3), "bill": (4,), "退货": (2, 5)}])
def test_words_that_may_begin_alike_are_refused(tokens: Tokens | None) -> None:
    """Those two are named that do, by their tokens or, where nobody tells these, by their first letters."""
    book = codebook("words", Taxonomy.from_labels(["Billing", "退款", "bill", "退货"]), most=4, tokens=tokens)
    pair = "'Billing' and 'bill'" if tokens is None else "'退款' and '退货'"
    with pytest.raises(InputError, match=f"the names {pair} may begin with the same token; use --codes letters"):
        book.of(Taxonomy.from_labels(["Billing", "退款", "bill", "退货"]).leaves)


def test_only_names_of_one_question_must_begin_unlike() -> None:
    """Those of other parts of the tree are never beside them."""
    book = codebook("words", Taxonomy.from_labels(["bill", "return"]), most=2, tokens=None)
    assert book.of([Category(id="bill"), Category(id="return")]) == ("bill", "return")
    assert book.of([Category(id="bag"), Category(id="return")]) == ("bag", "return")


@pytest.mark.parametrize("tokens", [{}, {"refund": (1,)}, {"refund": (1,), "parcel": ()}])
def test_a_word_whose_tokens_are_not_known_is_refused(tokens: Tokens) -> None:
    """It would never be seen, and count as missing for every ticket."""
    with pytest.raises(InputError, match=r"the tokens of the name '(refund|parcel)' are not known"):
        codebook("words", Taxonomy.from_labels(["refund", "parcel"]), most=2, tokens=tokens)
