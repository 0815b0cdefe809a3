"""`llmtriage keys create|list|revoke`: what other programs show to the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import plain, show_json
from llmtriage.cli.options import json_option, language_option, store_option

if TYPE_CHECKING:
    from llmtriage.store import SqlStore
    from llmtriage.store.keys import Key

_WORDS = {
    "en": {
        "created": "{name}: key {prefix}, for {scopes}, {until}; it is shown this once",
        "none": "there is no key: llmtriage keys create --name NAME --scope classify",
        "one": "{prefix}  {name}  {scopes}  {state}, {used}",
        "revoked": "{name}: key {prefix} is revoked",
        "for good": "for good",
        "until": "until {day:%Y-%m-%d}",
        "ended": "expired {day:%Y-%m-%d}",
        "gone": "revoked {day:%Y-%m-%d}",
        "used": "last used {day:%Y-%m-%d}",
        "unused": "never used",
    },
    "zh": {
        "created": "{name}：密钥 {prefix}，权限 {scopes}，{until}；仅显示这一次",
        "none": "还没有密钥：llmtriage keys create --name NAME --scope classify",
        "one": "{prefix}  {name}  {scopes}  {state}，{used}",
        "revoked": "{name}：密钥 {prefix} 已吊销",
        "for good": "长期有效",
        "until": "有效期至 {day:%Y-%m-%d}",
        "ended": "已于 {day:%Y-%m-%d} 过期",
        "gone": "已于 {day:%Y-%m-%d} 吊销",
        "used": "最近使用 {day:%Y-%m-%d}",
        "unused": "从未使用",
    },
}


@click.group(short_help="API keys of the service: make, list, revoke.")
def keys() -> None:
    """Keys that other programs show to the service. As soon as one was made, every call needs one."""


@keys.command()
@click.option("--name", required=True, help="Of the program that will show it.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["classify", "review", "admin"]),
    multiple=True,
    required=True,
    help="What it allows: have tickets decided, work on the queue, change what decides; may be repeated.",
)
@click.option("--days", type=click.IntRange(1, 36_500), help="So long it can be used [for good].")
@store_option
@language_option
@json_option
def create(name: str, scopes: tuple[str, ...], days: int | None, store: str, language: str, *, as_json: bool) -> None:
    """Make a key. It alone is written to standard output, and nobody can show it again."""
    from llmtriage.store import keys as kept

    with _opened(store, create=True) as opened:
        made = kept.create(opened.database, name, scopes, days=days)
    if as_json:
        show_json({**_data(made.key), "key": made.secret})
        return
    words, key = _WORDS[language], made.key
    until = words["for good" if key.expires is None else "until"].format(day=key.expires)
    click.echo(words["created"].format(name=plain(key.name), prefix=key.prefix, scopes=_scopes(key), until=until), err=True)
    click.echo(made.secret)


@keys.command(name="list")
@store_option
@language_option
@json_option
def list_(store: str, language: str, *, as_json: bool) -> None:
    """Show the keys by their beginnings."""
    from llmtriage.store import keys as kept

    with _opened(store) as opened:
        found = kept.listed(opened.database)
    if as_json:
        show_json([_data(key) for key in found])
        return
    words = _WORDS[language]
    if not found:
        click.echo(words["none"])
    for key in found:
        used = words["unused" if key.used is None else "used"].format(day=key.used)
        facts = {"name": plain(key.name), "prefix": key.prefix, "scopes": _scopes(key), "state": _state(key, words), "used": used}
        click.echo(words["one"].format(**facts))


@keys.command()
@click.argument("prefix")
@store_option
@language_option
@json_option
def revoke(prefix: str, store: str, language: str, *, as_json: bool) -> None:
    """End the key that begins with lt_PREFIX, from the next call on."""
    from llmtriage.store import keys as kept

    with _opened(store) as opened:
        key = kept.revoke(opened.database, prefix)
    if as_json:
        show_json(_data(key))
    else:
        click.echo(_WORDS[language]["revoked"].format(name=plain(key.name), prefix=key.prefix))


def _opened(store: str, *, create: bool = False) -> SqlStore:
    from llmtriage.store import SqlStore

    return SqlStore(store, create=create)


def _scopes(key: Key) -> str:
    return ", ".join(one for one in ("classify", "review", "admin") if one in key.scopes)


def _state(key: Key, words: dict[str, str]) -> str:
    if key.revoked is not None:
        return words["gone"].format(day=key.revoked)
    if key.expires is None:
        return words["for good"]
    return words["until" if key.is_usable else "ended"].format(day=key.expires)


def _data(key: Key) -> dict[str, Any]:
    times = {"created": key.created, "expires": key.expires, "revoked": key.revoked}
    return {
        "prefix": key.prefix,
        "name": key.name,
        "scopes": sorted(key.scopes),
        **{name: time and time.isoformat() for name, time in times.items()},
        "used": key.used and key.used.date().isoformat(),
        "usable": key.is_usable,
    }
