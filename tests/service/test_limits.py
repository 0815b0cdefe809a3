"""What is too long, too slow or too much is refused at once, and told as a problem."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from serving import Served, listening

from llmtriage.service.edge import refusing

Serve = Callable[..., Served]
JSON = {"Content-Type": "application/json"}


@contextmanager
def _connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def _head(length: int, path: str = "/classify/single") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


def _answer(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def _is_problem(reply: httpx2.Response, status: int) -> bool:
    return (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.slow
def test_fifty_megabytes_are_not_read(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether their length is told before or not; who sends all of it sees the answer."""
    with listening(serve().service) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        whole = client.post("/classify/single", content=b'"' + b"x" * 50_000_000, headers=JSON)
        assert _is_problem(whole, 413)
        assert whole.json()["instance"] == f"urn:request:{whole.headers['x-request-id']}"
        pieces = client.post("/classify/single", content=(b"x" * 100_000 for _ in range(500)), headers=JSON)
        assert _is_problem(pieces, 413)
        with _connection(port) as connection:
            connection.sendall(_head(50_000_000))
            start = time.monotonic()
            assert connection.recv(65536).startswith(b"HTTP/1.1 413")
            assert time.monotonic() - start < 1
        monkeypatch.setattr(refusing, "_LISTEN", 0.2)
        with _connection(port) as connection:  # one that goes on for ever is cut off
            connection.sendall(_head(10**18))
            with pytest.raises(OSError):  # noqa: PT011 - whichever it is
                while True:
                    connection.sendall(b"x" * 1000)
                    time.sleep(0.05)
        assert client.get("/health").status_code == 200


def test_a_batch_may_be_longer(serve: Serve) -> None:
    """Than one ticket."""
    client = serve(body_bytes=1000, batch_bytes=3000).client
    long = {"content": "退" * 500}
    assert _is_problem(client.post("/classify/single", json=long), 413)
    assert client.post("/classify/batch", json={"items": [long]}).status_code == 200
    assert _is_problem(client.post("/classify/batch", json={"items": [long, long, long]}), 413)


@pytest.mark.slow
def test_a_body_that_does_not_come_is_not_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """And costs no place that others could take."""
    monkeypatch.setattr(refusing, "_LISTEN", 0.1)
    with listening(serve(body_seconds=0.3, in_flight=1).service) as port, _connection(port) as connection:
        connection.sendall(_head(100) + b'{"content"')
        assert _answer(connection).startswith(b"HTTP/1.1 408")
        assert httpx2.post(f"http://127.0.0.1:{port}/classify/single", json={"content": "my parcel"}).status_code == 200


@pytest.mark.slow
def test_who_leaves_before_the_end_is_no_fault(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Of this program."""
    with listening(serve().service) as port:
        with _connection(port) as connection:
            connection.sendall(_head(100) + b'{"content"')
        assert httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
    assert "fault" not in caplog.text


@pytest.mark.slow
def test_more_requests_than_can_be_worked_on_are_told_to_come_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who watches the service is let through."""
    served = serve(in_flight=1)
    begun, go_on = threading.Event(), threading.Event()
    counts = type(served.store.queue).counts

    def slow(*arguments: Any) -> Any:
        begun.set()
        go_on.wait(10)
        return counts(*arguments)

    check = type(served.store).check
    monkeypatch.setattr(type(served.store), "check", lambda store, **how: (slow(store.queue), check(store, **how)))
    with listening(served.service) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        statuses: list[int] = []
        first = threading.Thread(target=lambda: statuses.append(httpx2.get(f"http://127.0.0.1:{port}/ready").status_code))
        first.start()
        assert begun.wait(10)
        refused = client.post("/classify/single", json={"content": "my parcel"})
        assert _is_problem(refused, 503)
        assert refused.headers["retry-after"] == "1"
        assert client.get("/health").status_code == client.get("/metrics").status_code == 200
        go_on.set()
        first.join()
        assert statuses == [200]
        assert client.post("/classify/single", json={"content": "my parcel"}).status_code == 200


@pytest.mark.parametrize(
    ("sent", "is_taken"),
    [("a.B_c-123", True), ("x" * 64, True), ("short", False), ("x" * 65, False), ("with blank", False), ('"quoted"', False)],
)
def test_a_request_keeps_its_id_where_it_is_one(client: TestClient, sent: str, is_taken: bool) -> None:  # noqa: FBT001 - a table
    """Else it gets one; problems name it."""
    reply = client.get("/nowhere", headers={"X-Request-ID": sent})
    known = reply.headers["x-request-id"]
    assert (known == sent) == is_taken
    assert reply.json()["instance"] == f"urn:request:{known}"
