"""`llmtriage evaluate --report`: the page is written, and nothing else is harmed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cli.conftest import Cli, Serve, chat

LABELLED = "id,content,category\nT1,I want my money back,refund\nT2,the parcel never arrived,parcel\nT3,password reset,login\n"
LEARN = "content,category\nmoney back please,refund\nparcel lost,parcel\ncannot sign in with the password,login\n"
COMMAND = ("evaluate", "in.csv", "--examples", "learn.csv", "--threshold", "0.2")


@pytest.fixture
def files(cli: Cli, tmp_path: Path) -> Path:
    """Labelled tickets, and examples to learn from."""
    (tmp_path / "in.csv").write_text(LABELLED, encoding="utf-8")
    (tmp_path / "learn.csv").write_text(LEARN, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_the_page_is_written_beside_the_text(cli: Cli, files: Path) -> None:
    """What is printed stays as it is; one line says where the page is."""
    plain = cli(*COMMAND)
    done = cli(*COMMAND, "--report", "r.html")
    assert (done.code, done.err) == (0, "page: r.html\n")
    assert done.out.splitlines()[:3] == plain.out.splitlines()[:3]
    page = (files / "r.html").read_text(encoding="utf-8")
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "<b>in.csv</b>" in page


def test_json_and_chinese(cli: Cli, files: Path) -> None:
    """JSON stays JSON; the page has the language of the flag."""
    done = cli(*COMMAND, "--report", "r.html", "--json", "--language", "zh", "--quiet")
    assert json.loads(done.out)["n"] == 3
    assert not done.err
    assert '<html lang="zh-CN">' in (files / "r.html").read_text(encoding="utf-8")


def test_the_page_says_how_to_repeat_it(cli: Cli, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the values of the environment, without those that are defaults, and without folders of this machine."""
    monkeypatch.setenv("LLMTRIAGE_SEED", "7")
    monkeypatch.setenv("LLMTRIAGE_API_KEY", "sk-secret")
    learn = files / "learn.csv"
    done = cli(
        "evaluate", "in.csv", "--examples", learn, "--report", files / "r.html", "--no-repair", "--without", "quotes", "--json"
    )
    assert done.code == 0, done.err
    page = (files / "r.html").read_text(encoding="utf-8")
    command = page.partition("<pre><code>")[2].partition("</code>")[0]
    assert (
        command == "llmtriage evaluate in.csv --report r.html --examples learn.csv --seed 7 --without quotes --no-repair --json"
    )
    assert str(files) not in page
    assert "sk-secret" not in page


def test_a_file_that_exists_is_kept(cli: Cli, files: Path) -> None:
    """Unless it may be replaced."""
    (files / "r.html").write_text("mine", encoding="utf-8")
    done = cli(*COMMAND, "--report", "r.html")
    assert (done.code, done.out) == (2, "")
    assert done.err == "llmtriage: r.html: --report: exists already; name another file or add --overwrite\n"
    assert (files / "r.html").read_text(encoding="utf-8") == "mine"
    assert cli(*COMMAND, "--report", "r.html", "--overwrite").code == 0
    assert (files / "r.html").read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("in.csv", "in.csv: --report: the input itself"),
        ("learn.csv", "learn.csv: this is a file to read; writing to it would destroy it"),
        ("no/r.html", "no: --report: there is no such folder"),
        ("/proc/r.html", "/proc/r.html: --report: cannot be written"),
        (".", ".: --report: cannot be written"),
    ],
)
def test_a_place_that_cannot_be_is_found_before_anything_is_asked(
    cli: Cli, files: Path, serve: Serve, page: str, says: str
) -> None:
    """No request is made, no file is touched."""
    server = serve(lambda _: (200, chat("{}")))
    before = {path: path.read_bytes() for path in files.iterdir()}
    done = cli("evaluate", "in.csv", "--examples", "learn.csv", "--backend", server.backend, "--report", page, "--overwrite")
    assert done.code == 2
    assert done.err.startswith(f"llmtriage: {says}")
    assert server.requests == 0
    assert {path: path.read_bytes() for path in files.iterdir()} == before


def test_a_run_that_fails_leaves_no_empty_page(cli: Cli, files: Path) -> None:
    """Nor does it stand in the way of the next."""
    (files / "in.csv").write_text(LABELLED + "T4,x,nowhere\n", encoding="utf-8")
    assert cli(*COMMAND, "--report", "r.html").code == 2
    assert not (files / "r.html").exists()


def test_a_page_is_about_one_setting(cli: Cli, files: Path) -> None:
    """Not about two."""
    done = cli(*COMMAND, "--report", "r.html", "--against", "shots=1")
    assert (done.code, done.err) == (2, "llmtriage: --against: a page is about one setting; leave out --report\n")


def test_without_matplotlib_one_line_says_what_to_install(cli: Cli, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked; without --report it is not missed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = cli(*COMMAND, "--report", "r.html")
    assert (done.code, done.err) == (2, "llmtriage: drawing plots needs an optional package; pip install 'llmtriage[plots]'\n")
    assert cli(*COMMAND).code == 0
