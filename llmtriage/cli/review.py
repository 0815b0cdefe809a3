"""`llmtriage review`: decide what waits for a person."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from llmtriage.cli.display import notice, plain, show_json
from llmtriage.cli.making import make_taxonomy
from llmtriage.cli.options import (
    json_option,
    language_option,
    overwrite_option,
    quiet_option,
    store_option,
    taxonomy_option,
    together,
)
from llmtriage.errors import InputError, UnknownNameError, short
from llmtriage.outcomes import REASON_CODES
from llmtriage.reviewing import Filters, Lane, Order, below, reviewer_name

if TYPE_CHECKING:
    from llmtriage.reviewing import Item, Review
    from llmtriage.store import Queue
    from llmtriage.taxonomy import Taxonomy

NOTHING = 1  # the exit code of `next` where nothing waits

_LONGEST = 18  # digits of the number of an entry
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WORDS = {
    "en": {
        "done": "{labelled} answered, {left} wait",
        "nothing": "nothing waits for you",
        "more": "more wait: --limit",
        "how": "answer: llmtriage review confirm {entry}, correct {entry} CATEGORY, or skip {entry}; it is yours until {until:%H:%M} UTC",
        "how blind": "answer: llmtriage review correct {entry} CATEGORY, or skip {entry}; it is yours until {until:%H:%M} UTC",
        "kept": "{name}: {category}, answered by {reviewer}; llmtriage review undo takes it back",
        "skipped": "{name}: skipped by {reviewer}; it waits for others",
        "undone": "{name}: {category} is taken back; it waits for {reviewer} again",
        "exported": "{n} entries: {path}",
        "imported": "{new} answers kept, {known} were there already, {waiting} rows without a category wait on",
    },
    "zh": {
        "done": "已回答 {labelled}，待处理 {left}",
        "nothing": "没有等待您处理的工单",
        "more": "还有更多：--limit",
        "how": "回答：llmtriage review confirm {entry}、correct {entry} 类别，或 skip {entry}；为您保留到 {until:%H:%M} UTC",
        "how blind": "回答：llmtriage review correct {entry} 类别，或 skip {entry}；为您保留到 {until:%H:%M} UTC",
        "kept": "{name}：{category}，由 {reviewer} 回答；可用 llmtriage review undo 撤回",
        "skipped": "{name}：{reviewer} 已跳过，留给其他人",
        "undone": "{name}：已撤回 {category}，重新等待 {reviewer} 处理",
        "exported": "{n} 条：{path}",
        "imported": "保存 {new} 个回答，{known} 个已存在，{waiting} 行没有类别，继续等待",
    },
}


class _Span(click.types.StringParamType):
    """A span of time such as 30m, 12h, 2d or 1w."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The span."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,5})([mhdw])", str(value).strip(), re.ASCII)
        if not found:
            self.fail(f"{value!r} is no span such as 30m, 12h, 2d or 1w.", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


store_flags = together(store_option, taxonomy_option, language_option, quiet_option)
reviewer_option = click.option("--reviewer", metavar="NAME", help="Who answers [the login name].")
note_option = click.option("--note", help="What is kept beside the answer.")
similar_option = click.option(
    "--similar", type=click.IntRange(0, 20), default=3, show_default=True, help="Similar tickets that people decided, at most."
)
filter_options = together(
    click.option("--reason", type=click.Choice(REASON_CODES), metavar="CODE", help="Those that wait for this reason."),
    click.option("--category", metavar="ID", help="Those with this suggestion, or one below it; a blind entry has none."),
    click.option("--ticket-language", metavar="CODE", help="Those in this language, as their tickets say."),
    click.option("--older-than", type=_Span(), metavar="SPAN", help="Those that wait longer, such as 12h or 2d."),
    click.option("--newer-than", type=_Span(), metavar="SPAN", help="Those that wait less long."),
    click.option(
        "--lane",
        type=click.Choice(get_args(Lane)),
        help="pending: routing said so; probe, sample: drawn; second: a second opinion. All but pending blind.",
    ),
    click.option("--sample", metavar="NAME", help="Those of this planned sample."),
    click.option(
        "--order",
        type=click.Choice(get_args(Order)),
        default="oldest",
        show_default=True,
        help="useful: uncertain ones of categories with few labels; near-duplicates late.",
    ),
)
_FILTERS = ("reason", "category", "ticket_language", "older_than", "newer_than", "lane", "sample")

name_argument = click.argument("name", metavar="ID")


@click.group(invoke_without_command=True, short_help="Decide what waits for a person.")
@filter_options
@reviewer_option
@store_flags
@click.pass_context
def review(ctx: click.Context, /, reviewer: str | None, order: Order, *, quiet: bool, **flags: Any) -> None:
    """Decide what waits for a person. Alone: one ticket a screen, answered with single keys, in a terminal.

    ID is the number of an entry, as `review list` shows it, or the id of a ticket; entry:12 and id:12 say which of both is meant.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_flags_before(ctx)
        return
    from llmtriage.review_screen import review_on_screen

    language = flags["language"]
    taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=language)
    filters, who = _filters(flags, taxonomy), reviewer_name(reviewer)
    done = review_on_screen(_open(flags), taxonomy, reviewer=who, filters=filters, order=order, language=language)
    if not quiet and done.why != "closed":  # else nobody is there to read it
        click.echo(_WORDS[language]["done"].format(labelled=done.labelled, left=done.left))


@review.command("list")
@filter_options
@click.option("--mine", is_flag=True, help="Those that --reviewer has before them.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Entries shown, at most.")
@click.option("--counts", is_flag=True, help="Instead: how many wait, by lane and by reason.")
@reviewer_option
@store_flags
@json_option
def list_(
    reviewer: str | None, order: Order, limit: int, *, mine: bool, counts: bool, as_json: bool, quiet: bool, **flags: Any
) -> None:
    """Show what waits, for all or for --reviewer, whoever has it before them. Nothing is lent."""
    from llmtriage.cli.review_text import as_data, counted, counts_data, listed

    language = flags["language"]
    taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=language)
    who = reviewer_name(reviewer) if mine or reviewer is not None else None
    filters = _filters(flags, taxonomy, held_by=who if mine else None, open_to=None if mine else who)
    queue = _open(flags)
    if counts:
        found = queue.counts(filters)
        show_json(counts_data(found)) if as_json else _echo(counted(found, language))
        return
    page = queue.page(filters, order, limit=limit)
    if as_json:
        show_json([as_data(item, language) for item in page.items])
        return
    _echo(listed(page.items, language))
    if page.after is not None:
        notice(_WORDS[language]["more"], quiet=quiet, language=language)


@review.command()
@name_argument
@similar_option
@store_flags
@json_option
def show(name: str, similar: int, *, as_json: bool, quiet: bool, **flags: Any) -> None:
    """Show one entry: the whole text, why it waits, what the model would say, and what people answered. Nothing is lent."""
    taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=flags["language"])
    queue = _open(flags)
    _show(queue, _find(queue, name), taxonomy, similar, flags["language"], as_json=as_json)


@review.command("next")
@filter_options
@similar_option
@reviewer_option
@store_flags
@json_option
def next_(reviewer: str | None, order: Order, similar: int, *, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Take the first entry, for ten minutes, and show it. The same one until it is answered or skipped; exit code 1 if nothing waits."""
    language = flags["language"]
    taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=language)
    queue, words = _open(flags), _WORDS[language]
    found = queue.claim(reviewer_name(reviewer), _filters(flags, taxonomy), order)
    if not found:
        notice(words["nothing"], quiet=quiet, language=language)
        return NOTHING
    (item,) = found
    _show(queue, item, taxonomy, similar, language, as_json=as_json)
    if not as_json:
        how = words["how blind" if item.suggestion is None else "how"]
        click.echo(how.format(entry=item.entry, until=item.held_until))
    return 0


@review.command()
@name_argument
@note_option
@reviewer_option
@store_flags
@json_option
def confirm(name: str, note: str | None, reviewer: str | None, *, as_json: bool, quiet: bool, **flags: Any) -> None:
    """Say that the suggestion is right."""
    who = reviewer_name(reviewer)
    taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=flags["language"])
    queue = _open(flags)
    item = _find(queue, name)
    if item.suggestion is None:
        problem = f"{short(item.name)} has no suggestion{' that may be seen' if item.blind else ''}"
        raise InputError(problem, remedy=f"decide yourself: llmtriage review correct {item.entry} CATEGORY")
    given = queue.answer(item, who, item.suggestion, taxonomy=taxonomy, shown=True, note=note)
    _kept(item, given, flags["language"], as_json=as_json)


@review.command()
@name_argument
@click.argument("category")
@note_option
@reviewer_option
@store_flags
@json_option
def correct(
    name: str, category: str, note: str | None, reviewer: str | None, *, as_json: bool, quiet: bool, **flags: Any
) -> None:
    """Say which CATEGORY is right; also of an entry without a suggestion."""
    who = reviewer_name(reviewer)
    taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=flags["language"])
    queue = _open(flags)
    item = _find(queue, name)
    given = queue.answer(item, who, category, taxonomy=taxonomy, shown=item.suggestion is not None, note=note)
    _kept(item, given, flags["language"], as_json=as_json)


@review.command()
@name_argument
@reviewer_option
@store_flags
def skip(name: str, reviewer: str | None, *, quiet: bool, **flags: Any) -> None:
    """Leave an entry to others: `next` does not give it to this person again."""
    who, queue, language = reviewer_name(reviewer), _open(flags), flags["language"]
    item = _find(queue, name)
    queue.skip(item, who)
    if not quiet:
        click.echo(plain(_WORDS[language]["skipped"].format(name=item.name, reviewer=who)))


@review.command()
@click.argument("name", metavar="[ID]", required=False)
@reviewer_option
@store_flags
@json_option
def undo(name: str | None, reviewer: str | None, *, as_json: bool, quiet: bool, **flags: Any) -> None:
    """Take back the last own answer, or that to one entry: it waits again, lent to the same person."""
    from llmtriage.cli.review_text import answer_data

    who, queue, language = reviewer_name(reviewer), _open(flags), flags["language"]
    taken, item = queue.undo(who, _find(queue, name).entry if name else None)
    if as_json:
        show_json({**answer_data(taken), "taken_back": True})
    elif not quiet:
        words = _WORDS[language]["undone"]
        click.echo(plain(words.format(name=item.name, category=taken.category, reviewer=who)))


@review.command()
@click.argument("file", type=click.Path(path_type=Path))
@filter_options
@click.option("--limit", type=click.IntRange(min=1), help="Entries written, at most [all].")
@click.option(
    "--suggestions/--no-suggestions", default=True, show_default=True, help="What the model says; never of a blind entry."
)
@click.option("--bom/--no-bom", default=True, show_default=True, help="Begin CSV with the mark by which Excel knows UTF-8.")
@overwrite_option
@store_flags
def export(
    file: Path, order: Order, limit: int | None, *, suggestions: bool, bom: bool, overwrite: bool, quiet: bool, **flags: Any
) -> None:
    """Write what waits into FILE (.csv, .tsv, .jsonl, or "-") with an empty column `category` to fill in. Nothing is lent."""
    from itertools import islice

    from llmtriage.review_files import export as write

    language = flags["language"]
    if str(file) != "-" and file.exists() and file.stat().st_size and not overwrite:
        raise InputError("the file exists", file=file, remedy="give another name or --overwrite")
    taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=language)
    queue = _open(flags)
    items = islice(queue.each(_filters(flags, taxonomy), order), limit)
    n = write(items, file, store=queue.mark, language=language, suggestions=suggestions, bom=bom, overwrite=overwrite)
    if not quiet:
        click.echo(plain(_WORDS[language]["exported"].format(n=n, path=file)), err=True)


@review.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--encoding", help="Encoding of the file [UTF-8, else GB18030].")
@reviewer_option
@store_flags
@json_option
def import_(file: Path, encoding: str | None, reviewer: str | None, *, as_json: bool, quiet: bool, **flags: Any) -> None:
    """Keep the answers of a FILE that `export` wrote and people filled in: all of them, or none if one cannot be used."""
    from llmtriage.review_files import import_answers

    language = flags["language"]
    taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=language)
    who = reviewer_name(reviewer)
    new, known, waiting = import_answers(_open(flags), file, taxonomy, reviewer=who, encoding=encoding)
    if as_json:
        show_json({"new": new, "known": known, "waiting": waiting})
    elif not quiet:
        click.echo(_WORDS[language]["imported"].format(new=new, known=known, waiting=waiting))


def _open(flags: dict[str, Any]) -> Queue:
    """The queue of a store that is there; closed when the command ends."""
    from llmtriage.store import SqlStore

    store = SqlStore(flags["store"], create=False)
    click.get_current_context().call_on_close(store.close)
    return store.queue


def _filters(flags: dict[str, Any], taxonomy: Taxonomy, *, held_by: str | None = None, open_to: str | None = None) -> Filters:
    """The filters of `filter_options`."""
    given = {name: flags[name] for name in _FILTERS}
    category, language = given.pop("category"), given.pop("ticket_language")
    categories = frozenset() if category is None else below(category, taxonomy, field="--category")
    return Filters(**given, categories=categories, language=language, held_by=held_by, open_to=open_to)


def _find(queue: Queue, name: str) -> Item:
    """The entry with this number, or that of the ticket with this id. Raises InputError if both are there and differ."""
    kind, colon, rest = name.partition(":")
    if colon and kind == "id":
        return queue.item(rest)
    number = rest if colon and kind == "entry" else name
    if not (number.isascii() and number.isdecimal() and len(number) <= _LONGEST):
        return queue.item(name)
    if colon:
        return queue.item(int(number))
    found = [item for which in (int(number), name) if (item := _there(queue, which)) is not None]
    if len({item.entry for item in found}) > 1:
        problem = f"{name} is the number of an entry and the id of another ticket"
        raise InputError(problem, remedy=f"write entry:{name} or id:{name}")
    return found[0] if found else queue.item(name)


def _there(queue: Queue, which: int | str) -> Item | None:
    try:
        return queue.item(which)
    except UnknownNameError:
        return None


def _show(queue: Queue, item: Item, taxonomy: Taxonomy, similar: int, language: str, *, as_json: bool) -> None:
    from llmtriage.cli.review_text import as_data, told

    labels, given = queue.similar(item, similar) if similar else (), queue.answers_to(item)
    if as_json:
        show_json(as_data(item, language, similar=labels, given=given))
    else:
        _echo(told(item, taxonomy, language, similar=labels, given=given))


def _kept(item: Item, given: Review, language: str, *, as_json: bool) -> None:
    from llmtriage.cli.review_text import answer_data

    if as_json:
        show_json(answer_data(given))
        return
    words = _WORDS[language]["kept"]
    click.echo(plain(words.format(name=item.name, category=given.category, reviewer=given.reviewer)))


def _echo(lines: Any) -> None:
    for line in lines:
        click.echo(line)


def _refuse_flags_before(ctx: click.Context) -> None:
    """A flag before the name of a subcommand would have no effect."""
    for name in ctx.params:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag, command = f"--{name.replace('_', '-')}", ctx.invoked_subcommand
            raise InputError(f"{flag} stands before {command}", remedy=f"write llmtriage review {command} {flag} ...")
