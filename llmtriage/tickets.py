"""Tickets: what customers wrote, and how they stand in the rows of a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

from llmtriage.errors import InputError, UnknownNameError, nearest, short
from llmtriage.tables import Row, Table, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    from llmtriage.taxonomy import Taxonomy

_EXTRAS: Final = ("channel", "language", "customer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a customer wrote. The text is left out of the repr, so that it does not reach a log by accident.

    Attributes:
        content: The body, as received.
        title: The subject line; empty where the channel has none.
        id: The caller's name for it; None where there is none.
        channel: Where it came in ("mail", "chat", ...).
        language: A language code, if known.
        customer: The caller's name for the customer.
        metadata: Any other fields, as text.
        numbered: Whether the id is only the number of its row in a file, which another file has too.
        as_of: The last event of the store when this was read: of what was erased since, nothing is kept. None: it was not there yet.
    """

    content: str = field(repr=False)
    title: str = field(default="", repr=False)
    id: str | None = None
    channel: str | None = None
    language: str | None = None
    customer: str | None = field(default=None, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    numbered: bool = field(default=False, repr=False, compare=False)
    as_of: int | None = field(default=None, repr=False, compare=False)

    def value(self, name: str) -> str | None:
        """The field `name` that rules may look at: channel, language, customer or any metadata, in any case."""
        if name in _EXTRAS:
            return getattr(self, name)  # type: ignore[no-any-return]
        if not self.metadata:
            return None
        if name in self.metadata:
            return self.metadata[name]
        folded = name.casefold()
        return next((value for key, value in self.metadata.items() if key.casefold() == folded), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column holds what. A name other than the default must exist; a default name matches in any case and may be absent.

    Attributes:
        id: The caller's name for the ticket; without such a column it is the number of the row, from 1.
        title: The subject line.
        content: The body.
        category: The true category, in labelled files.
        text: One column that holds all the text, in place of title and content.
    """

    id: str = "id"
    title: str = "title"
    content: str = "content"
    category: str = "category"
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRow:
    """A ticket as it stands in a file.

    Attributes:
        ticket: The ticket.
        category: Its category as written; None where the cell is empty or there is no such column.
        line: The line its row begins on.
    """

    ticket: Ticket
    category: str | None
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTicket:
    """A ticket with its true category.

    Attributes:
        ticket: The ticket.
        category: Its true category.
        line: The line its row begins on.
        was: The former id that the row names, where that was carried to `category`; None elsewhere.
    """

    ticket: Ticket
    category: str
    line: int
    was: str | None = None


class TicketFile:
    """The tickets of a file. Iterating reads the file, each time from its beginning, one row at a time."""

    def __init__(self, table: Table, columns: Columns | None = None, *, needs_text: bool = True) -> None:
        """Find the columns in the header; raises UnknownNameError."""
        self.table = table
        self._found = _find(table, columns or Columns(), needs_text=needs_text)

    @property
    def has_categories(self) -> bool:
        """Whether there is a column of categories."""
        return self._found.category is not None

    def __iter__(self) -> Iterator[TicketRow]:
        """The tickets in order; raises InputError with the line where a row cannot be used."""
        for number, row in enumerate(self.table, start=1):
            yield self._found.read(row, number)

    def labelled(self, taxonomy: Taxonomy | None = None, none_label: str | None = None) -> LabelledTickets:
        """The tickets with their categories, each of which must be a leaf of `taxonomy`, or a former id that it carries, if one is given.

        Args:
            taxonomy: What the categories must be.
            none_label: How the file calls tickets that belong to none of them: they get the catch-all category, or keep this label where there is
                none.

        Raises:
            UnknownNameError: There is no column of categories.
            InputError: `none_label` is a category.
        """
        if not self.has_categories:
            raise _missing(self.table, Columns().category, "--category-column")
        return LabelledTickets(self, taxonomy, none_label)


class LabelledTickets:
    """The tickets of a file with their true categories; iterable again and again."""

    def __init__(self, tickets: TicketFile, taxonomy: Taxonomy | None, none_label: str | None = None) -> None:
        self._tickets = tickets
        self._taxonomy = taxonomy
        catch_all = taxonomy.catch_all.id if taxonomy and taxonomy.catch_all else None
        self._none_label, self._none = none_label, catch_all or none_label or ""
        if taxonomy and none_label is not None and _is_taken(none_label, taxonomy):
            remedy = "leave it out" if catch_all else "mark that category with catch_all: true in the taxonomy, and leave it out"
            problem = f"{short(none_label)!r} {'is' if none_label in taxonomy else 'was'} a category of the taxonomy"
            raise InputError(problem, field="--none-label", remedy=remedy)

    def __iter__(self) -> Iterator[LabelledTicket]:
        """The labelled tickets in order; raises InputError at the first empty or unknown category."""
        for row in self._tickets:
            yield self._labelled(row)

    def _labelled(self, row: TicketRow) -> LabelledTicket:
        if row.category is None:
            place = self._tickets.table.path
            raise InputError("no category in this row", file=place, line=row.line, remedy="label it or remove the row")
        if row.category == self._none_label:
            return LabelledTicket(ticket=row.ticket, category=self._none, line=row.line)
        place, taxonomy = self._tickets.table.path, self._taxonomy
        category = row.category if taxonomy is None else taxonomy.leaf(row.category, file=place, line=row.line)
        was = None if row.category == category else row.category
        return LabelledTicket(ticket=row.ticket, category=category, line=row.line, was=was)


def carried_labels(rows: Iterable[TicketRow], taxonomy: Taxonomy, *, place: str, field: str) -> list[LabelledTicket]:
    """Labelled tickets of a store, each with the leaf that its label means now.

    Args:
        rows: The tickets with their labels.
        taxonomy: Whose leaves are meant.
        place: What people call the store, for errors.
        field: The flag that named the tickets.

    Raises:
        InputError: The taxonomy has no leaf for some of the labels.
    """
    known = list(rows)
    lost = Counter(row.category or "" for row in known if taxonomy.carried(row.category or "") is None)
    if lost:
        (label, n), *_ = lost.most_common()
        more = f" (and {len(lost) - 1} more such categories)" if len(lost) > 1 else ""
        problem = f"{n} of {len(known)} labels are {short(label)!r}, for which the taxonomy has no leaf{more}"
        remedy = f"say was: [{short(label)}] in the one category that takes its tickets, or use labels given under this taxonomy"
        raise InputError(problem, file=place, field=field, remedy=remedy)
    return [_carried(row, taxonomy) for row in known]


def _carried(row: TicketRow, taxonomy: Taxonomy) -> LabelledTicket:
    category = taxonomy.labels[row.category or ""]
    return LabelledTicket(
        ticket=row.ticket, category=category, line=row.line, was=None if category == row.category else row.category
    )


def _is_taken(label: str, taxonomy: Taxonomy) -> bool:
    """Whether `label` means another category than the catch-all, now or formerly."""
    is_known = label in taxonomy or label in taxonomy.heirs
    return is_known and not (taxonomy.catch_all and taxonomy.carried(label) == taxonomy.catch_all.id)


def read_tickets(
    path: str | PathLike[str], columns: Columns | None = None, encoding: str | None = None, *, needs_text: bool = True
) -> TicketFile:
    """The tickets in a CSV, TSV or JSONL file.

    Args:
        path: The file.
        columns: Which column holds what; columns that hold none of it become metadata.
        encoding: What the file is in; found out by default.
        needs_text: Whether there must be a column of text, as there need not be where only predictions are stored.

    Raises:
        InputError: The file cannot be used, or a column that is needed is missing.
    """
    return TicketFile(read_rows(path, encoding=encoding), columns, needs_text=needs_text)


def ticket_cells(ticket: Ticket, *, category: str | None = None) -> dict[str, str]:
    """`ticket` as a row that `read_tickets` reads back. Metadata under the name of a field gets the prefix "metadata."."""
    own = {"id": ticket.id, "title": ticket.title, "content": ticket.content, "category": category}
    own |= {name: ticket.value(name) for name in _EXTRAS}
    cells = {name: value for name, value in own.items() if value is not None}
    taken = {*own, "text"}
    more = {f"metadata.{name}" if _folded(name) in taken else name: value for name, value in ticket.metadata.items()}
    return cells | more


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The columns of one file by what they hold; those of metadata are the rest of them, without those that are `named`."""

    named: frozenset[str | None]
    id: str | None
    title: str | None
    content: str | None
    category: str | None
    channel: str | None
    language: str | None
    customer: str | None

    def read(self, row: Row, number: int) -> TicketRow:
        own_id = self._cell(row, self.id).strip()
        ticket = Ticket(
            content=self._cell(row, self.content),
            title=self._cell(row, self.title),
            id=own_id or str(number),
            numbered=not own_id,
            channel=self._cell(row, self.channel).strip() or None,
            language=self._cell(row, self.language).strip() or None,
            customer=self._cell(row, self.customer).strip() or None,
            metadata={
                name: _text(value) for name, value in row.cells.items() if name not in self.named and value not in (None, "")
            },
        )
        return TicketRow(ticket=ticket, category=self._cell(row, self.category).strip() or None, line=row.line)

    @staticmethod
    def _cell(row: Row, name: str | None) -> str:
        return "" if name is None else _text(row.cells.get(name))


def _text(value: object) -> str:
    """A cell as text: JSON null is empty, other JSON values are written as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _find(table: Table, columns: Columns, *, needs_text: bool) -> _Found:
    title, content = _text_columns(table, columns, needs_text=needs_text)
    extras = {name: _match(table, name) for name in _EXTRAS}
    found = {
        "id": _column(table, columns.id, "id"),
        "title": title,
        "content": content,
        "category": _column(table, columns.category, "category"),
        **{name: None if match in (title, content) else match for name, match in extras.items()},
    }
    return _Found(named=frozenset(found.values()), **found)


def _text_columns(table: Table, columns: Columns, *, needs_text: bool) -> tuple[str | None, str | None]:
    """The columns of title and content."""
    if columns.text is not None:
        named = [f"--{f.name}-column" for f in fields(columns) if f.name in ("title", "content") and _is_named(columns, f.name)]
        if named:
            raise InputError(f"--text-column and {named[0]} exclude each other", remedy="name one column, or title and content")
        return None, _column(table, columns.text, "text") or ""
    title = _column(table, columns.title, "title")
    content = _column(table, columns.content, "content")
    if content is None and title is None:
        content = _match(table, "text")
    if content is None and needs_text:
        raise _missing(table, columns.content, "--content-column or --text-column")
    return title, content


def _is_named(columns: Columns, which: str) -> bool:
    return bool(getattr(columns, which) != getattr(Columns(), which))


def _column(table: Table, name: str, which: str) -> str | None:
    """The column called `name`; None if it is a default name that the file has not."""
    found = _match(table, name)
    if found is None and name != getattr(Columns(), which):
        raise _missing(table, name, f"--{which}-column")
    return found


def _match(table: Table, name: str) -> str | None:
    """The column `name` exactly, else the one that differs in case and spaces around it alone."""
    if name in table.columns:
        return name
    like = [column for column in table.columns if _folded(column) == _folded(name)]
    if len(like) > 1:
        names = " and ".join(repr(short(column)) for column in like[:2])
        raise InputError(f"the columns {names} differ in case alone", file=table.path, remedy=f"name the one to use {name!r}")
    return like[0] if like else None


def _folded(name: str) -> str:
    return name.strip().casefold()


def _missing(table: Table, name: str, flag: str) -> UnknownNameError:
    listed = ", ".join(short(column) for column in table.columns[:12]) + (", ..." if len(table.columns) > 12 else "")
    hint = nearest(name, table.columns)
    close = f"{hint} " if hint.startswith("did you mean") else ""
    return UnknownNameError(
        f"no column {short(name)!r}", file=table.path, remedy=f"{close}name one with {flag}; the file has: {listed}"
    )
