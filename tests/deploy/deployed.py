"""What tests of the files for deployment share."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from support import ROOT

from llmtriage.cli.commands import llmtriage, with_environment
from llmtriage.settings import Settings

DEPLOY = ROOT / "deploy"


def program(name: str) -> str:
    """A program of a package in `dev`; without it the test is skipped."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed: pip install '.[dev]'")
    return found


def loaded(name: str) -> Any:
    """A YAML file of the folder."""
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def options() -> Iterator[click.Option]:
    """Every option of every command."""
    context = click.Context(llmtriage)
    found: list[click.Command] = [llmtriage]
    while found:
        command = with_environment(found.pop())
        yield from (one for one in command.params if isinstance(one, click.Option))
        if isinstance(command, click.Group):
            found += [one for name in command.list_commands(context) if (one := command.get_command(context, name))]


def known_variables() -> set[str]:
    """The environment variables that llmtriage reads."""
    flags = {str(option.envvar) for option in options()}
    return flags | {f"LLMTRIAGE_{name.upper()}" for name in Settings.model_fields} | {"LLMTRIAGE_CACHE_DIR"}


def check_command(words: list[str]) -> None:
    """See that a command line is one that llmtriage takes: its commands, its flags, and what they are given.

    A command or flag that is not there yet skips the test, which fails in CI.
    """
    context = click.Context(llmtriage, **llmtriage.context_settings)  # a command keeps the names of its help that it had first
    command: click.Command = llmtriage
    rest = list(words)
    while isinstance(command, click.Group) and not rest[0].startswith("-"):
        inner = command.get_command(context, rest[0])
        if inner is None:
            pytest.skip(f"no command {rest[0]}")
        command, rest = inner, rest[1:]
    try:
        command.make_context(words[0], rest, parent=context)
    except click.NoSuchOption as error:
        pytest.skip(error.message)
