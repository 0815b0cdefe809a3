"""`llmtriage evaluate`: figures on a labelled file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.classify import all_outcomes
from llmtriage.cli.display import line_width, notice, plain, show_json
from llmtriage.cli.labels import check_labels
from llmtriage.cli.limits import check_limits, read_limits
from llmtriage.cli.options import (
    Number,
    changed_flags,
    column_options,
    command_line,
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
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llmtriage.cli.limits import Limit
    from llmtriage.evaluation import Judged, Report
    from llmtriage.evaluation.comparison import Comparison
    from llmtriage.evaluation.text import Language
    from llmtriage.settings import Settings
    from llmtriage.tickets import LabelledTickets, TicketFile
    from llmtriage.triage import Triage


_WRITTEN = {"en": "page: {path}", "zh": "网页：{path}"}
_FLATTERS = {
    "en": "{both} of {n} tickets stand among the examples too: the figures flatter",
    "zh": "{n} 张工单中有 {both} 张也在示例中：数字偏高",
}
_CHOSE = {
    "en": "among these tickets are some that the calibration was made on: the figures flatter",
    "zh": "这些工单中有制作校准所用的工单：数字偏高",
}


@click.command(short_help="Figures on a labelled file.")
@file_argument
@click.option("--fail-under", multiple=True, metavar="FIGURE=VALUE", help="Exit code 1 if a figure is lower; may be repeated.")
@click.option("--fail-over", multiple=True, metavar="FIGURE=VALUE", help="Exit code 1 if a figure is higher; may be repeated.")
@click.option(
    "--against",
    metavar="KEY=VALUE[,...]",
    help="Compare with a second setting, which differs in these flags: selector=nearest, backend=lexical,shots=5.",
)
@click.option(
    "--error-cost",
    type=Number(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="What a wrong ticket costs that nobody looked at.",
)
@click.option(
    "--review-cost",
    type=Number(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="What a person's decision costs, in the same unit.",
)
@click.option("--report", "page", metavar="FILE.html", help="Also write a page with plots (needs llmtriage[plots]).")
@overwrite_option
@column_options
@triage_options
@json_option
@quiet_option
@click.pass_obj
def evaluate(
    settings: Settings,
    /,
    file: Path,
    fail_under: tuple[str, ...],
    fail_over: tuple[str, ...],
    against: str | None,
    *,
    page: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Classify the labelled tickets of FILE and compare: accuracy, what would be accepted, confusions, baselines."""
    limits = read_limits(fail_under, fail_over)
    place = _place_of_page(page, file, flags, overwrite=overwrite)
    if against is not None:
        if page is not None:
            raise InputError("a page is about one setting", field="--against", remedy="leave out --report")
        if limits:
            raise InputError("limits are for one setting", field="--against", remedy="leave out --fail-under and --fail-over")
        _show_comparison(_compared(settings, file, flags, against, quiet=quiet), flags["language"], as_json=as_json)
        return 0
    run = _Run(settings, file, flags, quiet=quiet)
    if limits:
        check_limits(limits, run.triage)
    report, judged = run.evaluated()
    if place is not None:
        with _writing(place):
            place.write_text(run.page(report, judged), encoding="utf-8")
    missed = _show_report(report, limits, flags["language"], as_json=as_json)
    if place is not None and not quiet:
        click.echo(_WRITTEN[flags["language"]].format(path=plain(place)), err=True)
    return missed


def _place_of_page(page: str | None, file: Path, flags: dict[str, Any], *, overwrite: bool) -> Path | None:
    """Where the page goes, if there is to be one; whatever is in its way is found before anything is asked."""
    from llmtriage.evaluation.plots import check_installed
    from llmtriage.runner import refuse_overlap

    if page is None:
        return None
    check_installed()
    place = new_file(page, file, overwrite=overwrite, flag="--report")
    refuse_overlap([place], [path for key in ("examples", "calibration", "taxonomy") if (path := flags[key]) is not None])
    is_new = not place.exists()
    with _writing(place), place.open("ab"):  # leaves what is there as it is
        pass
    if is_new:
        place.unlink()
    return place


@contextmanager
def _writing(page: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise InputError(problem, file=page, field="--report", remedy="name another place") from None


def _show_report(report: Report, limits: list[Limit], language: Language, *, as_json: bool) -> int:
    """Print a report; 1 if it misses a limit."""
    from llmtriage.evaluation.text import report_text

    if as_json:
        show_json(report.to_json())
    else:
        click.echo(report_text(report, language=language, width=line_width()).encode("utf-8", "replace"))
    missed = [words for limit in limits if (words := limit.missed(report))]
    for words in missed:
        click.echo(words, err=True)
    return 1 if missed else 0


def _show_comparison(comparison: Comparison, language: Language, *, as_json: bool) -> None:
    from llmtriage.evaluation.comparison_text import comparison_text, used_up, verdicts

    if as_json:
        data = comparison.to_json()
        data["difference"]["sentences"] = verdicts(comparison.difference, language=language)
        data["labels"]["sentence"] = used_up(language=language)
        show_json(data)
    else:
        click.echo(comparison_text(comparison, language=language, width=line_width()).encode("utf-8", "replace"))


def _compared(settings: Settings, file: Path, flags: dict[str, Any], against: str, *, quiet: bool) -> Comparison:
    """Both settings on the same tickets, one after the other; whatever is wrong with either is found before anything is sent."""
    from llmtriage.evaluation.comparison import Comparison, difference, labels_of, side

    first = _Run(settings, file, flags, quiet=quiet)
    changed = changed_flags(flags, against, "--against")
    second = _Run(settings, file, changed, quiet=quiet)
    labels = labels_of(first.labelled, file.name)
    second.check_labels()
    _share_budget(first.triage, second.triage)
    _check_they_differ(first.triage, second.triage, changed)
    (report, judged), (other_report, other_judged) = first.evaluated(), second.evaluated()
    return Comparison(
        first=side(judged, report),
        second=side(other_judged, other_report, against),
        difference=difference(
            (judged, first.triage.taxonomy),
            (other_judged, second.triage.taxonomy),
            calibrations=(first.triage.calibration, second.triage.calibration),
            none_label=flags["none_label"],
        ),
        labels=labels,
    )


def _check_they_differ(first: Triage, second: Triage, changed: dict[str, Any]) -> None:
    """Nothing is asked twice to learn that the same is the same."""
    if changed["selector"] == "nearest" and not second.examples:
        raise InputError(
            "nearest has no examples to choose from", field="--against", remedy="name labelled tickets with --examples"
        )
    if first.run_id == second.run_id:
        raise InputError(
            "both settings come to the same", field="--against", remedy="name a flag that changes what this engine does"
        )


def _share_budget(first: Triage, second: Triage) -> None:
    """The limits of money and tokens are those of the command."""
    one, other = (getattr(triage.backend, "transport", None) for triage in (first, second))
    if one is not None and other is not None:
        other.budget = one.budget


class _Run:
    """One setting on the tickets of a file."""

    def __init__(self, settings: Settings, file: Path, flags: dict[str, Any], *, quiet: bool) -> None:
        """Open the file and make the engine; nothing is sent yet."""
        self._language, self._quiet = flags["language"], quiet
        self._draw = {key: flags[key] for key in ("shots", "seed")}
        self._costs = {key: flags[key] for key in ("error_cost", "review_cost")}
        self.tickets = open_tickets(file, flags)
        self.triage = make_triage(dict(flags), settings, quiet=quiet)
        self._none_label = flags["none_label"]
        self.labelled = self.tickets.labelled(self.triage.taxonomy, self._none_label)

    def check_labels(self) -> None:
        """Find a wrong label in the last row before anything is sent."""
        check_labels(self.labelled, self.tickets.table.path, quiet=self._quiet, language=self._language)

    def evaluated(self) -> tuple[Report, list[Judged]]:
        """Judge every ticket and sum up."""
        from llmtriage.evaluation import evaluate as sum_up
        from llmtriage.evaluation.baselines import baseline_accuracies

        triage = self.triage
        self.check_labels()
        tell_reading(triage, quiet=self._quiet, language=self._language)
        judged, seconds = _judged(triage, self.tickets, self.labelled, quiet=self._quiet, language=self._language)
        _warn_of_overlap(triage, judged, quiet=self._quiet, language=self._language)
        report = sum_up(
            judged,
            triage.taxonomy,
            calibration=triage.calibration,
            none_label=self._none_label,
            baselines=baseline_accuracies(triage.examples, judged),
            seconds=seconds,
            backend=triage.backend.name,
            prompt_hash=triage.prompt.hash,
            run=triage.run_id,
            **self._costs,
            settings={
                "threshold": triage.policy.threshold,
                "departments": triage.policy.departments,
                **self._draw,
                "examples": len(triage.examples),
                "file": self.tickets.table.path.name,
            },
        )
        return report, judged

    def page(self, report: Report, judged: list[Judged]) -> str:
        """What was measured, as a page."""
        from llmtriage.evaluation import measured_curves, report_html

        calibration = self.triage.calibration
        curves = measured_curves(judged, self.triage.taxonomy, report, calibration=calibration, none_label=self._none_label)
        return report_html(report, curves, calibration=calibration, language=self._language, command=command_line())


def _judged(
    triage: Triage, tickets: TicketFile, rows: LabelledTickets, *, quiet: bool, language: str
) -> tuple[list[Judged], float]:
    """Every ticket with its true category and its outcome, and how long that took in seconds."""
    from llmtriage.evaluation import Judged

    found, summary = all_outcomes(triage, tickets, rows, quiet=quiet, language=language)
    return [Judged(gold=row.category, outcome=outcome, text=outcome.text) for row, outcome in found], summary.seconds


def _warn_of_overlap(triage: Triage, judged: list[Judged], *, quiet: bool, language: str) -> None:
    """An engine that has seen the answers looks better than it is, and so does a threshold that was chosen on them."""
    from llmtriage.taxonomy import digest

    seen = {example.text for example in triage.examples}
    both = sum(ticket.text in seen for ticket in judged)
    if both:
        notice(_FLATTERS[language].format(both=both, n=len(judged)), quiet=quiet, language=language)
    chose = {witness.text for witness in triage.calibration.witnesses} if triage.calibration else set[str]()
    if any(digest(ticket.text) in chose for ticket in judged):
        notice(_CHOSE[language], quiet=quiet, language=language)
