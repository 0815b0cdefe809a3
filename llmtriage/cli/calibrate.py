"""`llmtriage calibrate`: from labelled tickets to a promise."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.classify import all_outcomes
from llmtriage.cli.display import notice, show_json
from llmtriage.cli.options import (
    Number,
    column_options,
    delta_option,
    file_argument,
    json_option,
    make_triage,
    new_file,
    open_tickets,
    overwrite_option,
    quiet_option,
    triage_options,
)
from llmtriage.cli.reading import tell_reading
from llmtriage.errors import InputError, short

if TYPE_CHECKING:
    from llmtriage.calibrating import Calibrated, Group, Labelled
    from llmtriage.calibration import Answer, Calibration
    from llmtriage.probability.candidates import CandidateRule
    from llmtriage.settings import Settings
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.tickets import TicketFile
    from llmtriage.triage import Triage

_WORDS = {
    "en": {
        "none": "no promise with these {n} labels",
        "wanted": "; a new sample of about {wanted} is needed",
        "half": "; at this budget more than half of those accepted could be wrong",
        "never": "; more labels would not help: the surest tickets that no rule holds are wrong too often, or there are none",
        "shown": "candidates    {fewest} to {most} where a ticket waits; the right one among them for {share:.0%} of {n} ({low:.0%} to {high:.0%})",
        "method": "calibrator    {method}, fitted on {fitted} tickets; the promise rests on {certified}",
        "spent": "each of these promises has {delta:.3g} of delta",
        "limit": "alpha {alpha:g}: {says}",
        "nothing": "nothing can be accepted",
        "left_out": "{n} of the tickets stand among the examples and were left out",
        "unanswered": "{n} of the tickets got no answer: the promise does not speak of such, even if they get one another time",
        "outside": "none of these tickets belongs to the catch-all: the promise is about a world without tickets that belong nowhere",
        "unseen": "rules look at {fields}, which no ticket of the file has: what these rules hold back is not counted here",
        "again": "another try on these labels, with another limit or setting, is a look of its own: add --look {look}, which costs a share of delta",
        "written": "written       {path}",
    },
    "zh": {
        "none": "这 {n} 个标注不足以作出保证",
        "wanted": "；需要约 {wanted} 张新抽取的标注工单",
        "half": "；按此人工量，自动接受的工单可能过半有误",
        "never": "；增加标注也无济于事：规则未拦下的工单中，最有把握的也错得太多，或没有这样的工单",
        "shown": "候选类别      待确认工单显示 {fewest} 至 {most} 个；{n} 张中 {share:.0%} 含正确类别（{low:.0%} 至 {high:.0%}）",
        "method": "校准器        {method}，用 {fitted} 张工单拟合；保证依据 {certified} 张",
        "spent": "每个保证分得 delta 中的 {delta:.3g}",
        "limit": "alpha {alpha:g}：{says}",
        "nothing": "什么都不能接受",
        "left_out": "其中 {n} 张工单在示例中出现，未使用",
        "unanswered": "其中 {n} 张工单没有得到答案：即使下次得到答案，该保证也不涉及此类工单",
        "outside": "没有一张工单属于兜底类别：该保证不涉及不属于任何类别的工单",
        "unseen": "有规则要看 {fields}，但文件中没有一张工单有此字段：这些规则拦下的工单未计入",
        "again": "用同一批标注换一个限度或设置再试，就是另一次查看：请加 --look {look}，以计入它应占的 delta",
        "written": "已写入        {path}",
    },
}


@click.command(short_help="From labelled tickets to a promise.")
@file_argument
@click.option("--alpha", type=Number(0, 0.5, min_open=True), help="The largest share of wrong tickets among those accepted.")
@click.option(
    "--alphas", metavar="A,B,...", help="Several in place of one, which share delta: the smallest possible is promised."
)
@click.option(
    "--review",
    metavar="SHARE",
    help="In place of a limit: people can read this share of tickets, 0.15 or 300/2000; all others are accepted.",
)
@click.option("--unlabelled", type=click.Path(path_type=Path), help="With --review: tickets that tell where that share ends.")
@delta_option
@click.option("-o", "--output", type=click.Path(), required=True, help="The calibration file.")
@click.option(
    "--answer",
    type=click.Choice(["leaf", "department"]),
    default="leaf",
    show_default=True,
    help="What is offered as the answer: a leaf, or the top-level category above it.",
)
@click.option(
    "--look", type=click.IntRange(min=1), help="The how manyth look at the same labels: looks share delta, the later the less."
)
@click.option(
    "--plan",
    type=click.Path(path_type=Path),
    help="The plan that FILE was drawn after: its calibrator, and where labels were drawn.",
)
@overwrite_option
@column_options
@triage_options
@json_option
@quiet_option
@click.pass_obj
def calibrate(
    settings: Settings,
    /,
    file: Path,
    delta: float,
    output: str,
    *,
    alpha: float | None,
    alphas: str | None,
    review: str | None,
    unlabelled: Path | None,
    look: int | None,
    answer: Answer,
    plan: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Classify the labelled tickets of FILE, fit a calibrator, and find what may be accepted under a promise.

    FILE is to be a uniform random sample of the tickets that will come, labelled by people who did not see what the model says.
    """
    from llmtriage.calibrating import calibrate as fit_and_certify
    from llmtriage.calibrating import calibrate_budget, calibrate_plan
    from llmtriage.calibration import Calibration
    from llmtriage.runner import refuse_overlap

    path = new_file(output, file, overwrite=overwrite)
    refuse_overlap([path], [one for one in (plan, unlabelled, flags["examples"], flags["taxonomy"]) if one is not None])
    refuse_acceptance(flags, "calibrate")
    budget = None if review is None else _budget(review, unlabelled, (alpha, alphas, look, plan))
    limits = _alphas(alpha, alphas) if budget is None else []
    tickets, language = open_tickets(file, flags), flags["language"]
    none_label = flags["none_label"]
    others_of = None if unlabelled is None else open_tickets(unlabelled, flags)
    triage = make_triage(flags, settings, quiet=quiet)
    draft = None if plan is None else Calibration.load(plan, plan=True)
    if draft is not None and answer != draft.answer and _is_given("answer"):
        raise InputError(f"the plan is for answers of the kind {draft.answer!r}", field="--answer", remedy="leave it out")
    drawn = _drawn(tickets, triage.taxonomy, none_label, draft)
    if draft is not None:
        draft.check(triage.contract())  # before anything is asked
    if look is None:
        _refuse_another_look(path, triage, tickets, limits, delta=delta, answer=draft.answer if draft else answer)
    rows = labelled_outcomes(triage, tickets, none_label, quiet=quiet, language=language)
    name = file.name.encode("utf-8", "replace").decode()  # of a file system that knows other encodings
    facts: dict[str, Any] = {"answer": answer, "drawn": drawn, "file": name, "none_label": none_label}
    if budget is not None and others_of is not None:
        others, _ = all_outcomes(triage, others_of, others_of, quiet=quiet, language=language, wanted="tickets")
        pairs = [(row.ticket, outcome) for row, outcome in others]
        found = calibrate_budget(triage, rows, pairs, review=budget, delta=delta, **facts)
    elif draft is None:
        found = fit_and_certify(triage, rows, alpha=limits, delta=delta, look=look, **facts)
    else:
        found = calibrate_plan(triage, draft, rows, alpha=limits, delta=delta, look=look, file=name, none_label=none_label)
    if found.calibration is not None:
        found.calibration.save(path)
    unanswered = sum(getattr(row.outcome, "failure", None) is not None for row in rows)
    if unanswered:
        notice(_WORDS[language]["unanswered"].format(n=unanswered), quiet=quiet, language=language)
    if unseen := _fields_unseen(triage.taxonomy, rows):
        notice(_WORDS[language]["unseen"].format(fields=", ".join(unseen)), quiet=quiet, language=language)
    if as_json:
        show_json(_as_json(found, output))
    else:
        _show(found, output, language, delta=delta, look=look, budget=budget is not None, quiet=quiet)
    return 0 if found.calibration else 1


def refuse_acceptance(flags: dict[str, Any], command: str) -> None:
    """Raise InputError where a flag says what a calibration itself is to say."""
    for name, remedy in (
        ("threshold", "leave it out: the calibration finds it"),
        ("departments", "use --answer department"),
        ("calibration", "leave it out: this makes a new one"),
    ):
        if flags[name]:
            raise InputError(f"not for {command}", field=f"--{name}", remedy=remedy)


def _fields_unseen(taxonomy: Taxonomy, rows: list[Labelled]) -> list[str]:
    """The fields that rules look at and no labelled ticket has."""
    names = {name for rule in taxonomy.rules for name in rule.when.metadata}
    return sorted(name for name in names if not any(row.ticket.value(name) for row in rows))


def _is_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


def _alphas(one: float | None, several: str | None) -> list[float]:
    if (one is None) == (several is None):
        raise InputError("give one limit, or several", field="--alpha", remedy="write --alpha 0.05, or --alphas 0.02,0.05,0.1")
    if one is not None:
        return [one]
    try:
        found = [float(part) for part in (several or "").replace("，", ",").split(",")]
    except ValueError:
        raise InputError(
            f"not A,B,...: {short(several or '')!r}", field="--alphas", remedy="write --alphas 0.02,0.05,0.1"
        ) from None
    if not all(0 < alpha <= 0.5 for alpha in found):
        raise InputError("each is above 0 and at most 0.5", field="--alphas", remedy="write --alphas 0.02,0.05,0.1")
    return found


def _budget(review: str, unlabelled: Path | None, others: tuple[object, ...]) -> float:
    """The share of tickets that people can read: 0.15, or 300/2000."""
    if any(other is not None for other in others):
        remedy = "leave out --alpha, --alphas, --look and --plan: the budget says where the threshold lies"
        raise InputError("goes with none of the limits", field="--review", remedy=remedy)
    if unlabelled is None:
        raise InputError("needs tickets that tell where that share ends", field="--review", remedy="name them with --unlabelled")
    read, slash, of = review.partition("/")
    try:
        share = float(read) / float(of) if slash else float(read)
    except (ValueError, ZeroDivisionError):
        share = math.nan
    if not 0 < share < 1:
        raise InputError(f"no share: {short(review)!r}", field="--review", remedy="write 0.15 or 300/2000, between 0 and 1")
    return share


def _drawn(tickets: TicketFile, taxonomy: Taxonomy, none_label: str | None, plan: Calibration | None) -> str:
    """How the tickets were drawn. A wrong label in the last row, or a row that is missing, is found before anything is asked."""
    from llmtriage.sampling import COLUMN, checked

    labelled = [row.ticket for row in tickets.labelled(taxonomy, none_label)]
    drawn = checked([ticket.value(COLUMN) for ticket in labelled], labelled)
    if plan is None and drawn.startswith("focused"):
        problem = "these tickets were drawn where labels are worth most, not among all"
        raise InputError(problem, field="--plan", remedy="name the plan that llmtriage plan wrote beside them")
    if plan is not None and drawn != plan.labels.drawn:
        problem = f"these tickets are the sample {drawn!r}, the plan is for {plan.labels.drawn!r}"
        raise InputError(problem, field="--plan", remedy="name the plan of this sample")
    return drawn


def _refuse_another_look(
    path: Path, triage: Triage, tickets: TicketFile, limits: list[float], *, delta: float, answer: Answer
) -> None:
    """Whoever tries until it passes has no promise: the labels of the file that is replaced are not used again unasked.

    The same once more is no other look; the same with more labels is.
    """
    from llmtriage.calibration import Calibration
    from llmtriage.prepare import prepare
    from llmtriage.taxonomy import digest

    if not path.exists():
        return
    try:
        old = Calibration.load(path)
    except InputError:
        return
    texts = [digest(prepare(row.ticket, triage.preparation).text) for row in tickets]
    alike = old.contract == dict(triage.contract()) and old.delta == delta / len(limits or [0])
    if alike and old.promises[0].alpha in limits and (old.answer, old.labels.n) == (answer, len(texts)):
        return
    if not {witness.text for witness in old.witnesses}.isdisjoint(texts):
        problem = "some of these labels were looked at before, for the calibration that would be replaced"
        field, another = ("--look", "add --look 2") if limits else ("--review", "name another file with --output")
        raise InputError(problem, field=field, remedy=f"label a new sample; or {another}: what both looks may fail adds up")


def labelled_outcomes(
    triage: Triage, tickets: TicketFile, none_label: str | None, *, quiet: bool, language: str
) -> list[Labelled]:
    """The labelled tickets of a file with what the engine says."""
    from llmtriage.calibrating import Labelled

    tell_reading(triage, quiet=quiet, language=language)
    found, _ = all_outcomes(triage, tickets, tickets.labelled(triage.taxonomy, none_label), quiet=quiet, language=language)
    return [Labelled(ticket=row.ticket, gold=row.category, outcome=outcome) for row, outcome in found]


def _show(found: Calibrated, output: str, language: str, *, delta: float, look: int | None, budget: bool, quiet: bool) -> None:
    from llmtriage.calibrating import in_words

    words, labels = _WORDS[language], found.labels
    if labels.left_out:
        notice(words["left_out"].format(n=labels.left_out), quiet=quiet, language=language)
    if not labels.outside:
        notice(words["outside"], quiet=quiet, language=language)
    if len(found.tried) > 1:
        for groups in found.tried:
            one = replace(found, groups=groups)
            says = in_words(one, language) if one.share else words["nothing"]
            click.echo(words["limit"].format(alpha=groups[0].certificate.alpha, says=says))
    if found.delta < delta:
        click.echo(words["spent"].format(delta=found.delta))
    if found.calibration is None:
        missing = (
            words["half"] if budget else words["never"] if found.wanted is None else words["wanted"].format(wanted=found.wanted)
        )
        click.echo(words["none"].format(n=labels.n) + missing)
        if not budget:
            notice(words["again"].format(look=(look or 1) + 1), quiet=quiet, language=language)
        return
    click.echo(in_words(found, language))
    method = found.calibration.fitted.method
    click.echo(words["method"].format(method=method, fitted=labels.fitted, certified=labels.certified))
    candidates_line = shown_to_reviewers(found.calibration.candidates, language)
    if candidates_line:
        click.echo(candidates_line)
    click.echo(words["written"].format(path=output))


def shown_to_reviewers(rule: CandidateRule, language: str) -> str:
    """How many categories a reviewer is shown, and how often the right one is among them; empty where too few labels tell."""
    from llmtriage.probability.candidates import FEWEST, MOST

    if rule.share is None or rule.interval is None:
        return ""
    low, high = rule.interval
    return _WORDS[language]["shown"].format(fewest=FEWEST, most=MOST, share=rule.share, n=rule.n, low=low, high=high)


def _as_json(found: Calibrated, output: str) -> dict[str, Any]:
    return {
        "promises": _promises(found.calibration) if found.calibration else [],
        "share": found.share,
        "delta": found.delta,
        "alphas": [_evidence(groups[0]) for groups in found.tried],
        "labels_wanted": found.wanted,
        "labels": found.labels.model_dump(mode="json"),
        "calibrator": _method(found),
        "calibrated": found.calibration.calibrated if found.calibration else False,
        "tried": [
            {"method": tried.method, "log_loss": tried.loss, "behind": tried.behind, "standard_error": tried.standard_error}
            for tried in (found.selection.tried if found.selection else ())
        ],
        "candidates": asdict(found.calibration.candidates) if found.calibration else None,
        "need": list(found.certificate.boundary.need),
        "file": output if found.calibration else None,
    }


def _promises(calibration: Calibration) -> list[dict[str, Any]]:
    """Each with the least confidence that is accepted, in the numbers that outcomes show; None: any."""
    least = [calibration.least_confidence(promise.categories[0]) for promise in calibration.promises]
    return [
        promise.model_dump(mode="json", exclude={"need", "wrong_at"})
        | {"least_confidence": None if one is None or math.isinf(one) else one}
        for promise, one in zip(calibration.promises, least, strict=True)
    ]


def _method(found: Calibrated) -> str | None:
    if found.calibration:
        return found.calibration.fitted.method
    return found.selection.calibrator.method if found.selection else None


def _evidence(group: Group) -> dict[str, float | int]:
    found = group.certificate
    return {"alpha": found.alpha, "accepted": found.accepted, "errors": found.errors}
