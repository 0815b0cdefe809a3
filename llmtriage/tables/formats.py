"""Which format a file is in, by its suffix."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

TableFormat = Literal["csv", "tsv", "jsonl"]

_FORMATS: Mapping[str, TableFormat] = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_REMEDIES = {
    ".json": "write one JSON object a line and name the file .jsonl",
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), "export it as CSV"),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".zst"), "unpack it first"),
}


def format_of(path: str | PathLike[str]) -> TableFormat:
    """The format of `path` by its suffix; raises InputError."""
    suffix = PurePath(path).suffix.lower()
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    remedy = _REMEDIES.get(suffix, "name the file .csv, .tsv or .jsonl")
    problem = f"tables in {suffix!r} files are not known" if suffix else "the name has no suffix"
    raise InputError(problem, file=path, remedy=remedy)
