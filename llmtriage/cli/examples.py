"""`llmtriage examples freeze|list`: what people confirmed and corrected, as examples that never change."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from llmtriage.cli.display import notice, plain, show_json
from llmtriage.cli.making import make_taxonomy, place_of_store
from llmtriage.cli.options import json_option, language_option, quiet_option, store_option, taxonomy_option

_WORDS = {
    "en": {
        "frozen": "{name}: {tickets} examples; use them with --examples store@{name}",
        "drawn": "{drawn} of them were drawn by chance: their labels carry no promise for an engine that knows these examples",
        "lost": "{lost} answers were left out: the taxonomy has no leaf for their category",
        "without_text": "{without_text} answers were left out: their text is gone, or was never stored",
        "none": "there is no set of examples: llmtriage examples freeze NAME",
        "erased": "; {erased} of them were erased: freeze a new set",
        "one": "{name}: {tickets} examples, {made:%Y-%m-%d}",
    },
    "zh": {
        "frozen": "{name}：{tickets} 个示例；用 --examples store@{name} 使用",
        "drawn": "其中 {drawn} 张是随机抽取的：对使用这些示例的引擎，它们的标注不再能支撑保证",
        "lost": "{lost} 个答案未使用：分类体系中没有对应的类别",
        "without_text": "{without_text} 个答案未使用：文字已删除，或从未保存",
        "none": "还没有示例集：llmtriage examples freeze NAME",
        "erased": "；其中 {erased} 张已被删除：请重新冻结",
        "one": "{name}：{tickets} 个示例，{made:%Y-%m-%d}",
    },
}


@click.group(invoke_without_command=True, short_help="Answers of people as examples that never change.")
@click.pass_context
def examples(ctx: click.Context) -> None:
    """Keep what people confirmed and corrected as a named set of examples: --examples store@NAME."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@examples.command()
@click.argument("name")
@click.option(
    "--from",
    "origin",
    type=click.Choice(["pending", "all"]),
    default="pending",
    show_default=True,
    help="pending: tickets that waited. all: also those drawn by chance, whose labels then carry no promise.",
)
@click.option("--most", type=click.IntRange(min=1), help="The latest so many answers, at most [all].")
@click.option("--overwrite", is_flag=True, help="Replace a set of this name.")
@taxonomy_option
@store_option
@language_option
@json_option
@quiet_option
def freeze(
    name: str,
    *,
    origin: Literal["pending", "all"],
    most: int | None,
    taxonomy: Path | None,
    store: str,  # noqa: ARG001 - place_of_store
    language: str,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Freeze the answers that stand under NAME. Answers given later change nothing in it.

    Of equal texts the latest answer is taken. A calibration is bound to its examples: made with another set, it is refused.
    """
    from llmtriage.store import SqlStore
    from llmtriage.store.example_sets import freeze as freeze_set

    tree = make_taxonomy(taxonomy, quiet=quiet, language=language)
    with SqlStore(place_of_store(), create=False) as opened:
        found = freeze_set(opened.database, name, tree, drawn=origin == "all", most=most, overwrite=overwrite)
    if as_json:
        show_json(asdict(found))
        return
    facts = {**asdict(found), "name": plain(found.name)}
    click.echo(_WORDS[language]["frozen"].format(**facts))
    for key in ("drawn", "lost", "without_text"):
        if facts[key]:
            notice(_WORDS[language][key].format(**facts), quiet=quiet, language=language)


@examples.command(name="list")
@store_option
@language_option
@json_option
def list_(store: str, language: str, *, as_json: bool) -> None:  # noqa: ARG001 - place_of_store
    """Show the frozen sets."""
    from llmtriage.store import SqlStore
    from llmtriage.store.example_sets import listed

    with SqlStore(place_of_store(), create=False) as opened:
        sets = listed(opened.database)
    words = _WORDS[language]
    if as_json:
        show_json([{**asdict(one), "made": one.made.isoformat()} for one in sets])
    elif not sets:
        click.echo(words["none"])
    for one in [] if as_json else sets:
        facts = {**asdict(one), "name": plain(one.name)}
        click.echo(words["one"].format(**facts) + (words["erased"].format(**facts) if one.erased else ""))
