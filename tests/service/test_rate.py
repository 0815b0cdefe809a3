"""How often somebody may: requests of a caller, and sign-ins that fail."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from serving import Served
from signing_in import NAME, PASSWORD, sign_in, with_account
from starlette.requests import HTTPConnection

from llmtriage.errors import StoreError
from llmtriage.service.access import rate
from llmtriage.service.access.hosts import network_of
from llmtriage.service.access.rate import Attempts, Rates
from llmtriage.service.access.state import Access
from llmtriage.service.settings import ServiceSettings
from llmtriage.store import accounts, keys

Serve = Callable[..., Served]


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def test_a_caller_who_calls_too_often_is_told_when_to_come_again(serve: Serve) -> None:
    """Another caller is not concerned, nor is whether the service lives."""
    served = serve(per_minute=2)
    first, second = (keys.create(served.store.database, name, ["classify"]).secret for name in ("first", "second"))
    statuses = []
    for secret in (first, first, first, second):
        reply = served.client.get("/categories", headers={"Authorization": f"Bearer {secret}"})
        statuses.append(reply.status_code)
        if reply.status_code == 429:
            assert 25 <= int(reply.headers["retry-after"]) <= 30
            assert reply.headers["content-type"] == "application/problem+json"
    assert statuses == [200, 200, 429, 200]
    assert served.client.get("/health").status_code == 200


def test_a_key_that_is_named_like_a_person_has_a_count_of_its_own(serve: Serve) -> None:
    """What one of them spends is not missing to the other."""
    served = serve(per_minute=1)
    client = with_account(served)
    key = keys.create(served.store.database, NAME, ["review"]).secret
    assert sign_in(client) == 200
    headers: list[dict[str, str]] = [{}, {"Authorization": f"Bearer {key}"}]
    assert [client.get("/queue", headers=one).status_code for one in headers * 2] == [200, 200, 429, 429]


def test_what_came_back_may_be_used(serve: Serve) -> None:
    """A request every half minute goes on for ever; a minute's worth is the most at once."""
    clock = Clock()
    rates = Rates(2, clock=clock)
    for _ in range(10):
        assert rates.take("a") == 0
        clock.at += 30
    clock.at += 10_000
    assert [rates.take("a") for _ in range(3)] == [0, 0, 30]


@given(waits=st.lists(st.floats(0, 100), max_size=200), per_minute=st.integers(1, 30))
def test_never_more_than_the_rate(waits: list[float], per_minute: int) -> None:
    """In any stretch of time: a minute's worth, and what came back in it."""
    clock = Clock()
    rates = Rates(per_minute, clock=clock)
    taken = 0
    for wait in waits:
        clock.at += wait
        taken += rates.take("a") == 0
    assert taken <= per_minute + sum(waits) * per_minute / 60 + 1e-6


@given(steps=st.lists(st.floats(0, 50), min_size=1, max_size=50))
def test_who_waits_as_told_may(steps: list[float]) -> None:
    """Not a moment too early."""
    clock = Clock()
    rates = Rates(3, clock=clock)
    for step in steps:
        clock.at += step
        wait = rates.take("a")
        if wait:
            clock.at += wait + 1e-6
            assert rates.take("a") == 0


def test_sign_ins_that_fail_are_slowed_down(serve: Serve) -> None:
    """Ten in ten minutes; then also the right password waits, from any name at this address."""
    served = serve()
    client = with_account(served)
    statuses = [sign_in(client, f"name {n}", "wrong password") for n in range(10)]
    assert statuses == [403] * 10
    reply = client.post("/try/in", data={"name": NAME, "password": "x"})
    assert reply.status_code == 429
    assert 590 <= int(reply.headers["retry-after"]) <= 600


def test_one_name_is_not_tried_from_many_addresses(serve: Serve) -> None:
    """The count of a name holds wherever it is tried from; another name is not concerned."""
    served = serve()
    with_account(served)
    clients = [TestClient(served.client.app, base_url="http://127.0.0.1:8080", client=(f"10.0.0.{n}", 1)) for n in range(11)]
    statuses = [sign_in(client, NAME, "wrong password") for client in clients]
    assert statuses == [403] * 10 + [429]
    assert sign_in(clients[10], "ann", "wrong password") == 403


@pytest.mark.slow
def test_a_network_of_addresses_is_one(serve: Serve) -> None:
    """Who has one address of IPv6 has all of its network; another network is not concerned."""
    served = serve()
    with_account(served)
    ends = [f"2001:db8:0:1::{n:x}" for n in range(1, 12)] + ["2001:db8:0:2::1"]
    clients = [TestClient(served.client.app, base_url="http://127.0.0.1:8080", client=(one, 1)) for one in ends]
    assert [sign_in(client, f"name {n}", "wrong password") for n, client in enumerate(clients)] == [403] * 10 + [429, 403]


@pytest.mark.parametrize(
    ("peer", "said", "network"),
    [
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("::ffff:203.0.113.7", [], "203.0.113.7"),
        ("10.0.0.2", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.2", ["192.0.2.1, 198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.2", ["192.0.2.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.2", ["192.0.2.1", "[2001:db8::1]:4711"], "2001:db8::/64"),
        ("::ffff:10.0.0.2", ["192.0.2.1, 198.51.100.1, 10.0.0.3"], "198.51.100.1"),
        ("10.0.0.2", ["192.0.2.1, unknown"], "10.0.0.2"),
        ("10.0.0.2", [], "10.0.0.2"),
        ("testclient", ["198.51.100.1"], "testclient"),
        ("fe80::1%eth0", [], "fe80::/64"),
    ],
)
def test_where_a_request_comes_from(peer: str, said: list[str], network: str) -> None:
    """What the proxies that are trusted say, from the nearest on, however they write it; never what the caller wrote before them."""
    headers = [(b"x-forwarded-for", one.encode()) for one in said]
    request = HTTPConnection({"type": "http", "client": (peer, 1), "headers": headers})
    assert network_of(request, ServiceSettings(trusted_proxies=("10.0.0.0/24",))) == network


@pytest.mark.slow
def test_sign_ins_that_cannot_be_looked_at_do_not_count(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told to come again, and may."""
    client = with_account(serve())
    with monkeypatch.context() as patch:
        patch.setattr(accounts, "_AT_ONCE", threading.Semaphore(0))
        patch.setattr(accounts, "_PATIENCE", 0.01)
        reply = [client.post("/try/in", data={"name": NAME, "password": PASSWORD}) for _ in range(11)][-1]
        assert (reply.status_code, reply.json()["title"]) == (503, "too many sign in at this moment")
        assert int(reply.headers["retry-after"]) > 0
        page = client.post("/login", data={"name": NAME, "password": PASSWORD})
        assert (page.status_code, "retry-after" in page.headers, page.headers["content-type"]) == (
            503,
            True,
            "text/html; charset=utf-8",
        )
    assert sign_in(client) == 200


@pytest.mark.timeout(60)
def test_few_threads_wait_for_slow_hashes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are made at a time and six wait; whoever comes then is refused at once, so that others find a thread."""
    served = serve()
    with_account(served)
    go_on = threading.Event()
    hash_it: Callable[..., bytes] = accounts._scrypt

    def slow(*arguments: Any, **parameters: int) -> bytes:
        assert go_on.wait(20)
        return hash_it(*arguments, **parameters)

    monkeypatch.setattr(accounts, "_scrypt", slow)
    monkeypatch.setattr(accounts, "_PATIENCE", 20.0)
    with ThreadPoolExecutor(12) as pool:
        all_of_them = [pool.submit(accounts.verify, served.store.database, NAME, PASSWORD) for _ in range(12)]
        refused = [one.exception() for one in itertools.islice(as_completed(all_of_them), 4)]
        assert [type(one) for one in refused] == [StoreError] * 4
        go_on.set()
    assert sum(one.exception() is None for one in all_of_them) == 8


def test_sign_ins_that_succeed_do_not_count(serve: Serve) -> None:
    """Nor do they take back those that failed."""
    clock = Clock()
    served = serve()
    client = with_account(served)
    client.app.state.access = Access(Rates(60), Attempts(2, 600, clock=clock))  # type: ignore[attr-defined]
    for _ in range(3):
        assert sign_in(client) == 200
        client.cookies.clear()
    assert [sign_in(client, password=word) for word in ("wrong", "wrong")] == [403, 403]
    assert sign_in(client) == 429
    clock.at += 601
    assert sign_in(client) == 200


def test_many_at_once_are_no_way_around() -> None:
    """An attempt counts from its beginning."""
    attempts = Attempts(3, 600, clock=Clock())
    assert [attempts.begin(["name a", "address x"]) for _ in range(4)] == [0, 0, 0, 600]
    attempts.take_back(["name a", "address x"])
    assert attempts.begin(["name a", "address y"]) == 0
    assert attempts.begin(["name b", "address x"]) == 0
    assert attempts.begin(["name c", "address x"]) == 600


def test_what_is_remembered_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that nobody has are forgotten first come, first gone."""
    monkeypatch.setattr(rate, "_REMEMBERED", 5)
    attempts, rates = Attempts(2, 600, clock=Clock()), Rates(2, clock=Clock())
    for n in range(100):
        attempts.begin([f"name {n}"])
        rates.take(f"caller {n}")
    assert len(attempts._failed) == len(rates._buckets) == 5
