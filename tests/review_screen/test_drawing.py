"""What stands on the screen: no line is wider than the terminal, and no text of a customer is more than text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth
from review_screen.desk import FakeQueue, Person, blind, waiting
from support import ROOT

from llmtriage import Category, Taxonomy
from llmtriage.outcomes import Candidate
from llmtriage.review_screen.cells import clipped, folded, padded
from llmtriage.review_screen.drawing import draw
from llmtriage.review_screen.state import State
from llmtriage.tickets import Ticket

LONG = "I was charged twice. 我被重复扣款了，请尽快退款！\n" * 40
TEXTS = st.text(st.sampled_from("ab 　退款。，\n\t\u0301👍🏽\u200d\u202e\x1b\x07가①‘-") | st.characters(), max_size=200)


def screen(state: State) -> str:
    """All lines."""
    return "\n".join(line.text.rstrip() for line in draw(state).lines)


def at(person: Person, width: int = 80, height: int = 24) -> str:
    """The screen in a terminal of this size."""
    person.session.resize(width, height)
    return screen(person.session.state)


def test_a_pending_ticket(shop: Taxonomy) -> None:
    """Which one, why it waits, what is suggested, the text, the choices, the keys."""
    shown = at(Person(FakeQueue(waiting(7), waiting(8)), shop))
    lines = shown.splitlines()
    assert lines[:6] == [
        "T-7  mail  en                                                0 labelled · 2 wait",
        "The model is not sure enough.",
        "suggestion: parcel · Sales",
        "─" * 80,
        "Refund",
        "My money is not back 退款没到",
    ]
    assert lines[6:-6] == [""] * 12
    assert lines[-6:] == [
        "─" * 80,
        " 1 Refund · Sales (refund)",
        " 2 parcel · Sales",
        " 3 login · technical",
        "",
        "? help  q quit  1-3 choose  / search  s skip  u undo  n note  v similar",
    ]


def test_in_chinese(shop: Taxonomy) -> None:
    """All words of the screen, and the names of categories."""
    shown = at(Person(FakeQueue(waiting(suggestion="refund")), shop, language="zh"))
    for words in ("已标注 0", "待处理 1", "模型把握不足。", "建议：退款 · 售后 (refund)", " 1 退款 · 售后 (refund)", "? 帮助"):
        assert words in shown
    assert not {"labelled", "suggestion", "skip", "quit"} & set(shown.split())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_blind_ticket_shows_nothing_a_model_said(shop: Taxonomy, language: str) -> None:
    """The same screen whatever it said, also of one whose suggestion got into the item."""
    told = blind(1, suggestion="login", candidates=waiting().candidates, score=0.5)
    person = Person(FakeQueue(told), shop, language=language)
    pure = Person(FakeQueue(blind(1)), shop, language=language)
    assert at(person) == at(pure)
    assert not {"suggestion", "建议", "v"} & set(at(person).replace("：", " ").split())


@pytest.mark.parametrize("size", [(80, 24), (20, 24), (20, 6), (200, 60), (80, 1), (80, 3), (2, 2), (1, 1)])
@pytest.mark.parametrize(
    "keys", [("",), ("/re",), ("n" + "写 " * 60,), ("?",), ("<down>",), ("1",), ("o",), ("zzz",), ("1", "1", "1")]
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_screen_fits(shop: Taxonomy, size: tuple[int, int], keys: tuple[str, ...], language: str) -> None:
    """In any size, exactly: nothing wraps and nothing scrolls."""
    person = Person(FakeQueue(waiting(1, content=LONG, title=LONG), blind(2)), shop, language=language)
    person.session.resize(*size)
    person.press(*keys)
    drawn = draw(person.session.state)
    assert len(drawn.lines) == size[1]
    assert max(get_cwidth(line.text) for line in drawn.lines) <= size[0]
    before, line = drawn.cursor
    assert line < max(size[1], 2)
    assert get_cwidth(drawn.lines[min(line, size[1] - 1)].text[:before]) < max(size[0], 2)


@given(TEXTS, TEXTS, st.integers(1, 90), st.integers(1, 30))
def test_any_ticket_fits(title: str, content: str, width: int, height: int) -> None:
    """And nothing in it moves the cursor, turns the writing round or changes the title of a window."""
    taxonomy = Taxonomy(categories=(Category(id="退款 x" * 30), Category(id="b", name={"en": "👍🏽" * 60})))
    ticket = Ticket(id=title or None, title=title, content=content, channel=title, language=content[:3])
    person = Person(FakeQueue(waiting(ticket=ticket, suggestion=content or None)), taxonomy)
    person.session.resize(width, height)
    lines = draw(person.session.state).lines
    assert len(lines) == height
    assert all(get_cwidth(line.text) <= width for line in lines)
    assert all(line.text.isprintable() for line in lines)


@given(TEXTS, st.integers(1, 90))
def test_folding_loses_nothing(text: str, width: int) -> None:
    """But blanks; and each line has as much as fits."""
    lines = folded(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(get_cwidth(line) <= max(width, 2) for line in lines)


def test_where_lines_end() -> None:
    """Behind words, beside ideographs, never before a full stop."""
    assert folded("one two three", 8) == ("one two", "three")
    assert folded("订单 SF123 三天没动。", 8) == ("订单", "SF123 三", "天没动。")
    assert folded("退款退款。", 8) == ("退款退", "款。")
    assert folded("abcdefghij k", 4) == ("abcd", "efgh", "ij k")
    assert folded("", 4) == ("",)
    assert folded("a\n\n  b\tc", 20) == ("a", "", "  b c")


def test_clipping() -> None:
    """By cells, with an ellipsis."""
    assert clipped("退款进度", 8) == "退款进度"
    assert clipped("退款进度", 7) == "退款进…"
    assert clipped("退款进度", 6) == "退款…"
    assert (clipped("退", 1), clipped("退", 0)) == ("…", "")
    assert padded("退款进度", 6) == "退款… "


def test_a_long_text_can_be_read_to_its_end(shop: Taxonomy) -> None:
    """Page by page with a line in common, and back; nothing is left out."""
    text = "\n".join(f"line {number}" for number in range(100))
    person = Person(FakeQueue(waiting(content=text)), shop)
    seen, shown = set[str](), ""
    while shown != at(person):
        shown = at(person)
        seen |= {line for line in shown.splitlines() if line.startswith("line ")}
        person.press("o")
    assert seen == set(text.splitlines())
    assert "of 101 ──" in shown
    person.press("<pageup>", "<home>")
    assert "line 0" in at(person)
    person.press("<end>")
    person.session.resize(80, 60)
    assert "line 99" in at(person, 80, 60)


def test_more_choices_than_lines(shop: Taxonomy) -> None:
    """The marked one is to be seen, and how many are not."""
    person = Person(FakeQueue(waiting(content=LONG)), Taxonomy.sample())
    person.press("/")
    assert "more" in at(person)
    person.press(*["<down>"] * len(Taxonomy.sample().leaves))
    assert "> " in at(person)
    assert f"({Taxonomy.sample().leaves[-1].id})" in at(person)


def test_a_category_that_the_taxonomy_lost(shop: Taxonomy) -> None:
    """Its id is shown as text."""
    assert "suggestion: gone\ufffd[31m" in at(Person(FakeQueue(waiting(suggestion="gone\x1b[31m")), shop))


def test_what_belongs_into_a_marked_category() -> None:
    """Its description stands beside the prompt."""
    person = Person(FakeQueue(blind()), Taxonomy(categories=(Category(id="a", description="Money back"), Category(id="b"))))
    person.press("<down>")
    assert "Money back" in at(person)


def test_nothing_waits(shop: Taxonomy) -> None:
    """What can be done then."""
    person = Person(FakeQueue(waiting()), shop)
    person.press("1")
    shown = at(person)
    for words in ("Nothing waits for you.", "saved: refund (u undoes)", "q quit  Enter look again  u undo"):
        assert words in shown


def test_a_ticket_without_text(shop: Taxonomy) -> None:
    """A store may keep none."""
    assert "(no text)" in at(Person(FakeQueue(waiting(ticket=replace(waiting().ticket, title="", content=""))), shop))


def test_the_screen_in_the_docs() -> None:
    """Is what would be drawn."""
    page = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")
    lines = page.partition("```text\n")[2].partition("```")[0].splitlines()
    ticket = Ticket(
        id="T-1004",
        title="订单退款",
        content="我的退款什么时候到账？已经等了十天了，订单号 20260105123。请尽快处理！",
        channel="mail",
        language="zh",
    )
    names = ("refund_status", "complaint_refund", "order_tracking")
    item = waiting(ticket=ticket, suggestion=names[0], candidates=tuple(Candidate(category=one, score=0.3) for one in names))
    state = State(taxonomy=Taxonomy.sample(), item=item, labelled=3, left=12, message="saved: login_problem (u undoes)")
    assert screen(replace(state, height=len(lines))).splitlines() == lines
