"""What ways of asking one model cost and how good their answers are, side by side on one vLLM server.

    python benchmarks/engines.py                                   the small model of tests/vllm, on this machine's CPU
    python benchmarks/engines.py CLINC150/dev.csv --n 300 --write

It starts a server of its own in .venv-vllm (`make .venv-vllm`) and stops it at the end. On any other vLLM server, which nobody else asks
meanwhile, for example with a GPU:

    vllm serve Qwen/Qwen3-8B --max-logprobs 20
    python benchmarks/engines.py CLINC150/dev.csv --n 1000 --url http://localhost:8000/v1 --model Qwen/Qwen3-8B

One token, JSON, JSON with a rationale, votes, `decisions:`, vLLM in process, and a classifier written with `openai` and pydantic get the same
tickets. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import openai
from pydantic import TypeAdapter
from ways import BASIS, WAYS, ours, plain
from ways.clock import Ask, Measured, Server, clocked
from ways.tasks import FIXTURE, TAXONOMIES, Task, padded, tasks
from ways.worth import worth

from llmtriage import BackendSettings
from llmtriage.errors import LlmtriageError

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path(__file__).with_suffix(".md")
TURNED = ("token", "json")  # asked with the ticket first, too
ENGINE = {"max_model_len": 4096, "enforce_eager": True}  # as examples/local_vllm.py starts its servers
QUICK = 16

AS_IT_IS, EQUAL, TICKET_FIRST = "as it is", "equal", "ticket first"
COST = (
    "categories, examples",
    "way",
    "tickets/s",
    "output tokens",
    "prompt tokens",
    "uncached",
    "p50 / p99 ms",
    "CPU ms, server / client",
    "one token is faster",
    "the same at equal uncached tokens",
    "that in CPU seconds",
    "ticket last is faster than first",
)
WORTH = ("categories, examples", "way", "accuracy", "log loss after T", "ECE", "no answer")

Setting = tuple[int, int]
Runs = dict[int, Measured]


class Skipped(Exception):  # noqa: N818 - not an error: the way cannot be measured here, and why
    """Why a way is left out."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the model is.

    Attributes:
        url: The base URL of the server, with its path.
        model: Its name there.
        folder: The model for vLLM in process; None: there is none.
        python: An interpreter that has vLLM; None: there is none.
        engine: Arguments of `vllm.LLM`.
    """

    url: str
    model: str
    folder: str | None = None
    python: Path | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a process that has vLLM is to measure."""

    way: str
    task: Task
    engine: dict[str, Any]


@dataclass(kw_only=True)
class Results:
    """All runs.

    Attributes:
        tasks: By their settings.
        runs: What each way took, by setting, way and how it was asked, then by the number of the run.
        skipped: Why ways are left out, by setting and way.
    """

    tasks: dict[Setting, Task] = field(default_factory=dict)
    runs: dict[tuple[Setting, str, str], Runs] = field(default_factory=dict)
    skipped: dict[tuple[Setting, str], str] = field(default_factory=dict)

    def of(self, setting: Setting, name: str, how: str) -> Runs:
        """What a way took; empty: nothing was measured."""
        return self.runs.get((setting, name, how), {})


_JOB, _MEASURED = TypeAdapter(Job), TypeAdapter(Measured)

# -- asking ----------------------------------------------------------------------------------------


def measured(name: str, task: Task, place: Place, *, how: str = AS_IT_IS) -> Measured:
    """What a way took for a task, with prompts that the server has not seen. Raises Skipped."""
    way = WAYS[name]
    if way.by == "in process":
        return in_process(name, task, place)
    task = replace(task, salt=f"{name} {how} {time.time_ns()}")
    try:
        with _asking(name, task, how) as ask:
            return clocked(ask, task.warm_up, task.texts, Server(task.url))
    except (LlmtriageError, openai.OpenAIError) as error:
        raise Skipped(str(error)) from error


def _asking(name: str, task: Task, how: str) -> AbstractContextManager[Ask]:
    if WAYS[name].by == "openai":
        return plain.asking(task)
    return ours.asking(WAYS[name], task, ticket_first=how == TICKET_FIRST)


def in_process(name: str, task: Task, place: Place) -> Measured:
    """The same by a process of its own that has vLLM: it loads the model anew, so nothing is in its prefix cache. Raises Skipped."""
    kinds = get_args(BackendSettings.model_fields["kind"].annotation)
    if WAYS[name].settings["kind"] not in kinds:
        raise Skipped("this llmtriage has no vllm-offline")
    if place.folder is None or place.python is None:
        raise Skipped("name the model and a Python that has vLLM: --folder, --vllm-python")
    job = Job(way=name, task=replace(task, model=place.folder), engine=dict(place.engine))
    command = [str(place.python), __file__, "--job"]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(command, input=_JOB.dump_json(job), capture_output=True, check=True, env=environment)
    except OSError as error:
        raise Skipped(f"{place.python} cannot be run ({error.strerror})") from None
    except subprocess.CalledProcessError as error:
        raise Skipped((error.stderr.decode().splitlines() or ["it ended without a word"])[-1]) from None
    return _MEASURED.validate_json(done.stdout.splitlines()[-1])


def do_job() -> None:
    """Measure what stands on the standard input, and print it as one line of JSON."""
    job = _JOB.validate_json(sys.stdin.buffer.read())
    try:
        with ours.asking(WAYS[job.way], job.task, engine=job.engine) as ask:
            print(_MEASURED.dump_json(clocked(ask, job.task.warm_up, job.task.texts, None)).decode())
    except LlmtriageError as error:
        sys.exit(str(error))


# -- all of them -----------------------------------------------------------------------------------


def measure_all(every: Sequence[Task], ways: Sequence[str], place: Place, runs: int) -> Iterator[Results]:
    """All ways, run after run; in each they take turns in another order. What there is after each run."""
    results = Results(tasks={task.setting: task for task in every})
    for number in range(runs):
        for task in every:
            _run(results, number, task, random.Random(number).sample(ways, len(ways)), place)
        yield results


def _run(results: Results, number: int, task: Task, ways: Sequence[str], place: Place) -> None:
    """One task, by all ways: as it is, with as many uncached tokens in each way, and with the ticket first."""

    def noted(name: str, task: Task, how: str) -> Measured | None:
        try:
            found = measured(name, task, place, how=how)
        except Skipped as why:
            results.skipped[task.setting, name] = str(why)
            return None
        results.runs.setdefault((task.setting, name, how), {})[number] = found
        print(f"run {number + 1}, {task.setting}, {name}, {how}: {found.per_second:.1f} tickets/s", file=sys.stderr, flush=True)
        return found

    taken = {name: found for name in ways if (found := noted(name, task, AS_IT_IS)) is not None}
    for name, texts in equalised(taken, task, Server(task.url)).items():
        noted(name, replace(task, texts=texts), EQUAL)
    for name in TURNED:
        if name in taken:
            noted(name, task, TICKET_FIRST)


def equalised(taken: Mapping[str, Measured], task: Task, server: Server) -> dict[str, tuple[str, ...]]:
    """Tickets for each way that can be equalised, so long that the server computes as many tokens of a prompt in each.

    What stands behind the ticket is never in the cache, so a ticket with n tokens more costs n uncached tokens more.
    """
    each = {
        name: found.uncached / WAYS[name].prompts
        for name, found in taken.items()
        if WAYS[name].ticket_last and WAYS[name].by != "in process"
    }
    some = " ".join(task.texts[:50])
    tokens_a_word = server.tokens_of(some, task.model) / len(some.split())
    most = max(each.values(), default=0)
    return {name: padded(task.texts, round((most - tokens) / tokens_a_word)) for name, tokens in each.items()}


# -- the page --------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def spread(values: Sequence[float], form: str) -> str:
    """The median and, of several, the lowest and the highest."""
    if not values:
        return "-"
    low, high = min(values), max(values)
    return f"{median(values):{form}}" + (f" ({low:{form}}-{high:{form}})" if len(values) > 1 else "")


def faster(ones: Runs, others: Runs) -> list[float]:
    """How many times as many tickets a second, run by run."""
    return [ones[number].per_second / others[number].per_second for number in sorted(ones.keys() & others.keys())]


def cheaper(ones: Runs, others: Runs) -> list[float]:
    """How many times as many CPU seconds the others took, of server and client, run by run; empty where nobody sees the server's."""
    pairs = [(ones[number], others[number]) for number in sorted(ones.keys() & others.keys())]
    return [
        (other.server + other.client) / (one.server + one.client)
        for one, other in pairs
        if one.server is not None and other.server is not None
    ]


def cost(results: Results, setting: Setting, name: str) -> list[str]:
    """A row of the first table."""
    runs, equal, turned = (results.of(setting, name, how) for how in (AS_IT_IS, EQUAL, TICKET_FIRST))
    every = list(runs.values())
    basis, alike = (results.of(setting, BASIS, how) for how in (AS_IT_IS, EQUAL))
    p50, p99 = (median(np.quantile([one.seconds for one in run.said], share) for run in every) for share in (0.5, 0.99))
    server = [1000 * run.server for run in every if run.server is not None]
    return [
        "{}, {}".format(*setting),
        WAYS[name].title,
        spread([run.per_second for run in every], ".0f"),
        f"{median(run.output for run in every):.1f}",
        f"{median(run.prompt for run in every):,.0f}",
        f"{median(run.uncached for run in every):.0f}",
        f"{1000 * p50:.0f} / {1000 * p99:.0f}",
        f"{spread(server, '.1f')} / {spread([1000 * run.client for run in every], '.1f')}",
        *(
            "" if name == BASIS else spread(ratios, ".2f")
            for ratios in (faster(basis, runs), faster(alike, equal), cheaper(alike, equal))
        ),
        spread(faster(runs, turned), ".2f"),
    ]


def quality(results: Results, setting: Setting, name: str) -> list[str]:
    """A row of the second table."""
    task = results.tasks[setting]
    every = [worth(task, run.said) for run in results.of(setting, name, AS_IT_IS).values()]
    losses, errors = ([value for one in every if (value := getattr(one, key)) is not None] for key in ("log_loss", "ece"))
    return [
        "{}, {}".format(*setting),
        WAYS[name].title,
        f"{median(one.accuracy for one in every):.3f}",
        f"{median(losses):.3f}" if losses else "-",
        f"{median(errors):.3f}" if errors else "-",
        str(max(one.failed for one in every)),
    ]


def behind(results: Results) -> list[str]:
    """Where another way took fewer seconds than one token, and what the server computed for both."""
    lines = []
    for (setting, name, how), runs in results.runs.items():
        basis = results.of(setting, BASIS, how)
        ratios = [] if how == TICKET_FIRST or WAYS[name].is_one_token else faster(basis, runs)
        if ratios and median(ratios) < 1:
            uncached = [median(run.uncached for run in some.values()) for some in (basis, runs)]
            where = "{} categories, {} examples".format(*setting)
            tokens = "{:.0f} uncached tokens against {:.0f}".format(*uncached)
            lines.append(f"{WAYS[name].title}, {where}, {how}: {spread(ratios, '.2f')} times as fast; {tokens}")
    return lines


def apart(results: Results) -> float:
    """How many uncached tokens a prompt two ways were apart at most, where they were to have equally many."""
    found: dict[tuple[Setting, int], list[float]] = {}
    for (setting, name, how), runs in results.runs.items():
        for number, run in runs.items() if how == EQUAL and WAYS[name].prompts == 1 else ():
            found.setdefault((setting, number), []).append(run.uncached)
    return max((max(some) - min(some) for some in found.values()), default=0)


def left_out(results: Results) -> list[str]:
    """What was not measured, and why."""
    lines: dict[str, list[str]] = {}
    for (setting, name), why in results.skipped.items():
        lines.setdefault(f"{WAYS[name].title}: {why}", []).append("{}, {}".format(*setting))
    sizes = {size for size, _ in results.tasks}
    labels = [
        f"{size} categories: not what was asked for, or the labels do not tell them" for size in TAXONOMIES if size not in sizes
    ]
    return [*labels, *(f"{why} ({'; '.join(where)})" for why, where in lines.items())]


def listed(lines: Sequence[str], nothing: str) -> str:
    """As Markdown."""
    return "\n".join(f"- {line}" for line in lines) or nothing


def page(options: argparse.Namespace, results: Results, place: Place) -> str:
    """The results as Markdown."""
    rows = [(setting, name) for setting in results.tasks for name in options.ways if (setting, name, AS_IT_IS) in results.runs]
    server, tickets = Server(place.url), [len(task.texts) for task in results.tasks.values()]
    runs = max(map(len, results.runs.values()), default=0)
    text = TEMPLATE.format(
        command=" ".join(["python benchmarks/engines.py", *options.told]),
        date=datetime.now(tz=UTC).date().isoformat(),
        machine=f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        load=f"{options.load:.1f} before the run and {os.getloadavg()[0]:.1f} after it",
        server=f"vLLM {server.version()} with {place.model if options.url else MODEL}, whose prefix cache has blocks of {server.block()} tokens",
        openai=version("openai"),
        tickets=f"{tickets[0]} tickets of {options.tickets.name}, {options.in_flight} in flight, {runs} runs",
        cost=table(COST, [cost(results, *row) for row in rows]),
        worth=table(WORTH, [quality(results, *row) for row in rows]),
        apart=f"{apart(results):.1f}",
        behind=listed(behind(results), "None: one token is ahead in every row."),
        left_out=listed(left_out(results), "Nothing."),
    )
    return text if options.url else text + OF_THE_FIXTURE


MODEL = "the small model of tests/vllm"
TEMPLATE = """\
# Ways of asking one model, measured

Every way gets the same tickets, on the same server, in turns.

Command:

```
{command}
```

{date}; {machine}, load {load}; {server}; openai {openai}. {tickets}; medians over the runs, in brackets the lowest and the highest.

## What they cost

{cost}

- Uncached: prompt tokens that the server computed, by its own counters; what a prompt shares with earlier ones is kept in whole blocks. Five
  votes are five prompts to it.
- No way finds what another left in the prefix cache: each has a `cache_salt` of its own in every row and run. The first ticket of each
  category is asked outside the clock, after `settle`: that opens connections and brings what all prompts share into the cache, and no
  ticket that is measured.
- "One token is faster": its tickets/s over those of the way, run by run. "At equal uncached tokens": all are asked once more, about tickets
  that are longer by their own words, so many that the server computes as many tokens of a prompt in each way (they were {apart} tokens apart
  at most); votes are lengthened as JSON is, whose prompt they have. That is measured, not fitted: with many requests in flight, client,
  server and model work at the same time, and what they cost does not add up. `decisions:` cannot be equalised, for the server writes its
  prompt, the ticket first, and so keeps nothing of it; vLLM in process reads the same prompts as one token by its number.
- "Ticket last is faster than first": tickets/s over those with the same words the other way round, the ticket before what all tickets share.
- CPU of the server, with its workers; of the client, the process that asks. Start-up, loading and `settle` are left out.

## How good the answers are

{worth}

- Log loss: in nats, after a temperature (T) that was fitted on the other half of the tickets. JSON and a rationale give no distribution.
- ECE: of the largest probability after that temperature; for JSON, of the number that the model wrote. `openai` asks for none.

## Where one token is not ahead

{behind}

## Not measured

{left_out}
"""
OF_THE_FIXTURE = """
## The model

It has 3 MB and knows the prompts of llmtriage alone, so the `openai` row says what such a client costs, not how well it sorts. There it often
writes on until its limit of tokens: that row costs more than with a model that ends its answers. A token costs next to nothing here:
what vLLM and the client do around it in Python weighs more than with a large model on a
GPU, where the tokens of an answer weigh most. The script measures that too, see its first lines.
"""


# -- the command line ------------------------------------------------------------------------------


@contextmanager
def serving(options: argparse.Namespace) -> Iterator[Place]:
    """The server that was named, else one of this machine's own until the end."""
    sys.path.append(str(ROOT / "examples"))
    import local_vllm

    python = options.vllm_python
    if options.url:
        model = options.model or local_vllm.Served(options.url).model
        yield Place(url=options.url, model=model, folder=options.folder, python=python, engine=options.engine)
        return
    python = python or local_vllm.installed()
    with tempfile.TemporaryDirectory() as folder:
        server = local_vllm.Server(log=Path(folder) / "server.log", python=python)
        try:
            server.start()
            model = options.folder or str(local_vllm.MODEL)
            yield Place(url=server.url, model=server.model, folder=model, python=python, engine={**ENGINE, **options.engine})
        finally:
            server.stop()


def arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tickets", type=Path, nargs="?", default=FIXTURE / "tickets.csv", help="a labelled file")
    parser.add_argument("--n", type=int, help="the most tickets (default: all)")
    parser.add_argument("--runs", type=int, default=3, help="(default 3)")
    parser.add_argument("--in-flight", type=int, default=64, help="requests at a time (default 64)")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY", help="default: all")
    parser.add_argument("--url", help="a vLLM server that runs, with its path (/v1)")
    parser.add_argument("--model", help="its name for the model (default: the first that it lists)")
    parser.add_argument("--folder", help="the model for vLLM in process: a folder, or a name that vLLM knows where to find")
    parser.add_argument("--vllm-python", type=Path, help="an interpreter that has vLLM (default: that of .venv-vllm)")
    parser.add_argument("--engine", type=json.loads, default={}, help="JSON: further arguments of vllm.LLM, for vLLM in process")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} tickets, one run, ten categories without examples")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} too")
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.told = [_shown(argument, options.tickets) for argument in sys.argv[1:]]
    options.load = os.getloadavg()[0]
    if options.quick:
        options.n, options.runs = options.n or QUICK, 1
    return options


def _shown(argument: str, tickets: Path) -> str:
    """Without the folders of one machine."""
    return f"{tickets.parent.name}/{tickets.name}" if argument == str(tickets) else argument


def main() -> None:
    """Measure all and print the page, or do one job."""
    options = arguments()
    if options.job:
        do_job()
        return
    with tempfile.TemporaryDirectory() as folder, serving(options) as place:
        os.environ["LLMTRIAGE_CACHE_DIR"] = folder
        every = list(tasks(options.tickets, url=place.url, model=place.model, n=options.n, in_flight=options.in_flight))
        for results in measure_all(every[:1] if options.quick else every, options.ways, place, options.runs):
            text = page(options, results, place)
            if options.write:
                PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
