"""A whole file of tickets: outcomes written in the order of the input, so that what a stopped run leaves is an exact beginning."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, deque
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmtriage.errors import InputError, StoppedError, short
from llmtriage.outcomes import Accepted, Pending
from llmtriage.predictions import PASSING
from llmtriage.tables import encode_header, encode_row, format_of, open_writer, read_rows
from llmtriage.tickets import TicketFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from llmtriage.outcomes import Outcome
    from llmtriage.settings import Price
    from llmtriage.tables import Row, RowWriter, TableFormat
    from llmtriage.tickets import LabelledTicket, Ticket, TicketRow
    from llmtriage.triage import Triage

AnyRow = TypeVar("AnyRow", "TicketRow", "LabelledTicket")

COLUMNS = (
    "id",
    "outcome",
    "category",
    "team",
    "confidence",
    "score",
    "reasons",
    "why",
    "suggestion",
    "candidates",
    "run",
    "title",
    "content",
)
_LISTS = ("reasons", "candidates")
_FROM_INPUT = ("id", "title", "content")
_TOGETHER = 256  # tickets that a store is asked about together
_IDS = 1 << 16  # that are compared together with all before
_PATIENCE = 0.2  # seconds that a decided ticket may wait for others to be written with


class RepeatedIds:
    """How many tickets have an id that an earlier one has, and the first of them with its line.

    As long as ids are the numbers of the rows, as in a file without ids, nothing is kept; then 64 bits of each id.
    """

    def __init__(self) -> None:
        self._count = 0
        self._first = ("", 0)
        self._numbered = 0
        self._new: dict[int, tuple[str, int]] = {}
        self._before: Any = None  # numpy's: sorted, 8 bytes an id where a set takes a hundred

    def see(self, row: TicketRow) -> None:
        """Count one ticket."""
        ticket_id = row.ticket.id or ""
        if not self._new and self._before is None and ticket_id == str(self._numbered + 1):
            self._numbered += 1
            return
        key = hash(ticket_id)
        if key in self._new or self._is_number_before(ticket_id):
            self._repeated(ticket_id, row.line)
        else:
            self._new[key] = (ticket_id, row.line)
            if len(self._new) == _IDS:
                self._settle()

    @property
    def count(self) -> int:
        """How many tickets have an id that an earlier one has."""
        self._settle()
        return self._count

    @property
    def first(self) -> tuple[str, int]:
        """The first of them: its id and its line."""
        self._settle()
        return self._first

    def _settle(self) -> None:
        """Compare the ids of late with those before, and put them there."""
        import numpy as np

        keys = np.sort(np.fromiter(self._new, np.int64, len(self._new)))
        if self._before is not None:
            places = np.minimum(np.searchsorted(self._before, keys), len(self._before) - 1)
            for key in keys[self._before[places] == keys]:
                self._repeated(*self._new[int(key)])
            keys = np.sort(np.concatenate((self._before, keys)), kind="stable")
        self._before = keys if len(keys) else None
        self._new.clear()

    def _repeated(self, ticket_id: str, line: int) -> None:
        if not self._count or line < self._first[1]:
            self._first = (ticket_id, line)
        self._count += 1

    def _is_number_before(self, ticket_id: str) -> bool:
        number = int(ticket_id) if ticket_id.isascii() and ticket_id.isdigit() and len(ticket_id) < 20 else 0
        return 0 < number <= self._numbered and ticket_id == str(number)


@dataclass(slots=True)
class Spent:
    """What the outcomes of a run took. Answers that were known already cost nothing.

    Attributes:
        requests: Sent, retries and repairs included.
        asked: Tickets that an engine was asked about in this run.
        answers: Of these, answered.
        known: Tickets whose answer was known: the store, the same request before, or the reply cache.
        forgiven: Answers that named their category a little otherwise.
        prompt_tokens: As far as the servers told.
        cached_tokens: Of these, in the servers' prefix caches.
        output_tokens: As far as the servers told.
        waited: Seconds of waiting, summed over tickets.
    """

    requests: int = 0
    asked: int = 0
    answers: int = 0
    known: int = 0
    forgiven: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    waited: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.known += outcome.recalled
        answer = outcome.prediction or getattr(outcome, "failure", None)
        if answer is None:
            return
        usage = answer.usage
        self.asked += usage.attempts > 0
        self.answers += usage.attempts > 0 and outcome.prediction is not None
        self.known += usage.attempts == 0
        self.forgiven += getattr(answer, "forgiven", False)
        if usage.attempts:
            self.requests += usage.attempts
            self.prompt_tokens += usage.prompt_tokens or 0
            self.cached_tokens += usage.cached_tokens or 0
            self.output_tokens += usage.output_tokens or 0
            self.waited += usage.waited

    def cost(self, price: Price | None) -> float | None:
        """In the currency of `price`; None without one."""
        return price.of(self.prompt_tokens, self.output_tokens, self.cached_tokens) if price else None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "waited": round(self.waited, 3)}


@dataclass(slots=True)
class Summary:
    """What a run has done so far.

    Attributes:
        not_stored: Tickets that wait in the output of an earlier run, and that the store of this one does not know.
    """

    tickets: int = 0
    accepted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    teams: Counter[str] = field(default_factory=Counter)
    not_stored: int = 0
    seconds: float = 0.0
    repeated_ids: RepeatedIds = field(default_factory=RepeatedIds)
    spent: Spent = field(default_factory=Spent)

    @property
    def pending(self) -> int:
        """How many wait for a person."""
        return self.tickets - self.accepted

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.spent.add(outcome)
        if isinstance(outcome, Accepted):
            self.count(accepted=True, team=outcome.team or "")
        else:
            self.count(accepted=False, codes=[reason.code for reason in outcome.reasons])

    def count(self, *, accepted: bool, team: str = "", codes: Iterable[str] = ()) -> None:
        """Count one outcome by its parts."""
        self.tickets += 1
        self.accepted += accepted
        if accepted:
            self.teams[team] += 1
        for code in set(codes):
            self.reasons[code] += 1

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "tickets": self.tickets,
            "accepted": self.accepted,
            "pending": self.pending,
            "reasons": dict(self.reasons.most_common()),
            "teams": dict(self.teams.most_common()),
            "repeated_ids": self.repeated_ids.count,
            "seconds": round(self.seconds, 3),
            "usage": self.spent.to_json(),
        }


def classified(triage: Triage, rows: Iterable[AnyRow], *, most: int | None = None) -> Iterator[tuple[AnyRow, Outcome]]:
    """Each row with its outcome, in order; a bounded number is under way. A row that cannot be read ends it behind all rows before.

    Raises:
        StoppedError: There are more than `most` rows; those before have come.
    """
    under_way: deque[AnyRow] = deque()
    ended: list[InputError | StoppedError] = []

    def tickets() -> Iterator[Any]:
        try:
            for number, row in enumerate(rows):
                if number == most:
                    ended.append(StoppedError(f"the limit of {most} tickets is reached", remedy="it holds for one run"))
                    return
                under_way.append(row)
                yield row.ticket
        except InputError as error:
            ended.append(error)  # raised below: what is under way is paid for

    for outcome in triage.classify_many(tickets()):
        yield under_way.popleft(), outcome
    for error in ended:
        raise error


def classify_file(
    triage: Triage,
    rows: Iterable[TicketRow],
    out: str | Path,
    *,
    pending: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    language: str = "en",
    bom: bool = False,
    most: int | None = None,
    progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Route `rows` into the file `out`.

    Whatever ends the run early, an exception or a kill, `out` holds an exact beginning of the full output; `resume` goes on behind it.

    Args:
        triage: What decides.
        rows: The tickets, from their beginning, also when resuming.
        out: CSV, TSV or JSONL, by its suffix.
        pending: A second file for those that wait.
        resume: Go on behind what `out` holds.
        overwrite: Replace what `out` holds.
        language: Of the sentences in the column `why`.
        bom: Begin CSV files with a byte-order mark, for Excel; to resume, the file that exists decides.
        most: Decide so many tickets in this run, at most; None: all.
        progress: Called after each outcome.

    Returns:
        The counts of this run; tickets decided before are counted as well.

    Raises:
        InputError: A file cannot be used, or `out` does not belong to this input and these settings.
        BackendError: The engine cannot work, or a limit is reached; what was decided is written.
    """
    refuse_overlap([Path(path) for path in (out, pending) if path], [rows.table.path] if isinstance(rows, TicketFile) else [])
    summary = Summary()
    sink = _Sink(Path(out), triage, language, summary, pending=Path(pending) if pending else None, bom=bom)
    source = iter(rows)
    with sink.opened(source, resume=resume, overwrite=overwrite):
        if progress:
            progress(summary)  # what an earlier run decided
        start = time.monotonic()
        for row, outcome in classified(triage, source, most=most):
            sink.write(row, outcome)
            summary.seconds = time.monotonic() - start
            if progress:
                progress(summary)
    return summary


def refuse_overlap(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Refuse to write over a file that is read, or twice to one; raises InputError before anything is written."""
    for number, out in enumerate(outputs):
        if any(_is_same(out, path) for path in inputs):
            problem = "this is a file to read; writing to it would destroy it"
            raise InputError(problem, file=out, remedy="name another file for the output")
        if any(_is_same(out, path) for path in outputs[:number]):
            raise InputError("two outputs cannot stand in one file", file=out, remedy="name another file for one of them")


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist yet
        return os.path.realpath(one) == os.path.realpath(other)


class _Sink:
    """The output file, the file of those that wait, and the counts."""

    def __init__(self, out: Path, triage: Triage, language: str, summary: Summary, *, pending: Path | None, bom: bool) -> None:
        self._out, self._pending, self._bom = out, pending, bom
        self._triage, self._run, self._language = triage, triage.run_of, language
        self._summary = summary
        self._writer: RowWriter
        self._waiting: RowWriter | None = None
        self._flushed = 0.0

    @contextmanager
    def opened(self, source: Iterator[TicketRow], *, resume: bool, overwrite: bool) -> Iterator[None]:
        """Open the files; to resume, draw from `source` what is done already."""
        done = resume and self._continue(source)
        overwrite = overwrite or self._holds_nothing()
        bom = _has_mark(self._out) if done else self._bom
        with ExitStack() as files:
            is_new = self._pending is not None and not self._pending.exists()
            if self._pending:
                self._waiting = files.enter_context(open_writer(self._pending, COLUMNS, overwrite=overwrite or resume, bom=bom))
            try:
                self._writer = files.enter_context(
                    open_writer(self._out, COLUMNS, append=done, overwrite=overwrite or resume, bom=bom)
                )
            except InputError:
                if self._pending and self._waiting and is_new:
                    self._waiting.close()
                    self._pending.unlink(missing_ok=True)  # else the next try would stumble over it
                raise
            if done:
                self._copy_waiting()
            yield

    def write(self, row: TicketRow, outcome: Outcome) -> None:
        """Write one outcome and count it."""
        cells = outcome_cells(row, outcome, run=self._run(row.ticket), language=self._language)
        self._writer.write(_fitting(cells, self._writer.fmt))
        if self._waiting and isinstance(outcome, Pending):
            self._waiting.write(_fitting(cells, self._waiting.fmt))
        self._summary.add(outcome)
        self._summary.repeated_ids.see(row)
        if time.monotonic() - self._flushed > _PATIENCE:
            self.flush()

    def flush(self) -> None:
        """Hand what was written to the system, so that a kill loses next to nothing."""
        self._flushed = time.monotonic()
        self._writer.flush()
        if self._waiting:
            self._waiting.flush()

    def _holds_nothing(self) -> bool:
        """Whether the output is no more than the header that a run left that decided nothing."""
        if format_of(self._out) == "jsonl" or not self._out.is_file():
            return False
        with self._out.open("rb") as stream:
            held = stream.read(1000).removeprefix(b"\xef\xbb\xbf")
        return held == encode_header(COLUMNS, format_of(self._out))

    def _continue(self, source: Iterator[TicketRow]) -> bool:
        """Check what the output holds against the input, and count it. False: it holds no row."""
        if not self._out.is_file() or not self._out.stat().st_size:
            return False
        if not _begins_like_a_run(self._out):
            raise self._mismatch("its columns are not those of a run", line=1)
        if self._pending and (format_of(self._out) == "jsonl") != (format_of(self._pending) == "jsonl"):
            # What a CSV holds as text, such as lists, cannot be told from text when it is copied to JSONL, nor the other way round.
            remedy = f"name it like {self._out.name}, or start anew with --overwrite"
            raise InputError("to go on, both outputs must have one format", file=self._pending, remedy=remedy)
        if not cut_torn_row(self._out):
            return False
        table = read_rows(self._out)
        if table.encoding.lower().replace("_", "-") not in ("utf-8", "utf-8-sig"):
            raise self._mismatch(f"another program saved it as {table.encoding}", line=1)
        if tuple(table.columns) != COLUMNS:
            raise self._mismatch("its columns are not those of a run", line=1)
        found = False
        waiting: list[Ticket] = []
        for done in table:
            found = True
            row = self._checked(done, next(source, None))
            if self._count(done.cells):
                waiting.append(row.ticket)
            if len(waiting) == _TOGETHER:
                self._summary.not_stored += self._triage.unknown(waiting)
                waiting.clear()
        self._summary.not_stored += self._triage.unknown(waiting)
        return found

    def _checked(self, done: Row, row: TicketRow | None) -> TicketRow:
        """The row of the input that a row of the output is about."""
        if row is None:
            raise self._mismatch("it holds more rows than the input", line=done.line)
        self._summary.repeated_ids.see(row)
        if _from_input(done.cells) != _from_input(_input_cells(row)):
            raise self._mismatch(f"this row is not line {row.line} of the input", line=done.line)
        run = self._run(row.ticket)
        if done.cells.get("run") != run:
            problem = f"it was written by run {short(str(done.cells.get('run')))}, this is run {run}: other settings, engine or examples"
            raise self._mismatch(problem, line=done.line)
        return row

    def _count(self, cells: Mapping[str, object]) -> bool:
        """Count a row. Whether a store that was there would recall that it waits: a failure that passes it would not."""
        codes = cells.get("reasons") or ()
        listed = codes.split() if isinstance(codes, str) else [str(code) for code in codes]  # type: ignore[attr-defined]
        accepted = cells.get("outcome") == "accepted"
        self._summary.count(accepted=accepted, team=str(cells.get("team") or ""), codes=listed)
        return not accepted and not set(listed) & set(PASSING)

    def _copy_waiting(self) -> None:
        """What waits among the tickets decided before."""
        if self._waiting:
            for done in read_rows(self._out):
                if done.cells.get("outcome") != "accepted":
                    self._waiting.write(_fitting(done.cells, self._waiting.fmt))

    def _mismatch(self, problem: str, *, line: int) -> InputError:
        remedy = "resume with the input and settings of the first run, or start anew with --overwrite"
        return InputError(f"cannot go on behind it: {problem}", file=self._out, line=line, remedy=remedy)


def outcome_cells(row: TicketRow, outcome: Outcome, *, run: str, language: str = "en") -> dict[str, object]:
    """One row of the output: the outcome beside the ticket as it was received.

    Lists stay lists: a JSONL file holds them as they are; for CSV they are joined.
    """
    common = {
        "confidence": None if outcome.confidence is None else round(outcome.confidence, 6),
        "score": None if outcome.score is None else round(outcome.score, 6),
        "candidates": [{"category": c.category, "score": c.score and round(c.score, 6)} for c in outcome.candidates],
        "run": run,
        **_input_cells(row),
    }
    if isinstance(outcome, Accepted):
        return {"outcome": "accepted", "category": outcome.category, "team": outcome.team, "reasons": [], "why": "", **common}
    reasons = [reason.code for reason in outcome.reasons]
    return {"outcome": "pending", "suggestion": outcome.suggestion, "reasons": reasons, "why": outcome.why(language), **common}


def _fitting(cells: Mapping[str, object], fmt: TableFormat) -> Mapping[str, object]:
    """Lists as text where the format has none."""
    if fmt == "jsonl":
        return cells
    return {**cells, **{name: _joined(value) for name in _LISTS if isinstance(value := cells.get(name), list)}}


def _joined(values: list[Any]) -> str:
    return " ".join([f"{v['category']}={v['score']}" if isinstance(v, dict) else str(v) for v in values])


def cut_torn_row(path: Path) -> bool:
    """Cut off a last row that a killed run left unfinished; false if nothing but the header, or less, is left."""
    whole, rows = _whole_rows(path)
    if whole < path.stat().st_size:
        os.truncate(path, whole)
    return rows > 1 or (rows == 1 and format_of(path) == "jsonl")


def _begins_like_a_run(path: Path) -> bool:
    """Whether the first line is that of a run, perhaps cut off: a file of anything else is left as it is."""
    with path.open("rb") as stream:
        first = stream.readline().removeprefix(b"\xef\xbb\xbf")
    fmt = format_of(path)
    if fmt != "jsonl":
        return encode_header(COLUMNS, fmt).startswith(first)
    try:
        row = json.loads(first)
    except ValueError:
        return not first.endswith(b"\n") and first[:6] == b'{"id":'[: len(first)]
    return isinstance(row, dict) and tuple(row) == COLUMNS


def _has_mark(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(3) == b"\xef\xbb\xbf"


def _whole_rows(path: Path) -> tuple[int, int]:
    """How many bytes of the file are whole rows, and how many rows. A line end between quotes ends no CSV row."""
    quotes = format_of(path) != "jsonl"
    whole = position = rows = 0
    inside = False
    with path.open("rb") as stream:
        for line in stream:
            position += len(line)
            inside ^= quotes and line.count(b'"') % 2 == 1
            if not inside and line.endswith(b"\n"):
                whole, rows = position, rows + 1
    return whole, rows


def _input_cells(row: TicketRow) -> dict[str, object]:
    return {"id": row.ticket.id, "title": row.ticket.title, "content": row.ticket.content}


def _from_input(cells: Mapping[str, object]) -> bytes:
    """What identifies the ticket of a row, as it stands in a file: written and read again it stays the same."""
    return encode_row({name: cells.get(name) or "" for name in _FROM_INPUT}, _FROM_INPUT, "csv")
