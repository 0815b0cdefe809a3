"""JSON lines: one object a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from llmtriage.errors import InputError, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def objects(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The object of each line that is not blank, with the number of the line."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, _object(line, number)


def keys(lines: Iterable[str]) -> tuple[str, ...]:
    """All keys of all objects, in order of appearance."""
    return tuple(dict.fromkeys(key for _, cells in objects(lines) for key in cells))


def _object(line: str, number: int) -> Mapping[str, object]:
    try:
        value: object = _DECODER.decode(line.rstrip("\r\n"))
    except InputError as error:
        raise InputError(error.problem, line=number, remedy=error.remedy) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({_why(error)})", line=number, remedy=_remedy(line)) from None
    if not isinstance(value, dict):
        kind = "a JSON array" if isinstance(value, list) else "a JSON value that is no object"
        raise InputError(f"{kind} on this line", line=number, remedy=_remedy(line))
    return value


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else short(str(error).partition(";")[0])


def _remedy(line: str) -> str:
    if line.lstrip().startswith("["):
        return "a JSON array is no JSONL: write one object a line, for example with jq -c '.[]'"
    return 'write one whole JSON object a line, such as {"id": "1", "content": "..."}'


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the key {short(twice)!r} stands twice in one object", remedy="keep one of the two")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"{name} is not JSON", remedy="write null")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
