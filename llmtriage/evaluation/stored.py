"""Predictions that somebody stored in a file: read, and judged like those of an engine that was just asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llmtriage.errors import InputError, UnknownNameError, short
from llmtriage.evaluation.judging import Judged
from llmtriage.evaluation.slicing import sliced_fields
from llmtriage.evaluation.stored_answers import RIGHT, WRONG, Scale, ScoreColumns, judged_answer, labelled_answer
from llmtriage.outcomes import Outcome, Pending
from llmtriage.predictions import Prediction, Scores, SingleLabel, Usage
from llmtriage.prepare import Preparation, prepare
from llmtriage.taxonomy import Taxonomy
from llmtriage.tickets import Columns, LabelledTicket, Ticket, TicketFile, TicketRow, read_tickets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

    from llmtriage.routing import Router
    from llmtriage.tables import Row

Answer = Scores | SingleLabel

GOLD, PRED, CONFIDENCE, CORRECT = "gold", "pred", "confidence", "correct"
_OTHER_COLUMNS: Final = ("id", "title", "content", "text", "channel", "language", "customer", GOLD, PRED, CONFIDENCE, CORRECT)

RIGHT_OR_WRONG = Taxonomy.from_labels([RIGHT, WRONG])
"""What stands for the categories where it is known of answers only whether they are right: the true one of every ticket is `RIGHT`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """A stored prediction.

    Attributes:
        ticket: As far as the file tells of it.
        gold: Its true category; None where the file leaves that to the file of tickets.
        answer: None: there was none.
        line: The line it begins on.
        was: The former id that the file names, where that was carried to `gold`; None elsewhere.
    """

    ticket: Ticket
    gold: str | None
    answer: Answer | None
    line: int
    was: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPredictions:
    """The predictions of a file.

    Attributes:
        path: The file.
        taxonomy: What was chosen among.
        named: Whether its categories are real ones; see `evaluate`.
        has_ids: Whether the rows have names; else they are numbered from 1.
        rows: In order.
    """

    path: Path
    taxonomy: Taxonomy
    named: bool
    has_ids: bool
    rows: tuple[StoredRow, ...]


def read_predictions(
    path: str | PathLike[str],
    *,
    scale: Scale | None = None,
    taxonomy: Taxonomy | None = None,
    none_label: str | None = None,
    columns: Columns | None = None,
    encoding: str | None = None,
    by: Sequence[str] = (),
    labels: Sequence[str] | None = None,
) -> StoredPredictions:
    """Read predictions from a CSV, TSV or JSONL file.

    Its columns say which of three forms it has: `gold` and a column of scores for every category; `gold`, `pred` and `confidence`, which may be
    missing; `correct` and `confidence`. A column of scores is called as its category, or `probability_`, `logit_` or `logprob_` and then that.

    Args:
        path: The file.
        scale: What the scores are; None: as the names of their columns say, else probabilities.
        taxonomy: What was chosen among; None: the categories that have scores, or the labels seen.
        none_label: The true category of tickets that belong to none.
        columns: Which column holds what, as for `read_tickets`; those of text may be missing, and the true category is in `gold`.
        encoding: What the file is in; found out by default.
        by: Columns that hold no scores; see `llmtriage.evaluation.slicing`.
        labels: The true categories where they stand in a file of tickets; None: this file has to tell them.

    Raises:
        InputError: The file cannot be used; with the line if one row is at fault.
    """
    reader = _Reader(path, columns or Columns(), encoding)
    if scale is None and reader.column(CORRECT) and not reader.tickets.has_categories:
        return reader.made(RIGHT_OR_WRONG, reader.right_or_wrong(), named=False)
    if labels is None and not reader.tickets.has_categories:
        raise _without_gold(reader)
    if scale is None and reader.column(PRED):
        rows = list(reader.labels(taxonomy, none_label))
        return reader.made(taxonomy or _seen(rows, labels or (), none_label), rows)
    taken = {name.strip().casefold() for name in (*_OTHER_COLUMNS, *reader.named, *by)}
    found = ScoreColumns.find(reader.table, taken, scale, taxonomy)
    among = none_label if none_label in found.columns else None
    known = taxonomy or Taxonomy.from_labels(found.columns, none_label=among)
    return reader.made(known, reader.scores(found, known, none_label))


def judged_predictions(
    stored: StoredPredictions,
    router: Router,
    *,
    tickets: Sequence[TicketRow | LabelledTicket] | None = None,
    preparation: Preparation | None = None,
    by: Sequence[str] = (),
) -> list[Judged]:
    """Stored predictions as judged tickets.

    Args:
        stored: The predictions.
        router: Decides what is accepted, under the taxonomy of the predictions. Its gates on the text act where there is one.
        tickets: What the predictions are about, by id: then these tell text, fields and true categories, and one without a prediction is
            unanswered. None: what the file of predictions tells.
        preparation: Of the texts.
        by: As for `evaluate`.

    Raises:
        InputError: A prediction for a ticket that is not there, two for one or one for two, or two true categories.
    """
    steps, found = preparation or Preparation(), []
    for row in stored.rows if tickets is None else _joined(stored, tickets):
        if row.gold is None:
            problem = f"no true category for the ticket {short(row.ticket.id or '')!r}"
            raise InputError(problem, file=stored.path, remedy="label it in one of the two files")
        text = prepare(row.ticket, steps).text
        outcome = _outcome(row, text, router, stored.path.stem)
        if not stored.named:
            outcome = replace(outcome, candidates=())  # nobody was shown "right"
        found.append(Judged(gold=row.gold, outcome=outcome, text=text, fields=sliced_fields(row.ticket, text, by)))
    return found


def _outcome(row: StoredRow, text: str, router: Router, model: str) -> Outcome:
    if row.answer is None:
        return Pending(suggestion=None, reasons=(), ticket_id=row.ticket.id, text=text)
    prediction = Prediction(answer=row.answer, source="stored", model=model, usage=Usage(attempts=0))
    gated = router.gate(row.ticket, text) if text else None
    return router.route(row.ticket, text, prediction) if gated is None else replace(gated, prediction=prediction)


def _joined(stored: StoredPredictions, tickets: Sequence[TicketRow | LabelledTicket]) -> Iterator[StoredRow]:
    """Each ticket with its true category and its prediction."""
    known, found = set[str | None](), dict[str | None, StoredRow]()
    for ticket in tickets:
        if ticket.ticket.id in known:
            problem = f"two tickets have the id {short(ticket.ticket.id or '')!r}, the second on line {ticket.line} of their file"
            raise InputError(problem, remedy="give each ticket an id of its own, so that a prediction is about one")
        known.add(ticket.ticket.id)
    for row in stored.rows:
        name = short(row.ticket.id or "")
        if row.ticket.id not in known:
            problem = f"a prediction for the ticket {name!r}, which is not there"
            remedy = "give the file of tickets that these predictions are about"
            raise InputError(problem, file=stored.path, line=row.line, remedy=remedy)
        if row.ticket.id in found:
            raise InputError(f"a second prediction for the ticket {name!r}", file=stored.path, line=row.line, remedy="remove one")
        found[row.ticket.id] = row
    for ticket in tickets:
        own = found.get(ticket.ticket.id)
        gold = RIGHT if not stored.named else _gold(ticket.category, own, stored)
        yield StoredRow(ticket=ticket.ticket, gold=gold, answer=None if own is None else own.answer, line=ticket.line)


def _gold(category: str | None, row: StoredRow | None, stored: StoredPredictions) -> str | None:
    """The true category that at least one of the two files tells."""
    told = None if row is None else row.gold
    if row is not None and told and category and told != category:
        problem = f"the true category is {short(told)!r} here and {short(category)!r} in the file of tickets"
        raise InputError(problem, file=stored.path, line=row.line, field=GOLD, remedy="mend one of the two")
    return category or told


def _seen(rows: Sequence[StoredRow], labels: Sequence[str], none_label: str | None) -> Taxonomy:
    """The labels as a taxonomy; that of tickets that belong to none is a category only if it was ever an answer."""
    answers = [row.answer.category for row in rows if isinstance(row.answer, SingleLabel)]
    gold = [row.gold for row in rows if row.gold is not None]
    answered = none_label if none_label in answers else None
    names = [name for name in dict.fromkeys([*labels, *gold, *answers]) if answered or name != none_label]
    return Taxonomy.from_labels(names, none_label=answered)


def _without_gold(reader: _Reader) -> UnknownNameError:
    listed = ", ".join(short(name) for name in reader.table.columns[:12])
    remedy = f"name the column of true categories with --category-column; the file has: {listed}"
    return UnknownNameError(f"no column {GOLD!r}", file=reader.table.path, remedy=remedy)


class _Reader:
    """The rows of one file."""

    def __init__(self, path: str | PathLike[str], columns: Columns, encoding: str | None) -> None:
        self.table = read_tickets(path, replace(columns, category=Columns().category), encoding, needs_text=False).table
        self._names = {name.casefold(): name for name in self.table.columns}
        if columns.category == Columns().category and self.column(GOLD):
            columns = replace(columns, category=GOLD)
        self.tickets = TicketFile(self.table, columns, needs_text=False)
        self.named = [name for name in (columns.id, columns.title, columns.content, columns.category, columns.text) if name]
        self._has_ids = self.column(columns.id) is not None

    def column(self, name: str) -> str | None:
        """The column of this name in any case, if there is one."""
        return self._names.get(name.strip().casefold())

    def made(self, taxonomy: Taxonomy, rows: Iterable[StoredRow], *, named: bool = True) -> StoredPredictions:
        """All of it; raises InputError."""
        held, path = tuple(rows), self.table.path
        if not held:
            raise InputError("the file holds no predictions", file=path, remedy="give a file with a row for each ticket")
        return StoredPredictions(path=path, taxonomy=taxonomy, named=named, has_ids=self._has_ids, rows=held)

    def right_or_wrong(self) -> Iterator[StoredRow]:
        """Of each answer only whether it is right."""
        correct, number = self.column(CORRECT) or "", self.column(CONFIDENCE)
        for row in self._rows(self.tickets, lambda cells: judged_answer(cells, correct, number)):
            yield replace(row, gold=RIGHT)

    def labels(self, taxonomy: Taxonomy | None, none_label: str | None) -> Iterator[StoredRow]:
        """One label each."""
        label, number = self.column(PRED) or "", self.column(CONFIDENCE)
        tickets = self._labelled(taxonomy, none_label)
        return self._rows(tickets, lambda cells: labelled_answer(cells, label, number, taxonomy, none_label))

    def scores(self, columns: ScoreColumns, taxonomy: Taxonomy, none_label: str | None) -> Iterator[StoredRow]:
        """A score for every category."""
        own = set(columns.columns.values())
        is_text = bool(own & {"title", "content", "text"})  # a category may be called so
        for row in self._rows(self._labelled(taxonomy, none_label), columns.answer):
            metadata = {name: value for name, value in row.ticket.metadata.items() if name not in own}
            ticket = replace(row.ticket, metadata=metadata)
            yield replace(row, ticket=replace(ticket, title="", content="") if is_text else ticket)

    def _labelled(self, taxonomy: Taxonomy | None, none_label: str | None) -> Iterable[TicketRow | LabelledTicket]:
        return self.tickets.labelled(taxonomy, none_label) if self.tickets.has_categories else self.tickets

    def _rows(self, tickets: Iterable[TicketRow | LabelledTicket], answer: Callable[[Row], Answer | None]) -> Iterator[StoredRow]:
        for row, cells in zip(tickets, self.table, strict=True):
            try:
                found = answer(cells)
            except InputError as error:
                raise error.at(file=self.table.path, line=row.line) from None
            was = getattr(row, "was", None)
            yield StoredRow(ticket=row.ticket, gold=row.category, answer=found, line=row.line, was=was)
