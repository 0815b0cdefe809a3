"""What other systems are told: events of the store become deliveries, which wait until they have arrived or are given up.

An event is written with what it tells of, and numbers of events grow as transactions are committed, for writers take turns. So a callback needs
only the number of the last event it has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from llmtriage.errors import UnknownNameError
from llmtriage.store import schema
from llmtriage.store.recording import DAY, now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from llmtriage.store.store import SqlStore

Told = Literal["accepted", "reviewed"]
"""What is told: what a model routed by itself; what a person answered or took back."""

HELD = 60_000_000
"""Microseconds for which a process has deliveries to itself."""
KEPT = 30 * DAY
"""Microseconds for which one that has arrived is kept."""

_AT_ONCE = 500  # events of one transaction
_ANSWERS = ("confirm", "correct")
_TYPES = {
    "outcome": "ticket.accepted",
    "confirm": "ticket.reviewed",
    "correct": "ticket.reviewed",
    "retract": "ticket.review_retracted",
}
_KINDS: Mapping[Told, tuple[str, ...]] = {"accepted": ("outcome",), "reviewed": (*_ANSWERS, "retract")}
_callback, _delivery, _event, _outcome = schema.callback.c, schema.delivery.c, schema.event.c, schema.outcome.c
_review, _ticket = schema.review.c, schema.ticket.c
_ARRIVED = _delivery.delivered_at.is_not(None)
_GIVEN_UP = sa.and_(_delivery.next_at.is_(None), ~_ARRIVED, _delivery.body["type"].as_string().is_not(None))


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something to tell.

    Attributes:
        id: Its number.
        message: What it is called when it is sent, each time the same: who gets it twice knows by that.
        body: What is told.
        attempts: How often it was sent in vain.
    """

    id: int
    message: str
    body: Mapping[str, Any]
    attempts: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a callback does.

    Attributes:
        callback: Its name.
        waiting: What is to be told yet.
        given_up: What was given up.
        arrived: What arrived in the last month.
    """

    callback: str
    waiting: int
    given_up: int
    arrived: int


def follow(store: SqlStore, callback: str) -> None:
    """Begin with the newest event, where a callback is new; one that is known goes on where it was. Raises StoreError."""
    last = sa.select(sa.func.coalesce(sa.func.max(_event.id), 0)).scalar_subquery()
    insert = store.database.insert(schema.callback).values(name=callback, last_event=last)
    with store.database.writing() as connection:
        connection.execute(insert.on_conflict_do_nothing())


def fill(store: SqlStore, callback: str, told: Collection[Told], team: Callable[[str], str | None]) -> bool:
    """Make deliveries of the next events.

    Args:
        store: Where.
        callback: For whom; known by `follow`.
        told: What is told.
        team: The team of a category that a person chose.

    Returns:
        Whether there were events.

    Raises:
        StoreError: The store cannot be written.
    """
    with store.database.reading() as connection:  # without the lock that writers need
        if connection.execute(_unseen(callback).limit(1)).first() is None:
            return False
    kinds = {kind for one in told for kind in _KINDS[one]}
    with store.database.writing() as connection:
        events = connection.execute(_unseen(callback).order_by(_event.id).limit(_AT_ONCE)).all()
        bodies = _bodies(connection, [one for one in events if one.kind in kinds], team)
        rows = [
            {
                "callback": callback,
                "event_id": one.id,
                "ticket_id": one.subject_id,
                "body": bodies[one.id],
                "attempts": 0,
                "next_at": now(),
            }
            for one in events
            if one.id in bodies
        ]
        if rows:
            connection.execute(store.database.insert(schema.delivery).on_conflict_do_nothing(), rows)
        if events:
            seen = schema.callback.update().where(_callback.name == callback)
            connection.execute(seen.values(last_event=events[-1].id))
    return True


def take(store: SqlStore, callback: str, most: int) -> list[Delivery]:
    """Deliveries whose time has come and that nobody holds, those due first before the others; held from now on. Raises StoreError."""
    at = now()
    due = (
        sa.select(schema.delivery)
        .where(_delivery.callback == callback, _delivery.next_at <= at)
        .where(sa.or_(_delivery.held_until.is_(None), _delivery.held_until < at))
        .order_by(_delivery.next_at, _delivery.id)
        .limit(most)
    )
    with store.database.reading() as connection:
        if connection.execute(due.limit(1)).first() is None:
            return []
    with store.database.writing() as connection:
        rows = connection.execute(due).all()
        held = schema.delivery.update().where(_delivery.id.in_([row.id for row in rows]))
        connection.execute(held.values(held_until=at + HELD))
    mark = store.queue.mark
    return [Delivery(row.id, f"{mark}_{row.event_id}", row.body, row.attempts) for row in rows]


def arrived(store: SqlStore, deliveries: Mapping[int, int]) -> None:
    """Note deliveries that have arrived, each with the status it was answered with. Raises StoreError."""
    at = now()
    _note(store, [{"number": one, "status": status, "next_at": None, "delivered_at": at} for one, status in deliveries.items()])


def failed(store: SqlStore, deliveries: Mapping[int, tuple[int | None, float | None]]) -> None:
    """Note attempts in vain: each with the status if there was an answer, and the seconds until the next attempt; None: there is none.

    Raises:
        StoreError: The store cannot be written.
    """
    _note(store, _again(deliveries))


def put_off(store: SqlStore, deliveries: Mapping[int, tuple[int | None, float]]) -> None:
    """Note attempts after which the receiver asked to be left alone: each with the status and the seconds until the next. They do not count.

    Raises:
        StoreError: The store cannot be written.
    """
    _note(store, _again(deliveries), counted=0)


def forget(store: SqlStore) -> None:
    """Delete what arrived long ago. Raises StoreError."""
    old = _delivery.delivered_at < now() - KEPT
    with store.database.reading() as connection:
        found = connection.scalar(sa.select(_delivery.id).where(old).limit(1))
    if found is not None:
        with store.database.writing() as connection:
            connection.execute(schema.delivery.delete().where(old))


def standings(store: SqlStore) -> list[Standing]:
    """How each callback does, by their names. Raises StoreError."""
    counted = [sa.func.count(sa.case((which, 1))) for which in (_delivery.next_at.is_not(None), _GIVEN_UP, _ARRIVED)]
    joined = schema.callback.outerjoin(schema.delivery, _delivery.callback == _callback.name)
    chosen = sa.select(_callback.name, *counted).select_from(joined).group_by(_callback.name).order_by(_callback.name)
    with store.database.reading() as connection:
        return [Standing(*row) for row in connection.execute(chosen)]


def retry(store: SqlStore, callback: str | None = None) -> int:
    """Have what was given up told again, by one callback or (None) by all; what is told of an erased ticket is gone.

    Returns:
        How many.

    Raises:
        UnknownNameError: There is no such callback.
        StoreError: The store cannot be written.
    """
    again = schema.delivery.update().where(_GIVEN_UP).values(next_at=now(), attempts=0)
    with store.database.writing() as connection:
        names = connection.scalars(sa.select(_callback.name).order_by(_callback.name)).all()
        if callback is not None and callback not in names:
            raise UnknownNameError.among("callback", callback, names, file=store.name)
        return connection.execute(again if callback is None else again.where(_delivery.callback == callback)).rowcount


def _again(deliveries: Mapping[int, tuple[int | None, float | None]]) -> list[dict[str, Any]]:
    at = now()
    return [
        {"number": one, "status": status, "next_at": None if wait is None else at + round(wait * 1e6), "delivered_at": None}
        for one, (status, wait) in deliveries.items()
    ]


def _note(store: SqlStore, rows: Sequence[Mapping[str, Any]], *, counted: int = 1) -> None:
    if not rows:
        return
    changed: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in ("status", "next_at", "delivered_at")}
    update = schema.delivery.update().where(_delivery.id == sa.bindparam("number"), _delivery.next_at.is_not(None))
    update = update.values(**changed, held_until=None, attempts=_delivery.attempts + counted)
    named = [{"number": row["number"], **{f"new_{name}": row[name] for name in changed}} for row in rows]
    with store.database.writing() as connection:
        connection.execute(update, named)


def _unseen(callback: str) -> sa.Select[Any]:
    last = sa.select(_callback.last_event).where(_callback.name == callback).scalar_subquery()
    return sa.select(schema.event).where(_event.id > last)


def _bodies(connection: sa.Connection, events: Sequence[Any], team: Callable[[str], str | None]) -> dict[int, dict[str, Any]]:
    """What is told of events, by their numbers. Of an erased ticket nothing is told: nobody would know which it is."""
    routed = {one.data["outcome"]: one for one in events if one.kind == "outcome"}
    answered = {one.data["review"]: one for one in events if one.kind != "outcome" and one.data.get("lane") != "second"}
    found = {}
    for row in connection.execute(_routed(routed)) if routed else ():
        found[routed[row.number].id] = _body(routed[row.number], row, team=row.team, confidence=row.confidence, score=row.score)
    for row in connection.execute(_answered(answered)) if answered else ():
        one = answered[row.number]
        found[one.id] = _body(one, row, team=team(row.category), reviewer=row.reviewer)
    return found


def _routed(outcomes: Collection[int]) -> sa.Select[Any]:
    columns = (_outcome.category, _outcome.team, _outcome.confidence, _outcome.score, _outcome.run_id.label("version"))
    joined = schema.outcome.join(schema.ticket, _outcome.ticket_id == _ticket.id)
    chosen = sa.select(_outcome.id.label("number"), *columns, _ticket.external_id, _ticket.source).select_from(joined)
    return chosen.where(
        _outcome.id.in_(outcomes), _outcome.kind == "accepted", _outcome.probe.is_(None), _ticket.erased_at.is_(None)
    )


def _answered(reviews: Collection[int]) -> sa.Select[Any]:
    joined = schema.review.join(schema.ticket, _review.ticket_id == _ticket.id)
    columns = (_review.category, _review.reviewer, sa.null().label("version"), _ticket.external_id, _ticket.source)
    chosen = sa.select(_review.id.label("number"), *columns).select_from(joined)
    return chosen.where(_review.id.in_(reviews), _review.lane != "second", _ticket.erased_at.is_(None))


def _body(
    event: Any,
    row: Any,
    *,
    team: str | None,
    confidence: float | None = None,
    score: float | None = None,
    reviewer: str | None = None,
) -> dict[str, Any]:
    """What is told; never the text."""
    data = {
        "id": row.external_id,
        "source": row.source,
        "category": row.category,
        "team": team,
        "confidence": confidence,
        "score": score,
        "version": row.version,
        "reviewer": reviewer,
    }
    at = datetime.fromtimestamp(event.at / 1e6, UTC).isoformat()
    return {"type": _TYPES[event.kind], "timestamp": at, "data": data}
