"""A sitting: what the keys ask of the queue is done, one ticket after another. Without a terminal; what is answered is saved at once."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from llmtriage.errors import InputError, OutdatedError, StoreError
from llmtriage.review_screen.drawing import room
from llmtriage.review_screen.state import State, pressed, shown, suggests, told, with_similar

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmtriage.review_screen import Why
    from llmtriage.review_screen.state import Key, Wish
    from llmtriage.reviewing import Filters, Item, Order
    from llmtriage.store import Queue
    from llmtriage.taxonomy import Taxonomy

_EXTEND = 60.0  # seconds after which a key lends the ticket anew
_COUNTED = 1_000  # so many waiting entries are counted each time; more are counted once


class Session:
    """One person at the queue.

    Attributes:
        state: What the screen shows.
        ended: Why it is over; None as long as it is not.
    """

    def __init__(
        self,
        queue: Queue,
        taxonomy: Taxonomy,
        *,
        reviewer: str,
        filters: Filters,
        order: Order = "oldest",
        language: str = "en",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask for the first ticket.

        Args:
            queue: What waits.
            taxonomy: What is chosen among.
            reviewer: Who answers.
            filters: Which entries.
            order: Which of them first.
            language: "en" or "zh".
            clock: Seconds that only run forward.

        Raises:
            StoreError: The store cannot be read or written.
        """
        self._queue, self._taxonomy, self._reviewer = queue, taxonomy, reviewer
        self._filters, self._order, self._clock = replace(filters, open_to=reviewer), order, clock
        self._answered: list[int] = []  # entries whose answer of this sitting stands
        self._lent_at = 0.0
        self.ended: Why | None = None
        self.state = State(taxonomy=taxonomy, language=language)
        waiting = queue.counts(self._filters).entries
        self._many = waiting if waiting > _COUNTED else None
        self._claim()

    def press(self, key: Key) -> None:
        """Do what a key says."""
        self.state, wish = pressed(self.state, key, self._clock(), *room(self.state))
        if wish is not None:
            self._do(wish)
        elif self._clock() - self._lent_at > _EXTEND:
            self._extend()

    def resize(self, width: int, height: int) -> None:
        """The terminal has another size."""
        if (width, height) != (self.state.width, self.state.height):
            self.state = replace(self.state, width=width, height=height)

    def end(self, why: Why) -> None:
        """Give back what is on the screen, once; a store that cannot take it back lends it on till the lease ends."""
        if self.ended is None:
            self.ended = why
            with suppress(StoreError):
                self._release()

    # -- wishes --------------------------------------------------------------------------------

    def _do(self, wish: Wish) -> None:
        """What fails is said on the screen, and the ticket stays; what another person was quicker with gives way to the next one."""
        doing = {
            "answer": self._answer,
            "skip": self._skip,
            "undo": self._undo,
            "similar": self._similar,
            "look": self._look,
            "quit": self._quit,
        }
        try:
            doing[wish.kind](wish)
        except OutdatedError as error:
            self._next(str(error))
        except (InputError, StoreError) as error:
            self.state = told(self.state, str(error))

    def _answer(self, wish: Wish) -> None:
        item, state = self._item(), self.state
        self._queue.answer(
            item,
            self._reviewer,
            wish.category,
            taxonomy=self._taxonomy,
            shown=suggests(item),
            note=state.note or None,
            active_ms=round(state.active * 1000),
        )
        self._answered.append(item.entry)
        self._next(state.word("saved").format(wish.category))

    def _skip(self, _: Wish) -> None:
        self._queue.skip(self._item(), self._reviewer)
        self._next(self.state.word("skipped"))

    def _undo(self, _: Wish) -> None:
        try:
            taken, item = self._queue.undo(self._reviewer)
        except InputError:
            self.state = told(self.state, self.state.word("nothing to undo"))
            return
        if item.entry in self._answered:
            self._answered.remove(item.entry)
        with suppress(StoreError):
            self._release()
        message = self.state.word("undone").format(taken.category)
        if item.state == "open" and item.held_by == self._reviewer:
            self._show(item, message)
        else:  # it waits no longer, or for others alone
            self._next(message)

    def _similar(self, _: Wish) -> None:
        self.state = with_similar(self.state, self._queue.similar(self._item()))

    def _look(self, _: Wish) -> None:
        self._next("")

    def _quit(self, _: Wish) -> None:
        self.end("empty" if self.state.blank == self.state.word("nothing") else "quit")

    # -- tickets -------------------------------------------------------------------------------

    def _item(self) -> Item:
        item = self.state.item
        assert item is not None  # noqa: S101 - without a ticket no key asks for this
        return item

    def _next(self, message: str) -> None:
        """What was asked for is done, whatever comes of the next ticket."""
        try:
            self._claim(message)
        except StoreError as error:
            self._show(None, message, blank=str(error))

    def _claim(self, message: str = "") -> None:
        lent = self._queue.claim(self._reviewer, self._filters, self._order)
        if lent:
            self._show(lent[0], message)
        else:
            self._show(None, message, blank=self.state.word("nothing"))

    def _show(self, item: Item | None, message: str, *, blank: str = "") -> None:
        self._lent_at = at = self._clock()
        answered = len(self._answered)
        self.state = shown(self.state, item, at=at, labelled=answered, left=self.left(), message=message, blank=blank)

    def left(self) -> int:
        """How many wait. To count reads each of them, so where they are many the answers are subtracted."""
        if self._many is not None:
            return max(self._many - len(self._answered), 0)
        try:
            return self._queue.counts(self._filters).entries
        except StoreError:
            return self.state.left

    def _extend(self) -> None:
        """Keep what is on the screen for longer. Whether that was possible is told by the answer."""
        self._lent_at = self._clock()
        if self.state.item is not None:
            with suppress(StoreError):
                self._queue.extend(self.state.item, self._reviewer)

    def _release(self) -> None:
        if self.state.item is not None:
            self._queue.release(self.state.item, self._reviewer)
