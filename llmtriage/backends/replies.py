"""Reading what a chat model wrote. Pure functions on plain data: any part of a reply may be missing, null or hostile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llmtriage.backends.fields import count, mapping, usage_of
from llmtriage.predictions import Failure, Prediction, SingleLabel, Source
from llmtriage.prompting import defused
from llmtriage.taxonomy import Category, Taxonomy, all_languages

if TYPE_CHECKING:
    from llmtriage.backends.transport import Reply
    from llmtriage.predictions import EngineReason
    from llmtriage.prompting import Messages

# Finish reasons, in lower case: OpenAI's, vLLM's, and those of DeepSeek, Zhipu, Mistral and Gemini for the same things.
BROKEN_OFF = frozenset({"insufficient_system_resource", "abort", "aborted", "error", "network_error"})
_FILTERED = frozenset({"content_filter", "sensitive", "prohibited_content", "safety", "blocklist", "spii", "refusal"})
_CUT = frozenset({"length", "max_tokens", "model_length"})

_PROMPT_BLOCKED = ("prompt_feedback", "promptFeedback")
_FILTER_RESULTS = ("content_filter_results", "content_filter_result", "prompt_filter_results")
_FILTER_DEPTH = 4  # levels of filter results that are looked at; Azure has three

_THINKING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details")
_THINKING_PARTS = ("thinking", "reasoning")
_OPENING = re.compile(r"\s*<(think|thinking|thought|reasoning)>", re.IGNORECASE)
_CLOSING = {name: re.compile(f"</{name}>", re.IGNORECASE) for name in ("think", "thinking", "thought", "reasoning")}
_ANY_CLOSING = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_ANY_TAG = re.compile(r"</?(?:think|thinking|thought|reasoning)>", re.IGNORECASE)

_FENCE = "```"
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_RAW = 2000  # characters of a reply kept for people, or shown to the model again
_MOST_LISTED = 4000  # characters of the list of ids in a repair message; the system message has the list anyway


@dataclass(frozen=True, slots=True)
class Labels:
    """What a model may answer, built once for a set of categories.

    Attributes:
        ids: The ids that were offered, in order.
    """

    ids: tuple[str, ...]
    _offered: frozenset[str] = field(repr=False)
    _forgiven: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, categories: Sequence[Category], *, taxonomy: Taxonomy | None = None) -> Labels:
        """Labels for `categories`.

        Args:
            categories: What the model chooses among.
            taxonomy: The tree they stand in. With it a category may be named by its path, and a wording that also means
                a node that was not offered is ambiguous.
        """
        nodes = {node.id: node for node in (*(taxonomy.nodes if taxonomy else ()), *categories)}
        meant: dict[str, set[str]] = {}
        for node in nodes.values():
            for wording in _wordings(node, taxonomy):
                meant.setdefault(_plain(wording), set()).add(node.id)
        ids = tuple(category.id for category in categories)
        offered = frozenset(ids)
        single = {wording: next(iter(found)) for wording, found in meant.items() if len(found) == 1 and found <= offered}
        return cls(ids, offered, single)

    def find(self, text: str) -> tuple[str, bool] | None:
        """The category that `text` names, and whether that took forgiveness.

        An exact id is taken as it is. Forgiven are other case, other white space, and the exact name or path of a
        category in place of its id. Whatever names no category, or more than one, is None: nothing is matched by likeness.
        """
        if text in self._offered:
            return text, False
        found = self._forgiven.get(_plain(text))
        return None if found is None else (found, True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model wrote, read.

    Attributes:
        category: The id of a category that was offered.
        score: The model's own number in [0, 1], None where it gave none that makes sense; not a probability of anything.
        rationale: Why, in the model's words.
        forgiven: Whether the category was named with other case or white space, or by name or path instead of its id.
    """

    category: str
    score: float | None = None
    rationale: str | None = field(default=None, repr=False)
    forgiven: bool = False


def without_thinking(text: str) -> str:
    """`text` without the thinking in front of the answer; empty where the thinking never ended.

    Thinking is a block between `<think>` and `</think>` (or thinking, thought, reasoning), or everything up to the last
    closing tag where a chat template swallowed the opening one. Time is linear in the length of the text.
    """
    start = _after_blocks(text)
    if start is None:
        return ""
    rest = text[start:]
    stray = max((found.end() for found in _ANY_CLOSING.finditer(rest)), default=0)
    # A tag inside the answer, say in a rationale that quotes one, is no thinking.
    if not stray or _object(rest) is not None:
        return rest
    rest = rest[stray:]
    return "" if _OPENING.match(rest) else rest


def read_answer(text: str, labels: Labels) -> Answer | Failure:
    """Read the JSON object that was asked for, alone or in the one fenced block of the text; nothing else is an answer.

    Args:
        text: What the model wrote.
        labels: What it may answer.
    """
    rest = without_thinking(text).strip()
    if not rest:
        return _failure("bad_response", "the model wrote no answer", text)
    found = _object(rest) or _fenced(rest) or {}
    category, rationale = found.get("category"), found.get("rationale")
    if not isinstance(category, str):
        return _failure("bad_response", "the answer is not the JSON object asked for", rest)
    label = labels.find(category)
    if label is None:
        return _failure("unknown_label", "the answer is not a category of the list", rest)
    return Answer(
        category=label[0],
        score=_score(found.get("confidence")),
        rationale=_clean(rationale) if isinstance(rationale, str) else None,
        forgiven=label[1],
    )


def read_reply(reply: Reply, labels: Labels, *, source: Source = "verbalized") -> Prediction | Failure:
    """Read a chat completion. Every field of it may be missing or null.

    Args:
        reply: What came back.
        labels: What the model may answer.
        source: How the answer counts.
    """
    body = mapping(reply.body)
    usage = usage_of(body.get("usage"), attempts=reply.attempts, waited=reply.waited)
    text = _text(_message(body).get("content"))
    answer = _sign_of_none(body, text) or read_answer(text, labels)
    if isinstance(answer, Failure):
        return replace(answer, usage=usage, seconds=reply.seconds)
    label = SingleLabel(category=answer.category, score=answer.score, rationale=answer.rationale)
    model = _clean(_string(body.get("model")))
    read, seconds = {"reading": "json"}, reply.seconds
    return Prediction(answer=label, source=source, model=model, usage=usage, seconds=seconds, forgiven=answer.forgiven, read=read)


def withheld(body: Mapping[str, Any]) -> Failure | None:
    """Why a completion of one token is no answer, as far as it says so itself; that it ends there is no reason."""
    found = _sign_of_none(body, "-")
    return None if found is None or found.reason == "truncated" else replace(found, raw=None)


def thought(body: object) -> bool:
    """Whether the body of a chat completion shows thinking: in a field of its own, in the text, or in the token counts."""
    completion = mapping(body)
    message = _message(completion)
    details = mapping(mapping(completion.get("usage")).get("completion_tokens_details"))
    if (count(details.get("reasoning_tokens")) or 0) > 0 or any(_filled(message.get(name)) for name in _THINKING_FIELDS):
        return True
    content = message.get("content")
    if any(part.get("type") in _THINKING_PARTS for part in _parts(content)):
        return True
    text = _text(content)
    removed = text[: len(text) - len(without_thinking(text))]
    return bool(_ANY_TAG.sub("", removed).strip())


def repair_messages(
    messages: Messages, raw: str | None, failure: Failure, labels: Labels, *, language: str = "en"
) -> list[dict[str, str]]:
    """The messages of the one attempt to have an unreadable answer mended.

    Args:
        messages: What was asked.
        raw: What the model wrote.
        failure: Why that is no answer.
        labels: What it may answer.
        language: Of the request to mend it: "zh", else English.
    """
    words = _REPAIR.get(language, _REPAIR["en"])
    listed = json.dumps(labels.ids, ensure_ascii=False)
    choose = words["choose"].format(listed) if len(listed) <= _MOST_LISTED else words["choose above"]
    # Assistant and user take turns in many chat templates, so there is an assistant's turn even where nothing was written.
    wrote = defused(without_thinking(raw or "").strip()[:_MOST_RAW])[:_MOST_RAW] or words["nothing"]
    request = words.get(failure.reason, words["bad_response"]) + choose + words["object"]
    return [*messages.as_chat(), {"role": "assistant", "content": wrote}, {"role": "user", "content": request}]


_REPAIR: Mapping[str, Mapping[str, str]] = {
    "en": {
        "unknown_label": "Your answer names no category of the list.",
        "truncated": "Your answer broke off before its end.",
        "bad_response": "Your answer is not the one JSON object that was asked for.",
        "choose": ' "category" must be one of these, exactly as written: {}.',
        "choose above": ' "category" must be one of the quoted names of the list, exactly as written.',
        "object": " Answer again with the JSON object alone: no other text, no code block.",
        "nothing": "(no answer)",
    },
    "zh": {
        "unknown_label": "你的回答不是列表中的类别。",
        "truncated": "你的回答没有写完。",
        "bad_response": "你的回答不是所要求的那一个 JSON 对象。",
        "choose": "“category” 必须是下列之一，一字不差：{}。",
        "choose above": "“category” 必须是列表中带引号的名称之一，一字不差。",
        "object": "请重新回答，只输出这个 JSON 对象，不要其他文字，也不要代码块。",
        "nothing": "（没有回答）",
    },
}


# -- labels ----------------------------------------------------------------------------------------


def _wordings(node: Category, taxonomy: Taxonomy | None) -> Iterator[str]:
    """The id, the names and, where the tree is known, the paths in every language of their names."""
    yield node.id
    yield from all_languages(node.name) if node.name else ()
    if taxonomy is None or node.id not in taxonomy:
        return
    path = taxonomy.path(node.id)
    languages = {language for part in path if isinstance(part.name, dict) for language in part.name} or {"en"}
    for language in languages:
        yield " > ".join(part.label(language) for part in path)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


# -- the text --------------------------------------------------------------------------------------


def _after_blocks(text: str) -> int | None:
    """Where the text begins after the thinking blocks at its start; None where one never ends."""
    start = 0
    while opening := _OPENING.match(text, start):
        closing = _CLOSING[opening[1].lower()].search(text, opening.end())
        if closing is None:
            return None
        start = closing.end()
    return start


def _object(text: str) -> dict[str, Any] | None:
    """The one JSON object that `text` is, with all its numbers as floats; None where it is anything else."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        # As floats, numbers of any length can be read; as integers, long ones are refused.
        found = json.loads(text, object_pairs_hook=_no_duplicates, parse_int=float)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _fenced(text: str) -> dict[str, Any] | None:
    """The JSON object in the one fenced block of `text`. Braces outside it could be a second answer."""
    first, last = text.find(_FENCE), text.rfind(_FENCE)
    around = text[:first] + text[last + len(_FENCE) :]
    if last < first + len(_FENCE) or "{" in around or "}" in around:
        return None
    inside = text[first + len(_FENCE) : last]
    return _object(inside[4:] if inside[:4].lower() == "json" else inside)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _score(value: object) -> float | None:
    """The model's own number if it is one between 0 and 1."""
    return value if isinstance(value, float) and 0 <= value <= 1 else None


def _failure(reason: EngineReason, detail: str, text: str) -> Failure:
    return Failure(reason=reason, detail=detail, raw=_clean(text[:_MOST_RAW]) or None)


def _clean(text: str) -> str:
    """`text` that can be written as UTF-8."""
    return _SURROGATE.sub("\ufffd", text)


# -- the completion --------------------------------------------------------------------------------


def _sign_of_none(body: Mapping[str, Any], text: str) -> Failure | None:
    """Why the completion has no answer worth reading, as far as it says so itself."""
    choice, message = _choice(body), _message(body)
    finish = _string(choice.get("finish_reason")).lower()
    if finish in BROKEN_OFF:
        return _failure("backend_unavailable", f"the server broke off ({finish})", text)
    refusals = (message.get("refusal"), *(part.get("refusal") for part in _parts(message.get("content"))))
    if finish in _FILTERED or any(_filled(refusal) for refusal in refusals):
        return _failure("refused", "the model or its filter refused to answer", text)
    if finish in _CUT:
        return _failure("truncated", "the answer was longer than allowed", text)
    if text.strip():
        return None
    if _is_blocked(body, choice, message):
        return _failure("refused", "the server's filter held the answer back", text)
    return _failure("bad_response", "the answer holds no text", text)


def _is_blocked(*places: Mapping[str, Any]) -> bool:
    """Whether a reply without text bears a filter's sign. Results that find nothing stand in harmless replies too."""
    if any(_filled(place.get(name)) for place in places for name in _PROMPT_BLOCKED):
        return True
    results = [place[name] for place in places for name in _FILTER_RESULTS if _filled(place.get(name))]
    flags = [flag for result in results for flag in _flags(result, _FILTER_DEPTH)]
    return bool(results) and (any(flags) or not flags)


def _flags(results: object, depth: int) -> Iterator[bool]:
    """Every true and false in filter results."""
    if isinstance(results, bool):
        yield results
    elif isinstance(results, dict | list) and depth > 0:
        for inner in results.values() if isinstance(results, dict) else results:
            yield from _flags(inner, depth - 1)


def _choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    return mapping(choices[0] if isinstance(choices, list) and choices else None)


def _message(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(_choice(body).get("message"))


def _text(content: object) -> str:
    """The text of a message that is one string or a list of parts."""
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in _parts(content) if part.get("type", "text") in ("text", "output_text"))
    return "".join(text for text in texts if isinstance(text, str))


def _parts(content: object) -> list[dict[str, Any]]:
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _filled(value: object) -> bool:
    return bool(value.strip() if isinstance(value, str) else value)
