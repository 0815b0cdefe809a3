"""A million tickets after the engine has answered: calibrated, routed and summarised, here and by the same steps in plain scikit-learn.

python benchmarks/scale.py --write
python benchmarks/scale.py --n 100000 --runs 1

The data are drawn: scores of a model that is too sure, leans to some categories and sees tickets of uneven frequency. Each side runs in a
process of its own, on two cores, and reads the same file of float32 scores; packages are loaded before the clock starts. scikit-learn 1.8 or
newer. Peak memory is that of the process, from `resource`, which Windows does not have.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path(__file__).with_suffix(".md")
CORES = 2
ALPHA, DELTA = 0.05, 0.1
ERROR_COST, REVIEW_COST = 20.0, 1.0
BINS = 15
RISKS = (0.01, 0.02, 0.05, 0.1)
SHOWN = 5
BLOCK = 50_000
TOO_SURE = 1.6
KIB = 1024 if sys.platform == "darwin" else 1  # of what the system counts peak memory in

STEPS = {
    "fit": "calibrator from {labels:,} labels",
    "probabilities": "probabilities of all",
    "first": "first choice and confidence",
    "threshold": "threshold from {certified:,} other labels",
    "accepted": "who is accepted",
    "candidates": "up to five candidates for those that wait",
    "figures": "figures that both have",
    "more": "figures that only llmtriage has",
}
BOTH = (
    "accuracy, balanced accuracy, macro and weighted F1, precision, recall and F1 of each category, confusions, log loss, Brier score, "
    "reliability and ECE (15 bins), AUROC, mean cost"
)
MORE = (
    "intervals of accuracy, macro F1 and cost; what ECE chance alone shows (1,000 samples), debiased ECE and RMSCE², smooth ECE; isotonic "
    "and Murphy's split of the Brier score; AURC, E-AURC, AUGRC, coverage at four risks; impossible answers"
)


@dataclass
class Result:
    """What one side took, and what came out.

    Attributes:
        seconds: By step.
        start, peak: Resident memory in MiB when the scores were read, and at most.
        found: Figures to compare.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    start: float = 0.0
    peak: float = 0.0
    found: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All steps, in seconds."""
        return sum(self.seconds.values())

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Take the time of one step."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


@dataclass(frozen=True)
class Tickets:
    """Scores and true categories; the first rows calibrate, the next set the threshold, all are summarised."""

    scores: Floats
    gold: Integers
    fitting: slice
    deciding: slice


# -- the data --------------------------------------------------------------------------------------


def draw(folder: Path, n: int, k: int, seed: int, labels: int) -> None:
    """Write n rows of scores and their true categories, a block at a time.

    A ticket's true chances are a softmax of noise and a margin of its main category; frequencies fall like 1 / sqrt(rank). The model knows these
    chances but for some noise, leans to some categories, and is too sure.
    """
    random = np.random.default_rng(seed)
    mix = 1 / np.sqrt(np.arange(1, k + 1))
    leaning = random.normal(0, 0.3, k)
    scores = np.lib.format.open_memmap(folder / "scores.npy", mode="w+", dtype=np.float32, shape=(n, k))
    gold = np.empty(n, np.int64)
    for start in range(0, n, BLOCK):
        block = slice(start, min(start + BLOCK, n))
        rows = block.stop - start
        chances = random.standard_normal((rows, k), np.float32)
        chances[np.arange(rows), random.choice(k, rows, p=mix / mix.sum())] += random.gamma(5, 1.7, rows)
        gold[block] = (chances + random.gumbel(size=(rows, k))).argmax(axis=1)
        scores[block] = TOO_SURE * (chances + leaning + 0.2 * random.standard_normal((rows, k), np.float32))
    scores.flush()
    if len(np.unique(gold[:labels])) < k:
        raise SystemExit(
            "a category has no ticket to calibrate with, and scikit-learn's calibrator cannot be fitted: more --labels"
        )
    np.save(folder / "gold.npy", gold)


# -- the two sides ---------------------------------------------------------------------------------


def ours(tickets: Tickets, result: Result) -> None:
    """With `llmtriage.probability`."""
    from llmtriage.probability import metrics
    from llmtriage.probability.candidates import candidate_rule
    from llmtriage.probability.certificate import certify
    from llmtriage.probability.selection import selected

    scores, gold, deciding = tickets.scores, tickets.gold, tickets.deciding
    n, k = scores.shape
    with result.step("fit"):
        calibrator: Any = selected(scores[tickets.fitting], gold[tickets.fitting]).calibrator
    with result.step("probabilities"):
        probabilities = calibrator.predict_proba(scores)
    with result.step("first"):
        top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        right = top == gold
    with result.step("threshold"):
        certificate = certify(confidence[deciding], ~right[deciding], ALPHA, DELTA)
    with result.step("accepted"):
        accepted = confidence >= certificate.threshold
    with result.step("candidates"):
        waiting = ~accepted
        rule = candidate_rule(probabilities[deciding][waiting[deciding]], gold[deciding][waiting[deciding]])
        rule.shown(probabilities[waiting])
    with result.step("figures"):
        metrics.balanced_accuracy(gold, top)
        metrics.macro_f1(gold, top)
        metrics.weighted_f1(gold, top)
        metrics.per_category(gold, top, k)
        np.bincount(k * gold + top, minlength=k * k).reshape(k, k)
        metrics.brier(probabilities, gold)
        metrics.reliability_bins(confidence, right)
        metrics.auroc(confidence, right)
        metrics.expected_cost(accepted, right, error=ERROR_COST, review=REVIEW_COST)
        found = {
            "accuracy": metrics.accuracy(gold, top),
            "log loss": metrics.log_loss(probabilities, gold),
            "ECE": metrics.ece(confidence, right),
        }
    with result.step("more"):
        metrics.wilson(int(right.sum()), n)
        metrics.macro_f1_interval(gold, top)
        metrics.expected_cost_interval(accepted, right, error=ERROR_COST, review=REVIEW_COST)
        metrics.ece_check(confidence, right)
        metrics.n_clipped(probabilities, gold)
        figures: tuple[Callable[..., Any], ...] = (
            *(metrics.ece_debiased, metrics.rmsce2_debiased, metrics.smooth_ece, metrics.isotonic_split, metrics.murphy),
            *(metrics.aurc, metrics.e_aurc, metrics.augrc, metrics.top_brier, metrics.top_log_loss),
        )
        for figure in figures:
            figure(confidence, right)
        for risk in RISKS:
            metrics.coverage_at_risk(confidence, right, risk)
    result.found = found | outcome(accepted, right)


def plain(tickets: Tickets, result: Result) -> None:
    """With scikit-learn, as its documentation says it, and numpy where it has nothing."""
    from scipy.stats import beta
    from sklearn import metrics
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV, calibration_curve
    from sklearn.frozen import FrozenEstimator

    class Model(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
        """A fitted model whose scores are given."""

        def fit(self, scores: Floats, _gold: Any = None) -> Model:
            self.classes_ = np.arange(scores.shape[1])
            return self

        def decision_function(self, scores: Floats) -> Floats:
            return scores

        def predict(self, scores: Floats) -> Integers:
            return np.asarray(scores.argmax(axis=1))

    # Of a category with fewer labels than folds, and of float32 probabilities that sum to 1 within 1e-6.
    warnings.filterwarnings("ignore", "The least populated class|The y_prob values do not sum to one")
    scores, gold, deciding = tickets.scores, tickets.gold, tickets.deciding
    with result.step("fit"):
        model = Model().fit(scores[tickets.fitting])
        calibrator = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
        calibrator.fit(scores[tickets.fitting], gold[tickets.fitting])
    with result.step("probabilities"):
        probabilities = calibrator.predict_proba(scores)
    with result.step("first"):
        top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        right = top == gold
    with result.step("threshold"):
        order = np.argsort(-confidence[deciding])
        errors, k = np.cumsum(~right[deciding][order]), np.arange(1, len(order) + 1)
        passing = np.flatnonzero(beta.ppf(1 - DELTA, errors + 1, k - errors) <= ALPHA)
        threshold = confidence[deciding][order][passing[-1]] if len(passing) else math.inf
    with result.step("accepted"):
        accepted = confidence >= threshold
    with result.step("candidates"):
        waiting = probabilities[~accepted]
        most = np.argpartition(waiting, -SHOWN, axis=1)[:, -SHOWN:]
        by_chance = np.argsort(-np.take_along_axis(waiting, most, axis=1), axis=1)
        np.take_along_axis(most, by_chance, axis=1)
    with result.step("figures"):
        metrics.classification_report(gold, top, output_dict=True, zero_division=0)
        metrics.balanced_accuracy_score(gold, top)
        metrics.confusion_matrix(gold, top)
        metrics.brier_score_loss(gold, probabilities)
        share, mean = calibration_curve(right, confidence, n_bins=BINS, strategy="quantile")
        metrics.roc_auc_score(right, confidence)
        np.where(accepted, ERROR_COST * ~right, REVIEW_COST).mean()
        result.found = {
            "accuracy": metrics.accuracy_score(gold, top),
            "log loss": metrics.log_loss(gold, probabilities),
            "ECE": float(np.abs(share - mean).mean()),  # bins of equal size
        }
    result.found |= outcome(accepted, right)


def outcome(accepted: Any, right: Any) -> dict[str, float]:
    """The share that is accepted, and the share of these that is wrong."""
    return {"accepted": float(accepted.mean()), "errors": float(1 - right[accepted].mean()) if accepted.any() else math.nan}


SIDES: dict[str, tuple[str, Callable[[Tickets, Result], None]]] = {"ours": ("llmtriage", ours), "plain": ("scikit-learn", plain)}


def run_side(options: argparse.Namespace) -> Result:
    """In a process of its own: read the tickets and take all steps."""
    fitting, deciding = slice(0, options.labels), slice(options.labels, options.labels + options.certified)
    for name in ("scipy.optimize", "scipy.stats", "sklearn.calibration", "llmtriage.probability.selection"):
        importlib.import_module(name)
    scores = np.load(options.data / "scores.npy")
    tickets, result = Tickets(scores, np.load(options.data / "gold.npy"), fitting, deciding), Result()
    result.start = _peak()
    SIDES[options.side][1](tickets, result)
    result.peak = _peak()
    return result


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / KIB


# -- the page --------------------------------------------------------------------------------------


def child(options: argparse.Namespace, side: str, data: Path) -> str:
    """Run a side, or draw the data, on two cores; what it prints."""
    numbers = {name: getattr(options, name) for name in ("n", "k", "labels", "certified", "seed")}
    command = [sys.executable, __file__, "--side", side, "--data", str(data)]
    command += [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(CORES))
    environment = (
        os.environ | threads | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    )
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def few_cores() -> None:
    """Keep this process on two cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def measured(options: argparse.Namespace) -> dict[str, list[Result]]:
    """The sides take turns on the same data."""
    found: dict[str, list[Result]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        # Not in this process: what it holds at most would count as the peak of the processes it starts.
        child(options, "data", Path(folder))
        for _ in range(options.runs):
            for side, results in found.items():
                results.append(Result(**json.loads(child(options, side, Path(folder)))))
    return found


HEADER = "| step | llmtriage, s | scikit-learn, s | scikit-learn / llmtriage |\n|---|---|---|---|"


def table(one: Result, other: Result, options: argparse.Namespace) -> Iterator[str]:
    """A row a step, then the sums."""
    yield HEADER
    for name, title in STEPS.items():
        yield _row(title.format(**vars(options)), one.seconds[name], other.seconds.get(name), ".2f")
    yield _row("**all steps**", one.total, other.total, ".1f")
    shared = one.total - one.seconds["more"]
    yield _row("without those that only llmtriage has", shared, other.total, ".1f")
    yield _row("peak memory, MiB", one.peak, other.peak, ",.0f")


def _row(title: str, one: float, other: float | None, form: str) -> str:
    if other is None:
        return f"| {title} | {one:{form}} | - | - |"
    return f"| {title} | {one:{form}} | {other:{form}} | {other / one:.2f} |"


TEMPLATE = """\
# A million tickets, measured

Command:

```
{command}
```

{date}; {cores} cores, Python {python}, numpy {numpy}, scipy {scipy}, scikit-learn {sklearn}. {n:,} tickets, {k} categories, float32 scores
({megabytes:,.0f} MiB), drawn. Of {runs} runs of each side, in turns, the one with the median of all steps; memory: the most of all runs, of which
{start:,.0f} MiB are there when the scores have been read.

{table}

- What both have: {both}.
- What only llmtriage has: {more}.
- The threshold: here the certificate, which keeps its promise after the search; there the lowest threshold whose Clopper-Pearson bound is at most
  alpha, which [does not](guarantee.md).
- The calibrator: here chosen among {admitted} by cross-validation; there a temperature (`CalibratedClassifierCV`), which fails where a
  category has no labelled ticket.
- Candidates: here as many as are needed to hold the right category in 90 of 100 cases, two to five; there always five.

What came out, on all {n:,} tickets (alpha {alpha:g}, delta {delta:g}):

| | llmtriage | scikit-learn |
|---|---|---|
{outcome}
"""

OUTCOMES = {
    "accuracy": ("accuracy", ".4f"),
    "log loss": ("log loss", ".4f"),
    "ECE": ("ECE, 15 bins of equal mass", ".4f"),
    "accepted": ("accepted", ".2%"),
    "errors": ("wrong among the accepted", ".2%"),
}


def page(found: dict[str, list[Result]], options: argparse.Namespace) -> str:
    """All that was measured."""
    import scipy
    import sklearn

    from llmtriage.probability.selection import admitted

    one, other = (sorted(results, key=lambda run: run.total)[len(results) // 2] for results in found.values())
    for side, results in zip((one, other), found.values(), strict=True):
        side.peak = max(run.peak for run in results)
    changed = [f" --{name} {getattr(options, name)}" for name, value in DEFAULTS.items() if getattr(options, name) != value]
    return TEMPLATE.format(
        command=f"python benchmarks/scale.py{''.join(changed)} --write",
        date=datetime.now(tz=UTC).date().isoformat(),
        cores=CORES,
        python=platform.python_version(),
        numpy=np.__version__,
        scipy=scipy.__version__,
        sklearn=sklearn.__version__,
        n=options.n,
        k=options.k,
        megabytes=4 * options.n * options.k / 2**20,
        runs=options.runs,
        start=one.start,
        table="\n".join(table(one, other, options)),
        both=BOTH,
        more=MORE,
        admitted=_listed(admitted(options.labels, options.k)),
        alpha=ALPHA,
        delta=DELTA,
        outcome="\n".join(
            f"| {title} | {one.found[name]:{form}} | {other.found[name]:{form}} |" for name, (title, form) in OUTCOMES.items()
        ),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


DEFAULTS = {"n": 1_000_000, "k": 77, "labels": 1000, "certified": 10_000, "runs": 3, "seed": 0}


def arguments() -> argparse.Namespace:
    """What is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--side", choices=["data", *SIDES], help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    few_cores()
    if options.side == "data":
        draw(options.data, options.n, options.k, options.seed, options.labels)
    elif options.side:
        print(json.dumps(asdict(run_side(options))))
    else:
        text = page(measured(options), options)
        if options.write:
            PAGE.write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
