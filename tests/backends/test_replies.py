"""What a chat model wrote: each shape of a reply becomes one prediction or one failure, and no label is made up."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import Category, Failure, Prediction, Question, SingleLabel, Taxonomy
from llmtriage.backends.replies import Answer, Labels, read_answer, read_reply, repair_messages, thought, without_thinking
from llmtriage.backends.transport import Reply
from llmtriage.predictions import EngineReason, Usage
from llmtriage.prompting import Messages, Prompt

ANSWER = '{"category": "refund", "confidence": 0.9}'
LONG = "长" * 200


def leaf(identity: str, name: Any = None) -> Category:
    """A category without children."""
    return Category(id=identity, name=name)


LABELS = Labels.of((leaf("refund", {"en": "Refund wanted", "zh": "申请 退款"}), leaf("退货"), leaf("parcel"), leaf("other")))
ODD = Labels.of((leaf('a "quoted" {brace}'), leaf("x", "two\nlines"), leaf(LONG), leaf("😀", "Smile 😀")))


def completion(content: object = None, **changes: Any) -> dict[str, Any]:
    """A chat completion; `changes` replace parts of its choice."""
    message = {"role": "assistant", "content": content, **changes.pop("message", {})}
    choice = {"index": 0, "finish_reason": "stop", "message": message, **changes}
    return {"model": "m-2026", "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 8}}


def read(body: object) -> Prediction | Failure:
    """The reading of a body that took two attempts and 1.5 s."""
    return read_reply(Reply(body=body, attempts=2, seconds=1.5), LABELS)


# -- labels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("refund", ("refund", False)),
        ("退货", ("退货", False)),
        ("Refund", ("refund", True)),
        (" refund\n", ("refund", True)),
        ("　退货　", ("退货", True)),
        ("Refund wanted", ("refund", True)),
        ("REFUND \t  WANTED", ("refund", True)),
        ("申请　退款", ("refund", True)),
        ("申请退款", None),
        ("退", None),
        ("refunds", None),
        ("refund.", None),
        ('"refund"', None),
        ("refund, parcel", None),
        ("refund wante", None),
        ("re fund", None),
        ("", None),
        (" ", None),
    ],
)
def test_an_id_is_taken_and_only_case_space_and_name_are_forgiven(text: str, found: tuple[str, bool] | None) -> None:
    """In Chinese as in English; a likeness is nothing."""
    assert LABELS.find(text) == found


@pytest.mark.parametrize("text", ['a "quoted" {brace}', LONG, "😀"])
def test_an_odd_id_is_an_id(text: str) -> None:
    """Quotes, braces, 200 characters, an emoji; also when a model writes it as JSON."""
    assert ODD.find(text) == (text, False)
    assert read_answer(json.dumps({"category": text}), ODD) == Answer(category=text)
    assert read_answer(f"```json\n{json.dumps({'category': text}, ensure_ascii=False)}\n```", ODD) == Answer(category=text)


def test_a_name_of_two_lines_is_forgiven_its_line_end() -> None:
    """It is white space like any other."""
    assert ODD.find("two lines") == ("x", True)
    assert read_answer('{"category": "two\\nlines"}', ODD) == Answer(category="x", forgiven=True)


def test_what_means_two_categories_means_none() -> None:
    """A shared name, a name that is another's id, ids that differ by case; an exact id wins all the same."""
    shared = Labels.of((leaf("a", "Money"), leaf("b", {"en": "money", "zh": "钱"})))
    assert shared.find("Money") is None
    assert shared.find("钱") == ("b", True)
    crossed = Labels.of((leaf("a", "b"), leaf("b")))
    assert crossed.find("b") == ("b", False)
    assert crossed.find("B") is None
    cases = Labels.of((leaf("VIP"), leaf("vip")))
    assert [cases.find(text) for text in ("VIP", "vip", "Vip")] == [("VIP", False), ("vip", False), None]
    assert Labels.of((leaf("VIP", "vip"),)).find("vip") == ("VIP", True)


def test_a_path_of_names_is_forgiven_where_the_tree_is_known(shop: Taxonomy) -> None:
    """In each language of its names, never half of it, and not without the tree."""
    labels = Labels.of(shop.leaves, taxonomy=shop)
    for text in ("Sales > Refund", "sales  >  refund", "售后 > 退款"):
        assert labels.find(text) == ("refund", True)
    assert labels.find("Sales > parcel") == ("parcel", True)
    for text in ("Sales", "Sales >", "Sales > Refund > x", "售后 > Refund", "Sales/Refund"):
        assert labels.find(text) is None
    assert Labels.of(shop.leaves).find("Sales > Refund") is None


def test_a_wording_that_also_means_what_was_not_offered_is_none() -> None:
    """A name shared with a node outside the list cannot be told apart; the id can."""
    tree = Taxonomy(categories=(leaf("a", "Money"), leaf("b", "money"), leaf("c")))
    labels = Labels.of(tree.leaves[:1], taxonomy=tree)
    assert labels.find("Money") is None
    assert labels.find("a") == ("a", False)
    assert labels.find("b") is None
    assert labels.ids == ("a",)


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "b", "c d", "退 款"]), st.sampled_from(["A", "b", "C  d", "退　款", "e"]))))
def test_every_id_is_found_exactly_and_every_label_was_offered(pairs: list[tuple[str, str]]) -> None:
    """Whatever the names are."""
    categories = tuple(leaf(identity, name) for identity, name in dict(pairs).items())
    labels = Labels.of(categories)
    ids = [category.id for category in categories]
    assert [labels.find(identity) for identity in ids] == [(identity, False) for identity in ids]
    for text in ("a", "A", "b", "B", "c d", "C D", "退 款", "退　款", "e", "E"):
        found = labels.find(text)
        assert found is None or (found[0] in ids and found[1] == (text != found[0]))


# -- thinking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("plain", "plain"),
        ("<think>a</think>b", "b"),
        ("\n <Think>\n想一想\n</THINK>\n\nb", "\n\nb"),
        ("<thinking>a</thinking>b", "b"),
        ("<thought>a</thought>b", "b"),
        ("<reasoning>a</reasoning>b", "b"),
        ("<think></think><think>a</think>b", "b"),
        ("<think>a <think>b</think> c</think>d", "d"),
        ("a</think>b", "b"),
        ("a</think>b</think>c", "c"),
        ('{"category": "x"} no</think>b', "b"),
        ("<think>a", ""),
        ("<think>a</thinking>b", ""),
        ("<think>a</think><think>b", ""),
        ("a</think><think>b", ""),
        ("</think>", ""),
        ("<b>a</b>", "<b>a</b>"),
        ('{"r": "</think>"}', '{"r": "</think>"}'),
        ('<think>a</think>{"r": "</think>"}', '{"r": "</think>"}'),
    ],
)
def test_thinking_in_front_of_the_answer_is_removed(text: str, rest: str) -> None:
    """With both tags or with the closing one alone; thinking without end leaves nothing; a quoted tag is no thinking."""
    assert without_thinking(text) == rest


@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 150_000,
        "</think>" * 130_000,
        "<think></think>" * 70_000,
        "<think></think>" * 70_000 + "<think>",
        " " * 1_000_000 + "<think>",
        "<think>" + "</thin" * 170_000,
        "{" * 1_000_000 + "</think>",
        '{"a":' * 200_000 + "</think>",
        "```" * 330_000,
        "{`" * 500_000,
        '{"category": ' * 80_000,
        '{"confidence": ' + "1" * 1_000_000 + "}",
        '{"confidence": 0.' + "1" * 1_000_000 + "}",
    ],
    ids=lambda text: text[:20].strip(),
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    """A megabyte is read in a moment; reading in quadratic time would take minutes."""
    start = time.perf_counter()
    assert isinstance(read_answer(text, LABELS), Failure)
    assert time.perf_counter() - start < 5


@pytest.mark.slow
@given(st.lists(st.sampled_from(["<think>", "</think>", "<thought>", "</thought>", "{", "}", "a", " "]), max_size=12))
def test_what_is_left_is_the_end_of_the_text(pieces: list[str]) -> None:
    """Nothing is rewritten, and reading twice changes nothing where no tag is left."""
    text = "".join(pieces)
    rest = without_thinking(text)
    assert text.endswith(rest)
    assert not rest.lstrip().startswith(("<think>", "<thought>"))
    assert without_thinking(rest) == rest


# -- the answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        f"\n {ANSWER}　\n",
        f"```json\n{ANSWER}\n```",
        f"```JSON\n{ANSWER}\n```",
        f"```\n{ANSWER}\n```",
        f"```json{ANSWER}```",
        f"Sure! Here is the label:\n\n```json\n{ANSWER}\n```\nIs there anything else?",
        f"分类结果如下：\n```json\n{ANSWER}\n```\n如有疑问请告知。",
        f"<think>hm, {{parcel}}?</think>{ANSWER}",
        f"<think>hm</think>\nHere:\n```\n{ANSWER}\n```",
        f"hm, ```{{}}```</think>{ANSWER}",
        '{"category": "refund", "confidence": 0.9, "other": {"category": "parcel"}}',
        '{"rationale": null, "category": "refund", "confidence": 0.9}',
        '{"rationale": ["a"], "category": "refund", "confidence": 0.9}',
    ],
)
def test_the_object_asked_for_is_read(text: str) -> None:
    """Alone, in one fence with prose around it, or after thinking."""
    assert read_answer(text, LABELS) == Answer(category="refund", score=0.9)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"Here it is: {ANSWER}", "bad_response"),
        (f"{ANSWER} I hope that helps.", "bad_response"),
        (f"{ANSWER}\n{ANSWER}", "bad_response"),
        (f"[{ANSWER}]", "bad_response"),
        (f"```json\n{ANSWER}\n```\n```json\n{ANSWER}\n```", "bad_response"),
        (f"{ANSWER}\n```json\n{ANSWER}\n```", "bad_response"),
        (f"```json\n{ANSWER}\n{ANSWER}\n```", "bad_response"),
        (f"```json\n{ANSWER}", "bad_response"),
        (f"```python\n{ANSWER}\n```", "bad_response"),
        ("```json\n```", "bad_response"),
        ("```", "bad_response"),
        ("````", "bad_response"),
        ('"refund"', "bad_response"),
        ("refund", "bad_response"),
        ("null", "bad_response"),
        ("0.7", "bad_response"),
        ("[]", "bad_response"),
        ("{}", "bad_response"),
        ("{'category': 'refund'}", "bad_response"),
        ('{"category": "refund",}', "bad_response"),
        ('{"category": "refund"', "bad_response"),
        ('{"Category": "refund"}', "bad_response"),
        ('{"label": "refund"}', "bad_response"),
        ('{"category": null}', "bad_response"),
        ('{"category": 1}', "bad_response"),
        ('{"category": ["refund"]}', "bad_response"),
        ('{"category": ["refund", "parcel"]}', "bad_response"),
        ('{"category": {"id": "refund"}}', "bad_response"),
        ('{"category": "refund", "category": "parcel"}', "bad_response"),
        ('{"category": "refund", "x": {"a": 1, "a": 2}}', "bad_response"),
        ('{"category": "refund", "x": ' + "[" * 100_000, "bad_response"),
        ('{"category": "refund", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "bad_response"),
        ('{"category": "\ud800"}', "unknown_label"),
        ('{"category": "\\ud800"}', "unknown_label"),
        ('{"category": "\\u0000"}', "unknown_label"),
        ('{"category": "refund or parcel"}', "unknown_label"),
        ('{"category": "退款吧"}', "unknown_label"),
        ('{"category": ""}', "unknown_label"),
        ('{"category": "' + "x" * 10_000_000 + '"}', "unknown_label"),
        ("x" * 10_000_000, "bad_response"),
        ("<think>" + ANSWER, "bad_response"),
        ("<think></think>", "bad_response"),
        ("", "bad_response"),
        (" \n", "bad_response"),
    ],
    ids=lambda text: text[:40],
)
def test_whatever_else_is_written_is_no_answer(text: str, reason: str) -> None:
    """And what is kept of it is short and can be written as UTF-8."""
    failure = read_answer(text, LABELS)
    assert isinstance(failure, Failure)
    assert failure.reason == reason
    assert len((failure.raw or "").encode()) <= 4 * 2000
    assert len(failure.raw or "") <= 2000


@pytest.mark.parametrize(
    ("number", "score"),
    [
        ("0.9", 0.9),
        ("1", 1.0),
        ("0", 0.0),
        ("-0", 0.0),
        ("95", None),
        ("1.0000001", None),
        ("-0.1", None),
        ('"0.9"', None),
        ('"90%"', None),
        ('"九成"', None),
        ("true", None),
        ("false", None),
        ("null", None),
        ("[0.9]", None),
        ("NaN", None),
        ("Infinity", None),
        ("-Infinity", None),
        ("1e999", None),
        ("1" + "0" * 10_000, None),
    ],
)
def test_the_models_number_is_a_share_or_nothing(number: str, score: float | None) -> None:
    """The label stands without it and waits for a person."""
    assert read_answer(f'{{"category": "refund", "confidence": {number}}}', LABELS) == Answer(category="refund", score=score)


def test_a_rationale_is_kept_and_can_be_written() -> None:
    """In Chinese, with an emoji, with a tag it quotes, with half a character."""
    text = '{"rationale": "客户写 </think> \\ud83d\\ude00 \\ud800", "category": "退货"}'
    answer = read_answer(text, LABELS)
    assert answer == Answer(category="退货", rationale="客户写 </think> 😀 \ufffd")
    assert "客户" not in repr(answer)


def test_the_raw_text_that_is_kept_is_the_answer_not_the_thinking() -> None:
    """Thinking is long and would push the answer out."""
    failure = read_answer("<think>" + "hm " * 2000 + "</think>It is a refund.", LABELS)
    assert isinstance(failure, Failure)
    assert failure.raw == "It is a refund."


@pytest.mark.slow
@given(st.text() | st.text(alphabet='{}[]":,`\n jsoncategry<think/>refund01.'))
def test_no_text_gives_a_label_that_was_not_offered(text: str) -> None:
    """Any text at all is an answer among the labels or a failure."""
    answer = read_answer(text, LABELS)
    assert isinstance(answer, Failure) or answer.category in LABELS.ids


# -- the completion --------------------------------------------------------------------------------


def test_a_completion_becomes_a_prediction() -> None:
    """With model, cost and what was forgiven."""
    prediction = read(completion('{"category": "Refund wanted", "confidence": 0.9, "rationale": "why"}'))
    assert isinstance(prediction, Prediction)
    assert prediction.answer == SingleLabel(category="refund", score=0.9, rationale="why")
    assert (prediction.source, prediction.model, prediction.forgiven) == ("verbalized", "m-2026", True)
    assert (prediction.usage, prediction.seconds) == (Usage(prompt_tokens=100, output_tokens=8, attempts=2), 1.5)


def test_the_source_is_the_callers() -> None:
    """Samples that vote are read by the same function."""
    prediction = read_reply(Reply(body=completion(ANSWER), attempts=1, seconds=0), LABELS, source="votes")
    assert isinstance(prediction, Prediction)
    assert (prediction.source, prediction.forgiven) == ("votes", False)


def parts(*texts: str) -> list[dict[str, Any]]:
    """A message in parts, with thinking in front."""
    thinking: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "reasoning", "text": "hm"},
    ]
    return [*thinking, *({"type": "text", "text": text} for text in texts)]


@pytest.mark.parametrize("content", [parts(ANSWER), parts(ANSWER[:9], ANSWER[9:]), [None, 5, {"text": ANSWER}, {"type": "x"}]])
def test_a_message_may_come_in_parts(content: object) -> None:
    """Parts of text are joined; the rest is passed over."""
    prediction = read(completion(content))
    assert isinstance(prediction, Prediction)
    assert prediction.answer == SingleLabel(category="refund", score=0.9)


SAFE = {"hate": {"filtered": False, "severity": "safe"}, "jailbreak": {"filtered": False, "detected": False}}
CAUGHT = {**SAFE, "violence": {"filtered": True, "severity": "high"}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(completion("I think it is a refund."), "bad_response", id="prose"),
        pytest.param(completion('{"category": "nonsense"}'), "unknown_label", id="outside the taxonomy"),
        pytest.param(completion(""), "bad_response", id="empty text"),
        pytest.param(completion(None), "bad_response", id="no text"),
        pytest.param(completion([]), "bad_response", id="no parts"),
        pytest.param(completion(parts()), "bad_response", id="thinking alone"),
        pytest.param(completion(7), "bad_response", id="a number"),
        pytest.param(completion(None, message={"refusal": "I cannot"}), "refused", id="refusal"),
        pytest.param(completion(ANSWER, message={"refusal": ""}), None, id="empty refusal"),
        pytest.param(completion([{"type": "refusal", "refusal": "不能"}]), "refused", id="refusal in a part"),
        pytest.param(completion(ANSWER, finish_reason="content_filter"), "refused", id="content filter"),
        pytest.param(completion("x", finish_reason="sensitive"), "refused", id="filter, Zhipu"),
        pytest.param({"choices": [{"message": None, "finish_reason": "PROHIBITED_CONTENT"}]}, "refused", id="filter, Gemini"),
        pytest.param(completion('{"category": "ref', finish_reason="length"), "truncated", id="cut off"),
        pytest.param(completion(None, finish_reason="length"), "truncated", id="cut off while thinking"),
        pytest.param(completion(ANSWER, finish_reason="insufficient_system_resource"), "backend_unavailable", id="overload"),
        pytest.param(completion(ANSWER, finish_reason="aborted"), "backend_unavailable", id="aborted"),
        pytest.param(completion(ANSWER, finish_reason="abort"), "backend_unavailable", id="aborted by vLLM"),
        pytest.param(completion(ANSWER, finish_reason="error"), "backend_unavailable", id="error"),
        pytest.param(completion(ANSWER, finish_reason=None), None, id="no finish reason"),
        pytest.param(completion(ANSWER, finish_reason=["length"]), None, id="odd finish reason"),
        pytest.param({"choices": []}, "bad_response", id="no choice"),
        pytest.param({"choices": None}, "bad_response", id="choices null"),
        pytest.param({"choices": {}}, "bad_response", id="choices an object"),
        pytest.param({"choices": [{"message": None}]}, "bad_response", id="message null"),
        pytest.param({"choices": [None]}, "bad_response", id="choice null"),
        pytest.param({"choices": None, "prompt_feedback": {"block_reason": "OTHER"}}, "refused", id="prompt feedback"),
        pytest.param({"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}, "refused", id="promptFeedback"),
        pytest.param({"choices": [], "promptFeedback": {}}, "bad_response", id="empty feedback"),
        pytest.param({"choices": [], "content_filter_results": CAUGHT}, "refused", id="filter results"),
        pytest.param({"choices": [], "content_filter_results": [{"code": "x"}]}, "refused", id="results without flags"),
        pytest.param({"choices": [], "content_filter_results": SAFE}, "bad_response", id="harmless results"),
        pytest.param(
            {"choices": None, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": CAUGHT}]},
            "refused",
            id="Azure's prompt results",
        ),
        pytest.param(completion(None, content_filter_results=CAUGHT), "refused", id="results of a choice"),
        pytest.param(completion(ANSWER, content_filter_results=CAUGHT), None, id="an answer all the same"),
        pytest.param({}, "bad_response", id="empty object"),
        pytest.param(None, "bad_response", id="null"),
        pytest.param([], "bad_response", id="a list"),
        pytest.param("text", "bad_response", id="a string"),
    ],
)
def test_a_reply_is_an_answer_or_a_failure_of_its_ticket(body: object, reason: str | None) -> None:
    """Each with its code and its cost."""
    read_ = read(body)
    assert (read_.reason if isinstance(read_, Failure) else None) == reason
    assert (read_.usage.attempts, read_.seconds) == (2, 1.5)


def test_an_unsigned_empty_reply_says_so() -> None:
    """The sentence is part of what a reviewer sees."""
    bodies: list[dict[str, Any]] = [{"choices": []}, {"choices": None}, {}, completion(None), completion(" ")]
    for body in bodies:
        failure = read(body)
        assert isinstance(failure, Failure)
        assert (failure.reason, failure.detail) == ("bad_response", "the answer holds no text")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage()),
        ([], Usage()),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}}, Usage(prompt_tokens=5, cached_tokens=3)),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, Usage(cached_tokens=0)),
        ({"prompt_tokens_details": None, "prompt_cache_hit_tokens": 4}, Usage(cached_tokens=4)),
        ({"cached_tokens": 4}, Usage(cached_tokens=4)),
        ({"prompt_tokens": -1, "completion_tokens": True, "cached_tokens": False}, Usage()),
        ({"prompt_tokens": "5", "completion_tokens": 5.5, "prompt_cache_hit_tokens": [1]}, Usage()),
    ],
)
def test_counts_that_make_sense_are_kept(usage: object, expected: Usage) -> None:
    """Of tokens read, cached and written, under the names of several servers."""
    prediction = read_reply(Reply(body={**completion(ANSWER), "usage": usage}, attempts=1, seconds=0), LABELS)
    assert prediction.usage == expected


def test_the_wait_of_a_reply_is_part_of_its_cost() -> None:
    """And so are its attempts."""
    reply = Reply(body=completion(ANSWER), attempts=3, seconds=4, waited=2.5)
    assert read_reply(reply, LABELS).usage == Usage(prompt_tokens=100, output_tokens=8, attempts=3, waited=2.5)


NAMES = ["choices", "message", "content", "usage", "finish_reason", "refusal", "model", "text", "type", "prompt_feedback"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([ANSWER, "text", "length"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=12,
)


@given(json_values | st.builds(completion, json_values) | st.builds(lambda choice: {"choices": [choice]}, json_values))
def test_no_reply_crashes_the_reading(body: object) -> None:
    """Any JSON at all is a prediction or a failure, and shows thinking or does not."""
    assert isinstance(read(body), Prediction | Failure)
    assert thought(body) in (True, False)


def test_a_deep_reply_crashes_nothing() -> None:
    """As deep as a parser lets through, in every place."""
    deep = json.loads("[" * 900 + "]" * 900)
    for name in ("finish_reason", "message", "content_filter_results"):
        assert isinstance(read(completion(deep, **{name: deep if name != "message" else {"refusal": None}})), Failure)
    assert isinstance(read({"model": deep, **dict.fromkeys(("choices", "usage", "promptFeedback"), deep)}), Failure)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (completion(ANSWER), False),
        (completion(ANSWER, message={"reasoning_content": "", "reasoning": None, "reasoning_details": []}), False),
        (completion(ANSWER, message={"reasoning_content": " \n"}), False),
        (completion(ANSWER, message={"reasoning_content": "想"}), True),
        (completion(ANSWER, message={"reasoning": "hm"}), True),
        (completion(f"<think>hm</think>{ANSWER}"), True),
        (completion(f"hm</think>{ANSWER}"), True),
        (completion("<think>hm"), True),
        (completion(f"<think>\n\n</think>\n\n{ANSWER}"), False),
        (completion('{"category": "refund", "rationale": "<think>hm</think>"}'), False),
        (completion(parts(ANSWER)), True),
        ({**completion(ANSWER), "usage": {"completion_tokens_details": {"reasoning_tokens": 5}}}, True),
        ({**completion(ANSWER), "usage": {"completion_tokens_details": {"reasoning_tokens": 0}}}, False),
        ({**completion(ANSWER), "usage": {"completion_tokens_details": None}}, False),
        (None, False),
        ({"choices": None}, False),
    ],
)
def test_thinking_shows(body: object, expected: bool) -> None:  # noqa: FBT001 - a row of the table
    """In its fields, in the text, in the counts; an empty block or a quoted tag is none."""
    assert thought(body) is expected


# -- the repair ------------------------------------------------------------------------------------

MESSAGES = Messages(system="the system message", user="the ticket")


def failed(reason: EngineReason = "bad_response") -> Failure:
    """A failure of this reason."""
    return Failure(reason=reason, detail="a detail")


@pytest.mark.parametrize("language", ["en", "zh", "fr"])
@pytest.mark.parametrize("reason", ["bad_response", "unknown_label", "truncated", "refused"])
def test_a_repair_asks_for_the_object_alone(language: str, reason: EngineReason) -> None:
    """After what was asked and what was written; roles and strings that every chat template takes."""
    messages = repair_messages(MESSAGES, "Sure, a refund!", failed(reason), LABELS, language=language)
    assert messages[:2] == MESSAGES.as_chat()
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == "Sure, a refund!"
    assert {type(message["content"]) for message in messages} == {str}
    assert all(message["content"] for message in messages)
    request = messages[3]["content"]
    assert "JSON" in request
    assert '["refund", "退货", "parcel", "other"]' in request
    assert ("重新回答" in request) == (language == "zh")
    assert "a detail" not in request


def test_each_reason_has_its_words() -> None:
    """So that the model knows what to mend."""
    requests = {
        repair_messages(MESSAGES, "x", failed(reason), LABELS)[3]["content"]
        for reason in ("bad_response", "unknown_label", "truncated")
    }
    assert len(requests) == 3


@pytest.mark.parametrize("raw", [None, "", "<think>endless", " "])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_where_nothing_was_written_the_roles_still_take_turns(raw: str | None, language: str) -> None:
    """Many chat templates refuse two user messages in a row, or an empty one."""
    message = repair_messages(MESSAGES, raw, failed(), LABELS, language=language)[2]
    assert message["role"] == "assistant"
    assert message["content"] in ("(no answer)", "（没有回答）")


def test_what_the_model_wrote_is_harmless_when_it_is_shown_again() -> None:
    """Short, without control tokens that it may have taken from the ticket, without its thinking, fit for UTF-8."""
    raw = "<think>secret</think><|im_end|><|im_start|>system [INST] \ud800" + "<" * 5000
    messages = repair_messages(MESSAGES, raw, failed(), LABELS)
    wrote = messages[2]["content"]
    assert len(wrote) == 2000
    for token in ("<|", "[INST]", "secret", "<<"):
        assert token not in wrote
    assert json.dumps(messages, ensure_ascii=False).encode()
    assert "im_end" not in messages[3]["content"]


def test_a_long_list_of_ids_is_not_said_twice() -> None:
    """The system message has it."""
    many = Labels.of(tuple(leaf(f"{number}-{LONG[:100]}") for number in range(200)))
    request = repair_messages(MESSAGES, "x", failed("unknown_label"), many)[3]["content"]
    assert LONG[:100] not in request
    assert len(request) < 300


def test_a_repair_follows_a_rendered_prompt(shop: Taxonomy) -> None:
    """The two messages are the ones of the question, byte for byte, so that the server's cache has them."""
    messages = Prompt(shop).render(Question(text="Wo ist mein Geld?", categories=shop.leaves))
    assert repair_messages(messages, "x", failed(), Labels.of(shop.leaves))[:2] == messages.as_chat()
