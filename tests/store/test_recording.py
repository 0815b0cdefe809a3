"""What the store promises, on both databases: nothing is lost, nothing is asked twice, and a person's answer stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from decided import OTHER_RUN, RUN, accepted, answer, decision, entries, pending, recall, record, rows, ticket
from sqlalchemy import exc

from llmtriage import Ticket
from llmtriage.errors import StoreError
from llmtriage.outcomes import Reason, blind
from llmtriage.predictions import Prediction, SingleLabel, Source, Usage
from llmtriage.remembering import Decision
from llmtriage.store import SqlStore, schema

OpenStore = Callable[..., SqlStore]


# -- nothing is asked twice ------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [accepted(), pending(), pending(None, "refused", "none_of_these", score=None)])
def test_what_was_decided_is_known_as_it_was(store: SqlStore, outcome: Any) -> None:
    """The outcome comes back whole, marked as recalled."""
    record(store, decision(ticket(), outcome))
    (known,) = recall(store, ticket())
    assert known
    assert known.own
    assert known.outcome == replace(outcome, ticket_id="T1")
    assert known.outcome.recalled


def test_nothing_is_known_of_another_run_or_text(store: SqlStore) -> None:
    """An outcome belongs to a text and to what decided it."""
    record(store, decision(ticket(), accepted()))
    assert recall(store, ticket(), run=OTHER_RUN) == [None]
    assert recall(store, ticket("快递到哪里了"), ticket(title="退款")) == [None, None]


@pytest.mark.parametrize(
    "other",
    [ticket(ticket_id="T2"), ticket(ticket_id=None), ticket(ticket_id="7", numbered=True), ticket(ticket_id="0", channel="chat")],
)
def test_the_same_text_of_another_ticket_is_recalled_and_kept_as_its_own(store: SqlStore, other: Ticket) -> None:
    """It is not asked about, and yet each ticket has its outcome."""
    record(store, decision(ticket(), accepted()))
    (known,) = recall(store, other)
    assert known
    assert not known.own
    assert known.outcome == replace(accepted(), ticket_id=other.id)
    record(store, decision(other, known.outcome))
    (now,) = recall(store, other)
    assert now
    assert now.own
    assert len(rows(store, schema.ticket)) == len(rows(store, schema.outcome)) == 2


def told(of: Ticket, source: Source, tokens: int | None = None) -> Decision:
    """What an engine decided."""
    usage = Usage(prompt_tokens=tokens)
    answer = Prediction(answer=SingleLabel(category="refund"), source=source, model="m", usage=usage)
    return decision(of, replace(accepted(), prediction=answer))


@pytest.mark.parametrize(("source", "tokens"), [("lexical", 0), ("logprobs", 0), ("votes", 7), ("decisions", None)])
def test_what_cost_nothing_is_found_for_its_own_ticket_alone(store: SqlStore, source: Source, tokens: int | None) -> None:
    """The embedded engine is quicker than the store; what another one answered is found, also of a server that tells 0 tokens."""
    record(store, told(ticket(), source, tokens))
    assert recall(store, ticket())[0]
    assert bool(recall(store, ticket(ticket_id="T2"))[0]) is (source != "lexical")
    record(store, replace(told(ticket(), "votes"), run=OTHER_RUN, run_key=OTHER_RUN.id))
    assert recall(store, ticket(ticket_id="T2"), run=OTHER_RUN)[0]
    record(store, replace(told(ticket(), "lexical", 0), run_key="run-3"))
    assert recall(store, ticket(ticket_id="T2"), run=OTHER_RUN)[0]
    assert len(rows(store, schema.ticket_text)) == 1


def test_the_first_outcome_of_a_text_is_told_of_every_further_ticket(store: SqlStore) -> None:
    """Of two outcomes that an engine gave the same text, it is always the same one."""
    record(store, decision(ticket(ticket_id="T9"), accepted("parcel")), decision(ticket(ticket_id="T1"), accepted()))
    first = rows(store, schema.outcome)[0].category
    for ticket_id in ("T0", "T5", "Z"):
        (known,) = recall(store, ticket(ticket_id=ticket_id))
        assert known
        assert known.outcome.category == first  # type: ignore[union-attr]


def test_ids_of_two_sources_are_two_tickets(open_store: OpenStore) -> None:
    """The same id elsewhere is somebody else's ticket."""
    shop, app = open_store(source="商城"), open_store(source="app")
    record(shop, decision(ticket(), pending()))
    record(app, decision(ticket("a new text"), accepted()))
    assert len(rows(shop, schema.ticket)) == 2
    assert len(entries(shop)) == 1


def test_a_numbered_ticket_is_known_by_its_text(store: SqlStore) -> None:
    """Row 1 of two files is not the same ticket; the same text in both is."""
    record(store, decision(ticket("first file", "1", numbered=True), accepted()))
    record(store, decision(ticket("second file", "1", numbered=True), accepted()))
    (known,) = recall(store, ticket("first file", "3", numbered=True))
    assert known
    assert known.own
    assert [row.external_id for row in rows(store, schema.ticket)] == [None, None]


def test_a_decision_is_kept_once(store: SqlStore) -> None:
    """The same again, in one group or later, leaves one outcome, one entry, one event, and is counted once."""
    record(store, decision(ticket(), pending()), decision(ticket(), pending()))
    record(store, decision(ticket(), accepted()))
    assert [row.kind for row in rows(store, schema.outcome)] == ["pending"]
    assert len(entries(store)) == len(rows(store, schema.event)) == 1
    assert [row.n for row in rows(store, schema.daily_count)] == [1]


@pytest.mark.parametrize("code", ["timeout", "rate_limited", "backend_unavailable"])
def test_a_failure_that_passes_is_asked_again(store: SqlStore, code: Any) -> None:
    """It waits for a person until an answer comes, and history keeps both."""
    record(store, decision(ticket(), pending(None, code, score=None)))
    assert recall(store, ticket()) == [None]
    (before,) = entries(store)
    record(store, decision(ticket(), pending("refund")))
    (now,) = entries(store)
    assert (now.id, now.category, now.lease_token) == (before.id, "refund", before.lease_token + 1)
    assert recall(store, ticket()) != [None]
    assert [row.final for row in rows(store, schema.outcome)] == [False, True]


def test_a_failure_behind_an_answer_is_not_kept(store: SqlStore) -> None:
    """Another process had one meanwhile: nobody need look at this ticket."""
    record(store, decision(ticket(), accepted()))
    record(store, decision(ticket(), pending(None, "timeout", score=None)), decision(ticket("x", "T2"), pending()))
    assert [row.kind for row in rows(store, schema.outcome)] == ["accepted", "pending"]
    assert len(entries(store)) == 1


def test_a_failure_that_does_not_pass_is_known(store: SqlStore) -> None:
    """A refusal would come again."""
    record(store, decision(ticket(), pending(None, "refused", score=None)))
    assert recall(store, ticket()) != [None]


# -- a changed ticket ------------------------------------------------------------------------------


def test_a_changed_ticket_is_decided_again_and_keeps_its_history_and_its_place(open_store: OpenStore) -> None:
    """The entry stands for the newest text; who held it has seen another one, so the lease ends."""
    first = open_store()
    record(first, decision(ticket(), pending()))
    (before,) = entries(first)
    _lease(first, "王芳")
    later = open_store()
    assert recall(later, ticket("还没有收到退款！")) == [None]
    record(later, decision(ticket("还没有收到退款！"), pending("parcel")))
    (entry,) = entries(later)
    assert entry.id == before.id
    assert entry.enqueued_at == before.enqueued_at
    assert entry.category == "parcel"
    assert entry.ticket_text_id != before.ticket_text_id
    assert (entry.lease_owner, entry.lease_until, entry.lease_token) == ("王芳", None, 1)  # whose it was is known
    assert [row.content for row in rows(later, schema.ticket_text)] == ["我要退款", "还没有收到退款！"]
    assert len(rows(later, schema.ticket)) == 1
    assert len(rows(later, schema.outcome)) == 2


def test_who_is_accepted_later_waits_no_longer(open_store: OpenStore) -> None:
    """A newer outcome that is accepted takes the ticket out of the queue."""
    record(open_store(), decision(ticket(), pending()))
    later = open_store()
    record(later, decision(ticket(), accepted(), run=OTHER_RUN))
    assert not entries(later)
    assert len(entries(later, "withdrawn")) == 1


def test_two_texts_of_one_id_in_one_run_both_wait(store: SqlStore) -> None:
    """Two messages of one thread are two questions: none is lost, whether they come together or not."""
    record(store, decision(ticket("第一封"), pending()), decision(ticket("第二封"), pending()))
    record(store, decision(ticket("第三封"), pending()))
    assert len({entry.ticket_text_id for entry in entries(store)}) == 3


@pytest.mark.parametrize("together", [True, False])
def test_two_texts_of_one_id_both_wait_in_the_next_run_too(open_store: OpenStore, *, together: bool) -> None:
    """The file comes again under another run: each text of it has its place, and no place is held twice."""
    texts = [ticket("第一封"), ticket("第二封")]
    record(open_store(), *(decision(one, pending()) for one in texts))
    later = open_store()
    again = [decision(one, pending("parcel"), run=OTHER_RUN) for one in texts]
    for group in [again] if together else [[one] for one in again]:
        record(later, *group)
    assert {entry.ticket_text_id for entry in entries(later)} == {row.id for row in rows(later, schema.ticket_text)}
    assert [entry.category for entry in entries(later)] == ["parcel", "parcel"]


def test_a_text_that_is_decided_again_beside_another_one_has_one_place(store: SqlStore) -> None:
    """A failure that passed is asked again in one group with another text of its ticket."""
    record(store, decision(ticket("第一封"), pending(None, "timeout", score=None)))
    record(store, decision(ticket("第一封"), pending()), decision(ticket("第二封"), accepted()))
    (entry,) = entries(store)
    assert entry.category == "refund"


def test_an_accepted_text_leaves_the_other_one_waiting(store: SqlStore) -> None:
    """Of two texts of one id in one run, only the one that is sure goes."""
    record(store, decision(ticket("第一封"), pending()))
    record(store, decision(ticket("第二封"), accepted()))
    assert len(entries(store)) == 1


# -- what a person said ----------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [accepted(), pending()])
def test_an_answer_stands_whatever_a_later_run_says(open_store: OpenStore, outcome: Any) -> None:
    """The later outcome is history; nobody is asked again, and the answer is the one that was given."""
    first = open_store()
    record(first, decision(ticket(), pending()))
    answer(first, entries(first)[0])
    later = open_store()
    record(later, decision(ticket(), outcome, run=OTHER_RUN))
    assert not entries(later)
    with later.database.reading() as connection:
        assert [row.category for row in connection.execute(schema.standing())] == ["parcel"]
    assert len(rows(later, schema.outcome)) == 2


def test_a_new_text_of_an_answered_ticket_waits(open_store: OpenStore) -> None:
    """What was answered was another text."""
    first = open_store()
    record(first, decision(ticket(), pending()))
    answer(first, entries(first)[0])
    later = open_store()
    record(later, decision(ticket("还有一个问题"), pending()))
    assert len(entries(later)) == len(entries(later, "done")) == 1


def test_an_answer_that_was_taken_back_lets_the_ticket_wait_again(open_store: OpenStore) -> None:
    """A retraction is a row of its own."""
    first = open_store()
    record(first, decision(ticket(), pending()))
    answer(first, entries(first)[0])
    (given,) = rows(first, schema.review)
    back = {**given._mapping, "id": None, "verdict": "retract", "retracts_id": given.id}
    back.pop("id")
    with first.database.writing() as connection:
        connection.execute(schema.review.insert(), back)
    later = open_store()
    record(later, decision(ticket(), pending(), run=OTHER_RUN))
    assert len(entries(later)) == 1


# -- blind reviews by chance -----------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [accepted(), pending()])
def test_a_probe_waits_blind_and_its_outcome_says_what_routing_said(store: SqlStore, outcome: Any) -> None:
    """The queue shows nothing of what the model thinks; the outcome and its probability are kept."""
    record(store, decision(ticket(), outcome, probe=0.02))
    (entry,) = entries(store)
    assert (entry.lane, entry.blind, entry.inclusion_p, entry.reasons) == ("probe", True, 0.02, " probe ")
    assert entry.category is None
    (row,) = rows(store, schema.outcome)
    assert (row.kind, row.category, row.probe) == ("accepted" if outcome == accepted() else "pending", "refund", 0.02)
    assert [row.kind for row in rows(store, schema.daily_count)] == ["probe"]


def test_a_text_is_drawn_once(open_store: OpenStore) -> None:
    """A later run leaves the probe where it is, answered or not."""
    record(open_store(), decision(ticket(), accepted(), probe=0.02))
    later = open_store()
    record(later, decision(ticket(), pending(), run=OTHER_RUN, probe=0.02))
    assert [entry.lane for entry in entries(later)] == ["probe"]


def test_nothing_is_told_of_a_probe_that_waits(open_store: OpenStore) -> None:
    """What a later run decides of it is kept as drawn too; known again, and of another ticket with this text, it is told as it is."""
    drawing, later = open_store(), open_store()
    record(drawing, decision(ticket(), accepted(), probe=0.02))
    again = [decision(ticket(), accepted("parcel"), run=OTHER_RUN), decision(ticket(ticket_id="T2"), accepted(), run=OTHER_RUN)]
    assert later.record(again).result(timeout=60) == [False, True]
    for run in (RUN, OTHER_RUN):
        (known,) = recall(later, ticket(), run=run)
        assert known is not None
        assert (known.own, known.probed, known.told) == (True, True, blind(known.outcome))
    (other,) = recall(later, ticket(ticket_id="T3"))
    assert other is not None
    assert (other.own, other.told) == (False, replace(accepted(), ticket_id="T3"))
    assert [(row.kind, row.probe) for row in rows(later, schema.outcome)] == [("accepted", 0.02)] * 2 + [("accepted", None)]
    assert [row.kind for row in rows(later, schema.event)] == ["probe", "probe", "outcome"]
    assert {row.kind: row.n for row in rows(later, schema.daily_count)} == {"probe": 1, "accepted": 1}  # it was drawn once
    answer(later, entries(later)[0])
    (known,) = recall(later, ticket(), run=OTHER_RUN)
    assert known is not None
    assert known.told == replace(accepted("parcel"), ticket_id="T1")


def test_who_is_drawn_waits_no_longer_where_the_suggestion_shows(open_store: OpenStore) -> None:
    """Else a reviewer would see what the probe must not show."""
    record(open_store(), decision(ticket(), pending()))
    later = open_store()
    record(later, decision(ticket(), pending(), run=OTHER_RUN, probe=0.5))
    assert [entry.lane for entry in entries(later)] == ["probe"]
    assert [entry.lane for entry in entries(later, "withdrawn")] == ["pending"]


def test_a_draw_is_the_same_whenever_it_is_asked_for_and_about_uniform(open_store: OpenStore) -> None:
    """It belongs to the ticket, not to its text, and not to the order."""
    store, other = open_store(), open_store()
    drawn = [store.draw(ticket(f"text {n}", f"T{n}"), "probe") for n in range(2000)]
    assert drawn == [other.draw(ticket("another text", f"T{n}"), "probe") for n in range(2000)]
    assert drawn[0] != store.draw(ticket("text 0", "T0"), "sample")
    assert all(0 <= number < 1 for number in drawn)
    assert 140 <= sum(number < 0.1 for number in drawn) <= 260  # 200 expected, sd 13.4


# -- what is kept of texts -------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "title", "content"), [("redacted", "", "[电话_1] 退款"), ("none", None, None)])
def test_only_what_is_to_be_kept_of_a_text_is_kept(open_store: OpenStore, kept: Any, title: Any, content: Any) -> None:
    """The ticket is known all the same."""
    store = open_store(kept=kept)
    one = ticket("13812345678 退款", title="退款")
    record(store, decision(one, replace(pending(), text="[电话_1] 退款")))
    (row,) = rows(store, schema.ticket_text)
    assert (row.title, row.content, row.kept) == (title, content, kept)
    assert recall(store, one) != [None]


HOSTILE = {
    "Chinese": "退款，请尽快处理🙏",
    "long": "退款" * 50_000,
    "markup": "'; drop table ticket; -- \\ \" %s :id ${x} {{x}}",
    "line ends": "a\r\nb\u2028c\x1b[31m",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_is_kept_as_it_came(store: SqlStore, text: str) -> None:
    """In every field."""
    short = text[:100]
    one = ticket(text, f"T {short}", title=text, channel=short, language="zh", customer=short, metadata={"备注": text, short: ""})
    record(store, decision(one, pending()))
    (kept,), (row,) = rows(store, schema.ticket_text), rows(store, schema.ticket)
    assert (kept.title, kept.content) == (text, text)
    assert (row.external_id, row.channel, row.language, row.customer) == (one.id, short, "zh", short)
    assert row.metadata == {"备注": text, short: ""}
    assert recall(store, one) != [None]


@pytest.mark.parametrize("broken", ["a\0b", "a\ud83db", "\udce9"])
def test_what_no_database_takes_is_replaced_and_known_all_the_same(open_store: OpenStore, broken: str) -> None:
    """NUL and halves of a surrogate pair: in a ticket, and in what an engine says."""
    store = open_store(source=broken)
    one = ticket(broken, broken, title=broken, channel=broken, language=broken, customer=broken, metadata={broken: broken})
    outcome = replace(pending(), reasons=(Reason(code="bad_response", detail=broken),), text=broken)
    record(store, decision(one, outcome))
    (row,) = rows(store, schema.ticket_text)
    assert "\ufffd" in row.content
    (known,) = recall(store, one)
    assert known
    assert known.own


def test_an_id_or_a_customer_may_be_long(store: SqlStore) -> None:
    """A column that was meant for something else stops no run, and two long ids are two tickets."""
    long = "".join(chr(0x4E00 + n) for n in range(5000))
    pair = [ticket("退款", f"{long}{n}", customer=long, channel=long, language=long) for n in range(2)]
    record(store, *(decision(one, pending()) for one in pair))
    assert [known and known.own for known in recall(store, *pair)] == [True, True]
    assert len(entries(store)) == 2
    assert store.queue.item(pair[1].id or "").text_id == entries(store)[1].ticket_text_id


def test_what_a_ticket_says_of_itself_is_the_newest(store: SqlStore) -> None:
    """Its fields are those of the last time; when it first came stays."""
    record(store, decision(ticket(metadata={"a": "1"}), accepted()))
    (before,) = rows(store, schema.ticket)
    record(store, decision(ticket("新的", channel="chat", metadata={"b": "2"}), accepted()))
    (now,) = rows(store, schema.ticket)
    assert (now.channel, now.metadata, now.received_at) == ("chat", {"b": "2"}, before.received_at)


# -- all or nothing --------------------------------------------------------------------------------


class _BrokenError(Exception):
    """Raised in the middle."""


@pytest.mark.parametrize(
    "step", ["_write_tickets", "_write_texts", "_write_outcomes", "_write_entries", "_write_events", "_count"]
)
def test_a_group_that_breaks_in_the_middle_leaves_nothing(store: SqlStore, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """An outcome without its place in the queue would be a lost ticket."""
    from llmtriage.store.recording import _Group

    done = getattr(_Group, step)

    def breaks(*arguments: Any) -> None:
        done(*arguments)
        raise _BrokenError

    with monkeypatch.context() as patch:
        patch.setattr(_Group, step, breaks)
        with pytest.raises(_BrokenError):
            record(store, decision(ticket(), pending()))
    for table in schema.metadata.sorted_tables:
        if table.name != "meta":
            assert not rows(store, table), table.name
    record(store, decision(ticket(), pending()))
    assert len(entries(store)) == 1


def test_a_bad_item_fails_alone(store: SqlStore) -> None:
    """Who shares a commit with somebody's broken decisions loses nothing."""
    bad = Decision(
        ticket=ticket(ticket_id="bad"), outcome=accepted(), run=decision(ticket(), accepted()).run, run_key="r", probe=7
    )
    asked = [
        store.record([one])
        for one in (decision(ticket(ticket_id="T1"), pending()), bad, decision(ticket(ticket_id="T2"), pending()))
    ]
    asked[0].result(timeout=60)
    asked[2].result(timeout=60)
    with pytest.raises(exc.IntegrityError):
        asked[1].result(timeout=60)
    assert {row.external_id for row in rows(store, schema.ticket)} == {"T1", "T2"}


def test_several_runs_may_share_a_commit(store: SqlStore) -> None:
    """Each decision stays with its own run."""
    record(store, decision(ticket(), pending()), decision(ticket(), accepted(), run=OTHER_RUN))
    assert {row.run_id: row.kind for row in rows(store, schema.outcome)} == {"run-1": "pending", "run-2": "accepted"}


# -- the log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["update event set actor = 'x'", "delete from event"])
def test_the_log_only_grows(store: SqlStore, statement: str) -> None:
    """The database itself refuses to change it."""
    record(store, decision(ticket(), pending()))
    with (
        pytest.raises((StoreError, exc.IntegrityError), match="the event log only grows"),
        store.database.writing() as connection,
    ):
        connection.execute(sa.text(statement))
    assert [row.kind for row in rows(store, schema.event)] == ["outcome"]


def test_the_log_holds_numbers_only(store: SqlStore) -> None:
    """Nothing in it need be erased."""
    record(store, decision(ticket("13812345678", customer="李雷"), pending()), decision(ticket("x", "T2"), accepted(), probe=0.5))
    assert {row.kind for row in rows(store, schema.event)} == {"outcome", "probe"}
    assert all(isinstance(value, int) for row in rows(store, schema.event) for value in row.data.values())


def _lease(store: SqlStore, owner: str) -> None:
    with store.database.writing() as connection:
        connection.execute(schema.queue_entry.update().values(lease_owner=owner, lease_until=2**60))


def test_fields_that_came_later_are_kept_though_nothing_is_asked_again(store: SqlStore) -> None:
    """Else a customer whom only the second file names could not be found to be erased."""
    record(store, decision(ticket(), pending()))
    now = ticket(customer="客户7", metadata={"a": "1"})
    (known,) = recall(store, now)
    assert known
    assert not known.own
    record(store, decision(now, known.outcome))
    (row,) = rows(store, schema.ticket)
    assert (row.customer, row.metadata) == ("客户7", {"a": "1"})
    assert len(rows(store, schema.outcome)) == len(entries(store)) == 1
    (known,) = recall(store, now)
    assert known
    assert known.own


def test_of_a_text_that_many_tickets_have_two_are_looked_at(store: SqlStore) -> None:
    """What a machine writes comes a thousand times; the first and the last ticket tell of every run that began or ended with it."""
    first = [decision(ticket("谢谢", f"A{n}"), accepted()) for n in range(3)]
    later = [decision(ticket("谢谢", f"B{n}"), accepted("parcel"), run=OTHER_RUN) for n in range(3)]
    record(store, *first)
    record(store, *later)
    found = [recall(store, ticket("谢谢", "new"), run=run)[0] for run in (RUN, OTHER_RUN)]
    assert [known and known.outcome.category for known in found] == ["refund", "parcel"]  # type: ignore[union-attr]


def test_who_waits_keeps_the_place_when_another_ticket_comes_with_the_same_again(open_store: OpenStore) -> None:
    """In a later process: of the ticket that is known nothing is written, so its place is left alone."""
    record(open_store(), decision(ticket("退款", "甲"), pending()))
    record(open_store(), decision(ticket("退款", "甲"), pending()), decision(ticket("快递", "乙"), accepted()))
    assert len(entries(open_store())) == 1
