"""Flags that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_LANGUAGES = ("en", "zh")

Command = TypeVar("Command", bound=Callable[..., Any])


class Number(click.FloatRange):
    """A float in a range; NaN and infinity are in none."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The float."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a valid number.", param, ctx)
        return number


class _Language(click.types.StringParamType):
    """A language code such as en, zh, zh-CN or zh_CN.UTF-8; the country says nothing here."""

    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        code = str(value).replace("_", "-").partition("-")[0].lower()
        if code not in _LANGUAGES:
            self.fail(f"{value!r} is not one of {', '.join(map(repr, _LANGUAGES))}.", param, ctx)
        return code


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Options as one decorator, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


taxonomy_option = click.option(
    "--taxonomy", type=click.Path(path_type=Path), help="Taxonomy file [./taxonomy.yaml, else the sample]."
)
examples_option = click.option(
    "--examples",
    type=click.Path(path_type=Path),
    help="Labelled tickets to learn from or to show to the model: a file, or store@NAME (llmtriage examples).",
)
prompt_examples_option = click.option(
    "--prompt-examples", type=click.IntRange(min=0), default=20, show_default=True, help="Examples in every prompt, at most."
)
prompts_option = click.option(
    "--prompts", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder with system.j2 and user.j2."
)
timeout_option = click.option("--timeout", type=Number(min=0, min_open=True), help="Seconds for one attempt [60].")
json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
quiet_option = click.option("--quiet", is_flag=True, help="No notices and no progress.")
language_option = click.option(
    "--language", type=_Language(), metavar="[en|zh]", default="en", help="Of prompt, reasons and reports."
)
bom_option = click.option("--bom", is_flag=True, help="For Excel: begin CSV files with a byte-order mark.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace files that exist.")
delta_option = click.option(
    "--delta",
    type=Number(0, 0.5, min_open=True),
    default=0.1,
    show_default=True,
    help="The probability that the promise does not hold.",
)
file_argument = click.argument("file", type=click.Path(path_type=Path))

column_options = together(
    click.option("--title-column", help="Column of the subject line [title]."),
    click.option("--content-column", help="Column of the text [content]."),
    click.option("--text-column", help="The one column that holds all text."),
    click.option("--id-column", help="Column of the ticket's name [id, else the row's number]."),
    click.option("--category-column", help="Column of the label [category]."),
    click.option("--encoding", help="Encoding of the file [UTF-8, else GB18030]."),
)

STORE = "llmtriage.db"
store_option = click.option(
    "--store",
    default=STORE,
    show_default=True,
    help="What was decided and what waits: a file, or postgresql://USER@HOST/DATABASE.",
)
store_options = together(
    store_option,
    click.option("--no-store", is_flag=True, help="Keep nothing but the output file."),
    click.option(
        "--store-text",
        type=click.Choice(["original", "redacted", "none"]),
        default="original",
        show_default=True,
        help="What is stored of a ticket's text.",
    ),
    click.option("--source", default="", help="Where the tickets come from: ids of two sources are never the same ticket."),
    click.option(
        "--probe", type=Number(0, 1, min_open=True), help="The share of all tickets that a person decides blind, such as 0.02."
    ),
)

triage_options = together(
    taxonomy_option,
    click.option(
        "--backend",
        default="lexical",
        show_default=True,
        help="lexical, openai:, vllm: or decisions:MODEL[@URL], vllm-offline:MODEL, or a name.",
    ),
    examples_option,
    click.option("--none-label", help="How labelled files call tickets that belong to none of the categories."),
    click.option("--shots", type=click.IntRange(min=0), help="Examples used a category, at most [all]."),
    prompt_examples_option,
    click.option(
        "--selector",
        type=click.Choice(["static", "nearest"]),
        default="static",
        show_default=True,
        help="nearest: each prompt also shows the examples most like its ticket.",
    ),
    click.option(
        "--nearest", type=click.IntRange(min=1), default=4, show_default=True, help="So many of them, at most; 2 a category."
    ),
    click.option("--example-tokens", type=click.IntRange(min=0), help="Tokens of all examples in a prompt, at most [no limit]."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of the draw of examples."),
    click.option("--threshold", type=Number(0, 1), help="Accept from this score on. A wish, not a guarantee."),
    click.option("--departments", is_flag=True, help="Accept a department where only that is sure."),
    click.option(
        "--calibration", type=click.Path(path_type=Path), help="A file of llmtriage calibrate: accept what it promises."
    ),
    prompts_option,
    click.option(
        "--reading",
        type=click.Choice(["auto", "token", "json-token", "votes", "json"]),
        help="How a chat model's answer is read [auto: one token's log-probabilities where the server gives them].",
    ),
    click.option(
        "--codes",
        type=click.Choice(["auto", "letters", "words", "random", "best"]),
        help="What the one token is [auto: letters].",
    ),
    click.option(
        "--many",
        type=click.Choice(["auto", "tree", "shortlist", "all"]),
        help="How more categories are asked about than fit one question [auto].",
    ),
    click.option(
        "--debias", type=click.Choice(["none", "content-free", "permute"]), help="Correct the pull of the codes [none]."
    ),
    click.option("--votes", type=click.IntRange(2, 100), help="Answers that are sampled where votes are read [5]."),
    click.option("--rationale", is_flag=True, help="Ask a chat model why, before it chooses."),
    click.option("--without", multiple=True, metavar="STEP", help="Leave out a step of preparation; may be repeated."),
    click.option("--keep", multiple=True, metavar="KIND", help="A kind of personal data that is not hidden; may be repeated."),
    click.option(
        "--redact", multiple=True, metavar="KIND=PATTERN", help="Hide what this pattern finds as [KIND_1]; may be repeated."
    ),
    click.option("--concurrency", type=click.IntRange(1, 1024), help="Requests in flight, at most [64]."),
    timeout_option,
    click.option("--attempts", type=click.IntRange(1, 10), help="Requests for one ticket, at most [3]."),
    click.option("--repair/--no-repair", default=None, help="Show an unreadable answer to the model once [yes]."),
    click.option(
        "--shorten/--no-shorten", default=None, help="A ticket too long for the model loses its middle, and waits for a person."
    ),
    click.option("--reply-cache", type=click.Path(path_type=Path), help="Keep every reply in this file; ask nothing twice."),
    click.option("--max-cost", type=Number(min=0, min_open=True), help="Stop before the run costs more (needs a price)."),
    click.option("--max-tokens", type=click.IntRange(min=1), help="Stop before the run takes more tokens."),
    language_option,
)

TRIAGE_KEYS = (
    "taxonomy",
    "backend",
    "examples",
    "shots",
    "prompt_examples",
    "selector",
    "nearest",
    "example_tokens",
    "seed",
    "threshold",
    "departments",
    "calibration",
    "prompts",
    "reading",
    "codes",
    "many",
    "debias",
    "votes",
    "rationale",
    "without",
    "keep",
    "redact",
    "concurrency",
    "timeout",
    "attempts",
    "repair",
    "shorten",
    "reply_cache",
    "max_cost",
    "max_tokens",
    "language",
)
