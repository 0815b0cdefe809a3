"""Requests that were answered under a key: of two at once one runs, whoever died is followed by another, and nothing is kept for ever."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from llmtriage.store import SqlStore, schema
from llmtriage.store.requests import Claim, Reply, Requests, State

OpenStore = Callable[..., SqlStore]
_SECOND = 10**6  # microseconds


@pytest.fixture
def requests(store: SqlStore) -> Requests:
    """The table of a store in which nothing is."""
    return Requests(store.database)


def test_of_many_threads_one_claims(open_store: OpenStore) -> None:
    """In each of ten rounds, on two connections as two processes would have."""
    tables = [Requests(open_store().database), Requests(open_store().database)] * 4
    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            found = list(pool.map(lambda table, key=f"K{number}": table.claim("crm", key, b"asked"), tables))
            assert sum(isinstance(each, Claim) for each in found) == 1
            assert sum(each is State.RUNNING for each in found) == 7


def test_one_that_died_is_taken_over_after_a_minute(requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it gave a sign of life; one that comes back late changes nothing."""
    at = [1_800_000_000 * _SECOND]
    monkeypatch.setattr("llmtriage.store.requests.now", lambda: at[0])
    claim = requests.claim("crm", "K", b"asked")
    assert isinstance(claim, Claim)
    at[0] += 50 * _SECOND
    claim = requests.renew(claim)
    at[0] += 50 * _SECOND
    assert requests.claim("crm", "K", b"asked") is State.RUNNING
    at[0] += 11 * _SECOND
    taken = requests.claim("crm", "K", b"asked")
    assert isinstance(taken, Claim)
    requests.keep(claim, Reply(200, "application/json", '"late"'))
    requests.let_go(claim)
    assert requests.claim("crm", "K", b"asked") is State.RUNNING
    reply = Reply(200, "application/json", '"包裹"')
    requests.keep(taken, reply)
    assert requests.claim("crm", "K", b"asked") == reply
    requests.let_go(taken)
    assert requests.claim("crm", "K", b"asked") == reply
    assert requests.claim("crm", "K", b"other") is State.OTHER
    assert isinstance(requests.claim("shop", "K", b"asked"), Claim)


def test_replies_are_kept_for_a_day(requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the key is free."""
    at = [1_800_000_000 * _SECOND]
    monkeypatch.setattr("llmtriage.store.requests.now", lambda: at[0])
    for key in ("K", "L"):
        claim = requests.claim("crm", key, b"asked")
        assert isinstance(claim, Claim)
        requests.keep(claim, Reply(200, "application/json", "{}"))
    at[0] += 24 * 3600 * _SECOND
    assert isinstance(requests.claim("crm", "K", b"asked"), Reply)
    at[0] += 1
    assert isinstance(requests.claim("crm", "K", b"asked"), Claim)
    with requests._database.reading() as connection:
        assert connection.scalars(sa.select(schema.idempotency.c.key)).all() == ["K"]
