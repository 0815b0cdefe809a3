"""What the benchmarks of the store and of the service share: texts, tables, memory, a PostgreSQL server."""

from __future__ import annotations

import csv
import os
import pwd
import random
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "tickets.csv"
WORDS = 50


def texts(seed: int) -> Iterator[str]:
    """Texts of 50 words, each of a few English example tickets drawn at random and joined; without end."""
    draw = random.Random(seed)
    with EXAMPLES.open(encoding="utf-8") as file:
        known = [row["content"].split() for row in csv.DictReader(file) if row["content"].isascii()]
    while True:
        words: list[str] = []
        while len(words) < WORDS:
            words += draw.choice(known)
        yield " ".join(words[:WORDS])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def resident(process: int) -> float:
    """MiB that a process holds in memory now."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of a server of our own, which ends with the benchmark."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("pg_ctl") or "pg_ctl").parent]
    as_user = {"user": "postgres"} if os.getuid() == 0 else {}
    owner = "postgres" if as_user else pwd.getpwuid(os.getuid()).pw_name
    with tempfile.TemporaryDirectory() as name, ExitStack() as ends:
        folder = Path(name)
        if as_user:
            shutil.chown(folder, "postgres")

        def call(program: str, *arguments: str) -> None:
            subprocess.run([str(programs[-1] / program), *arguments], check=True, stdout=subprocess.DEVNULL, **as_user)  # type: ignore[call-overload]

        data = str(folder / "data")
        call("initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--no-instructions")
        call("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", f"-k {folder} -c listen_addresses=", "start")
        ends.callback(call, "pg_ctl", "-D", data, "-m", "immediate", "stop")
        yield f"postgresql://{owner}@/postgres?host={folder}"
