"""How things stand: counts that are right, and an audit that takes the probes as they were drawn."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from decided import accepted, decision, pending, record, ticket
from drawn import SHOP, decide, erase
from overseen import accept_probes, decide_probes, promise, promised, run_under

from llmtriage.probability.audit import audits_needed
from llmtriage.reviewing import Filters
from llmtriage.store import SqlStore, schema
from llmtriage.store.overview import Agreement, Audited, Day, OfCategory, _first_since, audited, overview

OpenStore = Callable[..., SqlStore]


def answer(store: SqlStore, category: str, *, shown: bool, by: str = "王芳") -> None:
    """A person answers the oldest ticket that waits."""
    (item,) = store.queue.claim(by, Filters(lane="pending"))
    store.queue.answer(item, by, category, taxonomy=SHOP, shown=shown)


def only(store: SqlStore, calibration: Any) -> Audited:
    """The one promise of a calibration."""
    (found,) = audited(store.database, SHOP, calibration)
    return found


# -- counts ----------------------------------------------------------------------------------------


def test_nothing_is_told_of_an_empty_store(store: SqlStore) -> None:
    """No figure that would have to be made up."""
    found = overview(store, SHOP, None)
    assert (len(found.days), found.today.tickets, found.waiting.entries, found.waiting.oldest) == (30, 0, 0, None)
    assert found.shown == found.unshown == found.blind == Agreement()
    assert found.shown.share is None
    assert (found.categories, found.promises) == ((), None)


def test_days_are_counted_by_what_became_of_tickets(store: SqlStore) -> None:
    """Thirty days, those without a ticket among them; what is older is not told."""
    record(store, decision(ticket("a", "T1"), accepted()), decision(ticket("b", "T2"), pending()))
    record(store, decision(ticket("c", "T3"), accepted(), probe=0.5), decision(ticket("d", "T4"), accepted("parcel")))
    today = overview(store, SHOP, None).today.day
    old = {29: 7, 30: 9}
    rows = [
        {"day": int((today - timedelta(days=back)).strftime("%Y%m%d")), "kind": "accepted", "category": "login", "n": n}
        for back, n in old.items()
    ]
    with store.database.writing() as connection:
        connection.execute(schema.daily_count.insert(), rows)
    found = overview(store, SHOP, None)
    assert found.today == Day(day=today, accepted=2, pending=1, probes=1)
    assert found.days[0] == Day(day=today - timedelta(days=29), accepted=7)
    assert [one.tickets for one in found.days[1:-1]] == [0] * 28
    assert found.categories == tuple(
        OfCategory(category=one, accepted=n) for one, n in (("refund", 1), ("parcel", 1), ("login", 7))
    )
    assert found.waiting.lanes == {"pending": 1, "probe": 1}
    assert found.waiting.oldest is not None
    assert found.waiting.oldest <= found.at


def test_agreement_is_told_apart_by_what_people_saw(store: SqlStore) -> None:
    """What was taken back is not counted, nor what had no suggestion; a blind answer is compared with what routing said."""
    waiting = [pending("refund"), pending("refund"), pending("parcel"), pending(None), pending("login")]
    record(store, *(decision(ticket(f"t {n}", f"T{n}"), one) for n, one in enumerate(waiting)))
    for category, shown in (("refund", True), ("login", True), ("parcel", False), ("parcel", False), ("refund", False)):
        answer(store, category, shown=shown)
    store.queue.undo("王芳")
    accept_probes(store, run_under(promised()), ["P1", "P2", "P3"])
    decide(store, "P1", "refund", lane="probe")
    decide(store, "P2", "login", lane="probe")
    found = overview(store, SHOP, None)
    assert (found.shown, found.unshown) == (Agreement(same=1, other=1), Agreement(same=1))
    assert (found.blind, found.blind.share) == (Agreement(same=1, other=1), 0.5)
    assert found.categories == (
        OfCategory(category="refund", confirmed=1, corrected=1),
        OfCategory(category="parcel", confirmed=1),
    )


def test_a_category_that_is_gone_is_still_told(store: SqlStore) -> None:
    """After those of the taxonomy, as it was called."""
    record(store, decision(ticket("a", "T1"), accepted("<b>gone")), decision(ticket("b", "T2"), accepted("login")))
    assert [one.category for one in overview(store, SHOP, None).categories] == ["login", "<b>gone"]


# -- the audit -------------------------------------------------------------------------------------


def test_probes_count_up_to_the_oldest_that_waits(store: SqlStore) -> None:
    """Those behind it are told, and count later."""
    calibration = promised()
    accept_probes(store, run_under(calibration), ["P0", "P1", "P2", "P3"])
    for one, category in (("P0", "refund"), ("P1", "login"), ("P3", "refund")):
        decide(store, one, category, lane="probe")
    found = only(store, calibration)
    assert (found.audit.errors, found.audit.audits, found.waiting, found.behind) == (1, 2, 1, 1)
    decide(store, "P2", "parcel", lane="probe")
    found = only(store, calibration)
    assert (found.audit.errors, found.audit.audits, found.waiting, found.behind) == (2, 4, 0, 0)
    assert found.audit.state == "early"


def test_what_routing_would_not_have_accepted_is_no_audit(store: SqlStore) -> None:
    """Nor does it hold up the others while it waits; nor does what waited for another reason count."""
    calibration = promised()
    run = run_under(calibration)
    record(store, decision(ticket("a", "W"), pending(), run=run, probe=0.02), decision(ticket("b", "N"), pending(), run=run))
    accept_probes(store, run, ["P0"])
    decide(store, "P0", "login", lane="probe")
    assert (only(store, calibration).audit.audits, only(store, calibration).waiting) == (1, 0)


def test_a_new_calibration_begins_anew(store: SqlStore) -> None:
    """With the probes drawn under it, whichever engine settings; not with older ones that it decides again."""
    old, new = promised(), promised(words="another")
    accept_probes(store, run_under(old), ["P0", "P1"])
    decide_probes(store, ["login", "login"])
    accept_probes(store, run_under(new, "run-d"), ["P0", "P1", "P2"])
    accept_probes(store, run_under(new, "run-e"), ["P3"])
    decide_probes(store, ["refund", "login"])
    assert (only(store, old).audit.errors, only(store, old).audit.audits) == (2, 2)
    assert (only(store, new).audit.errors, only(store, new).audit.audits) == (1, 2)
    assert only(store, promised(words="a third")).audit.audits == 0


def test_the_first_blind_answer_is_the_audit(store: SqlStore) -> None:
    """A mind changed after a look changes nothing, nor does taking an answer back; an erased ticket holds up nobody."""
    calibration = promised()
    accept_probes(store, run_under(calibration), ["P0", "P1", "P2"])
    decide(store, "P0", "login", lane="probe")
    _, item = store.queue.undo("王芳")
    assert (only(store, calibration).audit.errors, only(store, calibration).waiting) == (1, 2)
    store.queue.answer(item, "王芳", "refund", taxonomy=SHOP, shown=False)
    erase(store, "P1")
    decide(store, "P2", "refund", lane="probe")
    erase(store, "P2")
    found = only(store, calibration)
    assert (found.audit.errors, found.audit.audits, found.waiting, found.behind) == (1, 2, 0, 0)


def test_the_promise_is_broken_or_holds(store: SqlStore) -> None:
    """Broken where many are wrong; it holds from as many right ones on as it takes."""
    calibration = promised()
    needed = audits_needed(0.05, 0.05)
    accept_probes(store, run_under(calibration), [f"P{n}" for n in range(needed + 20)])
    decide_probes(store, ["refund"] * needed)
    found = only(store, calibration)
    assert (found.audit.state, found.audit.errors, found.audit.audits, found.behind) == ("holds", 0, needed, 0)
    decide_probes(store, ["login"] * 20)
    found = only(store, calibration)
    assert (found.audit.state, found.audit.errors, found.waiting) == ("broken", 20, 0)


def test_each_promise_has_its_own_audit(store: SqlStore) -> None:
    """And its share of what alarms may fail."""
    calibration = promised(promise("refund", "parcel"), promise("login", alpha=0.01))
    run = run_under(calibration)
    accept_probes(store, run, ["P0", "P1"])
    accept_probes(store, run, ["P2"], "login")
    decide_probes(store, ["refund", "login", "login"])
    first, second = audited(store.database, SHOP, calibration)
    assert (first.audit.errors, first.audit.audits, first.audit.alpha) == (1, 2, 0.05)
    assert (second.audit.errors, second.audit.audits, second.audit.alpha) == (0, 1, 0.01)
    assert first.audit.delta == second.audit.delta == pytest.approx(0.025)


def test_a_leaf_of_the_department_offered_is_right(store: SqlStore) -> None:
    """A leaf of another one, or one that is gone from the taxonomy, is wrong."""
    from labelled import SHOP as DEPARTMENTS

    calibration = promised(promise("sales", "login"))
    accept_probes(store, run_under(calibration), ["P0", "P1", "P2"], "sales")
    decide_probes(store, ["parcel", "login", "gone"])
    (found,) = audited(store.database, DEPARTMENTS, calibration)
    assert (found.audit.errors, found.audit.audits) == (2, 3)


# -- how it is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [False, True])
def test_the_first_row_since_a_time_is_found(store: SqlStore, *, gaps: bool) -> None:
    """As a look at all of them finds it, also where numbers are missing."""
    draw = random.Random(4)  # noqa: S311
    event = schema.event
    numbers = sorted(draw.sample(range(1, 500), 60)) if gaps else list(range(1, 61))
    times = sorted(draw.choices(range(40), k=60))
    common = {"actor": "a", "kind": "k", "subject": "s", "data": {}}
    rows = [{"id": number, "at": 10**6 + at, **common} for number, at in zip(numbers, times, strict=True)]
    with store.database.writing() as connection:
        connection.execute(event.insert(), rows)
        for since in range(-1, 42):
            least = sa.select(sa.func.min(event.c.id)).where(event.c.at >= 10**6 + since)
            found = sa.select(sa.func.min(event.c.id)).where(
                event.c.id >= _first_since(connection, event.c.id, event.c.at, 10**6 + since)
            )
            assert connection.scalar(least) == connection.scalar(found)


def test_days_are_those_of_utc(store: SqlStore) -> None:
    """As the counts are."""
    assert overview(store, SHOP, None).today.day == overview(store, SHOP, None).at.date() >= date(2026, 1, 1)
