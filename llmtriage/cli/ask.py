"""`llmtriage ask`: one ticket, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import cut, plain, show_json
from llmtriage.cli.making import make_triage
from llmtriage.cli.options import json_option, quiet_option, triage_options
from llmtriage.cli.reading import tell_reading
from llmtriage.cli.typed import one_text, text_or_stdin

if TYPE_CHECKING:
    from llmtriage.outcomes import Outcome
    from llmtriage.settings import Settings
    from llmtriage.triage import Triage


_WORDS = {
    "en": {
        "accepted": "accepted: ",
        "pending": "pending: ",
        "suggestion": "suggestion {}",
        "none": "no suggestion",
        "score": "  (score {}, uncalibrated)",
        "confidence": "  (confidence {})",
    },
    "zh": {
        "accepted": "接受：",
        "pending": "待人工确认：",
        "suggestion": "建议 {}",
        "none": "无建议",
        "score": "  (得分 {}，未校准)",
        "confidence": "  (置信度 {})",
    },
}


@click.command(short_help="One ticket, at once.")
@click.argument("texts", nargs=-1, required=True, metavar="TEXT")
@click.option("--title", default="", help="Subject line of the ticket.")
@triage_options
@json_option
@quiet_option
@click.pass_obj
def ask(settings: Settings, /, texts: tuple[str, ...], title: str, *, as_json: bool, quiet: bool, **flags: Any) -> None:
    """Decide on TEXT ("-": standard input) and show the outcome, the probabilities and why."""
    from llmtriage.tickets import Ticket

    text = one_text(texts)
    language = flags["language"]
    triage = make_triage(flags, settings, quiet=quiet)
    outcome = triage.classify(Ticket(title=title, content=text_or_stdin(text)))
    tell_reading(triage, quiet=quiet or as_json, language=language)
    if as_json:
        show_json(as_data(outcome, language))
    else:
        for line in in_words(outcome, triage, language):
            click.echo(line)


def as_data(outcome: Outcome, language: str) -> dict[str, Any]:
    """An outcome as plain data."""
    from llmtriage.outcomes import Accepted

    accepted = isinstance(outcome, Accepted)
    return {
        "outcome": "accepted" if accepted else "pending",
        "category": outcome.category if isinstance(outcome, Accepted) else None,
        "team": outcome.team if isinstance(outcome, Accepted) else None,
        "suggestion": None if isinstance(outcome, Accepted) else outcome.suggestion,
        "confidence": outcome.confidence,
        "score": outcome.score,
        "calibrated": outcome.calibrated,
        "candidates": [{"category": c.category, "score": c.score} for c in outcome.candidates],
        "reasons": [
            {"code": r.code, "detail": r.detail, "sentence": r.sentence(language)} for r in getattr(outcome, "reasons", ())
        ],
        "text": outcome.text,
    }


def in_words(outcome: Outcome, triage: Triage, language: str) -> list[str]:
    """An outcome for a person."""
    from llmtriage.outcomes import Accepted

    words = _WORDS[language]
    kind, number = ("confidence", outcome.confidence) if outcome.calibrated else ("score", outcome.score)
    score = "" if number is None else words[kind].format(f"{number:.2f}")
    if isinstance(outcome, Accepted):
        lines = [f"{words['accepted']}{named(triage, outcome.category, language)} -> {outcome.team or '-'}{score}"]
    else:
        suggestion = named(triage, outcome.suggestion, language) if outcome.suggestion else ""
        lines = [words["pending"] + (words["suggestion"].format(suggestion) if suggestion else words["none"]) + score]
        lines += [f"  {reason.code}: {plain(reason.sentence(language))}" for reason in outcome.reasons]
    lines += [
        f"  {'   -' if c.score is None else f'{c.score:.2f}'}  {cut(named(triage, c.category, language), 60).rstrip()}"
        for c in outcome.candidates
    ]
    return lines


def named(triage: Triage, category: str, language: str) -> str:
    """The id of a category with the names on its path."""
    path = " > ".join(node.label(language) for node in triage.taxonomy.path(category))
    return plain(category if path == category else f"{category} [{path}]")
