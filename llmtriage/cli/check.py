"""`llmtriage check`: does a calibration still hold here, and does what it promises?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.calibrated import shown_to_reviewers
from llmtriage.cli.display import plain, show_json
from llmtriage.cli.making import make_triage, open_tickets, place_of_store
from llmtriage.cli.options import column_options, json_option, quiet_option, triage_options
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from llmtriage.calibration import Calibration
    from llmtriage.settings import Settings
    from llmtriage.store.overview import Audited
    from llmtriage.tickets import TicketFile
    from llmtriage.triage import Triage

_MOST_MOVED = 0.1  # of the witnesses; a hosted model answers not quite the same twice
_WORDS = {
    "en": {
        "fits": "it fits: taxonomy, prompt, model, examples, preparation and policy are those it was made with",
        "labels": "made {made} on {certified} of {n} labelled tickets of {file}",
        "again": "asked again about {n} of its tickets: {moved} answered otherwise than when it was made",
        "moved": "the model behind this name is another one now; calibrate anew",
    },
    "zh": {
        "fits": "适用：分类体系、提示词、模型、示例、预处理和策略与制作时一致",
        "labels": "{made} 制作，依据 {file} 中 {n} 张标注工单里的 {certified} 张",
        "again": "重新询问了其中 {n} 张工单：{moved} 张的回答与制作时不同",
        "moved": "同名的模型已经改变，请重新校准",
    },
}


@click.command(short_help="Does a calibration still hold here?")
@click.option(
    "--again", type=click.Path(path_type=Path), help="The labelled file: ask about some of its tickets again, and compare."
)
@click.option(
    "--store",
    is_flag=False,
    flag_value="",
    metavar="[STORE]",
    help="Does the promise hold in the light of the probes that people answered in this store [llmtriage.db]?",
)
@column_options
@triage_options
@json_option
@quiet_option
@click.pass_obj
def check(settings: Settings, /, again: Path | None, store: str | None, *, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Say what --calibration promises, and whether taxonomy, prompt, model, examples, preparation and policy are those it was made with.

    A hosted model may change behind its name. --again asks about tickets whose answers are known and exits with 3 if more than one in ten
    is answered otherwise.

    --store looks at the probes that were drawn under this calibration, that it would have accepted and that people answered blind: exit code 1 if
    too many are wrong for the promise to hold. One may look as often as one likes.
    """
    if flags["calibration"] is None:
        raise InputError("which calibration?", field="--calibration", remedy="name the file that llmtriage calibrate wrote")
    language = flags["language"]
    words = _WORDS[language]
    if again:  # what was kept says nothing of the model of today
        flags["reply_cache"], settings = None, settings.model_copy(update={"reply_cache": None})
    triage = make_triage(flags, settings, quiet=quiet)
    triage.settle()
    calibration = triage.calibration
    assert calibration is not None  # noqa: S101 - it was named
    asked, moved = _asked_again(triage, calibration, open_tickets(again, flags)) if again else (0, 0)
    changed = moved > _MOST_MOVED * asked
    audits = () if store is None else _audited(triage, calibration)
    code = 3 if changed else int(any(one.audit.state == "broken" for one in audits))
    if as_json:
        told: dict[str, Any] = {"fits": not changed, "asked": asked, "moved": moved}
        told |= {} if store is None else {"audits": [_as_data(one) for one in audits]}
        show_json({**told, **calibration.model_dump(mode="json", exclude={"calibrator", "witnesses"})})
        return code
    labels = calibration.labels
    click.echo(plain((language == "zh" and calibration.words_zh) or calibration.words))
    click.echo(words["labels"].format(made=calibration.made, certified=labels.certified, n=labels.n, file=plain(labels.file)))
    if shown := shown_to_reviewers(calibration.candidates, language):
        click.echo(shown)
    click.echo(words["fits"])
    if again:
        click.echo(words["again"].format(n=asked, moved=moved))
    for one in audits:
        click.echo(_in_words(one, language, alone=len(audits) == 1))
    if changed:
        click.echo(words["moved"], err=True)
    return code


def _audited(triage: Triage, calibration: Calibration) -> tuple[Audited, ...]:
    """The promises in the light of the probes in a store."""
    from llmtriage.store import SqlStore
    from llmtriage.store.overview import audited

    with SqlStore(place_of_store(), create=False) as opened:
        return audited(opened.database, triage.taxonomy, calibration)


def _in_words(one: Audited, language: str, *, alone: bool) -> str:
    from llmtriage.store.audit_words import audit_words

    words = audit_words(one, language)
    return words if alone else f"{plain(', '.join(one.promise.categories))}: {words}"


def _as_data(one: Audited) -> dict[str, Any]:
    from llmtriage.store.overview import audit_data

    return {"categories": list(one.promise.categories), **audit_data(one)}


def _asked_again(triage: Triage, calibration: Calibration, tickets: TicketFile) -> tuple[int, int]:
    """How many of the tickets whose answers are known were asked about again, and how many are answered otherwise."""
    from llmtriage.outcomes import Accepted
    from llmtriage.prepare import prepare
    from llmtriage.taxonomy import digest

    known = {witness.text for witness in calibration.witnesses}
    found = [row.ticket for row in tickets if digest(prepare(row.ticket, triage.preparation).text) in known]
    if not found:
        problem = "holds none of the tickets that the calibration was made on"
        raise InputError(problem, file=tickets.table.path, remedy="name the labelled file it was made with")
    outcomes = list(triage.classify_many(found))
    offered = [(one, one.category if isinstance(one, Accepted) else one.suggestion) for one in outcomes]
    return len(found), sum(bool(calibration.moved(one.text, category, one.confidence)) for one, category in offered)
