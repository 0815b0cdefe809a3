"""Who may call the API: anybody on this machine while no key was made, then whoever shows one that fits."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import Served
from signing_in import NAME, sign_in, with_account

from llmtriage.errors import InputError
from llmtriage.service import running
from llmtriage.service.settings import ServiceSettings
from llmtriage.store import SqlStore, keys, recording
from llmtriage.triage import Triage

Serve = Callable[..., Served]
DAY = 86_400_000_000
JSON = {"content-type": "application/json"}


def make(served: Served, *scopes: str, days: int | None = None) -> str:
    """A key of a program."""
    return keys.create(served.store.database, "客服系统", scopes or ("classify",), days=days).secret


def bearer(secret: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {secret}"}


def later(monkeypatch: pytest.MonkeyPatch, microseconds: int) -> None:
    """Time passes for keys."""
    monkeypatch.setattr(keys, "now", lambda: recording.now() + microseconds)


def test_as_soon_as_a_key_was_made_every_call_needs_one(serve: Serve) -> None:
    """Also when it is revoked again: what was closed does not open by itself."""
    served = serve()
    assert served.client.get("/categories").status_code == 200
    secret = make(served)
    reply = served.client.get("/categories")
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert reply.headers["content-type"] == "application/problem+json"
    assert "llmtriage keys create" in reply.json()["detail"]
    assert served.client.get("/categories", headers=bearer(secret)).status_code == 200
    keys.revoke(served.store.database, secret.split("_")[1])
    assert served.client.get("/categories").status_code == 401
    assert served.client.get("/health").status_code == 200


def test_a_revoked_and_an_expired_key_are_refused_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same words as one that never was."""
    served = serve()
    revoked, expiring = make(served), make(served, days=1)
    assert served.client.get("/categories", headers=bearer(revoked)).status_code == 200
    keys.revoke(served.store.database, revoked.split("_")[1])
    replies = [served.client.get("/categories", headers=bearer(revoked))]
    assert served.client.get("/categories", headers=bearer(expiring)).status_code == 200
    later(monkeypatch, DAY)
    replies.append(served.client.get("/categories", headers=bearer(expiring)))
    replies.append(served.client.get("/categories", headers=bearer("lt_000000000000_" + "A" * 43)))
    assert {reply.status_code for reply in replies} == {401}
    told = [{**reply.json(), "instance": None} for reply in replies]
    assert told == [told[0]] * 3


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer lt_",
        "Bearer lt_x_y",
        "Bearer " + "lt_000000000000_" + "é" * 43,
        "Bearer " + "x" * 9999,
    ],
)
def test_what_is_no_key_is_refused_also_where_none_is_needed(serve: Serve, shown: str) -> None:
    """Whoever shows something means to be somebody."""
    reply = serve().client.get("/categories", headers={b"Authorization": shown.encode("latin-1")})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"].startswith("Bearer")


def test_each_end_of_a_key_counts(serve: Serve) -> None:
    """Another last, first or middle letter is another key."""
    served = serve()
    secret = make(served)
    for place in (3, 16, 30, len(secret) - 2):
        wrong = secret[:place] + ("0" if secret[place] != "0" else "1") + secret[place + 1 :]
        assert served.client.get("/categories", headers=bearer(wrong)).status_code == 401


def test_a_scope_allows_what_it_says(serve: Serve) -> None:
    """The answer names the one that is missing."""
    served = serve()
    secret = make(served, "classify")
    assert served.client.post("/classify/single", json={"content": "退款"}, headers=bearer(secret)).status_code == 200
    reply = served.client.post("/versions/reload", headers=bearer(secret))
    assert reply.status_code == 403
    assert reply.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="admin"'
    assert served.client.post("/versions/reload", headers=bearer(make(served, "admin"))).status_code == 200


def test_a_key_that_is_named_like_a_person_is_nobody_else(serve: Serve) -> None:
    """It gets no ticket that the person has, no reply that the person got, and takes back none of the person's answers."""
    served = serve(second=0)
    assert served.client.post("/classify/single", json={"content": "退款一直没有到账"}).status_code == 200
    person = with_account(served)
    assert sign_in(person) == 200
    signed = {"X-CSRF-Token": person.get("/try/me").json()["csrf"]}
    key = bearer(keys.create(served.store.database, NAME, ["review"]).secret)
    [item] = person.post("/queue/claim", json={}, headers=signed).json()["items"]
    assert served.client.post("/queue/claim", json={}, headers=key).json()["items"] == []
    path, once = f"/queue/{item['entry']}/correct", {"Idempotency-Key": "the-first"}
    said = {"token": item["token"], "category": served.service.taxonomy.leaves[0].id}
    given = person.post(path, json=said, headers={**signed, **once})
    assert (given.status_code, given.json()["reviewer"]) == (200, NAME)
    assert served.client.post(path, json=said, headers={**key, **once}).status_code == 409
    assert served.client.post("/queue/undo", json={}, headers={**key, "Idempotency-Key": "another"}).status_code == 422
    assert person.post("/queue/undo", json={}, headers={**signed, "Idempotency-Key": "another"}).status_code == 200


def test_a_person_speaks_for_nobody_else(serve: Serve) -> None:
    """Else one who is named like a key would answer for whom the key speaks for."""
    served = serve()
    make(served)
    person = with_account(served)
    assert sign_in(person) == 200
    signed = {"X-CSRF-Token": person.get("/try/me").json()["csrf"]}
    told = [person.post("/queue/claim", json={"reviewer": one}, headers=signed).status_code for one in ("李强", "", NAME)]
    assert told == [422, 422, 200]


def test_use_is_noted_once_a_day(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a key is shown."""
    served = serve()
    secret = make(served)
    writes = []
    writing = type(served.store.database).writing

    def counted(database: object) -> object:
        writes.append(1)
        return writing(database)  # type: ignore[arg-type]

    monkeypatch.setattr(type(served.store.database), "writing", counted)
    for _ in range(3):
        assert keys.find(served.store.database, secret)
    assert len(writes) == 1
    later(monkeypatch, DAY)
    assert keys.find(served.store.database, secret)
    assert len(writes) == 2


@given(text=st.text())
def test_no_text_is_a_key(text: str, no_key: SqlStore) -> None:
    """Nor breaks the search for one."""
    assert keys.find(no_key.database, text) is None


@pytest.fixture(scope="module")
def no_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """A store in which no key is."""
    with SqlStore(tmp_path_factory.mktemp("keys") / "store.db") as store:
        yield store


def test_a_key_is_nowhere_but_with_its_owner(serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the store, a log, an error or what Python shows of it."""
    served = serve()
    with caplog.at_level(logging.DEBUG):
        made = keys.create(served.store.database, "crm", ["admin"])
        secret = made.secret
        replies = [served.client.get("/categories", headers=bearer(one)) for one in (secret, secret[:-1] + "?")]
        with pytest.raises(InputError) as refused:
            keys.revoke(served.store.database, secret[:-1])
    served.store.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("service.db*"))
    secret_part = secret[17:]
    told = [caplog.text, repr(made), str(refused.value), *(reply.text for reply in replies)]
    assert re.fullmatch(r"lt_[0-9a-f]{12}_[\w-]{43}", secret)
    assert made.key.prefix.encode() in stored
    assert secret_part.encode() not in stored
    assert not any(secret_part[:20] in text for text in told)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 61, "\u202e", "crm/王芳"])
def test_a_key_has_a_visible_name(no_key: SqlStore, name: str) -> None:
    """For it stands in logs and beside answers."""
    with pytest.raises(InputError, match="--name: the name of a key is visible text"):
        keys.create(no_key.database, name, ["classify"])


def test_beyond_this_machine_nothing_listens_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be used any more is none."""

    def listen(host: str, port: int) -> NoReturn:
        raise InputError("it would listen now")

    monkeypatch.setattr(running, "_listen", listen)
    with SqlStore(tmp_path / "store.db") as store:

        def start() -> str:
            settings = ServiceSettings(host="0.0.0.0", port=0)  # noqa: S104
            with pytest.raises(InputError) as stopped:
                running.serve(settings, store, lambda: Triage(store=store), tell=lambda _, __: None)
            return str(stopped.value)

        refused = "--host: 0.0.0.0 is not this machine alone, and there is no key; make one with: llmtriage keys create"
        assert start() == refused
        made = keys.create(store.database, "crm", ["classify"])
        keys.revoke(store.database, made.key.prefix)
        assert start() == refused
        keys.create(store.database, "crm", ["classify"])
        assert start() == "it would listen now"


# -- open on this machine --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "foreign",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
     {"Origin": "http://127.0.0.1:9999"}, {"Origin": "http://localhost:8080"}],
)  # fmt: skip
def test_a_page_of_another_site_reaches_nothing(serve: Serve, foreign: dict[str, str]) -> None:
    """Of the service of the person who reads it."""
    client = serve().client
    for reply in (
        client.post("/classify/single", json={"content": "退款"}, headers=foreign),
        client.post("/versions/reload", headers=foreign),
        client.get("/categories", headers=foreign),
    ):
        assert reply.status_code == 403


@pytest.mark.parametrize(
    "own", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://127.0.0.1:8080"}, {}]
)
def test_its_own_page_and_programs_do(serve: Serve, own: dict[str, str]) -> None:
    """The page of the API, and curl."""
    assert serve().client.post("/classify/single", json={"content": "退款"}, headers=own).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_a_form_is_no_call(serve: Serve, kind: str) -> None:
    """What a page may send anywhere without being asked is not taken."""
    reply = serve().client.post("/classify/single", content='{"content": "x"}', headers={"Content-Type": kind})
    assert reply.status_code == 415


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Port", "CF-Connecting-IP", "X-Original-Host"]
)
def test_behind_a_proxy_nothing_is_open(serve: Serve, header: str) -> None:
    """Whoever calls through one may be anywhere."""
    assert serve().client.get("/categories", headers={header: "127.0.0.1"}).status_code == 401


@pytest.mark.parametrize("settings", [{"hosts": ("triage.example",)}, {"user_header": "X-User"}, {"host": "0.0.0.0"}])  # noqa: S104
def test_nothing_is_open_where_others_can_call(serve: Serve, settings: dict[str, object]) -> None:
    """Another name or a proxy says so."""
    assert serve(**settings).client.get("/categories").status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [("evil.example", 421), ("evil.example:8080", 421), ("127.0.0.1.evil.example", 421), ("", 421), ("[::1", 421), ("a@127.0.0.1", 421),
     ("127.0.0.1", 200), ("127.0.0.1:1", 200), ("LOCALHOST.:8080", 200), ("[::1]:8080", 200)],
)  # fmt: skip
def test_only_its_own_names_are_answered(serve: Serve, host: str, status: int) -> None:
    """A name that was pointed here is none: else a page under that name would be of the same site."""
    reply = serve().client.get("/health", headers={"Host": host})
    assert reply.status_code == status
    if status != 200:
        assert reply.headers["content-type"] == "application/problem+json"


def test_other_names_are_told(serve: Serve) -> None:
    """With --allow-host; then also where the address is not local."""
    for host in ("127.0.0.1", "10.0.0.5"):
        client = serve(host=host, hosts=("triage.example:8443",)).client
        assert client.get("/health", headers={"Host": "Triage.Example"}).status_code == 200
        assert client.get("/health", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("name", ["triage.example", "triage.example:8443", "::1", "fe80::1", "[fe80::1]:8443", "10.0.0.7"])
def test_a_name_is_told_with_a_port_or_without(serve: Serve, name: str) -> None:
    """And an address of IPv6 with brackets or without. What is none opens nothing."""
    client = serve(hosts=(name, "", "a@b")).client
    asked = name if name.startswith("[") else f"[{name}]" if "::" in name else name
    assert client.get("/health", headers={"Host": asked}).status_code == 200
    assert client.get("/health", headers={"Host": ""}).status_code == 421


def test_a_service_for_others_is_called_by_any_name(serve: Serve) -> None:
    """Where none is told: every call needs a key, which no page of another site has."""
    client = serve(host="0.0.0.0").client  # noqa: S104
    assert client.get("/health", headers={"Host": "triage"}).status_code == 200
