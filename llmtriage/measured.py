"""What `llmtriage doctor` measured of a server, kept for later estimates: `measured.json` in the cache folder. No keys, no texts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from llmtriage.kept import Kept

_KEPT = Kept("measured.json", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of one model on one server. None: it could not be.

    Attributes:
        tickets_per_second: With many requests in flight.
        prompt_ratio: The server's count of prompt tokens divided by `prompting.estimated_tokens` of the same prompt.
        output_tokens: Tokens of an answer, on average.
        when: The moment, ISO 8601 in UTC.
        source: What measured it, in words.
    """

    tickets_per_second: float | None
    prompt_ratio: float | None
    output_tokens: float | None
    when: str
    source: str


def remember(url: str, model: str, measured: Measured) -> None:
    """Keep `measured` for the model at `url`, in place of what was known. A folder that cannot be written loses it, with a log line."""
    _KEPT.put(asdict(measured), url.rstrip("/"), model)


def recall(url: str, model: str) -> Measured | None:
    """What was measured of the model at `url`; None if nothing was, or what was kept cannot be read."""
    found = _KEPT.get(url.rstrip("/"), model)
    return _measured(found) if found is not None else None


def _measured(found: dict[str, Any]) -> Measured | None:
    numbers = {name: found.get(name) for name in ("tickets_per_second", "prompt_ratio", "output_tokens")}
    texts = {name: found.get(name) for name in ("when", "source")}
    if not all(isinstance(text, str) for text in texts.values()):
        return None
    if not all(number is None or _is_amount(number) for number in numbers.values()):
        return None
    return Measured(**numbers, **texts)  # type: ignore[arg-type]


def _is_amount(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) and number > 0
