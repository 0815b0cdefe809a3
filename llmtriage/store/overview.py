"""How things stand: volume, what waits, how far people and model agree, and whether the promise still holds. Quick at a million tickets.

Counts of days come from `daily_count`; of answers and entries only those since some time are read, by their numbers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.probability.audit import Audit
from llmtriage.store import schema
from llmtriage.store.agreement import Opinions, opinions
from llmtriage.store.reading import moment
from llmtriage.store.recording import DAY, now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.calibration import Calibration, Promise
    from llmtriage.reviewing import Counts
    from llmtriage.store.database import Database
    from llmtriage.store.store import SqlStore
    from llmtriage.taxonomy import Taxonomy

DAYS = 30
FALSE_ALARMS = 0.05
"""How probable it is that an alarm is ever given under one calibration, though all of its promises hold."""

_entry, _outcome, _review, _count = schema.queue_entry.c, schema.outcome.c, schema.review.c, schema.daily_count.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What was decided on a day, UTC.

    Attributes:
        day: Which.
        accepted: Tickets that went to their teams.
        pending: Tickets that waited because routing said so.
        probes: Tickets that were drawn for a blind review, whatever routing said.
    """

    day: date
    accepted: int = 0
    pending: int = 0
    probes: int = 0

    @property
    def tickets(self) -> int:
        """All of them."""
        return self.accepted + self.pending + self.probes


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often people said what the model said, in answers that were not taken back.

    Attributes:
        same: Answers that name the suggestion, or a leaf below it.
        other: Answers that name something else.
    """

    same: int = 0
    other: int = 0

    @property
    def answers(self) -> int:
        """All of them."""
        return self.same + self.other

    @property
    def share(self) -> float | None:
        """The share that is the same, in [0, 1]; None where there is no answer."""
        return self.same / self.answers if self.answers else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCategory:
    """What came of a category in the last 30 days.

    Attributes:
        category: Its id.
        accepted: Tickets that were accepted with it.
        confirmed: Answers that name it where it was suggested.
        corrected: Answers that name another one where it was suggested.
    """

    category: str
    accepted: int = 0
    confirmed: int = 0
    corrected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A promise in the light of the probes that were drawn since the calibration is in force and that routing would have accepted.

    Attributes:
        promise: What was promised.
        audit: What the probes say of it, up to the oldest one without an answer.
        waiting: Those without an answer.
        behind: Those with an answer that were drawn after one without: they count when that one is answered.
        since: Since when the calibration decides in this store, UTC: the bet began with it. None where it never did.
    """

    promise: Promise
    audit: Audit
    waiting: int = 0
    behind: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How things stand.

    Attributes:
        at: When this was read, UTC.
        days: The last 30 days, the oldest first; the last one is today.
        waiting: What waits now.
        shown: Agreement in the last 30 days where a suggestion was seen.
        unshown: The same where there was a suggestion and it was not seen.
        blind: The same of tickets that were drawn by chance: the only one that speaks of all tickets.
        opinions: How far people agree with each other, by the second opinions of the last 30 days.
        categories: The categories of which something came in the last 30 days, in the order of the taxonomy; then others.
        promises: Each promise of the calibration in force with its audit; None without a calibration.
    """

    at: datetime
    days: tuple[Day, ...]
    waiting: Counts
    shown: Agreement
    unshown: Agreement
    blind: Agreement
    opinions: Opinions
    categories: tuple[OfCategory, ...]
    promises: tuple[Audited, ...] | None

    @property
    def today(self) -> Day:
        """Today so far, UTC."""
        return self.days[-1]


def overview(store: SqlStore, taxonomy: Taxonomy, calibration: Calibration | None) -> Overview:
    """How things stand in a store.

    Args:
        store: Which.
        taxonomy: What is in force now: the order of the categories, and which leaf belongs to which department.
        calibration: What is in force now, if anything.

    Raises:
        StoreError: The store cannot be read.
    """
    waiting, at = store.queue.counts(), now()
    with store.database.reading() as connection:
        counts = _counts(connection, at)
        first = _first_since(connection, _review.id, _review.created_at, at - DAYS * DAY, _review.queue_entry_id.is_not(None))
        said = connection.execute(_verdicts(first)).all()
        drawn = connection.execute(_blind_answers(first)).all()
        of_people = opinions(connection, first, taxonomy)
    blind = Counter[bool]()
    for offered, answer, n in drawn:
        blind[_is_right(offered, answer, taxonomy)] += n
    return Overview(
        at=moment(at),
        days=_days(counts, at),
        waiting=waiting,
        shown=_agreement(said, shown=True),
        unshown=_agreement(said, shown=False),
        blind=Agreement(same=blind[True], other=blind[False]),
        opinions=of_people,
        categories=_of_categories(counts, said, taxonomy),
        promises=None if calibration is None else audited(store.database, taxonomy, calibration),
    )


def audited(database: Database, taxonomy: Taxonomy, calibration: Calibration) -> tuple[Audited, ...]:
    """Whether each promise of a calibration holds in the light of the probes so far; all of them share `FALSE_ALARMS`.

    The first blind answer to a probe counts. Tickets that were drawn under another calibration do not, also where this one decided them again.

    Raises:
        StoreError: The store cannot be read.
    """
    with database.reading() as connection:
        runs = _runs_under(connection, calibration)
        rows = _accepted_probes(connection, runs)
    since = moment(min(runs.values())) if runs else None
    delta = FALSE_ALARMS / max(len(calibration.promises), 1)
    return tuple(
        replace(_audited([row for row in rows if row.category in one.categories], one, delta, taxonomy), since=since)
        for one in calibration.promises
    )


def audit_data(one: Audited) -> dict[str, Any]:
    """An audit as JSON: what the figures are is said in `Audit` and `Audited`."""
    audit = one.audit
    return {
        "state": audit.state,
        "alpha": audit.alpha,
        "false_alarm": audit.delta,
        "probes": audit.audits,
        "wrong": audit.errors,
        "needed": audit.needed,
        "limit": audit.limit,
        "waiting": one.waiting,
        "behind": one.behind,
        "since": None if one.since is None else one.since.isoformat(),
    }


def _audited(rows: Sequence[Any], promise: Promise, delta: float, taxonomy: Taxonomy) -> Audited:
    drawn = [row for row in rows if row.answer is not None or row.state == "open"]  # one that was erased waits no longer
    counted = list(takewhile(lambda row: row.answer is not None, drawn))
    wrong = [not _is_right(row.category, row.answer, taxonomy) for row in counted]
    waiting = sum(row.answer is None for row in drawn)
    audit = Audit.of(wrong, alpha=promise.alpha, delta=delta)
    return Audited(promise=promise, audit=audit, waiting=waiting, behind=len(drawn) - len(counted) - waiting)


def _is_right(offered: str | None, answer: str, taxonomy: Taxonomy) -> bool:
    """Whether what was offered is the leaf that a person named, or a node above it."""
    leaf = taxonomy.carried(answer)
    return leaf is not None and any(node.id == offered for node in taxonomy.path(leaf))


# -- what is read ----------------------------------------------------------------------------------


def _counts(connection: sa.Connection, at: int) -> Mapping[tuple[int, str, str], int]:
    """The counts of the last days by day, kind and category."""
    first = _number(moment(at).date() - timedelta(days=DAYS - 1))
    rows = connection.execute(sa.select(_count.day, _count.kind, _count.category, _count.n).where(_count.day >= first))
    return {(row.day, row.kind, row.category): row.n for row in rows}


def _verdicts(first: int) -> sa.Select[Any]:
    """Answers to what waited here, by what was suggested, whether it was seen, and what was said of it."""
    chosen = sa.select(_review.suggested, _review.suggestion_shown, _review.verdict, sa.func.count().label("n"))
    here = _review.queue_entry_id.is_not(None)  # what the helpdesk says comes late, and of tickets that nobody saw here
    given = (_review.id >= first, here, _review.lane == "pending", _review.verdict != "retract", _review.suggested.is_not(None))
    return chosen.where(*given, ~_taken_back()).group_by(_review.suggested, _review.suggestion_shown, _review.verdict)


def _blind_answers(first: int) -> sa.Select[Any]:
    """Answers to probes, by what routing offered and what the person said."""
    joined = schema.review.join(schema.queue_entry, _entry.id == _review.queue_entry_id).join(
        schema.outcome, _outcome.id == _entry.outcome_id
    )
    chosen = sa.select(_outcome.category, _review.category.label("answer"), sa.func.count().label("n")).select_from(joined)
    given = (_review.id >= first, _review.lane == "probe", _review.verdict != "retract", _outcome.category.is_not(None))
    return chosen.where(*given, ~_taken_back()).group_by(_outcome.category, _review.category)


def _taken_back() -> sa.Exists:
    retraction = schema.review.alias("retraction")
    return sa.exists().where(retraction.c.retracts_id == _review.id)


def _runs_under(connection: sa.Connection, calibration: Calibration) -> dict[str, int]:
    """The runs that a calibration decided in, each with its start."""
    rows = connection.execute(sa.select(schema.run.c.id, schema.run.c.fingerprint, schema.run.c.started_at))
    return {row.id: row.started_at for row in rows if row.fingerprint.get("calibration") == calibration.hash}


def _accepted_probes(connection: sa.Connection, runs: Mapping[str, int]) -> Sequence[Any]:
    """The probes that routing would have accepted in these runs, in the order of drawing, each with its first blind answer."""
    if not runs:
        return []
    start = min(runs.values()) - DAY  # the clocks of two machines may differ
    first = _first_since(connection, _entry.id, _entry.enqueued_at, start)
    given = (_review.queue_entry_id == _entry.id, _review.verdict != "retract", _review.suggestion_shown.is_(False))
    answer = sa.select(_review.category).where(*given).order_by(_review.id).limit(1).scalar_subquery()
    chosen = (
        sa.select(_entry.state, _outcome.category, answer.label("answer"))
        .select_from(schema.queue_entry.join(schema.outcome, _outcome.id == _entry.outcome_id))
        .where(_entry.id >= first, _entry.lane == "probe")
        .where(_outcome.kind == "accepted", _outcome.run_id.in_(runs))
        .order_by(_entry.id)
    )
    return connection.execute(chosen).all()


def _first_since(
    connection: sa.Connection, number: sa.Column[int], at: sa.Column[int], since: int, *of: sa.ColumnElement[bool]
) -> int:
    """The number of the first row of these that is not older, found by halving: they are written in the order of their times."""
    low, high = 0, (connection.scalar(sa.select(sa.func.max(number))) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        found = connection.scalar(sa.select(at).where(number >= middle, *of).order_by(number).limit(1))
        low, high = (low, middle) if found is None or found >= since else (middle + 1, high)
    return low


# -- what is made of it ----------------------------------------------------------------------------


def _number(day: date) -> int:
    return int(day.strftime("%Y%m%d"))


def _days(counts: Mapping[tuple[int, str, str], int], at: int) -> tuple[Day, ...]:
    totals = Counter[tuple[int, str]]()
    for (day, kind, _), n in counts.items():
        totals[day, kind] += n
    today = moment(at).date()
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    return tuple(
        Day(day=day, accepted=totals[number, "accepted"], pending=totals[number, "pending"], probes=totals[number, "probe"])
        for day in days
        for number in (_number(day),)
    )


def _agreement(said: Sequence[Any], *, shown: bool) -> Agreement:
    found = Counter[str]()
    for _, was_shown, verdict, n in said:
        if bool(was_shown) == shown:
            found[verdict] += n
    return Agreement(same=found["confirm"], other=found["correct"])


def _of_categories(counts: Mapping[tuple[int, str, str], int], said: Sequence[Any], taxonomy: Taxonomy) -> tuple[OfCategory, ...]:
    found = Counter[tuple[str, str]]()
    for (_, kind, category), n in counts.items():
        if kind == "accepted":
            found[category, kind] += n
    for suggested, _, verdict, n in said:
        found[suggested, verdict] += n
    named = {category for category, _ in found}
    known = [node.id for node in taxonomy.nodes if node.id in named]
    return tuple(
        OfCategory(
            category=one, accepted=found[one, "accepted"], confirmed=found[one, "confirm"], corrected=found[one, "correct"]
        )
        for one in [*known, *sorted(named.difference(known))]
    )
