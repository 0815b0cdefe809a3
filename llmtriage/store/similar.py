"""Tickets that people decided and that are most like another one."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from llmtriage.store.reading import asked_again, label_of, labels

if TYPE_CHECKING:
    from llmtriage.nearest import Likeness
    from llmtriage.reviewing import Item, Label
    from llmtriage.store.database import Database
    from llmtriage.tickets import Ticket

LOOKED_AT = 2_000  # of the latest answers
_SECONDS = 60  # what was fitted stands so long, since it takes a while


class Similar:
    """The latest answers by the likeness of their tickets to another one (`llmtriage.nearest`)."""

    def __init__(self, database: Database) -> None:
        """Look at nothing yet."""
        self._database = database
        self._fitted: tuple[float, list[Label], Likeness] | None = None

    def to(self, item: Item, limit: int) -> tuple[Label, ...]:
        """At most `limit` of them, the most like it first; none for a blind entry, which is decided without any help. Raises StoreError."""
        if item.blind:
            return ()
        if self._fitted is None or monotonic() - self._fitted[0] > _SECONDS:
            self._fitted = (monotonic(), *self._fit())
        _, known, likeness = self._fitted
        found = (known[place] for place in likeness.nearest(_text(item.ticket)))
        return tuple([label for label in found if label.text_id != item.text_id][:limit])

    def _fit(self) -> tuple[list[Label], Likeness]:
        from llmtriage.nearest import Likeness

        with self._database.reading() as connection:
            chosen = labels()
            columns = chosen.selected_columns
            open_to_all = chosen.where(asked_again(columns.ticket_text_id).is_(None))
            latest = open_to_all.order_by(None).order_by(columns.id.desc()).limit(LOOKED_AT)
            known = [label_of(row) for row in connection.execute(latest)]
        return known, Likeness([_text(label.ticket) for label in known])


def _text(ticket: Ticket) -> str:
    return f"{ticket.title}\n{ticket.content}"
