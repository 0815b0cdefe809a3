"""A promise from tickets of a store that were drawn by chance: probes, or a planned sample."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.calibrate import fields_unseen, outcomes_of
from llmtriage.cli.calibrated import finish
from llmtriage.cli.display import notice, plain, show_json
from llmtriage.cli.labels import check_labels
from llmtriage.cli.making import make_triage, place_of_store
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.calibration import Answer
    from llmtriage.settings import Settings
    from llmtriage.store import SqlStore
    from llmtriage.store.samples import Sample
    from llmtriage.triage import Triage

_WORDS = {
    "en": {
        "labels": "labels        {n} of the sample {name}; look {look} at them, which may spend {share:.3g} of delta {delta:g}",
        "too few": "no promise with these {n} labels; at least {missing} more are needed: any promise needs {least} accepted ones without an "
        "error{fitting}",
        "fitting": ", besides those that the calibrator is fitted on",
        "waiting": "{waiting} tickets of the sample wait for an answer",
        "behind": "{behind} answered tickets are not used, for they were drawn after one that waits: a choice among the drawn ones is no sample",
        "erased": "{erased} tickets of the sample have no text any more and were left out",
        "others": "{others} answered probes were drawn with another probability and are not used",
        "changed": "{changed} answers were changed later: the first ones count, for nobody had seen then what a model says",
    },
    "zh": {
        "labels": "标注          样本 {name} 的 {n} 张；第 {look} 次查看，可用去 delta {delta:g} 中的 {share:.3g}",
        "too few": "这 {n} 个标注不足以作出保证；至少还需 {missing} 个：任何保证都需要 {least} 张被接受且无一错误的工单{fitting}",
        "fitting": "，另加用于拟合校准器的工单",
        "waiting": "样本中有 {waiting} 张工单尚未标注",
        "behind": "{behind} 张已标注的工单未使用，因为抽取顺序在尚未标注的工单之后：挑选过的不是样本",
        "erased": "样本中有 {erased} 张工单已无文字，未使用",
        "others": "{others} 张已标注的抽查工单以其他概率抽取，未使用",
        "changed": "{changed} 个答案后来有改动：以第一次为准，因为当时无人见过模型的意见",
    },
}


def calibrate_stored(
    settings: Settings, flags: dict[str, Any], name: str | None, path: Path, *, quiet: bool, **asked: Any
) -> int:
    """`llmtriage calibrate --store`: on the probes, or on a planned sample; the exit code. See `calibrate_sample`."""
    from llmtriage.runner import refuse_overlap
    from llmtriage.store import SqlStore
    from llmtriage.store.samples import planned_sample, probes

    read = (Path(place_of_store()), flags["examples"], flags["taxonomy"])
    refuse_overlap([path], [one for one in read if one is not None])
    language, none_label = flags["language"], flags["none_label"]
    store = SqlStore(place_of_store(), create=False)
    click.get_current_context().call_on_close(store.close)
    sample = probes(store.database) if name is None else planned_sample(store.database, name)
    if name is not None and sample.waiting:
        problem = f"{sample.waiting} tickets of the sample have no answer, {len(sample.rows)} have one"
        remedy = "label all of them with llmtriage review; a choice among the drawn ones is no sample"
        raise InputError(problem, file=store.name, field="--sample", remedy=remedy)
    triage = make_triage(flags, settings, quiet=quiet)
    return calibrate_sample(triage, store, sample, path, quiet=quiet, language=language, none_label=none_label, **asked)


def calibrate_sample(
    triage: Triage,
    store: SqlStore,
    sample: Sample,
    path: Path,
    *,
    limits: Sequence[float],
    delta: float,
    answer: Answer,
    none_label: str | None,
    as_json: bool = False,
    quiet: bool,
    language: str,
) -> int:
    """Fit, certify, write the file and say what was won. The look is written down before anything is certified.

    Labels that are too few for any promise are not looked at: no look is counted.

    Returns:
        The exit code: 0 with a promise, 1 without.
    """
    from llmtriage.calibrating import calibrate as fit_and_certify
    from llmtriage.calibrating import enough
    from llmtriage.calibrating.labelled import answer_of
    from llmtriage.predictions import SingleLabel
    from llmtriage.probability.certificate import delta_of_look, labels_needed
    from llmtriage.store.samples import look, looks_at
    from llmtriage.tickets import carried_labels

    words = _WORDS[language]
    rows = carried_labels(sample.rows, triage.taxonomy, place=store.name, field="--store")
    check_labels(rows, store.name, quiet=quiet, language=language)
    _tell(sample, quiet=quiet, language=language)
    facts = {**_facts(sample), "labels": len(rows)}
    number = looks_at(store.database, sample.name) + 1
    least = labels_needed(max(limits), delta_of_look(delta, number) / len(limits))
    told: dict[str, Any] = {"facts": facts, "least": least, "as_json": as_json, "language": language}
    if len(rows) < least:
        return _too_few(len(rows), least, **told)
    outcomes = outcomes_of(triage, rows, rows, quiet=quiet, language=language)
    wanted = least if any(isinstance(answer_of(one), SingleLabel) for one in outcomes) else enough(least)
    if len(rows) < wanted:
        return _too_few(len(rows), wanted, **told)
    number = look(store.database, sample.name, labels=len(rows), alphas=limits, delta=delta)
    share = delta_of_look(delta, number)
    if not as_json:
        click.echo(words["labels"].format(n=len(rows), name=plain(sample.name), look=number, share=share, delta=delta))
    file = Path(store.database.engine.url.database or "").name
    drawn: dict[str, Any] = {"drawn": sample.name, "file": file, "answer": answer, "none_label": none_label}
    found = fit_and_certify(triage, outcomes, alpha=limits, delta=delta, look=number, **drawn)
    more = {"sample": {**facts, "look": number}}
    how: dict[str, Any] = {"as_json": as_json, "quiet": quiet, "language": language, "grows": sample.grows, "more": more}
    return finish(found, outcomes, path, delta=share, unseen=fields_unseen(triage.taxonomy, outcomes), **how)


def _too_few(n: int, wanted: int, *, facts: dict[str, Any], least: int, as_json: bool, language: str) -> int:
    """Say how many labels are missing; the exit code."""
    words = _WORDS[language]
    if as_json:
        show_json({"promises": [], "labels_wanted": wanted, "file": None, "sample": facts})
    else:
        fitting = words["fitting"] if wanted > least else ""
        click.echo(words["too few"].format(n=n, missing=wanted - n, least=least, fitting=fitting))
    return 1


def _tell(sample: Sample, *, quiet: bool, language: str) -> None:
    """What of the sample is not used, and why."""
    facts = _facts(sample)
    for key in ("waiting", "behind", "erased", "others", "changed"):
        if facts[key]:
            notice(_WORDS[language][key].format(**facts), quiet=quiet, language=language)


def _facts(sample: Sample) -> dict[str, Any]:
    return {field.name: getattr(sample, field.name) for field in fields(sample) if field.name not in ("rows", "grows")}
