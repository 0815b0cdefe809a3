"""How long a server that has too much to do asks to be left alone."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def stated_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after`, a number or a date; None where there is none that makes sense."""
    candidates = (
        (_float(headers.get("retry-after-ms", "")) or math.nan) / 1000,
        _float(headers.get("retry-after", "")),
        _seconds_until(headers.get("retry-after", "")),
    )
    return next((seconds for seconds in candidates if seconds is not None and math.isfinite(seconds) and seconds > 0), None)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _seconds_until(date: str) -> float | None:
    try:
        return max(0.0, (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
