"""Samples of tickets to label: drawn evenly, named, and checked when they come back."""

from __future__ import annotations

import numpy as np
import pytest

from llmtriage import Ticket
from llmtriage.errors import InputError
from llmtriage.sampling import UNIFORM, checked, drawn, name_of

TICKETS = [Ticket(id=str(number), title="", content=f"text {number}") for number in range(5)]
NAME = name_of("uniform", TICKETS)


def test_each_ticket_is_drawn_as_often() -> None:
    """No two draws of one sample are the same ticket; another seed, another sample."""
    counts = np.zeros(20)
    for seed in range(600):
        places = drawn(5, 20, seed)
        assert len(set(places)) == 5
        counts[places] += 1
    assert abs(counts / 600 - 0.25).max() < 0.08
    assert drawn(5, 20, 1) == drawn(5, 20, 1) != drawn(5, 20, 2)


def test_more_than_there_are() -> None:
    """One line."""
    with pytest.raises(InputError, match="21 tickets to label, but there are 20"):
        drawn(21, 20, 0)


def test_a_whole_sample_is_known_by_its_name() -> None:
    """In any order; without the column the file's owner answers for it."""
    assert checked([NAME] * 5, TICKETS[::-1]) == NAME
    assert checked([None] * 5, TICKETS) == UNIFORM
    assert NAME.startswith("uniform-5-")


@pytest.mark.parametrize(
    ("names", "tickets", "says"),
    [
        ([NAME] * 4, TICKETS[:4], "4 labelled tickets, the sample has 5; label all of its tickets"),
        ([NAME] * 6, [*TICKETS, Ticket(id="9", content="more")], "6 labelled tickets, the sample has 5"),
        ([NAME] * 5, [*TICKETS[:4], Ticket(id="4", content="another text")], "these are not the tickets that were drawn"),
        ([NAME] * 4 + [None], TICKETS, "tickets of several samples"),
        ([NAME] * 4 + ["focused-9-ab"], TICKETS, "tickets of several samples"),
        (["by hand"] * 5, TICKETS, "no sample of llmtriage plan: 'by hand'"),
        (["uniform-x-y"] * 5, TICKETS, "no sample of llmtriage plan"),
    ],
)
def test_what_is_no_whole_sample(names: list[str | None], tickets: list[Ticket], says: str) -> None:
    """Rows removed, added, changed or mixed."""
    with pytest.raises(InputError) as caught:
        checked(names, tickets)
    assert says in str(caught.value)
