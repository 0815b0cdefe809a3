"""Figures of calibration: agreement with plain second implementations, and laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability.worked import TWELVE, TWENTY, Confident, confident
from scipy import integrate, optimize, stats
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.probability import metrics
from llmtriage.probability.metrics import calibration


def plain_bins(confidence: Any, correct: Any, bins: int, by: str) -> list[list[tuple[float, float]]]:
    """Tickets bin by bin, as the definition says it."""
    held: dict[int, list[tuple[float, float]]] = {}
    for c, ok in zip(confidence, correct, strict=True):
        if by == "width":
            place = 0 if c == 0 else next(j for j in range(bins) if c <= (j + 1) / bins)
        else:
            below, tied = sum(other < c for other in confidence), sum(other == c for other in confidence)
            place = math.floor(bins * (2 * below + tied) / (2 * len(confidence)))
        held.setdefault(place, []).append((c, float(ok)))
    return [held[place] for place in sorted(held)]


def means(tickets: list[tuple[float, float]]) -> tuple[float, float]:
    """Mean confidence and share right."""
    return sum(c for c, _ in tickets) / len(tickets), sum(ok for _, ok in tickets) / len(tickets)


@settings(max_examples=60, deadline=None)
@given(confident, st.integers(1, 20), st.sampled_from(["mass", "width"]))
def test_figures_of_bins_agree_with_plain_loops(columns: Confident, bins: int, by: Any) -> None:
    """ECE, its debiased form, RMSCE² and Murphy's split, ticket by ticket."""
    n, held = len(columns[0]), plain_bins(*columns, bins, by)
    gaps = [(len(tickets), *means(tickets)) for tickets in held]
    plain = sum(size / n * abs(share - c) for size, c, share in gaps)
    assert metrics.ece(*columns, bins=bins, by=by) == pytest.approx(plain, abs=1e-12)
    expected = 0.0
    for size, c, share in gaps:
        spread = math.sqrt(share * (1 - share) / size)
        expected += size / n * (abs(share - c) if spread == 0 else stats.foldnorm.mean(abs(share - c) / spread, scale=spread))
    assert metrics.ece_debiased(*columns, bins=bins, by=by) == pytest.approx(2 * plain - expected, abs=1e-9)
    several = [(size, c, share) for size, c, share in gaps if size > 1]
    found = metrics.rmsce2_debiased(*columns, bins=bins, by=by)
    if several:
        total = sum(size * ((share - c) ** 2 - share * (1 - share) / (size - 1)) for size, c, share in several)
        assert found == pytest.approx(total / sum(size for size, _, _ in several), abs=1e-12)
    else:
        assert found is None
    m = float(np.mean(columns[1]))
    split = metrics.murphy(*columns, bins=bins, by=by)
    assert split.reliability == pytest.approx(sum(size / n * (share - c) ** 2 for size, c, share in gaps), abs=1e-12)
    assert split.resolution == pytest.approx(sum(size / n * (share - m) ** 2 for size, _, share in gaps), abs=1e-12)


def test_bins_of_equal_width_agree_with_scikit_learn() -> None:
    """Where no confidence lies on an edge, about which libraries differ."""
    generator = np.random.default_rng(0)
    confidence = generator.random(500)
    correct = generator.random(500) < confidence
    share, mean = calibration_curve(correct, confidence, n_bins=10)
    ours = metrics.reliability_bins(confidence, correct, bins=10, by="width")
    np.testing.assert_allclose((ours.accuracy, ours.confidence), (share, mean))


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    """0.6 to (0.4, 0.6], 0 to the first; the other convention has another ECE on the same twenty tickets."""
    ours = metrics.reliability_bins([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [1] * 6, bins=5, by="width")
    assert ours.n.tolist() == [2, 1, 1, 1, 1]
    confidence, correct = TWENTY
    edges = np.floor(np.round(confidence * 5, 9)).clip(max=4).astype(int)
    other = np.abs(np.bincount(edges, weights=correct - confidence)).sum() / 20
    assert (metrics.ece(*TWENTY, bins=5, by="width"), other) == pytest.approx((0.1375, 0.1075))


def test_bins_of_equal_mass() -> None:
    """Ties share a bin; without ties all bins are as large as can be."""
    assert metrics.reliability_bins([0.3] * 7, [1] * 7, bins=5).n.tolist() == [7]
    assert metrics.reliability_bins(np.arange(20) / 20, [1] * 20, bins=5).n.tolist() == [4] * 5


@settings(max_examples=60, deadline=None)
@given(confident)
def test_one_bin_compares_the_means(columns: Confident) -> None:
    """ECE of a single bin is |share right - mean confidence|."""
    confidence, correct = columns
    for by in ("mass", "width"):
        assert metrics.ece(confidence, correct, bins=1, by=by) == pytest.approx(abs(np.mean(correct) - np.mean(confidence)))


@settings(max_examples=60, deadline=None)
@given(confident)
def test_the_splits_add_up(columns: Confident) -> None:
    """Both to the top-label Brier score; what each part wins or loses is never negative."""
    score = metrics.top_brier(*columns)
    split = metrics.isotonic_split(*columns)
    assert split.mcb - split.dsc + split.unc == pytest.approx(score, abs=1e-12)
    assert min(split) >= 0
    parts = metrics.murphy(*columns)
    assert parts.reliability - parts.resolution + parts.uncertainty + parts.rest == pytest.approx(score, abs=1e-12)
    assert min(parts[:3]) >= 0


@settings(max_examples=60, deadline=None)
@given(confident)
def test_where_each_bin_has_one_confidence_nothing_is_left(columns: Confident) -> None:
    """The rest of Murphy's split is what differing confidences inside a bin leave."""
    assert metrics.murphy(*columns, bins=64, by="width").rest == pytest.approx(0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(confident)
def test_the_isotonic_map_is_that_of_scikit_learn(columns: Confident) -> None:
    """Ties pooled first."""
    theirs = IsotonicRegression(out_of_bounds="clip").fit(columns[0], columns[1]).predict(columns[0])
    np.testing.assert_allclose(metrics.isotonic(*columns), theirs, atol=1e-9)


def plain_smooth_ece(confidence: Any, correct: Any) -> float:
    """By reflected normal curves, their distribution function between changes of sign, and bisection."""
    places, errors = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float) - confidence
    images = np.concatenate([[sign * places + 2 * k for sign in (1, -1)] for k in range(-6, 7)], axis=0)

    def height(t: float, width: float) -> float:
        return float((np.asarray(stats.norm.pdf(t, images, width)).sum(axis=0) * errors).mean())

    def below(t: float, width: float) -> float:
        return float((np.asarray(stats.norm.cdf(t, images, width)).sum(axis=0) * errors).mean())

    def area(width: float) -> float:
        grid = np.linspace(0, 1, 401)
        heights = [height(t, width) for t in grid]
        roots = [
            optimize.brentq(height, a, b, args=(width,), xtol=1e-14)
            for a, b, one, other in zip(grid, grid[1:], heights, heights[1:], strict=False)
            if one * other < 0
        ]
        return float(np.abs(np.diff([below(t, width) for t in (0, *roots, 1)])).sum())

    if area(1e-3) <= 1e-3:
        return area(1e-3)
    return float(optimize.brentq(lambda width: area(width) - width, 1e-3, 1.0, xtol=1e-12))


@pytest.mark.parametrize("columns", [TWELVE, TWENTY], ids=["twelve", "twenty"])
def test_smooth_ece_agrees_with_normal_curves(columns: tuple[Any, Any]) -> None:
    """Another way to the same definition."""
    assert metrics.smooth_ece(*columns) == pytest.approx(plain_smooth_ece(*columns), abs=2e-9)


@pytest.mark.parametrize("seed", range(3))
def test_smooth_ece_agrees_on_random_tickets(seed: int) -> None:
    """Also where the curve changes its sign several times, and at both ends."""
    generator = np.random.default_rng(seed)
    confidence = np.concatenate([generator.beta(0.5, 0.5, 60), [0.0, 1.0]])
    correct = generator.random(62) < confidence
    assert metrics.smooth_ece(confidence, correct) == pytest.approx(plain_smooth_ece(confidence, correct), abs=2e-9)


def test_smooth_ece_is_the_fixed_point_of_the_area() -> None:
    """By numeric integration over a fine grid."""
    confidence, correct = TWELVE
    width = metrics.smooth_ece(confidence, correct)
    grid = np.linspace(0, 1, 20001)
    images = np.concatenate([[sign * confidence + 2 * k for sign in (1, -1)] for k in range(-3, 4)], axis=0)
    heights = (stats.norm.pdf(grid[:, None, None], images, width).sum(axis=1) * (correct - confidence)).mean(axis=1)
    assert integrate.simpson(np.abs(heights), x=grid) == pytest.approx(width, abs=1e-7)


@pytest.mark.parametrize(
    ("columns", "value"),
    [
        pytest.param(([1.0] * 5, [1] * 5), 0.0, id="certain and right"),
        pytest.param(([1.0] * 5, [0] * 5), 1.0, id="certain and wrong"),
        pytest.param(([0.0] * 5, [1] * 5), 1.0, id="hopeless and right"),
        pytest.param(([0.75] * 4, [1, 1, 1, 0]), 0.0, id="one confidence, true"),
        pytest.param(([0.7] * 4, [1, 1, 1, 0]), 0.05, id="one confidence, five points off"),
    ],
)
def test_smooth_ece_at_the_ends(columns: Confident, value: float) -> None:
    """Without a change of sign it is the distance of the means."""
    assert metrics.smooth_ece(*columns) == pytest.approx(value, abs=1e-9)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(confident)
def test_figures_stay_in_their_ranges(columns: Confident) -> None:
    """ECE is in [0, 1]; smoothing shows at least the distance of the means, at most the tickets' own mean error."""
    assert 0 <= metrics.ece(*columns) <= 1
    errors = np.asarray(columns[1], dtype=float) - columns[0]
    assert abs(errors.mean()) - 1e-9 <= metrics.smooth_ece(*columns) <= np.abs(errors).mean() + 1e-9


def test_a_true_confidence_is_rarely_called_untrue() -> None:
    """At most in one sample of twenty, up to chance: 200 samples, of which 10 are expected and 22 are too many (p < 0.001)."""
    generator, confidence = np.random.default_rng(3), np.linspace(0.3, 1, 150)
    checks = [metrics.ece_check(confidence, generator.random(150) < confidence, draws=200) for _ in range(200)]
    assert sum(check.verdict != "agrees" for check in checks) < 22


@pytest.mark.parametrize(
    ("confidence", "right", "verdict"), [(0.9, 0.5, "too_sure"), (0.5, 0.9, "too_cautious"), (0.7, 0.7, "agrees")]
)
def test_the_verdict_says_which_way(confidence: float, right: float, verdict: str) -> None:
    """By the means, once the ECE is outside what chance shows."""
    correct = np.arange(200) < 200 * right
    check = metrics.ece_check(np.full(200, confidence), correct)
    assert check.verdict == verdict
    assert (check.p < 0.05) == (verdict != "agrees")
    assert (check.ece > check.limit) == (verdict != "agrees")


def test_the_null_band_agrees_with_the_figure_itself() -> None:
    """Each draw is the ECE of simulated answers, in the order of falling confidence."""
    generator = np.random.default_rng(0)
    drawn = generator.random((50, 20)) < TWENTY[0]
    for by in ("mass", "width"):
        plain = [metrics.ece(TWENTY[0], right, bins=5, by=by) for right in drawn]
        np.testing.assert_allclose(metrics.ece_null(TWENTY[0], bins=5, by=by, draws=50), plain, atol=1e-12)


def binomial_sum(chances: Any) -> Any:
    """The law of how many of these are right, ticket by ticket."""
    law = np.ones(1)
    for chance in chances:
        law = np.convolve(law, [1 - chance, chance])
    return law


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0, 1.5), st.floats(1e-4, 0.3))
def test_tickets_of_nearly_one_confidence_are_right_as_often_as_a_binomial_number(places: Any, low: float, width: float) -> None:
    """The law of their number is less than sin(width)^2 from the binomial one, for confidences sin(t)^2 with t in [low, low + width]."""
    chances = np.sin(low + np.array(places) * min(width, np.pi / 2 - low)) ** 2
    binomial = stats.binom.pmf(np.arange(len(chances) + 1), len(chances), chances.mean())
    distance = np.abs(binomial_sum(chances) - binomial).sum() / 2
    assert distance <= np.sin(width) ** 2 + 1e-12


@pytest.mark.parametrize("by", ["mass", "width"])
def test_the_null_band_of_many_tickets_is_that_of_tickets_drawn_one_by_one(by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as 2,000 draws of either can tell; whatever the order of rows."""
    confidence = np.random.default_rng(5).beta(3, 0.6, 3000)
    one_by_one = metrics.ece_null(confidence, by=by, draws=2000)
    monkeypatch.setattr(calibration, "_MANY", 1)
    together = metrics.ece_null(confidence, by=by, draws=2000, seed=1)
    assert stats.ks_2samp(one_by_one, together).pvalue > 0.01
    assert together.mean() == pytest.approx(one_by_one.mean(), rel=0.02)
    assert metrics.ece_null(np.flip(confidence), by=by, draws=2000, seed=1).tolist() == together.tolist()


def test_the_null_band_of_many_equal_or_certain_tickets() -> None:
    """One confidence for all is one binomial number; certain answers leave no room for chance."""
    n = calibration._MANY
    drawn = np.random.default_rng(4).binomial(n, 0.75, 20)
    np.testing.assert_allclose(metrics.ece_null(np.full(n, 0.75), draws=20, seed=4), np.abs(drawn / n - 0.75), atol=1e-12)
    assert not metrics.ece_null(np.arange(n) % 2, draws=5).any()


def test_p_is_the_share_of_draws_as_large() -> None:
    """A draw as large as the ECE counts, whatever rounding does to the sums."""
    check = metrics.ece_check(*TWENTY, bins=5)
    drawn = np.random.default_rng(0).random((1000, 20)) < TWENTY[0]
    values = [metrics.ece(TWENTY[0], right, bins=5) for right in drawn]
    assert check.p == np.mean(np.round(values, 9) >= round(check.ece, 9))
    assert metrics.ece_check([0.5, 0.5], [1, 0]).p == 1


def test_the_limit_shrinks_with_more_tickets() -> None:
    """More tickets leave less room for chance; equal seeds give equal limits, and a certain answer none."""
    few, many = (np.quantile(metrics.ece_null(np.full(n, 0.75)), 0.95) for n in (100, 5000))
    assert few > 3 * many
    assert few == np.quantile(metrics.ece_null(np.full(100, 0.75)), 0.95)
    assert not metrics.ece_null([1.0] * 50, draws=5).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bins": 0}, "ECE: the number of bins is 0"),
        ({"bins": math.nan}, "ECE: the number of bins is nan"),
        ({"draws": 0}, "ECE null band: the number of draws is 0"),
        ({"quantile": 1.0}, "ECE: the quantile is 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(arguments: dict[str, Any], words: str) -> None:
    """In one line."""
    with pytest.raises(InputError, match=f"^{words}"):
        metrics.ece_check([0.5], [1], **arguments)


def test_an_unknown_kind_of_bins_is_refused() -> None:
    """With the nearest one."""
    with pytest.raises(UnknownNameError, match=r"unknown kind of bins 'widht'.*did you mean 'width'"):
        metrics.ece([0.5], [1], by="widht")  # type: ignore[arg-type]
