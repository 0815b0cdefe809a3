"""What holds for every figure: reference values, the order of rows, refused input, documented examples."""

from __future__ import annotations

import doctest
import importlib
import math
import pkgutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability.worked import (
    BY_CONFIDENCE,
    BY_DISTRIBUTION,
    BY_LABEL,
    TWELVE,
    TWELVE_GOLD,
    TWELVE_ROWS,
    TWELVE_TOP,
    TWENTY,
    TWENTY_AGAIN,
    Confident,
    Figure,
    confident,
    labelled,
    shuffled,
)

from llmtriage.errors import InputError
from llmtriage.probability import metrics

NAN, INF = math.nan, math.inf


def cost(columns: tuple[Any, Any]) -> float:
    """Of accepting from 0.8 on, an error as dear as twenty reviews."""
    return metrics.expected_cost(columns[0] >= 0.8, columns[1], error=20, review=1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(metrics.log_loss(TWELVE_ROWS, TWELVE_GOLD), 0.6729990931, id="log loss"),
        pytest.param(metrics.brier(TWELVE_ROWS, TWELVE_GOLD), 0.36695, id="Brier"),
        pytest.param(metrics.macro_f1(TWELVE_GOLD, TWELVE_TOP), 0.7590909091, id="macro F1"),
        pytest.param(metrics.weighted_f1(TWELVE_GOLD, TWELVE_TOP), 0.7530303030, id="weighted F1"),
        pytest.param(metrics.balanced_accuracy(TWELVE_GOLD, TWELVE_TOP), 0.7388888889, id="balanced accuracy"),
        pytest.param(metrics.accuracy(TWELVE_GOLD, TWELVE_TOP), 0.75, id="accuracy"),
        pytest.param(metrics.wilson(9, 12), (0.4676946651, 0.9110583316), id="Wilson, 12"),
        pytest.param(metrics.wilson(13, 20), (0.4328542767, 0.8188081759), id="Wilson, 20"),
        pytest.param(metrics.clopper_pearson(9, 12), (0.4281415381, 0.9451393555), id="Clopper-Pearson, 12"),
        pytest.param(metrics.clopper_pearson(13, 20), (0.4078114655, 0.8460907952), id="Clopper-Pearson, 20"),
        pytest.param(metrics.top_brier(*TWELVE), 0.1671333333, id="top Brier, 12"),
        pytest.param(metrics.top_brier(*TWENTY), 0.1996650000, id="top Brier, 20"),
        pytest.param(metrics.top_log_loss(*TWELVE), 0.4997122979, id="top log loss, 12"),
        pytest.param(metrics.top_log_loss(*TWENTY), 0.5985644462, id="top log loss, 20"),
        pytest.param(metrics.ece(*TWELVE, bins=5, by="width"), 0.1466666667, id="ECE width, 12"),
        pytest.param(metrics.ece(*TWENTY, bins=5, by="width"), 0.1375000000, id="ECE width, 20"),
        pytest.param(metrics.ece(*TWELVE, bins=5), 0.1466666667, id="ECE mass, 12"),
        pytest.param(metrics.ece(*TWENTY, bins=5), 0.1645000000, id="ECE mass, 20"),
        pytest.param(metrics.ece_debiased(*TWELVE, bins=5), 0.0737143898, id="ECE debiased, 12"),
        pytest.param(metrics.ece_debiased(*TWENTY, bins=5), 0.1135129174, id="ECE debiased, 20"),
        pytest.param(metrics.rmsce2_debiased(*TWELVE, bins=5), -0.0414194444, id="RMSCE², 12"),
        pytest.param(metrics.rmsce2_debiased(*TWENTY, bins=5), -0.0080254167, id="RMSCE², 20"),
        pytest.param(metrics.smooth_ece(*TWELVE), 0.1023337140, id="smooth ECE, 12"),
        pytest.param(metrics.smooth_ece(*TWENTY), 0.1075000000, id="smooth ECE, 20"),
        pytest.param(metrics.murphy(*TWELVE, bins=5), (0.028025, 0.0625, 0.1875, 0.0141083333), id="Murphy, 12"),
        pytest.param(metrics.murphy(*TWENTY, bins=5), (0.04614125, 0.065, 0.2275, -0.00897625), id="Murphy, 20"),
        pytest.param(metrics.isotonic_split(*TWELVE), (0.0421333333, 0.0625, 0.1875), id="MCB DSC UNC, 12"),
        pytest.param(metrics.isotonic_split(*TWENTY), (0.0449030952, 0.0727380952, 0.2275), id="MCB DSC UNC, 20"),
        pytest.param(metrics.auroc(*TWELVE), 0.7777777778, id="AUROC, 12"),
        pytest.param(metrics.auroc(*TWENTY), 0.7417582418, id="AUROC, 20"),
        pytest.param(metrics.augrc(*TWELVE), 0.0729166667, id="AUGRC, 12"),
        pytest.param(metrics.augrc(*TWENTY), 0.1200000000, id="AUGRC, 20"),
        pytest.param(metrics.aurc(*TWELVE), 0.1005711881, id="AURC, 12"),
        pytest.param(metrics.aurc(*TWENTY), 0.1965215521, id="AURC, 20"),
        pytest.param(metrics.e_aurc(*TWELVE), 0.0562530063, id="E-AURC, 12"),
        pytest.param(metrics.e_aurc(*TWENTY), 0.1179653884, id="E-AURC, 20"),
        pytest.param(metrics.coverage_at_risk(*TWELVE, 0.05), (0.5, 0.7), id="coverage at .05, 12"),
        pytest.param(metrics.coverage_at_risk(*TWELVE, 0.10), (0.5, 0.7), id="coverage at .10, 12"),
        pytest.param(metrics.coverage_at_risk(*TWELVE, 0.20), (0.8333333333, 0.5), id="coverage at .20, 12"),
        pytest.param(metrics.coverage_at_risk(*TWENTY, 0.05), (0.2, 0.95), id="coverage at .05, 20"),
        pytest.param(metrics.coverage_at_risk(*TWENTY, 0.10), (0.2, 0.95), id="coverage at .10, 20"),
        pytest.param(metrics.coverage_at_risk(*TWENTY, 0.20), (0.55, 0.8), id="coverage at .20, 20"),
        pytest.param(cost(TWELVE), 0.6666666667, id="cost, 12"),
        pytest.param(cost(TWENTY), 2.45, id="cost, 20"),
        pytest.param(metrics.mcnemar(1, 4), 0.375, id="McNemar"),
        pytest.param(metrics.mcnemar_mid_p(1, 4), 0.21875, id="McNemar mid-p"),
        pytest.param(metrics.paired_bootstrap(TWENTY[1], TWENTY_AGAIN, least=20), (-0.05, 0.35), id="paired bootstrap"),
        pytest.param(
            np.quantile(metrics.ece_null(TWENTY[0], bins=5), [0.05, 0.5, 0.95]), (0.06725, 0.1425, 0.2325), id="ECE null band"
        ),
    ],
)
def test_reference_values(value: Any, expected: Any) -> None:
    """Each figure has, to ten digits, the value that two independent ways of computing it agreed on."""
    assert value == pytest.approx(expected, abs=5.1e-11)


@settings(max_examples=25, deadline=None)
@given(confident, labelled, st.integers(0, 9))
def test_the_order_of_rows_does_not_matter(columns: Confident, labels: Any, seed: int) -> None:
    """Ties or not, every figure is the same for shuffled rows."""
    for figures, rows in ((BY_CONFIDENCE, columns), (BY_LABEL, labels)):
        for name, figure in figures.items():
            found, again = figure(*rows), figure(*shuffled(rows, seed))
            if name == "isotonic map":
                found, again = np.sort(found), np.sort(again)
            same(again, found)
    confidence, correct = shuffled(columns, seed)
    assert metrics.ece_check(confidence, correct, draws=20) == pytest.approx(metrics.ece_check(*columns, draws=20))


def same(one: Any, other: Any) -> None:
    """Numbers, arrays or tuples of them, equal up to rounding."""
    if isinstance(one, tuple):
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif one is None or other is None:
        assert one is other
    else:
        np.testing.assert_allclose(one, other, atol=1e-12)


EMPTY = [
    *(pytest.param(figure, ([], []), name, id=name) for name, figure in (BY_CONFIDENCE | BY_LABEL).items()),
    *(pytest.param(figure, (np.zeros((0, 2)), []), name, id=name) for name, figure in BY_DISTRIBUTION.items()),
    pytest.param(metrics.ece_null, ([],), "ECE null band", id="ECE null band"),
    pytest.param(metrics.ece_check, ([], []), "ECE", id="ECE check"),
    pytest.param(metrics.wilson, (0, 0), "Wilson interval", id="Wilson"),
    pytest.param(metrics.clopper_pearson, (0, 0), "Clopper-Pearson interval", id="Clopper-Pearson"),
    pytest.param(metrics.paired_bootstrap, ([], []), "paired bootstrap", id="paired bootstrap"),
    pytest.param(metrics.bootstrap_interval, (len, []), "bootstrap interval", id="bootstrap"),
    pytest.param(lambda a, b: metrics.expected_cost(a, b, error=1, review=1), ([], []), "expected cost", id="expected cost"),
    pytest.param(metrics.error_costs, ([], [], [[0]]), "error costs", id="error costs"),
]


@pytest.mark.parametrize(("figure", "arguments", "name"), EMPTY)
def test_no_tickets_no_figure(figure: Figure, arguments: tuple[Any, ...], name: str) -> None:
    """Empty input is an error that names the figure."""
    with pytest.raises(InputError, match=f"^{name}.*there are no tickets"):
        figure(*arguments)


@pytest.mark.parametrize(("name", "figure"), BY_CONFIDENCE.items(), ids=list(BY_CONFIDENCE))
@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(([1.1], [1]), id="above 1"),
        pytest.param(([-0.1], [1]), id="below 0"),
        pytest.param(([NAN], [1]), id="NaN"),
        pytest.param(([INF], [1]), id="infinite"),
        pytest.param(([None], [1]), id="nothing"),
        pytest.param((["high"], [1]), id="a word"),
        pytest.param(([0.5], [2]), id="neither right nor wrong"),
        pytest.param(([0.5], [NAN]), id="right or wrong unknown"),
        pytest.param(([0.5, 0.5], [1]), id="lengths differ"),
        pytest.param(([[0.5]], [[1]]), id="a table for a column"),
        pytest.param(([[0.5], [0.1, 0.2]], [1, 0]), id="ragged"),
        pytest.param((0.5, 1), id="a number for a column"),
    ],
)
def test_unusable_confidences_are_refused(name: str, figure: Figure, columns: tuple[Any, Any]) -> None:
    """By every figure, in one line that names it; never a silent number."""
    with pytest.raises(InputError, match=f"^{name}: "):
        figure(*columns)


@pytest.mark.parametrize(("name", "figure"), BY_LABEL.items(), ids=list(BY_LABEL))
@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(([-1], [0]), id="no true category"),
        pytest.param(([0], [-2]), id="prediction below -1"),
        pytest.param(([0.5], [0]), id="no whole number"),
        pytest.param(([0], [NAN]), id="NaN"),
        pytest.param((["a"], ["b"]), id="names"),
        pytest.param(([0, 1], [0]), id="lengths differ"),
        pytest.param(([[0]], [[0]]), id="a table for a column"),
    ],
)
def test_unusable_labels_are_refused(name: str, figure: Figure, columns: tuple[Any, Any]) -> None:
    """By every figure, in one line that names it."""
    with pytest.raises(InputError, match=f"^{name}: "):
        figure(*columns)


@pytest.mark.parametrize(("name", "figure"), BY_DISTRIBUTION.items(), ids=list(BY_DISTRIBUTION))
@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(([[0.5, 0.6]], [0]), id="sum is not 1"),
        pytest.param(([[0.5, 0.500002]], [0]), id="sum is hardly 1"),
        pytest.param(([[NAN, 1.0]], [0]), id="NaN"),
        pytest.param(([[INF, 0.0]], [0]), id="infinite"),
        pytest.param(([[1.5, -0.5]], [0]), id="negative"),
        pytest.param(([["x", "y"]], [0]), id="words"),
        pytest.param(([[1.0], [0.5, 0.5]], [0, 0]), id="ragged"),
        pytest.param(([[0.5, 0.5]], [2]), id="category without a column"),
        pytest.param(([[0.5, 0.5]], [-1]), id="category below 0"),
        pytest.param(([[0.5, 0.5]], [0.0]), id="category no whole number"),
        pytest.param(([0.5, 0.5], [0, 1]), id="a column for a table"),
        pytest.param(([[0.5, 0.5]], [0, 1]), id="lengths differ"),
        pytest.param((np.zeros((1, 0)), [0]), id="no categories"),
    ],
)
def test_unusable_distributions_are_refused(name: str, figure: Figure, columns: tuple[Any, Any]) -> None:
    """By every figure, in one line that names it."""
    with pytest.raises(InputError, match=f"^{name}: "):
        figure(*columns)


def test_documented_examples_run() -> None:
    """Every public figure has an example, and each gives what it says."""
    names = [module.name for module in pkgutil.iter_modules(metrics.__path__)]
    modules = [importlib.import_module(f"llmtriage.probability.metrics.{name}") for name in names]
    results = [doctest.testmod(module) for module in modules]
    assert sum(result.failed for result in results) == 0
    functions = [value for name in metrics.__all__ if type(value := getattr(metrics, name)).__name__ == "function"]
    without = [function.__name__ for function in functions if ">>>" not in (function.__doc__ or "")]
    assert without == ["mean_interval"]


def test_probability_knows_no_other_room() -> None:
    """Importing the figures loads nothing of this library but its errors."""
    code = "import sys, llmtriage.probability.metrics; print(*sorted(m for m in sys.modules if m.startswith('llmtriage.')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.removeprefix("llmtriage.").partition(".")[0] for name in run.stdout.split()}
    assert rooms == {"errors", "probability"}
