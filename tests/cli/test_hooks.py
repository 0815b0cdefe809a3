"""`llmtriage hooks`: what waits and what was given up can be seen, and told again; `db erase` finds what came."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Cli
from decided import accepted, decision, record, rows, ticket

from llmtriage import Ticket
from llmtriage.store import SqlStore, erasing, inbox, outbox, schema

_ACCEPTED: tuple[outbox.Told, ...] = ("accepted",)


@pytest.fixture
def given_up(cli: Cli, tmp_path: Path) -> Path:
    """A store with two messages that wait, and of three deliveries one that waits, one that arrived and one that was given up."""
    path = tmp_path / "llmtriage.db"
    with SqlStore(path) as store:
        outbox.follow(store, "crm")
        record(store, *(decision(ticket(f"text {n}", f"T{n}"), accepted()) for n in range(3)))
        outbox.fill(store, "crm", _ACCEPTED, lambda _: None)
        first, second, _ = outbox.take(store, "crm", 9)
        outbox.arrived(store, {first.id: 200})
        outbox.failed(store, {second.id: (500, None)})
        for n in range(2):
            inbox.put(store, "shop", f"m{n}", Ticket(content="我的包裹没到", id=f"编号{n}", customer="李雷"))
    return path


def test_what_was_given_up_is_shown_and_told_again(cli: Cli, given_up: Path) -> None:
    """In both languages; told again it has the id it had."""
    assert cli("hooks", "list").out.splitlines() == [
        "in: 2 messages wait",
        "crm: 1 wait, 1 given up, 1 arrived in the last 30 days",
    ]
    assert "1 条已放弃" in cli("hooks", "list", "--language", "zh").out
    told = json.loads(cli("hooks", "list", "--json").out)
    assert told == {"waiting": 2, "callbacks": [{"callback": "crm", "waiting": 1, "given_up": 1, "arrived": 1}]}
    assert cli("hooks", "retry", "crm").err == "1 are told again; a running service sends them\n"
    with SqlStore(given_up) as store:
        [again] = outbox.take(store, "crm", 9)
        assert (again.body["data"]["id"], again.attempts) == ("T1", 0)
    done = cli("hooks", "retry", "cmr")
    assert (done.code, "did you mean 'crm'?" in done.err) == (2, True)


def test_what_is_told_of_an_erased_ticket_is_not_told_again(cli: Cli, given_up: Path) -> None:
    """Its name is gone."""
    with SqlStore(given_up) as store:
        erasing.erase(store, erasing.tickets_named(store, ["T1"])["T1"])
    assert cli("hooks", "retry").err.startswith("0 ")


def test_erase_finds_messages_that_are_not_decided(cli: Cli, given_up: Path) -> None:
    """By id and by customer; an id that is nowhere is still an error."""
    assert cli("db", "erase", "--ticket", "编号0", "--yes").err.startswith("1 tickets erased")
    assert cli("db", "erase", "--ticket", "编号0", "--yes").code == 2
    assert cli("db", "erase", "--customer", "李雷", "--yes").err.startswith("1 tickets erased")
    with SqlStore(given_up) as store:
        assert [row.ticket for row in rows(store, schema.inbox)] == [None, None]
