"""Which tickets to label, and whether a labelled file holds exactly those."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from llmtriage.errors import InputError
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.tickets import Ticket

COLUMN = "sample"
UNIFORM = "uniform"
Kind = Literal["uniform", "focused"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def drawn(n: int, of: int, seed: int) -> list[int]:
    """The places of n of so many tickets, each set of n equally likely, ascending.

    Raises:
        InputError: There are not so many.
    """
    if n > of:
        raise InputError(
            f"{n} tickets to label, but there are {of}", field="--labels", remedy="give more tickets or ask for fewer"
        )
    return sorted(np.random.default_rng(seed).choice(of, size=n, replace=False).tolist())


def name_of(kind: Kind, tickets: Sequence[Ticket]) -> str:
    """The name of a sample: how it was drawn, how many tickets it has, and which these are."""
    return f"{kind}-{len(tickets)}-{_which(tickets)}"


def checked(names: Sequence[str | None], tickets: Sequence[Ticket]) -> str:
    """How a labelled file was drawn: the name of its one sample, or "uniform" where it has no column `sample`.

    Args:
        names: What stands in the column, one a ticket; all None where there is no such column.
        tickets: The labelled tickets.

    Raises:
        InputError: Rows are missing or were added, or there are several samples.
    """
    if all(name is None for name in names):
        return UNIFORM
    counts = Counter(name or "" for name in names)
    if len(counts) > 1:
        found = ", ".join(repr(name) for name in list(counts)[:3])
        raise InputError(
            f"tickets of several samples: {found}",
            field=COLUMN,
            remedy="calibrate on one sample; tickets from elsewhere do not belong in it",
        )
    (name,) = counts
    kind, count, which = ([*name.split("-", 2), "", ""])[:3]
    if kind not in ("uniform", "focused") or not count.isdigit():
        raise InputError(f"no sample of llmtriage plan: {name!r}", field=COLUMN, remedy="leave the column as plan wrote it")
    if int(count) != len(tickets):
        problem = f"{len(tickets)} labelled tickets, the sample has {count}"
        raise InputError(
            problem, field=COLUMN, remedy="label all of its tickets, and no others: a choice among them is no sample"
        )
    if which != _which(tickets):
        raise InputError(
            "these are not the tickets that were drawn", field=COLUMN, remedy="leave ids and texts as plan wrote them"
        )
    return name


def _which(tickets: Sequence[Ticket]) -> str:
    return digest(sorted([_bare(text) for text in (ticket.id or "", ticket.title, ticket.content)] for ticket in tickets))


def _bare(text: str) -> str:
    """A text without what becomes of it in a CSV file: an apostrophe before a formula, no NUL, no half of a surrogate pair, other line ends."""
    return _SURROGATE.sub("\ufffd", text.replace("\0", "").replace("\r\n", "\n")).lstrip("'")
