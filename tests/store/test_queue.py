"""What waits is lent, answered, skipped and taken back: the same in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from decided import OTHER_RUN, accepted, decision, entries, pending, record, rows, ticket
from store.conftest import OpenStore

from llmtriage import Category, Taxonomy
from llmtriage.errors import InputError, OutdatedError, UnknownNameError
from llmtriage.outcomes import Candidate, Reason
from llmtriage.reviewing import Filters, Item
from llmtriage.store import SqlStore, answers, queue, recording, schema, useful

TAXONOMY = Taxonomy(
    categories=(
        Category(id="sales", children=(Category(id="refund", was=("money",)), Category(id="parcel"))),
        Category(id="login"),
    )
)
MINUTE = 60_000_000
ELSE = "go on with the next one"

Later = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Let so many minutes pass, or go back."""
    passed = 0

    def shift(minutes: float) -> None:
        nonlocal passed
        passed += round(minutes * MINUTE)

    for module in (queue, answers, useful):
        monkeypatch.setattr(module, "now", lambda: recording.now() + passed)
    return shift


def wait(store: SqlStore, n: int = 3, **more: Any) -> None:
    """Let tickets T1, T2, ... wait, each less sure than the one before; none is like another."""
    texts = [
        "退款什么时候到账",
        "the parcel never arrived",
        "忘记密码登录不了",
        "money back please",
        "发票抬头错了",
        "battery is dead",
    ]
    tickets = [ticket(texts[number % len(texts)], f"T{number + 1}", **more) for number in range(n)]
    record(store, *[decision(one, pending("refund", score=0.9 - number / 10)) for number, one in enumerate(tickets)])


def names(items: Any) -> list[str | None]:
    """The ids of their tickets."""
    return [item.ticket.id for item in items]


def answer(store: SqlStore, item: Item, reviewer: str = "王芳", category: str = "parcel", **more: Any) -> Any:
    """Answer as a person who saw the suggestion."""
    return store.queue.answer(item, reviewer, category, taxonomy=TAXONOMY, shown=True, **more)


# -- to look -------------------------------------------------------------------------------------


def test_an_entry_holds_all_that_a_person_may_see(store: SqlStore) -> None:
    """The ticket, why it waits, what the model says."""
    outcome = replace(
        pending("refund", "below_threshold"),
        candidates=(Candidate(category="refund", score=0.4), Candidate(category="parcel", score=0.3)),
        reasons=(Reason(code="below_threshold", detail="0.4"), Reason(code="always_review")),
    )
    of = ticket(title="退款", channel="chat", language="zh", customer="C1", metadata={"shop": "一号"})
    record(store, decision(of, outcome))
    (item,) = store.queue.page().items
    assert item.ticket == of
    assert (item.suggestion, item.score, item.confidence, item.calibrated) == ("refund", 0.4, None, False)
    assert (item.reasons, item.candidates) == (outcome.reasons, outcome.candidates)
    assert (item.lane, item.blind, item.state, item.round, item.held_by) == ("pending", False, "open", 1, None)
    assert store.queue.item("T1") == store.queue.item(item.entry) == item


@pytest.mark.parametrize("outcome", [accepted(), replace(pending(), reasons=(Reason(code="refused"),))])
def test_a_blind_entry_holds_nothing_that_a_model_said(store: SqlStore, outcome: Any) -> None:
    """Wherever it is read."""
    record(store, decision(ticket(), outcome, probe=0.5))
    queue = store.queue
    (listed,), (claimed,) = queue.page().items, queue.claim("王芳")
    for item in (listed, claimed, queue.item("T1"), next(queue.each()), *queue.page(order="useful").items):
        assert item.blind
        assert item.reasons == (Reason(code="probe"),)
        assert (item.suggestion, item.candidates, item.confidence, item.score) == (None, (), None, None)
    assert queue.counts().reasons == {"probe": 1}
    assert not queue.page(Filters(categories=frozenset({"refund"}))).items
    given = answer(store, claimed, category="refund")
    assert (given.verdict, given.suggested, given.shown) == ("correct", None, False)


def test_the_entry_before_a_ticket_was_drawn_tells_nothing_of_it(store: SqlStore, open_store: OpenStore) -> None:
    """It waits no longer, and its number still finds it; the text waits blind."""
    record(store, decision(ticket(), pending("refund")))
    record(open_store(), decision(ticket(), pending("refund"), run=OTHER_RUN, probe=0.5))
    before, drawn = (store.queue.item(entry.id) for entry in rows(store, schema.queue_entry))
    assert (before.state, drawn.lane) == ("withdrawn", "probe")
    for item in (before, drawn):
        assert (item.suggestion, item.candidates, item.score, item.blind) == (None, (), None, True)
        assert store.queue.similar(item) == ()


def test_an_entry_of_a_planned_sample_is_blind(store: SqlStore) -> None:
    """Whatever its row says of blindness and of an outcome."""
    wait(store, 1)
    table = schema.queue_entry
    with store.database.writing() as connection:
        connection.execute(table.update().values(lane="sample", sample="s1", inclusion_p=0.5))
    (item,) = store.queue.page(Filters(sample="s1")).items
    assert (item.blind, item.reasons, item.suggestion) == (True, (Reason(code="sample"),), None)
    assert not store.queue.page(Filters(sample="s2")).items


def test_counts(store: SqlStore) -> None:
    """An entry with two reasons counts under both."""
    record(store, decision(ticket("a", "A"), pending("refund", "below_threshold", "always_review")))
    record(store, decision(ticket("b", "B"), pending("refund", "too_short")))
    record(store, decision(ticket("c", "C"), accepted(), probe=0.1))
    counts = store.queue.counts()
    assert (counts.entries, counts.lanes) == (3, {"pending": 2, "probe": 1})
    assert counts.reasons == {"below_threshold": 1, "always_review": 1, "too_short": 1, "probe": 1}
    assert counts.oldest == store.queue.item("A").enqueued_at
    assert store.queue.counts(Filters(lane="probe")).entries == 1
    assert store.queue.counts(Filters(reason="timeout")).oldest is None


def test_filters(store: SqlStore, later: Later) -> None:
    """Each alone; together all must hold."""
    record(store, decision(ticket("a", "A", language="zh"), pending("refund", "too_short")))
    record(store, decision(ticket("b", "B", language="en"), pending("parcel", "below_threshold")))
    record(store, decision(ticket("c", "C", language="zh"), pending(None, "refused", score=None)))

    def found(**given: Any) -> list[str | None]:
        return names(store.queue.page(Filters(**given)).items)

    assert found(reason="too_short") == ["A"]
    assert found(categories=frozenset({"refund", "parcel"})) == ["A", "B"]
    assert found(language="zh") == ["A", "C"]
    assert found(language="zh", reason="refused") == ["C"]
    assert found(older_than=timedelta(hours=1)) == []
    later(90)
    assert found(older_than=timedelta(hours=1)) == ["A", "B", "C"]
    assert found(newer_than=timedelta(hours=1)) == []
    assert found(reason="%") == found(reason="too_short ") == []
    store.queue.claim("王芳", Filters(reason="too_short"))
    assert found(held_by="王芳") == ["A"]
    later(11)
    assert found(held_by="王芳") == []


def test_pages(store: SqlStore) -> None:
    """Each entry stands on one page, in order."""
    wait(store, 5)
    first = store.queue.page(limit=2)
    second = store.queue.page(limit=2, after=first.after)
    third = store.queue.page(limit=2, after=second.after)
    assert [names(page.items) for page in (first, second, third)] == [["T1", "T2"], ["T3", "T4"], ["T5"]]
    assert third.after is None
    assert names(store.queue.page(limit=5).items) == names(store.queue.each())


def test_the_most_uncertain_first(store: SqlStore) -> None:
    """Those without any number before all others; those equal in hundredths by age; pages go on where they ended."""
    wait(store, 4)
    record(store, decision(ticket("no number", "N"), pending(None, "refused", score=None)))
    record(store, decision(ticket("as sure as T2", "E"), pending(score=0.797)))
    page = store.queue.page(order="uncertain", limit=4)
    rest = store.queue.page(order="uncertain", limit=4, after=page.after)
    assert names(page.items + rest.items) == ["N", "T4", "T3", "T2", "E", "T1"]


def test_the_most_useful_first(store: SqlStore) -> None:
    """Categories take turns, that with the fewest labels first; near-duplicates late, also of what was answered."""
    texts = {"A": ("退款", 0.5), "B": ("退 款！", 0.4), "C": ("钱什么时候退", 0.6), "D": ("我要退货", 0.3)}
    for name, (text, score) in texts.items():
        record(store, decision(ticket(text, name), pending("refund", score=score)))
    record(store, decision(ticket("parcel is late", "P"), pending("parcel", score=0.9)))
    record(store, decision(ticket("anything", "N"), pending(None, "refused", score=None)))
    assert names(store.queue.page(order="useful").items) == ["D", "P", "B", "C", "N", "A"]
    for _ in range(2):
        (item,) = store.queue.claim("王芳", Filters(categories=frozenset({"refund"})), "useful")
        answer(store, item, category="refund")
    again = queue.Queue(store)  # without waiting a minute
    assert names(again.page(order="useful").items) == ["P", "C", "N", "A"]
    assert names(again.claim("bob", order="useful", n=2)) == ["P", "C"]


def test_the_most_useful_are_followed_by_all_others(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for them is given everything that waits, each entry once."""
    monkeypatch.setattr(useful, "LOOKED_AT", 3)
    wait(store, 6)
    pages = [store.queue.page(order="useful", limit=2)]
    while pages[-1].after is not None:
        pages.append(store.queue.page(order="useful", limit=2, after=pages[-1].after))
    expected = ["T6", "T5", "T4", "T3", "T2", "T1"]
    assert [name for page in pages for name in names(page.items)] == names(store.queue.each(order="useful")) == expected
    assert names(store.queue.claim("ann", order="useful", n=9)) == expected


def test_an_entry_by_its_ticket(store: SqlStore) -> None:
    """That which waits, else the last one; several that wait are told by number."""
    wait(store, 1)
    answer(store, store.queue.item("T1"))
    assert store.queue.item("T1").state == "done"
    record(store, decision(ticket("first", "D"), pending()), decision(ticket("second", "D"), pending()))
    with pytest.raises(InputError, match=r"2 entries of ticket 'D' wait; name one by its number: 2, 3$"):
        store.queue.item("D")
    for unknown in ("T9", 99, 10**30):
        with pytest.raises(UnknownNameError, match="see llmtriage review list"):
            store.queue.item(unknown)


# -- to be given ---------------------------------------------------------------------------------


def test_nobody_else_gets_what_somebody_has(store: SqlStore) -> None:
    """Until it is released; the same person gets the same again."""
    wait(store, 3)
    queue = store.queue
    (mine,) = queue.claim("ann")
    assert (mine.held_by, names(queue.claim("ann"))) == ("ann", ["T1"])
    assert names(queue.claim("bob", n=2)) == ["T2", "T3"]
    assert queue.claim("cat") == []
    assert not queue.release(mine, "bob")
    assert queue.release(mine, "ann")
    assert names(queue.claim("cat")) == ["T1"]
    assert not queue.release(mine, "ann")


def test_a_lease_ends_after_ten_minutes(store: SqlStore, later: Later) -> None:
    """Unless it is extended; nothing runs for that."""
    wait(store, 1)
    (item,) = store.queue.claim("ann")
    later(9)
    assert store.queue.claim("bob") == []
    assert store.queue.extend(item, "ann")
    later(9)
    assert store.queue.claim("bob") == []
    later(2)
    (item,) = store.queue.claim("bob")
    assert (item.held_by, item.token) == ("bob", 2)


def test_a_clock_that_was_set_back_locks_nothing(store: SqlStore, later: Later) -> None:
    """A lease that would last for hours is none; one of a clock a little ahead is."""
    wait(store, 1)
    (item,) = store.queue.claim("ann")
    later(-5)
    assert store.queue.claim("bob") == []
    later(-600)
    (again,) = store.queue.claim("bob")
    assert again.token == item.token + 1
    with pytest.raises(OutdatedError, match="T1 is with bob now"):
        answer(store, item, "ann")


def test_an_answer_after_the_end_of_the_lease_counts(store: SqlStore, later: Later) -> None:
    """As long as nobody else got the entry."""
    wait(store, 1)
    (item,) = store.queue.claim("ann")
    later(60)
    assert answer(store, item, "ann").category == "parcel"


def test_an_answer_after_somebody_else_got_the_entry_is_refused(store: SqlStore, later: Later) -> None:
    """Also when that person gave it back, and when they answered; nothing is kept in silence."""
    wait(store, 1)
    (late,) = store.queue.claim("ann")
    later(11)
    (other,) = store.queue.claim("bob")
    with pytest.raises(OutdatedError, match=f"T1 is with bob now; {ELSE}"):
        answer(store, late, "ann")
    store.queue.release(other, "bob")
    with pytest.raises(OutdatedError, match="T1 was given to somebody else meanwhile, or asked about again; look at it again"):
        answer(store, late, "ann")
    answer(store, other, "bob")
    with pytest.raises(OutdatedError, match=f"T1 was answered already by bob; {ELSE}"):
        answer(store, late, "ann")
    assert len(rows(store, schema.review)) == 1


def test_an_answer_to_an_older_text_is_refused(store: SqlStore, open_store: OpenStore) -> None:
    """The person read something else than what waits now."""
    wait(store, 1)
    (item,) = store.queue.claim("ann")
    record(open_store(), decision(ticket("a new text", "T1"), pending("parcel")))
    with pytest.raises(OutdatedError, match="the text of T1 was changed meanwhile, or it waits no longer"):
        answer(store, item, "ann")
    (item,) = store.queue.claim("bob")
    assert item.ticket.content == "a new text"
    record(open_store(), decision(ticket("a newer text", "T1"), accepted()))
    with pytest.raises(OutdatedError, match="waits no longer"):
        answer(store, item, "bob")
    assert not rows(store, schema.review)


def test_what_a_person_skipped_they_do_not_get_again(store: SqlStore) -> None:
    """Others do."""
    wait(store, 2)
    (item,) = store.queue.claim("ann")
    for _ in range(2):
        store.queue.skip(item, "ann")
    assert names(store.queue.claim("ann")) == ["T2"]
    assert names(store.queue.claim("bob")) == ["T1"]
    assert len(entries(store)) == 2


@pytest.mark.parametrize("order", ["oldest", "uncertain", "useful"])
def test_nothing_to_give(store: SqlStore, order: Any) -> None:
    """An empty queue gives nothing, in any order."""
    assert store.queue.claim("ann", order=order, n=3) == []
    assert store.queue.page(order=order).items == ()


# -- to answer -----------------------------------------------------------------------------------


def test_an_answer_its_event_and_its_entry_are_one(store: SqlStore) -> None:
    """With the counts of the day; the note stands in the answer alone."""
    wait(store, 1)
    (item,) = store.queue.claim("王芳")
    given = answer(store, item, category="refund", note="打过电话 13812345678", active_ms=4200)
    assert (given.verdict, given.category, given.suggested, given.shown) == ("confirm", "refund", "refund", True)
    assert (given.reviewer, given.note, given.active_ms, given.round) == ("王芳", "打过电话 13812345678", 4200, 1)
    assert (given.ticket_id, given.entry, given.taxonomy) == ("T1", item.entry, TAXONOMY.hash)
    (entry,) = entries(store, "done")
    assert (entry.lease_owner, entry.lease_until) == (None, None)
    event = rows(store, schema.event)[-1]
    assert (event.actor, event.kind, event.subject) == ("王芳", "confirm", "ticket")
    assert event.data == {"review": given.id, "entry": item.entry, "lane": "pending"}
    assert ("confirm", "refund", 1) in [(row.kind, row.category, row.n) for row in rows(store, schema.daily_count)]


def test_nothing_of_an_answer_is_kept_where_a_part_fails(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the answer nor the state of the entry."""
    wait(store, 1)
    (item,) = store.queue.claim("王芳")
    before = len(rows(store, schema.event))

    def broken(*_: Any) -> None:
        message = "no"
        raise RuntimeError(message)

    monkeypatch.setattr(answers, "count", broken)
    with pytest.raises(RuntimeError):
        answer(store, item)
    assert not rows(store, schema.review)
    assert len(rows(store, schema.event)) == before
    assert [entry.lease_owner for entry in entries(store)] == ["王芳"]


@pytest.mark.parametrize(
    ("category", "line"),
    [
        ("refnd", "unknown category 'refnd'; did you mean 'refund'?"),
        ("sales", "the category 'sales' has sub-categories; name one of them: refund, parcel"),
        ("", "unknown category ''; known: refund, parcel, login"),
    ],
)
def test_an_answer_is_a_leaf_of_the_taxonomy(store: SqlStore, category: str, line: str) -> None:
    """The nearest one is a hint, never the answer."""
    wait(store, 1)
    with pytest.raises(InputError) as error:
        answer(store, store.queue.item("T1"), category=category)
    assert str(error.value) == line
    assert entries(store)


def test_text_that_no_database_takes(store: SqlStore) -> None:
    """As a terminal in another encoding hands it over: kept as far as it can be, or found nowhere."""
    wait(store, 1)
    assert answer(store, store.queue.item("T1"), note="a\0b\udcff").note == "a\ufffdb\ufffd"
    assert store.queue.page(Filters(language="\udcff", sample="\0")).items == ()
    with pytest.raises(UnknownNameError):
        store.queue.item("\udcff\0")


def test_a_suggestion_of_a_former_name_is_confirmed_by_its_heir(store: SqlStore) -> None:
    """As `was` in the taxonomy says."""
    record(store, decision(ticket(), pending("money")))
    assert answer(store, store.queue.item("T1"), category="refund").verdict == "confirm"


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "", "   ", "x" * 101])
def test_a_reviewers_name_is_text_on_one_line(store: SqlStore, name: str) -> None:
    """What is refused leaves nothing."""
    wait(store, 1)
    for call in (lambda: store.queue.claim(name), lambda: answer(store, store.queue.item("T1"), name)):
        with pytest.raises(InputError, match="a reviewer"):
            call()
    assert [entry.lease_owner for entry in entries(store)] == [None]


def test_undo(store: SqlStore) -> None:
    """A new row takes the last answer back; the entry waits in the next round, with the same person."""
    wait(store, 3)
    for item in store.queue.claim("ann", n=2):
        answer(store, item, "ann")
    answer(store, store.queue.claim("bob")[0], "bob")
    taken, item = store.queue.undo("ann")
    assert (taken.ticket_id, taken.category) == ("T2", "parcel")
    assert (item.ticket.id, item.state, item.round, item.held_by) == ("T2", "open", 2, "ann")
    assert [row.verdict for row in rows(store, schema.review)] == ["correct", "correct", "correct", "retract"]
    assert store.queue.claim("bob") == []
    again = answer(store, item, "ann", "refund")
    assert (again.round, again.verdict) == (2, "confirm")
    assert [(label.ticket.id, label.category) for label in store.queue.labels()] == [
        ("T1", "parcel"),
        ("T3", "parcel"),
        ("T2", "refund"),
    ]


def test_undo_again_and_again(store: SqlStore) -> None:
    """Goes back answer by answer, then says that there is none; others' answers stay."""
    wait(store, 3)
    for item in store.queue.claim("ann", n=3):
        answer(store, item, "ann")
    assert [store.queue.undo("ann")[0].ticket_id for _ in range(3)] == ["T3", "T2", "T1"]
    with pytest.raises(InputError, match="ann has given no answer that stands; only own answers can be taken back"):
        store.queue.undo("ann")


def test_an_answer_is_taken_back_once(store: SqlStore) -> None:
    """Whoever comes second while the first one does it is told."""
    wait(store, 1)
    (item,) = store.queue.claim("ann")
    answer(store, item, "ann")
    with store.database.writing() as connection:
        connection.execute(schema.queue_entry.update().values(state="open"))
    with pytest.raises(OutdatedError, match="this answer is being taken back elsewhere"):
        store.queue.undo("ann")
    assert [row.verdict for row in rows(store, schema.review)] == ["correct"]


def test_undo_of_one_entry(store: SqlStore) -> None:
    """That of another person cannot be taken back."""
    wait(store, 2)
    first, second = store.queue.claim("ann", n=2)
    answer(store, first, "ann")
    answer(store, second, "ann")
    assert store.queue.undo("ann", first.entry)[0].ticket_id == "T1"
    with pytest.raises(InputError, match="bob has given no answer to entry 2 that stands"):
        store.queue.undo("bob", second.entry)


def test_history(store: SqlStore) -> None:
    """The own answers, the latest first, and which were taken back."""
    wait(store, 4)
    for item in store.queue.claim("ann", n=3):
        answer(store, item, "ann")
    answer(store, store.queue.claim("bob")[0], "bob")
    store.queue.undo("ann")
    assert [(one.ticket_id, one.taken_back) for one in store.queue.history("ann")] == [("T3", True), ("T2", False), ("T1", False)]
    assert [one.ticket_id for one in store.queue.history("ann", limit=1)] == ["T3"]
    assert [one.taken_back for one in store.queue.answers_to(store.queue.item("T3"))] == [True]


# -- what comes of it ----------------------------------------------------------------------------


def test_labels(store: SqlStore) -> None:
    """The answers that stand, with what a promise needs; of a blind entry the first answer too."""
    wait(store, 2)
    record(store, decision(ticket("probe", "P"), accepted(), probe=0.25))
    for item in store.queue.claim("ann", n=3):
        answer(store, item, "ann", "login")
    answer(store, store.queue.undo("ann")[1], "ann", "refund")
    pending_one, _, probe = store.queue.labels()
    assert (pending_one.lane, pending_one.inclusion_p, pending_one.shown) == ("pending", None, True)
    assert (probe.ticket.id, probe.lane, probe.inclusion_p, probe.shown) == ("P", "probe", 0.25, False)
    assert (probe.category, probe.first, probe.ticket.content) == ("refund", "login", "probe")


def test_labels_come_in_pages(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left out or told twice where a page ends."""
    monkeypatch.setattr(queue, "_ROWS", 2)
    wait(store, 5)
    for item in store.queue.claim("ann", n=5):
        answer(store, item, "ann")
    assert [label.ticket.id for label in store.queue.labels()] == ["T1", "T2", "T3", "T4", "T5"]


def test_similar_confirmed_tickets(store: SqlStore) -> None:
    """The most like first; none that shares nothing; none for a blind entry, which is decided without help."""
    for name, text in {"A": "the parcel never arrived", "B": "退款什么时候到账", "C": "my parcel has not arrived"}.items():
        record(store, decision(ticket(text, name), pending()))
    for item in store.queue.claim("ann", n=3):
        answer(store, item, "ann")
    record(store, decision(ticket("where is my parcel, it has not arrived", "N"), pending()))
    record(store, decision(ticket("where is my parcel, it has not arrived", "X"), pending(), probe=0.5))
    assert [label.ticket.id for label in store.queue.similar(store.queue.item("N"))] == ["C", "A"]
    assert [label.ticket.id for label in store.queue.similar(store.queue.item("N"), limit=1)] == ["C"]
    assert store.queue.similar(store.queue.item("X")) == ()


def test_texts_that_are_not_kept(open_store: OpenStore) -> None:
    """Their tickets wait and can be answered; none is a near-duplicate of another."""
    store = open_store(kept="none")
    wait(store, 3)
    assert [item.ticket.content for item in store.queue.page(order="useful").items] == ["", "", ""]
    answer(store, store.queue.item("T1"))
    assert store.queue.similar(store.queue.item("T2")) == ()
