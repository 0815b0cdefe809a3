"""`llmtriage init`: from unlabelled tickets to a promise, with a person at the terminal in between."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.calibrate import refuse_acceptance
from llmtriage.cli.display import plain
from llmtriage.cli.making import make_triage, open_tickets, place_of_store
from llmtriage.cli.options import (
    STORE,
    Number,
    column_options,
    delta_option,
    file_argument,
    overwrite_option,
    quiet_option,
    store_option,
    triage_options,
)
from llmtriage.cli.samples import calibrate_sample
from llmtriage.cli.typed import new_file
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.calibration import Answer
    from llmtriage.settings import Settings
    from llmtriage.store import SqlStore
    from llmtriage.store.samples import Planned
    from llmtriage.tickets import Ticket
    from llmtriage.triage import Triage

_USUAL = 4  # times the labels that any promise needs: what is drawn where nothing is known

_WORDS = {
    "en": {
        "drawn": "{n} tickets were drawn at random from {of}, to be labelled without seeing what a model says: sample {name}",
        "fewer": "about {usual} would be usual; with {n} expect a promise of less, or none",
        "goes on": "sample {name}: {done} of {n} tickets are labelled",
        "left": "{left} of {n} tickets wait for a label; the same command goes on",
        "skipped": "you skipped them, or somebody else has them now: llmtriage review list --sample {name}{store}, then "
        "llmtriage review correct ENTRY CATEGORY{store}; without a label for each, this is no sample",
        "no terminal": "without a terminal: llmtriage review export to-label.csv --sample {name}{store}, fill in the column category, "
        "llmtriage review import to-label.csv{store}, then the same command again",
        "no promise": "a new sample: llmtriage init {file} --labels N; another limit with the same labels: "
        "llmtriage calibrate --store{place} --sample {name} --alpha A -o {output}",
        "then": "then          llmtriage classify TICKETS.csv --calibration {output}, with the flags of this command",
    },
    "zh": {
        "drawn": "从 {of} 张工单中随机抽取了 {n} 张，标注时不显示模型的意见：样本 {name}",
        "fewer": "通常约需 {usual} 张；只有 {n} 张时，保证的范围会更小，或无法作出保证",
        "goes on": "样本 {name}：{n} 张工单中已标注 {done} 张",
        "left": "{n} 张工单中还有 {left} 张待标注；再次运行同一命令即可继续",
        "skipped": "您跳过了它们，或正由他人处理：llmtriage review list --sample {name}{store}，然后 "
        "llmtriage review correct 条目 类别{store}；只有全部标注才是样本",
        "no terminal": "没有终端时：llmtriage review export to-label.csv --sample {name}{store}，填写 category 列，"
        "llmtriage review import to-label.csv{store}，然后再次运行同一命令",
        "no promise": "抽取新样本：llmtriage init {file} --labels N；用同样的标注尝试其他上限："
        "llmtriage calibrate --store{place} --sample {name} --alpha A -o {output}",
        "then": "然后          llmtriage classify TICKETS.csv --calibration {output}，其余参数与本命令相同",
    },
}


@click.command(short_help="From unlabelled tickets to a promise, step by step.")
@file_argument
@click.option(
    "--alpha",
    type=Number(0, 0.5, min_open=True),
    default=0.05,
    show_default=True,
    help="The largest share of wrong tickets among those accepted.",
)
@delta_option
@click.option("--labels", type=click.IntRange(min=1), help="Tickets to draw [four times what any promise needs].")
@click.option("-o", "--output", type=click.Path(), default="calibration.json", show_default=True, help="The calibration file.")
@click.option(
    "--answer",
    type=click.Choice(["leaf", "department"]),
    default="leaf",
    show_default=True,
    help="What is offered as the answer: a leaf, or the top-level category above it.",
)
@click.option("--reviewer", metavar="NAME", help="Who labels [the login name].")
@store_option
@click.option(
    "--store-text",
    type=click.Choice(["original", "redacted"]),
    default="original",
    show_default=True,
    help="What is stored of a ticket's text, and shown to who labels.",
)
@click.option("--source", default="", help="Where the tickets come from: ids of two sources are never the same ticket.")
@overwrite_option
@column_options
@triage_options
@quiet_option
@click.pass_obj
def init(
    settings: Settings,
    /,
    file: Path,
    alpha: float,
    delta: float,
    output: str,
    *,
    labels: int | None,
    answer: Answer,
    reviewer: str | None,
    store: str,  # noqa: ARG001 - place_of_store
    store_text: Any,
    source: str,
    overwrite: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Draw tickets of FILE at random, let a person label them in the terminal, and calibrate on them.

    It may be left at any time: the same command goes on where it was. At the end there is a calibration, or what is missing (exit code 1).
    """
    from llmtriage.runner import refuse_overlap
    from llmtriage.store import SqlStore
    from llmtriage.store.samples import planned_sample

    path = new_file(output, file, overwrite=overwrite)
    read = (Path(place_of_store()), flags["examples"], flags["taxonomy"])
    refuse_overlap([path], [one for one in read if one is not None])
    refuse_acceptance(flags, "init")
    _need_taxonomy(flags["taxonomy"])
    language, none_label, seed = flags["language"], flags["none_label"], flags["seed"]
    tickets = [row.ticket for row in open_tickets(file, flags)]
    triage = make_triage(flags, settings, quiet=quiet)
    opened = SqlStore(place_of_store(), source=source, kept=store_text)
    click.get_current_context().call_on_close(opened.close)
    start = _Start(store=opened, triage=triage, file=file, alpha=alpha, delta=delta, labels=labels, seed=seed, language=language)
    name = start.sample(tickets)
    place = "" if opened.name == STORE else f" {_typed(opened.name)}"
    facts = {"name": plain(name), "file": _typed(file), "output": _typed(output), "place": place}
    facts["store"] = place and f" --store{place}"
    if not start.labelled(name, reviewer, facts):
        return 1
    sample = planned_sample(opened.database, name)
    asked: dict[str, Any] = {"limits": [alpha], "delta": delta, "answer": answer, "none_label": none_label}
    code = calibrate_sample(triage, opened, sample, path, quiet=quiet, language=language, **asked)
    click.echo(_WORDS[language]["then" if code == 0 else "no promise"].format(**facts))
    return code


def _need_taxonomy(path: Path | None) -> None:
    from llmtriage.taxonomy import Taxonomy

    if path is None and Taxonomy.nearby() is None:
        remedy = (
            "write one: llmtriage taxonomy show --yaml > taxonomy.yaml is a beginning, "
            "llmtriage taxonomy from-csv LABELLED.csv -o taxonomy.yaml makes one of labels you have"
        )
        raise InputError("there is no ./taxonomy.yaml to label with", field="--taxonomy", remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """The steps between a file of tickets and labels."""

    store: SqlStore
    triage: Triage
    file: Path
    alpha: float
    delta: float
    labels: int | None
    seed: int
    language: str

    def sample(self, tickets: Sequence[Ticket]) -> str:
        """The name of the sample to go on with: the one that was not looked at yet, else a new one."""
        from llmtriage.store.samples import key_of, keys_of, planned

        by_key = {key_of(self.store, ticket): ticket for ticket in tickets}
        unfinished = [one for one in planned(self.store.database) if not one.looks]
        if not unfinished:
            before = keys_of(self.store)
            return self._drawn([ticket for key, ticket in by_key.items() if key not in before])
        last = unfinished[-1]
        own = keys_of(self.store, last.name)
        if not own or not own <= by_key.keys():
            remedy = "name that file and source, or another store with --store"
            raise InputError(f"the sample {last.name} is not finished, and is of other tickets", file=self.file, remedy=remedy)
        if self.labels not in (None, last.tickets):
            problem = f"the sample {last.name} of {last.tickets} tickets is not finished"
            raise InputError(problem, field="--labels", remedy="leave it out to go on, or name another store with --store")
        self._say("goes on", name=plain(last.name), done=last.tickets - last.waiting, n=last.tickets)
        return last.name

    def _drawn(self, pool: Sequence[Ticket]) -> str:
        """Draw a new sample and put it into the queue; its name."""
        from llmtriage.calibrating import enough
        from llmtriage.prepare import prepare
        from llmtriage.probability.certificate import delta_of_look, labels_needed
        from llmtriage.sampling import drawn, name_of
        from llmtriage.store.samples import plan

        least = labels_needed(self.alpha, delta_of_look(self.delta, 1))
        n = self.labels or min(len(pool), _USUAL * least)
        if n < enough(least):
            what = f"{n} labels" if self.labels else f"{n} tickets that were not drawn before"
            problem = f"{what}, but a promise with alpha {self.alpha:g} and delta {self.delta:g} needs at least {enough(least)}"
            remedy = "ask for more, or for a larger --alpha" if self.labels else "give more tickets, or a larger --alpha"
            raise InputError(problem, file=self.file, remedy=remedy)
        chosen = [pool[place] for place in drawn(n, len(pool), self.seed)]
        name = name_of("uniform", chosen)
        plan(self.store, name, [(one, prepare(one, self.triage.preparation).text) for one in chosen], n / len(pool))
        self._say("drawn", n=n, of=len(pool), name=name)
        if n < _USUAL * least and self.labels is None:
            self._say("fewer", usual=_USUAL * least, n=n)
        return name

    def labelled(self, name: str, reviewer: str | None, facts: Mapping[str, str]) -> bool:
        """Let a person label what waits, where there is a terminal; whether nothing is left."""
        if not self._planned(name).waiting:
            return True
        why = None
        if _at_a_terminal():
            from llmtriage.review_screen import review_on_screen
            from llmtriage.reviewing import Filters, reviewer_name

            who, what = reviewer_name(reviewer), Filters(lane="sample", sample=name)
            taxonomy, language = self.triage.taxonomy, self.language
            why = review_on_screen(self.store.queue, taxonomy, reviewer=who, filters=what, language=language).why
        else:
            self._say("no terminal", **facts)
        now = self._planned(name)
        if now.waiting:
            self._say("left", left=now.waiting, n=now.tickets)
            if why == "empty":
                self._say("skipped", **facts)
        return not now.waiting

    def _planned(self, name: str) -> Planned:
        from llmtriage.store.samples import planned

        return next(one for one in planned(self.store.database) if one.name == name)

    def _say(self, what: str, **facts: Any) -> None:
        click.echo(_WORDS[self.language][what].format(**facts))


def _at_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _typed(value: object) -> str:
    """A value as it is typed in a shell."""
    return shlex.quote(plain(value))
