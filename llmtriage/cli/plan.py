"""`llmtriage plan`: which tickets to label for a promise, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.calibrate import labelled_outcomes, refuse_acceptance
from llmtriage.cli.classify import all_outcomes
from llmtriage.cli.labels import check_labels
from llmtriage.cli.making import make_triage, open_tickets
from llmtriage.cli.options import (
    Number,
    column_options,
    delta_option,
    file_argument,
    overwrite_option,
    quiet_option,
    triage_options,
)
from llmtriage.cli.typed import new_file
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtriage.calibrating import Plan
    from llmtriage.calibration import Answer
    from llmtriage.sampling import Kind
    from llmtriage.settings import Settings
    from llmtriage.tickets import Ticket, TicketFile
    from llmtriage.triage import Triage

_USUAL = 4  # times the labels that any promise needs: what is drawn where nothing is known

_WORDS = {
    "en": {
        "least": "any promise needs at least {least} accepted labelled tickets without an error, {more} with two errors",
        "wanted": "about {wanted} labels are needed",
        "never": "no number of labels would do: even the surest tickets are wrong too often",
        "fewer": "only {n} tickets of the file can be drawn: give more unlabelled tickets, or expect a promise of less",
        "where": "drawn from the surest {reach:.0%} of tickets, those with a confidence of {floor:.2f} or more",
        "written": "{n} tickets to label: {path}; fill in the column {column}, for all of them, without looking at what the model says",
        "then": "then: llmtriage calibrate {path} --alpha {alpha:g} --delta {delta:g}{plan} -o calibration.json, with the flags of this command",
    },
    "zh": {
        "least": "任何保证至少需要 {least} 张被接受且无一错误的标注工单，有两处错误时需要 {more} 张",
        "wanted": "约需 {wanted} 个标注",
        "never": "再多标注也不够：即使最有把握的工单也错得太多",
        "fewer": "该文件只能抽取 {n} 张：请提供更多未标注工单，否则保证的范围会更小",
        "where": "从最有把握的 {reach:.0%} 工单中抽取，即置信度不低于 {floor:.2f}",
        "written": "待标注 {n} 张：{path}；请填写全部工单的 {column} 列，标注时不要看模型的结果",
        "then": "然后：llmtriage calibrate {path} --alpha {alpha:g} --delta {delta:g}{plan} -o calibration.json，其余参数与本命令相同",
    },
}


@click.command(short_help="Which tickets to label for a promise, and how many.")
@file_argument
@click.option(
    "--alpha", type=Number(0, 0.5, min_open=True), required=True, help="The largest share of wrong tickets among those accepted."
)
@delta_option
@click.option("--labels", type=click.IntRange(min=1), help="Tickets to draw [with --pilot as many as are needed].")
@click.option("-o", "--output", type=click.Path(), required=True, help="The tickets to label.")
@click.option(
    "--pilot",
    type=click.Path(path_type=Path),
    help="Some labelled tickets: labels are then drawn where acceptance is in question.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(),
    default="plan.json",
    show_default=True,
    help="With --pilot: the file that llmtriage calibrate --plan takes.",
)
@click.option(
    "--answer",
    type=click.Choice(["leaf", "department"]),
    default="leaf",
    show_default=True,
    help="With --pilot: what is offered as the answer.",
)
@overwrite_option
@column_options
@triage_options
@quiet_option
@click.pass_obj
def plan(
    settings: Settings,
    /,
    file: Path,
    alpha: float,
    delta: float,
    output: str,
    *,
    labels: int | None,
    pilot: Path | None,
    plan_file: str,
    answer: Answer,
    overwrite: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Say how many labels a promise needs, and draw the tickets of FILE to label: among all of them, or with --pilot where labels decide.

    Without --pilot no engine is asked. With it, all tickets of FILE are classified; half of them say where labels are worth most, from the others
    they are drawn.
    """
    from llmtriage.runner import refuse_overlap

    none_label = flags["none_label"]
    language, seed, label = flags["language"], flags["seed"], flags["category_column"] or "category"
    path = new_file(output, file, overwrite=overwrite)
    refuse_acceptance(flags, "plan")
    tickets, draft = open_tickets(file, flags), None
    _say("least", language, least=_least(alpha, delta), more=_least(alpha, delta, errors=2))
    if pilot is None:
        rows = [row.ticket for row in tickets]
        pool: Sequence[int] = range(len(rows))
        wanted: int | None = min(len(rows), _USUAL * _least(alpha, delta))
    else:
        plan_path = new_file(plan_file, file, overwrite=overwrite, flag="--plan")
        refuse_overlap([path, plan_path], [one for one in (pilot, flags["examples"], flags["taxonomy"]) if one is not None])
        known, triage = open_tickets(pilot, flags), make_triage(flags, settings, quiet=quiet)
        found, rows = _focused(
            triage, known, tickets, alpha, delta, answer=answer, quiet=quiet, language=language, none_label=none_label
        )
        draft, pool, wanted = found.draft, found.pool, found.wanted
        _say("where", language, reach=draft.reach, floor=draft.floor)
        _say("never" if wanted is None else "wanted", language, wanted=wanted)
    if wanted is None and labels is None:
        return 1
    n = labels or min(len(pool), wanted or 0)
    if not n:
        raise InputError("no ticket can be drawn", file=file, remedy="give more unlabelled tickets")
    if not labels and wanted and n < wanted:
        _say("fewer", language, n=n)
    sheet = _Sheet(path, "focused" if draft else "uniform", label)
    name = sheet.write(tickets, rows, _drawn(pool, n, seed), overwrite=overwrite)
    if draft is not None:
        drawn = {"labels": draft.labels.model_copy(update={"drawn": name}), "words": "a plan"}
        draft.model_copy(update=drawn).save(plan_path)
    _say("written", language, n=n, path=output, column=label)
    _say("then", language, path=output, alpha=alpha, delta=delta, plan=f" --plan {plan_file}" if draft else "")
    return 0


def _focused(
    triage: Triage,
    known: TicketFile,
    tickets: TicketFile,
    alpha: float,
    delta: float,
    *,
    answer: Answer,
    quiet: bool,
    language: str,
    none_label: str | None,
) -> tuple[Plan, list[Ticket]]:
    """Where labels are worth most, and all tickets of the file."""
    from llmtriage.calibrating import plan as plan_labels

    check_labels(known.labelled(triage.taxonomy, none_label), known.table.path, quiet=quiet, language=language)
    pilot = labelled_outcomes(triage, known, none_label, quiet=quiet, language=language)
    rows, _ = all_outcomes(triage, tickets, tickets, quiet=quiet, language=language, wanted="tickets")
    outcomes = [(row.ticket, outcome) for row, outcome in rows]
    found = plan_labels(triage, pilot, outcomes, alpha=alpha, delta=delta, answer=answer, none_label=none_label)
    return found, [ticket for ticket, _ in outcomes]


def _say(what: str, language: str, **facts: Any) -> None:
    click.echo(_WORDS[language][what].format(**facts))


def _least(alpha: float, delta: float, errors: int = 0) -> int:
    from llmtriage.probability.certificate import labels_needed

    return labels_needed(alpha, delta, errors)


def _drawn(pool: Sequence[int], n: int, seed: int) -> list[int]:
    from llmtriage.sampling import drawn

    return [pool[place] for place in drawn(n, len(pool), seed)]


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A file of tickets to label: where it goes, how they were drawn, and the column for the label."""

    path: Path
    kind: Kind
    label: str

    def write(self, tickets: TicketFile, rows: Sequence[Ticket], places: Sequence[int], *, overwrite: bool) -> str:
        """Write the rows at `places` as they stand, with an empty label and the name of the sample, which is returned."""
        from llmtriage.sampling import COLUMN, name_of
        from llmtriage.tables import open_writer

        name = name_of(self.kind, [rows[place] for place in places])
        own = tickets.table.columns
        added = [column for column in ("id", self.label, COLUMN) if column not in own]
        chosen = set(places)
        with open_writer(self.path, [*own, *added], overwrite=overwrite) as out:
            for place, row in enumerate(tickets.table):
                if place in chosen:
                    named = {"id": rows[place].id or ""} if "id" in added else {}
                    out.write({**row.cells, **named, self.label: "", COLUMN: name})
        return name
