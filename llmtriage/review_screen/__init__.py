"""One ticket a screen: what waits is decided with single keys, in a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llmtriage.reviewing import Filters

if TYPE_CHECKING:
    from llmtriage.reviewing import Order
    from llmtriage.store import Queue
    from llmtriage.taxonomy import Taxonomy

Why = Literal["quit", "empty", "closed"]
"""Why a sitting ended: the person quit; nothing waits; the terminal was closed or the program told to end."""

_EVERYTHING = Filters()


@dataclass(frozen=True, slots=True)
class Sitting:
    """What a person did at the screen.

    Attributes:
        labelled: Answers that stand.
        left: How many entries wait.
        why: Why it ended.
    """

    labelled: int
    left: int
    why: Why


def review_on_screen(
    queue: Queue,
    taxonomy: Taxonomy,
    *,
    reviewer: str,
    filters: Filters = _EVERYTHING,
    order: Order = "oldest",
    language: str = "en",
) -> Sitting:
    """Let a person decide what waits, one ticket after another, until they quit. Every answer is saved when it is given.

    Where nothing waits, no screen is opened.

    Args:
        queue: What waits.
        taxonomy: What is chosen among.
        reviewer: Who answers.
        filters: Which entries.
        order: Which of them first.
        language: "en" or "zh": the screen's own words and the names of categories.

    Raises:
        InputError: There is no terminal.
        StoreError: The store cannot be read or written at the beginning; later it is said on the screen.
    """
    from llmtriage.review_screen.session import Session
    from llmtriage.review_screen.terminal import make_sure_of_terminal, show

    make_sure_of_terminal()
    session = Session(queue, taxonomy, reviewer=reviewer, filters=filters, order=order, language=language)
    if session.state.item is not None:
        show(session)
    return Sitting(session.state.labelled, session.left(), session.ended or "empty")
