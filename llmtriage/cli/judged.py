"""Where the judged tickets of `llmtriage evaluate` come from: an engine that is asked, a file of predictions, or a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import click

from llmtriage.cli.display import notice
from llmtriage.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from llmtriage.calibration import Calibration
    from llmtriage.evaluation import Judged, Report
    from llmtriage.evaluation.comparison import Labels
    from llmtriage.settings import Settings
    from llmtriage.tables import Table
    from llmtriage.taxonomy import Taxonomy

_CHOSE = {
    "en": "among these tickets are some that the calibration was made on: the figures flatter",
    "zh": "这些工单中有制作校准所用的工单：数字偏高",
}
_OF_TICKETS = ("length", "language")
_NO_FIELDS = frozenset({"id", "title", "content", "text", "category", "gold", "pred", "confidence", "correct"})
_MINUTES = ("minutes_manual", "minutes_review", "minutes_repair", "wage_per_hour")


class Source(Protocol):
    """One setting on labelled tickets."""

    @property
    def taxonomy(self) -> Taxonomy:
        """What was chosen among."""

    @property
    def calibration(self) -> Calibration | None:
        """What the tickets are routed with."""

    @property
    def named(self) -> bool:
        """Whether the categories are real ones; see `llmtriage.evaluation.evaluate`."""

    @property
    def run_id(self) -> str:
        """The fingerprint of all that the outcomes depend on."""

    def labels(self) -> Labels:
        """What identifies the labels; a wrong one is found here. Raises InputError."""

    def evaluated(self) -> tuple[Report, list[Judged]]:
        """Judge every ticket and sum up."""


def source(settings: Settings, file: Path | None, flags: dict[str, Any], *, quiet: bool) -> Source:
    """Where the flags say that the judged tickets come from."""
    if flags["store"] is not None:
        from llmtriage.cli.decided import Decided

        _refuse_with_store(file, flags)
        return Decided(flags, quiet=quiet)
    for name in ("run", "lane"):
        if click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise InputError("no store is named", field=f"--{name}", remedy="add --store in place of FILE")
    if flags["predictions"] is not None:
        from llmtriage.cli.stored import Stored

        return Stored(file, flags, quiet=quiet)
    if file is None:
        raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'FILE'", param_type="argument")
    from llmtriage.cli.asked import Asked

    return Asked(settings, file, flags, quiet=quiet)


def _refuse_with_store(file: Path | None, flags: dict[str, Any]) -> None:
    """A store holds tickets, labels and what was decided; raises InputError where something else is to tell them."""
    if file is not None:
        raise InputError("FILE and --store exclude each other", remedy="leave one of them out")
    if flags["predictions"] is not None:
        raise InputError("--predictions and --store exclude each other", remedy="leave one of them out")


def rated(flags: dict[str, Any]) -> dict[str, Any]:
    """What `evaluate` is told of costs and slices."""
    from llmtriage.evaluation import Rates

    where = click.get_current_context().get_parameter_source("error_cost")
    cost = None if where is click.core.ParameterSource.DEFAULT else flags["error_cost"]
    return {
        "error_cost": flags["error_cost"],
        "review_cost": flags["review_cost"],
        "rates": Rates(error_cost=cost, **{key: flags[key] for key in _MINUTES}),
        "by": flags["by"],
    }


def tell_overlap(judged: Sequence[Judged], calibration: Calibration | None, *, quiet: bool, language: str) -> None:
    """Say so where a threshold was chosen on the very tickets that it is judged by."""
    from llmtriage.taxonomy import digest

    chose = {witness.text for witness in calibration.witnesses} if calibration else set[str]()
    if any(digest(ticket.text) in chose for ticket in judged):
        notice(_CHOSE[language], quiet=quiet, language=language)


def check_fields(by: Sequence[str], table: Table) -> None:
    """Check that tickets of a file can be split by these fields; raises UnknownNameError."""
    check_names(by, [name for name in table.columns if name.casefold() not in _NO_FIELDS])


def check_names(by: Sequence[str], fields: Sequence[str]) -> None:
    """Check that tickets with these fields can be split by those; raises UnknownNameError."""
    known = dict.fromkeys((*_OF_TICKETS, *fields))
    held = {name.strip().casefold() for name in known}
    for name in by:
        if name.strip().casefold() not in held:
            raise UnknownNameError.among("column", name, known, field="--by")
