"""What a client costs: CPU a ticket and tickets a second of llmtriage and of others, against a server that answers at once.

    python benchmarks/clients.py examples/tickets.csv --envs FOLDER --write

Every contestant asks with the same prompts, as many requests in flight, in a process of its own on one core; the server has another. They
take turns, round after round; the machine should be quiet. Contestants that need packages of their own get virtual environments below
--envs, which are kept. Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from contestants import CONTESTANTS, PARTS, Contestant
from contestants.common import Skipped, Task

HERE = Path(__file__).parent
PAGE = HERE / "clients.md"
KNOWN = {**CONTESTANTS, "parts": PARTS}
BASIS = "create"
HEADER = f"| client | CPU ms a ticket, lowest | median | to `{BASIS}` | tickets/s | packages |\n|---|---|---|---|---|---|"
SUMS = {  # what the parts are called in the table, and what of each is told in another row
    "preparation": ("preparation", ()),
    "rendering": ("prompt rendering", ()),
    "request": ("the rest of the request body", ("rendering",)),
    "client": ("`post` of the openai client", ()),
    "transport": ("the rest of the transport: attempts, time-out, JSON", ("client",)),
    "reading": ("reading the reply", ()),
    "routing": ("gates and routing", ()),
}
Results = dict[str, list[dict[str, Any]]]
_PRIVATE = ("OPENAI_", "LLMTRIAGE_", "SKLLM_")


# -- one contestant, in its own process ------------------------------------------------------------


def contest(options: argparse.Namespace) -> dict[str, Any]:
    """What the contestant of this process measured, or why it did not."""
    contestant = KNOWN[options.contestant]
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    module, _, function = contestant.home.partition(":")
    task = Task.read(options.prompts, url=options.url, n=options.n, in_flight=options.in_flight)
    try:
        measured = asyncio.run(getattr(importlib.import_module(f"contestants.{module}"), function)(task))
    except Skipped as why:
        return {"contestant": options.contestant, "skipped": str(why)}
    versions = {name: version(name) for name in contestant.packages}
    return {"contestant": options.contestant, "n": options.n, "versions": versions, **measured}


# -- all of them -----------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """Of this machine, without keys, settings and proxies that a client would read."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE) and not name.lower().endswith("_proxy")
    }


def interpreter(contestant: Contestant, folder: Path) -> Path:
    """The Python that has what the contestant needs; raises Skipped where that cannot be installed."""
    if not contestant.requirements:
        return Path(sys.executable)
    wanted = [pinned(requirement) for requirement in contestant.requirements]
    home = folder / re.sub(r"[^a-z0-9.]+", "-", " ".join(wanted))
    python, complete = home / "bin" / "python", home / "complete"
    if not complete.exists():
        venv.create(home, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skipped(f"pip cannot install {' '.join(wanted)}")
        complete.touch()
    return python


def pinned(requirement: str) -> str:
    """`NAME==` with the version that stands beside llmtriage; another requirement as it is."""
    name = requirement.removesuffix("==")
    return requirement if name == requirement else requirement + version(name.partition("[")[0])


def cores() -> tuple[int | None, int | None]:
    """A core for the client and another for the server; None where the system cannot tell or there is but one."""
    known = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (known[-1], known[0]) if len(known) > 1 else (None, None)


@contextmanager
def serving(answer: str, core: int | None) -> Iterator[str]:
    """The base URL of the server, in a process of its own."""
    command = [sys.executable, str(HERE / "contestants" / "server.py"), answer, *([] if core is None else [str(core)])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None  # noqa: S101 - for the type checker: both are pipes
        assert server.stdout is not None  # noqa: S101
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        server.stdin.close()


def measured(name: str, python: Path, url: str, prompts: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The line that one contestant prints."""
    n = max(1, options.n // KNOWN[name].fewer)
    command = [str(python), __file__, "--contestant", name, "--url", url, "--prompts", str(prompts)]
    command += ["--n", str(n), "--in-flight", str(options.in_flight)]
    core, _ = cores()
    command += [] if core is None else ["--core", str(core)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def rounds(options: argparse.Namespace) -> tuple[Results, dict[str, str]]:
    """The results of every contestant that could run, and why the others could not."""
    from contestants.ours import prompts

    pythons, skipped = interpreters(options)
    results: Results = {}
    data = prompts(options.tickets, options.warm_up + options.n, options.warm_up)
    with tempfile.TemporaryDirectory() as folder, serving(data["answer"], cores()[1]) as url:
        path = Path(folder) / "prompts.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        for name in [*pythons] * options.rounds:
            if name in skipped:
                continue
            result = measured(name, pythons[name], url, path, options)
            if "skipped" in result:
                skipped[name] = result["skipped"]
            else:
                results.setdefault(name, []).append(result)
    return results, skipped


def interpreters(options: argparse.Namespace) -> tuple[dict[str, Path], dict[str, str]]:
    """The Python of every contestant that has one, and why the others have none."""
    pythons: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    for name in options.contestants:
        try:
            pythons[name] = interpreter(KNOWN[name], options.envs)
        except Skipped as why:
            skipped[name] = str(why)
    return pythons, skipped


# -- the page --------------------------------------------------------------------------------------


def lowest(runs: list[dict[str, Any]], key: str = "cpu_ms") -> float:
    """Of all rounds."""
    return min(float(run[key]) for run in runs)


def row(name: str, results: Results) -> str:
    """One line of the table."""
    runs = results[name]
    ratio = f"{lowest(runs) / lowest(results[BASIS]):.2f}" if BASIS in results else ""
    middle, rate = median(run["cpu_ms"] for run in runs), median(run["per_second"] for run in runs)
    packages = ", ".join(f"{package} {number}" for package, number in runs[0]["versions"].items())
    return f"| {CONTESTANTS[name].title} | {lowest(runs):.2f} | {middle:.2f} | {ratio} | {rate:,.0f} | {packages} |"


def parts_table(results: Results) -> list[str]:
    """Where the CPU of llmtriage goes: the parts alone, and what is left of the whole."""
    lines = ["| part of llmtriage, alone | CPU ms a ticket, lowest |", "|---|---|"]
    total = 0.0
    for key, (title, told) in SUMS.items():
        part = lowest(results["parts"], key) - sum(lowest(results["parts"], other) for other in told)
        total += part
        lines.append(f"| {title} | {part:.3f} |")
    if "ours" in results:
        whole = lowest(results["ours"])
        lines.append(f"| left over: streams, tasks, order, and what parts cost each other | {whole - total:.3f} |")
        lines.append(f"| llmtriage, all | {whole:.3f} |")
    return lines


def page(options: argparse.Namespace, results: Results, skipped: dict[str, str]) -> str:
    """The results as Markdown."""
    lines = [HEADER, *(row(name, results) for name in CONTESTANTS if name in results)]
    if "parts" in results:
        lines += ["", *parts_table(results)]
    lines += ["", *(f"Not run: {name}: {why}." for name, why in skipped.items())]
    today = datetime.now(tz=UTC).date().isoformat()
    pinned = "client and server pinned to one each" if cores()[0] is not None else "nothing pinned"
    machine = f"{os.cpu_count()} cores, {pinned}, Python {platform.python_version()}, {platform.system()}"
    how = f"{options.n:,} tickets a round after {options.warm_up} to warm up, {options.rounds} rounds, {options.in_flight} in flight"
    command = f"python benchmarks/clients.py examples/{options.tickets.name} --n {options.n} --rounds {options.rounds}"
    if options.contestants != list(KNOWN):
        command += f" --contestants {' '.join(options.contestants)}"
    where = f"{today}; {machine}, load {options.load:.1f} before the run; {how}."
    text = TEMPLATE.format(command=command, where=where, tables="\n".join(lines).rstrip())
    return text + "\n"


TEMPLATE = """\
# What a client costs, measured

CPU time of the client's process (user and system) a ticket, and tickets a second, against a local server that answers every request at once
with the same completion. Start-up and warm-up are left out. A real server is slower: then the CPU is what is left to compare, the rate is not.

Command:

```
{command} --write
```

{where}

{tables}

- All ask with the same prompts: the shipped English prompt on the sample taxonomy, about 14 KB a request, no two tickets alike. The other
  clients get the messages ready-made; llmtriage prepares the ticket, renders the prompt, reads strictly and routes within its time.
  scikit-llm makes a shorter prompt of its own and asks for no schema; it asks about a tenth of the tickets, for it is slow.
- "to `create`": lowest to lowest. Tickets/s: the median; a client much cheaper than the server is held up by it.
- Contestants take turns, so that a slow minute of the machine meets all of them.
- The parts were timed alone over the same tickets, the two with requests with as many in flight.
"""


def arguments() -> argparse.Namespace:
    """What to measure, or which contestant this process is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(KNOWN)
    parser.add_argument("tickets", type=Path, nargs="?", default=HERE.parent / "examples" / "tickets.csv")
    parser.add_argument("--contestants", nargs="+", choices=names, default=names, metavar="NAME", help="default: all")
    parser.add_argument("--n", type=int, default=2000, help="tickets a round (default 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="(default 5)")
    parser.add_argument("--in-flight", type=int, default=64, help="requests at a time (default 64)")
    parser.add_argument("--warm-up", type=int, default=256, help="tickets before the clock starts (default 256)")
    parser.add_argument(
        "--envs", type=Path, help="where virtual environments are kept (default: in the folder for temporary files)"
    )
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} too")
    one = parser.add_argument_group("one contestant, in this process")
    one.add_argument("--contestant", choices=names)
    one.add_argument("--url", help="the server's base URL")
    one.add_argument("--prompts", type=Path, help="the file of prompts")
    one.add_argument("--core", type=int, help="the core to stay on")
    options = parser.parse_args()
    options.envs = (options.envs or Path(tempfile.gettempdir()) / "llmtriage-clients").resolve()
    options.load = os.getloadavg()[0]
    return options


def main() -> None:
    """Print one line as a contestant, else the page."""
    options = arguments()
    if options.contestant:
        print(json.dumps(contest(options)))
        return
    text = page(options, *rounds(options))
    print(text)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
