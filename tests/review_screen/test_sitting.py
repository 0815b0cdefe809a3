"""When a screen opens, and when not."""

from __future__ import annotations

from pathlib import Path

import pytest
from review_screen.desk import FakeQueue, waiting

from llmtriage import Taxonomy
from llmtriage.cli import run
from llmtriage.errors import InputError, StoreError
from llmtriage.review_screen import review_on_screen
from llmtriage.store import SqlStore

_TERMINAL = "llmtriage.review_screen.terminal"


def test_nothing_waits(tmp_path: Path, shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """No screen is opened."""
    monkeypatch.setattr(f"{_TERMINAL}.make_sure_of_terminal", lambda: None)
    with SqlStore(tmp_path / "s.db") as store:
        done = review_on_screen(store.queue, shop, reviewer="li")
    assert (done.labelled, done.left, done.why) == (0, 0, "empty")


def test_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what to use instead."""
    path = tmp_path / "s.db"
    SqlStore(path).close()
    assert run(["review", "--store", str(path), "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("llmtriage: the review screen needs a terminal; use llmtriage review list, ")


def test_a_terminal_that_only_writes_lines(shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot show a screen."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(InputError, match="needs a terminal"):
        review_on_screen(FakeQueue(waiting()), shop, reviewer="li")  # type: ignore[arg-type]


def test_a_store_that_fails_at_once(shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told like anywhere else, before a screen opens."""
    monkeypatch.setattr(f"{_TERMINAL}.make_sure_of_terminal", lambda: None)
    queue = FakeQueue(waiting())
    queue.failing = StoreError("the disk is full", store="s.db")
    with pytest.raises(StoreError, match="full"):
        review_on_screen(queue, shop, reviewer="li")  # type: ignore[arg-type]


def test_a_fault_leaves_the_terminal_and_the_ticket(shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is raised, and the ticket is free for others."""
    monkeypatch.setattr(f"{_TERMINAL}.make_sure_of_terminal", lambda: None)
    monkeypatch.setattr("prompt_toolkit.application.Application.run_async", _fail)
    queue = FakeQueue(waiting())
    with pytest.raises(ZeroDivisionError):
        review_on_screen(queue, shop, reviewer="li")  # type: ignore[arg-type]
    assert queue.released == [1]


async def _fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError
