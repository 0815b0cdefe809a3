"""Tickets in the rows of a file."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.examples import read_examples
from llmtriage.prepare import Preparation
from llmtriage.tables import open_writer
from llmtriage.taxonomy import Category, Taxonomy
from llmtriage.tickets import Columns, Ticket, TicketRow, read_tickets, ticket_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Path]

TAXONOMY = Taxonomy(
    categories=(
        Category(id="billing", children=(Category(id="refund"), Category(id="invoice"))),
        Category(id="其他"),
    )
)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A function that writes a file and gives its path."""

    def write(text: str, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def only(path: Path, columns: Columns | None = None) -> TicketRow:
    """The one row of this file."""
    (row,) = read_tickets(path, columns)
    return row


def test_default_columns_are_found(make: Make) -> None:
    """In any case and with spaces around them; what else there is becomes metadata."""
    path = make(" ID ,Title,CONTENT,Category,Channel,language,customer,shop\n7,t,c, refund ,mail,zh,Bob,北京\n")
    row = only(path)
    ticket = Ticket(id="7", title="t", content="c", channel="mail", language="zh", customer="Bob", metadata={"shop": "北京"})
    assert row == TicketRow(ticket=ticket, category="refund", line=2)


@pytest.mark.parametrize(
    ("text", "title", "content"),
    [
        pytest.param("text,category\nhello,x\n", "", "hello", id="text alone"),
        pytest.param("content\nhello\n", "", "hello", id="content alone"),
        pytest.param("title,content\n退款,我要退款\n", "退款", "我要退款", id="both"),
        pytest.param("text,content\nold,new\n", "", "new", id="content before text"),
    ],
)
def test_the_text_is_found_without_a_flag(make: Make, text: str, title: str, content: str) -> None:
    """A title may be missing; a text column stands for both."""
    ticket = only(make(text)).ticket
    assert (ticket.title, ticket.content) == (title, content)


def test_named_columns_are_used(make: Make) -> None:
    """The columns they replace become metadata."""
    columns = Columns(id="nr", title="subject", content="body", category="label")
    row = only(make("nr,subject,body,label,title\n1,s,b,x,other\n"), columns)
    assert (row.ticket.id, row.ticket.title, row.ticket.content, row.category) == ("1", "s", "b", "x")
    assert row.ticket.metadata == {"title": "other"}


def test_a_named_text_column_is_all_the_text(make: Make) -> None:
    """A title beside it is metadata then."""
    ticket = only(make("title,question\nt,q\n"), Columns(text="question")).ticket
    assert (ticket.title, ticket.content, ticket.metadata) == ("", "q", {"title": "t"})


@pytest.mark.parametrize(
    ("columns", "flag"),
    [
        pytest.param(Columns(title="subject"), "--title-column", id="title"),
        pytest.param(Columns(content="body"), "--content-column", id="content"),
        pytest.param(Columns(category="label"), "--category-column", id="category"),
        pytest.param(Columns(id="nr"), "--id-column", id="id"),
        pytest.param(Columns(text="question"), "--text-column", id="text"),
    ],
)
def test_a_named_column_that_is_missing_is_an_error(make: Make, columns: Columns, flag: str) -> None:
    """The error names the flag and the columns there are, also for a file without rows."""
    with pytest.raises(UnknownNameError, match=f"no column .*{flag}.*title, content") as caught:
        read_tickets(make("title,content\n"), columns)
    assert caught.value.exit_code == 2


def test_a_file_without_text_is_an_error(make: Make) -> None:
    """With the nearest name."""
    with pytest.raises(UnknownNameError, match=r"did you mean 'contents'\?.*--content-column or --text-column"):
        read_tickets(make("title,contents\n"))


def test_text_and_title_columns_exclude_each_other(make: Make) -> None:
    """It would not be clear what the text is."""
    with pytest.raises(InputError, match="--text-column and --title-column"):
        read_tickets(make("a,b\n"), Columns(text="a", title="b"))


def test_names_that_differ_in_case_alone_are_ambiguous(make: Make) -> None:
    """Unless one of them is meant exactly."""
    with pytest.raises(InputError, match="'Content' and 'CONTENT'"):
        read_tickets(make("Content,CONTENT\n"))
    assert only(make("content,CONTENT\na,b\n")).ticket.content == "a"


def test_a_ticket_without_an_id_gets_the_number_of_its_row(make: Make) -> None:
    """Blank lines do not count."""
    assert [row.ticket.id for row in read_tickets(make("content\na\n\nb\n"))] == ["1", "2"]
    assert [row.ticket.id for row in read_tickets(make("id,content\nx,a\n ,b\n"))] == ["x", "2"]


def test_json_values_become_text(make: Make) -> None:
    """Numbers and booleans as JSON writes them, nested values as JSON, null not at all."""
    cells = {"id": 12, "content": None, "title": 3.5, "vip": True, "tags": ["退", 1], "gone": None, "channel": "chat"}
    ticket = only(make(json.dumps(cells), "t.jsonl")).ticket
    assert ticket == Ticket(id="12", content="", title="3.5", channel="chat", metadata={"vip": "true", "tags": '["退", 1]'})


def test_columns_of_json_lines_are_those_of_all_rows(make: Make) -> None:
    """A key that comes late is known from the beginning."""
    tickets = read_tickets(make('{"content": "a"}\n{"content": "b", "category": "refund"}\n', "t.jsonl"))
    assert tickets.has_categories
    assert [row.category for row in tickets] == [None, "refund"]


def test_tickets_can_be_read_again(make: Make) -> None:
    """Each iteration reads the file from its beginning."""
    tickets = read_tickets(make("content\na\nb\n"))
    assert list(tickets) == list(tickets)


def test_labelled_tickets_have_a_leaf_as_category(make: Make) -> None:
    """White space around it does not count; the view can be read again."""
    labelled = read_tickets(make("content,category\na, refund\nb,其他\n")).labelled(TAXONOMY)
    assert [(row.ticket.content, row.category, row.line) for row in labelled] == [("a", "refund", 2), ("b", "其他", 3)]
    assert list(labelled) == list(labelled)


@pytest.mark.parametrize(
    ("category", "words"),
    [
        pytest.param("", "no category", id="empty"),
        pytest.param("refnd", "did you mean 'refund'", id="misspelt"),
        pytest.param("Refund", "did you mean 'refund'", id="other case"),
        pytest.param("billing", "refund, invoice", id="not a leaf"),
    ],
)
def test_an_empty_or_unknown_category_names_file_and_line(make: Make, category: str, words: str) -> None:
    """No label is guessed."""
    path = make(f'content,category\na,refund\n"b\nb",{category}\n')
    with pytest.raises(InputError, match=words) as caught:
        list(read_tickets(path).labelled(TAXONOMY))
    assert (caught.value.file, caught.value.line) == (str(path), 3)


def test_a_label_may_stand_for_none_of_the_categories(make: Make) -> None:
    """It becomes the catch-all; without one it keeps its name."""
    path = make("content,category\na,refund\nb,oos\n")
    assert [row.category for row in read_tickets(path).labelled(TAXONOMY, "oos")] == ["refund", "oos"]
    closed = TAXONOMY.model_copy(update={"categories": (*TAXONOMY.categories, Category(id="none", catch_all=True))})
    assert [row.category for row in read_tickets(path).labelled(closed, "oos")] == ["refund", "none"]
    for taxonomy, remedy in ((TAXONOMY, "mark that category with catch_all: true"), (closed, "leave it out")):
        with pytest.raises(InputError, match=f"'refund' is a category of the taxonomy; {remedy}"):
            read_tickets(path).labelled(taxonomy, "refund")
    assert [row.category for row in read_tickets(make("content,category\na,none\n")).labelled(closed, "none")] == ["none"]


RENEWED = Taxonomy(
    categories=(
        Category(id="money", was=("billing",), children=(Category(id="退款", was=("refund", "返金")), Category(id="invoice"))),
        Category(id="late", was=("parcel",)),
        Category(id="lost", was=("parcel",)),
        Category(id="其他", was=("oos",), catch_all=True),
    )
)


def test_a_former_id_with_one_heir_is_carried(make: Make) -> None:
    """And the row says what stood there; an example learns under the new id."""
    path = make("content,category\na,refund\nb,返金\nc,退款\nd,oos\n")
    rows = list(read_tickets(path).labelled(RENEWED))
    assert [(row.category, row.was) for row in rows] == [("退款", "refund"), ("退款", "返金"), ("退款", None), ("其他", "oos")]
    assert [one.category for one in read_examples(path, RENEWED, Preparation(()))] == ["退款", "退款", "退款", "其他"]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        pytest.param("parcel", "the category 'parcel' was split; name one of them: late, lost", id="split"),
        pytest.param("billing", "the category 'billing' was split; name one of them: 退款, invoice", id="became a renamed group"),
        pytest.param("money", "the category 'money' has sub-categories; name one of them: 退款, invoice", id="a group"),
        pytest.param("wifi", "unknown category 'wifi'; known: 退款, invoice, late, lost, 其他", id="removed"),
    ],
)
def test_a_former_id_without_one_heir_waits_for_a_person(make: Make, label: str, words: str) -> None:
    """One line with the place and the categories it may mean; nothing is carried by guess."""
    path = make(f"content,category\na,refund\nb,{label}\n")
    with pytest.raises(InputError) as caught:
        list(read_tickets(path).labelled(RENEWED))
    assert str(caught.value) == f"{path}:3: {words}"


def test_what_stands_for_none_of_the_categories_was_none_of_them(make: Make) -> None:
    """A former id of another category is no word for the catch-all; its own former id is."""
    path = make("content,category\na,oos\nb,nix\n")
    with pytest.raises(InputError, match="'refund' was a category of the taxonomy; leave it out"):
        read_tickets(path).labelled(RENEWED, "refund")
    assert [row.category for row in read_tickets(path).labelled(RENEWED, "nix")] == ["其他", "其他"]
    assert [row.category for row in read_tickets(make("content,category\na,oos\n")).labelled(RENEWED, "oos")] == ["其他"]


def test_examples_of_nothing_need_a_catch_all(make: Make) -> None:
    """An engine cannot learn from a ticket without a category."""
    path = make("content,category\na,refund\nb,oos\n")
    with pytest.raises(InputError, match="'oos' is no example of any category, and the taxonomy has no catch-all") as error:
        read_examples(path, TAXONOMY, Preparation(()), none_label="oos")
    assert error.value.line == 3
    closed = TAXONOMY.model_copy(update={"categories": (*TAXONOMY.categories, Category(id="none", catch_all=True))})
    assert [one.category for one in read_examples(path, closed, Preparation(()), none_label="oos")] == ["refund", "none"]


def test_labels_without_a_taxonomy_must_only_be_there(make: Make) -> None:
    """So that a taxonomy can be made from them."""
    path = make("content,category\na,x\n")
    assert [row.category for row in read_tickets(path).labelled()] == ["x"]
    with pytest.raises(UnknownNameError, match="--category-column"):
        read_tickets(make("content\na\n")).labelled()


@pytest.mark.parametrize(("name", "expected"), [("channel", "mail"), ("shop", "x"), ("none", None)])
def test_rules_look_at_fields_and_metadata(name: str, expected: str | None) -> None:
    """By one name."""
    assert Ticket(content="", channel="mail", metadata={"shop": "x"}).value(name) == expected


def test_text_does_not_reach_a_log() -> None:
    """The repr of a ticket holds neither text nor customer."""
    assert "secret" not in repr(Ticket(content="secret", title="secret", customer="secret", metadata={"a": "secret"}))


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=8)
SHORT = st.none() | WORDS.map(str.strip).filter(bool)
TICKETS = st.builds(
    Ticket,
    content=WORDS,
    title=WORDS,
    id=WORDS.map(str.strip).filter(bool),
    channel=SHORT,
    language=SHORT,
    customer=SHORT,
    metadata=st.dictionaries(st.sampled_from(["shop", "店", "a b"]), WORDS.filter(bool)),
)


@given(st.lists(TICKETS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_tickets_are_read_back_as_written(tickets: list[Ticket]) -> None:
    """JSON lines carry a ticket without loss."""
    columns = ["id", "title", "content", "category", "channel", "language", "customer", "shop", "店", "a b"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        with open_writer(path, columns) as writer:
            for ticket in tickets:
                writer.write(ticket_cells(ticket, category="refund"))
        assert [row.ticket for row in read_tickets(path)] == tickets
        assert {row.category for row in read_tickets(path)} == {"refund"}


def test_metadata_does_not_replace_a_field() -> None:
    """It gets a prefix where its name is taken."""
    cells = ticket_cells(Ticket(id="1", content="c", metadata={"Title": "x", "shop": "y"}))
    assert cells == {"id": "1", "title": "", "content": "c", "metadata.Title": "x", "shop": "y"}
