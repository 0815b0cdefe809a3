"""Plots as plain shapes: a template makes SVG of them, without styles or script, in the colour of the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.probability.audit import Audit
    from llmtriage.store.overview import Day

Kind = Literal["accepted", "pending", "probes"]
KINDS: tuple[Kind, ...] = ("accepted", "pending", "probes")
WIDTH, HEIGHT = 600.0, 120.0
_FILLED = 0.75  # of the place of a day


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: what it counts, where it begins from above, and how high it is."""

    kind: Kind
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A day: where its bar stands, how wide it is, and its parts from below."""

    day: Day
    x: float
    width: float
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Gauge:
    """An audit on a line: the share of wrong probes, its upper bound and what was promised, each in [0, WIDTH]."""

    share: float
    limit: float
    alpha: float


def bars(days: Sequence[Day]) -> tuple[Bar, ...]:
    """The days beside each other, the one with most tickets as high as the plot."""
    place = WIDTH / max(len(days), 1)
    most = max((day.tickets for day in days), default=0) or 1
    return tuple(
        Bar(day, round(number * place, 2), round(place * _FILLED, 2), _parts(day, HEIGHT / most))
        for number, day in enumerate(days)
    )


def gauge(audit: Audit) -> Gauge:
    """An audit drawn so that what was promised lies in the middle, unless more is wrong."""
    share = audit.errors / audit.audits if audit.audits else 0.0
    scale = WIDTH / max(2 * audit.alpha, 1.1 * share)
    share, limit, alpha = (round(min(one * scale, WIDTH), 2) for one in (share, audit.limit, audit.alpha))
    return Gauge(share, limit, alpha)


def _parts(day: Day, scale: float) -> tuple[Part, ...]:
    found, top = [], HEIGHT
    for kind in KINDS:
        height = getattr(day, kind) * scale
        if height:
            top -= height
            found.append(Part(kind, round(top, 2), round(height, 2)))
    return tuple(found)
