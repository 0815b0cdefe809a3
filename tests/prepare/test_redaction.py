"""Hiding personal data: what is found, what is not, and the laws. The cases were written beside the rules: they show no rate."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT

from llmtriage.errors import InputError, MissingExtraError, UnknownNameError
from llmtriage.prepare import STEP_NAMES, Preparation, Redaction, prepare
from llmtriage.prepare.personal import CUED, FORMATTED
from llmtriage.prepare.redaction import KINDS, Hidden, Place, find, redact
from llmtriage.prepare.redaction import hidden as standing_behind
from llmtriage.tickets import Ticket

ALL = Redaction()
CASES: list[dict[str, Any]] = [
    json.loads(line) for line in (ROOT / "tests" / "prepare" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
]


def hidden(text: str, redaction: Redaction = ALL) -> str:
    """The text with placeholders."""
    return redact([text], redaction).texts[0]


def put_back(text: str, places: tuple[Hidden, ...]) -> str:
    """The text with values in the place of placeholders."""
    ends = [0, *(place.end for place in places)]
    parts = [text[end : place.start] + place.value for end, place in zip(ends, places, strict=False)]
    return "".join((*parts, text[ends[-1] :]))


# -- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_cases(case: dict[str, Any]) -> None:
    """Every value is hidden whole and as its kind, and nothing else is touched."""
    found = find(case["text"], ALL)
    values = [(value["start"], value["start"] + len(value["text"]), value["kind"]) for value in case["entities"]]
    for start, end, kind in values:
        assert [place for place in found if place.start <= start and end <= place.end and place.kind == kind], (start, kind)
    for place in found:
        assert [value for value in values if place.start < value[1] and value[0] < place.end], place


@pytest.mark.parametrize("other", ["13912345678", "no number"])
def test_numbers_are_found_far_from_other_numbers(other: str) -> None:
    """What has a format is found with a page of words before and behind it as it is found alone."""
    numbers = Redaction(keep=tuple(CUED))
    words = f"\n{'so it goes on and on ' * 20}\n"
    begin = len(other) + len(words)
    for case in CASES:
        text = case["text"]
        found = find(f"{other}{words}{text}{words}{other}", numbers)
        alone = [(place.start + begin, place.end + begin, place.kind) for place in find(text, numbers)]
        assert [tuple(place) for place in found if begin <= place.start < begin + len(text)] == alone, case["id"]


def test_the_cases_hold_every_kind_and_both_languages() -> None:
    """And traps of both."""
    assert {value["kind"] for case in CASES for value in case["entities"]} == set(KINDS)
    assert {(case["language"], case["trap"]) for case in CASES} == {("en", True), ("en", False), ("zh", True), ("zh", False)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("电话13800138000和13900139000", "电话[PHONE_1]和[PHONE_2]", id="two values"),
        pytest.param("13800138000, 138-0013-8000, +86 138 0013 8000", "[PHONE_1], [PHONE_1], [PHONE_1]", id="one value"),
        pytest.param("a@example.com A@EXAMPLE.COM ａ@example.com", "[EMAIL_1] [EMAIL_1] [EMAIL_1]", id="cases and widths"),
        pytest.param("我叫王芳，王芳的订单", "我叫[NAME_1]，[NAME_1]的订单", id="a name again without a cue"),
        pytest.param("My name is May. May I ask?", "My name is [NAME_1]. May I ask?", id="a name that is a word"),
        pytest.param("[PHONE_1] 13800138000", "[PHONE_1] [PHONE_2]", id="numbers go on behind those that are there"),
        pytest.param("see https://x.example.com/?m=a@b.com", "see [URL_1]", id="the longest wins"),
        pytest.param("地址：上海市张江路100号13800138000", "地址：[ADDRESS_1][PHONE_1]", id="a format within reach of a cue"),
    ],
)
def test_placeholders(text: str, expected: str) -> None:
    """Typed, and numbered by value."""
    assert hidden(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("卡号4111111111111111扣款两次", "卡号[BANK_CARD_1]扣款两次", id="no word boundary"),
        pytest.param("卡号4111111111111112扣款", "卡号[BANK_CARD_1]扣款", id="a mistyped card behind its word"),
        pytest.param("电话１３８００１３８０００，ｂｏｂ＠example.com", "电话[PHONE_1]，[EMAIL_1]", id="full width"),
        pytest.param("用户@例子.公司", "[EMAIL_1]", id="Chinese domain"),
        pytest.param("号码440524188001010014", "号码[CN_ID_1]", id="a county that is no more"),
        pytest.param("身份证130503670401001", "身份证[CN_ID_1]", id="an identity card of 15 digits"),
        pytest.param("号码130503670401001", "号码130503670401001", id="15 digits without the word"),
        pytest.param("快递SF1381234567890，订单12345678901234567890", None, id="waybill and order"),
        pytest.param("条码6901234567892", None, id="a bar code that passes Luhn"),
        pytest.param("13:45:00报错，版本1.10.13.138", None, id="time and version"),
        pytest.param("打400-820-8820、110、12315都没人接", None, id="service lines"),
        pytest.param("张三说可以退", None, id="a name without a cue"),
    ],
)
def test_traps(text: str, expected: str | None) -> None:
    """What is often overlooked, and what is often taken for personal data."""
    assert hidden(text) == (expected or text)


def test_title_and_content_share_the_numbering() -> None:
    """Also names that only one of them gives away."""
    ticket = Ticket(title="王芳 13800138000", content="我叫王芳，电话139 0013 9000或138 0013 8000")
    assert prepare(ticket, Preparation()).text == "[NAME_1] [PHONE_1]\n\n我叫[NAME_1]，电话[PHONE_2]或[PHONE_1]"


def test_a_cut_title_shows_no_half_number() -> None:
    """It goes before anything is hidden in the content."""
    ticket = Ticket(title="call 138001...", content="call 13800138000 now")
    assert prepare(ticket, Preparation()).text == "call [PHONE_1] now"


# -- what was hidden -----------------------------------------------------------------------------


def test_what_stands_behind_a_placeholder() -> None:
    """Each as it was written there; nothing stands behind what a customer wrote."""
    prepared = prepare(
        Ticket(title="王芳", content="[PHONE_1]？我叫王芳，电话138-0013-8000。１３８００１３８０００"), Preparation()
    )
    assert prepared.text == "[NAME_1]\n\n[PHONE_1]？我叫[NAME_1]，电话[PHONE_2]。[PHONE_2]"
    assert [(prepared.text[place.start : place.end], place.value) for place in prepared.hidden] == [
        ("[NAME_1]", "王芳"),
        ("[NAME_1]", "王芳"),
        ("[PHONE_2]", "138-0013-8000"),
        ("[PHONE_2]", "13800138000"),
    ]


def test_a_title_that_is_gone_takes_its_values_along() -> None:
    """Where the same value is written in another way in the content, that is the one that stands there."""
    prepared = prepare(Ticket(title="Call 138-0013-8000", content="call 13800138000 now"), Preparation())
    assert prepared.text == "call [PHONE_1] now"
    assert [place.value for place in prepared.hidden] == ["13800138000"]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_cases_with_their_values_are_the_texts_before(case: dict[str, Any]) -> None:
    """After all steps too."""
    prepared = prepare(Ticket(content=case["text"]), Preparation())
    before = prepare(Ticket(content=case["text"]), Preparation(tuple(step for step in STEP_NAMES if step != "redact")))
    assert put_back(prepared.text, prepared.hidden) == before.text
    assert bool(prepared.hidden) == ("redact" in prepared.steps_that_changed_something)


# -- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_kept(kind: str) -> None:
    """Then its cases stay visible, and only they."""
    redaction = Redaction(keep=(kind,))
    for case in CASES:
        assert kind not in {place.kind for place in find(case["text"], redaction)}
    assert redaction.fingerprint() != ALL.fingerprint()


def test_without_the_step_nothing_is_hidden() -> None:
    """And its settings are no part of the fingerprint."""
    steps = tuple(step for step in STEP_NAMES if step != "redact")
    text = "mail bob@example.com"
    assert prepare(Ticket(content=text), Preparation(steps)).text == text
    assert Preparation(steps).fingerprint() == Preparation(steps, Redaction(keep=("url",))).fingerprint()


def test_an_unknown_kind_is_refused() -> None:
    """With the nearest that exists."""
    with pytest.raises(UnknownNameError, match="did you mean 'phone'"):
        Redaction(keep=("phnoe",))


def test_the_order_of_kinds_does_not_matter() -> None:
    """The same kinds are the same redaction, with the same hash."""
    one, two = Redaction(keep=("url", "name")), Redaction(keep=("name", "url", "url"))
    assert (one, hash(one), one.fingerprint()) == (two, hash(two), two.fingerprint())


def test_patterns_of_ones_own() -> None:
    """They win over other kinds, and are part of the fingerprint."""
    pytest.importorskip("re2")
    redaction = Redaction(patterns={"order": r"\bSO[0-9]{11}\b|a@[a-z.]+"})
    assert hidden("订单SO13800138000号\na@example.com b@example.com", redaction) == "订单[ORDER_1]号\n[ORDER_2] [EMAIL_1]"
    other = Redaction(patterns={"order": "x"})
    assert redaction != other
    assert Preparation(redaction=redaction).fingerprint() != Preparation(redaction=other).fingerprint()


@pytest.mark.parametrize(
    ("kind", "pattern", "problem"),
    [
        pytest.param("order", "(", "redact order: not a pattern of RE2", id="no pattern"),
        pytest.param("order", r"(a)\1", "not a pattern of RE2", id="a pattern that cannot be matched in linear time"),
        pytest.param("Order", "a", "redact: 'Order' cannot name", id="capitals"),
        pytest.param("phone", "a", "redact: 'phone' cannot name", id="a kind that exists"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_one_line(
    kind: str, pattern: str, problem: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """At once, and nothing else is printed."""
    pytest.importorskip("re2")
    with pytest.raises(InputError, match=re.escape(problem)):
        Redaction(patterns={kind: pattern})
    assert capfd.readouterr() == ("", "")


def test_a_pattern_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which."""
    monkeypatch.setitem(__import__("sys").modules, "re2", None)
    with pytest.raises(MissingExtraError, match=r"llmtriage\[patterns\]"):
        Redaction(patterns={"never_seen": "a"})


def test_a_pattern_cannot_hang() -> None:
    """What takes others for ever takes no time."""
    pytest.importorskip("re2")
    redaction = Redaction(patterns={"x": "(a+)+$"})
    begin = time.process_time()
    assert hidden("a" * 100_000 + "!", redaction) == "a" * 100_000 + "!"
    assert time.process_time() - begin < 10


# -- laws ----------------------------------------------------------------------------------------

PIECES = [value["text"] for case in CASES for value in case["entities"]] + [
    *(
        "电话",
        "手机号：",
        "我叫",
        "收件人：",
        "地址：",
        "寄到",
        "卡号",
        "身份证",
        "车牌",
        "订单号",
        "先生",
        "，",
        "。",
        "号",
        "路",
        "区",
    ),
    *(
        "my name is ",
        "Regards,\n",
        "call me at ",
        "card ",
        "order no. ",
        "I live at ",
        "plate: ",
        " ",
        "\n",
        "-",
        ".",
        "/",
        "@",
        "+",
    ),
    *("[PHONE_1]", "[NAME_2]", "[", "]", "<b>", "1", "138", "4111", "\x00", "王", "a", "Bob", "*", "\uff11"),
]
TEXTS = st.one_of(
    st.text(),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=15).map("".join),
    st.text(st.sampled_from("0123456789 -.()+*xX@[]")),
)


@given(TEXTS, TEXTS)
@settings(max_examples=150, deadline=None)
def test_prepared_text_is_not_changed_again(title: str, content: str) -> None:
    """Neither whole nor with its title apart; and hiding is a change that is told."""
    once = prepare(Ticket(content=content), Preparation())
    assert prepare(Ticket(content=once.text), Preparation()).text == once.text
    both = redact((title, content), ALL)
    assert len(both.texts) == 2
    assert ("redact" in once.steps_that_changed_something) or not re.search(r"\[(PHONE|EMAIL)_\d+\]", once.text) or "[" in content


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_places_are_apart_and_in_order(text: str) -> None:
    """Each within the text, and what stands between them stays as it is."""
    places = find(text, ALL)
    ends = [0, *(place.end for place in places)]
    assert all(end <= place.start < place.end <= len(text) for end, place in zip(ends, places, strict=False))
    between = [text[end : place.start] for end, place in zip(ends, [*places, Place(len(text), len(text), "")], strict=True)]
    assert re.fullmatch(r"\[[A-Z_]+_\d+\]".join(map(re.escape, between)), hidden(text), re.DOTALL)


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_values_in_the_place_of_placeholders_are_the_text_before(text: str) -> None:
    """Whatever it is."""
    done = redact([text], ALL)
    assert put_back(done.texts[0], standing_behind(done.texts[0], done.values)) == text


@given(st.text(st.sampled_from("abc xyz,我要退款订单的")))
def test_text_without_digits_signs_or_cues_is_left_alone(text: str) -> None:
    """Whatever its letters."""
    assert hidden(text) == text


@pytest.mark.parametrize("case", [case for case in CASES if case["entities"]], ids=lambda case: case["id"])
def test_nothing_of_a_value_is_left(case: dict[str, Any]) -> None:
    """Neither in its place nor in its placeholder, nor in a repr."""
    prepared = prepare(Ticket(content=case["text"]), Preparation())
    for value in case["entities"]:
        assert value["text"] not in prepared.text
        assert value["text"] not in repr(prepared) + repr(prepared.hidden)


ADVERSARIES = {
    "digits": "1",
    "digits and blanks": "1 ",
    "digits and hyphens": "1-",
    "groups": "1234 ",
    "phones": "13800138000 ",
    "stars": "1*",
    "many stars": "****",
    "zeros": "0",
    "pluses": "+1",
    "brackets": "(0",
    "letters": "a",
    "capitals": "A",
    "capitalised words": "Aa ",
    "words": "a ",
    "dots": "a.",
    "ats": "a@",
    "at and dots": "a@a.",
    "numbers with dots": "1.1.",
    "slashes": "a/",
    "addresses of the web": "www.a.com/)))",
    "closing brackets": ")",
    "colons": "://",
    "at in words": "a at a dot ",
    "IBAN": "DE89 ",
    "Chinese": "王",
    "surnames and titles": "王先生",
    "roads": "路",
    "roads and numbers": "路1号",
    "towns": "市",
    "towns and roads": "区市路省",
    "numbers of doors": "1号",
    "cues of names": "收件人：",
    "cue and name": "我叫王芳",
    "names": "my name is Bob ",
    "small names": "my name is bob ",
    "titles": "Mr. ",
    "farewells": "Regards,\n",
    "who": "I'm Bob Smith ",
    "cues of addresses": "地址：",
    "cue and address": "寄到上海市张江路100号",
    "the word": "address is ",
    "houses": "12 High Street, ",
    "flats": "Flat 3, ",
    "cities": ", London",
    "postcodes": "LS1 4AP ",
    "plates": "粤B12345",
    "cues of plates": "plate number is ",
    "cards": "card 4111 1111 1111 1111 ",
    "placeholders": "[PHONE_1]",
    "half placeholders": "[PHONE_",
    "new mails": "",
}


def text_of(unit: str, size: int) -> str:
    """So many characters of it; mail addresses that are all different where there is none."""
    return unit * (size // len(unit)) if unit else " ".join(f"a{n}@example.com" for n in range(size // 20))


def seconds(text: str, repeats: int, kind: str | None = None) -> float:
    """The least time that all kinds, or the detector of one, take."""
    taken = []
    for _ in range(repeats):
        begin = time.process_time()
        if kind is None:
            hidden(text)
        else:
            list({**FORMATTED, **CUED}[kind](text))
        taken.append(time.process_time() - begin)
    return min(taken)


@pytest.mark.parametrize("unit", ADVERSARIES.values(), ids=ADVERSARIES)
def test_time_is_linear_in_the_text(unit: str) -> None:
    """Sixteen times the text takes far less than the 256 times of a quadratic algorithm; something else may have taken the time once."""
    small, large = text_of(unit, 6_250), text_of(unit, 100_000)
    limit = 80 * max(seconds(small, 3), 1e-4)
    assert any(seconds(large, 1) < limit for _ in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_detector_is_quick_on_hostile_text(kind: str) -> None:
    """A hundred thousand characters, whatever they are, and a tail that breaks every match."""
    for unit in ADVERSARIES.values():
        for tail in ("", "!", "\n", "元"):
            assert seconds(text_of(unit, 100_000) + tail, 1, kind) < 5
