"""The whole way of a ticket with the embedded engine: no server, no key. Run it with `make demo`.

It learns from one part of examples/tickets.csv, routes the other, and compares with what the tickets really are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import click

from llmtriage import Accepted, Taxonomy, Triage
from llmtriage.cli.classify import line
from llmtriage.cli.display import fitted, table
from llmtriage.cli.split import split_file
from llmtriage.evaluation import Judged, Report, evaluate
from llmtriage.runner import Summary, classified, classify_file
from llmtriage.tickets import TicketFile, read_tickets

HERE = Path(__file__).parent
WIDTHS = (6, 9, 19, 13, 5)
SHOWN = 16


def judged(triage: Triage, tickets: TicketFile) -> Report:
    """Compare the outcomes with the true categories."""
    rows = classified(triage, tickets.labelled(triage.taxonomy))
    return evaluate([Judged(gold=row.category, outcome=outcome, text=outcome.text) for row, outcome in rows], triage.taxonomy)


def show_some(triage: Triage, tickets: TicketFile) -> None:
    """The first tickets of each outcome, as a table."""
    outcomes = list(classified(triage, tickets))
    accepted = [pair for pair in outcomes if isinstance(pair[1], Accepted)][: SHOWN // 2]
    pending = [pair for pair in outcomes if not isinstance(pair[1], Accepted)][: SHOWN // 2]
    widths = fitted(WIDTHS)
    header = [("id", "outcome", "category", "team", "score", "text, or why it waits for a person")]
    for text in [*table(header, widths), *(line(row, outcome, "en", widths) for row, outcome in accepted + pending)]:
        click.echo(text)
    click.echo(f"... and {len(outcomes) - len(accepted) - len(pending)} more")


def sum_up(summary: Summary, report: Report, learnt: int, threshold: float) -> None:
    """What happened, in figures."""
    share = summary.accepted / summary.tickets
    waiting = ", ".join(f"{count} {code}" for code, count in summary.reasons.most_common())
    right = 1 - report.accepted.error if report.accepted.error is not None else float("nan")
    click.echo(f"\nlearnt from   {learnt} labelled tickets")
    click.echo(
        f"routed        {summary.accepted} of {summary.tickets} tickets ({share:.0%}) by themselves, in {summary.seconds:.1f} s"
    )
    click.echo(f"waiting       {summary.pending} for a person: {waiting}")
    click.echo(f"right         {right:.1%} of those routed, {report.accuracy:.1%} if all had been")
    click.echo(f"threshold     {threshold} was chosen by hand: a wish, not a guarantee; other tickets may see more errors")


def what_next(folder: Path) -> None:
    """Where the files are, and the same with an LLM."""
    click.echo(f"""
outcomes      {folder / "routed.csv"}
waiting       {folder / "waiting.csv"}

The embedded engine is a baseline made of words, not a language model. The same with an LLM:
  a vLLM server     llmtriage classify {folder / "new.csv"} --backend vllm:Qwen/Qwen3-8B@http://localhost:8000/v1 --threshold 0.8
  OpenAI            export OPENAI_API_KEY=...; llmtriage classify {folder / "new.csv"} --backend openai:gpt-5-mini --threshold 0.8
  without either    python examples/server.py   # then --backend openai:demo@http://127.0.0.1:8900/v1
(llmtriage stands in .venv/bin; activate it with: . .venv/bin/activate)""")


def main() -> None:
    """Split, learn, route, compare."""
    parser = argparse.ArgumentParser(description="The whole way of a ticket with the embedded engine.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the files it writes")
    parser.add_argument("--threshold", type=float, default=0.7)
    options = parser.parse_args()
    folder: Path = options.out
    start = time.perf_counter()
    counts = split_file(read_tickets(HERE / "tickets.csv"), {"learn": 0.6, "new": 0.4}, folder, overwrite=True)
    triage = Triage(taxonomy=Taxonomy.sample(), examples=folder / "learn.csv", threshold=options.threshold)
    new = read_tickets(folder / "new.csv")
    summary = classify_file(triage, new, folder / "routed.csv", pending=folder / "waiting.csv", overwrite=True)
    show_some(triage, new)
    sum_up(summary, judged(triage, new), counts["learn.csv"], options.threshold)
    what_next(folder)
    click.echo(f"\n{time.perf_counter() - start:.1f} s in all", err=True)


if __name__ == "__main__":
    main()
