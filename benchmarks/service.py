"""The service under load: how long single calls take, how many tickets go through in batches, and what it holds in memory.

python benchmarks/service.py --write
python benchmarks/service.py --calls 2000 --seconds 5

`llmtriage serve` as a process of its own, embedded engine with the example tickets, every outcome stored on the disk before it is told. The
client speaks HTTP/1.1 over kept connections from another process on the same machine. *In flight*: so many calls at a time, each followed by
the next. *At a rate*: calls begin by the clock, whether the ones before are answered or not, and are timed from when they should have begun.
Beside it, in the same run, a service as one writes it in ten lines: FastAPI around scikit-learn's TF-IDF and logistic regression, which stores
nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from bench import EXAMPLES, resident, table, texts

PAGE = Path(__file__).with_suffix(".md")
IN_FLIGHT = 50
RATE = 100
BATCH = 1_000

_PLAIN = """
import csv, sys
import uvicorn
from fastapi import FastAPI
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

rows = [row for row in csv.DictReader(open(sys.argv[1], encoding="utf-8")) if row["category"]]
model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000)).fit([r["content"] for r in rows], [r["category"] for r in rows])
app = FastAPI()

def told(texts):
    return [{"category": model.classes_[row.argmax()], "score": float(row.max())} for row in model.predict_proba(texts)]

@app.post("/classify/single")
def single(ticket: dict):
    return told([ticket["content"]])[0]

@app.post("/classify/batch")
def batch(sent: dict):
    return {"items": told([item["content"] for item in sent["items"]])}

import socket
listening = socket.create_server(("127.0.0.1", 0))
print(f"serves http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listening])
"""


# -- the two services ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Running:
    """A service that listens."""

    port: int
    process: int

    def memory(self) -> float:
        """MiB in memory now."""
        return resident(self.process)


@contextmanager
def running(*command: str) -> Iterator[Running]:
    """A service as a process, until the block ends."""
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # noqa: S101 - asked for above
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            raise SystemExit(said)
        threading.Thread(
            target=deque, args=(process.stderr, 0), daemon=True
        ).start()  # else it would wait for a reader of its log
        try:
            yield Running(int(found[1]), process.pid)
        finally:
            process.terminate()


def ours(folder: Path) -> tuple[str, ...]:
    """The command line of this service."""
    return ("-m", "llmtriage", "serve", "--port", "0", "--examples", str(EXAMPLES), "--store", str(folder / "service.db"))


def plain(folder: Path) -> tuple[str, ...]:
    """The command line of the one in ten lines."""
    script = folder / "plain.py"
    script.write_text(_PLAIN, encoding="utf-8")
    return (str(script), str(EXAMPLES))


# -- the client ------------------------------------------------------------------------------------


class Connection:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Connection:
        """A connection to the service there."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**24))

    async def post(self, path: str, body: object) -> int:
        """The status of the reply, all of which was read."""
        sent = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        self._writer.write(head.encode() + sent)
        told = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", told)
        await self._reader.readexactly(int(length[1]) if length else 0)
        return int(told.split(b" ", 2)[1])

    def close(self) -> None:
        """End it."""
        self._writer.close()


@dataclass(frozen=True)
class Timed:
    """How calls went: their seconds, how many were not answered with 200, and how long all took."""

    seconds: Sequence[float]
    failed: int
    all: float

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the calls was answered."""
        return float(np.percentile(self.seconds, share * 100)) * 1000


async def in_flight(port: int, calls: int, at_a_time: int, bodies: Iterator[tuple[str, object]]) -> Timed:
    """Calls, so many at a time."""
    seconds: list[float] = []
    failed = 0

    async def work(connection: Connection) -> None:
        nonlocal failed
        while len(seconds) + failed < calls:
            path, body = next(bodies)
            start = time.perf_counter()
            status = await connection.post(path, body)
            if status == 200:
                seconds.append(time.perf_counter() - start)
            else:
                failed += 1

    return await _timed(port, at_a_time, [work] * at_a_time, seconds, lambda: failed)


async def at_a_rate(port: int, rate: int, seconds: float, bodies: Iterator[tuple[str, object]]) -> Timed:
    """Calls that begin by the clock."""
    taken: list[float] = []
    failed = 0
    due: asyncio.Queue[float | None] = asyncio.Queue()
    workers = 4 * rate

    async def clock() -> None:
        start = time.perf_counter()
        for number in range(round(rate * seconds)):
            at = start + number / rate
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            due.put_nowait(at)
        for _ in range(workers):
            due.put_nowait(None)

    async def work(connection: Connection) -> None:
        nonlocal failed
        while (at := await due.get()) is not None:
            path, body = next(bodies)
            if await connection.post(path, body) == 200:
                taken.append(time.perf_counter() - at)
            else:
                failed += 1

    ticking = asyncio.create_task(clock())
    timed = await _timed(port, workers, [work] * workers, taken, lambda: failed)
    await ticking
    return timed


async def _timed(
    port: int,
    connections: int,
    work: Sequence[Callable[[Connection], Awaitable[None]]],
    seconds: list[float],
    failed: Callable[[], int],
) -> Timed:
    opened = [await Connection.to(port) for _ in range(connections)]
    start = time.perf_counter()
    await asyncio.gather(*(one(connection) for one, connection in zip(work, opened, strict=True)))
    took = time.perf_counter() - start
    for connection in opened:
        connection.close()
    return Timed(seconds, failed(), took)


def singles(mark: str) -> Iterator[tuple[str, object]]:
    """Single calls, each of a new ticket."""
    for number, text in enumerate(texts(seed=1)):
        yield "/classify/single", {"id": f"{mark}{number}", "content": text}


def whole_batches(mark: str) -> Iterator[tuple[str, object]]:
    """Batches of new tickets."""
    drawn = texts(seed=2)
    for batch in range(10**6):
        yield "/classify/batch", {"items": [{"id": f"{mark}{batch}-{i}", "content": next(drawn)} for i in range(BATCH)]}


# -- what is measured ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Went:
    """How a service did."""

    warm: Timed
    flight: Timed
    rate: Timed
    batches: Timed


def measured(service: Running, calls: int, seconds: float) -> Went:
    """All that both services are asked."""
    return Went(
        asyncio.run(in_flight(service.port, 200, 10, singles("warm"))),
        asyncio.run(in_flight(service.port, calls, IN_FLIGHT, singles("a"))),
        asyncio.run(at_a_rate(service.port, RATE, seconds, singles("b"))),
        asyncio.run(in_flight(service.port, max(4, calls // 2_000), 2, whole_batches("c"))),
    )


def kept(store: Path) -> int:
    """How many tickets the store holds."""
    with closing(sqlite3.connect(store)) as connection:
        [[n]] = connection.execute("select count(*) from outcome").fetchall()
        return int(n)


HEADER = """# The service, measured

Command:

```
python benchmarks/service.py --write
```
"""


def page(calls: int, many: int, seconds: float, folder: Path) -> str:
    """All tables."""
    with running(*plain(folder)) as service:
        other = measured(service, calls, seconds)
    with running(*ours(folder)) as service:
        own = measured(service, calls, seconds)
        before = service.memory()
        more = asyncio.run(in_flight(service.port, many, IN_FLIGHT, singles("d")))
        after = service.memory()
    answered = sum(len(one.seconds) for one in (own.warm, own.flight, own.rate, more)) + len(own.batches.seconds) * BATCH
    rows = [
        _row(f"{IN_FLIGHT} in flight: calls/s", *(f"{len(one.flight.seconds) / one.flight.all:,.0f}" for one in (own, other))),
        *(_row(f"{IN_FLIGHT} in flight: {name}, ms", *_ms(share, own.flight, other.flight)) for name, share in _SHARES.items()),
        *(_row(f"{RATE} calls/s: {name}, ms", *_ms(share, own.rate, other.rate)) for name, share in _SHARES.items()),
        _row(
            f"batches of {BATCH:,}: tickets/s",
            *(f"{len(one.batches.seconds) * BATCH / one.batches.all:,.0f}" for one in (own, other)),
        ),
        _row("not answered with 200", *(str(one.flight.failed + one.rate.failed + one.batches.failed) for one in (own, other))),
    ]
    facts = [
        f"{calls:,} calls in flight, {seconds:g} s at the rate. {datetime.now(UTC).date()}; {len(os.sched_getaffinity(0))} cores shared with",
        f"the client, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}.",
    ]
    memory = f"Memory: {before:,.0f} MiB before {many:,} further calls, {after:,.0f} MiB behind them."
    stored = f"Answered with 200: {answered:,} tickets; in the store: {kept(folder / 'service.db'):,}."
    head = ["", "`llmtriage serve`, every outcome stored", "FastAPI and scikit-learn, nothing stored"]
    return "\n\n".join([HEADER.strip(), "\n".join(facts), table(head, rows), memory, stored])


_SHARES = {"p50": 0.5, "p99": 0.99}


def _ms(share: float, *timed: Timed) -> list[str]:
    return [f"{one.percentile(share):,.1f}" for one in timed]


def _row(name: str, *cells: str) -> list[str]:
    return [name, *cells]


def main() -> None:
    """Measure, print, and write the page if asked to."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=20_000)
    options.add_argument("--many", type=int, default=200_000, help="calls before memory is looked at again")
    options.add_argument("--seconds", type=float, default=60, help="at the rate")
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = page(given.calls, given.many, given.seconds, Path(folder))
    print(made)
    if given.write:
        PAGE.write_text(made + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
