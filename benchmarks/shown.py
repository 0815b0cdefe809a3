"""Which second step makes confidence truest: the one in llmtriage/calibrating against others, and against none.

python benchmarks/shown.py LLM-OUTPUTS BANKING77 CLINC150 --write

The folders are those of parts.py. Of n labelled tickets, drawn without replacement, as many fit the calibrator as the library takes for it; the
others fit the second step, from the calibrator's number for the first choice to whether that is right. Tickets that are neither judge.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from guarantee import Floats
from parts import KINDS, Integers, Source, lexical, models

from llmtriage.calibrating.fitting import fitted_part
from llmtriage.probability.calibrators import ConfidenceCalibrator
from llmtriage.probability.metrics import ece_check, top_brier, top_log_loss
from llmtriage.probability.selection import selected

PAGE = Path(__file__).with_suffix(".md")
SIZES = (200, 500, 1000)
JUDGED = 3000  # tickets, at most
OWN, NONE = "**llmtriage** (beta-narrow)", "none"

Step = Callable[[Floats], Floats]  # from the calibrator's numbers to confidences


class Numbers(NamedTuple):
    """The first choices of a calibrator.

    Attributes:
        sure: Its numbers for them.
        right: Whether they are right, 0 or 1.
    """

    sure: Floats
    right: Floats


class Cell(NamedTuple):
    """What came of one draw: ECE, whether chance alone makes it, Brier score and log loss of the first choice."""

    ece: float
    agrees: float
    brier: float
    log_loss: float


def _fitted(method: str, labels: Numbers) -> Step:
    return ConfidenceCalibrator(method).fit(labels.sure, labels.right).predict


RULES: dict[str, Callable[[Numbers], Step]] = {
    NONE: lambda _: lambda sure: sure,
    OWN: lambda labels: _fitted("beta-narrow", labels),
    "beta": lambda labels: _fitted("beta", labels),
    "platt": lambda labels: _fitted("platt", labels),
}
HALF = "none; half of the labels fit the calibrator"

Found = dict[tuple[str, str, int], list[Cell]]  # kind, rule, n


def numbers(source: Source, fitting: Integers, places: Integers) -> Numbers:
    """What a calibrator that was fitted on some tickets says of others."""
    logs = selected(source.logs[fitting], source.gold[fitting]).calibrator.predict_log_proba(source.logs[places])  # type: ignore[union-attr]
    right = logs.argmax(axis=1) == source.gold[places]
    return Numbers(np.minimum(np.exp(logs.max(axis=1)), 1.0), right.astype(np.float64))


def measured(sources: Sequence[Source], sizes: Sequence[int], draws: int, seed: int) -> Found:
    """All rules on the same draws."""
    found: Found = defaultdict(list)
    for number, source in enumerate(sources):
        for n in sizes:
            for draw in range(draws):
                mixed = np.random.default_rng([seed, number, n, draw]).permutation(len(source.gold))
                for rule, cell in _draw(source, mixed[:n], mixed[n : n + JUDGED]):
                    found[source.kind, rule, n].append(cell)
        print(f"{number + 1} of {len(sources)}: {source.name}", flush=True)
    return found


def _draw(source: Source, labels: Integers, fresh: Integers) -> Iterator[tuple[str, Cell]]:
    n, fitted = len(labels), fitted_part(len(labels))
    told = numbers(source, labels[:fitted], np.concatenate([labels[fitted:], fresh]))
    certifying = Numbers(told.sure[: n - fitted], told.right[: n - fitted])
    judging = Numbers(told.sure[n - fitted :], told.right[n - fitted :])
    for rule, fit in RULES.items():
        yield rule, _cell(fit(certifying)(judging.sure), judging.right)
    yield HALF, _cell(*numbers(source, labels[: n // 2], fresh))


def _cell(sure: Floats, right: Floats) -> Cell:
    check = ece_check(sure, right)
    return Cell(check.ece, float(check.verdict == "agrees"), top_brier(sure, right), top_log_loss(sure, right))


def table(found: Found, kind: str, sizes: Sequence[int]) -> Iterator[str]:
    """A row a rule, a column an n."""
    yield f"| {kind}: second step | {' | '.join(f'n = {n:,}' for n in sizes)} |"
    yield f"|---|{'---|' * len(sizes)}"
    for rule in (*RULES, HALF):
        cells = [np.mean(found[kind, rule, n], axis=0) for n in sizes]
        told = (f"{ece:.4f}, {agrees:.0%}; {brier:.4f}; {log_loss:.4f}" for ece, agrees, brier, log_loss in cells)
        yield f"| {rule} | {' | '.join(told)} |"


TEMPLATE = """\
# The second step of a calibration, measured

Command:

```
{command}
```

{date}; {cores} cores, Python {python}, numpy {numpy}; {seconds:.0f} s. {sources} sources, {draws} draws of each and n;
up to {judged:,} other tickets judge.

A calibrator is fitted on a part of n labels ([which](parts.md)); a second step, on the others, makes of its number for the first choice the
confidence that is shown ([why and how](../docs/guarantees.md)). In each cell: ECE, the share of draws in which it is within what chance makes
of true numbers, Brier score and log loss of the first choice (right or wrong), means over sources and draws.

{tables}
"""


def arguments() -> argparse.Namespace:
    """What is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="LLM-OUTPUTS")
    parser.add_argument("labelled", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    start = time.perf_counter()
    folders = enumerate(options.labelled)
    engine = [one for place, folder in folders for one in lexical(folder, 0, np.random.default_rng([options.seed, place]))]
    sources = [*models(options.folder), *engine]
    found = measured(sources, options.sizes, options.draws, options.seed)
    kinds = [kind for kind in KINDS if any(source.kind == kind for source in sources)]
    text = TEMPLATE.format(
        command=f"python benchmarks/shown.py {' '.join(folder.name for folder in [options.folder, *options.labelled])} --write",
        date=datetime.now(tz=UTC).date().isoformat(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        numpy=np.__version__,
        seconds=time.perf_counter() - start,
        sources=len(sources),
        draws=options.draws,
        judged=JUDGED,
        tables="\n\n".join("\n".join(table(found, kind, options.sizes)) for kind in kinds),
    )
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
