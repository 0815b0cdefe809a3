"""Which tickets a person wants, as the address of a page says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast, get_args
from urllib.parse import urlencode

from fastapi import Request

from llmtriage.outcomes import REASON_CODES
from llmtriage.reviewing import Filters, Lane
from llmtriage.service.problems import Problem
from llmtriage.service.serving import service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.outcomes import ReasonCode
    from llmtriage.taxonomy import Taxonomy

AGES: Mapping[str, timedelta] = {
    "10m": timedelta(minutes=10),
    "1h": timedelta(hours=1),
    "8h": timedelta(hours=8),
    "1d": timedelta(days=1),
    "3d": timedelta(days=3),
    "7d": timedelta(days=7),
}
LANES: tuple[Lane, ...] = get_args(Lane)
_LONGEST_LANGUAGE = 35  # of a tag of BCP 47


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters, and how an address says them.

    Attributes:
        filters: For the queue.
        asked: What the address says, by name.
    """

    filters: Filters
    asked: Mapping[str, str]

    @property
    def query(self) -> str:
        """What stands behind the path of an address; empty where everything is wanted."""
        return f"?{urlencode(self.asked)}" if self.asked else ""


def wanted_of(request: Request) -> Wanted:
    """What an address asks for. Raises Problem (422)."""
    names = ("lane", "reason", "category", "language", "age")
    asked = {name: value for name in names if (value := request.query_params.get(name, "").strip())}
    taxonomy = service_of(request).taxonomy
    known = {"lane": LANES, "reason": REASON_CODES, "category": [node.id for node in taxonomy.nodes], "age": AGES}
    for name, values in known.items():
        if name in asked and asked[name] not in values:
            raise Problem(422, f"there is no such {name} to filter by")
    if len(asked.get("language", "")) > _LONGEST_LANGUAGE:
        raise Problem(422, "there is no such language to filter by")
    filters = Filters(
        lane=cast("Lane | None", asked.get("lane")),
        reason=cast("ReasonCode | None", asked.get("reason")),
        categories=_below(taxonomy, asked["category"]) if "category" in asked else frozenset(),
        language=asked.get("language"),
        older_than=AGES[asked["age"]] if "age" in asked else None,
    )
    return Wanted(filters, asked)


def _below(taxonomy: Taxonomy, category: str) -> frozenset[str]:
    """A category, those below it, and their former ids."""
    nodes = list(taxonomy[category].walk())
    return frozenset([node.id for node in nodes] + [former for node in nodes for former in node.was])
