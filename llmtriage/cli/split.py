"""`llmtriage split`: parts of a labelled file that share nothing."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import plain
from llmtriage.cli.making import open_tickets
from llmtriage.cli.options import bom_option, column_options, file_argument, overwrite_option, quiet_option
from llmtriage.errors import InputError, short

if TYPE_CHECKING:
    from llmtriage.tickets import TicketFile


_FULL_WIDTH = str.maketrans("，＝", ",=")


@click.command(short_help="Split a labelled file, near-duplicates kept together.")
@file_argument
@click.option("--parts", default="train=0.8,test=0.2", show_default=True, help="Names and shares; the shares sum to 1.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another split.")
@click.option(
    "-o", "--out", "folder", type=click.Path(path_type=Path, file_okay=False), default=".", help="Folder of the parts [.]."
)
@column_options
@bom_option
@overwrite_option
@quiet_option
def split(file: Path, parts: str, seed: int, folder: Path, *, bom: bool, overwrite: bool, quiet: bool, **flags: Any) -> None:
    """Split the labelled FILE into files NAME.csv, each category in each part; near-duplicates stay in one part."""
    tickets = open_tickets(file, flags)
    counts = split_file(tickets, _fractions(parts), folder, seed=seed, overwrite=overwrite, bom=bom)
    if not quiet:
        for name, count in counts.items():
            click.echo(f"{plain(folder / name)}: {count} tickets", err=True)


def split_file(
    tickets: TicketFile, fractions: dict[str, float], folder: Path, *, seed: int = 0, overwrite: bool = False, bom: bool = False
) -> dict[str, int]:
    """Write each row, as it stands, to the file of its part; how many went where."""
    from llmtriage.prepare import Preparation, prepare
    from llmtriage.runner import refuse_overlap
    from llmtriage.split import split as divide
    from llmtriage.tables import open_writer

    table = tickets.table
    names = {part: f"{part}{table.path.suffix}" for part in fractions}
    refuse_overlap([folder / name for name in names.values()], [table.path])
    if not overwrite:
        _refuse_existing([folder / name for name in names.values()])
    rows = [(row.category, prepare(row.ticket, Preparation.default()).text) for row in tickets.labelled()]
    chosen = divide([label for label, _ in rows], [text for _, text in rows], fractions, seed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made ({error.strerror})", file=folder, remedy="name another folder") from None
    with ExitStack() as files:
        writers = {
            part: files.enter_context(open_writer(folder / name, table.columns, overwrite=overwrite, bom=bom))
            for part, name in names.items()
        }
        for row, part in zip(table, chosen, strict=True):
            writers[part].write(row.cells)
    counts = Counter(chosen)
    return {names[part]: counts[part] for part in fractions}


def _refuse_existing(paths: list[Path]) -> None:
    for path in paths:
        if path.is_file() and path.stat().st_size:
            raise InputError("the file exists", file=path, remedy="name another folder with -o, or use --overwrite")


def _fractions(text: str) -> dict[str, float]:
    remedy = "write it like train=0.8,test=0.2"
    try:
        pairs = [part.split("=") for part in text.translate(_FULL_WIDTH).split(",")]
        fractions = {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise InputError(f"not NAME=SHARE,...: {short(text)!r}", field="--parts", remedy=remedy) from None
    if len(fractions) < len(pairs) or not all(name.replace("-", "").replace("_", "").isalnum() for name in fractions):
        raise InputError(f"names must be different plain words: {short(text)!r}", field="--parts", remedy=remedy)
    total = math.fsum(fractions.values())
    if not all(share > 0 for share in fractions.values()) or not math.isclose(total, 1, abs_tol=1e-6):
        raise InputError(f"shares are above 0 and sum to 1; these sum to {total:g}", field="--parts", remedy=remedy)
    return fractions
