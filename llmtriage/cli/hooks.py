"""`llmtriage hooks`: what other systems sent and are told."""

from __future__ import annotations

from dataclasses import asdict

import click

from llmtriage.cli.display import plain, show_json
from llmtriage.cli.making import place_of_store
from llmtriage.cli.options import json_option, language_option, store_option

_WORDS = {
    "en": {
        "inbox": "in: {waiting} messages wait",
        "one": "{callback}: {waiting} wait, {given_up} given up, {arrived} arrived in the last 30 days",
        "retried": "{n} are told again; a running service sends them",
    },
    "zh": {
        "inbox": "接收：{waiting} 条消息等待处理",
        "one": "{callback}：{waiting} 条待发送，{given_up} 条已放弃，近 30 天送达 {arrived} 条",
        "retried": "{n} 条将重新发送，由运行中的服务完成",
    },
}


@click.group(short_help="What other systems sent and are told: what waits, what was given up.")
def hooks() -> None:
    """What other systems sent and are told."""


@hooks.command(name="list")
@store_option
@language_option
@json_option
def list_(store: str, language: str, *, as_json: bool) -> None:  # noqa: ARG001 - place_of_store
    """Show how many messages wait to be decided, and how each callback does."""
    from llmtriage.store import SqlStore, inbox, outbox

    with SqlStore(place_of_store(), create=False) as opened:
        waiting, callbacks = inbox.waiting(opened), outbox.standings(opened)
    if as_json:
        show_json({"waiting": waiting, "callbacks": [asdict(one) for one in callbacks]})
        return
    click.echo(_WORDS[language]["inbox"].format(waiting=waiting))
    for one in callbacks:
        click.echo(_WORDS[language]["one"].format(**{**asdict(one), "callback": plain(one.callback)}))


@hooks.command()
@click.argument("callback", required=False)
@store_option
@language_option
def retry(callback: str | None, store: str, language: str) -> None:  # noqa: ARG001 - place_of_store
    """Tell again what was given up, to CALLBACK or to all of them."""
    from llmtriage.store import SqlStore, outbox

    with SqlStore(place_of_store(), create=False) as opened:
        n = outbox.retry(opened, callback)
    click.echo(_WORDS[language]["retried"].format(n=n), err=True)
