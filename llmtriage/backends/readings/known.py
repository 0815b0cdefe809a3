"""What was found out about how a model can be read: kept in the cache folder, looked at anew where it does not hold any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from llmtriage.backends.dialect import Dialect
from llmtriage.backends.readings.one_token import Lists
from llmtriage.kept import Kept

_KEPT = Kept("capabilities.json", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What one model on one server can do, as far as reading needs it.

    Attributes:
        dialect: How requests are put.
        began: How they were put at first, by the settings; with others it tells nothing.
        lists: How it lists log-probabilities; None: it does not.
        tokens: Texts with the numbers of their tokens, as far as they were asked for.
        model: The model, as answers name it.
        server: Its kind, where it tells.
        version: Of the server, where it tells.
    """

    dialect: Dialect
    began: Dialect | None = None
    lists: Lists | None = None
    tokens: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    model: str = ""
    server: str | None = None
    version: str | None = None


_ADAPTER = TypeAdapter(Known)


def recall(url: str, model: str) -> Known | None:
    """What was found out about the model at `url`; None if nothing was, or what was kept cannot be read."""
    found = _KEPT.get(url.rstrip("/"), model)
    try:
        return _ADAPTER.validate_python(found) if found is not None else None
    except ValidationError:
        return None


def remember(url: str, model: str, known: Known) -> None:
    """Keep `known` in place of what was known."""
    _KEPT.put(_ADAPTER.dump_python(known, mode="json"), url.rstrip("/"), model)


def forget(url: str, model: str) -> None:
    """What was kept does not hold any more."""
    _KEPT.put({}, url.rstrip("/"), model)
