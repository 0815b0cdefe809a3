"""Tickets that other systems send: signed, taken once, and decided whatever happens in between."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from decided import rows
from hooked import NEXT, SECRET, ZENDESK, standard, until, zendesk
from serving import Served

from llmtriage.errors import StoreError
from llmtriage.service.api import hooks
from llmtriage.service.hooks import working
from llmtriage.service.serving import Service
from llmtriage.store import SqlStore, inbox, schema

Serve = Callable[..., Served]
HOOKS = {
    "crm": {"secret_env": "CRM_SECRET"},
    "zendesk": {"kind": "zendesk", "secret_env": "ZENDESK_SECRET"},
}
LOST = {"id": "T1", "title": "Parcel lost", "content": "My parcel never arrived and nobody answers the phone"}


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What both senders sign with."""
    monkeypatch.setenv("CRM_SECRET", SECRET)
    monkeypatch.setenv("ZENDESK_SECRET", ZENDESK)


def _send(served: Served, said: Any, message: str = "msg_1", **signed: Any) -> Any:
    body = said if isinstance(said, bytes) else json.dumps(said, ensure_ascii=False).encode()
    return served.client.post("/hooks/crm", content=body, headers=standard(message, body, **signed))


def _decided(served: Served) -> list[Any]:
    return list(rows(served.store, schema.outcome))


def test_a_signed_ticket_is_taken_and_decided(serve: Serve) -> None:
    """202 once it is on disk; its text leaves the inbox when it is decided, and that it came is still known."""
    served = serve(hooks=HOOKS)
    reply = _send(served, {"type": "ticket", "data": LOST})
    assert (reply.status_code, reply.json()) == (202, {"status": "taken"})
    until(lambda: _decided(served))
    [row] = until(lambda: rows(served.store, schema.inbox, schema.inbox.c.done_at.is_not(None)))
    assert (row.hook, row.message, row.ticket, row.ticket_key, row.next_at) == ("crm", "msg_1", None, None, None)
    [ticket] = rows(served.store, schema.ticket)
    assert (ticket.external_id, ticket.source) == ("T1", "")


def test_zendesk_is_understood_without_a_map(serve: Serve) -> None:
    """The event "Ticket created": subject, description, channel and requester are where Zendesk puts them."""
    served = serve(hooks=HOOKS)
    detail = {
        "id": "35436",
        "subject": "包裹丢失",
        "description": "我的包裹一直没有收到，客服电话也没有人接",
        "requester_id": "20978392",
        "via": {"channel": "web_service"},
    }
    body = json.dumps({"type": "zen:event-type:ticket.created", "detail": detail}, ensure_ascii=False).encode()
    headers = zendesk(body)
    assert served.client.post("/hooks/zendesk", content=body, headers=headers).status_code == 202
    assert served.client.post("/hooks/zendesk", content=body, headers=headers).status_code == 200
    [ticket] = until(lambda: rows(served.store, schema.ticket))
    assert (ticket.external_id, ticket.channel, ticket.customer) == ("35436", "web_service", "20978392")
    [item] = until(lambda: served.store.queue.page().items)
    assert (item.ticket.title, item.ticket.content) == (detail["subject"], detail["description"])


def test_a_message_that_comes_again_has_no_second_effect(serve: Serve) -> None:
    """It is answered with 200, however often, also after it was decided."""
    served = serve(hooks=HOOKS)
    assert _send(served, LOST).status_code == 202
    assert [_send(served, LOST).status_code for _ in range(3)] == [200, 200, 200]
    until(lambda: _decided(served))
    again = _send(served, {**LOST, "content": "another text under the same number of the message"})
    assert (again.status_code, again.json()) == (200, {"status": "known"})
    time.sleep(0.1)
    assert len(rows(served.store, schema.inbox)) == len(_decided(served)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda _headers: {},
        lambda headers: {**headers, "webhook-signature": headers["webhook-signature"][:-4] + "AAA="},
        lambda headers: {**headers, "webhook-signature": "v1,é"},
        lambda headers: {**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v0,")},
        lambda headers: {**headers, "webhook-id": "msg_2"},
        lambda headers: {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
    ],
)
def test_a_wrong_signature_is_refused(serve: Serve, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """As a problem that tells nothing of the message, and nothing is kept."""
    served = serve(hooks=HOOKS)
    body = json.dumps(LOST).encode()
    changed = [(name.encode(), value.encode()) for name, value in change(standard("msg_1", body)).items()]
    reply = served.client.post("/hooks/crm", content=body, headers=changed)
    assert (reply.status_code, reply.headers["content-type"]) == (401, "application/problem+json")
    assert "parcel" not in reply.text.lower()
    assert rows(served.store, schema.inbox) == []


def test_the_bytes_are_signed_not_what_they_mean(serve: Serve) -> None:
    """The same JSON written otherwise is another message."""
    served = serve(hooks=HOOKS)
    headers = standard("msg_1", json.dumps(LOST).encode())
    assert served.client.post("/hooks/crm", content=json.dumps(LOST, indent=1).encode(), headers=headers).status_code == 401


@pytest.mark.parametrize("seconds", [-301, 301])
def test_what_is_too_old_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """More than five minutes from now, before or behind; with either sender."""
    served, now = serve(hooks=HOOKS), datetime.now(UTC)
    monkeypatch.setattr(hooks, "time", SimpleNamespace(time=now.timestamp))  # it stands still, however long signing takes
    assert _send(served, LOST, at=now.timestamp() + seconds).status_code == 401
    body = json.dumps({"ticket": {"description": "a parcel"}}).encode()
    headers = zendesk(body, at=now + timedelta(seconds=seconds))
    assert served.client.post("/hooks/zendesk", content=body, headers=headers).status_code == 401


def test_a_hook_that_nobody_named_is_not_there(serve: Serve) -> None:
    """404, as for any path that leads nowhere."""
    body = json.dumps(LOST).encode()
    assert serve(hooks=HOOKS).client.post("/hooks/erp", content=body, headers=standard("m", body)).status_code == 404


@pytest.mark.parametrize(
    ("said", "place"),
    [
        (b"{", "body"),
        (b"\xff\xfe", "body"),
        (b"[" * 100_000, "body"),
        (b"[]", "data.content or content"),
        ({"id": "T1"}, "data.content or content"),
        ({"content": None}, "data.content or content"),
        ({"content": {"html": "secret words"}}, "content"),
        ({"content": "secret words", "id": "9" * 10_000}, "data.id or id"),
    ],
)
def test_a_message_without_a_ticket_is_told_without_its_text(serve: Serve, said: Any, place: str) -> None:
    """Which field is wrong; the sender's people can mend it, and nothing of the message is repeated."""
    reply = _send(serve(hooks=HOOKS), said)
    assert reply.status_code == 422
    assert place in [one["place"] for one in reply.json()["errors"]]
    assert "secret" not in reply.text
    assert "9999" not in reply.text


def test_secrets_change_while_messages_come(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the old and the new one in the variable, messages signed with either are taken."""
    monkeypatch.setenv("CRM_SECRET", f"{NEXT} {SECRET}")
    served = serve(hooks=HOOKS)
    assert _send(served, LOST, "msg_1", secret=SECRET).status_code == 202
    assert _send(served, LOST, "msg_2", secret=NEXT).status_code == 202


def test_fields_stand_where_the_settings_say(serve: Serve) -> None:
    """Names with dots; other fields go to the metadata, by which rules may decide."""
    fields = {"content": "message.body", "id": "message.no", "metadata.plan": "account.plan"}
    served = serve(hooks={"crm": {"secret_env": "CRM_SECRET", "fields": fields}})
    said = {"message": {"body": "我要退款，订单已经退回两周了", "no": 77}, "account": {"plan": "gold"}}
    assert _send(served, said).status_code == 202
    [ticket] = until(lambda: rows(served.store, schema.ticket))
    assert (ticket.external_id, ticket.metadata) == ("77", {"plan": "gold"})


HOSTILE = "<script>alert(1)</script> {{7*7}} {% raise %} =cmd|' /C calc'!A0 \u202egnp.exe ]]> '; drop table inbox;-- 我的包裹丢了"


def test_two_systems_may_count_in_the_same_way(serve: Serve) -> None:
    """With a prefix their tickets are two; a ticket without an id has none either way."""
    served = serve(hooks={"crm": HOOKS["crm"], "shop": {"secret_env": "CRM_SECRET", "id_prefix": "shop-"}})
    body = json.dumps(LOST).encode()
    nameless = json.dumps({"content": LOST["content"]}).encode()
    for place, message, sent in (("crm", "m1", body), ("shop", "m2", body), ("shop", "m3", nameless)):
        assert served.client.post(f"/hooks/{place}", content=sent, headers=standard(message, sent)).status_code == 202
    until(lambda: inbox.waiting(served.store) == 0)
    ids = {row.external_id for row in rows(served.store, schema.ticket)}
    assert ids == {"T1", "shop-T1", None}


def test_hostile_text_is_text(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """In every field: kept as it is for the person who decides, in no log and in no answer to the sender."""
    served = serve(hooks=HOOKS)
    said = {name: f"{HOSTILE} {name}" for name in ("id", "title", "content", "channel", "language", "customer")}
    reply = _send(served, said)
    assert reply.status_code == 202
    assert "script" not in reply.text
    [item] = until(lambda: served.store.queue.page().items)
    assert {name: getattr(item.ticket, name) for name in said} == said
    assert "script" not in caplog.text


def test_a_sender_is_told_to_come_again_while_the_store_is_away(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """503: nothing is answered with "taken" that is not on disk."""
    served = serve(hooks=HOOKS)

    def away(*_: Any) -> bool:
        raise StoreError("the disk is full", store="service.db")

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "put", away)
        assert _send(served, LOST).status_code == 503
    assert _send(served, LOST).status_code == 202


@pytest.mark.slow
def test_messages_wait_for_a_store_that_is_away(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a group too: what was held is decided when it is back."""
    served = serve(hooks=HOOKS)
    calls = iter(range(100))
    decide = Service.decide

    async def away(*args: Any) -> Any:
        if next(calls) < 2:
            raise StoreError("the server cannot be reached", store="service.db")
        return await decide(*args)

    monkeypatch.setattr(Service, "decide", away)
    monkeypatch.setattr(working, "_FIRST_WAIT", 0.05)
    assert _send(served, LOST).status_code == 202
    until(lambda: inbox.waiting(served.store) == 0)
    assert len(_decided(served)) == 1


def test_one_ticket_that_meets_a_fault_does_not_stop_the_others(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not lost and not decided, and the log names its message without its text."""
    served = serve(hooks=HOOKS)
    decide = Service.decide

    async def faulty(self: Service, tickets: Any) -> Any:
        if any(one.id == "T2" for one in tickets):
            raise RuntimeError(tickets[0].content)
        return await decide(self, tickets)

    monkeypatch.setattr(Service, "decide", faulty)
    for n in (1, 2, 3):
        _send(served, {**LOST, "id": f"T{n}"}, f"msg_{n}")
    until(lambda: inbox.waiting(served.store) == 1)
    [row] = rows(served.store, schema.inbox, schema.inbox.c.done_at.is_(None))
    assert row.ticket["id"] == "T2"
    until(lambda: "message 2 waits" in caplog.text)
    assert "parcel" not in caplog.text


_SERVE = "from llmtriage.store import inbox; inbox.HELD = 500_000; from llmtriage.cli import main; main()"
_TOML = "[hooks.crm]\nsecret_env = 'CRM_SECRET'\n"


@contextmanager
def _process(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`llmtriage serve` with a hook, and where it listens."""
    arguments = [sys.executable, "-c", _SERVE, "serve", "--port", "0", "--store", "service.db"]
    with subprocess.Popen(arguments, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = next(found[1] for line in process.stderr if (found := re.search(r"serves (http://\S+)", line)))
        try:
            yield url, process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_taken(tmp_path: Path) -> None:
    """Whatever was answered with 202 is decided once after a restart, whenever the process was killed."""
    (tmp_path / "llmtriage.toml").write_text(_TOML, encoding="utf-8")
    taken = set()
    with _process(tmp_path) as (url, process), httpx2.Client(base_url=url) as client:
        for n in range(60):
            body = json.dumps({**LOST, "id": f"T{n}", "content": f"{LOST['content']}, {n}"}).encode()
            if client.post("/hooks/crm", content=body, headers=standard(f"m{n}", body)).status_code == 202:
                taken.add(f"T{n}")
        process.kill()
    assert len(taken) == 60
    with _process(tmp_path), SqlStore(tmp_path / "service.db") as store:
        until(lambda: inbox.waiting(store) == 0, 60)
        assert {one.external_id for one in rows(store, schema.ticket)} == taken
        assert len(rows(store, schema.outcome)) == 60


@pytest.mark.slow
def test_a_missing_secret_stops_the_start_with_one_line(tmp_path: Path) -> None:
    """Exit code 2, the variable by its name, and how to mend it."""
    (tmp_path / "llmtriage.toml").write_text(_TOML.replace("CRM_SECRET", "NOT_SET"), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "llmtriage", "serve", "--port", "0", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    line = ended.stderr.strip().splitlines()[-1]  # behind a note on the sample taxonomy
    assert "NOT_SET: this environment variable is not set; put the secret of the webhook there" in line
