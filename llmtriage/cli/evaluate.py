"""`llmtriage evaluate`: figures on a labelled file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.classify import progress_bar
from llmtriage.cli.display import line_width, notice, show_json
from llmtriage.cli.limits import check_limits, read_limits
from llmtriage.cli.options import (
    column_options,
    file_argument,
    json_option,
    make_triage,
    open_tickets,
    quiet_option,
    triage_options,
)
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from llmtriage.evaluation import Judged, Report
    from llmtriage.settings import Settings
    from llmtriage.tickets import TicketFile
    from llmtriage.triage import Triage


_FLATTERS = {
    "en": "{both} of {n} tickets stand among the examples too: the figures flatter",
    "zh": "{n} 张工单中有 {both} 张也在示例中：数字偏高",
}


@click.command(short_help="Figures on a labelled file.")
@file_argument
@click.option("--fail-under", multiple=True, metavar="FIGURE=VALUE", help="Exit code 1 if a figure is lower; may be repeated.")
@click.option("--fail-over", multiple=True, metavar="FIGURE=VALUE", help="Exit code 1 if a figure is higher; may be repeated.")
@column_options
@triage_options
@json_option
@quiet_option
@click.pass_obj
def evaluate(
    settings: Settings,
    /,
    file: Path,
    fail_under: tuple[str, ...],
    fail_over: tuple[str, ...],
    *,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Classify the labelled tickets of FILE and compare: accuracy, what would be accepted, confusions, baselines."""
    from llmtriage.evaluation.text import report_text

    limits = read_limits(fail_under, fail_over)
    language, draw = flags["language"], {key: flags[key] for key in ("shots", "seed")}
    tickets = open_tickets(file, flags)
    triage = make_triage(flags, settings, quiet=quiet)
    if limits:
        check_limits(limits, triage)
    report = evaluated(triage, tickets, quiet=quiet, language=language, draw=draw)
    if as_json:
        show_json(report.to_json())
    else:
        click.echo(report_text(report, language=language, width=line_width()).encode("utf-8", "replace"))
    missed = [words for limit in limits if (words := limit.missed(report))]
    for words in missed:
        click.echo(words, err=True)
    return 1 if missed else 0


def evaluated(triage: Triage, tickets: TicketFile, *, quiet: bool, language: str, draw: dict[str, Any]) -> Report:
    """Judge every ticket of a labelled file and sum up."""
    from llmtriage.evaluation import evaluate as sum_up
    from llmtriage.evaluation.baselines import baseline_accuracies

    judged, seconds = _judged(triage, tickets, quiet=quiet, language=language)
    _warn_of_overlap(triage, judged, quiet=quiet, language=language)
    return sum_up(
        judged,
        triage.taxonomy,
        baselines=baseline_accuracies(triage.examples, judged),
        seconds=seconds,
        backend=triage.backend.name,
        prompt_hash=triage.prompt.hash,
        run=triage.run_id,
        settings={
            "threshold": triage.policy.threshold,
            "departments": triage.policy.departments,
            **draw,
            "examples": len(triage.examples),
            "file": tickets.table.path.name,
        },
    )


def _judged(triage: Triage, tickets: TicketFile, *, quiet: bool, language: str) -> tuple[list[Judged], float]:
    """Every ticket with its true category and its outcome, and how long that took in seconds."""
    from llmtriage.evaluation import Judged
    from llmtriage.runner import Summary, classified

    labelled = tickets.labelled(triage.taxonomy)
    for _ in labelled:
        pass  # a wrong label in the last row is found before anything is sent
    summary, judged = Summary(), []
    start = time.perf_counter()
    with progress_bar(tickets, quiet=quiet, language=language) as show:
        for row, outcome in classified(triage, labelled):
            judged.append(Judged(gold=row.category, outcome=outcome, text=outcome.text))
            summary.add(outcome)
            summary.seconds = time.perf_counter() - start
            show(summary)
    if not judged:
        raise InputError("the file holds no tickets", file=tickets.table.path, remedy="give a file with labelled rows")
    return judged, summary.seconds


def _warn_of_overlap(triage: Triage, judged: list[Judged], *, quiet: bool, language: str) -> None:
    """An engine that has seen the answers looks better than it is."""
    seen = {example.text for example in triage.examples}
    both = sum(ticket.text in seen for ticket in judged)
    if both:
        notice(_FLATTERS[language].format(both=both, n=len(judged)), quiet=quiet, language=language)
