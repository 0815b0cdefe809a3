"""`llmtriage classify`: route a file."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import cut, fitted, notice, plain, show_json, show_json_line, table
from llmtriage.cli.estimate import remember_rate, show_estimate
from llmtriage.cli.making import make_triage, open_store, open_tickets, tell_what_waits
from llmtriage.cli.options import (
    bom_option,
    column_options,
    file_argument,
    json_option,
    overwrite_option,
    quiet_option,
    store_options,
    triage_options,
)
from llmtriage.cli.reading import tell_reading
from llmtriage.errors import BackendError, InputError, LlmtriageError, StoreError, short
from llmtriage.estimate import price_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from llmtriage.outcomes import Outcome
    from llmtriage.runner import AnyRow, Spent, Summary
    from llmtriage.settings import Price, Settings
    from llmtriage.store import SqlStore
    from llmtriage.tickets import LabelledTicket, TicketFile, TicketRow
    from llmtriage.triage import Triage

_WIDTHS = (10, 9, 22, 14, 5)
_WORDS = {
    "en": {
        "head": "id|outcome|category|team|score|text, or why it waits",
        "accepted": "accepted",
        "pending": "pending",
        "so far": "{accepted} accepted, {pending} pending",
        "sum": "{n} tickets: {accepted} accepted ({share:.0%}), {pending} pending, {seconds:.1f} s",
        "empty": "the file holds no tickets: the result is empty",
        "outcomes": "outcomes: ",
        "waiting": "those that wait: ",
        "store": "they wait in {name}: llmtriage review",
        "rate_limited": "the server asks to wait: {seconds:.0f} s",
        "backend_unavailable": "the server does not work: tried again in {seconds:.0f} s",
        "spent": "{asked} asked, {known} known without a request; {requests} requests, "
        "{prompt_tokens} tokens in ({cached_tokens} cached), {output_tokens} out",
        "cost": ", {cost:.4f} {currency}",
        "forgiven": "{n} answers named their category a little otherwise (case, white space, the name for the id)",
        "not stored": "{n} tickets that wait in {out} are not in {name}, for the run began without it or they were erased: review does not show them",
        "one repeated": "1 ticket has an id that an earlier one has (first: {id!r}, line {line})",
        "repeated": "{n} tickets have an id that an earlier one has (first: {id!r}, line {line})",
    },
    "zh": {
        "head": "编号|结果|类别|团队|得分|正文，或等待人工的原因",
        "accepted": "接受",
        "pending": "待人工",
        "so far": "接受 {accepted}，待人工 {pending}",
        "sum": "{n} 张工单：接受 {accepted}（{share:.0%}），待人工确认 {pending}，{seconds:.1f} 秒",
        "empty": "文件中没有工单：结果为空",
        "outcomes": "结果：",
        "waiting": "待人工确认：",
        "store": "等待人工的工单在 {name} 中：llmtriage review",
        "rate_limited": "服务器要求等待：{seconds:.0f} 秒",
        "backend_unavailable": "服务器没有响应：{seconds:.0f} 秒后重试",
        "spent": "询问 {asked}，无需请求 {known}；请求 {requests} 次，输入 {prompt_tokens} token（前缀缓存 {cached_tokens}），输出 {output_tokens}",
        "cost": "，{cost:.4f} {currency}",
        "forgiven": "{n} 个回答写法略有不同（大小写、空白、以名称代替编号）",
        "not stored": "{out} 中有 {n} 张待人工的工单不在 {name} 中（该运行开始时未用此存储，或工单已被删除）：review 不会显示它们",
        "one repeated": "1 张工单的编号与前面的重复（第一个：{id!r}，第 {line} 行）",
        "repeated": "{n} 张工单的编号与前面的重复（第一个：{id!r}，第 {line} 行）",
    },
}


@click.command(short_help="Route a file of tickets.")
@file_argument
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Where the outcomes go: .csv or .jsonl [a table on the terminal]."
)
@click.option("--pending", type=click.Path(path_type=Path), help="A second file for the tickets that wait.")
@click.option("--estimate", is_flag=True, help="Ask nothing: show what the run would take, and one whole prompt.")
@click.option("--max-tickets", type=click.IntRange(min=1), help="Decide so many tickets in this run, at most.")
@click.option("--resume", is_flag=True, help="Go on behind what OUT holds.")
@overwrite_option
@bom_option
@column_options
@triage_options
@store_options
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
    max_tickets: int | None,
    estimate: bool,
    resume: bool,
    overwrite: bool,
    bom: bool,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Route the tickets of FILE (.csv or .jsonl): each is accepted for a team, or waits for a person with a reason."""
    from llmtriage.runner import refuse_overlap

    if estimate and resume:
        raise InputError("the estimate is of the whole file", field="--estimate", remedy="leave out --resume")
    if out is None and (resume or pending):
        raise InputError("needs an output file", field="--resume" if resume else "--pending", remedy="add -o OUT.csv")
    refuse_overlap([path for path in (out, pending) if path], [path for path in (file, flags["examples"]) if path])
    language = flags["language"]
    tickets = open_tickets(file, flags)
    probe = flags.pop("probe")
    store = open_store(flags, wanted=not estimate)
    triage = make_triage(flags, settings, quiet=quiet, store=store, probe=None if estimate else probe)
    if estimate:
        show_estimate(triage, tickets, language, as_json=as_json)
        return
    tell_reading(triage, quiet=quiet, language=language)
    tell_what_waits(triage, quiet=quiet, language=language)
    if out is None:
        summary = _to_terminal(triage, tickets, language, max_tickets, as_json=as_json)
    else:
        how = {"resume": resume, "overwrite": overwrite, "bom": bom}
        summary = _to_file(triage, tickets, out, pending, language, most=max_tickets, quiet=quiet, **how)
    if as_json and out is not None:
        show_json({**summary.to_json(), "cost": summary.spent.cost(price_of(triage))})
    elif not quiet:
        _report(summary, out, pending, store, language=language, price=price_of(triage))
    remember_rate(triage, summary)
    _tell_repeated_ids(summary, quiet=quiet, language=language)
    if summary.not_stored and store is not None:
        told = _WORDS[language]["not stored"].format(n=summary.not_stored, out=plain(out), name=plain(store.name))
        notice(told, quiet=quiet, language=language)


def _to_file(
    triage: Triage,
    tickets: TicketFile,
    out: Path,
    pending: Path | None,
    language: str,
    *,
    most: int | None,
    quiet: bool,
    **how: bool,
) -> Summary:
    from llmtriage.runner import Summary, classify_file

    latest = Summary()
    gc.freeze()  # what is loaded by now stays: to look for garbage in it again and again takes a tenth of a run's time
    with progress_bar(tickets, triage, quiet=quiet, language=language) as show:

        def progress(summary: Summary) -> None:
            nonlocal latest
            latest = summary
            show(summary)

        try:
            return classify_file(triage, tickets, out, pending=pending, language=language, most=most, progress=progress, **how)
        except (BackendError, StoreError, KeyboardInterrupt) as stop:
            _tell_stop(stop, latest, tickets, out, price_of(triage))
            raise
        except InputError as error:
            if latest.tickets and error.file == str(tickets.table.path):
                error.add_note(f"{latest.tickets} tickets before it are decided; go on with --resume")
            raise


def _to_terminal(triage: Triage, tickets: TicketFile, language: str, most: int | None, *, as_json: bool) -> Summary:
    from llmtriage.runner import Summary, classified, outcome_cells

    summary, widths = Summary(), fitted(_WIDTHS)
    try:
        if not as_json:
            click.echo(next(iter(table([_WORDS[language]["head"].split("|")], widths))))
        for row, outcome in classified(triage, tickets, most=most):
            summary.add(outcome)
            summary.repeated_ids.see(row)
            if as_json:
                show_json_line(outcome_cells(row, outcome, run=triage.run_of(row.ticket), language=language))
            else:
                click.echo(line(row, outcome, language, widths))
    except (BackendError, StoreError, KeyboardInterrupt) as stop:
        _tell_stop(stop, summary, tickets, None, price_of(triage))
        raise
    return summary


def all_outcomes(
    triage: Triage,
    tickets: TicketFile | Sequence[LabelledTicket],
    rows: Iterable[AnyRow],
    *,
    quiet: bool,
    language: str,
    wanted: str = "labelled rows",
) -> tuple[list[tuple[AnyRow, Outcome]], Summary]:
    """Rows of a file, or of a store, with their outcomes, all of them in memory, while a progress bar tells how it goes.

    Raises:
        InputError: There are no rows; `wanted` says what there should be.
    """
    from llmtriage.runner import Summary, classified

    summary, found = Summary(), []
    start = time.perf_counter()
    with progress_bar(tickets, triage, quiet=quiet, language=language) as show:
        for row, outcome in classified(triage, rows):
            found.append((row, outcome))
            summary.add(outcome)
            summary.seconds = time.perf_counter() - start
            show(summary)
    if not found:
        place = None if isinstance(tickets, Sequence) else tickets.table.path
        raise InputError("the file holds no tickets", file=place, remedy=f"give a file with {wanted}")
    return found, summary


def line(row: TicketRow, outcome: Outcome, language: str, widths: Sequence[int]) -> str:
    """One outcome as a line of the table."""
    from llmtriage.outcomes import Accepted

    words = _WORDS[language]
    number = outcome.confidence if outcome.calibrated else outcome.score
    score = "" if number is None else f"{number:.2f}"
    text = plain(f"{row.ticket.title} {row.ticket.content[:200]}")
    if isinstance(outcome, Accepted):
        cells = [row.ticket.id, words["accepted"], outcome.category, outcome.team or "-", score, text]
    else:
        cells = [row.ticket.id, words["pending"], outcome.suggestion or "-", "", score, outcome.why(language)]
    return next(iter(table([cells], widths)))


def _show_nothing(summary: Summary) -> None:
    pass


@contextmanager
def progress_bar(tickets: Iterable[object], triage: Triage, *, quiet: bool, language: str) -> Iterator[Callable[[Summary], None]]:
    """A progress line on a terminal: rate, time left, accepted and pending so far, what all wait for. Elsewhere nothing."""
    import sys

    if quiet or not sys.stderr.isatty():
        yield _show_nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, RenderableColumn, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[so_far]}"),
        RenderableColumn(_Wait(triage, language)),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(1 for _ in tickets), rate=0.0, so_far="")

        def show(summary: Summary) -> None:
            rate = summary.tickets / max(summary.seconds, 1e-9)
            so_far = _WORDS[language]["so far"].format(accepted=summary.accepted, pending=summary.pending)
            bar.update(task, completed=summary.tickets, rate=rate, so_far=so_far)

        yield show


class _Wait:
    """What keeps every request back now; looked at each time the line is drawn, because nothing else happens meanwhile."""

    def __init__(self, triage: Triage, language: str) -> None:
        self._transport, self._language = getattr(triage.backend, "transport", None), language

    def __rich__(self) -> str:
        waiting = self._transport.waiting() if self._transport else None
        return "" if waiting is None else _WORDS[self._language][waiting.reason].format(seconds=waiting.seconds)


def _tell_stop(stop: BaseException, summary: Summary, tickets: TicketFile, out: Path | None, price: Price | None) -> None:
    """The last words of a run that stops early: how many are decided, how many are not, and how to go on."""
    try:
        total = sum(1 for _ in tickets)
    except LlmtriageError:
        total = summary.tickets
    remedy = "; go on with --resume" if out is not None else ""
    where = f"{summary.tickets} of {total} tickets are decided, {total - summary.tickets} are not{remedy}"
    stop.add_note(where)
    for line in _spent(summary.spent, price, _WORDS["en"]):
        stop.add_note(line)


def _tell_repeated_ids(summary: Summary, *, quiet: bool, language: str) -> None:
    """Both rows are decided, but who looks an outcome up by its id finds two."""
    ids = summary.repeated_ids
    if ids.count:
        words = _WORDS[language]["one repeated" if ids.count == 1 else "repeated"]
        first_id, first_line = ids.first
        told = words.format(n=ids.count, id=short(first_id), line=first_line)
        notice(told, quiet=quiet, language=language)


def _report(
    summary: Summary, out: Path | None, pending: Path | None, store: SqlStore | None, *, language: str, price: Price | None
) -> None:
    words = _WORDS[language]
    facts = {"accepted": summary.accepted, "pending": summary.pending, "seconds": summary.seconds}
    share = summary.accepted / summary.tickets if summary.tickets else 0.0
    lines = [words["sum"].format(n=summary.tickets, share=share, **facts) if summary.tickets else words["empty"]]
    lines += [f"  {cut(code, 20)} {count}" for code, count in summary.reasons.most_common()]
    lines += _spent(summary.spent, price, words)
    lines += [words["outcomes"] + plain(out)] if out else []
    lines += [words["waiting"] + plain(pending)] if pending else []
    lines += [words["store"].format(name=plain(store.name))] if store and summary.pending else []
    for text in lines:
        click.echo(text, err=True)


def _spent(spent: Spent, price: Price | None, words: dict[str, str]) -> list[str]:
    """What the engine took, where it is one that sends requests."""
    if not spent.prompt_tokens and not spent.known:
        return []
    line = words["spent"].format(**spent.to_json())
    if price:
        line += words["cost"].format(cost=spent.cost(price), currency=price.currency)
    return [line, *([words["forgiven"].format(n=spent.forgiven)] if spent.forgiven else [])]
