"""Predictions in a file, alone or beside the file of their tickets, judged."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import notice
from llmtriage.cli.judged import check_fields, rated
from llmtriage.cli.labels import check_labels
from llmtriage.cli.making import columns_held, make_preparation, named_columns, open_tickets
from llmtriage.errors import CalibrationError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmtriage.evaluation import Judged, Report
    from llmtriage.evaluation.comparison import Labels
    from llmtriage.evaluation.stored import StoredPredictions
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.tickets import LabelledTicket, TicketRow

_WORDS = {
    "en": {
        "one category": "all tickets have the same true category: nothing is known about the others",
        "not checked": "the file does not say what its predictions were made with: of the calibration only the taxonomy could be checked",
        "missing": "{missing} of {n} tickets have no prediction: they count as wrong",
        "by number": "{file} has no ids: its rows are taken for the same tickets in the same order",
    },
    "zh": {
        "one category": "所有工单的正确类别相同：对其他类别一无所知",
        "not checked": "文件未说明预测是用什么得到的：校准只核对了分类体系",
        "missing": "{n} 张工单中有 {missing} 张没有预测，计为错误",
        "by number": "{file} 没有编号：按行的顺序视为同一批工单",
    },
}
_ENGINE_FLAGS = (
    *("backend", "examples", "shots", "prompt_examples", "selector", "nearest", "example_tokens", "seed", "prompts", "reading"),
    *("codes", "many", "debias", "votes", "rationale", "concurrency", "timeout", "attempts", "repair", "shorten", "reply_cache"),
    *("max_cost", "max_tokens"),
)
_NO_USAGE: dict[str, int | float | None] = dict.fromkeys(("prompt_tokens", "output_tokens", "attempts", "untold"))


_ROUTING_FLAGS = (
    *("threshold", "departments", "none_label", "title_column", "content_column", "text_column", "id_column"),
    *("category_column", "encoding"),
)


def refuse_engine_flags(*, routed: bool = False) -> None:
    """A flag that says how to ask an engine says nothing of what is stored, nor, where that was `routed`, how to route; raises InputError."""
    context = click.get_current_context()
    for name in (*_ENGINE_FLAGS, *(_ROUTING_FLAGS if routed else ())):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-')}"
            problem = "the store holds what was decided" if routed else "predictions are stored, so no engine is asked"
            raise InputError(problem, field=flag, remedy="leave it out")


class Stored:
    """One setting on stored predictions."""

    def __init__(self, file: Path | None, flags: dict[str, Any], *, quiet: bool) -> None:
        """Read both files. Raises InputError."""
        from llmtriage.calibration import Calibration
        from llmtriage.routing import Policy, Router
        from llmtriage.taxonomy import Taxonomy

        self._flags, self._quiet = flags, quiet
        given = None if flags["taxonomy"] is None else Taxonomy.load(flags["taxonomy"])
        self._tickets = None if file is None else self._read_tickets(file, given)
        self._file = file or Path(flags["predictions"])
        self._stored = self._read_predictions(Path(flags["predictions"]), given)
        self.taxonomy, self.named = self._stored.taxonomy, self._stored.named
        if file is not None and given is None and self.named:
            self._tickets = self._read_tickets(file, self.taxonomy)  # again: now it is known what their labels may be
        self.calibration = None if flags["calibration"] is None else Calibration.load(flags["calibration"])
        if self.calibration and self.calibration.contract.get("taxonomy") != self.taxonomy.hash:
            raise CalibrationError(("taxonomy",))
        policy = Policy(threshold=flags["threshold"], departments=flags["departments"])
        self._router = Router(self.taxonomy, policy, self.calibration)

    def _read_tickets(self, file: Path, taxonomy: Taxonomy | None) -> list[TicketRow | LabelledTicket]:
        tickets = open_tickets(file, self._flags)
        check_fields(self._flags["by"], tickets.table)
        rows: Iterable[TicketRow | LabelledTicket] = tickets
        if tickets.has_categories:
            rows = tickets.labelled(taxonomy, self._flags["none_label"])
        found = list(rows)
        if not found:
            raise InputError("the file holds no tickets", file=file, remedy="give the tickets that the predictions are about")
        return found

    def _read_predictions(self, path: Path, taxonomy: Taxonomy | None) -> StoredPredictions:
        from llmtriage.evaluation.stored import read_predictions
        from llmtriage.tables import read_rows
        from llmtriage.tickets import Columns

        flags = self._flags
        columns, encoding = columns_held(path, flags)
        if self._tickets is None:
            columns = Columns(**named_columns(flags))
            check_fields(flags["by"], read_rows(path, encoding=encoding))
        return read_predictions(
            path,
            scale=flags["scores"],
            taxonomy=taxonomy,
            none_label=flags["none_label"],
            columns=columns,
            encoding=encoding,
            by=flags["by"],
            labels=[row.category for row in self._tickets or () if row.category is not None] or None,
        )

    @property
    def run_id(self) -> str:
        """The same predictions under the same rules have the same."""
        from llmtriage.taxonomy import digest

        content = hashlib.sha256(self._stored.path.read_bytes()).hexdigest()
        calibration = self.calibration and self.calibration.hash
        return digest([content, self._flags["scores"], self.taxonomy.hash, self._router.fingerprint, calibration])

    def labels(self) -> Labels:
        """What identifies the labels: of tickets without a text their ids do."""
        from llmtriage.evaluation.comparison import labels_of

        return labels_of(self._labelled(), self._file.name)

    def _labelled(self) -> list[LabelledTicket]:
        """The tickets with the labels of the file of tickets, else those of the predictions."""
        from llmtriage.evaluation.stored import StoredRow
        from llmtriage.tickets import LabelledTicket

        found = []
        for row in self._tickets or self._stored.rows:
            ticket = row.ticket if row.ticket.content or row.ticket.title else replace(row.ticket, content=row.ticket.id or "")
            category = (row.gold if isinstance(row, StoredRow) else row.category) or ""
            found.append(LabelledTicket(ticket=ticket, category=category, line=row.line, was=getattr(row, "was", None)))
        return found

    def evaluated(self) -> tuple[Report, list[Judged]]:
        """Judge every prediction and sum up."""
        from llmtriage.evaluation import evaluate
        from llmtriage.evaluation.baselines import baseline_accuracies
        from llmtriage.evaluation.stored import judged_predictions

        flags, stored = self._flags, self._stored
        preparation = make_preparation(*(flags[key] for key in ("without", "keep", "redact")))
        check_labels(self._labelled(), self._file, quiet=self._quiet, language=flags["language"])
        judged = judged_predictions(stored, self._router, tickets=self._tickets, preparation=preparation, by=flags["by"])
        self._tell(judged)
        name = stored.path.name
        report = evaluate(
            judged,
            self.taxonomy,
            calibration=self.calibration,
            none_label=flags["none_label"],
            baselines=baseline_accuracies((), judged) if stored.named else {},
            usage=_NO_USAGE,
            backend=f"predictions:{name}",
            run=self.run_id,
            named=stored.named,
            **rated(flags),
            settings={
                "threshold": flags["threshold"],
                "departments": flags["departments"],
                "file": self._file.name,
                "predictions": name,
            },
        )
        return report, judged

    def _tell(self, judged: list[Judged]) -> None:
        """What has to be known of these predictions."""
        language, missing = self._flags["language"], sum(ticket.outcome.prediction is None for ticket in judged)
        facts = {"missing": missing, "n": len(judged), "file": self._stored.path.name}
        holds = {
            "one category": self._stored.named and len({ticket.gold for ticket in judged}) == 1,
            "not checked": self.calibration is not None,
            "missing": missing > 0,
            "by number": bool(self._tickets or self._flags["against"]) and not self._stored.has_ids,
        }
        for key in (key for key, it_does in holds.items() if it_does):
            notice(_WORDS[language][key].format(**facts), quiet=self._quiet, language=language)
