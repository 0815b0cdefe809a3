"""How many labelled tickets fit the calibrator, and how many carry the promise: the rule of llmtriage/calibrating against others.

python benchmarks/parts.py LLM-OUTPUTS BANKING77 CLINC150 --write

LLM-OUTPUTS is a folder whose CSV files (at any depth) hold a `gold` letter and the scores of the options behind it; files with a confidence alone
are left out, for their calibrator keeps the order and needs no labels of its own. The other folders hold train.csv and dev.csv with the columns text
and category: the embedded engine learns from few or many examples of train.csv and scores what is left. Labelled tickets are drawn with replacement;
the first of them fit a calibrator, on the others a threshold is certified, and the whole source is the truth. Every other file, and every other
folder, is for choosing the rule; the rest confirm it.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from guarantee import LEAST_ORACLE, Floats, Outputs, ordered, with_logits
from lexical import read
from scipy.special import log_softmax

from llmtriage.backends.lexical import LexicalBackend
from llmtriage.calibrating.fitting import FITTED_SHARE, MOST_FITTED, fitted_part
from llmtriage.duplicates import folded
from llmtriage.predictions import Example
from llmtriage.probability.certificate import certify
from llmtriage.probability.metrics import FLOOR, ece_debiased
from llmtriage.probability.selection import LEAST_TICKETS, selected
from llmtriage.taxonomy import Taxonomy

Integers = npt.NDArray[np.int64]

PAGE = Path(__file__).with_suffix(".md")
DELTA = 0.1
SIZES, ALPHAS = (100, 200, 500, 1000, 2000, 5000), (0.05, 0.1, 0.2)
FEW = 10  # examples a category
MOST_TICKETS = 10_000  # of a source
ORACLE_FITTED = 4000  # tickets that fit the calibrator which coverage is compared with


OWN, SHARED = "**llmtriage**", "all for both (no promise)"
HALVES = {0: "chosen on", 1: "confirmed on"}


def _share(share: float, n: int) -> tuple[int, int]:
    fitted = round(share * n)
    return fitted, fitted


def _number(number: int, n: int) -> tuple[int, int]:
    fitted = min(number, n // 2)
    return fitted, fitted


RULES: dict[str, Callable[[int], tuple[int, int]]] = {
    "none, raw confidence": lambda _: (0, 0),
    **{f"{share:g}": partial(_share, share) for share in (0.1, 0.15, 0.2, 0.25, 0.33, 0.5)},
    **{f"{number:,} tickets": partial(_number, number) for number in (50, 200, 1000)},
    OWN: lambda n: (fitted_part(n),) * 2,
    SHARED: lambda n: (n, 0),
}
"""n labelled tickets -> so many of them fit, and from which on they certify."""


@dataclass(frozen=True)
class Source:
    """Log-scores of tickets and their true categories.

    Attributes:
        kind: "LLM" or "lexical".
        half: 0: the rule was chosen on it; 1: it confirms.
        logs: Shape (N, K).
        gold: Shape (N,).
    """

    name: str
    kind: str
    half: int
    logs: Floats
    gold: Integers


def models(folder: Path) -> Iterator[Source]:
    """The files with scores of all options."""
    paths = [path for path in sorted(folder.rglob("*.csv")) if "logit_" in path.read_text(encoding="utf-8").partition("\n")[0]]
    for place, path in enumerate(paths):
        logits, gold = with_logits(path)
        yield Source(path.stem, "LLM", place % 2, log_softmax(logits, axis=1), gold)


def lexical(folder: Path, half: int, rng: np.random.Generator) -> Iterator[Source]:
    """The embedded engine with few and with many examples, and what it says of tickets that are not among them."""
    train, dev = read(folder / "train.csv"), read(folder / "dev.csv")
    mixed = [train[place] for place in rng.permutation(len(train))]
    seen: defaultdict[str, int] = defaultdict(int)
    few: list[Example] = []
    rest: list[Example] = []
    for example in mixed:
        (few if seen[example.category] < FEW else rest).append(example)
        seen[example.category] += 1
    middle = len(mixed) // 2
    for name, examples, others in (("few", few, rest), ("many", mixed[:middle], mixed[middle:])):
        yield _scored(f"{folder.name}, {name} examples", half, examples, [*dev, *others])


def _scored(name: str, half: int, examples: Sequence[Example], tickets: Sequence[Example]) -> Source:
    taxonomy = Taxonomy.from_labels(sorted({example.category for example in [*examples, *tickets]}))
    known = {folded(example.text) for example in examples}
    fresh = [ticket for ticket in tickets if folded(ticket.text) not in known][:MOST_TICKETS]
    engine = LexicalBackend(taxonomy, examples)
    engine.fit()
    column = {leaf.id: place for place, leaf in enumerate(taxonomy.leaves)}
    logs = np.asarray(engine.log_scores([ticket.text for ticket in fresh]), np.float64)
    return Source(name, "lexical", half, logs, np.array([column[ticket.category] for ticket in fresh]))


# -- drawing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """What a calibrator says of all tickets of a source; log loss and debiased ECE on those that did not fit it."""

    score: Floats
    loss: Floats
    outputs: Outputs
    log_loss: float
    ece: float


def judged(source: Source, fitting: Integers) -> Judged:
    """Fit on these tickets; on none: the engine's own confidence."""
    logs = source.logs
    if len(fitting):
        logs = selected(logs[fitting], source.gold[fitting]).calibrator.predict_log_proba(logs)  # type: ignore[union-attr]
    score, loss = np.minimum(np.exp(logs.max(axis=1)), 1.0), (logs.argmax(axis=1) != source.gold).astype(float)
    fresh = np.delete(np.arange(len(score)), fitting)
    of_gold = np.maximum(logs[fresh, source.gold[fresh]], math.log(FLOOR))
    return Judged(
        score, loss, ordered(source.name, score, loss), -float(of_gold.mean()), ece_debiased(score[fresh], 1 - loss[fresh])
    )


class Key(NamedTuple):
    """What a list of numbers is, one of each draw.

    Attributes:
        figure: "coverage" as a part of what the best threshold accepts, "broken", "log loss" or "debiased ECE".
        alpha: 0 where a figure knows none.
    """

    figure: str
    rule: str
    n: int
    alpha: float
    source: str


Found = dict[Key, list[float]]


def measured(sources: Sequence[Source], options: argparse.Namespace) -> Found:
    """All rules on the same draws; a smaller sample is the beginning of a larger one."""
    found: Found = defaultdict(list)
    for number, source in enumerate(sources):
        rng = np.random.default_rng([options.seed, number])
        many = rng.permutation(len(source.gold))[: min(ORACLE_FITTED, len(source.gold) // 2)]
        oracle = judged(source, many).outputs
        for _ in range(options.draws):
            _draw(found, source, oracle, rng.integers(0, len(source.gold), max(options.sizes)), options)
        print(f"{number + 1} of {len(sources)}: {source.name}", flush=True)
    return found


def _draw(found: Found, source: Source, oracle: Outputs, drawn: Integers, options: argparse.Namespace) -> None:
    fits = cache(lambda fitted: judged(source, drawn[:fitted]))
    for n in options.sizes:
        for rule in options.rules:
            fitted, start = RULES[rule](n)
            by = fits(fitted)
            found[Key("log loss", rule, n, 0, source.name)].append(by.log_loss)
            found[Key("debiased ECE", rule, n, 0, source.name)].append(by.ece)
            for alpha in options.alphas:
                accepted, risk = by.outputs.accepted(promised(by, drawn[start:n], alpha))
                found[Key("broken", rule, n, alpha, source.name)].append(risk > alpha)
                if (best := oracle.best(alpha)) > LEAST_ORACLE:
                    found[Key("coverage", rule, n, alpha, source.name)].append(accepted / best)


def promised(by: Judged, certifying: Integers, alpha: float) -> float:
    """The threshold that these tickets allow."""
    return certify(by.score[certifying], by.loss[certifying], alpha, DELTA).threshold


# -- the same labels for both, in a world where it matters -----------------------------------------


class World(NamedTuple):
    """Labels, categories, and the error that is allowed."""

    n: int = 200
    categories: int = 40
    alpha: float = 0.1

    def source(self, rng: np.random.Generator) -> Source:
        """Once its leaning to some categories is mended, the engine errs on all tickets alike, a little more often than is allowed."""
        gold = rng.integers(0, self.categories, MOST_TICKETS)
        wrong = rng.random(MOST_TICKETS) < 1.05 * self.alpha
        other = (gold + rng.integers(1, self.categories, MOST_TICKETS)) % self.categories
        logs = rng.normal(0, 0.5, (MOST_TICKETS, self.categories)) + rng.normal(0, 3, self.categories)
        logs[np.arange(MOST_TICKETS), np.where(wrong, other, gold)] += 6
        return Source("made up", "world", 0, logs, gold)


WORLD = World()


def shared_labels(draws: int, seed: int) -> dict[str, float]:
    """How often the promise is broken there: rule -> share of draws."""
    broken_by: dict[str, list[bool]] = {OWN: [], SHARED: []}
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        source = WORLD.source(rng)
        drawn = rng.integers(0, MOST_TICKETS, WORLD.n)
        for rule, seen in broken_by.items():
            fitted, start = RULES[rule](WORLD.n)
            by = judged(source, drawn[:fitted])
            seen.append(by.outputs.accepted(promised(by, drawn[start:], WORLD.alpha))[1] > WORLD.alpha)
    return {rule: float(np.mean(seen)) for rule, seen in broken_by.items()}


# -- the page --------------------------------------------------------------------------------------

KINDS = ("LLM", "lexical")
OWN_RULE = f"{FITTED_SHARE:.0%}, at least {LEAST_TICKETS}, at most {MOST_FITTED:,}, never more than half"


def means(found: Found, figure: str, rule: str, sources: Sequence[Source], **where: float) -> Floats:
    """The mean of each draw over these sources and all n and alphas, or those named; empty: there is nothing to tell."""
    names = {source.name for source in sources}
    rows = [
        values
        for key, values in found.items()
        if key.figure == figure and key.rule == rule and key.source in names
        if all(getattr(key, name) == value for name, value in where.items())
    ]
    return np.mean(rows, axis=0) if rows else np.empty(0)


def summary(found: Found, sources: Sequence[Source], options: argparse.Namespace) -> Iterator[str]:
    """Each rule less the library's own, draw by draw: means over all sources, n and alphas, with standard errors."""
    figures = [(figure, half) for figure in ("coverage", "log loss") for half in HALVES]
    yield f"| less {OWN} | {' | '.join(f'{figure}, {HALVES[half]}' for figure, half in figures)} |"
    yield f"|---|{'---|' * len(figures)}"
    for rule in options.rules:
        cells = []
        for figure, half in figures:
            those = [source for source in sources if source.half == half]
            cells.append(_gap(means(found, figure, rule, those) - means(found, figure, OWN, those)))
        yield f"| {rule} | {' | '.join(cells)} |"


def _gap(values: Floats) -> str:
    return f"{values.mean():+.3f} ± {values.std(ddof=1) / math.sqrt(len(values)):.3f}" if len(values) > 1 else "-"


def table(found: Found, figure: str, sources: Sequence[Source], options: argparse.Namespace) -> Iterator[str]:
    """One figure: a row a rule, a column an n; in each cell the LLMs' mean and the embedded engine's."""
    yield f"| {figure} | {' | '.join(f'n = {n:,}' for n in options.sizes)} |"
    yield f"|---|{'---|' * len(options.sizes)}"
    for rule in options.rules:
        yield f"| {rule} | {' | '.join(_cell(found, figure, rule, sources, n) for n in options.sizes)} |"


def _cell(found: Found, figure: str, rule: str, sources: Sequence[Source], n: int) -> str:
    kinds = ([source for source in sources if source.kind == kind] for kind in KINDS)
    told = (means(found, figure, rule, those, n=n) for those in kinds)
    return "; ".join(f"{values.mean():.3f}" if len(values) else "-" for values in told)


def broken(found: Found, sources: Sequence[Source], options: argparse.Namespace) -> Iterator[str]:
    """Shares of broken promises: over all sources and n, and the worst source and n."""
    yield f"| broken promises | {' | '.join(f'alpha {alpha:g}' for alpha in options.alphas)} |"
    yield f"|---|{'---|' * len(options.alphas)}"
    for rule in options.rules:
        cells = []
        for alpha in options.alphas:
            shares = [np.mean(found[Key("broken", rule, n, alpha, one.name)]) for n in options.sizes for one in sources]
            cells.append(f"{np.mean(shares):.3f} (worst {max(shares):.2f})")
        yield f"| {rule} | {' | '.join(cells)} |"


def tables(found: Found, sources: Sequence[Source], options: argparse.Namespace) -> str:
    """All tables of one half of the sources."""
    of = [table(found, figure, sources, options) for figure in ("coverage", "log loss", "debiased ECE")]
    return "\n\n".join("\n".join(lines) for lines in (*of, broken(found, sources, options)))


TEMPLATE = """\
# Which labels fit the calibrator, measured

Command:

```
{command}
```

{date}; {cores} cores, Python {python}, numpy {numpy}; {seconds:.0f} s. {draws} draws of each source; promises with delta {delta}.

Rows: how many of n labelled tickets fit the calibrator: a share of them, or a number (at most half); the promise is made on the others.
**llmtriage** is the rule in use: {rule}. "None" certifies the engine's own first choice and confidence
on all labels. "All for both" fits and certifies on the same labels, which keeps no promise (last section). In cells with two numbers
the first is the mean over outputs of LLMs ({options_of} options), the second over the embedded engine's ({categories} categories).

- Coverage: accepted tickets, as a part of what the best threshold would accept with a calibrator fitted on up to {oracle:,} tickets; mean
  over alpha {alphas}, where that is more than {least:.0%} of the tickets.
- Log loss in nats, and debiased ECE, on tickets that did not fit the calibrator.

{chosen_on}: {chosen}.

{confirmed_on}: {confirmed}.

## All rules beside the one in use

{summary}

## {chosen_on}

{first}

## {confirmed_on}

{second}

## The same labels for both

A calibrator that is fitted on the labels that certify moves just those of them that are wrong towards the end of the list. A made-up world
in which that matters: {world_n} labels, {world_k} categories, an engine that leans strongly to some of them and, once that is mended, errs on
all tickets alike, with 1.05 alpha (alpha {world_alpha}). Broken promises in {world_draws} draws, where {delta:.0%} are allowed: {world}.
"""


def page(found: Found, sources: Sequence[Source], options: argparse.Namespace, seconds: float) -> str:
    """The whole page."""
    halves = [[source for source in sources if source.half == half] for half in HALVES]
    widths = {kind: sorted({source.logs.shape[1] for source in sources if source.kind == kind}) for kind in KINDS}
    folders = " ".join(folder.name for folder in [options.folder, *options.labelled])
    shared = shared_labels(options.world_draws, options.seed)
    return TEMPLATE.format(
        command=f"python benchmarks/parts.py {folders} --write",
        date=datetime.now(tz=UTC).date().isoformat(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        numpy=np.__version__,
        seconds=seconds,
        draws=options.draws,
        delta=DELTA,
        rule=OWN_RULE,
        options_of=_listed(widths["LLM"]),
        categories=_listed(widths["lexical"]),
        oracle=ORACLE_FITTED,
        alphas=_listed(options.alphas),
        least=LEAST_ORACLE,
        chosen_on=HALVES[0].capitalize(),
        confirmed_on=HALVES[1].capitalize(),
        chosen="; ".join(source.name for source in halves[0]),
        confirmed="; ".join(source.name for source in halves[1]),
        summary="\n".join(summary(found, sources, options)),
        first=tables(found, halves[0], options),
        second=tables(found, halves[1], options),
        world_n=WORLD.n,
        world_k=WORLD.categories,
        world_alpha=WORLD.alpha,
        world_draws=options.world_draws,
        world=", ".join(f"{rule} {share:.2f}" for rule, share in shared.items()),
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"


def arguments() -> argparse.Namespace:
    """What is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="LLM-OUTPUTS")
    parser.add_argument("labelled", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--world-draws", type=int, default=100, help="of the made-up world")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--alphas", type=float, nargs="+", default=ALPHAS)
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    start = time.perf_counter()
    labelled = [
        source
        for place, folder in enumerate(options.labelled)
        for source in lexical(folder, place % 2, np.random.default_rng([options.seed, place]))
    ]
    sources = [*models(options.folder), *labelled]
    if not sources:
        raise SystemExit(f"{options.folder} holds no CSV files with scores of options")
    found = measured(sources, options)
    text = page(found, sources, options, time.perf_counter() - start)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
