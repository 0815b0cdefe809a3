"""Fields of replies, any of which may be missing, null or of another type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmtriage.predictions import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping


def mapping(value: object) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def count(value: object) -> int | None:
    """`value` if it is a number of something, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def usage_of(usage: object, *, attempts: int = 1, waited: float = 0.0) -> Usage:
    """What a server says it used, under the names of chat completions, of decisions, or of the hosts that have their own.

    Args:
        usage: The field `usage` of a reply.
        attempts: Requests sent.
        waited: Seconds between them.
    """
    counts = mapping(usage)
    return Usage(
        prompt_tokens=_first(counts.get("prompt_tokens"), counts.get("input_tokens")),
        cached_tokens=_first(
            mapping(counts.get("prompt_tokens_details")).get("cached_tokens"),
            mapping(counts.get("input_tokens_details")).get("cached_tokens"),
            counts.get("prompt_cache_hit_tokens"),  # DeepSeek
            counts.get("cached_tokens"),  # Kimi
        ),
        output_tokens=_first(counts.get("completion_tokens"), counts.get("output_tokens")),
        attempts=attempts,
        waited=waited,
    )


def _first(*values: object) -> int | None:
    return next((found for found in map(count, values) if found is not None), None)
