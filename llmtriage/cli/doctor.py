"""`llmtriage doctor`: what an engine can do here, and what is missing."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import notice, plain, show_json, table
from llmtriage.cli.making import make_examples, make_taxonomy
from llmtriage.cli.options import (
    examples_option,
    json_option,
    language_option,
    prompt_examples_option,
    prompts_option,
    quiet_option,
    taxonomy_option,
    timeout_option,
)
from llmtriage.errors import BackendError, BackendRefusedError, StoppedError

if TYPE_CHECKING:
    from llmtriage.doctor import Checkup
    from llmtriage.settings import Settings
    from llmtriage.triage import Triage

_WORDS = {
    "en": {
        "asking": "about eighty requests are sent, with texts of our own; the server may bill them",
        "suggestion": "suggestion: ",
        "table": "The table for llmtriage.toml that fits (NAME is yours to choose):",
    },
    "zh": {
        "asking": "将发送约八十个请求，内容是自带的文本；服务器可能计费",
        "suggestion": "建议：",
        "table": "适合写入 llmtriage.toml 的配置（NAME 可自定）：",
    },
}
_WIDTHS = (10, 18)


@click.command(short_help="What a server can do, and what is missing.")
@click.option(
    "--backend",
    required=True,
    help="openai:MODEL[@URL], vllm:MODEL[@URL], decisions:MODEL[@URL], vllm-offline:MODEL, a name, lexical.",
)
@taxonomy_option
@examples_option
@prompt_examples_option
@prompts_option
@click.option("--repeat", type=click.IntRange(1, 100), default=5, show_default=True, help="How often the same ticket is asked.")
@timeout_option
@language_option
@json_option
@quiet_option
@click.pass_obj
def doctor(settings: Settings, /, repeat: int, *, as_json: bool, quiet: bool, **flags: Any) -> None:
    """Ask the server of a backend what it can do: every line was probed, none comes from a table.

    No ticket of yours is sent, but examples of --examples are. Leaves with 4 if the backend cannot work; a warning is no failure.
    """
    from llmtriage.doctor import examine, probing_settings

    language, backend = flags["language"], flags["backend"]
    own = {"timeout": flags["timeout"]} if flags["timeout"] is not None else {}
    probing = probing_settings(backend, settings.with_flags(**own))
    triage = _triage(flags, probing, quiet=quiet or as_json)
    notice(_WORDS[language]["asking"], quiet=quiet or backend == "lexical", language=language)
    try:
        checkup = asyncio.run(_examined(examine(triage, probing, repeat=repeat), triage))
    except BackendError as error:
        if as_json:
            show_json({"backend": backend, "works": False, "error": str(error), "findings": []})
        if not isinstance(error, StoppedError):
            raise
        raise BackendRefusedError(error.problem, remedy=error.remedy, backend=error.backend) from None
    if as_json:
        show_json(as_data(checkup, language))
    else:
        _show(checkup, language)
    if not checkup.works:
        raise _cannot_work(checkup)


def _cannot_work(checkup: Checkup) -> BackendRefusedError:
    if checkup.cut_short:
        problem, remedy = "the server cuts the prompt even with a short ticket", "give it a larger window"
    else:
        reasons = ", ".join(sorted(checkup.load.failed))
        problem = f"no sample ticket got an answer that can be used ({reasons})"
        remedy = "choose another model or server"
    return BackendRefusedError(problem, remedy=remedy, backend=checkup.backend)


def _triage(flags: dict[str, Any], settings: Settings, *, quiet: bool) -> Triage:
    from llmtriage.prepare import Preparation
    from llmtriage.settings import default_cache_dir
    from llmtriage.triage import Triage

    language, path = flags["language"], flags["examples"]
    taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=language)
    known = path and make_examples(path, flags, taxonomy, Preparation.default(), quiet=quiet, language=language)
    return Triage(
        taxonomy=taxonomy,
        backend=flags["backend"],
        examples=known,
        prompt_examples=flags["prompt_examples"],
        prompts=flags["prompts"],
        language=language,
        settings=settings,
        cache_dir=default_cache_dir(),
    )


async def _examined(examining: Any, triage: Triage) -> Checkup:
    async with triage:
        checkup: Checkup = await examining
        return checkup


def as_data(checkup: Checkup, language: str) -> dict[str, Any]:
    """A checkup as plain data; the keys stay."""
    findings = [
        {
            "check": finding.check,
            "code": finding.code,
            "state": finding.state,
            "line": finding.line(language),
            "suggestion": finding.suggestion(language),
        }
        for finding in checkup.findings
    ]
    load = {**asdict(checkup.load), "answered": checkup.load.answered, "tickets_per_second": checkup.load.tickets_per_second}
    return {
        "backend": checkup.backend,
        "works": checkup.works,
        "error": None,
        "findings": findings,
        "capabilities": asdict(checkup.capabilities) if checkup.capabilities else None,
        "decisions": asdict(checkup.decisions) if checkup.decisions else None,
        "load": load,
        "table": checkup.table,
    }


def _show(checkup: Checkup, language: str) -> None:
    from llmtriage.doctor.words import NAMES, STATES

    first, second = _WIDTHS
    for finding in checkup.findings:
        head = [STATES[language][finding.state], NAMES[language][finding.check]]
        start = next(iter(table([(*head, "|")], (first, second, 1)))).removesuffix("|")
        click.echo(start + plain(finding.line(language)))
        suggestion = finding.suggestion(language)
        if suggestion:
            click.echo(f"{'':{first + second + 4}}{_WORDS[language]['suggestion']}{plain(suggestion)}")
    if checkup.table is not None:
        click.echo(f"\n{_WORDS[language]['table']}\n")
        for line in checkup.table.splitlines():
            click.echo(plain(line))
