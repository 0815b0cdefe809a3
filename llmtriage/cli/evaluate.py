"""`llmtriage evaluate`: figures on a labelled file, on stored predictions, or on a store."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from llmtriage.cli.asked import Asked
from llmtriage.cli.changing import changed_flags
from llmtriage.cli.decided import Decided
from llmtriage.cli.display import line_width, notice, plain, show_json
from llmtriage.cli.judged import rated, source
from llmtriage.cli.limits import check_limits, read_limits
from llmtriage.cli.making import place_of_store
from llmtriage.cli.options import Number, column_options, json_option, overwrite_option, quiet_option, triage_options
from llmtriage.cli.typed import command_line, new_file
from llmtriage.errors import InputError
from llmtriage.reviewing import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmtriage.cli.judged import Source
    from llmtriage.cli.limits import Limit
    from llmtriage.evaluation import Judged, Report
    from llmtriage.evaluation.comparison import Comparison
    from llmtriage.evaluation.text import Language
    from llmtriage.settings import Settings
    from llmtriage.triage import Triage


_WRITTEN = {"en": "page: {path}", "zh": "网页：{path}"}


@click.command(short_help="Figures on a labelled file, on stored predictions, or on a store.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--predictions", type=click.Path(path_type=Path), help="Ask no engine: judge the predictions in this file.")
@click.option(
    "--scores",
    type=click.Choice(["probability", "logit", "logprob"]),
    help="What the columns of scores hold [as their names say, else probability].",
)
@click.option(
    "--store",
    is_flag=False,
    flag_value="",
    metavar="[STORE]",
    help="In place of FILE: what this store holds, judged by what people answered [llmtriage.db].",
)
@click.option(
    "--run", metavar="ID", help="With --store: the run that is judged [the latest that decided tickets with an answer]."
)
@click.option(
    "--lane",
    type=click.Choice([*(lane for lane in get_args(Lane) if lane != "second"), "all"]),  # that one judges people
    default="probe",
    show_default=True,
    help="With --store: whose answers. Probes alone tell of all tickets that come; those that waited (pending) are the hard ones.",
)
@click.option("--fail-under", multiple=True, metavar="FIGURE=VALUE", help="Exit code 1 if a figure is lower; may be repeated.")
@click.option("--fail-over", multiple=True, metavar="FIGURE=VALUE", help="Exit code 1 if a figure is higher; may be repeated.")
@click.option(
    "--against",
    metavar="KEY=VALUE[,...]",
    help="Compare with a second setting, which differs in these flags: selector=nearest, backend=lexical,shots=5. "
    "Stored predictions: with the predictions in this file. A store: run=ID.",
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
@click.option("--minutes-manual", type=Number(min=0, min_open=True), help="Minutes that sorting a ticket by hand takes.")
@click.option("--minutes-review", type=Number(min=0), help="Minutes to decide on a ticket that waits [as by hand].")
@click.option("--minutes-repair", type=Number(min=0), help="Minutes that a wrongly routed ticket costs [as by hand].")
@click.option("--wage-per-hour", type=Number(min=0), help="In the unit of --error-cost.")
@click.option(
    "--by", multiple=True, metavar="FIELD", help="Also split the figures by length, language, or a column; may be repeated."
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
    file: Path | None,
    fail_under: tuple[str, ...],
    fail_over: tuple[str, ...],
    *,
    page: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Classify the labelled tickets of FILE and compare: accuracy, what would be accepted, confusions, baselines.

    With --predictions nothing is classified: the file holds a column per category beside id and gold, or gold, pred and confidence, or correct
    and confidence. FILE may then hold the tickets, by id. With --store nothing is classified either: what a run decided is judged by what people
    answered to probes.
    """
    flags["store"] = _store_to_judge(file, flags["examples"])
    limits, against = read_limits(fail_under, fail_over), flags["against"]
    _check_flags(flags)
    place = _place_of_page(page, file, flags, overwrite=overwrite)
    if against is not None:
        if page is not None:
            raise InputError("a page is about one setting", field="--against", remedy="leave out --report")
        if limits:
            raise InputError("limits are for one setting", field="--against", remedy="leave out --fail-under and --fail-over")
        compared = _compared(settings, file, flags, against, quiet=quiet)
        warned = _warning(compared.first.report, flags["language"])
        if warned is not None:
            notice(warned, quiet=quiet, language=flags["language"])
        _show_comparison(compared, flags["language"], as_json=as_json)
        return 0
    run = source(settings, file, flags, quiet=quiet)
    if limits:
        check_limits(limits, run.taxonomy)
    report, judged = run.evaluated()
    if place is not None:
        with _writing(place):
            place.write_text(_page(run, report, judged, flags), encoding="utf-8")
    missed = _show_report(report, limits, flags["language"], as_json=as_json)
    if place is not None and not quiet:
        click.echo(_WRITTEN[flags["language"]].format(path=plain(place)), err=True)
    return missed


def _store_to_judge(file: Path | None, examples: Path | None) -> str | None:
    """Where the store is that somebody asked for by the flag; one that every command is told of, or that holds the examples, is none to judge."""
    from llmtriage.examples import STORED

    context = click.get_current_context()
    if context.get_parameter_source("store") is not click.core.ParameterSource.COMMANDLINE:
        context.params["store"] = None
        return None
    return None if file is not None and str(examples or "").startswith(STORED) else place_of_store()


def _check_flags(flags: dict[str, Any]) -> None:
    """Find flags that say nothing together before anything is asked. Raises InputError."""
    from llmtriage.cli.stored import refuse_engine_flags

    rated(flags)
    if flags["store"] is not None or flags["predictions"] is not None:
        refuse_engine_flags(routed=flags["store"] is not None)
    elif flags["scores"] is not None and flags["against"] is None:
        raise InputError("no predictions are named", field="--scores", remedy="name their file with --predictions")


def _page(run: Source, report: Report, judged: list[Judged], flags: dict[str, Any]) -> str:
    """What was measured, as a page."""
    from llmtriage.evaluation import measured_curves, report_html

    calibration = run.calibration
    curves = measured_curves(judged, run.taxonomy, report, calibration=calibration, none_label=flags["none_label"])
    return report_html(report, curves, calibration=calibration, language=flags["language"], command=command_line())


def _place_of_page(page: str | None, file: Path | None, flags: dict[str, Any], *, overwrite: bool) -> Path | None:
    """Where the page goes, if there is to be one; whatever is in its way is found before anything is asked."""
    from llmtriage.evaluation.plots import check_installed
    from llmtriage.runner import refuse_overlap

    if page is None:
        return None
    check_installed()
    read = (file, *(flags[key] for key in ("store", "predictions", "examples", "calibration", "taxonomy")))
    inputs = [Path(path) for path in read if path]
    place = new_file(page, inputs[0] if inputs else Path(), overwrite=overwrite, flag="--report")
    refuse_overlap([place], inputs[1:])
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
        show_json(_as_json(report, language))
    else:
        click.echo(report_text(report, language=language, width=line_width()).encode("utf-8", "replace"))
    missed = [words for limit in limits if (words := limit.missed(report))]
    for words in missed:
        click.echo(words, err=True)
    return 1 if missed else 0


def _as_json(report: Report, language: Language) -> dict[str, Any]:
    """The figures, with the sentence that says what they are not about."""
    data = report.to_json()
    if data["reviews"] is not None:
        data["reviews"]["warning"] = _warning(report, language)
    return data


def _warning(report: Report, language: Language) -> str | None:
    """What figures on a store are not about, if that has to be said."""
    from llmtriage.evaluation.review_lines import warning
    from llmtriage.evaluation.words import Words

    return warning(report, Words(language))


def _show_comparison(comparison: Comparison, language: Language, *, as_json: bool) -> None:
    from llmtriage.evaluation.comparison_text import comparison_text, used_up, verdicts

    if as_json:
        data = comparison.to_json()
        data["difference"]["sentences"] = verdicts(comparison.difference, language=language)
        data["labels"]["sentence"] = used_up(language=language)
        show_json(data)
    else:
        click.echo(comparison_text(comparison, language=language, width=line_width()).encode("utf-8", "replace"))


def _compared(settings: Settings, file: Path | None, flags: dict[str, Any], against: str, *, quiet: bool) -> Comparison:
    """Both settings on the same tickets, one after the other; whatever is wrong with either is found before anything is sent."""
    from llmtriage.evaluation.comparison import Comparison, difference, in_the_order_of, side

    first = source(settings, file, flags, quiet=quiet)
    is_file = flags["predictions"] is not None and "=" not in against
    changed = changed_flags(flags, f"predictions={against}" if is_file else against, "--against")
    second = source(settings, file, changed, quiet=quiet)
    _check_they_differ(first, second, changed)
    if isinstance(first, Decided) and isinstance(second, Decided):
        first.keep_common(second)
    labels, _ = first.labels(), second.labels()
    if first.run_id == second.run_id:  # a name that a server may be asked for, so labels come first
        remedy = "name a flag that changes what this engine does"
        raise InputError("both settings come to the same", field="--against", remedy=remedy)
    (report, judged), (other_report, other_judged) = first.evaluated(), second.evaluated()
    if file is None and flags["store"] is None:
        names = (Path(flags["predictions"]).name, Path(changed["predictions"]).name)
        other_judged = in_the_order_of(judged, other_judged, names)
    return Comparison(
        first=side(judged, report),
        second=side(other_judged, other_report, against),
        difference=difference(
            (judged, first.taxonomy),
            (other_judged, second.taxonomy),
            calibrations=(first.calibration, second.calibration),
            **{key: flags[key] for key in ("none_label", "error_cost", "review_cost")},
        ),
        labels=labels,
    )


def _check_they_differ(first: Source, second: Source, changed: dict[str, Any]) -> None:
    """Nothing is asked twice to learn that the same is the same."""
    engines = [run.triage for run in (first, second) if isinstance(run, Asked)]
    if changed["selector"] == "nearest" and isinstance(second, Asked) and not second.triage.examples:
        raise InputError(
            "nearest has no examples to choose from", field="--against", remedy="name labelled tickets with --examples"
        )
    if first.named != second.named:
        problem = "one of the two files says only whether answers are right, the other names categories"
        raise InputError(problem, field="--against", remedy="compare two of a kind")
    if len(engines) == 2:
        _share_budget(*engines)


def _share_budget(first: Triage, second: Triage) -> None:
    """The limits of money and tokens are those of the command."""
    one, other = (getattr(triage.backend, "transport", None) for triage in (first, second))
    if one is not None and other is not None:
        other.budget = one.budget
