"""What waits for a person, and what people answered: plain data."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from llmtriage.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from llmtriage.outcomes import Candidate, Reason, ReasonCode
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.tickets import Ticket

Lane = Literal["pending", "probe", "sample", "second"]
"""Why an entry waits: routing said so; drawn by chance from all tickets; part of a planned sample; a second opinion. All but the first are blind."""

Order = Literal["oldest", "uncertain", "useful"]
"""Which entry comes first.

oldest: that which waits longest. uncertain: the lowest confidence (or score), those without one first of all; a blind entry stands anywhere.
useful: of the 1,000 most uncertain those first whose suggested category has the fewest labels so far; then those without a suggestion, blind ones
among them; then near-duplicates of one of these or of what was answered lately; then all others, the most uncertain first.
"""

State = Literal["open", "done", "withdrawn"]
Verdict = Literal["confirm", "correct", "retract"]

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which entries; all that is given must hold.

    Attributes:
        reason: Those that wait for this reason.
        categories: Those whose suggestion is one of these ids (inner nodes too); blind entries never are.
        language: Those whose ticket has this language code.
        older_than: Those that wait longer.
        newer_than: Those that wait less long.
        lane: Those of this lane.
        sample: Those of this planned sample.
        held_by: Those that this person has before them.
        open_to: Those that this person may be lent: not what the person skipped, nor second opinions on own answers.
    """

    reason: ReasonCode | None = None
    categories: frozenset[str] = frozenset()
    language: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    lane: Lane | None = None
    sample: str | None = None
    held_by: str | None = None
    open_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An entry of the queue as a person may see it. Of a blind one it holds nothing that a model said.

    Attributes:
        entry: Its number.
        ticket: The ticket, with its text as far as the store keeps it.
        text_id: Which of the ticket's texts it is.
        lane: Why it waits.
        sample: The planned sample it is part of.
        blind: Whether it is decided without seeing what a model, or another person, says.
        state: Whether it waits.
        round: 1, and one more each time an answer was taken back.
        reasons: Why it waits, in codes.
        suggestion: What a model would say: a leaf or an inner node; None where it said nothing.
        candidates: At most five categories, most probable first.
        confidence: The calibrated probability of the suggestion, in [0, 1].
        score: Its uncalibrated number, in [0, 1].
        calibrated: Whether a fitted calibration stands behind it.
        enqueued_at: Since when it waits, UTC.
        token: Which showing this is: an answer to an earlier one is refused.
        held_by: Who has it before them, at the time of reading.
        held_until: Until when.
    """

    entry: int
    ticket: Ticket
    text_id: int
    lane: Lane
    sample: str | None = None
    blind: bool
    state: State = "open"
    round: int = 1
    reasons: tuple[Reason, ...] = ()
    suggestion: str | None = None
    candidates: tuple[Candidate, ...] = ()
    confidence: float | None = None
    score: float | None = None
    calibrated: bool = False
    enqueued_at: datetime
    token: int
    held_by: str | None = None
    held_until: datetime | None = None

    @property
    def name(self) -> str:
        """What people call it: the ticket's id, else the entry's number."""
        return self.ticket.id or str(self.entry)


Cursor = tuple[float, int]
"""Where a page ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some entries in order, and where the next page begins; None where there is none."""

    items: tuple[Item, ...]
    after: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many entries wait.

    Attributes:
        entries: All of them.
        lanes: By lane.
        reasons: By reason; an entry may have several.
        oldest: Since when the first of them waits.
    """

    entries: int
    lanes: Mapping[Lane, int]
    reasons: Mapping[ReasonCode, int]
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a person answered.

    Attributes:
        id: Its number.
        entry: The entry it answers; None for one that came without.
        ticket_id: What people call the ticket, if it has an id.
        reviewer: Who.
        verdict: confirm: the suggestion; correct: another category, or any answer to a blind entry; retract: an answer taken back.
        category: The leaf; of a retraction the one that was taken back.
        suggested: What was suggested; None for a blind entry.
        shown: Whether the person saw the suggestion.
        lane: Of the entry.
        round: Of the entry.
        note: What the person wrote beside it.
        active_ms: How long the person had the ticket before them.
        taxonomy: The hash of the taxonomy it was checked against.
        at: When, UTC.
        taken_back: Whether it was taken back later.
    """

    id: int
    entry: int | None
    ticket_id: str | None
    reviewer: str
    verdict: Verdict
    category: str | None
    suggested: str | None
    shown: bool
    lane: Lane
    round: int
    note: str | None = field(default=None, repr=False)
    active_ms: int | None = None
    taxonomy: str
    at: datetime
    taken_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """An answer from a file, to an entry as it was when the file was written.

    Attributes:
        entry: The number of the entry.
        text_id: Which of the ticket's texts it was.
        ticket_id: The ticket's id there, if it has one.
        category: The leaf.
        reviewer: Who answers.
        shown: Whether the file held a suggestion.
        note: What the person wrote beside it.
        line: The line in the file, for errors.
    """

    entry: int
    text_id: int
    ticket_id: str | None
    category: str
    reviewer: str
    shown: bool
    note: str | None = field(default=None, repr=False)
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """An answer that stands: a ticket with the category that a person said it has.

    Attributes:
        ticket: The ticket with the text that was judged.
        text_id: Which of the ticket's texts it is.
        category: The leaf.
        lane: pending answers are examples, never evidence for a promise; a second opinion is no label.
        sample: The planned sample it is part of.
        inclusion_p: With which probability the ticket was drawn; None in the lane pending.
        shown: Whether the person saw a suggestion.
        first: The first answer to this entry, also one that was taken back: what a promise counts of a blind entry, so that a mind changed
            after a look at what the model says changes nothing.
        reviewer: Who.
        taxonomy: The hash of the taxonomy it was checked against.
        at: When, UTC.
    """

    ticket: Ticket
    text_id: int
    category: str
    lane: Lane
    sample: str | None
    inclusion_p: float | None
    shown: bool
    first: str
    reviewer: str
    taxonomy: str
    at: datetime


def below(category: str, taxonomy: Taxonomy, *, field: str) -> frozenset[str]:
    """The ids of a category, of those below it, and their former ones. Raises UnknownNameError."""
    if category not in taxonomy:
        raise UnknownNameError.among("category", category, [node.id for node in taxonomy.nodes], field=field)
    nodes = list(taxonomy[category].walk())
    return frozenset([node.id for node in nodes] + [former for node in nodes for former in node.was])


def reviewer_name(name: str | None, *, field: str = "--reviewer") -> str:
    """A reviewer's name without spaces around it; by default that of the login. Raises InputError if it is not visible text on one line."""
    chosen = (_login() if name is None else name).strip(" ")
    if not chosen:
        raise InputError("a reviewer has a name", field=field, remedy="give one")
    if not chosen.isprintable():
        raise InputError(
            "a reviewer's name is visible text on one line", field=field, remedy="remove line ends and control characters"
        )
    if len(chosen) > _LONGEST_NAME:
        raise InputError(f"a reviewer's name has at most {_LONGEST_NAME} characters", field=field, remedy="shorten it")
    return chosen


def person_name(name: str, *, field: str) -> str:
    """The name of somebody who signs in, as `reviewer_name`. Raises InputError also where a "/" stands in it: keys speak for people so (crm/王芳)."""
    if "/" in name:
        raise InputError('no "/" stands in the name of a person', field=field, remedy="leave it out")
    return reviewer_name(name, field=field)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no login name, as in some containers
        return ""
