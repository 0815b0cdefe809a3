"""The tree of commands. A command's module is imported when it is called, so that `--help` stays quick."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import click

from llmtriage import __version__
from llmtriage.errors import InputError, UnknownNameError, nearest, short
from llmtriage.settings import ENGINE_KEYS, SETTINGS_FILE, load_settings, read_settings_file

_COMMANDS = {
    "ask": "One ticket, at once: the outcome, the probabilities, why.",
    "calibrate": "From labelled tickets to a promise.",
    "check": "Does a calibration still hold here?",
    "classify": "Route a file of tickets.",
    "db": "Copy and upgrade a store, erase personal data, keep a retention limit.",
    "doctor": "What a server can do, and what is missing.",
    "evaluate": "Figures on a labelled file, on stored predictions, or on a store.",
    "examples": "Answers of people as examples that never change.",
    "hooks": "What other systems sent and are told: what waits, what was given up.",
    "init": "From unlabelled tickets to a promise, step by step.",
    "keys": "API keys of the service: make, list, revoke.",
    "plan": "Which tickets to label for a promise, and how many.",
    "prompt": "Show exactly what would be sent to an LLM.",
    "review": "Decide what waits for a person.",
    "reviewers": "Who signs in to the pages of the service.",
    "serve": "The HTTP service: an API, and pages where people decide.",
    "split": "Split a labelled file, near-duplicates kept together.",
    "taxonomy": "Show, check, compare or make a taxonomy.",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(f"llmtriage.cli.{cmd_name}"), cmd_name)
        return with_environment(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            raise click.UsageError(f"no command {args[0]!r}; {nearest(args[0], _COMMANDS)}") from None


def with_environment(command: click.Command) -> click.Command:
    """Give each option its environment variable: --prompt-examples is LLMTRIAGE_PROMPT_EXAMPLES."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.envvar is None:
            parameter.envvar = f"LLMTRIAGE_{flag_key(parameter).upper()}"
            parameter.show_envvar = False
    for child in getattr(command, "commands", {}).values():
        with_environment(child)
    return command


def flag_key(option: click.Option) -> str:
    """The key of an option in `llmtriage.toml`: its long name with underscores."""
    long = max((name for name in option.opts if name.startswith("--")), key=len, default=f"--{option.name}")
    return long.removeprefix("--").replace("-", "_")


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option(
    "--settings", type=click.Path(path_type=Path), envvar="LLMTRIAGE_SETTINGS", help="Settings file [./llmtriage.toml]."
)
@click.option("--debug", is_flag=True, help="Show a traceback and the library's log.")
@click.pass_context
def llmtriage(ctx: click.Context, settings: Path | None, *, debug: bool) -> None:
    """Sort support tickets with an LLM, by itself only where it is sure; everything else waits for a person.

    \b
    Start here:
      llmtriage ask "I was charged twice for one order"
      llmtriage classify tickets.csv --backend openai:MODEL -o routed.csv
      llmtriage init tickets.csv --backend openai:MODEL

    Each flag of a command has an environment variable (--backend: LLMTRIAGE_BACKEND) and a key in llmtriage.toml (backend = "...").
    """  # noqa: D301 - click knows a paragraph to leave as it is by the character, which a raw string does not hold
    if debug:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    path = settings or Path(SETTINGS_FILE)
    data = read_settings_file(path) if settings or path.exists() else {}
    ctx.obj = load_settings(data, file=path)
    ctx.default_map = _defaults(ctx, {key: value for key, value in data.items() if key not in ENGINE_KEYS}, path)


def _defaults(ctx: click.Context, flags: dict[str, Any], path: Path) -> dict[str, Any]:
    """What click takes as defaults, for each command; a key that is no command's flag is an error."""
    if not flags:
        return {}
    known: set[str] = set()
    defaults = {}
    for name in _COMMANDS:
        command = llmtriage.get_command(ctx, name)
        if command is not None:
            defaults[name] = _of_command(command, flags, known, path)
    for key in flags:
        if key not in known:
            raise UnknownNameError.among("key", key, sorted(known | ENGINE_KEYS), file=path)
    return defaults


def _of_command(command: click.Command, flags: dict[str, Any], known: set[str], path: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name:
            key = flag_key(parameter)
            known.add(key)
            if key in flags:
                values[parameter.name] = _checked(parameter, flags[key], key, path)
    for name, child in getattr(command, "commands", {}).items():
        values[name] = _of_command(child, flags, known, path)
    return values


def _checked(option: click.Option, value: Any, key: str, path: Path) -> Any:
    """`value` if it is what the flag takes; click alone would take 1.5 for the whole number 1, and would not name the file."""
    wanted, example, types = _expected(option)
    if isinstance(value, dict):  # its contents may be private
        remedy = "engines are tables of their own: [backends.NAME]" if key == "backend" else f"write {key} = {example}"
        raise InputError(f"a table is not {wanted}", file=path, field=key, remedy=remedy)
    values = value if option.multiple else [value]
    if not isinstance(values, list) or not all(type(one) in types for one in values):
        raise InputError(f"{short(repr(value))} is not {wanted}", file=path, field=key, remedy=f"write {key} = {example}")
    for one in [] if option.is_flag else values:
        try:
            option.type(one, option)
        except click.BadParameter as error:
            raise InputError(error.message.rstrip("."), file=path, field=key, remedy="mend that value") from None
    return value


def _expected(option: click.Option) -> tuple[str, str, tuple[type, ...]]:
    """What an option takes: in words, as an example, as types."""
    if option.is_flag:
        return "true or false", "true", (bool,)
    if isinstance(option.type, click.types.IntParamType):
        return "a whole number", "10", (int,)
    if isinstance(option.type, click.types.FloatParamType):
        return "a number", "0.5", (int, float)
    return ("a list of texts", '["..."]', (str,)) if option.multiple else ("text in quotes", '"..."', (str,))
