"""`llmtriage classify`: route a file."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import cut, notice, plain, show_json, show_json_line, table
from llmtriage.cli.options import (
    column_options,
    file_argument,
    json_option,
    make_triage,
    open_tickets,
    overwrite_option,
    quiet_option,
    triage_options,
)
from llmtriage.errors import BackendError, InputError, LlmtriageError, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from llmtriage.outcomes import Outcome
    from llmtriage.runner import Summary
    from llmtriage.settings import Settings
    from llmtriage.tickets import TicketFile, TicketRow
    from llmtriage.triage import Triage

_WIDTHS = (10, 9, 22, 14, 5, 44)


@click.command(short_help="Route a file of tickets.")
@file_argument
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Where the outcomes go: .csv or .jsonl [a table on the terminal]."
)
@click.option("--pending", type=click.Path(path_type=Path), help="A second file for the tickets that wait.")
@click.option("--resume", is_flag=True, help="Go on behind what OUT holds.")
@overwrite_option
@column_options
@triage_options
@json_option
@quiet_option
@click.pass_obj
def classify(
    settings: Settings,
    /,
    file: Path,
    out: Path | None,
    pending: Path | None,
    *,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Route the tickets of FILE (.csv or .jsonl): each is accepted for a team, or waits for a person with a reason."""
    from llmtriage.runner import refuse_overlap

    if out is None and (resume or pending):
        raise InputError("needs an output file", field="--resume" if resume else "--pending", remedy="add -o OUT.csv")
    refuse_overlap([path for path in (out, pending) if path], [path for path in (file, flags["examples"]) if path])
    language = flags["language"]
    tickets = open_tickets(file, flags)
    triage = make_triage(flags, settings, quiet=quiet)
    if triage.policy.threshold is None:
        notice("no calibration and no --threshold: nothing is accepted, everything waits for a person", quiet=quiet)
    if out is None:
        summary = _to_terminal(triage, tickets, language, as_json=as_json)
    else:
        summary = _to_file(triage, tickets, out, pending, language, resume=resume, overwrite=overwrite, quiet=quiet)
    if as_json and out is not None:
        show_json(summary.to_json())
    elif not quiet:
        _report(summary, out, pending)
    _tell_repeated_ids(summary, quiet=quiet)


def _to_file(
    triage: Triage,
    tickets: TicketFile,
    out: Path,
    pending: Path | None,
    language: str,
    *,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> Summary:
    from llmtriage.runner import Summary, classify_file

    latest = Summary()
    with progress_bar(tickets, quiet=quiet) as show:

        def progress(summary: Summary) -> None:
            nonlocal latest
            latest = summary
            show(summary)

        try:
            return classify_file(
                triage, tickets, out, pending=pending, resume=resume, overwrite=overwrite, language=language, progress=progress
            )
        except (BackendError, KeyboardInterrupt) as stop:
            _tell_stop(stop, latest, tickets, out)
            raise
        except InputError as error:
            if latest.tickets and error.file == str(tickets.table.path):
                error.add_note(f"{latest.tickets} tickets before it are decided; go on with --resume")
            raise


def _to_terminal(triage: Triage, tickets: TicketFile, language: str, *, as_json: bool) -> Summary:
    from llmtriage.runner import Summary, classified, outcome_cells

    summary = Summary()
    try:
        if not as_json:
            click.echo(next(iter(table([("id", "outcome", "category", "team", "score", "text, or why it waits")], _WIDTHS))))
        for row, outcome in classified(triage, tickets):
            summary.add(outcome)
            summary.repeated_ids.see(row)
            if as_json:
                show_json_line(outcome_cells(row, outcome, run=triage.run_id, language=language))
            else:
                click.echo(line(row, outcome, language))
    except (BackendError, KeyboardInterrupt) as stop:
        _tell_stop(stop, summary, tickets, None)
        raise
    return summary


def line(row: TicketRow, outcome: Outcome, language: str, widths: Sequence[int] = _WIDTHS) -> str:
    """One outcome as a line of the table."""
    from llmtriage.outcomes import Accepted

    score = "" if outcome.score is None else f"{outcome.score:.2f}"
    text = plain(f"{row.ticket.title} {row.ticket.content[:200]}")
    if isinstance(outcome, Accepted):
        cells = [row.ticket.id, "accepted", outcome.category, outcome.team or "-", score, text]
    else:
        why = " ".join(reason.sentence(language) for reason in outcome.reasons)
        cells = [row.ticket.id, "pending", outcome.suggestion or "-", "", score, why]
    return next(iter(table([cells], widths)))


def _show_nothing(summary: Summary) -> None:
    pass


@contextmanager
def progress_bar(tickets: TicketFile, *, quiet: bool) -> Iterator[Callable[[Summary], None]]:
    """A progress line on a terminal: rate, time left, accepted and pending so far. Elsewhere nothing."""
    import sys

    if quiet or not sys.stderr.isatty():
        yield _show_nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[so_far]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(1 for _ in tickets), rate=0.0, so_far="")

        def show(summary: Summary) -> None:
            rate = summary.tickets / max(summary.seconds, 1e-9)
            so_far = f"{summary.accepted} accepted, {summary.pending} pending"
            bar.update(task, completed=summary.tickets, rate=rate, so_far=so_far)

        yield show


def _tell_stop(stop: BaseException, summary: Summary, tickets: TicketFile, out: Path | None) -> None:
    """The last words of a run that stops early: how many are decided, how many are not, and how to go on."""
    try:
        total = sum(1 for _ in tickets)
    except LlmtriageError:
        total = summary.tickets
    remedy = "; go on with --resume" if out is not None else ""
    where = f"{summary.tickets} of {total} tickets are decided, {total - summary.tickets} are not{remedy}"
    stop.add_note(where)


def _tell_repeated_ids(summary: Summary, *, quiet: bool) -> None:
    """Both rows are decided, but who looks an outcome up by its id finds two."""
    ids = summary.repeated_ids
    if ids.count:
        have = "1 ticket has" if ids.count == 1 else f"{ids.count} tickets have"
        notice(f"{have} an id that an earlier one has (first: {short(ids.first_id)!r}, line {ids.first_line})", quiet=quiet)


def _report(summary: Summary, out: Path | None, pending: Path | None) -> None:
    share = summary.accepted / summary.tickets if summary.tickets else 0.0
    lines = [
        f"{summary.tickets} tickets: {summary.accepted} accepted ({share:.0%}), {summary.pending} pending, {summary.seconds:.1f} s"
    ]
    if summary.tickets == 0:
        lines = ["the file holds no tickets: the result is empty"]
    lines += [f"  {cut(code, 20)} {count}" for code, count in summary.reasons.most_common()]
    lines += [f"outcomes: {plain(out)}"] if out else []
    lines += [f"those that wait: {plain(pending)}"] if pending else []
    for text in lines:
        click.echo(text, err=True)
