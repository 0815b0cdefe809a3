"""What `llmtriage doctor` measured of a server, kept for later estimates: `measured.json` in the cache folder. No keys, no texts."""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmtriage.settings import default_cache_dir
from llmtriage.taxonomy import digest

_log = logging.getLogger(__name__)

_NAME = "measured.json"
_FORMAT = 1
_MOST = 200  # servers that are remembered; the oldest go first


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
    path = default_cache_dir() / _NAME
    known = _known(path)
    key = _key(url, model)
    known.pop(key, None)
    known[key] = asdict(measured)
    kept = dict(list(known.items())[-_MOST:])
    try:
        _write(path, json.dumps({"format": _FORMAT, "servers": kept}, indent=1, allow_nan=False))
    except OSError as error:
        _log.warning("what was measured cannot be kept in %s (%s)", path, error.strerror)


def recall(url: str, model: str) -> Measured | None:
    """What was measured of the model at `url`; None if nothing was, or what was kept cannot be read."""
    found = _known(default_cache_dir() / _NAME).get(_key(url, model))
    return _measured(found) if isinstance(found, dict) else None


def _key(url: str, model: str) -> str:
    return digest([url.rstrip("/"), model])


def _known(path: Path) -> dict[str, Any]:
    """All that is kept, the oldest first; empty where the file is missing, broken or of another format."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("format") != _FORMAT or not isinstance(found.get("servers"), dict):
        return {}
    return dict(found["servers"])


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


def _write(path: Path, text: str) -> None:
    """All of it or nothing, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_NAME)  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise
