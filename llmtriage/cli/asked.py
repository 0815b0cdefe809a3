"""The tickets of a labelled file, put to an engine and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmtriage.cli.classify import all_outcomes
from llmtriage.cli.display import notice
from llmtriage.cli.judged import check_fields, rated, tell_overlap
from llmtriage.cli.labels import check_labels
from llmtriage.cli.making import make_triage, open_tickets
from llmtriage.cli.reading import tell_reading

if TYPE_CHECKING:
    from pathlib import Path

    from llmtriage.evaluation import Judged, Report
    from llmtriage.evaluation.comparison import Labels
    from llmtriage.settings import Settings

_FLATTERS = {
    "en": "{both} of {n} tickets stand among the examples too: the figures flatter",
    "zh": "{n} 张工单中有 {both} 张也在示例中：数字偏高",
}


class Asked:
    """The tickets of a file, put to an engine."""

    named = True

    def __init__(self, settings: Settings, file: Path, flags: dict[str, Any], *, quiet: bool) -> None:
        """Open the file and make the engine; nothing is sent yet."""
        self._flags, self._quiet, self._language = flags, quiet, flags["language"]
        self._tickets = open_tickets(file, flags)
        check_fields(flags["by"], self._tickets.table)
        self.triage = make_triage(dict(flags), settings, quiet=quiet)
        self.taxonomy, self.calibration = self.triage.taxonomy, self.triage.calibration
        self._labelled = self._tickets.labelled(self.taxonomy, flags["none_label"])

    @property
    def run_id(self) -> str:
        """The fingerprint of the run."""
        return self.triage.run_id

    def labels(self) -> Labels:
        """What identifies the labels; a wrong one is found here. Raises InputError."""
        from llmtriage.evaluation.comparison import labels_of

        return labels_of(self._labelled, self._tickets.table.path.name)

    def evaluated(self) -> tuple[Report, list[Judged]]:
        """Judge every ticket and sum up."""
        from llmtriage.evaluation import evaluate
        from llmtriage.evaluation.baselines import baseline_accuracies

        triage, flags = self.triage, self._flags
        # A wrong label in the last row is found before anything is sent.
        check_labels(self._labelled, self._tickets.table.path, quiet=self._quiet, language=self._language)
        tell_reading(triage, quiet=self._quiet, language=self._language)
        judged, seconds = self._judged()
        self._warn_of_overlap(judged)
        report = evaluate(
            judged,
            triage.taxonomy,
            calibration=triage.calibration,
            none_label=flags["none_label"],
            baselines=baseline_accuracies(triage.examples, judged),
            seconds=seconds,
            backend=triage.backend.name,
            prompt_hash=triage.prompt.hash,
            run=triage.run_id,
            **rated(flags),
            settings={
                "threshold": triage.policy.threshold,
                "departments": triage.policy.departments,
                **{key: flags[key] for key in ("shots", "seed")},
                "examples": len(triage.examples),
                "file": self._tickets.table.path.name,
            },
        )
        return report, judged

    def _judged(self) -> tuple[list[Judged], float]:
        """Every ticket with its true category and its outcome, and how long that took in seconds."""
        from llmtriage.evaluation import Judged
        from llmtriage.evaluation.slicing import sliced_fields

        found, summary = all_outcomes(self.triage, self._tickets, self._labelled, quiet=self._quiet, language=self._language)
        by = self._flags["by"]
        judged = [
            Judged(gold=row.category, outcome=outcome, text=outcome.text, fields=sliced_fields(row.ticket, outcome.text, by))
            for row, outcome in found
        ]
        return judged, summary.seconds

    def _warn_of_overlap(self, judged: list[Judged]) -> None:
        """An engine that has seen the answers looks better than it is, and so does a threshold that was chosen on them."""
        seen = {example.text for example in self.triage.examples}
        both = sum(ticket.text in seen for ticket in judged)
        if both:
            notice(_FLATTERS[self._language].format(both=both, n=len(judged)), quiet=self._quiet, language=self._language)
        tell_overlap(judged, self.calibration, quiet=self._quiet, language=self._language)
