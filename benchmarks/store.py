"""The store: what it costs to keep every outcome, whether a million tickets go through at one rate, and how long a page of the queue takes.

python benchmarks/store.py --write --postgresql
python benchmarks/store.py --tickets 50000 --rows 20000

Three parts. *Writing*: decisions in groups, through the store and by the bare driver, which is given the ids beforehand and looks nothing up.
*A run*: tickets of 50 words through `llmtriage classify` with the lexical engine on one core, all of them pending, every outcome stored.
*The queue*: its first page when all of them wait, and a page in the middle. `--postgresql` starts a server of its own in a temporary folder
(initdb and pg_ctl are looked for; as root it runs as the user postgres).
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from bench import EXAMPLES, postgresql, resident, table, texts

from llmtriage import Accepted, Candidate, Pending, Reason, Ticket
from llmtriage.remembering import Decision, Run
from llmtriage.store import SqlStore

PAGE = Path(__file__).with_suffix(".md")
GROUPS = (1, 16, 256)
LOOKS = 100  # at rate and memory, in a run
RUN = Run("benchmark", "lexical", {"engine": "lexical"})
TABLES = ("ticket", "ticket_text", "outcome", "queue_entry", "event")


# -- what is written -------------------------------------------------------------------------------


def decisions(n: int) -> list[Decision]:
    """Decisions as a run makes them: two of three accepted, 50 words, five candidates."""
    candidates = tuple(Candidate(category=f"category-{i}", score=0.5 / (i + 1)) for i in range(5))
    made = []
    for i, text in enumerate(islice(texts(seed=1), n)):
        ticket = Ticket(id=f"T{i}", content=text, channel="mail", language="en")
        common: dict[str, Any] = {"score": 0.5, "candidates": candidates, "ticket_id": ticket.id}
        if i % 3:
            outcome: Accepted | Pending = Accepted(category="category-0", team="team", confidence=None, **common)
        else:
            reason = Reason(code="below_threshold", detail="0.50 < 0.8")
            outcome = Pending(suggestion="category-0", reasons=(reason,), **common)
        made.append(Decision(ticket, outcome, RUN, RUN.id))
    return made


def through_the_store(where: str, made: Sequence[Decision], group: int) -> float:
    """Seconds to keep all, a group at a time, each waited for."""
    with SqlStore(where) as store:
        start = time.perf_counter()
        for i in range(0, len(made), group):
            store.record(made[i : i + group]).result()
        return time.perf_counter() - start


def rows_of(where: str) -> dict[str, tuple[list[str], list[tuple[Any, ...]]]]:
    """The rows a store holds, as a driver takes them."""
    with closing(sqlite3.connect(where)) as connection:
        found = {}
        for table in TABLES:
            cursor = connection.execute(f"select * from {table} order by id")  # noqa: S608
            found[table] = ([column[0] for column in cursor.description], cursor.fetchall())
        return found


def by_the_driver(connect: Callable[[], Any], mark: str, rows: dict[str, Any], tickets: int, group: int) -> float:
    """Seconds to write the same rows with prepared statements, a transaction for each group."""
    inserts = {
        table: f"insert into {table} ({', '.join(columns)}) values ({', '.join([mark] * len(columns))})"  # noqa: S608
        for table, (columns, _) in rows.items()
    }
    parts = {table: _by_ticket(columns, values, tickets) for table, (columns, values) in rows.items()}
    with closing(connect()) as connection:
        start = time.perf_counter()
        for i in range(0, tickets, group):
            cursor = connection.cursor()
            cursor.execute("begin immediate" if mark == "?" else "begin")
            for table, insert in inserts.items():
                values = [row for ticket in parts[table][i : i + group] for row in ticket]
                if values:
                    cursor.executemany(insert, values)
            cursor.execute("commit")
        return time.perf_counter() - start


def _by_ticket(columns: list[str], rows: list[tuple[Any, ...]], tickets: int) -> list[list[tuple[Any, ...]]]:
    """The rows of each ticket, in their order."""
    place = next(columns.index(name) for name in ("ticket_id", "subject_id", "id") if name in columns)
    parts: list[list[tuple[Any, ...]]] = [[] for _ in range(tickets)]
    first = min(row[place] for row in rows)
    for row in rows:
        parts[row[place] - first].append(row)
    return parts


# -- a run -----------------------------------------------------------------------------------------


def write_tickets(path: Path, n: int) -> None:
    """A CSV file of n tickets of 50 words."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "content"])
        writer.writerows((f"T{i}", text) for i, text in enumerate(islice(texts(seed=2), n)))


def watched(command: Sequence[str], out: Path, n: int) -> list[tuple[int, float, float]]:
    """Run a command on one core and look from outside at the file it writes: rows, seconds and MiB in memory, about a hundred times."""
    looks: list[tuple[int, float, float]] = []
    rows = 0
    one_core = {max(os.sched_getaffinity(0))}
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LLMTRIAGE_")}
    out.touch()
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        env=ours,
        preexec_fn=lambda: os.sched_setaffinity(0, one_core),  # noqa: PLW1509
    ) as run:
        with out.open("rb") as file:
            while rows < n and run.poll() is None:
                time.sleep(0.02)
                rows += file.read().count(b"\n")
                if rows > len(looks) * n / LOOKS and (memory := resident(run.pid)):
                    looks.append((rows, time.perf_counter(), memory))
        said = run.communicate()[1].decode()
    if run.returncode:
        raise SystemExit(said)
    return looks


@dataclass(frozen=True)
class Went:
    """How a run went.

    Attributes:
        first, last, all: Tickets a second in the first tenth, in the last tenth, in all.
        memory: MiB after the first tenth, and at the end.
    """

    first: float
    last: float
    all: float
    memory: tuple[float, float]


def run(folder: Path, n: int, *, stored: bool) -> Went:
    """One run of the command line."""
    out = folder / "out.csv"
    out.unlink(missing_ok=True)
    kept = ["--store", str(folder / "run.db")] if stored else ["--no-store"]
    options = ["--examples", str(EXAMPLES), "-o", str(out), "--quiet", *kept]
    looks = watched([sys.executable, "-m", "llmtriage", "classify", str(folder / "tickets.csv"), *options], out, n)
    tenth = max(1, len(looks) // 10)

    def rate(one: tuple[float, ...], other: tuple[float, ...]) -> float:
        return (other[0] - one[0]) / (other[1] - one[1])

    return Went(
        rate(looks[0], looks[tenth]),
        rate(looks[-1 - tenth], looks[-1]),
        rate(looks[0], looks[-1]),
        (looks[tenth][2], looks[-1][2]),
    )


# -- the queue -------------------------------------------------------------------------------------


def queue_times(where: str, times: int = 25) -> dict[str, float]:
    """Milliseconds of a page of 50, and of lending one ticket; the median of several."""
    with SqlStore(where) as store:
        queue = store.queue
        after = queue.page(limit=50).after
        asked: dict[str, Callable[[], Any]] = {
            "first page, oldest first": lambda: queue.page(limit=50),
            "first page, most uncertain first": lambda: queue.page(order="uncertain", limit=50),
            "the page after it": lambda: queue.page(limit=50, after=after),
            "lend one ticket": lambda: queue.claim("benchmark"),
        }
        return {name: _median_ms(ask, times) for name, ask in asked.items()}


def bare_page(connect: Callable[[], Any], times: int = 25) -> float:
    """Milliseconds of the first page by the driver alone."""
    with closing(connect()) as connection:
        return _median_ms(lambda: connection.cursor().execute(_PAGE).fetchall(), times)


_PAGE = (
    "select q.*, t.external_id, t.metadata, x.title, x.content, o.reasons, o.candidates from queue_entry q "
    "join ticket t on t.id = q.ticket_id join ticket_text x on x.id = q.ticket_text_id left join outcome o on o.id = q.outcome_id "
    "where q.state = 'open' order by q.id limit 50"
)

_MANY = """
insert into run values ('many', 'lexical', '{}', '0', 0);
insert into ticket (source, key, external_id, metadata, received_at)
    select '', 'id:M' || n, 'M' || n, '{}', n from generate_series(1, :n) n;
insert into ticket_text (ticket_id, title, content, hmac, kept, received_at)
    select id, '', repeat('words and ', 25), decode(md5(key), 'hex'), 'original', 0 from ticket;
insert into outcome
    (ticket_id, ticket_text_id, run_id, run_key, final, kind, category, score, calibrated, reasons, candidates, usage, created_at)
    select ticket_id, id, 'many', 'many', true, 'pending', 'category-0', 0.5, false, '[["uncalibrated",null]]', '[]', '{}', 0
    from ticket_text;
insert into queue_entry
    (outcome_id, ticket_id, ticket_text_id, lane, blind, state, reasons, category, rank, round, enqueued_at, lease_token)
    select id, ticket_id, ticket_text_id, 'pending', false, 'open', ' uncalibrated ', category, -random(), 1, 0, 0 from outcome;
analyze
"""


def fill(connection: Any, n: int) -> None:
    """So many pending tickets in PostgreSQL, made there."""
    for statement in _MANY.split(";"):
        connection.execute(statement.replace(":n", str(n)))


def _median_ms(ask: Callable[[], Any], times: int) -> float:
    ask()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


# -- the page --------------------------------------------------------------------------------------

HEADER = """# The store, measured

Command:

```
python benchmarks/store.py --write --postgresql
```
"""

WRITING = """{n:,} decisions (a twentieth of them at one a transaction, a quarter at 16), tickets of 50 words, two of three accepted; each a row in
`ticket`, `ticket_text`, `outcome` and `event`, a third in `queue_entry`. The driver is given ids and looks nothing up. Medians of three."""
RUNNING = """Tickets of 50 words through `llmtriage classify`, lexical engine with the example tickets, personal data looked for, one core, no
threshold: all of them wait. A tenth is a tenth of the tickets. How quick the machine is, the rates of the driver alone above say."""
QUEUE = "Pages of 50 of {n:,} pending tickets, medians of 25."


def written(folder: Path, n: int, server: str | None) -> str:
    """The table of writing."""
    few = {1: n // 20, 16: n // 4, 256: n}
    databases: list[_Database] = [_Lite(folder / "writing.db"), *([_Server(server)] if server else [])]
    made = decisions(n)
    rows = []
    for group in GROUPS:
        part = made[: few[group]]
        cells = [str(group)]
        for database in databases:
            here, there = zip(*[_both(database, folder / f"rows-{group}.db", part, group) for _ in range(3)], strict=True)
            ours, bare = len(part) / statistics.median(here), len(part) / statistics.median(there)
            cells += [f"{ours:,.0f}", f"{bare:,.0f}", f"{bare / ours:.2f}"]
        rows.append(cells)
    names = [cell for one in databases for cell in (f"{one.name}, tickets/s", "its driver alone, tickets/s", "driver / store")]
    return table(["tickets a transaction", *names], rows)


def _both(database: _Database, rows: Path, made: Sequence[Decision], group: int) -> tuple[float, float]:
    """Seconds through the store and by the driver."""
    if not rows.exists():
        through_the_store(str(rows), made, 256)
    database.empty()
    ours = through_the_store(database.where, made, group)
    database.empty()
    with closing(database.connect()) as connection:
        connection.execute("insert into run values ('benchmark', 'lexical', '{}', '0', 0)")
    return ours, by_the_driver(database.connect, database.mark, database.typed(rows_of(str(rows))), len(made), group)


class _Database:
    """One of the two, with its driver."""

    name: str
    mark: str
    where: str

    def connect(self) -> Any:
        raise NotImplementedError

    def empty(self) -> None:
        raise NotImplementedError

    def typed(self, rows: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


class _Lite(_Database):
    name, mark = "SQLite", "?"

    def __init__(self, path: Path) -> None:
        self.where = str(path)

    def connect(self) -> Any:
        connection = sqlite3.connect(self.where, isolation_level=None)
        for setting in ("foreign_keys=ON", "secure_delete=ON", "synchronous=FULL", "journal_mode=WAL"):
            connection.execute(f"pragma {setting}")
        return connection

    def empty(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(self.where + suffix).unlink(missing_ok=True)
        SqlStore(self.where).close()

    def typed(self, rows: dict[str, Any]) -> dict[str, Any]:
        return rows


class _Server(_Database):
    name, mark = "PostgreSQL", "%s"

    def __init__(self, where: str) -> None:
        self.where = where

    def connect(self) -> Any:
        import psycopg

        return psycopg.connect(self.where, autocommit=True)

    def empty(self) -> None:
        SqlStore(self.where).close()
        with closing(self.connect()) as connection:
            connection.execute(f"truncate {', '.join((*TABLES, 'run', 'daily_count'))} restart identity cascade")

    def typed(self, rows: dict[str, Any]) -> dict[str, Any]:
        """With booleans where SQLite has numbers."""
        typed = {}
        for name, (columns, values) in rows.items():
            places = [columns.index(column) for column in _BOOLEAN if column in columns]
            typed[name] = (columns, [tuple(bool(v) if i in places else v for i, v in enumerate(row)) for row in values])
        return typed


_BOOLEAN = ("final", "calibrated", "blind", "costly")


def ran(folder: Path, n: int) -> str:
    """The table of a run."""
    went = {}
    for name, tickets in {f"without a store, {n // 5:,} tickets": n // 5, f"every outcome stored, {n:,} tickets": n}.items():
        write_tickets(folder / "tickets.csv", tickets)
        went[name] = run(folder, tickets, stored=tickets == n)
    rows = [
        [
            name,
            f"{w.first:,.0f}",
            f"{w.last:,.0f}",
            f"{w.last / w.first:.2f}",
            f"{w.all:,.0f}",
            f"{w.memory[0]:,.0f}",
            f"{w.memory[1]:,.0f}",
        ]
        for name, w in went.items()
    ]
    head = ["", "first tenth, tickets/s", "last tenth", "last / first", "all", "MiB after the first tenth", "MiB at the end"]
    return table(head, rows)


def queued(folder: Path, n: int, server: str | None) -> str:
    """The table of the queue."""
    databases: list[_Database] = [_Lite(folder / "run.db")]
    if server:
        databases.append(_Server(server))
        databases[-1].empty()
        with closing(databases[-1].connect()) as connection:
            fill(connection, n)
    times = [{**queue_times(one.where), "first page by the driver alone": bare_page(one.connect)} for one in databases]
    rows = [[what, *(f"{each[what]:.2f}" for each in times)] for what in times[0]]
    return table(["", *(f"{one.name}, ms" for one in databases)], rows)


def main() -> None:
    """Measure, print, and write the page if asked to."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tickets", type=int, default=1_000_000, help="of the run and of the queue")
    options.add_argument("--rows", type=int, default=51_200, help="of writing")
    options.add_argument("--folder", type=Path, help="where files are made [a temporary one]")
    options.add_argument("--postgresql", action="store_true")
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(dir=given.folder)))
        server = ends.enter_context(postgresql()) if given.postgresql else None
        parts = {
            "Writing": (WRITING.format(n=given.rows), written(folder, given.rows, server)),
            "A run": (RUNNING, ran(folder, given.tickets)),
            "The queue": (QUEUE.format(n=given.tickets), queued(folder, given.tickets, server)),
        }
        page = "\n\n".join([HEADER.strip(), _where(server), *(f"## {name}\n\n{a}\n\n{b}" for name, (a, b) in parts.items())])
    print(page)
    if given.write:
        PAGE.write_text(page + "\n", encoding="utf-8")


def _where(server: str | None) -> str:
    import sqlalchemy

    versions = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}", f"SQLAlchemy {sqlalchemy.__version__}"]
    if server:
        with closing(_Server(server).connect()) as connection:
            [[version]] = connection.execute("show server_version").fetchall()
            versions.append(f"PostgreSQL {version.split()[0]}")
    return f"{datetime.now(UTC).date()}; {len(os.sched_getaffinity(0))} cores, {', '.join(versions)}; every commit waits for the disk."


if __name__ == "__main__":
    main()
