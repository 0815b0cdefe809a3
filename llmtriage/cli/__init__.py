"""The command line: thin; every command calls one function of the library. Heavy imports stand inside the commands."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

INTERRUPTED = 130
BROKEN = 70  # a fault of this program: the "internal software error" of sysexits.h


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with the exit code of the design."""
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; an error becomes one line on stderr and an exit code."""
    import click

    from llmtriage.cli.commands import llmtriage
    from llmtriage.errors import LlmtriageError

    try:
        with llmtriage.make_context("llmtriage", arguments or ["--help"]) as context:
            result = llmtriage.invoke(context)
        sys.stdout.flush()
        return int(result or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _say(" ".join(error.format_message().split()), error.exit_code)
    except LlmtriageError as error:
        return _say("; ".join([str(error), *_notes(error)]), error.exit_code)
    except (KeyboardInterrupt, click.Abort) as stop:
        return _say("; ".join(["stopped", *_notes(stop)]), INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit itself does not fail
        return 0
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _say(f"a fault of llmtriage itself ({type(error).__name__}); run again with --debug and report it", BROKEN)


def _say(message: str, code: int) -> int:
    print(f"llmtriage: {message}", file=sys.stderr)
    return code


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt
