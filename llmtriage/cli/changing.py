"""Flags with some of them changed, as `evaluate --against KEY=VALUE` has it."""

from __future__ import annotations

import re
from typing import Any

import click

from llmtriage.cli.options import TRIAGE_KEYS
from llmtriage.errors import InputError, UnknownNameError, nearest, short

_CHANGEABLE = (*TRIAGE_KEYS, "predictions", "scores", "run")


def changed_flags(flags: dict[str, Any], text: str, source: str) -> dict[str, Any]:
    """`flags` with those of `triage_options`, or of stored predictions, changed that `text` names, as KEY=VALUE[,KEY=VALUE].

    A comma within a value ends it only where another KEY= follows.

    Args:
        flags: As click read them.
        text: What to change.
        source: The flag that `text` was given to, for errors.

    Raises:
        InputError: A key is unknown or named twice, or a value cannot be used.
    """
    context = click.get_current_context()
    options = {option.name: option for option in context.command.params if option.name in _CHANGEABLE}
    values: dict[str, list[str]] = {}
    for part in re.split(r",(?=[\w-]+=)", text):
        name, equals, value = part.partition("=")
        key = name.strip().removeprefix("--").replace("-", "_")
        if not equals:
            raise InputError(f"not KEY=VALUE: {short(part)!r}", field=source, remedy="write it like selector=nearest,nearest=6")
        if key not in options:
            raise UnknownNameError.among("key", key, _CHANGEABLE, field=source)
        values.setdefault(key, []).append(value.strip())
    return {**flags, **{key: _converted(options[key], found, source) for key, found in values.items()}}


def _converted(option: click.Parameter, values: list[str], source: str) -> Any:
    """What click makes of the values of an option that was given so often."""
    if len(values) > 1 and not option.multiple:
        raise InputError(f"{option.name} is given twice", field=source, remedy="give it once")
    try:
        return option.type_cast_value(click.get_current_context(), values if option.multiple else values[0])
    except click.BadParameter as error:
        problem = f"{option.name}: {error.message.rstrip('.')}"
        raise InputError(problem, field=source, remedy=_remedy(option, values[-1])) from None


def _remedy(option: click.Parameter, value: str) -> str:
    if isinstance(option.type, click.Choice):
        return nearest(value, option.type.choices)
    return "write true or false" if isinstance(option.type, click.types.BoolParamType) else "mend that value"
