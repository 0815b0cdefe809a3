"""Evaluations to be drawn and shown, from the usual to the odd."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import numpy as np

from llmtriage.calibration import Calibration, Labels, Promise
from llmtriage.evaluation import Curves, Judged, Report, evaluate, measured_curves, report_html
from llmtriage.outcomes import Accepted, Pending, Reason
from llmtriage.predictions import Prediction, Scores, SingleLabel
from llmtriage.probability.calibrators import ConfidenceCalibrator
from llmtriage.probability.certificate import certify
from llmtriage.taxonomy import Category, Taxonomy

HOSTILE = (
    "<script>alert(1)</script> \x1b[2J\u202e\u2066 ' \" onerror=x <img src=http://evil.example/x> $x^2$ {{ 7*7 }} ]]>\r\n-->"
)
LONG = "a" * 200
MADE = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """What a page is made of."""

    report: Report
    curves: Curves
    calibration: Calibration | None = None

    def page(self, **options: Any) -> str:
        """The page."""
        return report_html(self.report, self.curves, calibration=self.calibration, **options)


def tree(n: int) -> Taxonomy:
    """So many leaves, the last of them the catch-all."""
    names = [f"category_{i}" for i in range(n - 1)]
    return Taxonomy(categories=(*(Category(id=name) for name in names), Category(id="other", catch_all=True)))


def calibrated(*certificates: tuple[str, Any], outside: int = 3) -> Calibration:
    """A calibration that makes these promises, each about some answers."""
    numbers = np.linspace(0, 1, 80)
    promises = tuple(
        Promise(
            categories=tuple(names.split()),
            alpha=found.alpha,
            delta=found.delta,
            threshold=found.threshold,
            n=found.n,
            accepted=found.accepted,
            errors=found.errors,
            wrong_at=found.wrong_at,
            need=found.boundary.need,
            crossing=found.boundary.crossing,
        )
        for names, found in certificates
    )
    return Calibration(
        words="",
        made=date(2026, 1, 2),
        by="0.1.0",
        answer="leaf",
        calibrator=ConfidenceCalibrator().fit(numbers, numbers > 0.4).to_dict(),
        calibrated=True,
        promises=promises,
        delta=0.1,
        labels=Labels(file="labelled.csv", drawn="uniform", n=400, left_out=1, fitted=100, certified=299, outside=outside),
        contract={},
    )


def drawn(
    n: int, leaves: Taxonomy, *, seed: int = 0, threshold: float | None = 0.8, numbers: bool = True, calibrated: bool = False
) -> list[Judged]:
    """Tickets of an engine whose confidence is nearly true."""
    random, names, found = np.random.default_rng(seed), [leaf.id for leaf in leaves.leaves], []
    for i in range(n):
        sure = float(random.beta(4, 1.3))
        gold = str(random.choice(names))
        said = gold if random.random() < sure else str(random.choice(names))
        answer = SingleLabel(category=said, score=sure if numbers else None)
        prediction = Prediction(answer=answer, source="verbalized", model="m")
        number: dict[str, Any] = {"score": sure if numbers else None, "prediction": prediction}
        if calibrated:
            number |= {"confidence": sure, "calibrated": True}
        held = () if i % 9 else (Reason(code="always_review"),)
        if threshold is not None and sure >= threshold and not held and numbers:
            outcome: Any = Accepted(category=said, team=None, **{"confidence": None, **number})
        else:
            outcome = Pending(suggestion=said, reasons=held or (Reason(code="below_threshold"),), **number)
        found.append(Judged(gold=gold, outcome=outcome, text=f"ticket {i}: where is my order?"))
    return found


def case(judged: list[Judged], leaves: Taxonomy, calibration: Calibration | None = None, **facts: Any) -> Case:
    """Judged tickets, measured."""
    report = evaluate(judged, leaves, calibration=calibration, **facts)
    return Case(report, measured_curves(judged, leaves, report, calibration=calibration), calibration)


def promise(n: int = 400, alpha: float = 0.1, seed: int = 1) -> Any:
    """A certificate on labelled tickets like those of `drawn`."""
    random = np.random.default_rng(seed)
    sure = random.beta(4, 1, n)
    return certify(sure, (random.random(n) > sure**0.6).astype(int), alpha)


@cache
def usual() -> Case:
    """With a promise that is kept or not, and all that a run tells."""
    leaves, calibration = tree(8), calibrated(("category_0", promise()))
    settings = {"threshold": 0.9, "alpha": 0.1, "delta": 0.1, "file": "new.csv", "examples": 40}
    baselines = {"majority": 0.2, "linear_svm": 0.6}
    return case(
        drawn(300, leaves, threshold=0.9, calibrated=True),
        leaves,
        calibration,
        settings=settings,
        baselines=baselines,
        backend="vllm:/models/private/qwen@http://localhost:8000/v1?key=sk-secret",
        run="0123456789abcdef",
        prompt_hash="fedcba9876543210",
        seconds=3.0,
    )


NAMES = ("usual", "no calibration", "nothing accepted", "no numbers", "no answers", "one ticket", "77 categories", "hostile")
"""Of `cases`: what is odd about each."""


@cache
def cases() -> dict[str, Case]:
    """By their `NAMES`."""
    one, many = Taxonomy.from_labels(["a"]), tree(77)
    hostile = Taxonomy.from_labels(["<script>x</script>", LONG, "物流查询", "$a$ & 'b'"])
    names = [leaf.id for leaf in hostile.leaves]
    tickets = [
        Judged(
            gold=gold,
            outcome=Pending(
                suggestion=said,
                reasons=(Reason(code="below_threshold"),),
                prediction=Prediction(answer=SingleLabel(category=said, score=0.5), source="votes", model="m"),
            ),
            text=HOSTILE,
        )
        for gold, said in [(names[0], names[1]), (names[1], names[0]), (names[2], names[3]), (names[3], names[3])]
    ]
    unanswered = [
        Judged(gold="a", outcome=Pending(suggestion=None, reasons=(Reason(code="timeout"),)), text="") for _ in range(3)
    ]
    scored = Prediction(answer=Scores(values=np.zeros(1)), source="logprobs", model="m")
    single = Judged(gold="a", outcome=Accepted(category="a", team=None, confidence=None, score=1.0, prediction=scored), text="x")
    two = (("category_0 category_1", promise(seed=2)), ("other", promise(n=90, alpha=0.2, seed=3)))
    return {
        "usual": usual(),
        "no calibration": case(drawn(120, tree(5)), tree(5), settings={"threshold": 0.8, "file": "x.csv"}),
        "nothing accepted": case(drawn(120, tree(5), threshold=None), tree(5), settings={"threshold": None}),
        "no numbers": case(drawn(60, tree(5), numbers=False), tree(5)),
        "no answers": case(unanswered, one),
        "one ticket": case([single], one),
        "77 categories": case(drawn(900, many, calibrated=True), many, calibrated(*two, outside=0), settings={"alpha": 0.2}),
        "hostile": case(
            tickets, hostile, settings={"file": HOSTILE, HOSTILE: HOSTILE}, backend=HOSTILE, baselines={HOSTILE: 0.5}
        ),
    }


def page_of(name: str, language: str = "en") -> str:
    """The page of one of them, made once."""
    return _pages(name, language)


@cache
def _pages(name: str, language: str) -> str:
    return cases()[name].page(language=language, made=MADE)
