"""A real model behind a real vLLM, on a machine without a GPU. Run it with `make demo-llm`.

It starts a server with the small model of tests/vllm, classifies tickets of tests/vllm/tickets.csv and shows how sure the model is, then what
reading one token costs against reading JSON.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click
from local_vllm import FOLDER, ROOT, NoVllmError, Served, Server, install, installed

from llmtriage import BackendSettings, Outcome, Settings, Taxonomy, Triage
from llmtriage.cli.display import fitted, table
from llmtriage.errors import LlmtriageError
from llmtriage.predictions import Scores
from llmtriage.tickets import LabelledTicket, read_tickets

HERE = ROOT / "tests" / "vllm"
TAXONOMY = Taxonomy.load(HERE / "taxonomy.yaml")
WIDTHS = (5, 19, 5, 6, 19)
SHOWN = 16
FIRST = 4  # tickets asked before the clock runs

# How an answer is read, by the names of `BackendSettings.reading`.
READINGS = {"token": "one token", "json": "JSON"}


@dataclass(frozen=True)
class Run:
    """Tickets that were classified under the clock.

    Attributes:
        outcomes: In the order of the tickets.
        seconds: By the clock on the wall, for all of them.
    """

    outcomes: list[Outcome]
    seconds: float


# -- what is told before -------------------------------------------------------------------------


def is_installed() -> bool:
    """Whether nothing needs to be installed."""
    try:
        installed()
    except NoVllmError:
        return False
    return True


def announce(url: str | None) -> None:
    """What will be installed and started, and what the model knows."""
    needs = f"vLLM for CPUs with PyTorch: about 3 GB in {FOLDER.name}, some minutes; `make clean` removes it"
    starts = "a vLLM server on a free port that only this machine reaches; about a minute; stopped at the end"
    click.echo(f"""\
A real language model behind a real vLLM server, without a GPU.

installs      {"nothing" if url or is_installed() else needs}
starts        {f"nothing; it asks {url}" if url else starts}
the model     3 MB, trained by this project for its tests. It knows ten English domains of requests to a digital assistant
              under the names and codes it was trained with, and nothing else: no other categories, no Chinese.
""")


def agreed(*, yes: bool) -> bool:
    """Whether to go on; somebody at a terminal is asked."""
    if yes or not sys.stdin.isatty():
        return True
    try:
        click.echo("Enter goes on, Ctrl-C leaves: ", nl=False)
        return bool(sys.stdin.readline())
    except KeyboardInterrupt:
        click.echo()
        return False


# -- asking --------------------------------------------------------------------------------------


@contextmanager
def server(url: str | None) -> Iterator[Served]:
    """The server that was named, else one of this machine's own until the end. Raises NoVllmError if there can be none."""
    if url:
        yield Served(url)
        return
    if not is_installed():
        click.echo("installing ...")
    install()
    click.echo("starting the server ...")
    log = FOLDER / "server.log"
    log.unlink(missing_ok=True)
    own = Server(log=log)
    try:
        own.start()
        yield own
    finally:
        own.stop()


def engine(served: Served, reading: str) -> BackendSettings:
    """The settings of an engine that reads answers in this way."""
    return BackendSettings.model_validate({"kind": "vllm", "model": served.model, "url": served.url, "reading": reading})


def classify(served: Served, reading: str, rows: Sequence[LabelledTicket]) -> Run:
    """Classify tickets; the first few, which settle how the server is asked, are outside the clock and the result."""
    settings = Settings(backends={"demo": engine(served, reading)})
    with Triage(taxonomy=TAXONOMY, backend="demo", settings=settings) as triage:
        list(triage.classify_many(row.ticket for row in rows[:FIRST]))
        start = time.perf_counter()
        outcomes = list(triage.classify_many(row.ticket for row in rows[FIRST:]))
        return Run(outcomes, time.perf_counter() - start)


# -- what is shown -------------------------------------------------------------------------------


def cells(row: LabelledTicket, outcome: Outcome) -> tuple[object, ...]:
    """A line of the table: ticket, category, how sure, label mass, what it is, text."""
    best = outcome.candidates[0] if outcome.candidates else None
    sure = "-" if best is None or best.score is None else f"{best.score:.2f}"
    answer = outcome.prediction.answer if outcome.prediction else None
    mass = f"{answer.label_mass:.3f}" if isinstance(answer, Scores) and answer.label_mass is not None else "-"
    return row.ticket.id, best.category if best else "(no answer)", sure, mass, row.category, row.ticket.content


def show(rows: Sequence[LabelledTicket], run: Run) -> None:
    """Some tickets of the run: those of the domains, and the last four of those that belong to none."""
    pairs = list(zip(rows[FIRST:], run.outcomes, strict=True))
    inside = [pair for pair in pairs if pair[0].category != "none"][: SHOWN - 4]
    outside = [pair for pair in pairs if pair[0].category == "none"][:4]
    header = ("id", "category", "sure", "mass", "a person says", "text")
    click.echo()
    for text in table([header, *(cells(*pair) for pair in inside + outside)], fitted(WIDTHS)):
        click.echo(text)
    click.echo("""
sure   the model's probability that this is the category; not calibrated yet ("-": this reading gives none)
mass   the probability it put on all ten codes together: near 1 where it answered with a code at all""")


def compare(runs: dict[str, Run]) -> None:
    """What the ways of reading cost, side by side."""
    click.echo("\nreading      tickets/s  output tokens a ticket  tickets")
    for reading, run in runs.items():
        counts = [outcome.prediction.usage.output_tokens or 0 for outcome in run.outcomes if outcome.prediction]
        tokens = f"{sum(counts) / len(counts):.1f}" if counts else "-"
        click.echo(f"{READINGS[reading]:11}  {len(run.outcomes) / run.seconds:9.1f}  {tokens:>22}  {len(run.outcomes):7}")
    click.echo("Each reading had other tickets, so that none found another's in the server's cache.")


def demo(url: str | None) -> None:
    """Classify with each reading, show the first, compare all."""
    rows = list(read_tickets(HERE / "tickets.csv").labelled())
    parts = {reading: rows[number :: len(READINGS)] for number, reading in enumerate(READINGS)}
    with server(url) as served:
        click.echo(f"asking {served.backend} about {len(rows)} tickets ...")
        runs = {reading: classify(served, reading, part) for reading, part in parts.items()}
    show(parts[next(iter(READINGS))], runs[next(iter(READINGS))])
    compare(runs)


def main() -> None:
    """Say what comes, ask, do it."""
    parser = argparse.ArgumentParser(description="A real model behind a real vLLM, without a GPU.")
    parser.add_argument("--yes", action="store_true", help="go on without asking")
    parser.add_argument("--url", help="a server that runs already, with the model of tests/vllm")
    options = parser.parse_args()
    announce(options.url)
    if not agreed(yes=options.yes):
        sys.exit("nothing was installed or started")
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal must not leave the server behind
        signal.signal(getattr(signal, name), lambda *_: sys.exit("stopped"))
    try:
        demo(options.url)
    except (NoVllmError, LlmtriageError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit("stopped")


if __name__ == "__main__":
    main()
