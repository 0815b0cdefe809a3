"""Calibrate and evaluate, from end to end: the embedded engine on labelled files, by the commands that a user types.

python benchmarks/datasets.py BANKING77 CLINC150 --write

A folder holds train.csv and dev.csv with the columns text and category, and perhaps domains.json (department -> its categories). Of the tickets of
dev.csv 500 are drawn for `llmtriage calibrate`; the others are what `llmtriage evaluate` judges, without the calibration and with it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
        ece: As a number, with the limit that chance keeps to and the verdict.
        accepted: Share of the tickets.
        error: Share of those that are wrong; None: nothing is accepted.
    """

    ece: str
    accepted: float
    error: float | None


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
    return Figures(_ece(report), report["accepted"]["share"], report["accepted"]["error"])


def _ece(report: dict[str, Any]) -> str:
    return f"{report['ece']:.3f} ({report['ece_limit']:.3f}, {report['ece_verdict'].replace('_', ' ')})"


def measured(
    sets: Sequence[Data], shots: Sequence[int | None], alphas: Sequence[float], folder: Path
) -> Iterator[tuple[str, str, str]]:
    """For each case and alpha the row's first cells, the sentence of `calibrate`, and the row's other cells; `sets` is one set by draw."""
    for few in shots:
        for answer in sets[0].taxonomies:
            cases = [Case(data, few, answer) for data in sets]
            before = [evaluated(case) for case in cases]
            for alpha in alphas:
                yield _row(cases, before, alpha, folder)


def _row(cases: Sequence[Case], before: Sequence[Figures], alpha: float, folder: Path) -> tuple[str, str, str]:
    says, after = [], []
    for case in cases:
        path = folder / "calibration.json"
        path.unlink(missing_ok=True)
        says.append(calibrated(case, alpha, path))
        after.append(evaluated(case, "--calibration", str(path)) if path.exists() else None)
    columns = [
        f"{sum(one is not None for one in after)} of {len(after)}",
        _listed("-" if one is None else _percent(one.accepted) for one in after),
        _listed("-" if one is None else _percent(one.error) for one in after),
        _listed(one.ece for one in before),
        _listed("-" if one is None else one.ece for one in after),
    ]
    case = cases[0]
    return f"{case.data.name} | {case.shots or 'all'} | {case.answer} | {alpha:g}", says[0], " | ".join(columns)


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

ECE: the expected calibration error of the number for the first leaf; in brackets the limit below which it stays in 95 samples of 100 if the
numbers are true, and the verdict. Without a promise there is no calibration file, and so no figure after it. Tickets that belong nowhere
(`oos`, where a set has them) are among all of these.

{table}

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
    start, rows, sentences = time.perf_counter(), [HEADER], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["LLMTRIAGE_CACHE_DIR"] = str(folder / "cache")
        for source in options.folders:
            sets = [prepared(source, folder / source.name / str(draw), options.labelled, draw) for draw in range(options.draws)]
            for first, says, rest in measured(sets, [*options.shots, None], options.alphas, folder):
                rows.append(f"| {first} | {rest} |")
                sentences.append(f"- {first.replace(' |', ',')}: {says}")
                print(rows[-1], flush=True)
    text = TEMPLATE.format(
        command=f"python benchmarks/datasets.py {' '.join(source.name for source in options.folders)} --write",
        date=datetime.now(tz=UTC).date().isoformat(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        seconds=time.perf_counter() - start,
        labelled=options.labelled,
        draws=options.draws,
        table="\n".join(rows),
        sentences="\n".join(sentences),
    )
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
