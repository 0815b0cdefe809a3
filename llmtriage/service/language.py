"""In which of the two languages a caller is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Query, Request

from llmtriage.service.serving import service_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Language = Literal["en", "zh"]


def language_of(
    request: Request, language: Annotated[Language | None, Query(description="Of reasons; else Accept-Language says.")] = None
) -> Language:
    """A dependency: what is asked for, else what the header prefers, else that of the service."""
    header = request.headers.get("accept-language", "")[:1_000]
    return language or next(_preferred(header), None) or service_of(request).settings.language


def _preferred(header: str) -> Iterator[Language]:
    """Those of the two that `Accept-Language` names, the most wanted first."""
    wanted: list[tuple[float, Language]] = []
    for part in header.split(","):
        name, _, weight = part.partition(";")
        short: Language | None = {"en": "en", "zh": "zh"}.get(name.strip().casefold().split("-")[0])  # type: ignore[assignment]
        if short is not None and (q := _weight(weight)) > 0:
            wanted.append((-q, short))
    return (name for _, name in sorted(wanted, key=lambda pair: pair[0]))


def _weight(text: str) -> float:
    try:
        return float(text.strip().removeprefix("q=") or 1)
    except ValueError:
        return 0
