"""The smooth calibration error: an ECE without bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import dct

from llmtriage.probability.metrics.inputs import Floats, judged

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_LEAST_WIDTH = 1e-3
# Cells of the grid that tickets are spread over, and of the one that changes of sign are looked for on.
_FINE, _COARSE = 2**17, 2**13
# Waves shorter than these are smoothed below 1e-16 at the least width.
_WAVES = 2800
_NOISE = 1e-12


def smooth_ece(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The calibration error after smoothing over just as much confidence as the error is large, in [0, 1].

    For a width s, every ticket's error (right - confidence) is spread over [0, 1] by a normal curve around its confidence, reflected
    at 0 and 1; f(s) is the area under the absolute value of their mean. The figure is the s with f(s) = s, looked for in [0.001, 1],
    and f(0.001) if that is smaller.
    Source: Błasiok & Nakkiran 2023, arXiv:2309.12236

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Shape (n,), 0 or 1.

    Raises:
        InputError: No tickets, other shapes, or values out of range.

    Example:
        >>> round(smooth_ece([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0]), 4)
        0.0903
    """
    from scipy.optimize import brentq  # slow to load, and few need it

    certainty, right = judged("smooth ECE", confidence, correct)
    waves = _waves(certainty, (right - certainty) / len(right))
    least, most = _area(waves, _LEAST_WIDTH), _area(waves, 1.0)
    if least <= _LEAST_WIDTH:
        return least
    if most >= 1:
        return 1.0
    return float(brentq(lambda width: _area(waves, width) - width, _LEAST_WIDTH, 1.0, xtol=1e-13))


def _waves(places: Floats, masses: Floats) -> Floats:
    """The sums of mass times cos(pi m place), for m = 0.._WAVES.

    A reflected normal curve is a sum of cosines, so all widths can be had from these sums. Each mass is spread over the four
    nearest points of a fine grid such that cubics keep their sums; then one transform gives all waves at once, whatever the
    number of tickets.
    """
    left = np.floor(places * _FINE).astype(np.int64)
    x = places * _FINE - left
    shares = (
        (-1, -x * (x - 1) * (x - 2) / 6),
        (0, (x + 1) * (x - 1) * (x - 2) / 2),
        (1, -(x + 1) * x * (x - 2) / 2),
        (2, (x + 1) * x * (x - 1) / 6),
    )
    grid = np.zeros(_FINE + 1)
    for step, share in shares:
        point = np.abs(left + step)
        inside = np.minimum(point, 2 * _FINE - point)
        grid += np.bincount(inside, weights=masses * share, minlength=_FINE + 1)
    grid[1:-1] /= 2  # the transform counts inner points twice
    transformed: Floats = dct(grid, type=1)[: _WAVES + 1]
    return transformed


def _area(waves: Floats, width: float) -> float:
    """f(width): the integral of |g| over [0, 1], exact between its changes of sign."""
    orders = np.arange(len(waves))
    smoothed = waves * np.exp(-((np.pi * orders * width) ** 2) / 2)
    heights = np.zeros(_COARSE + 1)
    heights[: len(waves)] = smoothed
    curve = dct(heights, type=1)  # g at the points of the coarse grid, for g = w0 + 2 sum of w cos(pi m t)
    # Far from every ticket the curve is rounding noise, which changes its sign all the time.
    solid = np.flatnonzero(np.abs(curve) > _NOISE * np.abs(curve).max())
    turns = np.flatnonzero(np.diff(np.sign(curve[solid])))
    left, right = solid[turns], solid[turns + 1]
    # A line to the root suffices: the integral depends on its square only.
    roots = (left + (right - left) * curve[left] / (curve[left] - curve[right])) / _COARSE
    kept = orders[1:][np.abs(smoothed[1:]) > 1e-18]
    edges = np.concatenate([[0.0], roots, [1.0]])
    whole = smoothed[0] * edges + np.sin(np.pi * np.outer(edges, kept)) @ (2 * smoothed[kept] / (np.pi * kept))
    return float(np.abs(np.diff(whole)).sum())
