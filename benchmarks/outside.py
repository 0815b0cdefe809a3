"""Tickets that belong to no category: which signal tells them, and how many are accepted under a promise.

    python benchmarks/outside.py CLINC150 --write

The folder holds train.csv and dev.csv with the columns text and category, some rows with the label `oos`: they belong nowhere. The embedded
engine learns from train.csv, once without those rows and once with them as examples of a catch-all category. AUROC and the share caught are
of all of dev.csv, uncalibrated; then halves of dev.csv are drawn: one calibrates, on the other is counted what is accepted.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

import numpy as np

from llmtriage import Taxonomy, Triage
from llmtriage.calibrating import Labelled, calibrate
from llmtriage.evaluation import Judged, Report, evaluate
from llmtriage.examples import balanced
from llmtriage.predictions import Example
from llmtriage.routing import Router
from llmtriage.tickets import LabelledTicket, read_tickets

PAGE = Path(__file__).with_suffix(".md")
NOWHERE = "oos"
ALPHA, DELTA = 0.05, 0.1
HEADER = """\
| examples a category | draws with a promise | accepted | accepted of those that belong nowhere | wrong among accepted |
|---|---|---|---|---|"""
SIGNALS = {
    "confidence": "1 - largest probability of a real category",
    "catch_all": "ln p(catch-all) - max ln p(other)",
}


@dataclass(frozen=True)
class Accepted:
    """What was accepted in one draw of halves, as shares: of all tickets, of those that belong nowhere, and wrong among the accepted."""

    all: float
    outside: float
    wrong: float


@dataclass(frozen=True)
class Case:
    """One way to learn.

    Attributes:
        name: Of the table's row.
        report: On all of dev.csv.
        draws: Of halves; None: no promise.
    """

    name: str
    report: Report
    draws: list[Accepted | None] = field(default_factory=list)


def engine(rows: Sequence[LabelledTicket], shots: int | None, *, catch_all: bool) -> Triage:
    """The embedded engine, which has learnt from so many rows of each category, and from all that belong nowhere."""
    known = [Example(text=row.ticket.content, category=row.category) for row in rows]
    examples = [example for example in known if example.category != NOWHERE]
    if shots is not None:
        examples = list(balanced(examples, shots))
    if catch_all:
        examples += [example for example in known if example.category == NOWHERE]
    taxonomy = Taxonomy.from_labels([example.category for example in examples], none_label=NOWHERE if catch_all else None)
    return Triage(taxonomy=taxonomy, examples=examples)


def classified(triage: Triage, rows: Sequence[LabelledTicket]) -> list[Labelled]:
    """The rows with what the engine says of them."""
    outcomes = triage.classify_many([row.ticket for row in rows])
    return [Labelled(ticket=row.ticket, gold=row.category, outcome=one) for row, one in zip(rows, outcomes, strict=True)]


def promised(triage: Triage, rows: Sequence[Labelled], seed: int) -> Accepted | None:
    """Calibrate on one half, count on the other."""
    mixed = np.random.default_rng(seed).permutation(len(rows))
    half = len(rows) // 2
    found = calibrate(triage, [rows[i] for i in mixed[:half]], alpha=ALPHA, delta=DELTA, none_label=NOWHERE)
    if found.calibration is None:
        return None
    router = Router(triage.taxonomy, triage.policy, found.calibration)
    judged = [_routed(router, rows[i]) for i in mixed[half:]]
    report = evaluate(judged, triage.taxonomy, calibration=found.calibration, none_label=NOWHERE)
    return Accepted(all=report.accepted.share, outside=report.outside.share or 0.0, wrong=report.accepted.error or 0.0)


def _routed(router: Router, row: Labelled) -> Judged:
    answer = row.outcome.prediction
    outcome = row.outcome if answer is None else router.route(row.ticket, row.outcome.text, answer)
    return Judged(gold=row.gold, outcome=outcome, text=row.outcome.text)


def measured(train: Path, dev: Path, shots: Sequence[int], draws: int) -> list[Case]:
    """All cases."""
    learn, rows = list(read_tickets(train).labelled()), list(read_tickets(dev).labelled())
    cases = []
    for most in shots:
        for catch_all in (False, True):
            triage = engine(learn, most or None, catch_all=catch_all)
            found = classified(triage, rows)
            judged = [Judged(gold=row.gold, outcome=row.outcome, text=row.outcome.text) for row in found]
            report = evaluate(judged, triage.taxonomy, none_label=NOWHERE)
            name = f"{most or 'all'}, {'with' if catch_all else 'without'} a catch-all"
            cases.append(Case(name, report, [promised(triage, found, seed) for seed in range(draws)]))
            print(name, "done", flush=True)
    return cases


def page(cases: Sequence[Case], command: str) -> str:
    """The tables as Markdown."""
    first = cases[0].report
    lines = [
        "# Tickets that belong nowhere",
        "",
        f"`{command}`",
        "",
        f"{datetime.now(tz=UTC).date()}, Python {platform.python_version()}: {first.n:,} tickets, {first.outside.n} of which belong to none of the",
        f"categories. Alpha {ALPHA:g}, delta {DELTA:g}, {len(cases[0].draws)} draws of halves.",
        "",
        "| examples a category | signal | AUROC | caught where one in twenty of the others is flagged |",
        "|---|---|---|---|",
    ]
    for case in cases:
        for signal, words in SIGNALS.items():
            auroc, caught = case.report.outside.auroc[signal], case.report.outside.caught[signal]
            if auroc is not None and caught is not None:
                lines.append(f"| {case.name} | {words} | {auroc:.3f} | {caught:.2f} |")
    lines += ["", HEADER]
    for case in cases:
        kept = [draw for draw in case.draws if draw is not None]
        cells = ("all", "outside", "wrong")
        means = [f"{fmean(getattr(draw, name) for draw in kept):.1%}" if kept else "-" for name in cells]
        lines.append(f"| {case.name} | {len(kept)} of {len(case.draws)} | {' | '.join(means)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description="Tickets that belong to no category.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shots", type=int, nargs="+", default=[10, 0], help="examples a category; 0: all")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    options = parser.parse_args()
    cases = measured(options.folder / "train.csv", options.folder / "dev.csv", options.shots, options.draws)
    text = page(cases, f"python benchmarks/outside.py {options.folder.name} --draws {options.draws} --write")
    print(text)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
