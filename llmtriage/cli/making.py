"""What is made of the flags that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import notice
from llmtriage.cli.options import STORE, TRIAGE_KEYS
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from llmtriage.predictions import Example
    from llmtriage.prepare import Preparation
    from llmtriage.settings import Settings
    from llmtriage.store import SqlStore
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.tickets import Columns, TicketFile
    from llmtriage.triage import Triage

_SAMPLE_IS_USED = {
    "en": "no --taxonomy and no ./taxonomy.yaml: the sample taxonomy is used",
    "zh": "没有 --taxonomy，也没有 ./taxonomy.yaml：使用示例分类体系",
}
_NOTHING_IS_ACCEPTED = {
    "en": "no calibration and no --threshold: nothing is accepted, everything waits for a person",
    "zh": "没有校准，也没有 --threshold：不自动接受，全部等待人工确认",
}
_ENGINE_FLAGS = (
    *("concurrency", "timeout", "attempts", "repair", "shorten", "reply_cache", "max_cost", "max_tokens"),
    *("reading", "codes", "many", "debias", "votes"),
)
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


def make_triage(flags: dict[str, Any], settings: Settings, *, quiet: bool, closes: bool = True, **more: Any) -> Triage:
    """A `Triage` from the flags of `triage_options`, which are taken out of `flags`, and of `column_options` if there.

    Args:
        flags: As click read them.
        settings: Of engines.
        quiet: No notices.
        closes: Whether the end of the command closes it; else whoever asked for it does.
        more: Further arguments of `Triage`.
    """
    from llmtriage.routing import Policy
    from llmtriage.settings import default_cache_dir
    from llmtriage.triage import Triage

    given = {key: flags.pop(key) for key in TRIAGE_KEYS}
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
    if closes:
        click.get_current_context().call_on_close(triage.close)
    return triage


def tell_what_waits(triage: Triage, *, quiet: bool, language: str) -> None:
    """Say so where nothing can be accepted."""
    if triage.policy.threshold is None and triage.calibration is None:
        notice(_NOTHING_IS_ACCEPTED[language], quiet=quiet, language=language)


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
