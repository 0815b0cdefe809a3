"""`llmtriage db`: what becomes of a store in the long run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import plain
from llmtriage.cli.options import language_option, quiet_option, store_option
from llmtriage.errors import InputError, short

if TYPE_CHECKING:
    from llmtriage.store import SqlStore
    from llmtriage.store.erasing import Named

_DAYS = {"d": 1, "w": 7, "y": 365}
_MICROSECONDS = 86_400_000_000
_WORDS = {
    "en": {
        "made": "{store}: made, version {now}",
        "upgraded": "{store}: version {before} -> {now}",
        "newest": "{store}: version {now}, the newest",
        "ask": "Erase {n} tickets in {store} for good?",
        "erased": "{n} tickets erased; outcomes and counts stay",
        "would": "{n} tickets would lose their text",
        "pruned": "{n} tickets lost their text; outcomes and counts stay",
        "copied": "{store}: copied to {copy}, {size:,} bytes",
    },
    "zh": {
        "made": "{store}：已建立，版本 {now}",
        "upgraded": "{store}：版本 {before} -> {now}",
        "newest": "{store}：版本 {now}，已是最新",
        "ask": "永久删除 {store} 中 {n} 张工单的个人数据？",
        "erased": "已删除 {n} 张工单的个人数据；结果和计数保留",
        "would": "将删除 {n} 张工单的文字",
        "pruned": "已删除 {n} 张工单的文字；结果和计数保留",
        "copied": "{store}：已复制到 {copy}，{size:,} 字节",
    },
}

source_option = click.option("--source", help="Only tickets that come from there [from anywhere].")


@click.group(short_help="Copy and upgrade a store, erase personal data, keep a retention limit.")
def db() -> None:
    """What becomes of a store in the long run."""


@db.command()
@store_option
@language_option
@quiet_option
def upgrade(store: str, language: str, *, quiet: bool) -> None:
    """Bring the tables to the version this llmtriage works with, all or nothing; what is stored stays. Make a copy first."""
    from llmtriage.store.database import Database
    from llmtriage.store.versions import upgrade as bring

    database = Database(store, create=False)
    click.get_current_context().call_on_close(database.close)
    with database.opening():
        before, now = bring(database)
    which = "made" if before is None else "newest" if before == now else "upgraded"
    _tell(which, language, quiet=quiet, store=plain(database.name), before=before, now=now)


@db.command()
@store_option
@click.argument("copy", type=click.Path(path_type=Path), metavar="FILE")
@language_option
@quiet_option
def backup(store: str, copy: Path, language: str, *, quiet: bool) -> None:
    """Copy a store into a new file, as it is at one moment, while others work with it. Of a store in PostgreSQL: pg_dump."""
    from llmtriage.store.backup import backup as copied
    from llmtriage.store.database import Database

    database = Database(store, create=False)
    click.get_current_context().call_on_close(database.close)
    with database.opening():
        size = copied(database, copy)
    _tell("copied", language, quiet=quiet, store=plain(database.name), copy=plain(str(copy)), size=size)


@db.command()
@store_option
@click.option("--ticket", "tickets", multiple=True, metavar="ID", help="A ticket by its id; may be repeated.")
@click.option("--customer", help="All tickets of a customer.")
@source_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@language_option
@quiet_option
def erase(
    store: str, tickets: tuple[str, ...], customer: str | None, source: str | None, *, yes: bool, language: str, quiet: bool
) -> None:
    """Erase for good what is known of a person: text, id, customer, fields and notes, in all versions. Outcomes and counts stay.

    Output files and backups are not touched: see docs/store.md.
    """
    from llmtriage.store import erasing

    if not tickets and customer is None:
        raise InputError("neither --ticket nor --customer", remedy="say what to erase")
    with _opened(store) as opened:
        named = erasing.Named(tickets, customer, source)
        n = _found(opened, named)
        if not yes:
            _ask(_WORDS[language]["ask"].format(n=n, store=plain(opened.name)))
        n = erasing.erase_named(opened, named)
    _tell("erased", language, quiet=quiet, n=n)


@db.command()
@store_option
@click.option("--older-than", required=True, metavar="TIME", help="Such as 90d, 12w or 1y.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@language_option
@quiet_option
def prune(store: str, older_than: str, *, dry_run: bool, language: str, quiet: bool) -> None:
    """Erase the tickets of which nothing came for so long and for which nobody waits, as db erase does."""
    from llmtriage.store import erasing
    from llmtriage.store.recording import now

    before = now() - _days(older_than) * _MICROSECONDS
    with _opened(store) as opened:
        n = erasing.count_old(opened, before) if dry_run else erasing.prune(opened, before)
    _tell("would" if dry_run else "pruned", language, quiet=quiet, n=n)


def _opened(store: str) -> SqlStore:
    from llmtriage.store import SqlStore

    return SqlStore(store, create=False)


def _found(store: SqlStore, named: Named) -> int:
    """How many tickets and messages there are; nothing is erased where an id is not there, for it may be mistyped."""
    from llmtriage.store import erasing

    found = erasing.find(store, named)
    n = len(found.tickets) + len(found.messages)
    if n and not found.missing:
        return n
    erasing.clear(store)  # of an erasure before, while somebody read
    if not found.missing:
        raise InputError("no ticket of this customer", file=store.name, field="--customer", remedy="see how it is written")
    problem = f"no ticket {short(found.missing[0])!r}" + (f" and {len(found.missing) - 1} more" if found.missing[1:] else "")
    raise InputError(problem, file=store.name, field="--ticket", remedy="nothing was erased now; it may be erased already")


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise InputError("nobody can be asked here", field="--yes", remedy="add it to erase without a question")
    click.confirm(question, abort=True, err=True)


def _days(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,4}) *([dwy])", text.strip())
    if found is None:
        raise InputError(f"no time: {short(text)!r}", field="--older-than", remedy="write it like 90d, 12w or 1y")
    return int(found[1]) * _DAYS[found[2]]


def _tell(which: str, language: str, *, quiet: bool, **facts: Any) -> None:
    if not quiet:
        click.echo(_WORDS[language][which].format(**facts), err=True)
