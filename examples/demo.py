"""The whole way of a ticket with the embedded engine: no server, no key. Run it with `make demo`.

It learns from some of examples/tickets.csv, finds on others what may be accepted under a promise, routes a third part under it, and
compares with what those tickets really are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import click
import numpy as np

from llmtriage import Accepted, Taxonomy, Triage
from llmtriage.calibrating import Calibrated, Labelled, calibrate, in_words
from llmtriage.cli.classify import line
from llmtriage.cli.display import fitted, table
from llmtriage.evaluation import Judged, Report, evaluate, measured_curves, report_html
from llmtriage.runner import Summary, classified, classify_file
from llmtriage.tables import open_writer
from llmtriage.tickets import TicketFile, read_tickets

HERE = Path(__file__).parent
WIDTHS = (6, 9, 19, 13, 5)
SHOWN = 16
PARTS = {"learn": 400, "calibrate": 600, "new": 200}
ALPHA, DELTA = 0.1, 0.1
DRAW = 5  # of ten draws of these tickets, 0 to 9, five give a promise: the embedded engine knows little


def divide(tickets: TicketFile, folder: Path) -> dict[str, Path]:
    """Deal tickets to the parts at random: what is true of a random part is true of the others but for chance."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(tickets.table)
    rows = [rows[place] for place in np.random.default_rng(DRAW).permutation(len(rows))]
    files = {name: folder / f"{name}.csv" for name in PARTS}
    for name, size in PARTS.items():
        with open_writer(files[name], tickets.table.columns, overwrite=True) as out:
            for row in rows[:size]:
                out.write(row.cells)
        del rows[:size]
    return files


def promised(triage: Triage, tickets: TicketFile) -> Calibrated:
    """What may be accepted: the department of a ticket, of which at most one in ten is wrong."""
    rows = [
        Labelled(ticket=row.ticket, gold=row.category, outcome=outcome)
        for row, outcome in classified(triage, tickets.labelled(triage.taxonomy))
    ]
    return calibrate(triage, rows, alpha=ALPHA, delta=DELTA, answer="department", file=tickets.table.path.name)


def judged(triage: Triage, tickets: TicketFile) -> tuple[Report, str]:
    """Compare the outcomes with the true categories: the figures, and the same as a page."""
    rows = classified(triage, tickets.labelled(triage.taxonomy))
    every = [Judged(gold=row.category, outcome=outcome, text=outcome.text) for row, outcome in rows]
    report = evaluate(
        every,
        triage.taxonomy,
        calibration=triage.calibration,
        backend=triage.backend.name,
        prompt_hash=triage.prompt.hash,
        run=triage.run_id,
        settings={"file": tickets.table.path.name, "examples": len(triage.examples)},
    )
    curves = measured_curves(every, triage.taxonomy, report, calibration=triage.calibration)
    return report, report_html(report, curves, calibration=triage.calibration)


def show_some(triage: Triage, tickets: TicketFile) -> None:
    """The first tickets of each outcome, as a table."""
    outcomes = list(classified(triage, tickets))
    accepted = [pair for pair in outcomes if isinstance(pair[1], Accepted)][: SHOWN // 2]
    pending = [pair for pair in outcomes if not isinstance(pair[1], Accepted)][: SHOWN // 2]
    widths = fitted(WIDTHS)
    header = [("id", "outcome", "category", "team", "sure", "text, or why it waits for a person")]
    for text in [*table(header, widths), *(line(row, outcome, "en", widths) for row, outcome in accepted + pending)]:
        click.echo(text)
    click.echo(f"... and {len(outcomes) - len(accepted) - len(pending)} more")


def sum_up(summary: Summary, report: Report, found: Calibrated) -> None:
    """What happened, in figures."""
    share = summary.accepted / summary.tickets
    waiting = ", ".join(f"{count} {code}" for code, count in summary.reasons.most_common())
    routed = f"{summary.accepted} of {summary.tickets} new tickets ({share:.0%}) by themselves, in {summary.seconds:.1f} s"
    click.echo(f"\nlearnt from   {PARTS['learn']} labelled tickets; the promise rests on {found.labels.certified} others")
    click.echo(f"promise       {in_words(found)}")
    click.echo(f"routed        {routed}")
    click.echo(f"waiting       {summary.pending} for a person: {waiting}")
    if report.accepted.error_interval is not None:
        low, high = report.accepted.error_interval
        chance = f"so few tell that {low:.0%} to {high:.0%} of such tickets are (95 % interval)"
        click.echo(f"truth         {report.accepted.errors} of those routed are wrong; {chance}")


def what_next(folder: Path) -> None:
    """Where the files are, and the same with an LLM."""
    click.echo(f"""
outcomes      {folder / "routed.csv"}
waiting       {folder / "waiting.csv"}
calibration   {folder / "calibration.json"}
report        {folder / "report.html"}: all of this with plots, for a browser

The embedded engine is a baseline made of words, not a language model: of ten draws of these tickets, five give a promise. With an LLM:
  a vLLM server     llmtriage classify {folder / "new.csv"} --backend vllm:Qwen/Qwen3-8B@http://localhost:8000/v1
  OpenAI            export OPENAI_API_KEY=...; llmtriage classify {folder / "new.csv"} --backend openai:gpt-5-mini
  without either    python examples/server.py   # then --backend openai:demo@http://127.0.0.1:8900/v1
(llmtriage stands in .venv/bin; activate it with: . .venv/bin/activate)""")


def main() -> None:
    """Divide, learn, promise, route, compare."""
    parser = argparse.ArgumentParser(description="The whole way of a ticket with the embedded engine.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the files it writes")
    folder: Path = parser.parse_args().out
    start = time.perf_counter()
    files = divide(read_tickets(HERE / "tickets.csv"), folder)
    taxonomy = Taxonomy.sample()
    found = promised(Triage(taxonomy=taxonomy, examples=files["learn"]), read_tickets(files["calibrate"]))
    if found.calibration is None:
        click.echo(
            f"no promise with these {found.labels.n} labels: every ticket waits for a person; about {found.wanted} are needed"
        )
        return
    found.calibration.save(folder / "calibration.json")
    triage = Triage(taxonomy=taxonomy, examples=files["learn"], calibration=found.calibration)
    new = read_tickets(files["new"])
    summary = classify_file(triage, new, folder / "routed.csv", pending=folder / "waiting.csv", overwrite=True)
    show_some(triage, new)
    report, page = judged(triage, new)
    (folder / "report.html").write_text(page, encoding="utf-8")
    sum_up(summary, report, found)
    what_next(folder)
    click.echo(f"\n{time.perf_counter() - start:.1f} s in all", err=True)


if __name__ == "__main__":
    main()
