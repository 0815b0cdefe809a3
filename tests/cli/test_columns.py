"""Column flags and the encoding hold for the examples too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Cli

COLUMNS = ["--title-column", "Subject", "--content-column", "Body", "--category-column", "Queue"]
TEXTS = [("Refund", "I want my money back", "refund"), ("物流", "快递到哪里了", "parcel")]
TRADITIONAL = [("退款", "我要退款", "refund"), ("物流", "包裹在哪裡", "parcel")]


def write(path: Path, header: str, texts: list[tuple[str, str, str]] = TEXTS, encoding: str = "utf-8") -> None:
    """A labelled file with these names of columns."""
    path.write_text("\n".join([header, *(",".join(row) for row in texts)]) + "\n", encoding=encoding)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("Subject,Body,Queue", id="the same columns"),
        pytest.param("subject,BODY,Queue ", id="in another case"),
        pytest.param("title,content,category", id="the default columns"),
        pytest.param("title,Body,category", id="some of both"),
    ],
)
def test_examples_take_the_columns_they_have(cli: Cli, tmp_path: Path, header: str) -> None:
    """Whatever of the flags their file knows; the defaults for the rest."""
    write(tmp_path / "in.csv", "Subject,Body,Queue")
    write(tmp_path / "e.csv", header)
    done = cli("evaluate", "in.csv", *COLUMNS, "--examples", "e.csv", "--threshold", "0.3", "--json")
    assert done.err == "note: 2 of 2 tickets stand among the examples too: the figures flatter\n"
    assert json.loads(done.out)["settings"]["examples"] == 2


@pytest.mark.parametrize("command", [["classify", "in.csv"], ["prompt", "退款"]], ids=["classify", "prompt"])
def test_other_commands_take_them_too(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    """All that have flags for columns."""
    write(tmp_path / "in.csv", "Subject,Body,Queue")
    assert cli(*command, *COLUMNS, "--examples", "in.csv", "--quiet").code == 0


def test_one_column_of_text(cli: Cli, tmp_path: Path) -> None:
    """It is the text of examples only where they have it."""
    (tmp_path / "in.csv").write_text("body,label\nwhere is my parcel,parcel\n", encoding="utf-8")
    write(tmp_path / "e.csv", "title,content,category")
    flags = ["--text-column", "body", "--category-column", "label", "--quiet"]
    assert cli("evaluate", "in.csv", *flags, "--examples", "e.csv").code == 0
    assert cli("evaluate", "in.csv", *flags, "--examples", "in.csv").code == 0


@pytest.mark.parametrize("encoding", ["big5", "utf-8", "utf-8-sig", "utf-16"])
def test_examples_in_the_encoding_of_the_tickets_or_in_unicode(cli: Cli, tmp_path: Path, encoding: str) -> None:
    """What `split` wrote is UTF-8, whatever its input was."""
    write(tmp_path / "in.csv", "title,content,category", TRADITIONAL, "big5")
    write(tmp_path / "e.csv", "title,content,category", TRADITIONAL, encoding)
    done = cli("evaluate", "in.csv", "--encoding", "big5", "--examples", "e.csv", "--threshold", "0.3")
    assert done.err == "note: 2 of 2 tickets stand among the examples too: the figures flatter\n"
