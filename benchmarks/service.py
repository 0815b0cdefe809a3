"""The service under load: how long single calls take, how many tickets go through in batches, and what it holds in memory.

python benchmarks/service.py --write --postgresql
python benchmarks/service.py --calls 2000 --many 2000 --seconds 5

`llmtriage serve` as a process of its own, embedded engine with the example tickets, every outcome stored on the disk before it is told: on SQLite,
and on PostgreSQL (a server of its own, in a temporary folder). The client speaks HTTP/1.1 over kept connections from another process on the same
machine. *In flight*: so many calls at a time, each followed by the next. *At a rate*: calls begin by the clock, whether the ones before are answered
or not, and are timed from when they should have begun. Beside them, in the same run, a service as one writes it in ten lines: FastAPI around
scikit-learn's TF-IDF and logistic regression, which stores nothing. At the end the store is asked for every ticket that was answered with 200.
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
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO

import numpy as np
import sqlalchemy as sa
from bench import EXAMPLES, postgresql, resident, table, texts

from llmtriage.store import SqlStore, schema

PAGE = Path(__file__).with_suffix(".md")
IN_FLIGHT = 50
RATE = 100
BATCH = 1_000

Call = tuple[str, list[str], object]
"""A path, the ids of the tickets in the body, and the body."""

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


def _read(log: IO[str]) -> None:
    with suppress(ValueError):  # closed with the process
        while log.read(2**16):
            pass


@contextmanager
def running(*command: str) -> Iterator[Running]:
    """A service as a process, until the block ends."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("LLMTRIAGE_")}
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, env=bare) as process:
        assert process.stderr is not None  # noqa: S101 - asked for above
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            raise SystemExit(said)
        threading.Thread(target=_read, args=(process.stderr,), daemon=True).start()  # else it would wait for a reader of its log
        try:
            yield Running(int(found[1]), process.pid)
        finally:
            process.terminate()


def ours(store: str) -> tuple[str, ...]:
    """The command line of this service."""
    return ("-m", "llmtriage", "serve", "--port", "0", "--examples", str(EXAMPLES), "--store", store)


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
    """How calls went.

    Attributes:
        seconds: Of those that were answered with 200.
        answered: The ids of their tickets.
        failed: How many were answered otherwise.
        all: Seconds of all of them together.
    """

    seconds: Sequence[float]
    answered: Sequence[str]
    failed: int
    all: float

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the calls was answered."""
        return float(np.percentile(self.seconds, share * 100)) * 1000


class _Noting:
    """Calls, and what came of them."""

    def __init__(self, calls: Iterator[Call]) -> None:
        self._calls = calls
        self.begun = self.failed = 0
        self.seconds: list[float] = []
        self.answered: list[str] = []

    async def one(self, connection: Connection, due: float | None = None) -> None:
        """The next call, timed from when it was due, or from now."""
        self.begun += 1
        path, ids, body = next(self._calls)
        start = time.perf_counter() if due is None else due
        if await connection.post(path, body) == 200:
            self.seconds.append(time.perf_counter() - start)
            self.answered += ids
        else:
            self.failed += 1


async def in_flight(port: int, n: int, at_a_time: int, calls: Iterator[Call]) -> Timed:
    """Calls, so many at a time."""
    noting = _Noting(calls)

    async def work(connection: Connection) -> None:
        while noting.begun < n:
            await noting.one(connection)

    return await _timed(port, at_a_time, work, noting)


async def at_a_rate(port: int, rate: int, seconds: float, calls: Iterator[Call]) -> Timed:
    """Calls that begin by the clock."""
    noting = _Noting(calls)
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
        while (at := await due.get()) is not None:
            await noting.one(connection, at)

    ticking = asyncio.create_task(clock())
    timed = await _timed(port, workers, work, noting)
    await ticking
    return timed


async def _timed(port: int, connections: int, work: Callable[[Connection], Awaitable[None]], noting: _Noting) -> Timed:
    opened = [await Connection.to(port) for _ in range(connections)]
    start = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in opened))
    took = time.perf_counter() - start
    for connection in opened:
        connection.close()
    return Timed(noting.seconds, noting.answered, noting.failed, took)


def singles(mark: str) -> Iterator[Call]:
    """Single calls, each of a new ticket."""
    for number, text in enumerate(texts(seed=1)):
        one = f"{mark}{number}"
        yield "/classify/single", [one], {"id": one, "content": text}


def whole_batches(mark: str) -> Iterator[Call]:
    """Batches of new tickets."""
    drawn = texts(seed=2)
    for batch in count():
        ids = [f"{mark}{batch}-{i}" for i in range(BATCH)]
        yield "/classify/batch", ids, {"items": [{"id": one, "content": next(drawn)} for one in ids]}


# -- what is measured ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Went:
    """How a service did."""

    warm: Timed
    flight: Timed
    rate: Timed
    batches: Timed

    @property
    def parts(self) -> tuple[Timed, ...]:
        """All of it."""
        return (self.warm, self.flight, self.rate, self.batches)


def measured(service: Running, calls: int, seconds: float) -> Went:
    """All that every service is asked."""
    port = service.port
    return Went(
        asyncio.run(in_flight(port, 200, 10, singles("warm"))),
        asyncio.run(in_flight(port, calls, IN_FLIGHT, singles("a"))),
        asyncio.run(at_a_rate(port, RATE, seconds, singles("b"))),
        asyncio.run(in_flight(port, max(4, calls // 2_000), 2, whole_batches("c"))),
    )


def remembered(service: Running, n: int) -> tuple[list[float], list[Timed]]:
    """MiB in memory before so many single calls, after the first tenth of them, and after all; and the calls."""
    calls, looks = singles("d"), [service.memory()]
    parts = []
    for part in (n // 10, n - n // 10):
        parts.append(asyncio.run(in_flight(service.port, part, IN_FLIGHT, calls)))
        looks.append(service.memory())
    return looks, parts


def lost(store: str, parts: Sequence[Timed]) -> tuple[int, int]:
    """How many tickets were answered with 200, and of how many of these the store knows no outcome."""
    answered = {one for part in parts for one in part.answered}
    known = sa.select(schema.ticket.c.external_id).join(schema.outcome, schema.outcome.c.ticket_id == schema.ticket.c.id)
    with SqlStore(store, create=False) as opened, opened.database.reading() as connection:
        return len(answered), len(answered.difference(connection.execute(known).scalars()))


@dataclass(frozen=True)
class Ours:
    """What was measured of this service on one database."""

    name: str
    went: Went
    looks: Sequence[float]
    answered: int
    lost: int


def serving(name: str, store: str, calls: int, many: int, seconds: float) -> Ours:
    """Measure this service on a store, its memory over so many more calls."""
    with running(*ours(store)) as service:
        went = measured(service, calls, seconds)
        looks, more = remembered(service, many) if many else ([], [])
    return Ours(name, went, looks, *lost(store, [*went.parts, *more]))


# -- the page --------------------------------------------------------------------------------------

HEADER = """# The service, measured

Command:

```
python benchmarks/service.py --write --postgresql
```
"""

FIGURES: dict[str, Callable[[Went], float]] = {
    f"{IN_FLIGHT} in flight: calls/s": lambda one: len(one.flight.seconds) / one.flight.all,
    f"{IN_FLIGHT} in flight: p50, ms": lambda one: one.flight.percentile(0.5),
    f"{IN_FLIGHT} in flight: p99, ms": lambda one: one.flight.percentile(0.99),
    f"{RATE} calls/s: p50, ms": lambda one: one.rate.percentile(0.5),
    f"{RATE} calls/s: p99, ms": lambda one: one.rate.percentile(0.99),
    f"batches of {BATCH:,}: tickets/s": lambda one: len(one.batches.answered) / one.batches.all,
    "not answered with 200": lambda one: sum(part.failed for part in one.parts),
}


def page(calls: int, many: int, seconds: float, folder: Path, server: str | None) -> str:
    """All tables."""
    with running(*plain(folder)) as service:
        other = measured(service, calls, seconds)
    stores = {"SQLite": str(folder / "service.db"), **({"PostgreSQL": server} if server else {})}
    found = [serving(name, store, calls, many if name == "SQLite" else 0, seconds) for name, store in stores.items()]
    facts = [
        f"{calls:,} calls in flight, {seconds:g} s at the rate. {datetime.now(UTC).date()}; {len(os.sched_getaffinity(0))} cores, shared by",
        f"service, client and database; Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}.",
    ]
    names = [f"`llmtriage serve`, {one.name}" for one in found]
    head = ["", *names, "FastAPI and scikit-learn, nothing stored", f"{found[0].name} / that"]
    rows = [_row(name, of, [*(one.went for one in found), other]) for name, of in FIGURES.items()]
    kept = [[one.name, f"{one.answered:,}", str(one.lost)] for one in found]
    memory = [[f"MiB in memory, {one.name}", *(f"{look:,.0f}" for look in one.looks)] for one in found if one.looks]
    tables = [
        table(head, rows),
        table(["", "tickets answered with 200", "of these not in the store"], kept),
        table(["", "before", f"after {many // 10:,} more calls", f"after {many:,}"], memory),
    ]
    return "\n\n".join([HEADER.strip(), "\n".join(facts), *tables])


def _row(name: str, of: Callable[[Went], float], went: Sequence[Went]) -> list[str]:
    figures = [of(one) for one in went]
    ratio = f"{figures[0] / figures[-1]:.2f}" if figures[-1] else "-"
    return [name, *(f"{figure:,.1f}" if name.endswith("ms") else f"{figure:,.0f}" for figure in figures), ratio]


def main() -> None:
    """Measure, print, and write the page if asked to."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=20_000)
    options.add_argument("--many", type=int, default=200_000, help="calls over which memory is looked at")
    options.add_argument("--seconds", type=float, default=60, help="at the rate")
    options.add_argument("--postgresql", action="store_true")
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        server = ends.enter_context(postgresql()) if given.postgresql else None
        made = page(given.calls, given.many, given.seconds, folder, server)
    print(made)
    if given.write:
        PAGE.write_text(made + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
