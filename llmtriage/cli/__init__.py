"""The command line: thin; every command calls one function of the library. Heavy imports stand inside the commands."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    import click

INTERRUPTED = 130
_ALIVE = 50_000  # new objects before the collector looks for cycles: else it walks over the thousands of tickets in flight again and again
BROKEN = 70  # a fault of this program: the "internal software error" of sysexits.h


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with the exit code of the design."""
    signal.signal(signal.SIGTERM, _stop)
    gc.set_threshold(_ALIVE)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that knows no Chinese is no reason to stop
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; an error becomes one line on stderr and an exit code."""
    import click

    from llmtriage.cli.commands import llmtriage

    debug = "--debug" in arguments  # asked now, for click empties the list
    try:
        with llmtriage.make_context("llmtriage", arguments or ["--help"]) as context:
            result = llmtriage.invoke(context)
        sys.stdout.flush()
        return int(result or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit itself does not fail
        return 0
    except (Exception, KeyboardInterrupt) as error:
        message, code = _in_words(error)
        if code == BROKEN and debug:
            raise
        print(f"llmtriage: {'; '.join([message, *_notes(error)])}", file=sys.stderr)
        return code


def _in_words(error: BaseException) -> tuple[str, int]:
    """What is said about an error, and the exit code."""
    import click

    from llmtriage.errors import LlmtriageError

    if isinstance(error, click.ClickException):
        return _usage(error), error.exit_code
    if isinstance(error, LlmtriageError):
        return str(error), error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return "stopped", INTERRUPTED
    kind = type(error).__name__
    return f"a fault of llmtriage itself ({kind}); run again as 'llmtriage --debug ...' and report what it shows", BROKEN


def _usage(error: click.ClickException) -> str:
    """What click says, with where a value came from and where to look."""
    import click

    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    if not isinstance(error, click.BadParameter) or isinstance(error, click.MissingParameter):
        return f"{message.rstrip('.')}; see {context.command_path} --help"
    option = error.param
    if option and option.name and context.get_parameter_source(option.name) is click.core.ParameterSource.ENVIRONMENT:
        return f"{message.rstrip('.')}; it comes from the environment variable {option.envvar}"
    return message


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt
