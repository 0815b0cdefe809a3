"""What docs/operations.md shows works: copies are restored, commands exist."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import sqlite3
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import postgresql
import pytest
import yaml
from cli.conftest import TAXONOMY
from cli.test_calibrate import rows as written
from cli.test_calibrate import write
from decided import decision, pending, record, rows, ticket
from deploy.deployed import DEPLOY, check_command, loaded
from deploy.shown import Shell, sections
from drawn import decide_as_told
from support import ROOT

from llmtriage.store import SqlStore, schema

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SHOWN = sections("docs/operations.md")
SQLITE_COPY, SQLITE_BACK, DUMP, RESTORE = SHOWN["Backup and restore"]
PROMISE, [ERASE] = SHOWN["When the promise no longer holds"], SHOWN["Erasing a customer"]


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.Server]:
    """A PostgreSQL server of its own."""
    if postgresql.programs() is None:
        pytest.skip("no PostgreSQL here: install postgresql")
    with postgresql.running() as server:
        yield server


def _filled(store: SqlStore, *names: str) -> dict[str, list[Any]]:
    """Put tickets that wait into a store, and an answer; all of it, by table."""
    record(store, *(decision(ticket(f"退款 {name}", name), pending()) for name in names))
    return _everything(store)


def _everything(store: SqlStore) -> dict[str, list[Any]]:
    return {table.name: list(rows(store, table)) for table in schema.metadata.sorted_tables if table.name != "alembic_version"}


@pytest.mark.slow
def test_an_sqlite_store_is_restored(tmp_path: Path) -> None:
    """While it was in use it was copied; after it is broken all is as it was then, and the broken file is kept."""
    shell, path = Shell(tmp_path), tmp_path / "llmtriage.db"
    with SqlStore(path) as store:
        before = _filled(store, "T1", "T2")
        shell.run(SQLITE_COPY)
        _filled(store, "T3")
    path.write_bytes(b"SQLite format 3\0" + b"broken" * 1000)
    shell.run(SQLITE_BACK)
    with SqlStore(path, create=False) as store:
        assert _everything(store) == before
        assert len(_filled(store, "T4")["ticket"]) == 3
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"broken" in (tmp_path / "broken" / "llmtriage.db").read_bytes()


@pytest.mark.slow
def test_a_store_in_postgresql_is_restored(tmp_path: Path, server: postgresql.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into another database: every row, the numbers that go on, the log that only grows."""
    programs = postgresql.programs()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    for name in ("one", "two"):
        server.run(f"create database {name}")
    url, new = (server.url(database=name) for name in ("one", "two"))
    shell = Shell(tmp_path, STORE=url, NEW_STORE=new)
    with SqlStore(url) as store:
        before = _filled(store, "T1", "T2")
        shell.run(DUMP)
        _filled(store, "T3")
    shell.run(RESTORE)
    with SqlStore(new, create=False) as store:
        assert _everything(store) == before
        assert len(_filled(store, "T4")["ticket"]) == 3
        with pytest.raises(Exception, match="only grows"), store.database.writer.begin() as connection:
            connection.execute(schema.event.delete())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_promise_is_looked_at_and_made_anew(tmp_path: Path) -> None:
    """Calibrated, probes drawn and answered: every command of the page runs as it stands, beside settings that name the examples."""
    (tmp_path / "taxonomy.yaml").write_text(TAXONOMY, encoding="utf-8")
    (tmp_path / "llmtriage.toml").write_text('examples = "learn.csv"\n', encoding="utf-8")
    for seed, (name, n) in enumerate({"learn": 60, "labelled": 300, "fresh": 240}.items()):
        write(tmp_path / f"{name}.csv", n, seed, wrong=0.0)
    shell = Shell(tmp_path)
    shell.run("llmtriage calibrate labelled.csv --alpha 0.1 -o calibration.json")
    shell.run("llmtriage classify fresh.csv --calibration calibration.json --probe 1 -o out.csv")
    with SqlStore(tmp_path / "llmtriage.db") as store:
        decide_as_told(store, {row["id"]: row["category"] for row in written(tmp_path / "fresh.csv")}, lane="probe")
    look, again, anew = (textwrap.dedent(block) for block in PROMISE)
    assert "the promise" in shell.run(look)
    assert "<html" in (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "labelled.csv" in shell.run(again)
    before = (tmp_path / "calibration.json").read_bytes()
    assert "accepts " in shell.run(anew)
    assert (tmp_path / "calibration.json").read_bytes() != before


@pytest.mark.slow
def test_a_customer_is_erased(tmp_path: Path) -> None:
    """Of the name that the page has."""
    with SqlStore(tmp_path / "llmtriage.db") as store:
        record(store, decision(ticket("我的耳机还没有退款", customer="李雷"), pending()))
    Shell(tmp_path).run(ERASE)
    assert "我的耳机".encode() not in (tmp_path / "llmtriage.db").read_bytes()


def test_a_backup_is_a_file_of_its_own(tmp_path: Path) -> None:
    """Nothing beside it belongs to it."""
    from llmtriage.store.backup import backup

    with SqlStore(tmp_path / "llmtriage.db") as store:
        _filled(store, "T1")
        backup(store.database, tmp_path / "backup.db")
    moved = shutil.move(tmp_path / "backup.db", tmp_path / "other.db")
    with sqlite3.connect(moved) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert connection.execute("select count(*) from ticket").fetchall() == [(1,)]
    connection.close()


def test_every_block_is_run() -> None:
    """By a test above; `console` is left to what wants root or Docker, and is checked below."""
    assert {title for title, blocks in SHOWN.items() if blocks} == {
        "Backup and restore",
        "When the promise no longer holds",
        "Erasing a customer",
    }


def test_the_service_of_systemd_is_installed_where_its_unit_looks() -> None:
    """With an extra that exists, and the unit of the repository."""
    [block] = re.findall(r"^```console\n(# .*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    made, installed, copied, started = (line.removeprefix("# ").split() for line in block.splitlines())
    unit = (DEPLOY / "llmtriage.service").read_text(encoding="utf-8")
    assert f"ExecStart={made[-1]}/bin/llmtriage " in unit
    assert installed[0] == f"{made[-1]}/bin/pip"
    [extra] = re.findall(r"\[(\w+)\]", installed[-1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]
    assert (ROOT / copied[1]).is_file()
    assert started[-1] == Path(copied[1]).stem


def _lines() -> list[str]:
    """The lines of the page's blocks of commands, and what stands in quotes in its sentences and tables."""
    blocks = re.findall(r"^ *```(?:bash|console)\n(.*?)^ *```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    quoted = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
    return [line.strip().removeprefix("$ ").removeprefix("# ") for text in [*blocks, *quoted] for line in text.splitlines()]


@pytest.mark.parametrize("line", sorted({line for line in _lines() if re.match(r"(/\S*/)?llmtriage [a-z]+ .*\S", line)}))
def test_a_command_is_one_that_llmtriage_takes(line: str) -> None:
    """With its flags; what a sentence leaves out may be missing."""
    with contextlib.suppress(click.MissingParameter):
        check_command(shlex.split(line)[1:])


def test_containers_that_are_named_exist() -> None:
    """And what is run in them is a command."""
    services = loaded("compose.yaml")["services"]
    shown = [line for line in _lines() if line.startswith("docker compose ")]
    assert len(shown) >= 4
    for line in shown:
        found = re.search(r" (?:run --rm|exec -T|logs) (\w+)(?: (.*))?$", line)
        assert found is None or found[1] in services, line
        if found and " run " in line:
            check_command(shlex.split(found[2]))
        if file := re.search(r"--env-file (\S+)", line):
            assert (DEPLOY / file[1]).is_file()


def test_files_of_the_folder_that_are_named_exist() -> None:
    """In text and commands."""
    named = set(re.findall(r"\bdeploy/[\w./-]*\w", PAGE))
    assert len(named) >= 3
    assert all((ROOT / name).exists() for name in named - {"deploy/secrets"})


def test_prometheus_asks_where_the_service_listens() -> None:
    """By the name that the rules have for it."""
    [text] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    settings = yaml.safe_load(text)
    [job] = settings["scrape_configs"]
    assert f'job="{job["job_name"]}"' in (DEPLOY / "prometheus-rules.yaml").read_text(encoding="utf-8")
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8080"]}]
    assert all((DEPLOY / name).is_file() for name in settings["rule_files"])
