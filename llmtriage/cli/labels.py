"""Labels of former categories: what the taxonomy carries is counted and told."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from llmtriage.cli.display import notice
from llmtriage.errors import short

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from llmtriage.tickets import LabelledTicket

_MOST = 3  # former ids that are named
_CARRIED = {
    "en": "{file}: {n} labels are carried, as was in the taxonomy says: {which}",
    "zh": "{file}：按分类体系中的 was 转换了 {n} 个标注：{which}",
}


def check_labels(rows: Iterable[LabelledTicket], file: Path | str, *, quiet: bool, language: str) -> None:
    """Read every label of `file`, or of a store, and tell which were carried.

    Raises:
        InputError: A label is empty, unknown, or waits for a person.
    """
    carried = Counter((row.was, row.category) for row in rows if row.was is not None)
    if not carried:
        return
    which = [f"{short(was)} -> {short(now)} ({n})" for (was, now), n in carried.most_common(_MOST)]
    told = ", ".join(which) + (", …" if len(carried) > _MOST else "")
    notice(_CARRIED[language].format(file=file, n=carried.total(), which=told), quiet=quiet, language=language)
