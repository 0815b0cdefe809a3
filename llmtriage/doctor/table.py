"""The `[backends.NAME]` table that fits what was found. It names the variable of a key, never a key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.backends.probing import Capabilities
    from llmtriage.doctor.decisions import Decisions
    from llmtriage.doctor.load import Load
    from llmtriage.settings import BackendSettings

_AT_ONCE, _FEWER = 32, 8


def table_for(
    settings: BackendSettings, capabilities: Capabilities | None, decisions: Decisions | None, load: Load, *, name: str = "NAME"
) -> str:
    """Lines of TOML; headers and extra fields of the request, which may hold secrets, stay where they are."""
    lines = [f"[backends.{name}]", _line("kind", settings.kind), _line("model", settings.model)]
    lines += [_line(key, value) for key in ("url", "key_env") if (value := getattr(settings, key)) is not None]
    if settings.engine:
        lines.append(f"engine = {_inline(settings.engine)}")
    if capabilities is not None:
        lines += _of_chat(settings, capabilities)
    if decisions is not None:
        lines.append(_line("dialect", decisions.dialect))
    if settings.kind != "vllm-offline":  # an engine in this process takes what comes
        lines.append(f"concurrency = {_FEWER if load.failed_at_once else _AT_ONCE}")
    return "\n".join(lines) + "\n"


def _of_chat(settings: BackendSettings, found: Capabilities) -> list[str]:
    thinking = found.thinking.works or found.thinking.switch
    lines = [_line("json", found.json.best)] if found.json.best else []
    if thinking != "minimal":  # it is no value of the key: the engine finds it by itself
        lines.append(_line("thinking", thinking))
    context = settings.context or found.identity.context
    window = found.window
    if window is not None and window.cut and window.read:
        context = min(context or window.read, window.read)
    if context is not None:
        lines.append(f"context = {context}")
    return lines


def _line(key: str, value: object) -> str:
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


def _inline(table: Mapping[str, Any]) -> str:
    pairs = (
        f"{json.dumps(key)} = {_inline(value) if isinstance(value, dict) else json.dumps(value)}" for key, value in table.items()
    )
    return f"{{{', '.join(pairs)}}}"
