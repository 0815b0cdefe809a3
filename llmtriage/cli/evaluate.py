"""`llmtriage evaluate`: figures on a labelled file."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.classify import progress_bar
from llmtriage.cli.display import notice, show_json
from llmtriage.cli.options import (
    column_options,
    file_argument,
    json_option,
    make_triage,
    open_tickets,
    quiet_option,
    triage_options,
)
from llmtriage.errors import InputError, UnknownNameError, short

if TYPE_CHECKING:
    from pathlib import Path

    from llmtriage.evaluation import Judged, Report
    from llmtriage.settings import Settings
    from llmtriage.tickets import TicketFile
    from llmtriage.triage import Triage


@click.command(short_help="Figures on a labelled file.")
@file_argument
@click.option("--fail-under", multiple=True, metavar="FIGURE=VALUE", help="Exit code 1 if a figure is lower; may be repeated.")
@column_options
@triage_options
@json_option
@quiet_option
@click.pass_obj
def evaluate(settings: Settings, /, file: Path, fail_under: tuple[str, ...], *, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Classify the labelled tickets of FILE and compare: accuracy, what would be accepted, confusions, baselines."""
    from llmtriage.evaluation import figure
    from llmtriage.evaluation.text import report_text

    limits = [_limit(text) for text in fail_under]
    language = flags["language"]
    tickets = open_tickets(file, flags)
    triage = make_triage(flags, settings, quiet=quiet)
    if limits:
        _check_names(limits, triage)
    report = evaluated(triage, tickets, quiet=quiet)
    if as_json:
        show_json(report.to_json())
    else:
        click.echo(report_text(report, language=language).encode("utf-8", "replace"))
    missed = [(name, value) for name, value in limits if not _reaches(figure(report, name), value)]
    for name, value in missed:
        click.echo(f"{name} is {figure(report, name)}, wanted: at least {value:g}", err=True)
    return 1 if missed else 0


def evaluated(triage: Triage, tickets: TicketFile, *, quiet: bool) -> Report:
    """Judge every ticket of a labelled file and sum up."""
    from llmtriage.evaluation import Judged
    from llmtriage.evaluation import evaluate as sum_up
    from llmtriage.evaluation.baselines import baseline_accuracies
    from llmtriage.runner import Summary, classified

    labelled = tickets.labelled(triage.taxonomy)
    for _ in labelled:
        pass  # a wrong label in the last row is found before anything is sent
    summary, judged = Summary(), []
    start = time.perf_counter()
    with progress_bar(tickets, quiet=quiet) as show:
        for row, outcome in classified(triage, labelled):
            judged.append(Judged(gold=row.category, outcome=outcome, text=outcome.text))
            summary.add(outcome)
            summary.seconds = time.perf_counter() - start
            show(summary)
    if not judged:
        raise InputError("the file holds no tickets", file=tickets.table.path, remedy="give a file with labelled rows")
    _warn_of_overlap(triage, judged, quiet=quiet)
    return sum_up(
        judged,
        triage.taxonomy,
        baselines=baseline_accuracies(triage.examples, judged),
        seconds=summary.seconds,
        backend=triage.backend.name,
        prompt_hash=triage.prompt.hash,
    )


def _warn_of_overlap(triage: Triage, judged: list[Judged], *, quiet: bool) -> None:
    """An engine that has seen the answers looks better than it is."""
    seen = {example.text for example in triage.examples}
    both = sum(ticket.text in seen for ticket in judged)
    if both:
        notice(f"{both} of {len(judged)} tickets stand among the examples too: the figures flatter", quiet=quiet)


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"not FIGURE=VALUE: {short(text)!r}", field="--fail-under", remedy="write it like accuracy=0.9")
    return name.strip(), number


def _check_names(limits: list[tuple[str, float]], triage: Triage) -> None:
    """A mistyped figure is found before anything is sent, in the report of a ticket that nobody answered."""
    from llmtriage.evaluation import Judged, figure
    from llmtriage.evaluation import evaluate as sum_up
    from llmtriage.evaluation.baselines import baseline_accuracies
    from llmtriage.outcomes import REASON_CODES, Pending, Reason

    outcome = Pending(suggestion=None, reasons=tuple(Reason(code=code) for code in REASON_CODES))
    judged = [Judged(gold=triage.taxonomy.leaves[0].id, outcome=outcome, text="")]
    report = sum_up(judged, triage.taxonomy, baselines=baseline_accuracies((), []))
    for name, _ in limits:
        try:
            figure(report, name)
        except UnknownNameError as error:
            raise UnknownNameError(error.problem, remedy=error.remedy, field="--fail-under") from None


def _reaches(value: float | None, wanted: float) -> bool:
    """A figure that does not exist reaches nothing."""
    return value is not None and value >= wanted
