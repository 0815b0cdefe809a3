"""A queue in memory, and tickets that wait in it."""

# ruff: noqa: ARG002 - a fake takes what the real one takes
from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llmtriage.errors import InputError, OutdatedError
from llmtriage.outcomes import Candidate, Reason
from llmtriage.review_screen.session import Session
from llmtriage.review_screen.state import Key
from llmtriage.reviewing import Counts, Filters, Item, Label, Review
from llmtriage.tickets import Ticket

if TYPE_CHECKING:
    from llmtriage import Taxonomy
    from llmtriage.store import Queue

AT = datetime(2026, 1, 1, tzinfo=UTC)


def waiting(entry: int = 1, *, content: str = "My money is not back 退款没到", title: str = "Refund", **changes: Any) -> Item:
    """A pending ticket, with a suggestion unless told otherwise."""
    fields: dict[str, Any] = {
        "ticket": Ticket(id=f"T-{entry}", title=title, content=content, channel="mail", language="en"),
        "text_id": entry,
        "lane": "pending",
        "blind": False,
        "reasons": (Reason(code="below_threshold"),),
        "suggestion": "parcel",
        "candidates": tuple(Candidate(category=name, score=0.4) for name in ("parcel", "login", "refund")),
        "enqueued_at": AT,
        "token": 1,
        **changes,
    }
    return Item(entry=entry, **fields)


def blind(entry: int = 1, **changes: Any) -> Item:
    """A probe: nothing a model said is in it."""
    told = {"lane": "probe", "blind": True, "reasons": (Reason(code="probe"),), "suggestion": None, "candidates": ()}
    return waiting(entry, **{**told, **changes})


class FakeQueue:
    """Refuses a second answer to what was answered, as the queue of a store does."""

    def __init__(self, *items: Item) -> None:
        """Let `items` wait.

        Attributes:
            failing: What every call raises from now on; None: nothing.
        """
        self.open = {item.entry: item for item in items}
        self.answers: list[tuple[Item, Review]] = []
        self.skipped: set[int] = set()
        self.released: list[int] = []
        self.extended = 0
        self.failing: Exception | None = None

    def counts(self, filters: Filters) -> Counts:
        """How many wait."""
        self._fail()
        return Counts(entries=len(self.open), lanes={}, reasons={}, oldest=None)

    def claim(self, reviewer: str, filters: Filters, order: str = "oldest", n: int = 1) -> list[Item]:
        """The first ones that were not skipped."""
        self._fail()
        return [item for _, item in sorted(self.open.items()) if item.entry not in self.skipped][:n]

    def answer(self, item: Item, reviewer: str, category: str, *, taxonomy: Taxonomy, **rest: Any) -> Review:
        """Keep an answer, once."""
        self._fail()
        if self.open.get(item.entry) != item:
            raise OutdatedError(f"{item.name} was answered meanwhile", remedy="go on with the next one")
        taxonomy.leaf(category)
        review = self._review(item, reviewer, category, **rest)
        self.answers.append((self.open.pop(item.entry), review))
        return review

    def undo(self, reviewer: str) -> tuple[Review, Item]:
        """Take the last answer back."""
        self._fail()
        if not self.answers:
            raise InputError("no answer that stands")
        item, review = self.answers.pop()
        again = waiting(
            item.entry,
            **{name: getattr(item, name) for name in _KEPT},
            round=item.round + 1,
            token=item.token + 1,
            held_by=reviewer,
        )
        self.open[item.entry] = again
        return review, again

    def skip(self, item: Item, reviewer: str) -> None:
        """Leave it to others."""
        self._fail()
        self.skipped.add(item.entry)

    def release(self, item: Item, reviewer: str) -> bool:
        """Give it back."""
        self._fail()
        self.released.append(item.entry)
        return True

    def extend(self, item: Item, reviewer: str) -> bool:
        """Lend it for longer."""
        self._fail()
        self.extended += 1
        return True

    def similar(self, item: Item) -> list[Label]:
        """What was decided so far."""
        self._fail()
        return [_label(item, review) for item, review in self.answers]

    def _fail(self) -> None:
        if self.failing:
            raise self.failing

    def _review(self, item: Item, reviewer: str, category: str, **rest: Any) -> Review:
        return Review(
            id=len(self.answers) + 1,
            entry=item.entry,
            ticket_id=item.ticket.id,
            reviewer=reviewer,
            verdict="correct",
            category=category,
            suggested=item.suggestion,
            lane=item.lane,
            round=item.round,
            taxonomy="",
            at=AT,
            **rest,
        )


def _label(item: Item, review: Review) -> Label:
    return Label(
        ticket=item.ticket,
        text_id=item.text_id,
        category=review.category or "",
        lane=item.lane,
        sample=None,
        inclusion_p=None,
        shown=review.shown,
        first=review.category or "",
        reviewer=review.reviewer,
        taxonomy="",
        at=AT,
    )


_KEPT = ("ticket", "text_id", "lane", "blind", "reasons", "suggestion", "candidates")


class Person:
    """Presses keys; time passes only as told."""

    def __init__(self, queue: FakeQueue | Queue, taxonomy: Taxonomy, **options: Any) -> None:
        """Sit down."""
        self.now = 100.0
        self._queue = queue
        given = {"reviewer": "li", "filters": Filters(), **options}
        self.session = Session(queue, taxonomy, **given, clock=lambda: self.now)  # type: ignore[arg-type]

    def press(self, *keys: str, seconds: float = 1.0) -> None:
        """Press keys, each after so many seconds: "<enter>" is a key with a name, anything else its characters."""
        for key in keys:
            for one in [Key(key[1:-1])] if key.startswith("<") else [Key("text", character) for character in key]:
                self.now += seconds
                self.session.press(one)

    @property
    def categories(self) -> list[str | None]:
        """What was answered, in a fake queue."""
        assert isinstance(self._queue, FakeQueue)
        return [review.category for _, review in self._queue.answers]
