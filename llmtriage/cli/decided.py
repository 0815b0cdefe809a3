"""What one run decided, as a store holds it, judged by what people said of the same tickets."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import notice, plain
from llmtriage.cli.judged import check_names, rated, tell_overlap
from llmtriage.cli.making import make_preparation, make_taxonomy
from llmtriage.errors import CalibrationError, InputError, UnknownNameError, short

if TYPE_CHECKING:
    from llmtriage.calibration import Calibration
    from llmtriage.evaluation import Judged, Report
    from llmtriage.evaluation.comparison import Labels
    from llmtriage.store.answered import DecidingRun, Which

_MILLISECONDS = 60_000  # of a minute
_WORDS = {
    "en": {
        "run": "run {run} ({backend}) is the latest of {n} that decided tickets with an answer; --run names another: {others}",
        "taxonomy": "this run chose among the categories of another version of the taxonomy",
        "calibration": "this run was routed with a calibration: name it with --calibration to see whether its promise holds",
        "minutes": "a review takes {minutes:.2g} minutes: the median of {n} answers with a time (--minutes-review says otherwise)",
        "no minutes": "no answer has a time, so a review is taken to last as long as sorting by hand (--minutes-review says otherwise)",
        "common": "{n} tickets are compared: those that both runs decided, of {first} and {second}",
    },
    "zh": {
        "run": "有 {n} 次运行处理过已标注的工单，取最近的 {run}（{backend}）；用 --run 指定其他运行：{others}",
        "taxonomy": "本次运行使用的是另一版本的分类体系",
        "calibration": "本次运行按校准分派：用 --calibration 指定校准文件，可查看其保证是否成立",
        "minutes": "每次人工确认 {minutes:.2g} 分钟：取 {n} 个有计时的答案的中位数（可用 --minutes-review 指定）",
        "no minutes": "没有带计时的答案，人工确认按人工分派的时间计（可用 --minutes-review 指定）",
        "common": "比较 {n} 张工单：两次运行都处理过的（分别为 {first} 张和 {second} 张）",
    },
}
_NO_ANSWERS = {
    "probe": ("no probe has an answer", "classify with --probe 0.02, then llmtriage review --lane probe"),
    "sample": ("no ticket of a planned sample has an answer", "llmtriage review --lane sample"),
    "pending": ("no ticket that waited has an answer", "llmtriage review"),
    "all": ("nobody has answered anything", "llmtriage review"),
}


class Decided:
    """One run of a store."""

    named = True

    def __init__(self, flags: dict[str, Any], *, quiet: bool) -> None:
        """Open the store, find the run and judge its tickets. Raises InputError, StoreError."""
        from llmtriage.evaluation.answered import judged_answers
        from llmtriage.store import SqlStore
        from llmtriage.store.answered import answered, count_waiting

        self._flags, self._quiet, self._language = flags, quiet, flags["language"]
        self.taxonomy = make_taxonomy(flags["taxonomy"], quiet=quiet, language=self._language)
        self._store = SqlStore(flags["store"], create=False)
        context = click.get_current_context()
        context.call_on_close(self._store.close)
        context.params["store"] = self._store.name  # what a page shows of the command: never a password
        self._which: Which = flags["lane"]
        self._run = self._find_run(flags["run"])
        self.calibration = self._read_calibration()
        steps = make_preparation(*(flags[key] for key in ("without", "keep", "redact")))
        rows = answered(self._store.database, self._which, self._run.id)
        found = judged_answers(rows, self.taxonomy, model=self._run.backend, preparation=steps, by=flags["by"])
        self.rows, self._lost = found.rows, found.lost
        if not found.rows:
            raise self._nothing_left()
        check_names(flags["by"], sorted(found.names))
        self._undecided = max(0, self._answers - self._run.answers)
        self._waiting = count_waiting(self._store.database, self._which, self._run.id)

    @property
    def run_id(self) -> str:
        """The run, of this store and these answers."""
        return f"{self._run.id}-{self._which}"

    def labels(self) -> Labels:
        """What identifies the labels: of tickets without a text their numbers in the store do."""
        from llmtriage.evaluation.comparison import labels_of
        from llmtriage.tickets import LabelledTicket, Ticket

        texts = [(row.judged.text or str(row.text_id), row.judged.gold) for row in self.rows]
        return labels_of(
            (LabelledTicket(ticket=Ticket(content=text), category=gold, line=n) for n, (text, gold) in enumerate(texts, start=1)),
            self._name,
        )

    def keep_common(self, other: Decided) -> None:
        """Keep of both runs the tickets that both decided, in the same order. Raises InputError if there are none."""
        both = {row.text_id for row in self.rows} & {row.text_id for row in other.rows}
        if not both:
            problem = f"no ticket with an answer was decided by both {short(self._run.id)} and {short(other._run.id)}"
            raise InputError(problem, file=self._store.name, field="--against", remedy="classify the same tickets again first")
        facts = {"n": len(both), "first": len(self.rows), "second": len(other.rows)}
        if len(both) < max(facts.values()):
            self._notice("common", **facts)
        for run in (self, other):
            run.rows = [row for row in run.rows if row.text_id in both]

    def evaluated(self) -> tuple[Report, list[Judged]]:
        """Sum up what was judged."""
        from llmtriage.evaluation import evaluate
        from llmtriage.evaluation.answered import review_figures
        from llmtriage.evaluation.baselines import baseline_accuracies

        judged = [row.judged for row in self.rows]
        if self._run.fingerprint.get("taxonomy", self.taxonomy.hash) != self.taxonomy.hash:
            self._notice("taxonomy")
        tell_overlap(judged, self.calibration, quiet=self._quiet, language=self._language)
        costs, timed = self._costs()
        reviews = review_figures(
            self.rows,
            self.taxonomy,
            which=self._which,
            waiting=self._waiting,
            undecided=self._undecided,
            lost=sum(self._lost.values()),
            timed=timed,
        )
        report = evaluate(
            judged,
            self.taxonomy,
            calibration=self.calibration,
            baselines=baseline_accuracies((), judged),
            backend=self._run.backend,
            prompt_hash=self._run.fingerprint.get("prompt"),
            run=self._run.id,
            reviews=reviews,
            settings={"file": self._name, "lane": self._which},
            **costs,
        )
        return report, judged

    @property
    def _name(self) -> str:
        return Path(self._store.name.partition("?")[0]).name

    def _find_run(self, wanted: str | None) -> DecidingRun:
        """The run that is named, else the one with the latest outcome of a ticket that has an answer."""
        from llmtriage.store.answered import count_answers, deciding_runs

        counts = count_answers(self._store.database)
        self._answers = counts[self._which]
        if not self._answers:
            problem, remedy = _NO_ANSWERS[self._which]
            others = ", ".join(f"--lane {which} has {n}" for which, n in counts.items() if n)
            more = f"; {others}" if others else ""
            raise InputError(problem, file=self._store.name, field="--lane", remedy=f"{remedy}{more}")
        runs = deciding_runs(self._store.database, self._which)
        if not runs:
            problem = f"no run decided any of the {self._answers} tickets with an answer"
            raise InputError(problem, file=self._store.name, field="--store", remedy="classify these tickets with this store")
        named = next((run for run in runs if run.id == wanted), None)
        if wanted is not None and named is None:
            raise UnknownNameError.among("run", wanted, [run.id for run in runs], file=self._store.name, field="--run")
        if named is None and len(runs) > 1:
            others = ", ".join(f"{run.id} ({plain(run.backend)}, {run.answers})" for run in runs[1:4])
            self._notice("run", run=runs[0].id, backend=runs[0].backend, n=len(runs), others=others)
        return named or runs[0]

    def _read_calibration(self) -> Calibration | None:
        """What the run was routed with, if somebody names it: another one says nothing of this run."""
        from llmtriage.calibration import Calibration

        own = self._run.fingerprint.get("calibration")
        if self._flags["calibration"] is None:
            if own is not None:
                self._notice("calibration")
            return None
        found = Calibration.load(self._flags["calibration"])
        if found.hash != own:
            raise CalibrationError(("calibration of the run",))
        return found

    def _nothing_left(self) -> InputError:
        names = ", ".join(repr(short(name)) for name in list(self._lost)[:3])
        problem = f"no answer can be judged: the taxonomy has no one leaf for {names}"
        return InputError(problem, file=self._store.name, field="--taxonomy", remedy="name the taxonomy of this store")

    def _costs(self) -> tuple[dict[str, Any], int]:
        """What `evaluate` is told of costs, and of how many answers the minutes of a review are the median."""
        from llmtriage.store.answered import review_times

        flags = self._flags
        if flags["minutes_manual"] is None or flags["minutes_review"] is not None:
            return rated(flags), 0
        times = review_times(self._store.database)
        if not times:
            self._notice("no minutes")
            return rated(flags), 0
        minutes = median(times) / _MILLISECONDS
        self._notice("minutes", minutes=minutes, n=len(times))
        return rated({**flags, "minutes_review": minutes}), len(times)

    def _notice(self, key: str, **facts: Any) -> None:
        notice(_WORDS[self._language][key].format(**facts), quiet=self._quiet, language=self._language)
