"""A server on this machine that misbehaves byte by byte, and counts what it was asked."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-test-4711-never-to-be-shown"
PRIVATE = "Zanzibar"  # stands in every ticket, and in every error message of a server
_ENOUGH = 30.0  # seconds after which a server that never answers gives up, should a test hang


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        ticket: The name of the ticket it is about.
        nth: The how manyth request for this ticket, from 1.
        number: The how manyth of all, from 1.
        path: As it was asked for; a proxy sees a whole URL.
        headers: With names in lower case.
        body: Parsed.
        at: When it came.
    """

    ticket: str
    nth: int
    number: int
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)
    at: float


class Line:
    """One connection, as raw as a misbehaving server needs it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        self._connection.sendall(data)

    def answer(self, status: int, body: bytes, *, kind: str = "application/json", **headers: str) -> None:
        """A whole HTTP answer; underscores in names of headers stand for hyphens."""
        self.send(head(status, length=len(body), kind=kind, **headers) + body)

    def idle(self, seconds: float) -> bool:
        """Do nothing for so long; false: the client has gone."""
        self._connection.settimeout(seconds)
        try:
            return bool(self._connection.recv(1))
        except TimeoutError:
            return True
        finally:
            self._connection.settimeout(None)

    def reset(self) -> None:
        """Break the connection so that the client sees a reset."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()


Play = Callable[[Line, Asked], None]


class Misbehaving:
    """Listens on a port of this machine and plays."""

    def __init__(self, play: Play, *, tls: ssl.SSLContext | None = None, proxy: bool = False) -> None:
        """Start to listen.

        Args:
            play: What to do with each request.
            tls: A certificate to speak TLS with.
            proxy: Be a proxy that plays every server: TLS begins behind CONNECT.
        """
        self.play, self.tls, self._proxy = play, tls, proxy
        self.asked: list[Asked] = []
        self.tunnels: list[str] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.port = 0
        self.listen()

    @property
    def url(self) -> str:
        """Where the API begins."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    @property
    def counts(self) -> dict[str, int]:
        """Requests by the names of tickets."""
        return dict(Counter(request.ticket for request in self.asked))

    def listen(self) -> None:
        """Begin, or begin again at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and break those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        # A client that has gone, and one that refuses our certificate, are what some tests are about.
        with contextlib.suppress(OSError, EOFError), self._wrapped(connection) as line:
            method, path, headers = _read_head(line)
            if method == "CONNECT":
                with self._tunnel(line, path) as inner:
                    _, path, headers = _read_head(inner)
                    self._play(inner, path, headers)
            else:
                self._play(line, path, headers)
        with self._lock:
            self._open.discard(connection)

    def _play(self, line: socket.socket, path: str, headers: Mapping[str, str]) -> None:
        content = _read_exactly(line, int(headers.get("content-length", 0)))
        self.play(Line(line), self._note(path, headers, content))

    def _wrapped(self, connection: socket.socket) -> socket.socket:
        return self.tls.wrap_socket(connection, server_side=True) if self.tls and not self._proxy else connection

    def _tunnel(self, line: socket.socket, path: str) -> socket.socket:
        self.tunnels.append(path)
        line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return self.tls.wrap_socket(line, server_side=True) if self.tls else line

    def _note(self, path: str, headers: Mapping[str, str], content: bytes) -> Asked:
        found = re.findall(r"Case ([\w-]+):", content.decode())
        ticket = found[0] if found else ""
        with self._lock:
            nth = 1 + sum(request.ticket == ticket for request in self.asked)
            body = json.loads(content) if content else None
            asked = Asked(ticket, nth, len(self.asked) + 1, path, headers, body, time.monotonic())
            self.asked.append(asked)
        return asked


def _read_head(line: socket.socket) -> tuple[str, str, dict[str, str]]:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += _read_exactly(line, 1)
        if data == b"\x16":  # TLS where none is spoken
            line.sendall(head(400, length=0))
            raise EOFError
    first, *rest = data.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (header.partition(":") for header in rest)
    return method, path, {name.lower(): value.strip() for name, _, value in pairs}


def _read_exactly(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = line.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


# -- what a server may say -------------------------------------------------------------------------


def head(status: int, *, length: int | None, kind: str = "application/json", **headers: str) -> bytes:
    """The head of an answer; without a length it comes in chunks."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\n{size}\r\nConnection: close\r\n{more}\r\n".encode()


def completion(content: object, finish: str | None = "stop", **changes: Any) -> dict[str, Any]:
    """A chat completion; `changes` replace parts of its body."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    return {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 9000, "completion_tokens": 9}, **changes}


def label(category: object = "refund", confidence: object = 0.9) -> str:
    """What a model ought to write."""
    return json.dumps({"category": category, "confidence": confidence})


def says(body: object, status: int = 200, **headers: str) -> Play:
    """Answer with a body: bytes, or anything that JSON can hold."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def play(line: Line, asked: Asked) -> None:
        line.answer(status, content, **headers)

    return play


def writes(content: object, finish: str | None = "stop", **changes: Any) -> Play:
    """Answer with what a model wrote."""
    return says(completion(content, finish, **changes))


good = writes(label())


def refuses(status: int, code: object = None, *, message: str = "no", param: object = None, **headers: str) -> Play:
    """Answer with an error object whose message shows what must not be shown."""
    said = f"{message} (you sent {KEY} and {PRIVATE})"
    return says({"error": {"message": said, "type": "t", "param": param, "code": code}}, status, **headers)


def in_turn(*plays: Play) -> Play:
    """One after the other for each ticket, the last for ever."""

    def play(line: Line, asked: Asked) -> None:
        plays[min(asked.nth, len(plays)) - 1](line, asked)

    return play


def by_ticket(plays: Mapping[str, Play], other: Play = good) -> Play:
    """To each ticket its own."""

    def play(line: Line, asked: Asked) -> None:
        plays.get(asked.ticket, other)(line, asked)

    return play


# -- what a server may do --------------------------------------------------------------------------


def never_answers(line: Line, asked: Asked) -> None:
    """Take the request and say nothing."""
    line.idle(_ENOUGH)


def drips(line: Line, asked: Asked) -> None:
    """An answer, byte by byte, each in time for a read time-out."""
    body = json.dumps(completion(label())).encode()
    _slowly(line, head(200, length=len(body)), (body[i : i + 1] for i in range(len(body))))


def blank_lines(line: Line, asked: Asked) -> None:
    """What DeepSeek sends while a request waits in its queue."""
    _slowly(line, head(200, length=None), (b"1\r\n\n\r\n" for _ in range(300)))


def _slowly(line: Line, beginning: bytes, pieces: Iterator[bytes]) -> None:
    line.send(beginning)
    for piece in pieces:
        line.send(piece)
        if not line.idle(0.1):
            return


def closes_at_once(line: Line, asked: Asked) -> None:
    """Hang up without a word."""


def resets_in_mid_body(line: Line, asked: Asked) -> None:
    """A reset behind half of an answer."""
    body = json.dumps(completion(label())).encode()
    line.send(head(200, length=len(body)) + body[: len(body) // 2])
    line.reset()


def cuts_the_body(line: Line, asked: Asked) -> None:
    """A whole answer, of which the head says that more is to come; then the end."""
    body = json.dumps(completion(label())).encode()
    line.send(head(200, length=len(body) + 50) + body)


def cuts_a_chunk(line: Line, asked: Asked) -> None:
    """A whole answer in one chunk, and no last chunk."""
    body = json.dumps(completion(label())).encode()
    line.send(head(200, length=None) + b"%x\r\n%s\r\n" % (len(body), body))


def is_no_http(line: Line, asked: Asked) -> None:
    """Another protocol at this port."""
    line.send(b"SSH-2.0-OpenSSH_9.9\r\n")


def ten_megabytes(line: Line, asked: Asked) -> None:
    """An answer that could be read to its end, in chunks, so that no head warns of its length."""
    body = json.dumps({**completion(label()), "more": ""}).encode()
    _in_chunks(line, body[:-2], b"x" * 65536, body[-2:])


def white_space_without_end(line: Line, asked: Asked) -> None:
    """An answer behind more white space than anybody waits for."""
    _in_chunks(line, b"\n", b" " * 65536, json.dumps(completion(label())).encode())


def _in_chunks(line: Line, beginning: bytes, filling: bytes, end: bytes) -> None:
    line.send(head(200, length=None))
    for chunk in (beginning, *[filling] * 160, end, b""):
        line.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
