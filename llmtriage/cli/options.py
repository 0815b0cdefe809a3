"""Flags that several commands share, and what is made of them."""

from __future__ import annotations

import math
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llmtriage.cli.display import notice
from llmtriage.errors import InputError, UnknownNameError, nearest, short

if TYPE_CHECKING:
    from llmtriage.predictions import Example
    from llmtriage.prepare import Preparation
    from llmtriage.settings import Settings
    from llmtriage.store import SqlStore
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.tickets import Columns, TicketFile
    from llmtriage.triage import Triage

_LANGUAGES = ("en", "zh")
_SAMPLE_IS_USED = {
    "en": "no --taxonomy and no ./taxonomy.yaml: the sample taxonomy is used",
    "zh": "没有 --taxonomy，也没有 ./taxonomy.yaml：使用示例分类体系",
}
_NOTHING_IS_ACCEPTED = {
    "en": "no calibration and no --threshold: nothing is accepted, everything waits for a person",
    "zh": "没有校准，也没有 --threshold：不自动接受，全部等待人工确认",
}

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
_POSTGRESQL = ("postgresql:", "postgresql+", "postgres:")
_PASSWORD = re.compile("(?<=://)([^:/@]*):.*@")
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

_TRIAGE_KEYS = (
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
_ENGINE_FLAGS = (
    *("concurrency", "timeout", "attempts", "repair", "shorten", "reply_cache", "max_cost", "max_tokens"),
    *("reading", "codes", "many", "debias", "votes"),
)
_CHANGEABLE = (*_TRIAGE_KEYS, "predictions", "scores", "run")
_COLUMN_KEYS = ("title_column", "content_column", "text_column", "id_column", "category_column")


def make_taxonomy(path: Path | None, *, quiet: bool, language: str = "en") -> Taxonomy:
    """The taxonomy of a flag: the file named, else ./taxonomy.yaml, else the sample with a notice."""
    from llmtriage.taxonomy import Taxonomy

    if path is not None:
        return Taxonomy.load(path)
    nearby = Taxonomy.nearby()
    if nearby is not None:
        return nearby
    notice(_SAMPLE_IS_USED[language], quiet=quiet, language=language)
    return Taxonomy.sample()


def open_store(flags: dict[str, Any], *, wanted: bool = True) -> SqlStore | None:
    """The store of the flags of `store_options`, which are taken out of `flags`; None for none. It is closed when the command ends."""
    given = {key: flags.pop(key) for key in ("store", "no_store", "store_text", "source")}
    if given["no_store"]:
        _refuse_both("store")
    if given["no_store"] or not wanted:
        return None
    from llmtriage.store import SqlStore

    store = SqlStore(given["store"], source=given["source"], kept=given["store_text"])
    click.get_current_context().call_on_close(store.close)
    return store


def _refuse_both(name: str) -> None:
    if click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
        raise InputError("--store and --no-store exclude each other", remedy="leave one of them out")


def make_triage(flags: dict[str, Any], settings: Settings, *, quiet: bool, **more: Any) -> Triage:
    """A `Triage` from the flags of `triage_options`, which are taken out of `flags`, and of `column_options` if there.

    Args:
        flags: As click read them.
        settings: Of engines.
        quiet: No notices.
        more: Further arguments of `Triage`.
    """
    from llmtriage.routing import Policy
    from llmtriage.settings import default_cache_dir
    from llmtriage.triage import Triage

    given = {key: flags.pop(key) for key in _TRIAGE_KEYS}
    engine = {key: value for key in _ENGINE_FLAGS if (value := given.pop(key)) is not None}
    taxonomy = make_taxonomy(given.pop("taxonomy"), quiet=quiet, language=given["language"])
    preparation = make_preparation(given.pop("without"), given.pop("keep"), given.pop("redact"))
    path = given.pop("examples")
    triage = Triage(
        taxonomy=taxonomy,
        examples=make_examples(path, flags, taxonomy, preparation, quiet=quiet, language=given["language"])
        if path is not None
        else None,
        policy=Policy(threshold=given.pop("threshold"), departments=given.pop("departments")),
        preparation=preparation,
        settings=settings.with_flags(**engine),
        cache_dir=default_cache_dir(),
        **given,
        **more,
    )
    click.get_current_context().call_on_close(triage.close)
    return triage


def tell_what_waits(triage: Triage, *, quiet: bool, language: str) -> None:
    """Say so where nothing can be accepted."""
    if triage.policy.threshold is None and triage.calibration is None:
        notice(_NOTHING_IS_ACCEPTED[language], quiet=quiet, language=language)


def changed_flags(flags: dict[str, Any], text: str, source: str) -> dict[str, Any]:
    """`flags` with those of `triage_options`, or of stored predictions, changed that `text` names, as KEY=VALUE[,KEY=VALUE].

    A comma within a value ends it only where another KEY= follows.

    Args:
        flags: As click read them.
        text: What to change.
        source: The flag that `text` was given to, for errors.

    Raises:
        InputError: A key is unknown or named twice, or a value cannot be used.
    """
    context = click.get_current_context()
    options = {option.name: option for option in context.command.params if option.name in _CHANGEABLE}
    values: dict[str, list[str]] = {}
    for part in re.split(r",(?=[\w-]+=)", text):
        name, equals, value = part.partition("=")
        key = name.strip().removeprefix("--").replace("-", "_")
        if not equals:
            raise InputError(f"not KEY=VALUE: {short(part)!r}", field=source, remedy="write it like selector=nearest,nearest=6")
        if key not in options:
            raise UnknownNameError.among("key", key, _CHANGEABLE, field=source)
        values.setdefault(key, []).append(value.strip())
    return {**flags, **{key: _converted(options[key], found, source) for key, found in values.items()}}


def _converted(option: click.Parameter, values: list[str], source: str) -> Any:
    """What click makes of the values of an option that was given so often."""
    if len(values) > 1 and not option.multiple:
        raise InputError(f"{option.name} is given twice", field=source, remedy="give it once")
    try:
        return option.type_cast_value(click.get_current_context(), values if option.multiple else values[0])
    except click.BadParameter as error:
        problem = f"{option.name}: {error.message.rstrip('.')}"
        raise InputError(problem, field=source, remedy=_remedy(option, values[-1])) from None


def _remedy(option: click.Parameter, value: str) -> str:
    if isinstance(option.type, click.Choice):
        return nearest(value, option.type.choices)
    return "write true or false" if isinstance(option.type, click.types.BoolParamType) else "mend that value"


def make_preparation(without: tuple[str, ...], keep: tuple[str, ...], redact: tuple[str, ...]) -> Preparation:
    """All steps but those named, hiding all personal data but the kinds to keep, and what patterns of one's own find."""
    from llmtriage.prepare import STEP_NAMES, Preparation, Redaction

    redaction = Redaction(keep, dict(_own_pattern(text) for text in redact))
    return Preparation(tuple(step for step in STEP_NAMES if step not in Preparation(without).steps), redaction)


def _own_pattern(text: str) -> tuple[str, str]:
    kind, equals, pattern = text.partition("=")
    if not equals or not pattern:
        raise InputError("not KIND=PATTERN", field="redact", remedy="write it like order=SO-[0-9]{6}")
    return kind.strip(), pattern


def make_examples(
    path: Path, flags: dict[str, Any], taxonomy: Taxonomy, preparation: Preparation, *, quiet: bool, language: str
) -> tuple[Example, ...]:
    """The examples of a file: a column named for the tickets is taken here too if the file has it, else the default one. Or those of a store."""
    from llmtriage.cli.labels import check_labels
    from llmtriage.examples import STORED, read_examples
    from llmtriage.tickets import read_tickets

    if str(path).startswith(STORED):
        return _frozen_examples(path, taxonomy, preparation, quiet=quiet, language=language)
    columns, encoding = columns_held(path, flags)
    none_label = flags.get("none_label")
    if taxonomy.heirs:
        rows = read_tickets(path, columns, encoding).labelled(taxonomy, none_label)
        check_labels(rows, path, quiet=quiet, language=language)
    return read_examples(path, taxonomy, preparation, columns, encoding, none_label=none_label)


def _frozen_examples(
    path: Path, taxonomy: Taxonomy, preparation: Preparation, *, quiet: bool, language: str
) -> tuple[Example, ...]:
    """Those of a frozen set, in the store that --store names, or LLMTRIAGE_STORE where a command has no such flag."""
    from llmtriage.cli.labels import check_labels
    from llmtriage.examples import STORED, stored_examples
    from llmtriage.store import SqlStore
    from llmtriage.tickets import carried_labels

    with SqlStore(place_of_store(), create=False) as store:
        rows = store.examples(str(path).removeprefix(STORED))
    labels = carried_labels(rows, taxonomy, place=store.name, field="--examples")
    check_labels(labels, path, quiet=quiet, language=language)
    return stored_examples(rows, taxonomy, preparation, place=store.name)


def place_of_store() -> str:
    """Where the store is: as a flag, the environment or the settings file says, else the usual file."""
    context = click.get_current_context()
    given = context.params.get("store") or os.environ.get("LLMTRIAGE_STORE")
    return given or (context.find_root().default_map or {}).get("classify", {}).get("store") or STORE


def columns_held(path: Path, flags: dict[str, Any]) -> tuple[Columns, str | None]:
    """The columns of a file beside that of the tickets, those named by flags as far as it has them, and its encoding."""
    from llmtriage.tables import read_rows
    from llmtriage.tickets import Columns

    encoding = _encoding(path, flags.get("encoding"))
    held = {name.strip().casefold() for name in read_rows(path, encoding=encoding).columns}
    columns = {key: name for key, name in named_columns(flags).items() if name.strip().casefold() in held}
    return Columns(**columns), encoding


def _encoding(path: Path, encoding: str | None) -> str | None:
    """`encoding` unless the examples are plainly in Unicode, as the files are that `llmtriage split` writes."""
    from llmtriage.tables.encodings import find_encoding

    try:
        found = find_encoding(path)
    except InputError:
        return encoding
    return None if found.startswith("utf") else encoding


def named_columns(flags: dict[str, Any]) -> dict[str, str]:
    """The columns named by flags, by what they hold."""
    return {key.removesuffix("_column"): name for key in _COLUMN_KEYS if (name := flags.get(key)) is not None}


def open_tickets(path: Path, flags: dict[str, Any]) -> TicketFile:
    """The tickets of a file, its columns named by flags."""
    from llmtriage.tickets import Columns, read_tickets

    return read_tickets(path, Columns(**named_columns(flags)), flags["encoding"])


def new_file(output: str, file: Path | None = None, *, overwrite: bool, flag: str = "--output") -> Path:
    """The file of a flag that is to be written, which is not the input, and is not there unless it may be replaced. Raises InputError."""
    path = Path(output)
    if file is not None and path.resolve() == file.resolve():
        raise InputError("the input itself", file=output, field=flag, remedy="name another file")
    if path.exists() and not overwrite:
        raise InputError("exists already", file=output, field=flag, remedy="name another file or add --overwrite")
    if not path.parent.is_dir():
        raise InputError("there is no such folder", file=path.parent, field=flag, remedy="make it first")
    return path


def command_line() -> str:
    """The command that runs, with every value that is not a default, also those of the environment and of the settings file.

    Of an absolute path only the name is kept: where somebody's files lie is nobody else's business. Nor is the password of a store.
    """
    context, words = click.get_current_context(), []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        default = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.DEFAULT
        if default or value is None or value == ():
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += _as_typed(parameter, one)
    return shlex.join([*context.command_path.split(), *words])


def _without_password(text: str) -> str:
    """The address of a store as anybody may read it."""
    return _PASSWORD.sub(r"\1:***@", text.partition("?")[0]) if text.startswith(_POSTGRESQL) else text


def _as_typed(parameter: click.Parameter, value: object) -> list[str]:
    path = Path(value) if isinstance(value, str | Path) else None
    text = path.name if path is not None and path.is_absolute() else _without_password(str(value))
    if isinstance(parameter, click.Argument):
        return [text]
    flag = max(parameter.opts, key=len)
    if isinstance(value, bool) and isinstance(parameter, click.Option) and parameter.is_flag:
        return [flag if value else max(parameter.secondary_opts, key=len)]
    return [flag, text]


def one_text(arguments: tuple[str, ...]) -> str:
    """The text of a command that takes one; a shell makes several of a text without quotes."""
    if len(arguments) > 1:
        raise InputError(f"one text is wanted, these are {len(arguments)}", remedy="put the text in quotes")
    return arguments[0]


def text_or_stdin(text: str) -> str:
    """`text`, or what comes on standard input where it is "-"."""
    if text != "-":
        return text
    raw = sys.stdin.buffer.read()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("standard input is not UTF-8", remedy="convert it, or use classify on a file with --encoding") from None
