"""`llmtriage reviewers add|list|password|remove`: who signs in to the pages."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from llmtriage.cli.display import plain, show_json
from llmtriage.cli.options import json_option, language_option, store_option
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from llmtriage.store import SqlStore

_WORDS = {
    "en": {
        "ask": "Password",
        "again": "The same again",
        "added": "{name} may sign in as {role}",
        "changed": "{name} has a new password; signed out everywhere",
        "removed": "{name} may sign in no more; signed out everywhere, answers stay",
        "none": "nobody has a password: llmtriage reviewers add NAME",
        "one": "{name}  {role}",
        "gone": "{name}  {role}  removed {day:%Y-%m-%d}",
        "reviewer": "reviewer",
        "lead": "lead",
    },
    "zh": {
        "ask": "密码",
        "again": "再输入一次",
        "added": "{name} 可以以{role}身份登录",
        "changed": "{name} 的密码已更改；所有登录已退出",
        "removed": "{name} 不能再登录；所有登录已退出，答案保留",
        "none": "还没有审核人员：llmtriage reviewers add NAME",
        "one": "{name}  {role}",
        "gone": "{name}  {role}  {day:%Y-%m-%d} 移除",
        "reviewer": "审核员",
        "lead": "负责人",
    },
}


@click.group(short_help="Who signs in to the pages of the service.")
def reviewers() -> None:
    """People who sign in to the pages with a password. It is asked for, or read as one line from standard input; it is never an argument."""


@reviewers.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["reviewer", "lead"]), default="reviewer", show_default=True, help="A lead sees more pages."
)
@store_option
@language_option
def add(name: str, role: Literal["reviewer", "lead"], store: str, language: str) -> None:
    """Let NAME sign in; who was removed may again, with a new password."""
    from llmtriage.store import accounts

    with _opened(store, create=True) as opened:
        account = accounts.add(opened.database, name, _password(language), role)
    words = _WORDS[language]
    click.echo(words["added"].format(name=plain(account.name), role=words[role]))


@reviewers.command(name="list")
@store_option
@language_option
@json_option
def list_(store: str, language: str, *, as_json: bool) -> None:
    """Show who may sign in."""
    from llmtriage.store import accounts

    with _opened(store) as opened:
        found = accounts.listed(opened.database)
    if as_json:
        times = [(one, one.created.isoformat(), one.disabled and one.disabled.isoformat()) for one in found]
        show_json([{"name": one.name, "role": one.role, "created": made, "removed": gone} for one, made, gone in times])
        return
    words = _WORDS[language]
    if not found:
        click.echo(words["none"])
    for one in found:
        facts = {"name": plain(one.name), "role": words[one.role], "day": one.disabled}
        click.echo(words["gone" if one.disabled else "one"].format(**facts))


@reviewers.command()
@click.argument("name")
@store_option
@language_option
def password(name: str, store: str, language: str) -> None:
    """Give NAME a new password; whoever is signed in under this name is signed out."""
    from llmtriage.store import accounts

    with _opened(store) as opened:
        accounts.change_password(opened.database, name, _password(language))
    click.echo(_WORDS[language]["changed"].format(name=plain(name)))


@reviewers.command()
@click.argument("name")
@store_option
@language_option
def remove(name: str, store: str, language: str) -> None:
    """Let NAME sign in no more; what NAME answered stays."""
    from llmtriage.store import accounts

    with _opened(store) as opened:
        accounts.remove(opened.database, name)
    click.echo(_WORDS[language]["removed"].format(name=plain(name)))


def _opened(store: str, *, create: bool = False) -> SqlStore:
    from llmtriage.store import SqlStore

    return SqlStore(store, create=create)


def _password(language: str) -> str:
    """What is typed twice without being shown, or one line of standard input."""
    if sys.stdin.isatty():
        words = _WORDS[language]
        return str(click.prompt(words["ask"], hide_input=True, confirmation_prompt=words["again"], err=True))
    raw = sys.stdin.buffer.readline()
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError("the password on standard input is not UTF-8", remedy="convert it") from None
