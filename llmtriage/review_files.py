"""What waits as a file that people fill in, and the file back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmtriage.errors import InputError, UnknownNameError, short
from llmtriage.reviewing import Filled, reviewer_name
from llmtriage.tables import open_writer, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from llmtriage.reviewing import Item
    from llmtriage.store import Queue
    from llmtriage.tables import Row, Table
    from llmtriage.tables.formats import TableFormat
    from llmtriage.taxonomy import Taxonomy

COLUMNS = (
    *("entry", "version", "id", "title", "content", "channel", "language", "since", "lane", "reasons", "why", "store"),
    *("suggestion", "confidence", "score", "candidates", "category", "note"),
)
_NEEDED = ("entry", "version", "category", "store")
_LONGEST = 18  # digits of a number that a database takes
_OF_MODEL = ("suggestion", "confidence", "score", "candidates")


def export(
    items: Iterable[Item],
    path: Path,
    *,
    store: str,
    language: str = "en",
    suggestions: bool = True,
    bom: bool = True,
    overwrite: bool = False,
) -> int:
    """Write entries of the queue with empty columns `category` and `note`; nothing is lent.

    Args:
        items: The entries.
        path: The file: .csv, .tsv, .jsonl, or "-" for JSONL on standard output.
        store: Whose entries they are: `Queue.mark`.
        language: Of the reasons.
        suggestions: Whether what the model says stands in the file; of a blind entry it never does.
        bom: Whether CSV begins with the mark by which Excel knows UTF-8.
        overwrite: Whether a file that is there is replaced.

    Returns:
        How many were written.

    Raises:
        InputError: The file cannot be written, or is there.
        StoreError: The store cannot be read.
    """
    n = 0
    with open_writer(path, COLUMNS, overwrite=overwrite, bom=bom) as out:
        for item in items:
            row = _cells(item, out.fmt, language) | {"store": store}
            out.write(row if suggestions else row | dict.fromkeys(_OF_MODEL))
            n += 1
    return n


def _cells(item: Item, fmt: TableFormat, language: str) -> dict[str, Any]:
    codes, sentences = [reason.code for reason in item.reasons], [reason.sentence(language) for reason in item.reasons]
    candidates: Any = [{"category": one.category, "score": one.score} for one in item.candidates]
    if fmt != "jsonl":
        numbered = [(one.category, "" if one.score is None else f"={one.score:.2f}") for one in item.candidates]
        candidates = " ".join(f"{category}{number}" for category, number in numbered)
    return {
        "entry": item.entry,
        "version": item.text_id,
        "id": item.ticket.id,
        "title": item.ticket.title,
        "content": item.ticket.content,
        "channel": item.ticket.channel,
        "language": item.ticket.language,
        "since": item.enqueued_at.isoformat(timespec="seconds"),
        "lane": item.lane,
        "reasons": codes if fmt == "jsonl" else " ".join(codes),
        "why": sentences if fmt == "jsonl" else ("" if language.startswith("zh") else " ").join(sentences),
        "suggestion": item.suggestion,
        "confidence": item.confidence,
        "score": item.score,
        "candidates": candidates,
        "category": None,
        "note": None,
    }


def import_answers(
    queue: Queue, path: Path, taxonomy: Taxonomy, *, reviewer: str, encoding: str | None = None
) -> tuple[int, int, int]:
    """Keep the answers of a file that `export` wrote and people filled in: all of them or none.

    A row without a category waits on. An answer that is there already stays as it is, so that the same file twice changes nothing. An entry
    that somebody has before them is answered by the file: the answer of the other person is refused then.

    Args:
        queue: Where to.
        path: The file.
        taxonomy: What the categories must be leaves of.
        reviewer: Who answered, where the file has no column `reviewer` or nothing in it.
        encoding: Of the file; by default found out.

    Returns:
        How many answers are new, how many were there, and how many rows have none.

    Raises:
        InputError: A column is missing, a category is unknown, or a row is of no entry; with the line.
        OutdatedError: An entry was answered otherwise, withdrawn or changed since the file was written; with the line.
        StoreError: The store cannot be written.
    """
    table = read_rows(path, encoding=encoding)
    for name in _NEEDED:
        if name not in table.columns:
            remedy = "import what llmtriage review export wrote"
            raise UnknownNameError(f"no column {name!r}", file=path, line=1, remedy=remedy)
    waiting, filled = 0, []
    for row in table:
        if _text(row, "category"):
            _check_store(row, table, queue.mark)
            filled.append(_filled(row, table, taxonomy, reviewer))
        else:
            waiting += 1
    try:
        new = queue.fill(filled, taxonomy)
    except InputError as error:
        raise error.at(file=path) from None
    return new, len(filled) - new, waiting


def _check_store(row: Row, table: Table, mark: str) -> None:
    """Another store has an entry with the same number too."""
    if _text(row, "store") != mark:
        problem, remedy = "the row is of another store", "name the store it was exported from with --store"
        raise InputError(problem, file=table.path, line=row.line, field="store", remedy=remedy)


def _filled(row: Row, table: Table, taxonomy: Taxonomy, reviewer: str) -> Filled:
    own = _text(row, "reviewer")
    try:
        who = reviewer_name(own, field="reviewer") if own else reviewer
    except InputError as error:
        raise error.at(file=table.path, line=row.line) from None
    label = _text(row, "category")
    return Filled(
        entry=_number(row, "entry", table),
        text_id=_number(row, "version", table),
        ticket_id=_text(row, "id") or None,
        category=taxonomy.leaf(label if label in taxonomy.labels else _bare(label), file=table.path, line=row.line),
        reviewer=who,
        shown=any(_text(row, name) for name in ("suggestion", "candidates")),
        note=_text(row, "note") or None,
        line=row.line,
    )


def _number(row: Row, column: str, table: Table) -> int:
    text = _text(row, column)
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST):
        remedy = "leave this column as llmtriage review export wrote it"
        raise InputError(f"{short(text)!r} is no number", file=table.path, line=row.line, field=column, remedy=remedy)
    return int(text)


def _text(row: Row, column: str) -> str:
    value = row.cells.get(column)
    return "" if value is None or value == [] else str(value).strip()


def _bare(label: str) -> str:
    """A label that was copied out of a cell where a spreadsheet would run it as a formula."""
    return label.removeprefix("'")
