"""A page of another site changes nothing in the name of who is signed in here."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from serving import Served
from signing_in import NAME, PASSWORD, sign_in, with_account, with_pages

from llmtriage.store import keys

Serve = Callable[..., Served]
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8080"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8081"},
    {"Origin": ""},
]
OWN = [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://127.0.0.1:8080"}, {}]


@pytest.fixture
def signed_in(serve: Serve) -> TestClient:
    """Somebody who signed in."""
    client = with_account(serve())
    assert sign_in(client) == 200
    return client


def token(client: TestClient) -> str:
    """What a form of this session carries."""
    return str(client.get("/try/me").json()["csrf"])


@pytest.mark.parametrize("headers", OWN)
def test_its_own_form_is_taken(signed_in: TestClient, headers: dict[str, str]) -> None:
    """With the token in the form, or of a script in a header."""
    csrf = token(signed_in)
    assert signed_in.post("/try/change", data={"csrf": csrf}, headers=headers).json() == {"changed by": NAME}
    assert signed_in.post("/try/change", headers={**headers, "X-CSRF-Token": csrf}).status_code == 200


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_form_of_another_site_is_refused(signed_in: TestClient, headers: dict[str, str]) -> None:
    """Even one that knows the token; nor can it sign somebody in or out."""
    csrf = token(signed_in)
    assert signed_in.post("/try/change", data={"csrf": csrf}, headers=headers).status_code == 403
    assert signed_in.post("/try/out", data={"csrf": csrf}, headers=headers).status_code == 403
    signed_in.cookies.clear()
    assert signed_in.post("/try/in", data={"name": NAME, "password": PASSWORD}, headers=headers).status_code == 403


def test_a_form_carries_the_token_of_its_session(serve: Serve) -> None:
    """None, a wrong one and that of another session are refused, also that of the same person."""
    client = with_account(serve())
    sign_in(client)
    earlier = token(client)
    client.cookies.clear()
    sign_in(client)
    for wrong in ("", "x", "退款", earlier, earlier[:-1]):
        assert client.post("/try/change", data={"csrf": wrong}).status_code == 403
    assert client.post("/try/change").status_code == 403
    assert client.post("/try/change", data={"csrf": token(client)}).status_code == 200


def test_who_was_signed_out_signs_in_again(signed_in: TestClient) -> None:
    """With the old cookie still there and no token."""
    signed_in.post("/try/out", data={"csrf": token(signed_in)})
    signed_in.cookies.set("llmtriage", "of a session that ended")
    assert sign_in(signed_in) == 200


def test_whom_a_proxy_names_needs_the_token_too(serve: Serve) -> None:
    """For the header comes with every request of the browser."""
    served = serve(user_header="X-User", trusted_proxies=("10.1.2.3",))
    with_pages(served)
    client = TestClient(served.client.app, base_url="http://127.0.0.1:8080", client=("10.1.2.3", 1), headers={"X-User": "ann"})
    assert client.post("/try/change").status_code == 403
    assert client.post("/try/change", data={"csrf": token(client)}).json() == {"changed by": "ann"}
    assert client.post("/try/change", data={"csrf": token(client)}, headers={"X-User": "bob"}).status_code == 403


def test_a_cookie_alone_changes_nothing_in_the_api(serve: Serve) -> None:
    """It reads; with the token it works on the queue, and it is never a key."""
    served = serve()
    client = with_account(served)
    keys.create(served.store.database, "crm", ["classify"])
    sign_in(client)
    csrf = {"X-CSRF-Token": token(client)}
    assert client.get("/categories").status_code == 403  # needs another scope
    assert client.post("/classify/single", json={"content": "x"}).json()["title"] == "this form is not of this session"
    assert (
        client.post("/classify/single", json={"content": "x"}, headers=csrf).json()["detail"] == "this needs the scope classify"
    )
    foreign = {**csrf, "Sec-Fetch-Site": "cross-site"}
    assert client.post("/classify/single", json={"content": "x"}, headers=foreign).json()["title"].startswith("a page of another")


def test_a_key_needs_no_token(serve: Serve) -> None:
    """No browser adds one by itself."""
    served = serve()
    secret = keys.create(served.store.database, "crm", ["classify"]).secret
    headers = {"Authorization": f"Bearer {secret}", "Origin": "https://crm.example"}
    assert served.client.post("/classify/single", json={"content": "x"}, headers=headers).status_code == 200


def test_what_is_not_text_in_place_of_the_token(signed_in: TestClient) -> None:
    """A file is none, and no fault either."""
    reply = signed_in.post("/try/change", files={"csrf": ("a.txt", io.BytesIO(b"x"))})
    assert reply.status_code in (403, 422)
