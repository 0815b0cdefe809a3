"""How far people agree with each other, by second opinions, and with the model, by whether they saw what it suggests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.probability.metrics.intervals import clopper_pearson
from llmtriage.store import schema
from llmtriage.store.reading import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from llmtriage.store.database import Database
    from llmtriage.taxonomy import Taxonomy

ENOUGH = 10
"""Pairs of answers from which on a share and a kappa are told: of fewer the 95 % interval of the share is more than half of all there is."""

_DISPUTED = 5  # pairs of categories that are named
_AT_ONCE = 500  # texts that are asked about in one statement
_entry, _outcome, _review, _ticket = schema.queue_entry.c, schema.outcome.c, schema.review.c, schema.ticket.c


@dataclass(frozen=True, slots=True)
class Share:
    """How many of n agree.

    Attributes:
        agree: How many.
        n: Of how many.
    """

    agree: int
    n: int

    @property
    def share(self) -> float | None:
        """The share that agrees, in [0, 1]; None of none."""
        return self.agree / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The exact 95 % interval of the share (Clopper and Pearson); None of none."""
        return clopper_pearson(self.agree, self.n) if self.n else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCategory:
    """Pairs of answers of which at least one says this category.

    Attributes:
        category: The id, as it was answered.
        pairs: How many.
        disagreements: In how many the other one says something else.
    """

    category: str
    pairs: int
    disagreements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far people agree.

    Attributes:
        people: Pairs of answers of two people to one text that waited, the second given blind: how many say the same. They tell of what
            waits, not of all tickets.
        kappa: Cohen's kappa of these pairs: 1 where all say the same, 0 where they agree as often as chance would, in [-1, 1]. None of none,
            and where everybody always says one and the same category, for then there is nothing to tell apart.
        categories: By category, that with most disagreements first.
        shown: Answers that stand of people who saw what the model suggests: how many say the same. Who is led agrees more.
        unshown: Answers that stand of people who did not: to tickets drawn to be decided blind, and others.
    """

    people: Share
    kappa: float | None
    categories: tuple[OfCategory, ...]
    shown: Share
    unshown: Share


@dataclass(frozen=True, slots=True)
class Disputed:
    """Two categories between which people differ.

    Attributes:
        one: The category that comes first in the alphabet.
        other: The other one.
        pairs: How many pairs of answers say these two, whichever came first.
    """

    one: str
    other: str
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """How far two people agree who answered the same text, the second one blind.

    Attributes:
        people: How many pairs say the same.
        kappa: Cohen's kappa, as in `Agreement`; None also below `ENOUGH` pairs.
        disputed: The categories between which people differ most often, at most five pairs of them.
    """

    people: Share
    kappa: float | None
    disputed: tuple[Disputed, ...]

    @property
    def share(self) -> float | None:
        """The share that agrees, in [0, 1]; None below `ENOUGH` pairs."""
        return self.people.share if self.people.n >= ENOUGH else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The exact 95 % interval of the share (Clopper and Pearson); None below `ENOUGH` pairs."""
        return self.people.interval if self.people.n >= ENOUGH else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two answers to one text that differ. Whose they are is not told: it is the ticket that is to be decided.

    Attributes:
        number: Where it stands in their order.
        entry: The number of the entry that the first one answers.
        ticket_id: What people call the ticket, if it has an id.
        text_id: Which of the ticket's texts it is.
        first: What stands.
        second: What the second person said, blind.
        shown: Whether the first person saw a suggestion.
        at: When the second answer was given, UTC.
    """

    number: int
    entry: int
    ticket_id: str | None
    text_id: int
    first: str
    second: str
    shown: bool
    at: datetime


def agreement(database: Database, taxonomy: Taxonomy | None = None) -> Agreement:
    """How far people agree with each other and with the model.

    Args:
        database: Where.
        taxonomy: Of now: a category that has another name since is the one it has become, whoever said it. None: as it was said.

    Raises:
        StoreError: The store cannot be read.
    """
    first, second = _pairs(taxonomy)
    grouped = sa.select(first.c.category, second.c.category, sa.func.count()).select_from(_joined(first, second))
    with database.reading() as connection:
        counted = {(a, b): n for a, b, n in connection.execute(grouped.group_by(first.c.category, second.c.category))}
        model = {(shown, agrees): n for shown, agrees, n in connection.execute(_with_model(taxonomy))}
    return Agreement(
        people=Share(sum(n for (a, b), n in counted.items() if a == b), sum(counted.values())),
        kappa=kappa(counted),
        categories=_categories(counted),
        shown=_share(model, shown=True),
        unshown=_share(model, shown=False),
    )


def opinions(connection: sa.Connection, first_review: int, taxonomy: Taxonomy) -> Opinions:
    """How far people agree, by the second opinions from this review on. See `agreement`. Raises StoreError."""
    said = _now(_review.category, taxonomy)
    given = _given().with_only_columns(_review.ticket_text_id, _review.reviewer, said)
    seconds = connection.execute(given.where(_review.lane == "second", _review.id >= first_review)).all()
    counted: Counter[tuple[str, str]] = Counter()
    for start in range(0, len(seconds), _AT_ONCE):
        of = {text: (reviewer, category) for text, reviewer, category in seconds[start : start + _AT_ONCE]}
        for text, reviewer, category in connection.execute(
            given.where(_review.lane == "pending", _review.ticket_text_id.in_(of))
        ):
            if of[text][0] != reviewer:
                counted[category, of[text][1]] += 1
    same = sum(n for (a, b), n in counted.items() if a == b)
    disputed: Counter[tuple[str, str]] = Counter()
    for (a, b), n in counted.items():
        if a != b:
            disputed[min(a, b), max(a, b)] += n
    most = sorted(disputed.items(), key=lambda one: (-one[1], one[0]))[:_DISPUTED]
    return Opinions(
        people=Share(same, counted.total()),
        kappa=kappa(counted) if counted.total() >= ENOUGH else None,
        disputed=tuple(Disputed(a, b, n) for (a, b), n in most),
    )


def disagreements(
    database: Database, taxonomy: Taxonomy | None = None, *, limit: int = 50, before: int | None = None
) -> list[Disagreement]:
    """Answers of two people to one text that differ, the latest second opinion first.

    Args:
        database: Where.
        taxonomy: As of `agreement`.
        limit: At most so many.
        before: Go on behind this number of an earlier call's last disagreement.

    Raises:
        StoreError: The store cannot be read.
    """
    first, second = _pairs(taxonomy)
    columns = (first.c.queue_entry_id.label("entry"), _ticket.external_id, first.c.ticket_text_id, first.c.suggestion_shown)
    said = (first.c.category.label("first"), second.c.category.label("second"), second.c.created_at, second.c.id)
    joined = _joined(first, second).join(schema.ticket, _ticket.id == first.c.ticket_id)
    differing = sa.select(*columns, *said).select_from(joined).where(first.c.category != second.c.category)
    if before is not None:
        differing = differing.where(second.c.id < before)
    with database.reading() as connection:
        rows = connection.execute(differing.order_by(second.c.id.desc()).limit(limit)).all()
    return [
        Disagreement(
            number=row.id,
            entry=row.entry,
            ticket_id=row.external_id,
            text_id=row.ticket_text_id,
            first=row.first,
            second=row.second,
            shown=row.suggestion_shown,
            at=moment(row.created_at),
        )
        for row in rows
    ]


def kappa(counted: Mapping[tuple[str, str], int]) -> float | None:
    """Cohen's kappa of pairs of answers, by what the two say. None of none, and where all of them say one and the same category.

    Source: Cohen 1960, doi:10.1177/001316446002000104
    """
    if len({category for pair in counted for category in pair}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    pairs = list(counted)
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    return float(cohen_kappa_score(first, second, sample_weight=[counted[pair] for pair in pairs]))


def _now(category: sa.ColumnElement[Any], taxonomy: Taxonomy | None) -> sa.ColumnElement[Any]:
    """What a stored category is called now; one of which a person has to say what it means keeps its name."""
    renamed = {} if taxonomy is None else {former: leaf for former, leaf in taxonomy.labels.items() if former != leaf}
    return sa.case(renamed, value=category, else_=category) if renamed else category


def _given() -> sa.Select[Any]:
    """Answers to entries, those not taken back."""
    retraction = schema.review.alias("retraction")
    taken_back = sa.exists().where(retraction.c.retracts_id == _review.id)
    return sa.select(schema.review).where(_review.verdict != "retract", _review.queue_entry_id.is_not(None), ~taken_back)


def _pairs(taxonomy: Taxonomy | None) -> tuple[sa.Subquery, sa.Subquery]:
    """Answers to what waited because routing said so, and second opinions."""
    columns = (_review.id, _review.queue_entry_id, _review.ticket_id, _review.ticket_text_id, _review.reviewer)
    said = (_now(_review.category, taxonomy).label("category"), _review.suggestion_shown, _review.created_at)
    given = _given().with_only_columns(*columns, *said)
    return given.where(_review.lane == "pending").subquery("first"), given.where(_review.lane == "second").subquery("second")


def _joined(first: sa.Subquery, second: sa.Subquery) -> sa.Join:
    """Of two people; the same one twice agrees with nobody."""
    of_one_text = sa.and_(first.c.ticket_text_id == second.c.ticket_text_id, first.c.reviewer != second.c.reviewer)
    return first.join(second, of_one_text)


def _with_model(taxonomy: Taxonomy | None) -> sa.Select[Any]:
    """How many of the answers that stand say what the model said of the entry, by whether it was shown.

    A confirmation says it whatever the category is called by now. A planned sample may have been drawn before any outcome: the last
    one of the text is taken.
    """
    standing = schema.standing().where(_review.queue_entry_id.is_not(None)).subquery("standing")
    of_text = (_outcome.ticket_id == standing.c.ticket_id, _outcome.ticket_text_id == standing.c.ticket_text_id)
    last = sa.select(sa.func.max(_outcome.id)).where(*of_text)  # by the ticket's index
    which = sa.func.coalesce(_entry.outcome_id, last.correlate(standing).scalar_subquery())
    says_the_same = _now(standing.c.category, taxonomy) == _now(_outcome.category, taxonomy)
    agrees = sa.or_(standing.c.verdict == "confirm", says_the_same)
    joined = standing.join(schema.queue_entry, _entry.id == standing.c.queue_entry_id).join(schema.outcome, _outcome.id == which)
    columns = (standing.c.suggestion_shown, sa.case((agrees, 1), else_=0).label("agrees"))
    chosen = sa.select(*columns, sa.func.count()).select_from(joined).where(_outcome.category.is_not(None))
    return chosen.group_by(*columns)


def _share(model: Mapping[tuple[bool, int], int], *, shown: bool) -> Share:
    agree = model.get((shown, 1), 0)
    return Share(agree, agree + model.get((shown, 0), 0))


def _categories(counted: Mapping[tuple[str, str], int]) -> tuple[OfCategory, ...]:
    pairs: Counter[str] = Counter()
    differing: Counter[str] = Counter()
    for pair, n in counted.items():
        for category in set(pair):
            pairs[category] += n
            differing[category] += n * (len(set(pair)) > 1)
    ordered: Sequence[str] = sorted(pairs, key=lambda category: (-differing[category], -pairs[category], category))
    return tuple(OfCategory(category=one, pairs=pairs[one], disagreements=differing[one]) for one in ordered)
