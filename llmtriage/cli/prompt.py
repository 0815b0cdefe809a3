"""`llmtriage prompt`: what would be sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import show_json
from llmtriage.cli.making import make_triage, open_tickets
from llmtriage.cli.options import column_options, json_option, quiet_option, triage_options
from llmtriage.cli.typed import one_text, text_or_stdin
from llmtriage.errors import InputError
from llmtriage.terminal import visible

if TYPE_CHECKING:
    from llmtriage.settings import Settings
    from llmtriage.tickets import Ticket
    from llmtriage.triage import Triage


_WORDS = {
    "en": {
        "footer": "--- prompt {hash}, about {tokens} tokens (an estimate), preparation: {changed}",
        "nothing": "nothing to do",
    },
    "zh": {
        "footer": "--- 提示词 {hash}，约 {tokens} 个 token（估计），预处理：{changed}",
        "nothing": "无需处理",
    },
}


@click.command(short_help="Show exactly what would be sent to an LLM.")
@click.argument("texts", nargs=-1, required=True, metavar="TEXT_OR_FILE")
@click.option("--row", type=click.IntRange(min=1), default=1, show_default=True, help="Which ticket of a file.")
@column_options
@triage_options
@json_option
@quiet_option
@click.pass_obj
def prompt(settings: Settings, /, texts: tuple[str, ...], row: int, *, as_json: bool, quiet: bool, **flags: Any) -> None:
    """Show what would be sent for TEXT_OR_FILE ("-": standard input): messages, hash, length in tokens."""
    ticket = _ticket(one_text(texts), row, flags)
    words = _WORDS[flags["language"]]
    triage = make_triage(flags, settings, quiet=quiet)
    data = rendered(triage, ticket)
    if as_json:
        show_json(data)
        return
    for message in data["messages"]:
        click.echo(f"--- {message['role']}")
        click.echo(visible(message["content"]))
    changed = ", ".join(data["prepared_by"]) or words["nothing"]
    click.echo(words["footer"].format(hash=data["prompt_hash"], tokens=data["tokens"], changed=changed))


def rendered(triage: Triage, ticket: Ticket) -> dict[str, Any]:
    """The messages for a ticket, the whole request where the engine is a chat model, hash and length."""
    from llmtriage.backends.decisions import DecisionBackend
    from llmtriage.prepare import prepare
    from llmtriage.prompting import estimated_tokens

    prepared = prepare(ticket, triage.preparation)
    question = triage.question(prepared.text)
    messages = triage.prompt.render(question).as_chat()
    if isinstance(triage.backend, DecisionBackend):  # it has no messages: what it sends is shown as it is
        messages = [{"role": "request", "content": triage.backend.plan(question).text}]
    request = getattr(triage.backend, "request", None)
    return {
        "messages": messages,
        "request": request(question) if request else None,
        "prompt_hash": triage.prompt.hash,
        "tokens": estimated_tokens("".join(message["content"] for message in messages)),
        "tokens_are": "estimated",
        "prepared_by": list(prepared.steps_that_changed_something),
    }


def _ticket(text_or_file: str, row: int, flags: dict[str, Any]) -> Ticket:
    from llmtriage.tickets import Ticket

    path = Path(text_or_file)
    if not _is_file(path):
        return Ticket(content=text_or_stdin(text_or_file))
    for number, found in enumerate(open_tickets(path, flags), 1):
        if number == row:
            return found.ticket
    raise InputError(f"the file has no row {row}", file=path, remedy="give a smaller --row")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() or _looks_like_one(path)
    except (OSError, ValueError):  # a long text is no file name
        return False


def _looks_like_one(path: Path) -> bool:
    """Whether this names a file, perhaps mistyped, and is no text of a customer."""
    return path.suffix.lower() in (".csv", ".tsv", ".jsonl") and len(path.name.split()) == 1
