"""Second opinions: drawn by the ticket, blind, of another person, and standing for nothing; the same in SQLite and PostgreSQL."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, get_args

import pytest
from decided import OTHER_RUN, accepted, decision, entries, pending, record, rows, ticket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store.conftest import OpenStore
from store.test_queue import TAXONOMY, Later, answer, later, names, wait

from llmtriage.errors import InputError, OutdatedError
from llmtriage.outcomes import Reason
from llmtriage.reviewing import Filled, Filters, Item, Order
from llmtriage.store import SqlStore, answered, erasing, example_sets, schema
from llmtriage.store.records import draw
from llmtriage.store.ticket_history import history

__all__ = ["later"]  # the fixture


@pytest.fixture
def store(open_store: OpenStore) -> SqlStore:
    """A store that asks for a second opinion on every answer."""
    return open_store(second=1.0)


def first_answer(store: SqlStore, category: str = "parcel", reviewer: str = "王芳") -> Item:
    """One ticket waits and is answered; its second opinion waits."""
    wait(store, 1)
    (item,) = store.queue.claim(reviewer)
    answer(store, item, reviewer, category)
    return item


def second_of(store: SqlStore, reviewer: str = "李强") -> Item:
    """What another person is lent."""
    (item,) = store.queue.claim(reviewer)
    assert item.lane == "second"
    return item


def standing(store: SqlStore) -> list[Any]:
    """The answers that stand."""
    with store.database.reading() as connection:
        return list(connection.execute(schema.standing()))


def test_another_person_is_asked_and_told_nothing(store: SqlStore) -> None:
    """Neither the suggestion nor the first answer; the first person never gets it."""
    first_answer(store)
    assert store.queue.claim("王芳") == []
    item = second_of(store)
    assert item.blind
    assert item.reasons == (Reason(code="second"),)
    assert (item.suggestion, item.candidates, item.confidence, item.score) == (None, (), None, None)
    assert store.queue.answers_to(item) == ()
    assert store.queue.similar(item) == ()
    assert store.queue.counts().lanes == {"second": 1}
    assert store.queue.counts().reasons == {"second": 1}
    assert store.queue.page(Filters(lane="second", reason="second")).items[0].entry == item.entry


def test_its_answer_stands_for_nothing(store: SqlStore) -> None:
    """The first one stands, is the label, and is no label twice; nobody is asked a third time."""
    first_answer(store)
    given = answer(store, second_of(store), "李强", "login")
    assert (given.lane, given.verdict, given.suggested, given.shown) == ("second", "correct", None, False)
    assert not entries(store)
    assert [(row.reviewer, row.category) for row in standing(store)] == [("王芳", "parcel")]
    assert [(label.reviewer, label.category, label.lane) for label in store.queue.labels()] == [("王芳", "parcel", "pending")]
    assert answered.count_answers(store.database) == {"probe": 0, "sample": 0, "pending": 1, "all": 1}
    (one,) = answered.answered(store.database, "all", "run-1")
    assert (one.category, one.changed) == ("parcel", False)
    assert {row.kind for row in rows(store, schema.daily_count)} == {"pending", "correct", "second correct"}
    assert [row.kind for row in rows(store, schema.event)] == ["outcome", "correct", "second correct"]


def test_a_ticket_with_a_second_opinion_is_an_example_still(store: SqlStore) -> None:
    """It was not drawn to be evidence."""
    first_answer(store)
    answer(store, second_of(store), "李强", "login")
    assert example_sets.freeze(store.database, "set-1", TAXONOMY).tickets == 1


def test_a_share_is_drawn_by_the_ticket(open_store: OpenStore) -> None:
    """With the store's key: the same tickets each time, and about as many as wanted."""
    store = open_store(second=0.4)
    record(store, *[decision(ticket(f"text {n}", f"T{n}"), pending()) for n in range(60)])
    for item in store.queue.claim("王芳", n=60):
        answer(store, item)
    drawn = {item.ticket.id for item in store.queue.each()}
    assert drawn == {f"T{n}" for n in range(60) if draw(store.key, "second", f"id:T{n}") < 0.4}
    assert 0 < len(drawn) < 60
    assert {entry.inclusion_p for entry in entries(store)} == {0.4}


@pytest.mark.parametrize("drawn_as", ["probe", "sample"])
def test_only_what_waited_is_asked_about_again(store: SqlStore, drawn_as: str) -> None:
    """The answer to a probe or to a planned sample is one already that nobody led."""
    record(store, decision(ticket(), pending(), probe=0.5))
    with store.database.writing() as connection:
        connection.execute(schema.queue_entry.update().values(lane=drawn_as))
    (item,) = store.queue.claim("王芳")
    answer(store, item)
    assert not entries(store)


def test_nobody_gives_a_second_opinion_on_an_own_answer(store: SqlStore) -> None:
    """Not by its number either, nor in a file."""
    first_answer(store)
    (item,) = store.queue.page().items
    with pytest.raises(OutdatedError, match=r"second opinion on an own answer; leave it to another person$"):
        answer(store, item, "王芳")
    filled = Filled(
        entry=item.entry, text_id=item.text_id, ticket_id="T1", category="login", reviewer="王芳", shown=False, line=2
    )
    with pytest.raises(OutdatedError, match="an own answer"):
        store.queue.fill([filled], TAXONOMY)
    answer(store, item, "李强")


def test_a_person_is_told_of_what_the_person_may_be_lent(store: SqlStore) -> None:
    """Neither counts nor pages, in any order, tell of a second opinion on an own answer, nor of what the person skipped."""
    first_answer(store)
    for reviewer, n in {"王芳": 0, "李强": 1}.items():
        own = Filters(open_to=reviewer)
        assert store.queue.counts(own).entries == n
        assert {len(store.queue.page(own, order).items) for order in get_args(Order)} == {n}
        assert len(store.queue.claim(reviewer, order="useful")) == n
    store.queue.skip(second_of(store), "李强")
    assert store.queue.counts(Filters(open_to="李强")).oldest is None
    assert store.queue.counts().entries == len(store.queue.page().items) == 1


def test_answers_of_a_file_are_asked_about_too(store: SqlStore) -> None:
    """As those given one by one."""
    wait(store, 3)
    filled = [
        Filled(
            entry=item.entry,
            text_id=item.text_id,
            ticket_id=item.ticket.id,
            category="login",
            reviewer="王芳",
            shown=True,
            line=2,
        )
        for item in store.queue.each()
    ]
    assert store.queue.fill(filled, TAXONOMY) == 3
    assert store.queue.fill(filled, TAXONOMY) == 0
    assert [entry.lane for entry in entries(store)] == ["second"] * 3
    assert store.queue.claim("王芳", n=3) == []


def test_an_answer_taken_back_is_not_asked_about(store: SqlStore) -> None:
    """Whoever holds the second opinion is told; given again, it waits again."""
    first = first_answer(store)
    held = second_of(store)
    store.queue.undo("王芳")
    assert [entry.lane for entry in entries(store)] == ["pending"]
    with pytest.raises(OutdatedError, match="waits no longer"):
        answer(store, held, "李强")
    (again,) = store.queue.claim("王芳")
    assert again.entry == first.entry
    answer(store, again, category="refund")
    (second,) = store.queue.claim("李强")
    assert (second.entry, second.lane, second.round) == (held.entry, "second", 2)
    with pytest.raises(OutdatedError):
        answer(store, held, "李强")
    answer(store, second, "李强")


def test_a_second_opinion_taken_back_waits_again(store: SqlStore) -> None:
    """And the first answer stands all the time."""
    first_answer(store)
    given = second_of(store)
    answer(store, given, "李强", "login")
    taken, item = store.queue.undo("李强")
    assert (taken.category, item.lane, item.round, item.held_by) == ("login", "second", 2, "李强")
    assert [row.category for row in standing(store)] == ["parcel"]
    answer(store, item, "李强", "refund")
    assert [row.category for row in standing(store)] == ["parcel"]


def test_a_second_opinion_that_was_given_is_not_asked_for_again(store: SqlStore) -> None:
    """Though the first answer was taken back and given anew, by whoever."""
    first_answer(store)
    answer(store, second_of(store), "李强", "login")
    store.queue.undo("王芳")
    (item,) = store.queue.claim("王芳")
    answer(store, item)
    assert not entries(store)


def test_who_gave_the_second_opinion_may_become_the_first(store: SqlStore) -> None:
    """Then the second opinion is another person's."""
    first_answer(store)
    answer(store, second_of(store), "李强", "login")
    store.queue.undo("王芳")
    store.queue.undo("李强")
    pending_item, second_item = store.queue.item(1), store.queue.item(2)
    assert (second_item.state, second_item.held_by) == ("withdrawn", None)
    store.queue.release(pending_item, "王芳")
    answer(store, pending_item, "李强")
    assert store.queue.claim("李强", n=2) == []
    assert store.queue.item(2).held_by is None
    with pytest.raises(OutdatedError):
        answer(store, store.queue.item(2), "李强")
    assert [item.entry for item in store.queue.claim("陈静", n=2)] == [2]


def test_the_own_answer_is_taken_back_by_the_name_of_the_ticket(store: SqlStore) -> None:
    """Which finds the entry of the second opinion, for that one waits."""
    first_answer(store)
    waits = store.queue.item("T1")
    assert waits.lane == "second"
    taken, item = store.queue.undo("王芳", waits.entry)
    assert (taken.category, item.lane) == ("parcel", "pending")
    with pytest.raises(InputError, match="no answer to entry"):
        store.queue.undo("李强", waits.entry)


def test_a_lease_on_a_second_opinion_ends(store: SqlStore, later: Later) -> None:
    """As on any other; the first person does not get it then either."""
    first_answer(store)
    held = second_of(store)
    later(11)
    assert store.queue.claim("王芳") == []
    (item,) = store.queue.claim("陈静")
    assert (item.entry, item.token) == (held.entry, held.token + 1)
    with pytest.raises(OutdatedError, match="is with 陈静 now"):
        answer(store, held, "李强")


def test_an_erased_ticket_asks_nobody(store: SqlStore) -> None:
    """And what was said of it keeps no note."""
    first_answer(store)
    erasing.erase(store, [1])
    assert not entries(store)
    assert store.queue.claim("李强") == []


def test_a_second_opinion_leaves_a_newer_decision_alone(store: SqlStore, open_store: OpenStore) -> None:
    """Another run of the same text asks nobody; a newer text waits by itself."""
    first_answer(store)
    later_run = open_store(second=1.0)
    record(later_run, decision(ticket("退款什么时候到账", "T1"), pending(), run=OTHER_RUN))
    assert [entry.lane for entry in entries(store)] == ["second"]
    record(later_run, decision(ticket("钱到了", "T1"), pending(), run=OTHER_RUN))
    assert sorted(entry.lane for entry in entries(store)) == ["pending", "second"]
    assert names(store.queue.each(Filters(lane="pending"))) == ["T1"]


def test_an_answered_entry_tells_nothing_while_a_second_opinion_waits(store: SqlStore) -> None:
    """Neither what was suggested nor what was answered, but to who is not asked for one; with the second answer all see it."""
    first = first_answer(store)
    asked = store.queue.item(first.entry)
    assert (asked.state, asked.blind, asked.suggestion, asked.candidates, asked.score) == ("done", True, None, (), None)
    assert asked.reasons == (Reason(code="second"),)
    assert (store.queue.answers_to(asked), store.queue.similar(asked)) == ((), ())
    assert store.queue.item("T1", sees_all=True).entry != first.entry
    assert store.queue.item(first.entry, sees_all=True).suggestion == "refund"
    answer(store, second_of(store), "李强", "login")
    told = store.queue.item(first.entry)
    assert (told.blind, told.suggestion, [one.category for one in store.queue.answers_to(told)]) == (False, "refund", ["parcel"])


def test_where_a_ticket_went_since_is_not_told_to_who_may_be_asked(store: SqlStore) -> None:
    """Another version accepts the text that people are asked about; who acts on it is told."""
    first_answer(store)
    record(store, decision(ticket("退款什么时候到账"), accepted("login"), run=OTHER_RUN))
    for sees_all, told in ((True, "login"), (False, None)):
        known = history(store.database, "T1", sees_all=sees_all)
        assert known.outcomes[0].version == OTHER_RUN.id
        assert getattr(known.outcomes[0].outcome, "category", None) == told


def test_an_answered_text_that_is_drawn_as_a_probe_tells_nothing_and_waits_nowhere_else(open_store: OpenStore) -> None:
    """Neither by its first entry nor by taking the answer back."""
    store = open_store()
    record(store, decision(ticket(), pending()))
    (first,) = store.queue.claim("王芳")
    answer(store, first, "王芳", "parcel")
    record(open_store(), decision(ticket(), accepted("login"), run=OTHER_RUN, probe=0.5))
    asked = store.queue.item(first.entry)
    assert (asked.state, asked.blind, asked.suggestion, asked.reasons) == ("done", True, None, (Reason(code="probe"),))
    assert store.queue.answers_to(asked) == ()
    _, item = store.queue.undo("王芳", first.entry)
    assert item.state == "withdrawn"
    assert [entry.lane for entry in entries(store)] == ["probe"]


def test_an_answer_that_is_asked_for_again_is_no_example_to_who_may_be_asked(store: SqlStore, open_store: OpenStore) -> None:
    """Of a ticket like it; once the second one is there, it is."""
    first = first_answer(store)
    record(store, decision(ticket("退款什么时候能到账", "T9"), pending()))
    like = store.queue.item("T9")
    assert store.queue.similar(like) == ()
    answer(store, second_of(store, "赵敏"), "赵敏", "parcel")
    assert [label.text_id for label in open_store(second=1.0).queue.similar(like)] == [first.text_id]


def test_a_second_opinion_taken_back_after_the_first_waits_no_longer(store: SqlStore) -> None:
    """There is nothing to compare it with; the first answer given again asks for it again."""
    first = first_answer(store)
    second = second_of(store)
    answer(store, second, "李强", "login")
    _, again = store.queue.undo("王芳", first.entry)
    taken, item = store.queue.undo("李强", second.entry)
    assert (taken.lane, item.state, item.held_by) == ("second", "withdrawn", None)
    answer(store, again, "王芳", "parcel")
    assert second_of(store, "赵敏").entry == second.entry


def test_who_took_the_first_answer_over_is_not_lent_the_second(store: SqlStore) -> None:
    """Taken back by who has given the first since, it waits for others."""
    first = first_answer(store)
    second = second_of(store)
    answer(store, second, "李强", "login")
    _, again = store.queue.undo("王芳", first.entry)
    store.queue.release(again, "王芳")
    answer(store, store.queue.item(first.entry), "李强", "parcel")
    _, item = store.queue.undo("李强", second.entry)
    assert (item.lane, item.state, item.held_by) == ("pending", "open", "李强")  # the latest answer to this ticket
    answer(store, item, "李强", "parcel")
    with store.database.writing() as connection:
        connection.execute(schema.review.update().where(schema.review.c.lane == "second").values(id=99))
    _, item = store.queue.undo("李强")
    assert (item.lane, item.state, item.held_by) == ("second", "open", None)


def test_an_answer_to_a_text_that_was_replaced_waits_no_more(open_store: OpenStore) -> None:
    """Taken back it gives way to the newer text, as it would have done had it waited; a text that waited beside it does not replace it."""
    store = open_store(newest_waits=True)
    wait(store, 1)
    (item,) = store.queue.claim("王芳")
    answer(store, item)
    record(store, decision(ticket("还有一个问题"), pending()))
    _, old = store.queue.undo("王芳", item.entry)
    assert (old.state, old.held_by) == ("withdrawn", None)
    assert [entry.ticket_text_id for entry in entries(store)] == [2]
    beside = open_store()
    record(beside, decision(ticket("one", "B"), pending()), decision(ticket("two", "B"), pending()))
    item = next(one for one in beside.queue.each() if one.ticket.content == "one")
    answer(beside, item)
    assert beside.queue.undo("王芳", item.entry)[1].state == "open"


def test_without_a_share_nobody_is_asked(open_store: OpenStore) -> None:
    """As by default."""
    store = open_store()
    first_answer(store)
    assert not entries(store)


_PEOPLE, _CATEGORIES = ("甲", "乙", "丙"), ("refund", "parcel", "login")
_steps = st.lists(
    st.tuples(st.sampled_from(_PEOPLE), st.sampled_from(["answer", "undo", "skip"]), st.sampled_from(_CATEGORIES)), max_size=12
)


@pytest.mark.slow
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
def test_whatever_people_do(store: SqlStore, steps: list[tuple[str, str, str]]) -> None:
    """Nobody is asked about an own answer, what stands is of the first entry, and a second opinion waits only behind an answer."""
    name = f"T{len(rows(store, schema.ticket)) + 1}"
    record(store, decision(ticket(f"text of {name}", name, language=name), pending("refund")))
    for person, what, category in steps:
        if what == "undo":
            with suppress(InputError):
                store.queue.undo(person, rows(store, schema.queue_entry, schema.queue_entry.c.language == name)[0].id)
        for item in store.queue.claim(person, Filters(language=name)) if what != "undo" else ():
            assert item.lane == "pending" or person not in [
                row.reviewer for row in standing(store) if row.ticket_text_id == item.text_id
            ]
            if what == "skip":
                store.queue.skip(item, person)
            else:
                answer(store, item, person, category)
        known = rows(store, schema.queue_entry, schema.queue_entry.c.language == name)
        said = {
            entry.lane: [one for one in store.queue.answers_to(store.queue.item(entry.id), sees_all=True) if not one.taken_back]
            for entry in known
        }
        assert [entry.lane for entry in known] == ["pending", "second"][: len(known)]
        assert all(len(answers) <= 1 for answers in said.values())
        assert [row.category for row in standing(store) if row.ticket_id == known[0].ticket_id] == [
            one.category for one in said["pending"]
        ]
        if said["pending"]:
            assert len(known) == 2
            assert known[1].state != "withdrawn"
