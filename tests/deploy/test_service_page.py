"""What docs/service.md shows is what the service does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy.shown import ADDRESS, Shell, sections
from support import ROOT

from llmtriage.cli.commands import _COMMANDS

pytestmark = pytest.mark.slow
PAGE = sections("docs/service.md")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """In a folder with `examples/` in it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shell = Shell(tmp_path)
    yield shell
    shell.stop()


def test_tickets_are_decided_one_by_one_and_together(shell: Shell) -> None:
    """From the start to a batch in which one item is wrong; the same ticket again is recalled."""
    start = PAGE["Start"]
    assert start[0].startswith("pip install")
    shell.run(start[1])
    assert shell.said.endswith(f"llmtriage serves {shell.address} (lexical, 22 categories, store llmtriage.db)\n")
    [single] = PAGE["One ticket"]
    outcome = json.loads(shell.run(single))
    assert (outcome["id"], outcome["outcome"], outcome["recalled"]) == ("T-1", "accepted", False)
    assert json.loads(shell.run(single))["recalled"]
    [batch] = PAGE["Many tickets"]
    items = json.loads(shell.run(batch))["items"]
    assert [bool(item["errors"]) for item in items] == [False, True, False]
    work, labels = PAGE["What waits"]
    listed, claimed, answered, known, undone = _documents(shell.run(work))
    assert listed["items"][0]["id"] == claimed["items"][0]["id"] == known["id"] == "T-2"
    assert answered["category"] == known["category"] == undone["taken_back"]["category"] == "refund_status"
    [[label]] = [one["items"] for one in _documents(shell.run(labels))]
    assert (label["status"], label["became"]) == (200, "kept")


def _documents(text: str) -> list[dict[str, Any]]:
    """JSON documents, one behind the other."""
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


@pytest.mark.timeout(300)
def test_a_calibration_is_taken_over_and_given_back(shell: Shell) -> None:
    """While the service runs."""
    start, new, back = PAGE["A new calibration, without a restart"]
    shell.run(start)
    reloaded = json.loads(shell.run(new).splitlines()[-1])
    assert reloaded["current"]["calibration"] != reloaded["before"]["calibration"]
    gone_back, told = _documents(shell.run(back))
    assert gone_back["current"]["id"] == reloaded["before"]["id"]
    assert told == gone_back


def test_a_key_opens_what_is_closed_without_one(shell: Shell) -> None:
    """As the page says."""
    if "keys" not in _COMMANDS:
        pytest.skip("no command keys")
    shell.run(PAGE["Start"][1])
    shell.run(PAGE["A key"][0])
    shell.run(PAGE["A key"][1], typed="correct horse 1\n")
    with pytest.raises(AssertionError):
        shell.run(f"curl -sSf {ADDRESS}/categories")


def test_every_address_is_one_of_the_service(shell: Shell) -> None:
    """Nothing that the page names is missing."""
    shell.run(PAGE["Start"][1])
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    paths = sorted(set(re.findall(rf"^\| {ADDRESS}(/\S*) \|", text, flags=re.MULTILINE)))
    assert len(paths) == 4
    found = {path: shell.run(f"curl -sSL -o answer -w '%{{http_code}}' {ADDRESS}{path}") for path in paths}
    if found["/"] == "404":
        del found["/"]
        assert set(found.values()) == {"200"}
        pytest.skip("no pages yet")
    assert set(found.values()) == {"200"}


def test_the_readme_serves(shell: Shell) -> None:
    """Its one ticket is decided."""
    [block] = sections("README.md")["Serve"]
    assert json.loads(shell.run(block))["outcome"] == "accepted"


def test_nothing_is_left_untested() -> None:
    """Each block of the page is run above."""
    assert {title: len(blocks) for title, blocks in PAGE.items() if blocks} == {
        "Start": 2,
        "One ticket": 1,
        "Many tickets": 1,
        "What waits": 2,
        "A new calibration, without a restart": 3,
        "A key": 2,
    }
