"""The page on servers shows settings that the program takes, and every fact on it has a dated source."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from support import ROOT

from llmtriage.backends import base_url
from llmtriage.settings import BackendSettings

PAGE = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
TEXT, _, SOURCES = PAGE.partition("\n## Sources\n")
BLOCKS = [tomllib.loads(block) for block in re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)]
ENGINES: dict[str, dict[str, Any]] = {name: table for block in BLOCKS for name, table in block.get("backends", {}).items()}


def test_the_page_has_a_table_for_each_server_people_ask_about() -> None:
    """And no name stands twice, or one would hide the other."""
    assert {
        "qwen",
        "ollama",
        "llamacpp",
        "sglang",
        "openai",
        "azure",
        "deepseek",
        "dashscope",
        "doubao",
        "kimi",
    } <= ENGINES.keys()
    assert len(ENGINES) == sum(len(block.get("backends", {})) for block in BLOCKS) == PAGE.count("\n[backends.")


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_every_table_of_the_page_is_taken(name: str) -> None:
    """Its keys and values, and its URL is the one that requests go to."""
    settings = BackendSettings(**ENGINES[name])
    assert settings.url is None or base_url(settings.url) == settings.url


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_a_key_never_stands_in_a_table(name: str) -> None:
    """Only the name of the variable that holds it does."""
    assert re.fullmatch(r"[A-Z][A-Z_]+", ENGINES[name].get("key_env", "NONE"))
    assert "authorization" not in str(ENGINES[name]).lower()


def test_the_switches_of_the_tables_are_those_the_page_explains() -> None:
    """`thinking` and `json` have a fixed set of values."""
    rows = dict(re.findall(r"^\| `(thinking|json)` \| (.+) \|$", PAGE, flags=re.MULTILINE))
    for key, row in rows.items():
        used = {table[key] for table in ENGINES.values() if key in table}
        assert used
        assert used <= set(re.findall(r'(?<!: )`"(\w+)"`', row))
    assert rows.keys() == {"thinking", "json"}


def test_prices_have_the_keys_of_prices() -> None:
    """Numbers and a currency."""
    tables = [table for block in BLOCKS for table in block.get("prices", {}).values()]
    assert [set(table) for table in tables] == [{"input", "output", "cached_input", "currency"}]


def test_every_tag_has_a_dated_source_and_every_source_is_used() -> None:
    """A tag is a letter and perhaps a number in brackets."""
    rows = re.findall(r"^\| ([A-Z]\d?) \| (.+) \| (\d{4}-\d\d(?:-\d\d)?) \|$", SOURCES, flags=re.MULTILINE)
    listed = [tag for tag, _, _ in rows]
    assert len(listed) == len(set(listed)) == SOURCES.count("\n| ") - 1  # the head
    assert set(re.findall(r"\[([A-Z]\d?)\](?!\()", TEXT)) == set(listed)
