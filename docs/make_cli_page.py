"""Writes docs/cli.md from the command line itself: python docs/make_cli_page.py. A test says when the page is old."""

from __future__ import annotations

from pathlib import Path

import click

from llmtriage.cli.commands import llmtriage

PAGE = Path(__file__).with_name("cli.md")
HEAD = """\
# Command line

Written by `make docs`. Every flag has an environment variable and a key in `llmtriage.toml`: see [settings.md](settings.md).

| exit code | meaning |
|---|---|
| 0 | done; tickets may be pending |
| 1 | findings: lint errors, `--fail-under` missed |
| 2 | wrong usage, or a file that cannot be used |
| 4 | the engine cannot work: no connection, wrong key, unknown model |
| 70 | a fault of llmtriage itself; `--debug` shows the traceback |
| 130 | interrupted |

An error is one line on stderr. A run that stops early leaves an output that is an exact beginning of the full one; its last line
says how many tickets are decided, and `--resume` goes on behind it.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(
        _section(llmtriage, click.Context(llmtriage, info_name="llmtriage", max_content_width=100, terminal_width=100))
    )


def _section(command: click.Command, context: click.Context) -> list[str]:
    lines = [f"\n## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                below = click.Context(child, info_name=name, parent=context, max_content_width=100, terminal_width=100)
                lines += _section(child, below)
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
