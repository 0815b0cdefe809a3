"""What keys do, without a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from review_screen.desk import FakeQueue, Person, blind, waiting

from llmtriage import Category, Taxonomy
from llmtriage.errors import StoreError
from llmtriage.review_screen.choosing import found
from llmtriage.review_screen.drawing import draw
from llmtriage.review_screen.state import PAUSE, Key, listed


def names(person: Person) -> list[str]:
    """The ids of the categories on the screen."""
    return [node.id for node in listed(person.session.state)]


@pytest.fixture
def large() -> Taxonomy:
    """Two departments with six leaves each, and a catch-all: more than there are digits."""
    groups = [
        Category(
            id=f"{name}", name={"en": name.title(), "zh": word}, children=tuple(Category(id=f"{name}_{n}") for n in "abcdef")
        )
        for name, word in (("sales", "销售"), ("repair", "维修"))
    ]
    return Taxonomy(categories=(*groups, Category(id="other", catch_all=True)))


def test_a_digit_answers_and_the_next_ticket_is_there(shop: Taxonomy) -> None:
    """Candidates stand in the order of the taxonomy, which does not tell what a model prefers."""
    person = Person(FakeQueue(waiting(1), waiting(2)), shop)
    assert names(person) == ["refund", "parcel", "login"]
    person.press("2")
    assert person.categories == ["parcel"]
    item = person.session.state.item
    assert item is not None
    assert item.entry == 2
    assert "saved: parcel" in person.session.state.message


def test_nothing_is_preselected(shop: Taxonomy) -> None:
    """Enter, blanks and digits without a category answer nothing."""
    person = Person(FakeQueue(waiting()), shop)
    person.press("<enter>", " ", "4", "9", "0", "<enter>", "<escape>", "<enter>", "/", "<enter>", " ", "<enter>")
    assert person.categories == []
    person.press("<escape>", "<down>", "<down>", "<enter>")
    assert person.categories == ["parcel"]


def test_no_letter_is_needed_to_begin_a_search(shop: Taxonomy) -> None:
    """Other letters than those of commands do; the first match is marked."""
    person = Person(FakeQueue(waiting(1), waiting(2), waiting(3)), shop)
    person.press("pri")
    assert names(person) == ["privacy"]
    person.press("<enter>", "退款", "<enter>")
    person.press("/so", "<backspace>", "<backspace>", "<backspace>", "1")
    assert person.categories == ["privacy", "refund", "refund"]


def test_arrows_move_among_matches(shop: Taxonomy) -> None:
    """And typing on marks the first one again."""
    person = Person(FakeQueue(waiting()), shop)
    person.press("/", "<down>", "<down>")
    assert listed(person.session.state)[person.session.state.mark or 0].id == "parcel"
    person.press("r", "<down>", "<down>", "<down>", "<down>", "<up>")
    assert len(names(person)) > 2
    chosen = names(person)[person.session.state.mark or 0]
    person.press("<enter>")
    assert person.categories == [chosen]


def test_what_a_search_finds() -> None:
    """Ids, names in every language, words within, initials, full-width letters, the path; in any case."""
    sample = Taxonomy.sample()
    first = {
        "refund": "refund_status",
        "退款进度": "refund_status",
        "ＲＥＦＵＮＤ st": "refund_status",
        "rs": "refund_status",
        "物流查询": "order_tracking",
    }
    assert {typed: found(sample, typed)[0].id for typed in first} == first
    assert {leaf.id for leaf in found(sample, "技术支持")} == {leaf.id for leaf in sample["technical"].children}
    assert {leaf.id for leaf in found(sample, "退款")} == {"refund_status", "complaint_refund"}
    assert found(sample, "refund xyz") == ()
    assert found(sample, "uikuan") == ()
    assert found(sample, " ") == sample.leaves


@pytest.mark.parametrize(
    ("typed", "leaf"),
    [
        ("tuikuan", "refund_status"),
        ("tk", "refund_status"),
        ("ＴＫ jd", "refund_status"),
        ("jindu", "refund_status"),
        ("fp", "payment_invoice"),
    ],
)
def test_a_chinese_category_is_found_by_how_it_is_typed(typed: str, leaf: str) -> None:
    """In full or by initials, from any syllable on; a name of both languages too."""
    assert leaf in {one.id for one in found(Taxonomy.sample(), typed)}
    assert found(Taxonomy.from_labels(["App 重复扣款", "其他"]), "chongfu")[0].id == "App 重复扣款"


def test_many_categories_open_by_groups(large: Taxonomy) -> None:
    """A digit for the group, one for the leaf; Escape goes back up."""
    person = Person(FakeQueue(blind()), large)
    assert names(person) == ["sales", "repair", "other"]
    person.press("1")
    assert names(person)[0] == "sales_a"
    person.press("<escape>", "2", "3")
    assert person.categories == ["repair_c"]


def test_a_blind_ticket_is_asked_about_in_the_order_of_the_taxonomy(shop: Taxonomy) -> None:
    """Whatever somebody put into it, and the answer says that nothing was shown."""
    queue = FakeQueue(blind(1, suggestion="login", candidates=waiting().candidates), waiting(2))
    person = Person(queue, shop)
    assert names(person) == [leaf.id for leaf in shop.leaves]
    person.press("v")
    assert "your own" in person.session.state.message
    person.press("1", "1")
    assert [review.shown for _, review in queue.answers] == [False, True]


def test_a_ticket_without_anything_to_suggest(shop: Taxonomy) -> None:
    """The engine failed: all categories, and nothing was shown."""
    queue = FakeQueue(waiting(suggestion=None, candidates=()))
    person = Person(queue, shop)
    assert names(person) == [leaf.id for leaf in shop.leaves]
    person.press("5")
    assert [(review.category, review.shown) for _, review in queue.answers] == [("other", False)]


def test_what_the_taxonomy_has_lost_is_no_choice(shop: Taxonomy) -> None:
    """Nor is a department that was suggested."""
    lost = waiting(suggestion="sales", candidates=(replace(waiting().candidates[0], category="gone"), waiting().candidates[2]))
    assert names(Person(FakeQueue(lost), shop)) == ["refund"]


def test_former_ids() -> None:
    """What was renamed is offered under its new name, what was split as all it may be; a search knows former ids."""
    leaves = (
        Category(id="refund", was=("money",)),
        Category(id="late", was=("old",)),
        Category(id="lost", was=("old",)),
        Category(id="b"),
    )
    taxonomy = Taxonomy(categories=leaves)
    stored = replace(waiting().candidates[0], category="old")
    person = Person(FakeQueue(waiting(suggestion="money", candidates=(stored,))), taxonomy)
    assert names(person) == ["refund", "late", "lost"]
    assert [leaf.id for leaf in found(taxonomy, "mon")] == ["refund"]
    assert "suggestion: refund" in [line.text for line in draw(person.session.state).lines]


def test_undo(shop: Taxonomy) -> None:
    """The ticket comes back and what was on the screen waits again."""
    queue = FakeQueue(waiting(1), waiting(2))
    person = Person(queue, shop)
    person.press("u")
    assert "no answer to take back" in person.session.state.message
    person.press("1")
    assert person.session.state.labelled == 1
    person.press("u")
    assert (queue.answers, queue.released, person.session.state.labelled) == ([], [2], 0)
    person.press("3", "1", "u", "u")
    assert person.categories == []
    assert person.session.state.left == 2


def test_the_last_answer_can_be_taken_back(shop: Taxonomy) -> None:
    """For the screen stays when nothing waits."""
    person = Person(FakeQueue(waiting()), shop)
    person.press("1")
    assert person.session.state.item is None
    assert person.session.ended is None
    person.press("1", "s", "<enter>", "u", "2", "q")
    assert person.categories == ["parcel"]
    assert person.session.ended == "empty"


def test_skip_and_quit(shop: Taxonomy) -> None:
    """What was skipped does not come again; what is on the screen is given back."""
    queue = FakeQueue(waiting(1), waiting(2))
    person = Person(queue, shop)
    person.press("s", "q", "1")
    assert (queue.skipped, queue.released, person.session.ended) == ({1}, [2], "quit")


def test_a_note_goes_with_the_answer(shop: Taxonomy) -> None:
    """Digits and commands are letters there; line ends and escape codes of a paste are not."""
    queue = FakeQueue(waiting(1), waiting(2))
    person = Person(queue, shop)
    person.press("n12 看 sq", "<backspace>", "<enter>")
    person.press("n")
    person.session.press(Key("paste", "\x1b[31m!\n"))
    person.press("<enter>", "1", "2")
    assert [review.note for _, review in queue.answers] == ["12 看 s\ufffd[31m!", None]


def test_a_note_can_be_dropped(shop: Taxonomy) -> None:
    """Escape leaves what was kept before."""
    queue = FakeQueue(waiting(1))
    person = Person(queue, shop)
    person.press("na", "<enter>", "nb", "<escape>", "n", "<clear>", "c", "<enter>", "1")
    assert [review.note for _, review in queue.answers] == ["c"]


def test_full_width_keys(shop: Taxonomy) -> None:
    """An input method left on gives other characters for the same keys."""
    person = Person(FakeQueue(waiting(1), waiting(2), waiting(3)), shop)
    person.press("１", "Ｕ", "？", "x", "、")
    assert person.session.state.mode == "search"
    person.press("<escape>", "２")
    assert person.categories == ["parcel"]


def test_a_pasted_text_answers_nothing(shop: Taxonomy) -> None:
    """It is no key."""
    person = Person(FakeQueue(waiting()), shop)
    person.now += 5
    person.session.press(Key("paste", "1"))
    assert person.categories == []


def test_a_key_held_down_answers_once(shop: Taxonomy) -> None:
    """Nobody has read the next ticket so soon."""
    queue = FakeQueue(*(waiting(entry) for entry in range(1, 30)))
    person = Person(queue, shop)
    person.press("1")
    person.press("1" * 50, "s" * 50, seconds=0.03)
    assert len(queue.answers) == 1
    assert queue.skipped == set()
    assert "not counted" in person.session.state.message
    person.press("1")
    assert len(queue.answers) == 2


def test_the_time_that_was_worked(shop: Taxonomy) -> None:
    """A minute without a key ends it."""
    queue = FakeQueue(waiting(1), waiting(2), waiting(3))
    person = Person(queue, shop)
    person.press("o", seconds=10)
    person.press("1", seconds=5)
    person.press("1", seconds=PAUSE * 60)
    person.press("1", seconds=2)
    assert [review.active_ms for _, review in queue.answers] == [15_000, 60_000, 2_000]


def test_a_ticket_is_kept_while_somebody_works_on_it(shop: Taxonomy) -> None:
    """Not with every key."""
    queue = FakeQueue(waiting())
    person = Person(queue, shop)
    person.press("/privacy")
    assert queue.extended == 0
    person.press("<clear>", "p", "r", seconds=50)
    assert queue.extended == 1


def test_an_answer_that_comes_too_late(shop: Taxonomy) -> None:
    """Somebody else was quicker: it is said, and the next ticket is there."""
    queue = FakeQueue(waiting(1), waiting(2))
    person = Person(queue, shop)
    del queue.open[1]
    person.press("1")
    assert "answered meanwhile" in person.session.state.message
    assert person.session.state.item == waiting(2)
    assert person.session.state.labelled == 0


def test_a_store_that_fails_in_the_middle(shop: Taxonomy) -> None:
    """The ticket stays, with what is wrong; the same key tries again."""
    queue = FakeQueue(waiting(1), waiting(2))
    person = Person(queue, shop)
    queue.failing = StoreError("the disk is full", store="s.db", remedy="make room")
    person.press("1", "s", "u", "/refund", "<enter>")
    assert "the disk is full" in person.session.state.message
    assert (person.session.state.item, person.session.state.mode) == (waiting(1), "ticket")
    queue.failing = None
    person.press("1")
    assert person.categories == ["refund"]


def test_a_store_that_fails_after_an_answer(shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer counts, nothing is on the screen but what is wrong, and Enter looks again."""
    queue = FakeQueue(waiting(1), waiting(2))
    person = Person(queue, shop)

    def fail(*_: object, **__: object) -> None:
        raise StoreError("another program holds the store", store="s.db")

    with monkeypatch.context() as patch:
        patch.setattr(queue, "claim", fail)
        patch.setattr(queue, "counts", fail)
        person.press("1", "1")
    state = person.session.state
    assert (state.item, len(queue.answers), state.labelled) == (None, 1, 1)
    assert "holds the store" in state.blank
    person.press("<enter>")
    assert person.session.state.item == waiting(2)
    queue.failing = StoreError("gone", store="s.db")
    person.press("q")
    assert person.session.ended == "quit"


def test_similar_tickets(shop: Taxonomy) -> None:
    """Once there are some; the digits still answer."""
    person = Person(FakeQueue(waiting(1), waiting(2)), shop)
    person.press("v")
    assert person.session.state.message == "no similar confirmed ticket"
    person.press("1", "v")
    assert [label.category for label in person.session.state.similar] == ["refund"]
    person.press("<escape>")
    assert person.session.state.mode == "ticket"
    person.press("v", "2")
    assert person.categories == ["refund", "parcel"]


def test_help(shop: Taxonomy) -> None:
    """Digits answer nothing there, for no category is to be seen."""
    person = Person(FakeQueue(waiting()), shop)
    person.press("?", "1", "?", "<escape>", "?")
    assert person.categories == []
    person.press("q")
    assert person.session.ended == "quit"


def test_ctrl_c_quits_everywhere(shop: Taxonomy) -> None:
    """Also from a line that is being typed."""
    for keys in ("", "n abc", "/re", "?"):
        person = Person(FakeQueue(waiting()), shop)
        person.press(keys, "<quit>")
        assert person.session.ended == "quit"


def test_a_thousand_skips(shop: Taxonomy) -> None:
    """Leave nothing for this person, and all of it for others."""
    queue = FakeQueue(*(waiting(entry) for entry in range(300)))
    person = Person(queue, shop)
    person.press("s" * 300)
    assert person.session.state.item is None
    assert person.session.state.left == 300
