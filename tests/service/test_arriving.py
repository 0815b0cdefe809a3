"""Who sends slowly, much or without a key costs the others nothing: neither a place nor memory nor time."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest
from hooked import SECRET
from serving import Served, listening
from starlette.requests import Request

from llmtriage.service.edge import json_body
from llmtriage.store import keys

Serve = Callable[..., Served]
HOOKS = {"crm": {"secret_env": "CRM_SECRET"}}
TICKET = {"content": "我的包裹还没有到"}
_PATIENT = 30  # seconds, for a machine that has much else to do


def _head(length: int, *more: str, path: str = "/classify/batch", kind: str = "application/json") -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", f"Content-Length: {length}", *more)
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


@contextmanager
def _begun(port: int, sent: bytes) -> Iterator[socket.socket]:
    """A connection on which a request began."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        yield connection


def _status(connection: socket.socket) -> int:
    return int(connection.recv(65536).split(b" ", 2)[1])


def _soon(wanted: Callable[[], bool]) -> None:
    """Wait until it is so."""
    until = time.monotonic() + 10
    while not wanted():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_who_sends_slowly_takes_nobodys_place(serve: Serve) -> None:
    """However many there are, up to a bound of their own; who sends no body is let through even then."""
    served = serve(in_flight=1, arriving=6)
    with listening(served.service) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client, ExitStack() as slow:

        def one_more_is_too_many() -> bool:
            slow.enter_context(_begun(port, _head(100) + b'{"items"'))
            return client.post("/classify/single", json=TICKET).status_code == 503

        for _ in range(5):
            slow.enter_context(_begun(port, _head(100) + b'{"items"'))
        _soon(lambda: client.get("/versions").status_code == 200)
        assert client.post("/classify/single", json=TICKET).status_code == 200
        _soon(one_more_is_too_many)
        refused = client.post("/classify/single", json=TICKET)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert client.get("/versions").status_code == 200
        slow.close()
        _soon(lambda: client.post("/classify/single", json=TICKET).status_code == 200)


@pytest.mark.slow
def test_a_key_is_looked_at_before_the_body(serve: Serve) -> None:
    """A wrong one, or none, is refused at once; a right one is waited for, and counted once."""
    served = serve(body_seconds=0.2, per_minute=2)
    right = keys.create(served.store.database, "helpdesk", ["classify"]).secret
    wrong = right[:-4] + "AAAA"
    with listening(served.service) as port:
        for more in (f"Authorization: Bearer {wrong}",), ("Authorization: Basic eDp5",), ():
            with _begun(port, _head(19_000_000, *more)) as connection:
                assert _status(connection) == 401
        with _begun(port, _head(19_000_000, f"Authorization: Bearer {right}")) as connection:
            assert _status(connection) == 408
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {right}"}) as client:
            assert client.post("/classify/single", json=TICKET).status_code == 200
            assert client.post("/classify/single", json=TICKET).status_code == 429


def test_what_anybody_may_send_is_short(serve: Serve) -> None:
    """Forms, and what is of no kind that is taken."""
    client = serve(form_bytes=1000).client
    assert client.post("/login", data={"name": "王芳", "password": "x" * 1000}).status_code == 413
    assert client.post("/login", data={"name": "王芳", "password": "x"}).status_code < 400
    assert client.post("/classify/batch", content=b"x" * 1001, headers={"Content-Type": "text/plain"}).status_code == 413
    assert client.post("/classify/batch", content=b"x" * 1000, headers={"Content-Type": "text/plain"}).status_code == 415


def test_all_bodies_together_have_a_bound(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that arrive and those that are worked on; each gives back what it held."""
    served = serve(bodies_bytes=3000, batch_bytes=3000, body_bytes=3000, form_bytes=3000)
    begun, go_on = threading.Event(), threading.Event()
    decide = type(served.service).decide

    async def slow(*arguments: Any) -> Any:
        if not begun.is_set():  # the first alone
            begun.set()
            await asyncio.to_thread(go_on.wait, _PATIENT)
        return await decide(*arguments)

    monkeypatch.setattr(type(served.service), "decide", slow)
    long = {"content": "x" * 900}
    with listening(served.service) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=_PATIENT) as client:
        url, statuses = f"http://127.0.0.1:{port}/classify/single", list[int]()
        first = threading.Thread(target=lambda: statuses.append(httpx2.post(url, json=long, timeout=_PATIENT).status_code))
        first.start()
        assert begun.wait(10)
        with ExitStack() as others:

            def all_is_taken() -> bool:
                """Of two that come at once one may take the other's room. What is asked is as long as a ticket and none, for that would wait."""
                others.enter_context(_begun(port, _head(3000) + b"x" * 1900))
                return client.post("/classify/single", json={"unknown": "x" * 900}).status_code == 503

            _soon(all_is_taken)
            refused = client.post("/classify/single", json=long)
            assert (refused.headers["retry-after"], refused.json()["title"]) == ("1", "too much is sent at a time")
            assert client.get("/health").status_code == 200
            go_on.set()
            first.join()
            assert statuses == [200]
            assert client.post("/classify/single", json=long).status_code == 200
        whole = {"content": "x" * 2900}
        _soon(lambda: client.post("/classify/single", json=whole).status_code == 200)


def test_what_comes_to_no_hook_is_short(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """As what anybody may send; to one that there is it may be as long as a ticket."""
    monkeypatch.setenv("CRM_SECRET", SECRET)
    client = serve(form_bytes=1000, hooks=HOOKS).client
    assert [client.post("/hooks/erp", content=b"x" * length).status_code for length in (1000, 1001)] == [404, 413]
    assert client.post("/hooks/crm", content=b"x" * 1001).status_code == 401


def test_strangers_leave_room_for_the_others(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms and messages to hooks have a share of all bodies, together."""
    monkeypatch.setenv("CRM_SECRET", SECRET)
    served = serve(bodies_bytes=4000, batch_bytes=1000, body_bytes=1000, form_bytes=1000, hooks=HOOKS)
    form = _head(1000, path="/login", kind="application/x-www-form-urlencoded") + b"x" * 900
    with listening(served.service) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:

        def hooked() -> int:
            return client.post("/hooks/crm", content=b"x" * 200).status_code

        def share_is_taken() -> bool:
            """Of two that come at once one may take the other's room."""
            others.enter_context(_begun(port, form))
            return hooked() == 503

        with ExitStack() as others:
            _soon(share_is_taken)
            assert client.post("/classify/single", json={"content": "x" * 900}).status_code == 200
        _soon(lambda: hooked() == 401)


@pytest.mark.slow
def test_long_json_is_read_beside_the_loop(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are answered meanwhile, and it is read once."""
    served = serve()
    begun, go_on = threading.Event(), threading.Event()
    read = json_body.read

    def slow(body: bytes) -> Any:
        begun.set()
        assert go_on.wait(10)
        return read(body)

    monkeypatch.setattr(json_body, "read", slow)
    body = json.dumps({"items": [{"content": "钱" * 30_000}]}, ensure_ascii=False).encode()
    with listening(served.service) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        url, statuses = f"http://127.0.0.1:{port}", list[int]()
        sent: dict[str, Any] = {"content": body, "headers": {"Content-Type": "application/json"}, "timeout": 30}
        long = threading.Thread(target=lambda: statuses.append(httpx2.post(f"{url}/classify/batch", **sent).status_code))
        long.start()
        assert begun.wait(10)
        assert client.get("/health").status_code == 200
        monkeypatch.delattr(Request, "json")
        go_on.set()
        long.join()
    assert statuses == [200]
