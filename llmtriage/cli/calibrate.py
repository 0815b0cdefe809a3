"""`llmtriage calibrate`: from labelled tickets to a promise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.calibrated import finish
from llmtriage.cli.classify import all_outcomes
from llmtriage.cli.labels import check_labels
from llmtriage.cli.making import make_triage, open_tickets
from llmtriage.cli.options import (
    Number,
    column_options,
    delta_option,
    json_option,
    overwrite_option,
    quiet_option,
    triage_options,
)
from llmtriage.cli.reading import tell_reading
from llmtriage.cli.typed import new_file
from llmtriage.errors import InputError, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llmtriage.calibrating import Labelled
    from llmtriage.calibration import Answer, Calibration
    from llmtriage.settings import Settings
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.tickets import LabelledTicket, TicketFile
    from llmtriage.triage import Triage


@click.command(short_help="From labelled tickets to a promise.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
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
@click.option(
    "--store",
    is_flag=False,
    flag_value="",
    metavar="[STORE]",
    help="In place of FILE: tickets that were drawn by chance, from this store [llmtriage.db].",
)
@click.option("--sample", metavar="NAME", help="With --store: the planned sample of this name, in place of the probes.")
@overwrite_option
@column_options
@triage_options
@json_option
@quiet_option
@click.pass_obj
def calibrate(
    settings: Settings,
    /,
    file: Path | None,
    delta: float,
    output: str,
    *,
    store: str | None,
    sample: str | None,
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

    FILE is to be a uniform random sample of the tickets that will come, labelled by people who did not see what the model says. With --store such
    tickets come from there: the probes, or a planned sample. The store counts how often labels were looked at; looks share delta.
    """
    from llmtriage.calibrating import calibrate as fit_and_certify
    from llmtriage.calibrating import calibrate_budget, calibrate_plan
    from llmtriage.calibration import Calibration
    from llmtriage.runner import refuse_overlap

    refuse_acceptance(flags, "calibrate")
    if file is None or (store is not None and _is_typed("store") and not _is_stored(flags["examples"])):
        from llmtriage.cli.samples import calibrate_stored

        _refuse_with_store(file, store, {"look": look, "plan": plan, "review": review, "unlabelled": unlabelled})
        asked: dict[str, Any] = {
            "limits": _alphas(alpha, alphas),
            "delta": delta,
            "answer": answer,
            "quiet": quiet,
            "as_json": as_json,
        }
        path = new_file(output, overwrite=overwrite)
        return calibrate_stored(settings, flags, sample, path, **asked)
    path = new_file(output, file, overwrite=overwrite)
    refuse_overlap([path], [one for one in (plan, unlabelled, flags["examples"], flags["taxonomy"]) if one is not None])
    if sample is not None:
        raise InputError("a sample of a store", field="--sample", remedy="add --store in place of FILE")
    budget = None if review is None else _budget(review, unlabelled, (alpha, alphas, look, plan))
    limits = _alphas(alpha, alphas) if budget is None else []
    tickets, language = open_tickets(file, flags), flags["language"]
    none_label = flags["none_label"]
    others_of = None if unlabelled is None else open_tickets(unlabelled, flags)
    triage = make_triage(flags, settings, quiet=quiet)
    draft = None if plan is None else Calibration.load(plan, plan=True)
    if draft is not None and answer != draft.answer and _is_given("answer"):
        raise InputError(f"the plan is for answers of the kind {draft.answer!r}", field="--answer", remedy="leave it out")
    check_labels(tickets.labelled(triage.taxonomy, none_label), file, quiet=quiet, language=language)
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
    told: dict[str, Any] = {"as_json": as_json, "quiet": quiet, "language": language}
    looked = None if budget is not None else look or 1
    unseen = fields_unseen(triage.taxonomy, rows)
    return finish(found, rows, path, delta=delta, budget=budget is not None, look=looked, unseen=unseen, **told)


def refuse_acceptance(flags: dict[str, Any], command: str) -> None:
    """Raise InputError where a flag says what a calibration itself is to say."""
    for name, remedy in (
        ("threshold", "leave it out: the calibration finds it"),
        ("departments", "use --answer department"),
        ("calibration", "leave it out: this makes a new one"),
    ):
        if flags[name]:
            raise InputError(f"not for {command}", field=f"--{name}", remedy=remedy)


def _refuse_with_store(file: Path | None, store: str | None, others: Mapping[str, object]) -> None:
    """Raise InputError unless the labels are to come from a store, and nothing is given that would not go with that."""
    if file is not None:
        raise InputError("FILE and --store exclude each other", remedy="leave one of them out")
    if store is None or not _is_typed("store"):
        raise InputError("there is nothing to calibrate on", remedy="name a labelled file, or add --store")
    for name, value in others.items():
        if value is not None:
            remedy = "leave it out: the store counts the looks" if name == "look" else "leave it out, or name a labelled file"
            raise InputError("does not go with --store", field=f"--{name}", remedy=remedy)


def _is_stored(examples: Path | None) -> bool:
    from llmtriage.examples import STORED

    return str(examples or "").startswith(STORED)


def _is_typed(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def fields_unseen(taxonomy: Taxonomy, rows: list[Labelled]) -> list[str]:
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
    return outcomes_of(triage, tickets, tickets.labelled(triage.taxonomy, none_label), quiet=quiet, language=language)


def outcomes_of(
    triage: Triage,
    tickets: TicketFile | Sequence[LabelledTicket],
    rows: Iterable[LabelledTicket],
    *,
    quiet: bool,
    language: str,
) -> list[Labelled]:
    """Labelled tickets with what the engine says; `tickets` are all that will be asked about."""
    from llmtriage.calibrating import Labelled

    tell_reading(triage, quiet=quiet, language=language)
    found, _ = all_outcomes(triage, tickets, rows, quiet=quiet, language=language)
    return [Labelled(ticket=row.ticket, gold=row.category, outcome=outcome) for row, outcome in found]
