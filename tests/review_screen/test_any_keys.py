"""Laws under any keys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from review_screen.desk import FakeQueue, Person, blind, waiting

from llmtriage import Category, Taxonomy
from llmtriage.errors import StoreError
from llmtriage.review_screen.drawing import draw

KEYS = st.sampled_from(
    [
        *"123459sunvo?/、xr退１ 0",
        "<enter>",
        "<up>",
        "<down>",
        "<escape>",
        "<backspace>",
        "<pagedown>",
        "<home>",
        "<clear>",
        "<left>",
    ]
)
SMALL = Taxonomy(
    categories=(
        Category(
            id="sales", name={"en": "Sales", "zh": "售后"}, children=(Category(id="refund", name="退款"), Category(id="parcel"))
        ),
        *(Category(id=f"x{number}") for number in range(9)),
    )
)


@given(st.lists(st.tuples(KEYS, st.sampled_from([0.0, 0.2, 1.0, 90.0]), st.integers(0, 9)), max_size=60))
def test_no_keys_lose_or_double_an_answer(pressed: list[tuple[str, float, int]]) -> None:
    """Whatever is pressed, and when, and whether the store fails now and then.

    Each answer is a leaf, is given to a ticket that waits, once, and only after the ticket could be read; what is on the screen fits.
    """
    queue = FakeQueue(waiting(1), blind(2), waiting(3, suggestion=None, candidates=()))
    person = Person(queue, SMALL)
    leaves = {leaf.id for leaf in SMALL.leaves}
    for key, seconds, chance in pressed:
        queue.failing = StoreError("the disk is full", store="s") if chance == 0 else None
        before, known = len(queue.answers), person.session.state
        person.press(key, seconds=seconds)
        if len(queue.answers) > before:
            assert known.item is not None
            assert queue.answers[-1][0] == known.item
            assert seconds > 0 or known.touched_at > known.shown_at
        assert len(draw(person.session.state).lines) == 24
    assert set(person.categories) <= leaves
    answered = [item.entry for item, _ in queue.answers]
    assert len(answered) == len(set(answered)) == person.session.state.labelled
    assert sorted(answered + list(queue.open)) == [1, 2, 3]
    assert [review.shown for item, review in queue.answers if item.entry > 1] == [False] * sum(entry > 1 for entry in answered)
