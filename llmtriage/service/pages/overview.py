"""The overview: how much came, what waits, how far people and model agree, and whether the promise still holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from llmtriage.service.access.people import Person, person_of
from llmtriage.service.pages import drawing
from llmtriage.service.pages.faults import PageRoute
from llmtriage.service.pages.overview_words import OverviewWords
from llmtriage.service.pages.rendering import page
from llmtriage.service.pages.showing import Text, named, text_of
from llmtriage.service.pages.words import words_of
from llmtriage.service.problems import Problem
from llmtriage.service.serving import Service, service_of
from llmtriage.store.agreement import ENOUGH, Disagreement, Opinions, disagreements
from llmtriage.store.audit_words import audit_words, percent
from llmtriage.store.overview import FALSE_ALARMS, Audited, overview

if TYPE_CHECKING:
    from datetime import datetime

    from llmtriage.taxonomy import Taxonomy

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_LISTED = 20  # tickets of one page


@dataclass(frozen=True, slots=True)
class Watched:
    """A promise as it is shown: its audit in words, as figures and as a line."""

    about: tuple[str, ...]
    state: str
    sentence: str
    figures: tuple[tuple[str, str], ...]
    share: str
    limit: str
    alpha: str
    gauge: drawing.Gauge


@dataclass(frozen=True, slots=True)
class Different:
    """A ticket that two people answered differently, as it is shown."""

    entry: int
    name: str
    first: str
    second: str
    at: datetime
    text: Text


@router.get("/overview")
def show(request: Request, person: Annotated[Person, Depends(person_of)]) -> Response:
    """How things stand."""
    service, words = service_of(request), words_of(request)
    calibration = service.versions.current.triage.calibration
    taxonomy, language = service.taxonomy, words.language
    found = overview(service.store, taxonomy, calibration)
    promises = found.promises or ()
    several = len(promises) > 1
    said = "" if calibration is None else (language == "zh" and calibration.words_zh) or calibration.words
    return page(
        request,
        "overview.html.j2",
        person=person,
        figures=OverviewWords(language),
        found=found,
        oldest=words.span(found.waiting.oldest, found.at) if found.waiting.oldest else "",
        promised=said,
        promises=[_watched(one, taxonomy, language, several=several) for one in promises],
        false_alarms=percent(FALSE_ALARMS),
        agreement=[
            (kind, one, "–" if one.share is None else f"{one.share:.0%}")
            for kind, one in (("shown", found.shown), ("unshown", found.unshown), ("blind", found.blind))
        ],
        opinions=_opinions(found.opinions, OverviewWords(language)),
        disputed=[
            (named(taxonomy, one.one, language), named(taxonomy, one.other, language), one.pairs)
            for one in found.opinions.disputed
        ],
        enough=ENOUGH,
        categories=[(named(taxonomy, one.category, language), one) for one in found.categories],
        most_accepted=max((one.accepted for one in found.categories), default=0) or 1,
        bars=drawing.bars(found.days),
        most=max(day.tickets for day in found.days),
        kinds=tuple(zip(drawing.KINDS, ("accepted", "pending", "drawn"), strict=True)),
        width=drawing.WIDTH,
        height=drawing.HEIGHT,
    )


@router.get("/overview/disagreements")
def differences(
    request: Request,
    person: Annotated[Person, Depends(person_of)],
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """What two people answered differently, for those who decide what is right."""
    service, words = service_of(request), words_of(request)
    figures = OverviewWords(words.language)
    if person.role != "lead":
        raise Problem(403, figures("leads only"))
    found = disagreements(service.store.database, service.taxonomy, limit=_LISTED + 1, before=before)
    listed = found[:_LISTED]
    return page(
        request,
        "disagreements.html.j2",
        person=person,
        figures=figures,
        found=[_different(service, one, words.language) for one in listed],
        older=listed[-1].number if len(found) > _LISTED else None,
    )


def _different(service: Service, one: Disagreement, language: str) -> Different:
    item = service.store.queue.item(one.entry, sees_all=True)
    return Different(
        entry=one.entry,
        name=item.name,
        first=named(service.taxonomy, one.first, language),
        second=named(service.taxonomy, one.second, language),
        at=one.at,
        text=text_of(item.ticket, service.versions.current.triage.preparation, redacted=service.store.kept == "redacted"),
    )


def _opinions(found: Opinions, figures: OverviewWords) -> list[tuple[str, str]]:
    told = {"pairs": str(found.people.n), "agree": str(found.people.agree)}
    if found.share is None or found.interval is None:
        return [*told.items(), ("interval", figures("too few")), ("kappa", figures("too few"))]
    share, low, high = (f"{one:.1%}" for one in (found.share, *found.interval))
    kappa = figures("nothing to tell apart") if found.kappa is None else f"{found.kappa:.2f}"
    return [*told.items(), ("interval", figures("from to", share, low, high)), ("kappa", kappa)]


def _watched(one: Audited, taxonomy: Taxonomy, language: str, *, several: bool) -> Watched:
    audit = one.audit
    share = f"{audit.errors / audit.audits:.1%}" if audit.audits else "–"
    alpha, limit = percent(audit.alpha), percent(audit.limit)
    figures = {
        "probes": audit.audits,
        "wrong": audit.errors,
        "needed": audit.needed,
        "alpha": alpha,
        "limit": limit,
        "since": "–" if one.since is None else one.since.strftime("%Y-%m-%d %H:%M"),
    }
    return Watched(
        about=tuple(named(taxonomy, category, language) for category in one.promise.categories) if several else (),
        state=audit.state,
        sentence=audit_words(one, language, to_come=False),
        figures=tuple((key, str(value)) for key, value in figures.items()),
        share=share,
        limit=limit,
        alpha=alpha,
        gauge=drawing.gauge(audit),
    )
