"""`--bom`: the mark by which Excel knows UTF-8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Cli

MARK = b"\xef\xbb\xbf"


def test_classify_marks_its_csv_files(cli: Cli, tmp_path: Path) -> None:
    """Output and pending file; the rest of them is the same."""
    command = ["classify", "tickets.csv", "--quiet"]
    assert cli(*command, "-o", "plain.csv").code == 0
    assert cli(*command, "-o", "out.csv", "--pending", "wait.csv", "--bom").code == 0
    assert (tmp_path / "out.csv").read_bytes() == MARK + (tmp_path / "plain.csv").read_bytes()
    assert (tmp_path / "wait.csv").read_bytes().startswith(MARK)


def test_jsonl_has_no_mark(cli: Cli, tmp_path: Path) -> None:
    """It is no file for Excel."""
    assert cli("classify", "tickets.csv", "-o", "out.jsonl", "--bom", "--quiet").code == 0
    assert (tmp_path / "out.jsonl").read_bytes().startswith(b"{")


@pytest.mark.parametrize("before", [[], ["--bom"]], ids=["without", "with"])
@pytest.mark.parametrize("after", [[], ["--bom"]], ids=["then without", "then with"])
def test_resume_keeps_to_the_file_that_exists(cli: Cli, tmp_path: Path, before: list[str], after: list[str]) -> None:
    """The result is that of an unbroken run with the first flag, for both files."""
    command = ["classify", "tickets.csv", "-o", "out.csv", "--pending", "wait.csv", "--quiet"]
    cli(*command, *before)
    whole = [(tmp_path / name).read_bytes() for name in ("out.csv", "wait.csv")]
    (tmp_path / "out.csv").write_bytes(b"".join(whole[0].splitlines(keepends=True)[:3]))
    assert cli(*command, "--resume", *after).code == 0
    assert [(tmp_path / name).read_bytes() for name in ("out.csv", "wait.csv")] == whole


def test_split_marks_its_csv_files(cli: Cli, tmp_path: Path) -> None:
    """And they read back."""
    (tmp_path / "l.csv").write_text("content,category\n退款,refund\nmoney back,refund\n", encoding="utf-8")
    assert cli("split", "l.csv", "--parts", "a=0.5,b=0.5", "--bom").code == 0
    assert all((tmp_path / name).read_bytes().startswith(MARK + b"content") for name in ("a.csv", "b.csv"))
    assert cli("taxonomy", "from-csv", "a.csv").code == 0
