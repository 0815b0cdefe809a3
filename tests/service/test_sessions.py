"""Who is signed in: with a password, by a trusted proxy, or by name alone while nobody else can be."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from serving import Served
from signing_in import NAME, PASSWORD, sign_in, with_account, with_pages

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.service.access.people import local_path
from llmtriage.store import accounts, recording, schema, sessions

Serve = Callable[..., Served]
HOUR = 3_600_000_000


def is_in(client: TestClient) -> bool:
    """Whether the client is signed in."""
    return client.get("/try/me", follow_redirects=False).status_code == 200


def later(monkeypatch: pytest.MonkeyPatch, microseconds: int) -> None:
    """Time passes for sessions."""
    monkeypatch.setattr(sessions, "now", lambda: recording.now() + microseconds)


def test_somebody_signs_in_and_out(serve: Serve) -> None:
    """The cookie is for this host and no script; whoever keeps it has nothing of it afterwards."""
    client = with_account(serve(), "lead")
    assert not is_in(client)
    reply = client.post("/try/in", data={"name": NAME, "password": PASSWORD})
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith("llmtriage=")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie
    me = client.get("/try/me").json()
    assert (me["name"], me["role"]) == (NAME, "lead")
    kept = client.cookies["llmtriage"]
    assert client.post("/try/out", data={"csrf": me["csrf"]}).status_code == 200
    client.cookies.set("llmtriage", kept)
    assert not is_in(client)


def test_a_wrong_password_and_an_unknown_name_look_alike(serve: Serve) -> None:
    """And neither signs in, nor does a name without a password."""
    client = with_account(serve())
    replies = [
        client.post("/try/in", data={"name": name, "password": word})
        for name, word in ((NAME, PASSWORD + "x"), ("nobody", PASSWORD), (NAME, ""), (NAME, "x" * 10_000))
    ]
    assert {reply.status_code for reply in replies} == {403}
    assert len({reply.text for reply in replies}) == 1
    assert not any("set-cookie" in reply.headers for reply in replies)


def test_an_unknown_name_is_looked_at_as_long(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow hash is made for it too, and compared."""
    served = serve()
    with_account(served)
    made = []
    scrypt = accounts._scrypt

    def noted(password: str, salt: bytes, **parameters: int) -> bytes:
        made.append(parameters)
        return scrypt(password, salt, **parameters)

    monkeypatch.setattr(accounts, "_scrypt", noted)
    for name in (NAME, "nobody"):
        assert accounts.verify(served.store.database, name, "wrong password") is None
    assert made[0] == made[1] == {"n": 16, "r": 8, "p": 1}


def test_the_same_password_from_another_input_method(serve: Serve) -> None:
    """Full-width letters are the same letters."""
    served = serve()
    accounts.add(served.store.database, "ann", "password12")
    assert accounts.verify(served.store.database, "ann", "ｐａｓｓｗｏｒｄ12")


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "é", "\\", "A" * 5000])
def test_a_forged_session_is_none(serve: Serve, token: str) -> None:
    """Whatever it says."""
    client = with_account(serve())
    reply = client.get("/try/me", headers={b"Cookie": f"llmtriage={token}".encode()}, follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (303, "/login?next=/try/me")


def test_what_the_store_has_is_no_session(serve: Serve, tmp_path: Path) -> None:
    """Whoever reads a backup cannot sign in with it, and finds no password."""
    served = serve()
    client = with_account(served)
    sign_in(client)
    token = client.cookies["llmtriage"]
    database = sqlite3.connect(tmp_path / "service.db")
    rows = str([*database.execute("select hex(hash), * from session"), *database.execute("select * from account")])
    database.close()
    assert token not in rows
    assert PASSWORD not in rows


def test_what_ended_is_gone(serve: Serve) -> None:
    """From the store too: at sign-out that session, with a removal all of this person, and of nobody else."""
    served = serve()
    client = with_account(served)
    accounts.add(served.store.database, "ann", "another password")
    others = [TestClient(client.app, base_url=str(client.base_url)) for _ in range(3)]
    for one, who, word in zip([client, *others], [NAME, NAME, NAME, "ann"], [PASSWORD] * 3 + ["another password"], strict=True):
        assert sign_in(one, who, word) == 200
    assert client.post("/try/out", data={"csrf": client.get("/try/me").json()["csrf"]}).status_code == 200
    assert _sessions(served) == ["ann", NAME, NAME]
    accounts.remove(served.store.database, NAME)
    assert _sessions(served) == ["ann"]
    assert [is_in(one) for one in others] == [False, False, True]


def _sessions(served: Served) -> list[str]:
    with served.store.database.reading() as connection:
        return sorted(connection.scalars(sa.select(schema.session.c.reviewer)))


@pytest.mark.parametrize(("hours", "goes_on"), [([7.9, 7.9], True), ([8.1], False), ([7.0] * 24, False)])
def test_a_session_ends_by_itself(serve: Serve, monkeypatch: pytest.MonkeyPatch, hours: list[float], *, goes_on: bool) -> None:
    """Eight hours after it was last used, and seven days after it began."""
    client = with_account(serve())
    sign_in(client)
    passed = 0.0
    for some in hours:
        passed += some * HOUR
        later(monkeypatch, round(passed))
        last = is_in(client)
    assert last is goes_on


def test_a_new_password_and_a_removal_end_all_sessions(serve: Serve) -> None:
    """Of this person, at once."""
    served = serve()
    client = with_account(served)
    accounts.add(served.store.database, "ann", "another password")
    assert sign_in(client) == 200
    accounts.remove(served.store.database, "ann")
    assert is_in(client)
    accounts.change_password(served.store.database, NAME, "a new password")
    assert not is_in(client)
    assert (sign_in(client), sign_in(client, password="a new password")) == (403, 200)  # noqa: S106
    accounts.remove(served.store.database, NAME)
    assert not is_in(client)
    assert sign_in(client, password="a new password") == 403  # noqa: S106
    accounts.add(served.store.database, NAME, PASSWORD, "lead")
    assert not is_in(client)
    assert sign_in(client) == 200


def test_no_session_begins_with_a_password_that_was_just_changed(serve: Serve) -> None:
    """Between looking at it and beginning."""
    served = serve()
    with_account(served)
    account = accounts.verify(served.store.database, NAME, PASSWORD)
    assert account
    accounts.change_password(served.store.database, NAME, "a new password")
    assert sessions.begin(served.store.database, NAME, "reviewer", password=account.password) is None


def test_a_name_is_enough_while_nobody_else_can_be(serve: Serve) -> None:
    """On this machine alone; the first account ends it, also for who is signed in."""
    served = serve()
    client = with_pages(served)
    assert sign_in(client, "小李", "") == 200
    assert client.get("/try/me").json()["name"] == "小李"
    assert client.get("/try/me", headers={"X-Forwarded-For": "10.0.0.1"}, follow_redirects=False).status_code == 303
    accounts.add(served.store.database, NAME, PASSWORD)
    assert not is_in(client)
    assert sign_in(client, "小李", "") == 403


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"user_header": "X-User"}, {"hosts": ("triage.example",)}])  # noqa: S104
def test_a_name_is_not_enough_where_others_can_call(serve: Serve, settings: dict[str, object]) -> None:
    """Nor through a proxy that says so."""
    assert sign_in(with_pages(serve(**settings)), "小李", "") == 403
    reply = with_pages(serve()).post("/try/in", data={"name": "小李"}, headers={"Via": "1.1 proxy"})
    assert reply.status_code == 403


def test_by_https_the_cookie_is_bound_to_this_host(serve: Serve) -> None:
    """Also where a trusted proxy speaks https for us; a cookie of another name is not looked at."""
    client = with_account(serve(host="10.0.0.5"))
    cookie = client.post("/try/in", data={"name": NAME, "password": PASSWORD}).headers["set-cookie"]
    assert cookie.startswith("__Host-llmtriage=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    for name, status in (("llmtriage", 303), ("__Host-llmtriage", 200)):
        reply = client.get("/try/me", headers={"Cookie": f"{name}={token}"}, follow_redirects=False)
        assert reply.status_code == status


def test_signing_in_again_ends_the_session_before(serve: Serve) -> None:
    """Nobody is two people at once in one browser."""
    served = serve()
    client = with_account(served)
    accounts.add(served.store.database, "ann", "another password")
    sign_in(client)
    before = client.cookies["llmtriage"]
    csrf = client.get("/try/me").json()["csrf"]
    reply = client.post("/try/in", data={"name": "ann", "password": "another password", "csrf": csrf})
    assert len(reply.headers.get_list("set-cookie")) == 1
    assert client.get("/try/me").json()["name"] == "ann"
    client.cookies.clear()
    client.cookies.set("llmtriage", before)
    assert not is_in(client)


def test_after_signing_in_one_comes_back(serve: Serve) -> None:
    """To the page that was asked for; a script is told in its own way."""
    client = with_account(serve())
    reply = client.get("/try/me?lane=probe&x=退款", follow_redirects=False)
    assert reply.headers["location"] == "/login?next=/try/me%3Flane%3Dprobe%26x%3D%25E9%2580%2580%25E6%25AC%25BE"
    assert client.post("/try/change", follow_redirects=False).headers["location"] == "/login?next=/"
    reply = client.get("/try/me", headers={"HX-Request": "true"})
    assert (reply.status_code, reply.headers["hx-redirect"]) == (401, "/login?next=/try/me")


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "evil",
        "",
        "javascript:x",
        "/" + "x" * 9999,
    ],
)
def test_one_never_comes_out_elsewhere(text: str) -> None:
    """Whatever a link says."""
    assert local_path(text) == "/"


@given(text=st.text())
def test_where_one_comes_back_to_is_here(text: str) -> None:
    """A path as it was given, or the beginning."""
    found = local_path(text)
    assert found in (text, "/")
    assert found.startswith("/")
    assert found[1:2] not in ("/", "\\")


# -- behind a proxy --------------------------------------------------------------------------------


def behind(served: Served, peer: str) -> TestClient:
    """Calls from this address."""
    with_pages(served)
    return TestClient(served.client.app, base_url="http://127.0.0.1:8080", client=(peer, 5000))


def test_a_trusted_proxy_names_who_has_signed_in(serve: Serve) -> None:
    """With the role of an account, if there is one; who was removed is not let in."""
    served = serve(user_header="X-User", trusted_proxies=("10.1.0.0/16",))
    client = behind(served, "10.1.2.3")
    name = {b"X-User": NAME.encode()}
    assert client.get("/try/me", headers=name).json()["name"] == NAME
    assert client.get("/try/me", headers=name).json()["role"] == "reviewer"
    accounts.add(served.store.database, NAME, PASSWORD, "lead")
    assert client.get("/try/me", headers=name).json()["role"] == "lead"
    accounts.remove(served.store.database, NAME)
    assert client.get("/try/me", headers=name).status_code == 403


@pytest.mark.parametrize(
    ("settings", "peer"),
    [
        ({"user_header": "X-User", "trusted_proxies": ("10.1.0.0/16",)}, "10.2.0.1"),
        ({"user_header": "X-User", "trusted_proxies": ("10.1.0.0/16",)}, "127.0.0.1"),
        ({"user_header": "X-User", "trusted_proxies": ("10.1.0.0/16",)}, "testclient"),
        ({"trusted_proxies": ("10.1.0.0/16",)}, "10.1.2.3"),
    ],
)
def test_nobody_else_is_believed(serve: Serve, settings: dict[str, object], peer: str) -> None:
    """From another peer, whatever X-Forwarded-For says, or where it was not switched on."""
    client = behind(serve(**settings), peer)
    reply = client.get("/try/me", headers={"X-User": "ann", "X-Forwarded-For": "10.1.2.3"}, follow_redirects=False)
    assert reply.status_code == 303


@pytest.mark.parametrize("said", [[("X-User", "ann"), ("X-User", "bob")], [("X-User", "")], [("X-User", "a\tb")]])
def test_what_a_proxy_says_is_one_name(serve: Serve, said: list[tuple[str, str]]) -> None:
    """Two may mean that it let one through that it did not write."""
    client = behind(serve(user_header="X-User", trusted_proxies=("10.1.2.3",)), "10.1.2.3")
    assert client.get("/try/me", headers=said).status_code == 400


@pytest.mark.parametrize("address", ["proxy.example", "10.0.0.0/33", ""])
def test_a_trusted_proxy_is_an_address(serve: Serve, address: str) -> None:
    """A name would be whoever says so."""
    with pytest.raises(InputError, match="--trusted-proxy: not an address"):
        serve(trusted_proxies=(address,))


# -- passwords -------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["", "123456789", "x" * 201])
def test_a_password_has_a_length(serve: Serve, word: str) -> None:
    """The error does not say what it was."""
    served = serve()
    with pytest.raises(InputError, match="a password has 10 to 200 characters") as refused:
        accounts.add(served.store.database, NAME, word)
    assert not word or word not in str(refused.value)
    assert not accounts.exist(served.store.database)


def test_the_name_of_a_person_is_none_that_a_key_speaks_for(serve: Serve) -> None:
    """Whether it has an account, is enough alone, or comes from a proxy."""
    served = serve()
    assert with_pages(served).post("/try/in", data={"name": "crm/王芳"}).status_code == 422
    with pytest.raises(InputError, match='no "/" stands in the name of a person'):
        accounts.add(served.store.database, "crm/王芳", PASSWORD)
    client = behind(serve(user_header="X-User", trusted_proxies=("10.1.2.3",)), "10.1.2.3")
    assert client.get("/try/me", headers={b"X-User": "crm/王芳".encode()}).status_code == 400


def test_a_name_is_taken_once(serve: Serve) -> None:
    """And unknown ones are told with the nearest."""
    served = serve()
    with_account(served)
    with pytest.raises(InputError, match="there is a reviewer '王芳' already"):
        accounts.add(served.store.database, NAME, "another password")
    assert accounts.verify(served.store.database, NAME, PASSWORD)
    with pytest.raises(UnknownNameError, match="unknown reviewer '王方'"):
        accounts.remove(served.store.database, "王方")


@pytest.mark.slow
def test_a_password_is_nowhere(serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the store, a log, an answer or what Python shows."""
    served = serve()
    with caplog.at_level(logging.DEBUG):
        client = with_account(served)
        replies = [client.post("/try/in", data={"name": NAME, "password": word}) for word in (PASSWORD, PASSWORD + "x")]
        account = accounts.verify(served.store.database, NAME, PASSWORD)
        made = accounts.listed(served.store.database)
    served.store.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("service.db*"))
    assert PASSWORD.encode() not in stored
    assert "scrypt$n=16,r=8,p=1$" in stored.decode(errors="replace")
    told = [caplog.text, repr(account), repr(made), *(reply.text for reply in replies)]
    assert not any(PASSWORD in text or "scrypt$" in text for text in told)
