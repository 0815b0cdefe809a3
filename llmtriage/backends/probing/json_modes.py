"""Is the model held to JSON? Only what it would not say by itself proves it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llmtriage.backends.dialect import Dialect
from llmtriage.backends.probing.capabilities import JsonModes, Kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.backends.dialect import Json
    from llmtriage.backends.probing.asking import Answer, Prober

_WORDS = ("quixel", "zorbat")  # mean nothing, so no model says them unasked
_CHINESE_WORDS = ("蘑钺檀", "鲲筛绫")
_ASK_WORD = 'Answer with this JSON object, exactly: {"word": "hello"}'
_ASK_CHINESE = '请原样回答这个 JSON 对象：{"word": "你好"}'
_ASK_PLAIN = "Answer with the plain word hello, without quotes and without braces. Do not write json."
_ROOM = 60  # tokens


async def json_modes(prober: Prober) -> JsonModes:
    """Try a schema, any object, and the prompt alone: three to four requests."""
    schema = _kept_to(await _ask(prober, _ASK_WORD, "schema", _WORDS), _WORDS)
    chinese: Kept = "unknown"
    if schema == "honoured":
        chinese = _kept_to(await _ask(prober, _ASK_CHINESE, "schema", _CHINESE_WORDS), _CHINESE_WORDS)
    return JsonModes(
        schema=schema,
        chinese=chinese,
        object=_is_object(await _ask(prober, _ASK_PLAIN, "object")),
        prompt=_kept_to(await prober.chat(_ASK_WORD, most=_ROOM), ("hello",)),
    )


async def _ask(prober: Prober, text: str, mode: Json, words: tuple[str, ...] = ()) -> Answer:
    return await prober.chat(text, most=_ROOM, fields={"response_format": _format(mode, words)})


def _format(mode: Json, words: tuple[str, ...]) -> Any:
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {"word": {"type": "string", "enum": list(words)}},
        "required": ["word"],
        "additionalProperties": False,
    }
    dialect = Dialect(json=mode, limit="max_tokens", switch="leave")
    return dialect.fields(schema, most=_ROOM, temperature=0)["response_format"]


def _kept_to(answer: Answer, words: tuple[str, ...]) -> Kept:
    if not answer.came:
        return "refused" if answer.refused else "unknown"
    found = _parsed(answer.text)
    return "honoured" if isinstance(found, dict) and found.get("word") in words else "ignored"


def _is_object(answer: Answer) -> Kept:
    if not answer.came:
        return "refused" if answer.refused else "unknown"
    # An object that grew longer than there was room for was still begun as one.
    begun = answer.cut and answer.text.startswith("{")
    return "honoured" if begun or isinstance(_parsed(answer.text), dict) else "ignored"


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
