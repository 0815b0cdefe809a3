"""The numbers behind the plots: agreement with plain loops and scipy, and laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability.worked import TWENTY, Confident, confident
from scipy import stats

from llmtriage.errors import InputError
from llmtriage.probability import metrics


@settings(max_examples=60, deadline=None)
@given(confident)
def test_blocks_are_the_isotonic_map(columns: Confident) -> None:
    """Every ticket lies in one block, which maps it as `isotonic` does; blocks rise and do not touch."""
    blocks, mapped = metrics.isotonic_blocks(*columns), metrics.isotonic(*columns)
    for c, share in zip(columns[0], mapped, strict=True):
        [place] = np.flatnonzero((blocks.low <= c) & (c <= blocks.high))
        assert blocks.share[place] == pytest.approx(share, abs=1e-9)
    assert (blocks.low <= blocks.high).all()
    assert (blocks.high[:-1] < blocks.low[1:]).all()
    assert (np.diff(blocks.share) > 0).all()


@settings(max_examples=30, deadline=None)
@given(confident, st.integers(1, 20), st.sampled_from(["mass", "width"]))
def test_the_band_stands_at_the_dots(columns: Confident, bins: int, by: metrics.By) -> None:
    """One interval a dot, in [0, 1]; narrower for a lower level; the order of rows does not matter."""
    dots = metrics.reliability_bins(*columns, bins=bins, by=by)
    wide, narrow = (metrics.reliability_band(columns[0], bins=bins, by=by, draws=50, level=level) for level in (0.95, 0.5))
    assert wide.confidence == pytest.approx(dots.confidence)
    assert (wide.low >= 0).all()
    assert (wide.low <= narrow.low).all()
    assert (narrow.low <= narrow.high).all()
    assert (narrow.high <= wide.high).all()
    assert (wide.high <= 1).all()
    again = metrics.reliability_band(columns[0][::-1], bins=bins, by=by, draws=50)
    assert (again.low.tolist(), again.high.tolist()) == (wide.low.tolist(), wide.high.tolist())


@pytest.mark.parametrize(("n", "near"), [(400, 0.005), (200_000, 0.0005)])
def test_the_band_of_one_confidence_is_binomial(n: int, near: float) -> None:
    """The ends are quantiles of a binomial share, as far as 1,000 draws tell; so many tickets that they are drawn together, too."""
    band = metrics.reliability_band([0.8] * n)
    ends = [float(stats.binom.ppf(tail, n, 0.8)) / n for tail in (0.025, 0.975)]
    assert [band.low.item(), band.high.item()] == pytest.approx(ends, abs=near)


def test_a_perfect_model_lies_in_the_band() -> None:
    """Of its dots about 19 in 20; of one that is too sure few."""
    random = np.random.default_rng(1)
    confidence = random.random((40, 600))
    inside = {power: np.mean([_inside(row, random.random(600) < row**power) for row in confidence]) for power in (1, 3)}
    assert inside[1] == pytest.approx(0.95, abs=0.03)
    assert inside[3] < 0.5


def _inside(confidence: np.ndarray, right: np.ndarray) -> float:
    dots, band = metrics.reliability_bins(confidence, right), metrics.reliability_band(confidence, draws=300)
    return float(np.mean((dots.accuracy >= band.low) & (dots.accuracy <= band.high)))


@settings(max_examples=60, deadline=None)
@given(confident, st.integers(1, 30))
def test_the_histogram_counts_every_ticket_once(columns: Confident, bars: int) -> None:
    """As a loop over its bars does."""
    edges, right, wrong = metrics.confidence_histogram(*columns, bars=bars)
    assert edges.tolist() == [j / bars for j in range(bars + 1)]
    for ok, counts in ((True, right), (False, wrong)):
        held = [c for c, is_right in zip(*columns, strict=True) if is_right == ok]
        plain = [sum((low < c or low == c == 0) and c <= high for c in held) for low, high in itertools.pairwise(edges)]
        assert counts.tolist() == plain


@settings(max_examples=60, deadline=None)
@given(confident, st.integers(0, 9))
def test_the_risk_band_is_clopper_pearson_at_each_point(columns: Confident, held: int) -> None:
    """Around the risk-coverage curve; tickets held back only count in the coverage; no order of the answers is below the best one."""
    curve, band = metrics.risk_coverage(*columns), metrics.risk_band(*columns, held=held)
    n, right = len(columns[0]), sum(columns[1])
    assert band.coverage == pytest.approx(curve.accepted / (n + held))
    assert band.risk.tolist() == curve.risk.tolist()
    for accepted, errors, low, high, best in zip(curve.accepted, curve.errors, band.low, band.high, band.best, strict=True):
        assert (low, high) == pytest.approx(metrics.clopper_pearson(int(errors), int(accepted)))
        assert best == pytest.approx(max(accepted - right, 0) / accepted)
        assert best <= errors / accepted + 1e-12


@settings(max_examples=40, deadline=None)
@given(confident, st.integers(2, 12))
def test_a_thinned_band_is_a_part_of_the_whole(columns: Confident, most: int) -> None:
    """It keeps the first and the last point."""
    whole, thin = metrics.risk_band(*columns), metrics.risk_band(*columns, most=most)
    assert len(thin.risk) == min(most, len(whole.risk))
    points = list(zip(*whole, strict=True))
    kept = list(zip(*thin, strict=True))
    assert set(kept) <= set(points)
    assert (kept[0], kept[-1]) == (points[0], points[-1])


def test_a_perfect_order_is_the_best_one() -> None:
    """All right ones first."""
    band = metrics.risk_band([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0])
    assert band.best.tolist() == band.risk.tolist()


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: metrics.reliability_band([0.5], level=1.0), id="level of the reliability band"),
        pytest.param(lambda: metrics.reliability_band([1.5]), id="confidence"),
        pytest.param(lambda: metrics.reliability_band([]), id="no tickets"),
        pytest.param(lambda: metrics.confidence_histogram(*TWENTY, bars=0), id="bars"),
        pytest.param(lambda: metrics.risk_band(*TWENTY, level=0.0), id="level of the risk band"),
        pytest.param(lambda: metrics.risk_band(*TWENTY, held=-1), id="held back"),
        pytest.param(lambda: metrics.risk_band(*TWENTY, most=1), id="points"),
        pytest.param(lambda: metrics.isotonic_blocks([0.5], [math.nan]), id="truth"),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    """With an error that names the curve."""
    with pytest.raises(InputError, match=r"band|histogram|map"):
        call()  # type: ignore[operator]
