"""`llmtriage review`: what waits, in a terminal, in scripts, and in files."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from decided import accepted, decision, pending, record, rows, ticket
from rich.cells import cell_len
from support import ROOT

from llmtriage import Taxonomy
from llmtriage.outcomes import Candidate, Reason
from llmtriage.review_files import COLUMNS
from llmtriage.store import SqlStore, schema

if TYPE_CHECKING:
    from cli.conftest import Cli, Done

HIDDEN = "login"  # what the model says of the blind ticket; nothing a reviewer reads may hold it
HOSTILE = "=HYPERLINK(0)\x1b[2J\x1b]0;pwned\x07\u202egnp.exe\n| suggestion: refund\r\n答案：refund"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, to be copied: making the tables takes a while. A pending, a Chinese, a hostile and a blind ticket wait in it."""
    path = tmp_path_factory.mktemp("review") / "llmtriage.db"
    with SqlStore(path) as store:
        wait(store)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    """The store in the folder of the commands."""
    monkeypatch.setenv("LLMTRIAGE_REVIEWER", "ann")
    with SqlStore(shutil.copy(made, tmp_path / "llmtriage.db")) as store:
        yield store


def wait(store: SqlStore) -> None:
    """Four tickets."""
    seen = replace(
        pending("refund", score=0.41),
        candidates=(Candidate(category="refund", score=0.41), Candidate(category="parcel", score=0.3)),
        reasons=(Reason(code="below_threshold", detail="0.41"),),
    )
    record(
        store,
        decision(ticket("I want my money back", "T1", title="Refund", channel="mail"), seen),
        decision(ticket("快递到哪里了", "T2", language="zh"), pending("parcel", "always_review", score=0.8)),
        decision(ticket(HOSTILE, "T3", title="@sum(1)"), pending("refund", "too_short")),
        decision(
            ticket("blind 盲审", "B1"),
            replace(accepted(HIDDEN, score=0.777), candidates=(Candidate(category=HIDDEN, score=0.777),), confidence=0.888),
            probe=0.5,
        ),
    )


def data(done: Done) -> Any:
    """The JSON that a command wrote."""
    assert done.code == 0, done.err
    return json.loads(done.out)


def reviews(store: SqlStore) -> list[tuple[Any, ...]]:
    """What was answered."""
    return [(row.reviewer, row.verdict, row.category, row.suggested, row.suggestion_shown) for row in rows(store, schema.review)]


# -- to look -------------------------------------------------------------------------------------


def test_a_list(cli: Cli, store: SqlStore) -> None:
    """One line an entry."""
    lines = cli("review", "list").out.splitlines()
    assert lines[0].split() == ["entry", "ticket", "age", "reason", "suggestion", "no.", "text"]
    assert lines[1].split()[:6] == ["1", "T1", "0m", "below_threshold", "refund", "0.41"]
    assert lines[4].split()[:6] == ["4", "B1", "0m", "probe", "-", "-"]
    assert len(lines) == 5


def test_a_list_in_chinese(cli: Cli, store: SqlStore) -> None:
    """Head and notices."""
    done = cli("review", "list", "--language", "zh", "--limit", "1")
    assert done.out.splitlines()[0].split() == ["序号", "工单", "等待", "原因", "建议", "得分", "正文"]
    assert done.err == "注意：还有更多：--limit\n"


@pytest.mark.parametrize("columns", [20, 40, 80, 140])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_line_of_a_list_is_wider_than_the_terminal(
    cli: Cli, store: SqlStore, monkeypatch: pytest.MonkeyPatch, columns: int, language: str
) -> None:
    """And each entry can be told by its number, also a large one."""
    with store.database.writing() as connection:
        connection.execute(schema.queue_entry.update().where(schema.queue_entry.c.id == 2).values(id=1_234_567))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = cli("review", "list", "--language", language).out.splitlines()
    assert max(map(cell_len, lines)) <= columns
    assert [line for line in lines if line.startswith("1234567")]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--reason", "too_short"], ["T3"]),
        (["--category", "sales"], ["T1", "T2", "T3"]),
        (["--category", "parcel"], ["T2"]),
        (["--ticket-language", "zh"], ["T2"]),
        (["--lane", "probe"], ["B1"]),
        (["--older-than", "1h"], []),
        (["--newer-than", "2d"], ["T1", "T2", "T3", "B1"]),
        (["--sample", "s"], []),
        (["--mine"], ["T2"]),
        (["--order", "uncertain", "--lane", "pending"], ["T3", "T1", "T2"]),
    ],
)
def test_filters_and_orders(cli: Cli, store: SqlStore, flags: list[str], found: list[str]) -> None:
    """As JSON."""
    cli("review", "next", "--ticket-language", "zh")
    assert [item["id"] for item in data(cli("review", "list", "--json", *flags))] == found


def test_counts(cli: Cli, store: SqlStore) -> None:
    """By lane and by reason."""
    lines = cli("review", "list", "--counts").out.splitlines()
    assert lines[0] == "4 wait, the oldest for 0m"
    assert ["pending", "3"] in [line.split() for line in lines]
    assert data(cli("review", "list", "--counts", "--json"))["lanes"] == {"pending": 3, "probe": 1}
    assert cli("review", "list", "--counts", "--language", "zh").out.startswith("4 张等待处理，")


def test_show(cli: Cli, store: SqlStore) -> None:
    """The whole ticket, why it waits, what the model says."""
    assert cli("review", "show", "T1").out.splitlines() == [
        "entry 1: ticket T1, mail, waits 0m",
        "  The model is not sure enough. (0.41)",
        "suggestion: refund [sales > Refund] (score 0.41, uncalibrated)",
        "  0.41  refund [sales > Refund]",
        "  0.30  parcel [sales > Parcel]",
        "| Refund",
        "| I want my money back",
    ]
    assert cli("review", "show", "2", "--language", "zh").out.splitlines() == [
        "序号 2：工单 T2，zh，已等待 0m",
        "  此类工单一律由人工决定。",
        "建议：parcel [sales > 物流]（得分 0.80，未校准）",
        "| 快递到哪里了",
    ]


def test_a_hostile_ticket_is_nothing_but_text(cli: Cli, store: SqlStore) -> None:
    """No escape reaches the terminal, and no line of it can pass as one of ours."""
    done = cli("review", "show", "T3")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.out)
    shown = done.out.splitlines()
    assert "| | suggestion: refund" in shown
    assert [line for line in shown if line.startswith("suggestion")] == [
        "suggestion: refund [sales > Refund] (score 0.40, uncalibrated)"
    ]
    for command in (["list"], ["list", "--json"], ["show", "T3", "--json"], ["next", "--reason", "too_short"]):
        assert "\x1b" not in cli("review", *command).out


def test_a_number_that_is_an_id_too_is_refused(cli: Cli, store: SqlStore) -> None:
    """What is meant can be said."""
    record(store, decision(ticket("another", "2"), pending()))
    done = cli("review", "confirm", "2")
    assert (done.code, done.err) == (
        2,
        "llmtriage: 2 is the number of an entry and the id of another ticket; write entry:2 or id:2\n",
    )
    assert data(cli("review", "show", "entry:2", "--json"))["id"] == "T2"
    assert data(cli("review", "show", "id:2", "--json"))["entry"] == 5
    assert data(cli("review", "show", "5", "--json"))["id"] == "2"


# -- blind entries -------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_that_the_model_thought_of_a_blind_ticket_is_shown(
    cli: Cli, store: SqlStore, tmp_path: Path, language: str
) -> None:
    """By no command and in no file; also after it was answered."""
    flags = ["--language", language, "--quiet"]
    told = [
        cli("review", *command, *flags).out
        for command in (["list"], ["list", "--json"], ["show", "B1"], ["next", "--lane", "probe"])
    ]
    told += [cli("review", *command, *flags).out for command in (["show", "B1", "--json"], ["next", "--lane", "probe", "--json"])]
    for name in ("out.csv", "out.jsonl"):
        cli("review", "export", name, "--lane", "probe", *flags)
        told.append((tmp_path / name).read_text(encoding="utf-8"))
    told.append(cli("review", "correct", "B1", "parcel", "--json", *flags).out)
    told += [cli("review", *command, *flags).out for command in (["show", "B1"], ["show", "B1", "--json"], ["undo", "--json"])]
    assert len(told) == 12
    for text in told:
        assert "B1" in text
        assert not re.search(rf"{HIDDEN}|0\.77|0\.88|confirm", text), text
    assert reviews(store)[0] == ("ann", "correct", "parcel", None, False)


def test_a_blind_ticket_has_nothing_to_confirm(cli: Cli, store: SqlStore) -> None:
    """The way out is told, and not what the model says."""
    done = cli("review", "confirm", "B1")
    assert (done.code, done.err) == (
        2,
        "llmtriage: B1 has no suggestion that may be seen; decide yourself: llmtriage review correct 4 CATEGORY\n",
    )


def test_an_answer_to_a_blind_ticket_does_not_tell_whether_it_agrees(cli: Cli, store: SqlStore) -> None:
    """The verdict is the same either way."""
    first = data(cli("review", "correct", "B1", HIDDEN, "--json"))
    cli("review", "undo")
    second = data(cli("review", "correct", "B1", "parcel", "--json"))
    assert {key for key in first if first[key] != second[key]} <= {"category", "round", "at"}


# -- to answer -----------------------------------------------------------------------------------


def test_a_second_opinion(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """Another person gets it, blind, with the reason in words; the own answer is taken back by the id of the ticket."""
    store.second = 1.0
    (item,) = store.queue.claim("ann")
    store.queue.answer(item, "ann", "parcel", taxonomy=Taxonomy.load(tmp_path / "taxonomy.yaml"), shown=True)
    assert "T1" not in cli("review", "list", "--lane", "second").out
    listed = cli("review", "list", "--lane", "second", "--reviewer", "bob").out
    assert listed.splitlines()[1].split()[1:5] == ["T1", "0m", "second", "-"]
    assert "Second opinion" in cli("review", "next", "--lane", "second", "--reviewer", "bob").out
    shown = cli("review", "next", "--lane", "second", "--reviewer", "bob", "--language", "zh").out
    assert "第二意见" in shown
    assert "parcel" not in shown
    assert cli("review", "next", "--lane", "second").code == 1
    assert "second" not in data(cli("review", "list", "--counts", "--json"))["lanes"]
    assert data(cli("review", "list", "--counts", "--json", "--reviewer", "bob"))["lanes"]["second"] == 1
    assert data(cli("review", "undo", "T1", "--json"))["category"] == "parcel"
    assert cli("review", "list", "--lane", "second", "--json").out.strip() == "[]"


def test_next_is_the_same_until_it_is_answered(cli: Cli, store: SqlStore) -> None:
    """For the same person; somebody else gets another one."""
    assert cli("review", "next").out.splitlines()[0] == "entry 1: ticket T1, mail, waits 0m, with ann"
    assert data(cli("review", "next", "--json"))["id"] == "T1"
    assert data(cli("review", "next", "--json", "--reviewer", "鲍勃"))["id"] == "T2"
    assert cli("review", "confirm", "T1").out == "T1: refund, answered by ann; llmtriage review undo takes it back\n"
    assert data(cli("review", "next", "--json"))["id"] == "T3"


def test_when_nothing_waits(cli: Cli, store: SqlStore) -> None:
    """Exit code 1, for scripts."""
    done = cli("review", "next", "--reason", "timeout", "--language", "zh")
    assert (done.code, done.out, done.err) == (1, "", "注意：没有等待您处理的工单\n")


def test_answers(cli: Cli, store: SqlStore) -> None:
    """Who, what, and whether the suggestion was seen."""
    assert cli("review", "confirm", "T1", "--note", "打过电话").code == 0
    assert cli("review", "correct", "T2", "login", "--reviewer", "王芳", "--language", "zh").out.startswith(
        "T2：login，由 王芳 回答"
    )
    assert reviews(store) == [("ann", "confirm", "refund", "refund", True), ("王芳", "correct", "login", "parcel", True)]
    assert rows(store, schema.review)[0].note == "打过电话"
    done = cli("review", "confirm", "T1")
    assert (done.code, done.err) == (2, "llmtriage: T1 was answered already by ann; go on with the next one\n")
    shown = cli("review", "show", "T1").out.splitlines()
    assert shown[0] == "entry 1: ticket T1, mail, answered"
    assert re.fullmatch(r"ann, \d{4}-\d\d-\d\d \d\d:\d\d UTC: refund \[sales > Refund\]", shown[-2])
    assert shown[-1] == "  | 打过电话"


def test_what_somebody_else_has_before_them_is_not_answered(cli: Cli, store: SqlStore) -> None:
    """One line says who."""
    cli("review", "next", "--reviewer", "bob")
    done = cli("review", "correct", "T1", "parcel")
    assert (done.code, done.err) == (2, "llmtriage: T1 is with bob now; go on with the next one\n")


@pytest.mark.parametrize("answer", [["confirm", "T1"], ["correct", "T1", "refund"]])
def test_what_was_decided_anew_since_it_was_given_is_given_again_first(cli: Cli, store: SqlStore, answer: list[str]) -> None:
    """The person read another text, and would confirm another suggestion."""
    assert "I want my money back" in cli("review", "next").out
    with SqlStore(store.name) as later_run:
        record(later_run, decision(ticket("密码忘记了", "T1"), pending("parcel")))
    done = cli("review", *answer)
    assert done.code == 2
    assert done.err == "llmtriage: T1 was decided anew since you were given it; take it again: llmtriage review next\n"
    assert "密码忘记了" in cli("review", "next").out
    assert cli("review", *answer).code == 0
    assert len(reviews(store)) == 1


@pytest.mark.parametrize(
    ("category", "line"),
    [
        ("refnd", "unknown category 'refnd'; did you mean 'refund'?"),
        ("退款", "unknown category '退款'; did you mean 'refund'?"),
        ("sales", "the category 'sales' has sub-categories; name one of them: refund, parcel"),
    ],
)
def test_a_category_that_is_none(cli: Cli, store: SqlStore, category: str, line: str) -> None:
    """A name leads to its id; nothing is guessed."""
    done = cli("review", "correct", "T1", category)
    assert (done.code, done.err) == (2, f"llmtriage: {line}\n")
    assert reviews(store) == []


def test_a_suggestion_that_is_a_department_cannot_be_confirmed(cli: Cli, store: SqlStore) -> None:
    """A leaf has to be named."""
    record(store, decision(ticket("which", "D"), pending("sales")))
    assert "name one of them: refund, parcel" in cli("review", "confirm", "D").err


def test_a_taxonomy_that_lost_the_suggested_category(cli: Cli, store: SqlStore) -> None:
    """It is shown as it is, and cannot be confirmed."""
    record(store, decision(ticket("old", "O"), pending("gone")))
    assert "suggestion: gone" in cli("review", "show", "O").out
    assert "unknown category 'gone'" in cli("review", "confirm", "O").err


def test_skip_and_undo(cli: Cli, store: SqlStore) -> None:
    """In words, in both languages."""
    assert cli("review", "skip", "T1").out == "T1: skipped by ann; it waits for others\n"
    assert data(cli("review", "next", "--json"))["id"] == "T2"
    cli("review", "confirm", "T2")
    assert cli("review", "undo", "--language", "zh").out == "T2：已撤回 parcel，重新等待 ann 处理\n"
    assert cli("review", "undo").err == "llmtriage: ann has given no answer that stands; only own answers can be taken back\n"
    cli("review", "confirm", "T2")
    cli("review", "confirm", "T3")
    assert cli("review", "undo", "T2").out == "T2: parcel is taken back; it waits for ann again\n"
    assert data(cli("review", "show", "T2", "--json"))["answers"][-1]["taken_back"] is True


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", " ", "\u202eevil"])
def test_a_reviewers_name_that_is_none(cli: Cli, store: SqlStore, name: str) -> None:
    """Nothing is kept under it."""
    for command in (["next"], ["confirm", "T1"], ["skip", "T1"], ["undo"]):
        done = cli("review", *command, "--reviewer", name)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "--reviewer: a reviewer" in done.err
    assert reviews(store) == []


def test_the_login_name_is_the_reviewers(cli: Cli, store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is given."""
    monkeypatch.delenv("LLMTRIAGE_REVIEWER")
    monkeypatch.setenv("LOGNAME", "王芳")
    assert data(cli("review", "next", "--json"))["held_by"] == "王芳"


def test_similar_tickets(cli: Cli, store: SqlStore) -> None:
    """Those that people decided, and only their text and category."""
    cli("review", "correct", "T1", "refund")
    record(store, decision(ticket("may I want my money back now", "N"), pending()))
    lines = cli("review", "show", "N").out.splitlines()
    place = lines.index("similar tickets that people have decided:")
    assert lines[place + 1 :] == ["  refund [sales > Refund]", "  | Refund I want my money back"]
    assert "similar" not in cli("review", "show", "N", "--similar", "0").out


# -- files ---------------------------------------------------------------------------------------


def fill(path: Path, answers: dict[str, str], **more: str) -> None:
    """Fill in the categories of tickets, as Excel would save the file."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        table = list(csv.DictReader(stream))
    for row in table:
        row["category"] = answers.get(row["id"], "")
        row.update(more)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    path.write_text(out.getvalue(), encoding="utf-8-sig")


def test_an_export_for_excel(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """UTF-8 that Excel knows, and no cell that it would run; blank for the person what is theirs."""
    done = cli("review", "export", "out.csv", "--language", "zh")
    assert (done.code, done.err) == (0, "4 条：out.csv\n")
    raw = (tmp_path / "out.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    table = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert tuple(table[0]) == COLUMNS
    assert (table[0]["suggestion"], table[0]["candidates"], table[0]["category"]) == ("refund", "refund=0.41 parcel=0.30", "")
    assert (table[1]["why"], table[1]["reasons"], table[1]["content"]) == (
        "此类工单一律由人工决定。",
        "always_review",
        "快递到哪里了",
    )
    assert (table[2]["title"], table[2]["content"][:2]) == ("'@sum(1)", "'=")
    assert [table[3][name] for name in ("suggestion", "confidence", "score", "candidates", "reasons")] == [
        "",
        "",
        "",
        "",
        "probe",
    ]


def test_an_export_loses_nothing_in_jsonl(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """The texts are those that came in."""
    assert cli("review", "export", "out.jsonl").code == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [line["content"] for line in lines] == ["I want my money back", "快递到哪里了", HOSTILE, "blind 盲审"]
    assert lines[0]["candidates"] == [{"category": "refund", "score": 0.41}, {"category": "parcel", "score": 0.3}]
    assert lines[0]["category"] is None


def test_an_export_replaces_no_file(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """Unless told."""
    (tmp_path / "out.csv").write_text("mine", encoding="utf-8")
    assert cli("review", "export", "out.csv").err == "llmtriage: out.csv: the file exists; give another name or --overwrite\n"
    assert cli("review", "export", "out.csv", "--overwrite", "--limit", "1", "--no-bom").code == 0
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("entry,")


def test_a_file_comes_back(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """Once; the same file twice changes nothing and says so."""
    cli("review", "export", "out.csv")
    fill(tmp_path / "out.csv", {"T1": "refund", "T2": " login ", "B1": "parcel"}, note="看过")
    assert cli("review", "import", "out.csv").out == "3 answers kept, 0 were there already, 1 rows without a category wait on\n"
    before = reviews(store)
    assert before == [
        ("ann", "confirm", "refund", "refund", True),
        ("ann", "correct", "login", "parcel", True),
        ("ann", "correct", "parcel", None, False),
    ]
    assert {row.note for row in rows(store, schema.review)} == {"看过"}
    assert data(cli("review", "import", "out.csv", "--json")) == {"new": 0, "known": 3, "waiting": 1}
    assert cli("review", "import", "out.csv", "--language", "zh").out == "保存 0 个回答，3 个已存在，1 行没有类别，继续等待\n"
    assert reviews(store) == before


def test_a_file_of_another_store_is_refused(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """Its entries have the same numbers, and tickets without ids could not be told apart."""
    with SqlStore(tmp_path / "other.db") as other:
        record(other, decision(ticket("快递到哪里了", None), pending("parcel")))
    cli("review", "export", "out.csv", "--store", "other.db")
    fill(tmp_path / "out.csv", {"": "parcel"})
    done = cli("review", "import", "out.csv")
    remedy = "name the store it was exported from with --store"
    assert (done.code, done.err) == (2, f"llmtriage: out.csv:2: store: the row is of another store; {remedy}\n")
    assert not reviews(store)
    assert data(cli("review", "import", "out.csv", "--store", "other.db", "--json"))["new"] == 1


def test_an_id_with_spaces_around_it_comes_back(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """A cell is read without them."""
    record(store, decision(ticket("空格", " T9 "), pending("parcel")))
    cli("review", "export", "out.csv")
    fill(tmp_path / "out.csv", {" T9 ": "parcel"})
    assert data(cli("review", "import", "out.csv", "--json"))["new"] == 1


def test_an_argument_that_is_no_text_is_no_fault(cli: Cli, store: SqlStore) -> None:
    """Bytes that are no UTF-8, as a shell may hand them over."""
    assert data(cli("review", "list", "--ticket-language", "\udcff", "--json")) == []
    assert cli("review", "correct", "T1", "refund", "--note", "坏\udcff").code == 0
    assert [row.note for row in rows(store, schema.review)] == ["坏\ufffd"]


def test_a_file_without_suggestions_shows_none(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """And its answers say so."""
    cli("review", "export", "out.csv", "--no-suggestions")
    assert "refund" not in (tmp_path / "out.csv").read_text(encoding="utf-8-sig").replace(HOSTILE, "").split("T3")[0]
    fill(tmp_path / "out.csv", {"T1": "refund"})
    cli("review", "import", "out.csv")
    assert reviews(store) == [("ann", "confirm", "refund", "refund", False)]


def test_a_file_in_jsonl_comes_back(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """With a column for who answered."""
    cli("review", "export", "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    lines[1] |= {"category": "login", "reviewer": "王芳"}
    lines[2] |= {"category": "refund", "reviewer": ""}
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert data(cli("review", "import", "in.jsonl", "--json"))["new"] == 2
    assert [row[0] for row in reviews(store)] == ["王芳", "ann"]


def test_excel_makes_numbers_of_ids(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """0012 becomes 12, and a long number one with an E."""
    for place, name in enumerate(["0012", "1234567890123456", "=1+1"]):
        record(store, decision(ticket(f"text {place}", name), pending("refund")))
    cli("review", "export", "out.csv", "--lane", "pending")
    text = (tmp_path / "out.csv").read_text(encoding="utf-8-sig").replace("0012", "12").replace("1234567890123456", "1.23457E+15")
    (tmp_path / "out.csv").write_text(text, encoding="utf-8-sig")
    fill(tmp_path / "out.csv", {"12": "parcel", "1.23457E+15": "parcel", "'=1+1": "parcel"})
    assert data(cli("review", "import", "out.csv", "--json"))["new"] == 3


def change(path: Path, old: str, new: str) -> None:
    """Change what stands in a file."""
    text = path.read_text(encoding="utf-8-sig")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ((",login,", ",logn,"), "unknown category 'logn'; did you mean 'login'?"),
        ((",login,", ",sales,"), "the category 'sales' has sub-categories; name one of them: refund, parcel"),
        (("2,2,T2", "2,2,T9"), "entry 2 is of another ticket than 'T9'; keep the cells of a row together when you sort or paste"),
        (("2,2,T2", "99,2,T2"), "the queue has no entry 99; import what llmtriage review export wrote"),
        (
            ("2,2,T2", "2,7,T2"),
            "the text of entry 2 was changed meanwhile, or it waits no longer; remove the row, and export anew",
        ),
        (("2,2,T2", "zwei,2,T2"), "entry: 'zwei' is no number; leave this column as llmtriage review export wrote it"),
        (("2,2,T2", "1,1,T1"), "entry 1 was answered already, with 'refund'; remove the row, or take that answer back first"),
        (("who", "a\x07b"), "reviewer: a reviewer's name is visible text on one line; remove line ends and control characters"),
    ],
)
def test_one_wrong_row_and_nothing_is_kept(cli: Cli, store: SqlStore, tmp_path: Path, wrong: tuple[str, str], line: str) -> None:
    """The line is told."""
    cli("review", "export", "out.csv")
    path = tmp_path / "out.csv"
    fill(path, {"T1": "refund", "T2": "login"})
    change(path, "category,note", "category,note,reviewer")
    change(path, ",login,", ",login,,who")
    change(path, *wrong)
    done = cli("review", "import", "out.csv")
    assert (done.code, done.err) == (2, f"llmtriage: out.csv:3: {line}\n")
    assert reviews(store) == []


def test_answered_otherwise_since_the_export(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """The answer that stands is not replaced."""
    cli("review", "export", "out.csv")
    cli("review", "correct", "T1", "parcel", "--reviewer", "bob")
    fill(tmp_path / "out.csv", {"T1": "refund", "T2": "login"})
    assert cli("review", "import", "out.csv").err == (
        "llmtriage: out.csv:2: entry 1 was answered already, with 'parcel'; remove the row, or take that answer back first\n"
    )
    fill(tmp_path / "out.csv", {"T1": "parcel", "T2": "login"})
    assert data(cli("review", "import", "out.csv", "--json")) == {"new": 1, "known": 1, "waiting": 2}


def test_a_file_goes_before_what_somebody_has_before_them(cli: Cli, store: SqlStore, tmp_path: Path) -> None:
    """Their answer is refused then."""
    cli("review", "export", "out.csv")
    item = store.queue.claim("bob")[0]
    fill(tmp_path / "out.csv", {"T1": "refund"})
    assert data(cli("review", "import", "out.csv", "--json"))["new"] == 1
    assert not store.queue.extend(item, "bob")
    assert "was answered already by ann" in cli("review", "correct", "T1", "parcel", "--reviewer", "bob").err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("id,category\nT1,refund\n", "in.csv:1: no column 'entry'; import what llmtriage review export wrote"),
        ("entry,version,store,category\n1,1,abc,refund,4\n", "in.csv:2: 5 cells in this row, but the header names 4"),
    ],
)
def test_a_file_that_is_no_export(cli: Cli, store: SqlStore, tmp_path: Path, text: str, line: str) -> None:
    """One line."""
    (tmp_path / "in.csv").write_text(text, encoding="utf-8")
    assert cli("review", "import", "in.csv").err.startswith(f"llmtriage: {line}")


# -- the command itself --------------------------------------------------------------------------


def test_without_a_terminal_there_is_no_screen(cli: Cli, store: SqlStore) -> None:
    """The other ways are named."""
    done = cli("review")
    assert done.code == 2
    assert "the review screen needs a terminal" in done.err
    assert "review" in done.err


def test_without_a_store(cli: Cli, tmp_path: Path) -> None:
    """None is made."""
    done = cli("review", "list")
    assert (done.code, done.err) == (
        2,
        "llmtriage: llmtriage.db: --store: there is no store; classify a file first, or name another one\n",
    )
    assert not (tmp_path / "llmtriage.db").exists()


def test_a_flag_before_the_subcommand_is_refused(cli: Cli, store: SqlStore) -> None:
    """It would have no effect."""
    done = cli("review", "--store", "other.db", "list")
    assert (done.code, done.err) == (2, "llmtriage: --store stands before list; write llmtriage review list --store ...\n")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--older-than", "soon"], "'soon' is no span such as 30m, 12h, 2d or 1w."),
        (["--older-than", "999999999d"], "is no span"),
        (["--category", "refnd"], "--category: unknown category 'refnd'; did you mean 'refund'?"),
        (["--reason", "why"], "'why' is not one of"),
    ],
)
def test_filters_that_are_none(cli: Cli, store: SqlStore, flags: list[str], line: str) -> None:
    """One line."""
    done = cli("review", "list", *flags)
    assert done.code == 2
    assert line in done.err
    assert done.err.count("\n") == 1


def test_the_commands_of_the_page_of_review_work(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, on the example tickets; all but the one that needs a terminal."""
    monkeypatch.delenv("LLMTRIAGE_NO_STORE")
    shutil.copy(ROOT / "taxonomy.yaml", tmp_path)
    lines = (ROOT / "examples" / "tickets.csv").read_text(encoding="utf-8").split("\n")
    (tmp_path / "tickets.csv").write_text("\n".join(lines[:60]), encoding="utf-8")
    page = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines()]
    assert len(commands) >= 12
    for command in commands:
        done = cli(*command)
        assert done.code == (2 if command == ["review"] else 0), f"{command}: {done.err}"
