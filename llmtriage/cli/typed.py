"""What was typed: texts, files that are to be written, the command itself."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click

from llmtriage.errors import InputError

_POSTGRESQL = ("postgresql:", "postgresql+", "postgres:")
_PASSWORD = re.compile("(?<=://)([^:/@]*):.*@")


def new_file(output: str, file: Path | None = None, *, overwrite: bool, flag: str = "--output") -> Path:
    """The file of a flag that is to be written, which is not the input, and is not there unless it may be replaced. Raises InputError."""
    path = Path(output)
    if file is not None and path.resolve() == file.resolve():
        raise InputError("the input itself", file=output, field=flag, remedy="name another file")
    if path.exists() and not overwrite:
        raise InputError("exists already", file=output, field=flag, remedy="name another file or add --overwrite")
    if not path.parent.is_dir():
        raise InputError("there is no such folder", file=path.parent, field=flag, remedy="make it first")
    return path


def command_line() -> str:
    """The command that runs, with every value that is not a default, also those of the environment and of the settings file.

    Of an absolute path only the name is kept: where somebody's files lie is nobody else's business. Nor is the password of a store.
    """
    context, words = click.get_current_context(), []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        default = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.DEFAULT
        if default or value is None or value == ():
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += _as_typed(parameter, one)
    return shlex.join([*context.command_path.split(), *words])


def _without_password(text: str) -> str:
    """The address of a store as anybody may read it."""
    return _PASSWORD.sub(r"\1:***@", text.partition("?")[0]) if text.startswith(_POSTGRESQL) else text


def _as_typed(parameter: click.Parameter, value: object) -> list[str]:
    path = Path(value) if isinstance(value, str | Path) else None
    text = path.name if path is not None and path.is_absolute() else _without_password(str(value))
    if isinstance(parameter, click.Argument):
        return [text]
    flag = max(parameter.opts, key=len)
    if isinstance(value, bool) and isinstance(parameter, click.Option) and parameter.is_flag:
        return [flag if value else max(parameter.secondary_opts, key=len)]
    return [flag, text]


def one_text(arguments: tuple[str, ...]) -> str:
    """The text of a command that takes one; a shell makes several of a text without quotes."""
    if len(arguments) > 1:
        raise InputError(f"one text is wanted, these are {len(arguments)}", remedy="put the text in quotes")
    return arguments[0]


def text_or_stdin(text: str) -> str:
    """`text`, or what comes on standard input where it is "-"."""
    if text != "-":
        return text
    raw = sys.stdin.buffer.read()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("standard input is not UTF-8", remedy="convert it, or use classify on a file with --encoding") from None
