"""Calibrate and evaluate, from end to end: the embedded engine on labelled files, by the commands that a user types.

python benchmarks/datasets.py BANKING77 CLINC150 --write

A folder holds train.csv and dev.csv with the columns text and category, and perhaps domains.json (department -> its categories). Of the tickets of
dev.csv 500 are drawn for `llmtriage calibrate`; the others are what `llmtriage evaluate` judges, without the calibration and with it.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from llmtriage.taxonomy import Category, Taxonomy

PAGE = Path(__file__).with_suffix(".md")
ALPHAS = (0.05, 0.1)
NOWHERE = "oos"  # the label of tickets that belong to no category, where a file has it
HEADER = """\
| data | examples a category | answer | alpha | promise | accepted | wrong among accepted | ECE before | ECE after |
|---|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Data:
    """A labelled set in a working folder, divided for one draw.

    Attributes:
        name: Of the set.
        train: What the engine learns from.
        labelled: What calibrates.
        others: What is judged.
        taxonomies: Answer, "leaf" or "department" -> a taxonomy in which that is told.
    """

    name: str
    train: Path
    labelled: Path
    others: Path
    taxonomies: dict[str, Path]


@dataclass(frozen=True)
class Case:
    """One way of using the engine.

    Attributes:
        shots: Examples a category; None: all.
        answer: "leaf" or "department".
    """

    data: Data
    shots: int | None
    answer: str

    @property
    def flags(self) -> list[str]:
        """What all commands are told."""
        shots = [] if self.shots is None else ["--shots", str(self.shots)]
        taxonomy = self.data.taxonomies[self.answer]
        return ["--taxonomy", str(taxonomy), "--examples", str(self.data.train), "--text-column", "text", "--quiet", *shots]


@dataclass(frozen=True)
class Figures:
    """What `evaluate` says.

    Attributes:
        ece: The calibration error.
        limit: What chance keeps it to if the numbers are true.
        verdict: Whether it does, else in which direction they are off.
        accepted: Share of the tickets.
        error: Share of those that are wrong; None: nothing is accepted.
    """

    ece: float
    limit: float
    verdict: str
    accepted: float
    error: float | None

    @property
    def told(self) -> str:
        """The calibration error with its limit and the verdict."""
        return f"{self.ece:.3f} ({self.limit:.3f}, {self.verdict.replace('_', ' ')})"


@dataclass(frozen=True)
class Row:
    """What came of one case under one alpha.

    Attributes:
        cells: The first cells of its row.
        says: The sentence of `calibrate` in the first draw.
        before: The figures of each draw without a calibration.
        after: With it; None where there was no promise.
    """

    cells: str
    says: str
    before: list[Figures]
    after: list[Figures | None]

    def __str__(self) -> str:
        """The row of the table."""
        columns = [
            f"{sum(one is not None for one in self.after)} of {len(self.after)}",
            _listed("-" if one is None else _percent(one.accepted) for one in self.after),
            _listed("-" if one is None else _percent(one.error) for one in self.after),
            _listed(one.told for one in self.before),
            _listed("-" if one is None else one.told for one in self.after),
        ]
        return f"| {self.cells} | {' | '.join(columns)} |"


def prepared(source: Path, folder: Path, labelled: int, seed: int) -> Data:
    """Divide dev.csv at random, and make the taxonomies of what train.csv names."""
    folder.mkdir(parents=True)
    rows = _rows(source / "dev.csv")
    random.Random(seed).shuffle(rows)
    _write(folder / "labelled.csv", rows[:labelled])
    _write(folder / "others.csv", rows[labelled:])
    labels = list(dict.fromkeys(category for _, category in _rows(source / "train.csv")))
    trees = {"leaf": Taxonomy.from_labels(labels, none_label=NOWHERE if NOWHERE in labels else None)}
    if (source / "domains.json").exists():
        trees["department"] = tree(json.loads((source / "domains.json").read_text(encoding="utf-8")), labels)
    for answer, one in trees.items():
        (folder / f"{answer}.yaml").write_text(one.to_yaml(), encoding="utf-8")
    taxonomies = {answer: folder / f"{answer}.yaml" for answer in trees}
    return Data(source.name, source.resolve() / "train.csv", folder / "labelled.csv", folder / "others.csv", taxonomies)


def tree(departments: dict[str, list[str]], labels: Sequence[str]) -> Taxonomy:
    """The departments with their categories; labels that belong to none stand beside them."""
    inside = {label for names in departments.values() for label in names}
    tops = [Category(id=top, children=tuple(Category(id=name) for name in names)) for top, names in departments.items()]
    beside = [Category(id=label, catch_all=label == NOWHERE) for label in labels if label not in inside]
    return Taxonomy(categories=(*tops, *beside))


def _rows(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def _write(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "category"), *rows])


def run(*words: str, allowed: Sequence[int] = (0,)) -> str:
    """What `llmtriage` prints."""
    done = subprocess.run([sys.executable, "-m", "llmtriage", *words], capture_output=True, text=True, check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"llmtriage {words[0]}: {done.stderr.strip()}")
    return done.stdout


def calibrated(case: Case, alpha: float, path: Path) -> str:
    """Run `calibrate`; its sentence. Without a promise it writes no file."""
    told = ["--alpha", f"{alpha:g}", "--answer", case.answer, "-o", str(path), "--overwrite"]
    return run("calibrate", str(case.data.labelled), *told, *case.flags, allowed=(0, 1)).splitlines()[0]


def evaluated(case: Case, *more: str) -> Figures:
    """Run `evaluate` on the tickets that did not calibrate."""
    report = json.loads(run("evaluate", str(case.data.others), *more, *case.flags, "--json"))
    accepted = report["accepted"]
    return Figures(report["ece"], report["ece_limit"], report["ece_verdict"], accepted["share"], accepted["error"])


def measured(sets: Sequence[Data], shots: Sequence[int | None], alphas: Sequence[float], folder: Path) -> Iterator[Row]:
    """A row for each case and alpha; `sets` is one set by draw."""
    for few in shots:
        for answer in sets[0].taxonomies:
            cases = [Case(data, few, answer) for data in sets]
            before = [evaluated(case) for case in cases]
            for alpha in alphas:
                yield _row(cases, before, alpha, folder)


def _row(cases: Sequence[Case], before: list[Figures], alpha: float, folder: Path) -> Row:
    says, after = [], []
    for case in cases:
        path = folder / "calibration.json"
        path.unlink(missing_ok=True)
        says.append(calibrated(case, alpha, path))
        after.append(evaluated(case, "--calibration", str(path)) if path.exists() else None)
    case = cases[0]
    return Row(f"{case.data.name} | {case.shots or 'all'} | {case.answer} | {alpha:g}", says[0], before, after)


def verdicts(rows: Sequence[Row]) -> str:
    """How often the numbers agree before and after, and how far off they are where they do not; a draw counts once, whatever alpha."""
    before = {(one.ece, one.limit) for row in rows for one in row.before}
    after = {(one.ece, one.limit) for row in rows for one in row.after if one is not None}
    return f"Without calibration {_verdict(before)}.\nWith it {_verdict(after)}."


def _verdict(found: Collection[tuple[float, float]]) -> str:
    over = [ece - limit for ece, limit in found if ece > limit]
    says = f"{len(found) - len(over)} of {len(found)} are within their limit"
    return f"{says}, the others above it by {sum(over) / len(over):.3f} in the mean and {max(over):.3f} at most" if over else says


def unsure(labelled: int, right: float) -> float:
    """By how much the share right of so many labelled tickets is off in the mean, where `right` is the true one."""
    return math.sqrt(2 / math.pi * right * (1 - right) / labelled)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _listed(values: Iterable[str]) -> str:
    return " / ".join(values)


TEMPLATE = """\
# Calibrate and evaluate, measured

Command:

```
{command}
```

{date}; {cores} cores, Python {python}; {seconds:.0f} s. The embedded engine. Of dev.csv {labelled} tickets, drawn at random, are for `calibrate`, the
others for `evaluate`; {draws} draws: what stands between slashes is one draw each. delta is 0.1: one promise in ten may be broken by chance, and
what is wrong among the others has noise of its own.

ECE: the expected calibration error of the number for what is offered, which before calibration is a leaf; in brackets the limit below which it
stays in 95 samples of 100 if the numbers are true, and the verdict. Without a promise there is no calibration file, and so no figure after it.
Tickets that belong nowhere (`oos`, where a set has them) are among all of these.

{table}

{verdicts}

The limit knows the chance of the tickets that are judged, not that of the labels: of {labelled} of them the share right alone, without
anything else that is learnt from them, is off by {unsure_80:.3f} in the mean where 80% are right, and by {unsure_90:.3f} where 90% are.

What `calibrate` said in the first draw:

{sentences}
"""


def arguments() -> argparse.Namespace:
    """What is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--labelled", type=int, default=500, help="tickets that calibrate (default 500)")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--alphas", type=float, nargs="+", default=ALPHAS)
    parser.add_argument("--shots", type=int, nargs="+", default=[10], help="examples a category, beside all (default 10)")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    start, rows = time.perf_counter(), list[Row]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["LLMTRIAGE_CACHE_DIR"] = str(folder / "cache")
        for source in options.folders:
            sets = [prepared(source, folder / source.name / str(draw), options.labelled, draw) for draw in range(options.draws)]
            for row in measured(sets, [*options.shots, None], options.alphas, folder):
                rows.append(row)
                print(row, flush=True)
    text = TEMPLATE.format(
        command=f"python benchmarks/datasets.py {' '.join(source.name for source in options.folders)} --write",
        date=datetime.now(tz=UTC).date().isoformat(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        seconds=time.perf_counter() - start,
        labelled=options.labelled,
        draws=options.draws,
        table="\n".join([HEADER, *map(str, rows)]),
        verdicts=verdicts(rows),
        unsure_80=unsure(options.labelled, 0.8),
        unsure_90=unsure(options.labelled, 0.9),
        sentences="\n".join(f"- {row.cells.replace(' |', ',')}: {row.says}" for row in rows),
    )
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
