"""How far people agree: pairs of two people, kappa, disagreements without names, and the model; the same in SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from decided import accepted, decision, pending, record, rows, ticket
from hypothesis import given
from hypothesis import strategies as st
from store.conftest import OpenStore
from store.test_queue import TAXONOMY

from llmtriage import Category, Taxonomy
from llmtriage.reviewing import Filters
from llmtriage.store import SqlStore
from llmtriage.store.agreement import Disputed, Share, agreement, disagreements, kappa, opinions
from llmtriage.store.schema import review

PAIRS = [("refund", "refund"), ("refund", "parcel"), ("parcel", "parcel"), ("login", "refund"), ("parcel", "parcel")]


@pytest.fixture
def store(open_store: OpenStore) -> SqlStore:
    """A store that asks for a second opinion on every answer."""
    return open_store(second=1.0)


def say(store: SqlStore, reviewer: str, category: str, lane: Any, *, shown: bool = True) -> Any:
    """Answer the oldest entry of a lane."""
    (item,) = store.queue.claim(reviewer, Filters(lane=lane))
    return store.queue.answer(item, reviewer, category, taxonomy=TAXONOMY, shown=shown)


def pair(store: SqlStore, first: str, second: str, number: int, *, shown: bool = True) -> None:
    """A ticket for which refund is suggested is answered by two people."""
    record(store, decision(ticket(f"文字 {number}", f"T{number}"), pending("refund")))
    say(store, "王芳", first, "pending", shown=shown)
    say(store, "李强", second, "second")


def test_nobody_has_answered(store: SqlStore) -> None:
    """Then there is no share, no interval, no kappa."""
    found = agreement(store.database)
    assert (found.people, found.kappa, found.categories, found.shown, found.unshown) == (
        Share(0, 0),
        None,
        (),
        Share(0, 0),
        Share(0, 0),
    )
    assert (found.people.share, found.people.interval) == (None, None)
    assert disagreements(store.database) == []


def test_pairs(store: SqlStore) -> None:
    """A share with its exact interval, kappa worked out by hand, and which categories are in dispute."""
    for number, (first, second) in enumerate(PAIRS):
        pair(store, first, second, number)
    found = agreement(store.database)
    assert found.people == Share(3, 5)
    assert found.people.interval == pytest.approx((0.1466, 0.9473), abs=1e-4)
    # by chance: refund 2/5 * 2/5, parcel 2/5 * 3/5, login 1/5 * 0
    assert found.kappa == pytest.approx((3 / 5 - 10 / 25) / (1 - 10 / 25))
    assert [(one.category, one.pairs, one.disagreements) for one in found.categories] == [
        ("refund", 3, 2),
        ("parcel", 3, 1),
        ("login", 1, 1),
    ]
    assert found.shown == Share(2, 5)


def test_disagreements_are_listed_without_names(store: SqlStore) -> None:
    """The latest first, with both answers; page by page."""
    for number, (first, second) in enumerate(PAIRS):
        pair(store, first, second, number, shown=number > 1)
    found = disagreements(store.database)
    assert [(one.ticket_id, one.first, one.second, one.shown) for one in found] == [
        ("T3", "login", "refund", True),
        ("T1", "refund", "parcel", False),
    ]
    assert "王芳" not in repr(found)
    assert disagreements(store.database, limit=1) == found[:1]
    assert disagreements(store.database, limit=1, before=found[0].number) == found[1:]
    assert store.queue.item(found[0].entry).ticket.id == "T3"


def test_opinions_are_told_from_ten_pairs_on(store: SqlStore) -> None:
    """By the second opinions from a review on; a former name of a category is its name now."""
    for number in range(9):
        pair(store, "refund", ["refund", "parcel", "login"][number // 3], number)
    last = max(row.id for row in rows(store, review))
    renamed = Taxonomy(categories=(Category(id="money_back", was=("refund",)), Category(id="parcel"), Category(id="login")))
    with store.database.reading() as connection:
        few = opinions(connection, 0, renamed)
        assert opinions(connection, last + 1, renamed).people == Share(0, 0)
        assert opinions(connection, last, renamed).people == Share(0, 1)
    assert (few.people, few.share, few.interval, few.kappa) == (Share(3, 9), None, None, None)
    assert few.disputed == (Disputed("login", "money_back", 3), Disputed("money_back", "parcel", 3))
    pair(store, "login", "refund", 9)
    with store.database.reading() as connection:
        enough = opinions(connection, 0, renamed)
    assert (enough.people, enough.share, enough.interval) == (Share(3, 10), 0.3, Share(3, 10).interval)
    assert enough.kappa == agreement(store.database).kappa
    assert enough.disputed[0] == Disputed("login", "money_back", 4)


def test_what_was_taken_back_is_no_pair(store: SqlStore) -> None:
    """The first or the second; given anew it is one again."""
    pair(store, "refund", "parcel", 1)
    store.queue.undo("李强")
    assert agreement(store.database).people.n == 0
    say(store, "李强", "refund", "second")
    assert agreement(store.database).people == Share(1, 1)
    store.queue.undo("王芳")
    assert agreement(store.database).people.n == 0
    assert disagreements(store.database) == []
    say(store, "王芳", "parcel", "pending")
    assert agreement(store.database).people == Share(0, 1)


def test_one_person_is_no_pair(store: SqlStore) -> None:
    """Who gave the second opinion became the first to answer."""
    pair(store, "refund", "parcel", 1)
    (_, item) = store.queue.undo("王芳")
    store.queue.release(item, "王芳")
    say(store, "李强", "parcel", "pending")
    assert agreement(store.database).people.n == 0


def test_agreement_with_the_model_by_what_was_shown(store: SqlStore) -> None:
    """Blind answers count among those not shown, second opinions not at all; where the model said nothing there is nothing to agree with."""
    pair(store, "refund", "login", 1)
    pair(store, "parcel", "login", 2)
    pair(store, "parcel", "refund", 3, shown=False)
    for number, category in enumerate(["refund", "refund", "parcel"]):
        record(store, decision(ticket(f"drawn {number}", f"P{number}"), accepted("refund"), probe=0.5))
        say(store, "陈静", category, "probe")
    record(store, decision(ticket("nothing", "N"), pending(None, "refused", score=None)))
    say(store, "陈静", "refund", "pending")
    found = agreement(store.database)
    assert (found.shown, found.unshown) == (Share(1, 2), Share(2, 4))


def test_a_category_that_was_renamed_is_one_category(store: SqlStore) -> None:
    """Whether a person said it first or second, or the model did; one that was split is what it was called."""
    for number, (first, second) in enumerate([("refund", "money_back"), ("money_back", "refund"), ("parcel", "refund")]):
        pair(store, "refund", "refund", number, shown=False)
        with store.database.writing() as connection:
            given = sa.select(sa.func.max(review.c.id)).where(review.c.lane == sa.bindparam("of"))
            for lane, category in (("pending", first), ("second", second)):
                number_of = connection.execute(given, {"of": lane}).scalar_one()
                connection.execute(review.update().where(review.c.id == number_of).values(category=category, verdict="correct"))
    now = Taxonomy(categories=(Category(id="money_back", was=("refund",)), Category(id="parcel")))
    before, after = agreement(store.database), agreement(store.database, now)
    assert (before.people, after.people) == (Share(0, 3), Share(2, 3))
    assert (before.unshown, after.unshown) == (Share(1, 3), Share(2, 3))
    assert [(one.category, one.pairs) for one in after.categories] == [("money_back", 3), ("parcel", 1)]
    assert [(one.first, one.second) for one in disagreements(store.database, now)] == [("parcel", "money_back")]
    assert len(disagreements(store.database)) == 3


def test_kappa_where_there_is_nothing_to_tell_apart() -> None:
    """No pair, or one category alone."""
    assert kappa({}) is None
    assert kappa({("a", "a"): 7}) is None
    assert kappa({("a", "b"): 3}) == 0


_NAMES = st.sampled_from("abcd")


@given(st.dictionaries(st.tuples(_NAMES, _NAMES), st.integers(1, 50), min_size=1))
def test_kappa_by_its_definition(counted: dict[tuple[str, str], int]) -> None:
    """Agreement above chance, as a share of what chance leaves; who is first changes nothing."""
    found = kappa(counted)
    if found is None:
        assert len({name for both in counted for name in both}) == 1
        return
    n = sum(counted.values())
    observed = sum(k for (a, b), k in counted.items() if a == b) / n
    share = [{name: sum(k for both, k in counted.items() if both[side] == name) / n for name in "abcd"} for side in (0, 1)]
    chance = sum(share[0][name] * share[1][name] for name in "abcd")
    assert found == pytest.approx((observed - chance) / (1 - chance), abs=1e-9)
    assert kappa({(b, a): k for (a, b), k in counted.items()}) == pytest.approx(found, abs=1e-9)
