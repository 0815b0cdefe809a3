"""Tables fit the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from llmtriage.cli.display import fitted

if TYPE_CHECKING:
    from cli.conftest import Cli

LONG = "I want my money back 退款什么时候到账 " * 20


def be_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Let the standard output say that it is one."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))


@pytest.mark.parametrize(("columns", "last"), [(80, 28), (140, 88), (30, 20)], ids=["narrow", "wide", "too narrow"])
def test_the_last_column_takes_what_is_left(monkeypatch: pytest.MonkeyPatch, columns: int, last: int) -> None:
    """But it never vanishes."""
    be_a_terminal(monkeypatch, columns)
    assert fitted((20, 28)) == (20, 28, last)


def test_a_pipe_gets_110_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the terminal behind it is: a log looks the same everywhere."""
    monkeypatch.setenv("COLUMNS", "60")
    assert not sys.stdout.isatty()
    assert fitted((20, 28)) == (20, 28, 58)


@pytest.mark.parametrize("columns", [95, 130])
@pytest.mark.parametrize("command", ["classify", "evaluate"])
def test_no_line_is_wider(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, columns: int) -> None:
    """And the space is used."""
    be_a_terminal(monkeypatch, columns)
    (tmp_path / "l.csv").write_text(f"content,category\n{LONG},other\n", encoding="utf-8")
    done = cli(command, "l.csv", "--threshold", "0", "--quiet")
    assert columns - 2 <= max(cell_len(line) for line in done.out.splitlines()) <= columns
