"""How often promises are broken, and how much they let pass: resampled outputs of real models.

python benchmarks/guarantee.py LLM-OUTPUTS --write

LLM-OUTPUTS is a folder whose CSV files (at any depth) hold one answer of a model a row: either `correct,confidence`, or a `gold` letter and the
scores of the options behind it. From each file n labelled tickets are drawn with replacement, each method sets a threshold on them, and the whole
file is the truth. MAPIE takes part with --mapie where it is installed (pip install mapie), on the first draws.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import platform
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, betaincinv, ndtr, softmax

from llmtriage.probability.calibrators import ConfidenceCalibrator
from llmtriage.probability.certificate import certify
from llmtriage.probability.planning import worth_labelling

Floats = npt.NDArray[np.float64]
Threshold = float  # minus infinity: everything is accepted; infinity: nothing

PAGE = Path(__file__).with_suffix(".md")
DELTA = 0.1
SIZES, ALPHAS = (200, 500, 1000, 2000), (0.02, 0.05, 0.1, 0.2)
LARGEST_PART = 0.7  # of a file: a larger sample is not drawn from it
LEAST_ORACLE = 0.05  # coverage is told of files of which the best threshold accepts more
QUANTILES = 20
FAR = 0.01  # in coverage
UNLABELLED = 3000
MAPIE_DRAWS = 20


@dataclass(frozen=True)
class Outputs:
    """What a model answered: its confidence in its first choice, and whether that was wrong; surest first."""

    name: str
    score: Floats
    loss: Floats

    def accepted(self, threshold: Threshold) -> tuple[float, float]:
        """Coverage and risk of accepting from a threshold on; the risk of nothing is 0."""
        k = int(np.searchsorted(-self.score, -threshold, side="right"))
        return k / len(self.score), float(self.loss[:k].mean()) if k else 0.0

    def best(self, alpha: float) -> float:
        """The largest coverage whose true risk is at most alpha."""
        ends = _ends(self.score)
        good = ends[np.cumsum(self.loss)[ends - 1] <= alpha * ends]
        return float(good[-1] / len(self.score)) if len(good) else 0.0


def read(path: Path) -> Outputs:
    """One file."""
    head, *body = _rows(path)
    if "confidence" in head:
        score = np.array([float(row[head.index("confidence")]) for row in body])
        loss = np.array([1 - float(row[head.index("correct")]) for row in body])
    else:
        logits, gold = with_logits(path)
        shares = softmax(logits, axis=1)
        score, loss = shares.max(axis=1), (shares.argmax(axis=1) != gold).astype(float)
    return ordered(str(path.parent.name + "/" + path.stem), score, loss)


def ordered(name: str, score: Floats, loss: Floats) -> Outputs:
    """Outputs in any order."""
    order = np.argsort(-score, kind="stable")
    return Outputs(name, score[order], loss[order])


def with_logits(path: Path) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The scores of the options, and the places of the true ones. Columns behind the options are left out, whatever they are called."""
    head, *body = _rows(path)
    first = next(place for place, name in enumerate(head) if name.startswith("logit_"))
    options = sorted({row[head.index("gold")] for row in body} | set("ABCDEF"))
    logits = np.array([[float(cell) for cell in row[first : first + len(options)]] for row in body])
    return logits, np.array([options.index(row[head.index("gold")]) for row in body])


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


# -- the methods: from labelled tickets, surest first, to a threshold ------------------------------


def plain(score: Floats, loss: Floats, alpha: float) -> Threshold:
    """The lowest threshold whose share of errors in the sample is at most alpha."""
    ends = _ends(score)
    return _lowest(score, ends[np.cumsum(loss)[ends - 1] <= alpha * ends])


def single(score: Floats, loss: Floats, alpha: float) -> Threshold:
    """The lowest threshold that one Clopper-Pearson bound allows, as if it had not been searched for."""
    ends = _ends(score)
    return _lowest(score, ends[bdtr(np.cumsum(loss)[ends - 1], ends, alpha) <= DELTA])


def sgr(score: Floats, loss: Floats, alpha: float) -> Threshold:
    """Selection with guaranteed risk: a binary search, each look with its share of delta (Geifman and El-Yaniv 2017, arXiv:1705.08500)."""
    n, errors = len(score), np.cumsum(loss)
    looks = math.ceil(math.log2(n))
    low, high, found = 0, n, math.inf
    for _ in range(looks):
        middle = math.ceil((low + high) / 2)
        k = int(np.searchsorted(-score, -score[middle - 1], side="right"))
        if _limit(int(errors[k - 1]), k, DELTA / looks) <= alpha:
            low, found = middle, float(score[middle - 1])
        else:
            high = middle
    return found


def bonferroni(score: Floats, loss: Floats, alpha: float) -> Threshold:
    """Learn then test: twenty quantiles, Bonferroni (Angelopoulos and others 2025, doi:10.1214/24-AOAS1998)."""
    ends = _quantile_ends(score)
    return _lowest(score, ends[bdtr(np.cumsum(loss)[ends - 1], ends, alpha) <= DELTA / QUANTILES])


def split_sequence(score: Floats, loss: Floats, alpha: float) -> Threshold:
    """Learn then test: one half orders twenty thresholds by their p-values, the other tests them in that order until one fails."""
    learning, testing = (
        slice(start, None, 2) for start in (0, 1)
    )  # every other of the ordered tickets: the sample itself is random
    grid = score[learning][_quantile_ends(score[learning]) - 1]

    def p_values(scores: Floats, losses: Floats) -> Floats:
        k = np.searchsorted(-scores, -grid, side="right")
        wrong = np.concatenate([[0.0], np.cumsum(losses)])[k]
        return np.where(k > 0, bdtr(wrong, np.maximum(k, 1), alpha), 1.0)

    order = np.argsort(p_values(score[learning], loss[learning]), kind="stable")
    tested = p_values(score[testing], loss[testing])[order]
    fails = np.flatnonzero(tested > DELTA)
    passed = grid[order][: int(fails[0]) if len(fails) else len(grid)]
    return float(passed.min()) if len(passed) else math.inf


def ours(score: Floats, loss: Floats, alpha: float) -> Threshold:
    """The certificate."""
    return certify(score, loss, alpha, DELTA).threshold


METHODS: dict[str, tuple[str, Callable[[Floats, Floats, float], Threshold]]] = {
    "plain": ("plain threshold (share of errors <= alpha)", plain),
    "single": ("one Clopper-Pearson bound, searched (no promise)", single),
    "sgr": ("SGR", sgr),
    "bonferroni": ("LTT, 20 quantiles, Bonferroni", bonferroni),
    "split": ("LTT, split, fixed sequence", split_sequence),
    "ours": ("**ours, uniform labels**", ours),
}
FOCUSED, MAPIE = "**ours, focused labels**", f"MAPIE, precision, default grid ({MAPIE_DRAWS} draws)"


def focused(outputs: Outputs, n: int, alpha: float, rng: np.random.Generator) -> Threshold:
    """A pilot of n/8 labels fits a calibrator, which says on unlabelled tickets where labels are worth most; the others are drawn there."""
    pilot = max(25, n // 8)
    known = rng.integers(0, len(outputs.score), pilot)
    calibrator = ConfidenceCalibrator("beta").fit(outputs.score[known], 1 - outputs.loss[known])
    others = outputs.score[rng.integers(0, len(outputs.score), UNLABELLED)]
    floor, _ = worth_labelling(calibrator.predict(others), alpha)
    raw = float(others[calibrator.predict(others) >= floor].min())  # the calibrator keeps the order
    inside = int(np.searchsorted(-outputs.score, -raw, side="right"))
    drawn = np.sort(rng.integers(0, inside, n - pilot))
    return max(raw, certify(outputs.score[drawn], outputs.loss[drawn], alpha, DELTA).threshold)


def mapie(score: Floats, loss: Floats, alpha: float) -> Threshold:
    """MAPIE's control of precision over its default grid of thresholds, the lowest of those it finds valid."""
    from mapie.risk_control import BinaryClassificationController

    right = (1 - loss).astype(int)
    controller = BinaryClassificationController(
        lambda x: np.column_stack([1 - x[:, 0], x[:, 0]]), "precision", target_level=1 - alpha, confidence_level=1 - DELTA
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where it finds no valid threshold
        controller.calibrate(score[:, None], right)
    valid = np.asarray(controller.valid_predict_params, float)
    return float(valid.min()) if len(valid) else math.inf


def _ends(score: Floats) -> npt.NDArray[np.int64]:
    """After how many tickets a threshold can lie: not between equal scores."""
    return np.append(np.flatnonzero(score[:-1] > score[1:]) + 1, len(score))


def _quantile_ends(score: Floats) -> npt.NDArray[np.int64]:
    places = np.ceil(np.arange(1, QUANTILES + 1) * len(score) / QUANTILES).astype(int)
    return np.unique(np.searchsorted(-score, -score[places - 1], side="right"))


def _lowest(score: Floats, passing: npt.NDArray[np.int64]) -> Threshold:
    if not len(passing):
        return math.inf
    return -math.inf if passing[-1] == len(score) else float(score[passing[-1] - 1])


@cache
def _limit(errors: int, k: int, delta: float) -> float:
    return 1.0 if errors == k else float(betaincinv(errors + 1, k - errors, 1 - delta))


# -- drawing ---------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What a method did on one file, for one n and alpha: each draw's coverage, and whether its promise was broken."""

    coverage: list[float] = field(default_factory=list)
    broken: list[bool] = field(default_factory=list)

    def add(self, outputs: Outputs, threshold: Threshold, alpha: float) -> None:
        """Judge a threshold by the whole file."""
        coverage, risk = outputs.accepted(threshold)
        self.coverage.append(coverage)
        self.broken.append(risk > alpha)


Key = tuple[str, int, float, str]  # method, n, alpha, file


def measured(files: Sequence[Outputs], options: argparse.Namespace) -> dict[Key, Tally]:
    """All methods on the same draws; MAPIE on the first of them, focused labels on half as many draws of their own."""
    found: dict[Key, Tally] = defaultdict(Tally)
    for number, outputs in enumerate(files):
        for n in options.sizes:
            if n < LARGEST_PART * len(outputs.score):
                _draw_all(found, outputs, n, options, np.random.default_rng([options.seed, number, n]))
        print(f"{number + 1} of {len(files)}: {outputs.name}", flush=True)
    return found


def _draw_all(found: dict[Key, Tally], outputs: Outputs, n: int, options: argparse.Namespace, rng: np.random.Generator) -> None:
    for draw in range(options.draws):
        chosen = np.sort(rng.integers(0, len(outputs.score), n))
        score, loss = outputs.score[chosen], outputs.loss[chosen]
        for alpha in options.alphas:
            for name, (_, method) in METHODS.items():
                found[name, n, alpha, outputs.name].add(outputs, method(score, loss, alpha), alpha)
            if draw < options.draws // 2:
                found["focused", n, alpha, outputs.name].add(outputs, focused(outputs, n, alpha, rng), alpha)
            if options.mapie and draw < MAPIE_DRAWS:
                found["mapie", n, alpha, outputs.name].add(outputs, mapie(score, loss, alpha), alpha)


# -- the page --------------------------------------------------------------------------------------


def table(found: dict[Key, Tally], files: Sequence[Outputs], n: int, options: argparse.Namespace) -> Iterator[str]:
    """One table: a row a method, a column an alpha."""
    yield f"| n = {n:,} | {' | '.join(f'alpha {alpha:g}' for alpha in options.alphas)} |"
    yield f"|---|{'---|' * len(options.alphas)}"
    titles = {name: title for name, (title, _) in METHODS.items()} | {
        "focused": FOCUSED,
        "mapie": MAPIE,
    }
    for name, title in titles.items():
        cells = [_cell(found, files, name, n, alpha) for alpha in options.alphas]
        if any(cells):
            yield f"| {title} | {' | '.join(cells)} |"


def _cell(found: dict[Key, Tally], files: Sequence[Outputs], name: str, n: int, alpha: float) -> str:
    tallies = [(outputs, found[name, n, alpha, outputs.name]) for outputs in files if (name, n, alpha, outputs.name) in found]
    if not tallies:
        return ""
    broken = np.array([np.mean(tally.broken) for _, tally in tallies])
    error = math.sqrt(
        sum(share * (1 - share) / len(tally.broken) for share, (_, tally) in zip(broken, tallies, strict=True))
    ) / len(broken)
    parts = [np.mean(tally.coverage) / best for outputs, tally in tallies if (best := outputs.best(alpha)) > LEAST_ORACLE]
    told = f"**{np.mean(parts):.2f}**" if parts else "-"
    return f"{broken.mean():.3f} ± {error:.3f} (worst {broken.max():.2f}); {told}"


def against(found: dict[Key, Tally]) -> Iterator[str]:
    """Ours against the others that keep a promise, draw by draw: the mean difference in coverage, and where it is behind by two standard errors.

    Then a line on what chance alone would say.
    """
    yield "| against | better / alike / worse, of files, n and alphas | mean difference in coverage | where worse |"
    yield "|---|---|---|---|"
    behind: list[str] = []
    for name, title in {**{name: METHODS[name][0] for name in ("sgr", "bonferroni", "split")}, "mapie": MAPIE}.items():
        if not any(method == name for method, *_ in found):
            continue
        differences, worse, better, alike = [], {}, 0, 0
        for (method, n, alpha, file), tally in found.items():
            if method != "ours":
                continue
            theirs = np.array(found[name, n, alpha, file].coverage)
            gap = np.array(tally.coverage[: len(theirs)]) - theirs
            error = gap.std(ddof=1) / math.sqrt(len(gap))
            differences.append(gap.mean())
            if gap.mean() < -2 * error:
                worse[f"{file}, n {n}, alpha {alpha:g}"] = gap.mean()
            elif gap.mean() > 2 * error:
                better += 1
            else:
                alike += 1
        listed = "; ".join(f"{where}: {gap:.4f}" for where, gap in worse.items()) or "nowhere"
        yield f"| {title} | {better} / {alike} / {len(worse)} | {np.mean(differences):+.4f} | {listed} |"
        if worse:
            behind.append(_behind(title, list(worse.values())))
    cells = sum(method == "ours" for method, *_ in found)
    chance = f"about {cells * ndtr(-2):.0f} would be worse by two standard errors by chance alone"
    yield ""
    yield f"Of {cells} cells without any difference {chance}. {' '.join(behind) or 'Ours is worse in none.'}"


def _behind(title: str, gaps: Sequence[float]) -> str:
    """How far ours is behind, where it is."""
    far = sum(gap < -FAR for gap in gaps)
    return f"Ours is worse than {title} in {len(gaps)}: by more than {FAR:g} in {far}, by {-min(gaps):.3f} at most."


TEMPLATE = """\
# Promises on outputs of real models, measured

Command:

```
{command}
```

{date}; {cores} cores, Python {python}, {packages}; {seconds:.0f} s. {files} files, {draws} draws of each; focused labels half as many.

Each cell: the share of draws whose promise is broken (the true share of errors among the accepted exceeds alpha), mean over the files,
with its standard error and the worst file; then, in bold, the coverage as a part of what the best threshold of that file would accept,
mean over the files where that is more than {least:.0%}. delta is {delta}: a method that keeps its promise may break it in that share of draws.
n labelled tickets are drawn with replacement; files of fewer than n / {part} rows are left out.

{tables}

## Ours against other methods that keep the promise, on the same draws

{against}

A rule without correction (the first two rows) may look harmless on files whose risk rises along the order; in a world of equal risk
it breaks its promise in two samples of ten to nearly all ([docs/guarantees.md](../docs/guarantees.md), tests/probability/test_certificate.py).
"""


def arguments() -> argparse.Namespace:
    """What is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--alphas", type=float, nargs="+", default=ALPHAS)
    parser.add_argument("--files", type=int, help="the first so many files (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mapie", action="store_true", help=f"with MAPIE, on the first {MAPIE_DRAWS} draws")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    files = [read(path) for path in sorted(options.folder.rglob("*.csv"))][: options.files]
    if not files:
        raise SystemExit(f"{options.folder} holds no CSV files")
    start = time.perf_counter()
    found = measured(files, options)
    text = TEMPLATE.format(
        command=f"python benchmarks/guarantee.py {options.folder.name}{' --mapie' * options.mapie} --write",
        date=datetime.now(tz=UTC).date().isoformat(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        packages=", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", *["mapie"] * options.mapie)),
        seconds=time.perf_counter() - start,
        files=len(files),
        draws=options.draws,
        least=LEAST_ORACLE,
        delta=DELTA,
        part=LARGEST_PART,
        tables="\n\n".join("\n".join(table(found, files, n, options)) for n in options.sizes),
        against="\n".join(against(found)),
    )
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
