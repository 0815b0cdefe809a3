"""`llmtriage db`: upgrade, backup, erase, prune."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from cli.conftest import Cli
from decided import accepted, decision, entries, pending, record, rows, ticket
from support import ROOT

from llmtriage import Ticket
from llmtriage.store import SqlStore, inbox, schema


@pytest.fixture
def filled(cli: Cli, tmp_path: Path) -> Path:
    """A store with four tickets of two customers, two of which wait."""
    path = tmp_path / "llmtriage.db"
    with SqlStore(path) as store:
        record(store, decision(ticket("退款：13812345678", "T1", customer="李雷"), pending()))
        record(store, decision(ticket("快递", "T2", customer="李雷"), accepted("parcel")))
        record(store, decision(ticket("other", "T3", customer="韩梅梅"), pending()), decision(Ticket(content="x"), accepted()))
    return path


def _texts(path: Path) -> list[str | None]:
    with SqlStore(path) as store:
        return [row.content for row in rows(store, schema.ticket_text)]


def test_upgrade_says_from_which_version_to_which(cli: Cli, filled: Path) -> None:
    """In both languages; an older store is brought to the newest version."""
    assert cli("db", "upgrade").err == "llmtriage.db: version 0003, the newest\n"
    assert cli("db", "upgrade", "--language", "zh").err == "llmtriage.db：版本 0003，已是最新\n"
    empty = filled.parent / "empty.db"
    empty.touch()
    assert cli("db", "upgrade", "--store", empty).err.endswith("empty.db: made, version 0003\n")
    assert cli("db", "upgrade", "--quiet").err == ""


def test_backup_copies_into_a_new_file(cli: Cli, filled: Path) -> None:
    """In both languages; it says how large the copy is, and replaces nothing."""
    done = cli("db", "backup", "copy.db")
    size = Path("copy.db").stat().st_size
    assert (done.code, done.err) == (0, f"llmtriage.db: copied to copy.db, {size:,} bytes\n")
    assert _texts(filled.parent / "copy.db") == _texts(filled)
    again = cli("db", "backup", "copy.db")
    assert (again.code, again.err) == (2, "llmtriage: copy.db: exists already; name another file\n")
    assert cli("db", "backup", "副本.db", "--language", "zh").err == f"llmtriage.db：已复制到 副本.db，{size:,} 字节\n"
    assert cli("db", "backup", "no.db", "--store", "none.db").code == 2


def test_upgrade_refuses_what_it_cannot_bring_forward(cli: Cli, filled: Path) -> None:
    """A newer store, one that is not there, another program's database."""
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute("update alembic_version set version_num = '9999'")
    done = cli("db", "upgrade")
    assert (done.code, done.err) == (
        2,
        "llmtriage: llmtriage.db: the store has version 9999, which is newer; install the newer llmtriage\n",
    )
    done = cli("db", "upgrade", "--store", "no.db")
    assert (done.code, done.err) == (
        2,
        "llmtriage: no.db: --store: there is no store; classify a file first, or name another one\n",
    )
    assert not Path("no.db").exists()


@pytest.mark.parametrize(
    ("flags", "left"), [(["--ticket", "T1", "--ticket", "T3"], ["快递", "x"]), (["--customer", "李雷"], ["other", "x"])]
)
def test_erase_takes_out_tickets_by_id_or_by_customer(cli: Cli, filled: Path, flags: list[str], left: list[str]) -> None:
    """Nothing of them is in any file of the store; the others are as they were."""
    done = cli("db", "erase", *flags, "--yes")
    assert (done.code, done.err) == (0, "2 tickets erased; outcomes and counts stay\n")
    assert [text for text in _texts(filled) if text is not None] == left
    held = b"".join(path.read_bytes() for path in filled.parent.glob("llmtriage.db*"))
    assert b"13812345678" not in held
    assert "退款：".encode() not in held
    with SqlStore(filled) as store:
        assert len(rows(store, schema.outcome)) == 4
        assert len(entries(store)) == 1 if "--customer" in flags else not entries(store)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "neither --ticket nor --customer; say what to erase"),
        (["--ticket", "T9", "--yes"], "--ticket: no ticket 'T9'; nothing was erased now; it may be erased already"),
        (
            ["--ticket", "T1", "--ticket", "甲", "--ticket", "乙", "--yes"],
            "--ticket: no ticket '甲' and 1 more; nothing was erased now",
        ),
        (["--customer", "李磊", "--yes"], "--customer: no ticket of this customer; see how it is written"),
        (["--ticket", "T1", "--source", "app", "--yes"], "--ticket: no ticket 'T1'; nothing"),
        (["--ticket", "T1"], "--yes: nobody can be asked here; add it to erase without a question"),
    ],
)
def test_erase_erases_nothing_where_something_is_wrong(
    cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], says: str
) -> None:
    """Half an erasure would be taken for one."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    done = cli("db", "erase", *flags)
    assert done.code == 2
    assert says in done.err
    assert "李磊" not in done.err
    assert None not in _texts(filled)


@pytest.mark.parametrize(("answer", "erased"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_erase_asks_first(cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch, answer: str, *, erased: bool) -> None:
    """How many, and in which store; no answer is no."""
    import io

    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    done = cli("db", "erase", "--ticket", "T1", "--language", "zh")
    assert done.code == (0 if erased else 130)
    assert "永久删除 llmtriage.db 中 1 张工单的个人数据？" in done.err
    assert _texts(filled).count(None) == erased


def test_what_is_decided_while_somebody_is_asked_is_erased_too(cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that was not decided when it was counted, and a ticket that was not there yet."""
    with SqlStore(filled) as store:
        inbox.put(store, "crm", "m1", Ticket(content="退款：电话", id="T7", customer="李雷"))
        [held] = inbox.take(store, 9)

        def decide(*_: object, **__: object) -> None:
            record(store, decision(held.ticket, pending()), decision(ticket("又一个", "T8", customer="李雷"), pending()))
            inbox.done(store, [held.id])

        monkeypatch.setattr("llmtriage.cli.db._ask", decide)
        done = cli("db", "erase", "--customer", "李雷")
    assert (done.code, done.err) == (0, "4 tickets erased; outcomes and counts stay\n")
    assert _texts(filled) == [None, None, "other", "x", None, None]


def test_prune_keeps_a_limit_of_time(cli: Cli, filled: Path) -> None:
    """A dry run says how many; those that wait stay."""
    with SqlStore(filled) as store, store.database.writing() as connection:
        for table in (schema.ticket, schema.ticket_text):
            connection.execute(table.update().values(received_at=table.c.received_at - 91 * 86_400_000_000))
    assert cli("db", "prune", "--older-than", "13w", "--dry-run").err == "2 tickets would lose their text\n"
    assert cli("db", "prune", "--older-than", "14w").err == "0 tickets lost their text; outcomes and counts stay\n"
    assert cli("db", "prune", "--older-than", "1y", "--dry-run", "--language", "zh").err == "将删除 0 张工单的文字\n"
    assert None not in _texts(filled)
    assert cli("db", "prune", "--older-than", "90d").err == "2 tickets lost their text; outcomes and counts stay\n"
    assert _texts(filled) == ["退款：13812345678", None, "other", None]


@pytest.mark.parametrize("time", ["", "90", "d", "0d", "-1d", "1.5y", "9e9d", "3m", "１０d", "百天"])
def test_a_time_that_is_none_is_refused(cli: Cli, filled: Path, time: str) -> None:
    """A month may be a minute."""
    done = cli("db", "prune", f"--older-than={time}")
    assert (done.code, "write it like 90d, 12w or 1y" in done.err) == (2, True)


def test_the_page_of_the_store_names_every_command() -> None:
    """Who looks for one finds it."""
    from llmtriage.cli.db import db

    page = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
    assert all(f"llmtriage db {name}" in page for name in db.commands)
