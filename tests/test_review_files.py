"""What waits, in files: nothing is lost, nothing is run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llmtriage.errors import InputError
from llmtriage.outcomes import Candidate, Reason
from llmtriage.review_files import export
from llmtriage.reviewing import Item, reviewer_name
from llmtriage.tables import read_rows
from llmtriage.tickets import Ticket

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


def waiting(title: str, content: str, *, blind: bool = False) -> Item:
    """An entry as the queue gives it."""
    seen = {} if blind else {"suggestion": "refund", "candidates": (Candidate(category="refund", score=None),), "score": 0.4}
    return Item(
        entry=7,
        ticket=Ticket(title=title, content=content, id="T7"),
        text_id=9,
        lane="probe" if blind else "pending",
        blind=blind,
        reasons=(Reason(code="probe" if blind else "too_short"),),
        enqueued_at=datetime(2026, 1, 2, tzinfo=UTC),
        token=1,
        **seen,  # type: ignore[arg-type]
    )


@given(TEXTS, TEXTS)
@example("a\u2028b", "\r\n\0")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_jsonl_keeps_every_text(tmp_path: Path, title: str, content: str) -> None:
    """One line an entry, whatever stands in it."""
    assert export([waiting(title, content)], tmp_path / "out.jsonl", store="s", overwrite=True) == 1
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert (row.cells["title"], row.cells["content"]) == (title, content)
    assert row.cells["why"] == ["Too little text to decide on."]


@given(TEXTS, TEXTS)
@example("=1+1", "＝cmd|' /C calc'!A0")
@example("-2+3", "\t=1")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spreadsheet_runs_no_cell(tmp_path: Path, title: str, content: str) -> None:
    """And reads as many rows and columns as were written."""
    export([waiting(title, content)], tmp_path / "out.csv", store="s", overwrite=True)
    (row,) = read_rows(tmp_path / "out.csv")
    for name, text in (("title", title), ("content", content)):
        cell = str(row.cells[name])
        assert cell.removeprefix("'") == text.replace("\0", "").removeprefix("'") or cell == text.replace("\0", "")
        assert cell[:1] not in tuple("=@\t\r＝＋－＠")


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.tsv"])
def test_a_blind_entry_has_no_suggestion(tmp_path: Path, name: str) -> None:
    """In no format."""
    export([waiting("a", "b", blind=True)], tmp_path / name, store="s", language="zh")
    (row,) = read_rows(tmp_path / name)
    assert not any(row.cells[column] for column in ("suggestion", "confidence", "score", "candidates"))


def test_standard_output(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """JSONL."""
    export([waiting("退款", "b")], Path("-"), store="s")
    assert json.loads(capsysbinary.readouterr().out)["title"] == "退款"


def test_a_name_without_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user has none: one has to be given."""
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("uid")))
    with pytest.raises(InputError, match="--reviewer: a reviewer has a name; give one"):
        reviewer_name(None)
    assert reviewer_name(" 王芳 ") == "王芳"
