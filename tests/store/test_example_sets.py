"""Frozen sets of examples: what people answered, kept so that no later answer changes it."""

from __future__ import annotations

import pytest
from decided import decision, pending, record, ticket
from drawn import SHOP, decide, decide_all, draw, erase, tickets

from llmtriage import Category, Taxonomy
from llmtriage.errors import InputError, UnknownNameError
from llmtriage.store import SqlStore
from llmtriage.store.example_sets import freeze, listed, members
from llmtriage.store.samples import plan


def wait(store: SqlStore, *texts: str, start: int = 0) -> None:
    """Tickets with these texts wait."""
    record(store, *(decision(ticket(text, f"P{n}"), pending()) for n, text in enumerate(texts, start)))


def found(store: SqlStore, name: str) -> list[tuple[str, str | None]]:
    """The texts and categories of a set."""
    return [(row.ticket.content, row.category) for row in members(store.database, name)]


def test_answers_given_later_change_nothing(store: SqlStore) -> None:
    """A set is the answers of its day, in the order in which they were given."""
    wait(store, "退款", "快递", "登录")
    decide(store, "P1", "parcel")
    decide(store, "P0", "refund")
    made = freeze(store.database, "一月", SHOP)
    assert made.tickets == 2
    before = found(store, "一月")
    assert before == [("快递", "parcel"), ("退款", "refund")]
    decide_all(store, "login")
    assert found(store, "一月") == before
    assert freeze(store.database, "二月", SHOP).tickets == 3
    assert [(one.name, one.tickets, one.erased) for one in listed(store.database)] == [("一月", 2, 0), ("二月", 3, 0)]
    assert listed(store.database)[0].hash == made.hash


def test_the_same_answers_are_the_same_set(store: SqlStore) -> None:
    """Under any name: a calibration asks what the examples are, not what they are called."""
    wait(store, "退款", "快递")
    decide_all(store, "parcel")
    first, second = (freeze(store.database, name, SHOP).hash for name in ("a", "b"))
    assert first == second
    wait(store, "登录", start=2)
    decide_all(store, "login")
    assert freeze(store.database, "c", SHOP).hash != first


def test_tickets_drawn_by_chance_stay_out_unless_told(store: SqlStore) -> None:
    """Their labels carry promises, which no example's can; also where such a ticket waited for another reason too."""
    draw(store, range(5, 7))
    plan(store, "sample", tickets(1), 0.5)
    wait(store, "退款")
    record(store, decision(tickets(1)[0][0], pending()))
    decide_all(store)
    assert (freeze(store.database, "own", SHOP).tickets, freeze(store.database, "own2", SHOP).drawn) == (1, 0)
    assert found(store, "own") == [("退款", "refund")]
    made = freeze(store.database, "all", SHOP, drawn=True)
    assert (made.tickets, made.drawn) == (4, 3)


def test_the_latest_so_many(store: SqlStore) -> None:
    """Which they are does not depend on what was answered: a choice by label would be felt in what is left."""
    wait(store, "一", "二", "三", "四")
    for n in (2, 0, 3, 1):
        decide(store, f"P{n}", "parcel")
    freeze(store.database, "two", SHOP, most=2)
    assert found(store, "two") == [("四", "parcel"), ("二", "parcel")]


def test_of_equal_texts_the_latest_answer(store: SqlStore) -> None:
    """An example twice teaches nothing, and two categories for one text teach nonsense."""
    wait(store, "一样", "一样", "另一张")
    for n, category in ((0, "refund"), (2, "login"), (1, "parcel")):
        decide(store, f"P{n}", category)
    freeze(store.database, "set", SHOP)
    assert found(store, "set") == [("另一张", "login"), ("一样", "parcel")]


def test_answers_taken_back_are_no_examples(store: SqlStore) -> None:
    """Only those that stand are."""
    wait(store, "退款", "快递")
    decide_all(store, "refund", by="ann")
    store.queue.undo("ann")
    assert freeze(store.database, "set", SHOP).tickets == 1


def test_a_name_that_is_taken(store: SqlStore) -> None:
    """Is refused unless told."""
    wait(store, "退款")
    decide_all(store)
    freeze(store.database, "set", SHOP)
    wait(store, "快递", start=1)
    decide_all(store, "parcel")
    with pytest.raises(InputError, match="there is a set 'set' already; take another name, or add --overwrite"):
        freeze(store.database, "set", SHOP)
    assert len(found(store, "set")) == 1
    assert freeze(store.database, "set", SHOP, overwrite=True).tickets == 2
    assert found(store, "set") == [("退款", "refund"), ("快递", "parcel")]


def test_an_erased_ticket_ends_a_set(store: SqlStore) -> None:
    """What is left is another set; the text is gone from it too."""
    wait(store, "退款", "快递", "登录")
    decide_all(store)
    freeze(store.database, "set", SHOP)
    erase(store, "P1")
    with pytest.raises(InputError, match="1 of the 3 tickets of the set 'set' were erased; freeze a new one"):
        members(store.database, "set")
    assert listed(store.database)[0].erased == 1
    made = freeze(store.database, "new", SHOP)
    assert (made.tickets, made.without_text) == (2, 1)


def test_categories_that_the_taxonomy_lost(store: SqlStore) -> None:
    """Those it carries go along, the others are left out and counted."""
    wait(store, "退款", "快递", "登录")
    for n, category in enumerate(("refund", "parcel", "login")):
        decide(store, f"P{n}", category)
    now = Taxonomy(categories=(Category(id="money", was=("refund",)), Category(id="login")))
    made = freeze(store.database, "set", now)
    assert (made.tickets, made.lost) == (2, 1)
    assert found(store, "set") == [("退款", "refund"), ("登录", "login")]


@pytest.mark.parametrize("name", ["", "two words", "line\nend", "x" * 61, "\x1b[2J", "全角　空格"])
def test_no_name(store: SqlStore, name: str) -> None:
    """A name is one word that a command line takes."""
    with pytest.raises(InputError, match="no name for a set"):
        freeze(store.database, name, SHOP)


def test_nothing_to_freeze(store: SqlStore) -> None:
    """One line says what to do first."""
    wait(store, "退款")
    with pytest.raises(InputError, match="no answer can be an example; confirm or correct some tickets first"):
        freeze(store.database, "set", SHOP)
    assert listed(store.database) == []


def test_an_unknown_set(store: SqlStore) -> None:
    """The nearest name is told."""
    wait(store, "退款")
    decide_all(store)
    freeze(store.database, "january", SHOP)
    with pytest.raises(UnknownNameError, match=r"--examples: unknown set of examples 'januar'; did you mean 'january'\?"):
        members(store.database, "januar")
