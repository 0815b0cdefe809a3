"""What other systems are told: signed, at least once, whatever they do, and never the text."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from decided import rows
from hooked import NEXT, SECRET, Receiver, receiver, standard, until
from serving import Served

from llmtriage.errors import InputError
from llmtriage.service.hooks import telling
from llmtriage.service.hooks.addresses import is_public
from llmtriage.service.hooks.signing import RefusedError, Standard
from llmtriage.store import outbox, schema

Serve = Callable[..., Served]
LOST = {"id": "T1", "title": "Parcel lost", "content": "My parcel never arrived and nobody answers the phone"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets, and times that a test can wait for."""
    monkeypatch.setenv("CRM_SECRET", SECRET)
    monkeypatch.setattr(telling, "LOOK", 0.05)
    monkeypatch.setattr(telling, "WAITS", (0.05, 0.05, 0.05))


def _callbacks(listening: Receiver, **more: Any) -> dict[str, Any]:
    return {"crm": {"url": listening.url, "secret_env": "CRM_SECRET", "private": True, **more}}


def _deliveries(served: Served, *, over: bool = True) -> list[Any]:
    found = rows(served.store, schema.delivery)
    return [one for one in found if not over or one.next_at is None]


def test_an_accepted_ticket_is_told_signed_and_without_text(serve: Serve) -> None:
    """Which ticket, where it went, how sure and by which version; whoever knows the secret can check it."""
    with receiver() as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        outcome = served.client.post("/classify/single", json=LOST).json()
        [heard] = until(lambda: crm.heard)
        assert heard.said["type"] == "ticket.accepted"
        assert heard.said["data"] == {
            "id": "T1",
            "source": "",
            "category": outcome["category"],
            "team": outcome["team"],
            "confidence": None,
            "score": pytest.approx(outcome["score"]),
            "version": served.service.versions.current.id,
            "reviewer": None,
        }
        assert Standard(SECRET, variable="X")(heard.body, heard.headers, time.time()) == heard.headers["webhook-id"]
        assert "arrived" not in heard.body.decode()
        [row] = until(lambda: _deliveries(served))
        assert (row.status, row.attempts, row.held_until) == (204, 1, None)
        assert row.delivered_at


@pytest.mark.slow
def test_what_waits_is_told_when_a_person_has_answered(serve: Serve) -> None:
    """And when the answer is taken back; never while it waits."""
    with receiver() as crm:
        served = serve(callbacks=_callbacks(crm))
        served.client.post("/classify/single", json=LOST)
        queue, taxonomy = served.store.queue, served.service.taxonomy
        [item] = queue.claim("王芳")
        leaf = taxonomy.leaves[0].id
        queue.answer(item, "王芳", leaf, taxonomy=taxonomy, shown=True)
        queue.undo("王芳")
        until(lambda: len(crm.heard) >= 2)
        told = sorted((one.said for one in crm.heard), key=lambda said: str(said["timestamp"]))
        assert [one["type"] for one in told] == ["ticket.reviewed", "ticket.review_retracted"]
        assert {(one["data"]["category"], one["data"]["reviewer"], one["data"]["score"]) for one in told} == {
            (leaf, "王芳", None)
        }
        assert told[0]["data"]["team"] == taxonomy.team(leaf)


def test_only_what_is_wanted_is_told(serve: Serve) -> None:
    """A callback for reviews hears nothing of what a model accepted."""
    with receiver() as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm, events=("reviewed",)))
        served.client.post("/classify/single", json=LOST)
        until(lambda: rows(served.store, schema.callback, schema.callback.c.last_event > 0))
        assert _deliveries(served, over=False) == []


def _cut_off(request: BaseHTTPRequestHandler) -> None:
    request.connection.close()


def _late(request: BaseHTTPRequestHandler) -> int:
    time.sleep(0.5)
    return 204


def _elsewhere(request: BaseHTTPRequestHandler) -> None:
    request.send_response(307)
    request.send_header("location", "/elsewhere")
    request.send_header("content-length", "0")
    request.end_headers()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [lambda _: 500, _cut_off, _late, _elsewhere, lambda _: 429])
def test_a_receiver_that_fails_is_told_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, fault: Callable[[BaseHTTPRequestHandler], int | None]
) -> None:
    """With the same id and the same body, so that it can leave out what it has: an error, a cut, no answer in time, a redirect."""
    monkeypatch.setattr(telling, "TIMEOUT", 0.3)
    with receiver(lambda request, number: fault(request) if number <= 2 else 204) as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        served.client.post("/classify/single", json=LOST)
        [row] = until(lambda: _deliveries(served))
        assert (row.status, row.attempts) == (204, 3)
        assert len({one.headers["webhook-id"] for one in crm.heard}) == 1
        assert len({one.body for one in crm.heard}) == 1
        assert len(crm.heard) == 3


@pytest.mark.slow
def test_a_receiver_that_never_answers_well_is_given_up_and_can_be_seen(serve: Serve) -> None:
    """After the last attempt nothing is next, and it has not arrived."""
    with receiver(lambda _request, _number: 503) as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        served.client.post("/classify/single", json=LOST)
        [row] = until(lambda: _deliveries(served))
        assert (row.status, row.attempts, row.delivered_at) == (503, 4, None)


def _busy(said: str, status: int, name: str = "retry-after") -> Callable[[BaseHTTPRequestHandler, int], None]:
    def answer(request: BaseHTTPRequestHandler, _: int) -> None:
        request.send_response(status)
        request.send_header(name, said)
        request.send_header("content-length", "0")
        request.end_headers()

    return answer


@pytest.mark.parametrize(
    ("said", "status", "seconds"),
    [
        ("120", 429, 120),
        (timedelta(hours=2), 503, 7200),
        ("9" * 30, 503, telling.LONGEST),
        ("Sun, 06 Nov 2094 08:49:37 GMT", 429, telling.LONGEST),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 503, 0),
        ("明天".encode().decode("latin-1"), 503, 0),
        ("-5", 429, 0),
        ("120", 500, 0),
    ],
)
def test_a_receiver_may_ask_to_be_left_alone(serve: Serve, said: str | timedelta, status: int, seconds: float) -> None:
    """For a day at most, in seconds or until a date; what makes no sense counts for nothing."""
    if isinstance(said, timedelta):
        said = format_datetime(datetime.now(UTC) + said, usegmt=True)
    with receiver(_busy(said, status)) as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        before = time.time()
        served.client.post("/classify/single", json=LOST)
        [row] = until(lambda: [one for one in rows(served.store, schema.delivery) if one.status])
        late = 1 + time.time() - before
        assert (row.status, row.attempts > 0) == (status, not seconds)
        if seconds:
            assert before + seconds - 2 < row.next_at / 1e6 < before + seconds + late
        else:
            assert row.next_at is None or row.next_at / 1e6 < before + late


def test_who_asks_to_be_left_alone_is_told_nothing_meanwhile(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither that message again nor another one."""
    rounds: list[float] = []
    fill = outbox.fill

    def counted(*given: Any) -> bool:
        rounds.append(time.monotonic())
        return fill(*given)

    monkeypatch.setattr(outbox, "fill", counted)
    with receiver(_busy("120", 429)) as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        served.client.post("/classify/single", json=LOST)
        until(lambda: [one for one in rows(served.store, schema.delivery) if one.status])
        served.client.post("/classify/single", json={**LOST, "id": "T2"})
        until(lambda: len(rows(served.store, schema.delivery)) == 2)
        seen = len(rounds)
        until(lambda: len(rounds) > seen + 2)
        assert len(crm.heard) == 1
        assert [(one.status, one.attempts) for one in rows(served.store, schema.delivery)] == [(429, 0), (None, 0)]


def test_a_wait_that_the_receiver_asked_for_uses_up_no_attempt(serve: Serve) -> None:
    """However often it asks for one, it is told in the end."""
    busy = _busy("20", 503, "retry-after-ms")

    def answer(request: BaseHTTPRequestHandler, number: int) -> int | None:
        if number > len(telling.WAITS) + 1:
            return 204
        busy(request, number)
        return None

    with receiver(answer) as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        served.client.post("/classify/single", json=LOST)
        [row] = until(lambda: _deliveries(served))
        assert (row.status, row.attempts, len(crm.heard)) == (204, 1, len(telling.WAITS) + 2)


def test_gone_is_gone(serve: Serve) -> None:
    """410 ends a delivery at once."""
    with receiver(lambda _request, _number: 410) as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        served.client.post("/classify/single", json=LOST)
        [row] = until(lambda: _deliveries(served))
        assert (row.status, row.attempts, row.delivered_at) == (410, 1, None)


def _endless(request: BaseHTTPRequestHandler) -> None:
    """Much more than anybody reads."""
    request.send_response(200)
    request.end_headers()
    try:
        for _ in itertools.count():
            request.wfile.write(b"x" * 65_536)
    except OSError:
        request.close_connection = True


def test_an_endless_answer_is_not_read(serve: Serve) -> None:
    """The status says that it arrived."""
    with receiver(lambda request, _number: _endless(request)) as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        served.client.post("/classify/single", json=LOST)
        [row] = until(lambda: _deliveries(served))
        assert (row.status, row.attempts) == (200, 1)


def test_two_secrets_sign_both(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the receiver can change its own whenever it likes."""
    monkeypatch.setenv("CRM_SECRET", f"{SECRET} {NEXT}")
    with receiver() as crm:
        served = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        served.client.post("/classify/single", json=LOST)
        [heard] = until(lambda: crm.heard)
        for secret in (SECRET, NEXT):
            assert Standard(secret, variable="X")(heard.body, heard.headers, time.time())
        with pytest.raises(RefusedError):
            Standard(SECRET[:-5] + "AAAA=", variable="X")(heard.body, heard.headers, time.time())


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_private_address_is_not_called(serve: Serve, host: str) -> None:
    """Named as such the start is refused; a name is looked up, and nothing is sent."""
    with receiver() as crm:
        callbacks = _callbacks(crm, private=False, url=crm.url.replace("127.0.0.1", host))
        if host == "127.0.0.1":
            with pytest.raises(InputError, match="private"):
                serve(callbacks=callbacks)
            return
        served = serve(triage={"threshold": 0.0}, callbacks=callbacks)
        served.client.post("/classify/single", json=LOST)
        [row] = until(lambda: _deliveries(served))
        assert (row.status, row.delivered_at, row.attempts) == (None, None, 4)
        assert crm.heard == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.1.2.3", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_what_belongs_to_the_internet(address: str, *, public: bool) -> None:
    """Also an address inside of another one is seen."""
    assert is_public(address) == public


@pytest.mark.parametrize(
    ("settings", "variable", "told"),
    [
        ({"hooks": {"crm": {"secret_env": "NOT_SET"}}}, "", "NOT_SET: this environment variable is not set"),
        ({"callbacks": {"crm": {"url": "https://crm.example", "secret_env": "NOT_SET"}}}, "", "NOT_SET"),
        ({"hooks": {"crm": {"secret_env": "NOT_SET"}}}, "a password", "no secret of Standard Webhooks"),
        ({"hooks": {"crm": {"secret_env": "CRM_SECRET", "fields": {"contnet": "x"}}}}, "", "did you mean 'content'"),
        ({"callbacks": {"crm": {"url": "https://me:pw@crm.example", "secret_env": "CRM_SECRET"}}}, "", "without a password"),
    ],
)
def test_what_cannot_work_stops_the_start(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], variable: str, told: str
) -> None:
    """With one line that names the variable or the key, never the secret."""
    if variable:
        monkeypatch.setenv("NOT_SET", variable)
    with pytest.raises(InputError) as error:
        serve(**settings)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert not variable or variable not in str(error.value)


def test_a_probe_is_told_to_nobody_until_it_is_answered(serve: Serve) -> None:
    """What the model said of it could lead the person who decides."""
    with receiver() as crm:
        served = serve(triage={"threshold": 0.0, "probe": 1.0}, callbacks=_callbacks(crm))
        served.client.post("/classify/single", json=LOST)
        until(lambda: rows(served.store, schema.callback, schema.callback.c.last_event > 0))
        assert _deliveries(served, over=False) == []
        queue, taxonomy = served.store.queue, served.service.taxonomy
        [item] = queue.claim("李雷")
        queue.answer(item, "李雷", taxonomy.leaves[0].id, taxonomy=taxonomy, shown=False)
        [heard] = until(lambda: crm.heard)
        assert heard.said["type"] == "ticket.reviewed"
        assert heard.said["data"]["score"] is None
        assert json.dumps(LOST["content"]) not in heard.body.decode()


@pytest.mark.slow
def test_a_probe_that_waits_is_not_told_by_another_run_either(serve: Serve) -> None:
    """Neither by its reply, nor by a callback, nor by what is known of the ticket."""
    with receiver() as crm:
        drawing = serve(triage={"threshold": 0.0, "probe": 1.0}, callbacks=_callbacks(crm))
        drawing.client.post("/classify/single", json=LOST)
        other = serve(triage={"threshold": 0.0}, callbacks=_callbacks(crm))
        for _ in range(2):
            told = other.client.post("/classify/single", json=LOST).json()
            assert [reason["code"] for reason in told["reasons"]] == ["probe"]
            assert (told["outcome"], told["category"], told["suggestion"], told["candidates"]) == ("pending", None, None, [])
        assert other.client.post("/classify/single", json={**LOST, "id": "T-other"}).json()["outcome"] == "accepted"
        [heard] = until(lambda: crm.heard)
        assert heard.said["data"]["id"] == "T-other"


@pytest.mark.slow
def test_two_services_share_what_comes_and_what_is_told(serve: Serve) -> None:
    """Whichever takes a message, each ticket is decided once and told once."""
    with receiver() as crm:
        hooks = {"shop": {"secret_env": "CRM_SECRET"}}
        both = [serve(triage={"threshold": 0.0}, hooks=hooks, callbacks=_callbacks(crm)) for _ in range(2)]
        for n in range(20):
            body = json.dumps({**LOST, "id": f"T{n}"}).encode()
            reply = both[n % 2].client.post("/hooks/shop", content=body, headers=standard(f"m{n}", body))
            assert reply.status_code == 202
        until(lambda: len(_deliveries(both[0])) == 20)
        assert sorted(one.said["data"]["id"] for one in crm.heard) == sorted(f"T{n}" for n in range(20))
        assert len({one.headers["webhook-id"] for one in crm.heard}) == 20
