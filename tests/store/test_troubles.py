"""A store in trouble: one clear line, the right exit code, and nothing lost that was committed. In real processes."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import postgresql
import pytest
import sqlalchemy as sa
from decided import accepted, decision, entries, pending, recall, record, rows, ticket

from llmtriage import Category, Taxonomy
from llmtriage.errors import InputError, LlmtriageError, StoreError
from llmtriage.store import SqlStore, erasing, schema

Classify = Callable[..., tuple[int, str]]

_PRIVATE = "我的电话是13812345678"
_GUEST = f"{postgresql.GUEST}:{quote(postgresql.PASSWORD)}"
# Root may write everything unless it gives that up.
_AS_OTHERS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.fixture
def classify(tmp_path: Path) -> Classify:
    """Run `llmtriage classify` on 600 tickets with a store; its exit code and what it says."""
    lines = [f"T{number},{_PRIVATE} 退款 {number} {'正文' * 100}" for number in range(600)]
    (tmp_path / "tickets.csv").write_text("\n".join(["id,content", *lines]), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "LLMTRIAGE_NO_STORE"}

    def call(store: str | Path, *arguments: str, bare: bool = False, **how: Any) -> tuple[int, str]:
        flags = ["tickets.csv", "-o", "out.csv", "--store", str(store), "--quiet", *arguments]
        command = [*(_AS_OTHERS if bare else []), sys.executable, "-m", "llmtriage", "classify", *flags]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, **how)
        assert not done.stdout
        return done.returncode, done.stderr

    return call


def _line(err: str) -> str:
    """The one line that was said, which holds nothing of a ticket."""
    [line] = err.splitlines()
    assert line.startswith("llmtriage: ")
    assert "13812345678" not in err
    return line


def _text(path: Path, made: Path) -> None:
    path.write_text("工单,类别\n", encoding="utf-8")


def _folder(path: Path, made: Path) -> None:
    path.mkdir()


def _noise(path: Path, made: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)


def _cut(path: Path, made: Path) -> None:
    path.write_bytes(made.read_bytes()[:20_000])


def _of_something_else(path: Path, made: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table songs (name text)")


def _newer(path: Path, made: Path) -> None:
    shutil.copy(made, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update alembic_version set version_num = '9999'")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_text, "this is no database; name another file"),
        (_folder, "this is a folder; name a file"),
        (_noise, "this is no database of llmtriage; name another file"),
        (_cut, "the file is damaged; put a backup in its place"),
        (_of_something_else, "a database of something else; name another file"),
        (_newer, "the store has version 9999, this llmtriage works with 0003; install the newer llmtriage"),
    ],
)
def test_what_is_no_store_is_told_and_left_as_it_is(
    make: Callable[[Path, Path], None], says: str, made_file: Path, tmp_path: Path
) -> None:
    """Nothing of it is changed."""
    path = tmp_path / "a b.db"
    make(path, made_file)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError) as caught:
        SqlStore(path)
    assert f"{path}: " in str(caught.value)
    assert says in str(caught.value)
    assert before == (path.read_bytes() if path.is_file() else None)


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """As after a run that was killed before it could make the tables."""
    (tmp_path / "s.db").touch()
    with SqlStore(tmp_path / "s.db") as store:
        record(store, decision(ticket(), accepted()))


def test_a_new_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The file and those beside it."""
    before = os.umask(0)
    try:
        with SqlStore(tmp_path / "s.db") as store:
            record(store, decision(ticket(), accepted()))
            assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    finally:
        os.umask(before)


def test_a_file_that_is_not_to_be_made_must_be_there(tmp_path: Path) -> None:
    """A mistyped name is told."""
    with pytest.raises(InputError, match="there is no store; classify a file first, or name another one"):
        SqlStore(tmp_path / "s.db", create=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_wrong_file_stops_a_run_before_it_begins(classify: Classify, tmp_path: Path) -> None:
    """Exit code 2, no output."""
    _text(tmp_path / "s.db", tmp_path)
    code, err = classify("s.db")
    assert (code, _line(err)) == (2, "llmtriage: s.db: --store: this is no database; name another file")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.slow
def test_what_may_only_be_read_stops_a_run_before_it_begins(classify: Classify, made_file: Path, tmp_path: Path) -> None:
    """A file without write permission, one in such a folder, and such a folder without a file."""
    if _AS_OTHERS and shutil.which("setpriv") is None:
        pytest.skip("root can write everything here: install setpriv")
    shutil.copy(made_file, tmp_path / "s.db")
    (tmp_path / "s.db").chmod(0o400)
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(made_file, folder / "s.db")
    folder.chmod(0o500)
    try:
        for store, says in {
            "s.db": "it is read-only; give write permission for the file and its folder, or use --no-store",
            "folder/s.db": "it is read-only; give write permission for the file and its folder, or use --no-store",
            "folder/new.db": "cannot be made (Permission denied); name a file in a folder that may be written, or use --no-store",
        }.items():
            code, err = classify(store, bare=True)
            assert (code, _line(err)) == (2, f"llmtriage: {store}: --store: {says}")
    finally:
        folder.chmod(0o700)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.slow
def test_a_store_that_another_program_holds_is_waited_for_and_then_told(
    classify: Classify, made_file: Path, tmp_path: Path
) -> None:
    """Exit code 5: it passes."""
    path = shutil.copy(made_file, tmp_path / "s.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        code, err = classify("s.db")
    assert (code, _line(err)) == (
        5,
        "llmtriage: s.db: another program holds the store; wait for it to end, or name another store",
    )


@pytest.mark.slow
def test_a_disk_that_is_full_ends_a_run_that_can_go_on(classify: Classify, tmp_path: Path) -> None:
    """What was committed is there, the output is the exact beginning of the whole one, and the next run finishes it."""

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    code, err = classify("s.db", preexec_fn=small)
    line = _line(err)
    assert code == 5
    assert line.startswith("llmtriage: s.db: the disk cannot be written or read; see whether it is full or gone;")
    told = re.search(r"(\d+) of 600 tickets are decided, (\d+) are not; go on with --resume", line)
    assert told is not None
    decided = int(told[1])
    assert (0 < decided < 600, int(told[2])) == (True, 600 - decided)
    with SqlStore(tmp_path / "s.db") as store:
        assert len(rows(store, schema.outcome)) == len(rows(store, schema.queue_entry)) == decided
    beginning = (tmp_path / "out.csv").read_bytes()
    assert classify("s.db", "--resume") == (0, "")
    assert (tmp_path / "out.csv").read_bytes().startswith(beginning)
    with SqlStore(tmp_path / "s.db") as store:
        assert len(rows(store, schema.outcome)) == len(rows(store, schema.queue_entry)) == 600


def test_who_waits_for_a_writer_too_long_is_told(where: str, open_store: Callable[..., SqlStore]) -> None:
    """On both databases, and the next attempt works."""
    holder, waiter = open_store(), open_store(busy_seconds=0.2)
    with holder.database.writing() as connection:
        connection.execute(schema.run.insert(), {"id": "r", "backend": "b", "fingerprint": {}, "version": "1", "started_at": 1})
        with pytest.raises(StoreError, match="another program holds the store; wait for it to end, or name another store"):
            record(waiter, decision(ticket(), accepted()))
        assert recall(waiter, ticket()) == [None]
    record(waiter, decision(ticket(), accepted()))


def test_a_copy_that_is_made_while_somebody_writes_is_a_whole_store(made_file: Path, tmp_path: Path) -> None:
    """With SQLite's own backup, as the page on the store says."""
    with SqlStore(shutil.copy(made_file, tmp_path / "s.db")) as store:
        record(store, decision(ticket(), pending()))
        with store.database.writing() as connection:
            connection.execute(
                schema.run.insert(), {"id": "r", "backend": "b", "fingerprint": {}, "version": "1", "started_at": 1}
            )
            with closing(sqlite3.connect(tmp_path / "s.db")) as source, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
                source.backup(copy)
    with SqlStore(tmp_path / "copy.db") as copied:
        (known,) = recall(copied, ticket())
        assert known
        assert len(entries(copied)) == 1
        assert [row.id for row in rows(copied, schema.run)] == ["run-1"]


def test_a_database_that_may_not_grow_keeps_what_it_has(tmp_path: Path) -> None:
    """SQLite says that the disk is full; a commit is there wholly or not at all."""
    with SqlStore(tmp_path / "s.db") as store:
        record(store, decision(ticket(), accepted()))
        _no_longer_grows(store)
        with pytest.raises(StoreError, match="the disk is full; make room and go on; what was committed is kept") as caught:
            record(store, *(decision(ticket(f"{_PRIVATE} {n} {'长' * 9000}", f"N{n}"), accepted()) for n in range(50)))
        assert "1381" not in str(caught.value)
        assert [row.external_id for row in rows(store, schema.ticket)] == ["T1"]


def _no_longer_grows(store: SqlStore) -> None:
    @sa.event.listens_for(store.database.writer, "begin")
    def _small(connection: sa.Connection) -> None:
        connection.exec_driver_sql("pragma max_page_count = 60")


def test_the_file_may_go_while_a_run_goes_on(tmp_path: Path) -> None:
    """A folder that is gone is told as what it is."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with SqlStore(folder / "s.db") as store:
        store.close()
        shutil.rmtree(folder)
        with pytest.raises(StoreError, match="the file is gone; put it back"):
            record(store, decision(ticket(), accepted()))


# -- PostgreSQL ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"user": "nobody"}, "the server refuses this user; mend user and password in the address"),
        ({"user": f"{postgresql.GUEST}:wr0ng-pass"}, "the server refuses this user; mend user and password in the address"),
        ({"user": postgresql.GUEST}, "the server refuses this user; mend user and password in the address"),
        ({"database": "nowhere"}, "there is no such database; make it with createdb, or mend the address"),
        ({"schema": "nowhere"}, "there is no such schema; make it, or mend search_path in the address"),
    ],
)
def test_an_address_that_is_wrong_is_told_without_its_password(
    server: postgresql.Server, where: dict[str, str], says: str
) -> None:
    """One line: what is wrong, and how to mend it."""
    with pytest.raises(InputError) as caught:
        SqlStore(server.url(**where))
    assert says in str(caught.value)
    assert "wr0ng-pass" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    """It passes: exit code 5. A password may stand in two places of an address."""
    for url in (f"postgresql://u:wr0ng@/d?host={tmp_path}", f"postgresql:///d?host={tmp_path}&user=u&password=wr0ng"):
        with pytest.raises(StoreError) as caught:
            SqlStore(url)
        assert "the server cannot be reached; see whether it runs and the address is right" in str(caught.value)
        assert "wr0ng" not in str(caught.value)


def test_a_user_who_may_not_make_tables_is_told_without_the_password(server: postgresql.Server) -> None:
    """Rights are what is missing; the password is right."""
    with server.schema() as name, pytest.raises(InputError) as caught:
        server.run(f"grant usage on schema {name} to {postgresql.GUEST}")
        SqlStore(server.url(user=_GUEST, schema=name))
    assert "this user may not write there; give it the rights on the schema" in str(caught.value)
    assert quote(postgresql.PASSWORD) not in str(caught.value)


def test_the_rights_that_the_page_names_are_enough(server: postgresql.Server) -> None:
    """To record, recall, answer, take back and erase, once the tables are there."""
    with server.schema() as name:
        SqlStore(server.url(schema=name)).close()
        server.run(f"grant usage on schema {name} to {postgresql.GUEST}")
        server.run(f"grant select, insert, update on all tables in schema {name} to {postgresql.GUEST}")
        server.run(f"grant usage on all sequences in schema {name} to {postgresql.GUEST}")
        with SqlStore(server.url(user=_GUEST, schema=name)) as store:
            record(store, decision(ticket(), pending()))
            (item,) = store.queue.claim("ann")
            taxonomy = Taxonomy(categories=(Category(id="refund"), Category(id="parcel")))
            store.queue.answer(item, "ann", "refund", taxonomy=taxonomy, shown=True)
            _, again = store.queue.undo("ann")
            store.queue.skip(again, "ann")
            erasing.erase(store, erasing.tickets_named(store, ["T1"])["T1"])


def test_a_server_that_takes_no_writes_is_told(server: postgresql.Server, made_schema: str) -> None:
    """A replica looks like this."""
    with pytest.raises(InputError, match="the server takes no writes; name the primary server"):
        SqlStore(server.url(schema=made_schema) + "%20-cdefault_transaction_read_only%3Don")


def test_tables_of_something_else_are_left_alone(server: postgresql.Server) -> None:
    """An address of another program's database."""
    with server.schema() as name:
        server.run(f"create table {name}.songs (name text)")
        with pytest.raises(InputError, match="a database of something else"):
            SqlStore(server.url(schema=name))


def test_what_is_no_address_is_told_without_its_password() -> None:
    """Before anything is connected."""
    with pytest.raises(
        LlmtriageError, match="not the address of a database; write it like postgresql://user@host/database"
    ) as caught:
        SqlStore("postgres://u:wr0ng@h:port/d")
    assert "wr0ng" not in str(caught.value)


def test_a_connection_that_ends_is_told_and_the_next_one_works(server: postgresql.Server, made_schema: str) -> None:
    """The server was started again in the middle of a commit."""
    server.empty(made_schema)
    with SqlStore(server.url(schema=made_schema)) as store:
        with pytest.raises(StoreError, match="the server ended the connection"), store.database.writing() as connection:
            connection.execute(
                schema.run.insert(), {"id": "r", "backend": "b", "fingerprint": {}, "version": "1", "started_at": 1}
            )
            server.empty(made_schema)  # ends every connection
            connection.exec_driver_sql("select 1")
        record(store, decision(ticket(), accepted()))
        assert [row.id for row in rows(store, schema.run)] == ["run-1"]
