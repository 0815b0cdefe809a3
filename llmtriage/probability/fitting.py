"""What the calibrators minimise, with analytic gradients, and the search for where it is least.

Source of the search: L-BFGS-B, Zhu et al. 1997, doi:10.1145/279232.279236
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from llmtriage.probability.scores import Floats, Integers, normalised

SD_LOG_SLOPE = 0.5
"""The standard deviation of a, the logarithm of one over the temperature, around 0."""

LOG_SLOPE_LIMIT = math.log(50)
"""How far from 0 the search for a goes."""


class Prior(NamedTuple):
    """The standard deviations of what is free besides the slope; None: it is not free.

    Attributes:
        bias: Of each entry of b, around 0.
        matrix: Of each entry of D, around 0.
    """

    bias: float | None = None
    matrix: float | None = None


class ConfidencePrior(NamedTuple):
    """What is free of a method for confidences.

    Attributes:
        lowest: What each weight is never below, above 0.
        sd: The standard deviation of each weight, around 1, and of the offset, around 0.
    """

    lowest: tuple[float, ...]
    sd: float


def score_objective(free: Floats, logs: Floats, gold: Integers, prior: Prior) -> tuple[float, Floats]:
    """The total penalised loss of the score methods, and its gradient.

    Args:
        free: a, then b, then D row by row, as far as they are free.
        logs: Shape (n, K), as `scores.prepared` gives them.
        gold: Shape (n,), true categories.
        prior: What is free.
    """
    k, tickets = logs.shape[1], np.arange(len(gold))
    log_slope, bias, matrix = unpacked(free, k, prior)
    after = normalised(linear(logs, log_slope, bias, matrix))
    loss = -after[tickets, gold].sum() + log_slope**2 / (2 * SD_LOG_SLOPE**2)
    surplus = np.exp(after)
    surplus[tickets, gold] -= 1
    gradient = np.empty_like(free)
    # Not vdot: where another process has the cores, its threads wait for each other, ten times as long as all else here takes.
    gradient[0] = math.exp(log_slope) * np.einsum("ij,ij->", surplus, logs) + log_slope / SD_LOG_SLOPE**2
    if bias is not None and prior.bias:
        loss += (bias**2).sum() / (2 * prior.bias**2)
        gradient[1 : k + 1] = surplus.sum(axis=0) + bias / prior.bias**2
    if matrix is not None and prior.matrix:
        loss += (matrix**2).sum() / (2 * prior.matrix**2)
        gradient[k + 1 :] = (surplus.T @ logs + matrix / prior.matrix**2).ravel()
    return float(loss), gradient


def confidence_objective(free: Floats, features: Floats, right: Floats, sd: float) -> tuple[float, Floats]:
    """The total penalised loss of the methods for confidences, and its gradient.

    Args:
        free: The weights, then the offset.
        features: Shape (n, number of weights).
        right: Shape (n,), 0 or 1.
        sd: As of `ConfidencePrior`.
    """
    away = free - np.append(np.ones(len(free) - 1), 0.0)
    logit = features @ free[:-1] + free[-1]
    loss = (np.logaddexp(0, logit) - right * logit).sum() + (away**2).sum() / (2 * sd**2)
    surplus = expit(logit) - right
    return float(loss), np.append(features.T @ surplus, surplus.sum()) + away / sd**2


def fitted_scores(logs: Floats, gold: Integers, prior: Prior) -> tuple[Floats, float]:
    """What is free of a score method where `score_objective` is least, and what it is there.

    The search for a matrix moves b + D m in the place of b, m a part of the mean log-scores: these lie far from 0, so that D and b
    pull on the same thing, and the search would take up to five times the steps. The part is what makes b + D m and D independent
    where a category has n / K tickets: the fewer these are, the more it is the prior that holds b.

    Takes the same as `score_objective`.
    """
    k = logs.shape[1]
    start = np.zeros(1 + (k if prior.bias else 0) + (k * k if prior.matrix else 0))
    bounds = [(-LOG_SLOPE_LIMIT, LOG_SLOPE_LIMIT), *[(None, None)] * (len(start) - 1)]
    part = logs.mean(axis=0) * len(gold) / (len(gold) + k / (prior.bias or 1.0) ** 2)

    def back(moved: Floats) -> Floats:
        free, (_, bias, matrix) = moved.copy(), unpacked(moved, k, prior)
        if bias is not None and matrix is not None:
            free[1 : k + 1] = bias - matrix @ part
        return free

    def objective(moved: Floats) -> tuple[float, Floats]:
        loss, gradient = score_objective(back(moved), logs, gold, prior)
        _, of_bias, of_matrix = unpacked(gradient, k, prior)
        if of_bias is not None and of_matrix is not None:
            of_matrix -= np.outer(of_bias, part)
        return loss, gradient

    found, loss = _least(objective, start, bounds, len(gold))
    return back(found), loss


def fitted_confidence(features: Floats, right: Floats, prior: ConfidencePrior) -> tuple[Floats, float]:
    """The weights and the offset where `confidence_objective` is least, and what it is there.

    Args:
        features: Shape (n, number of weights).
        right: Shape (n,), 0 or 1.
        prior: What is free.
    """
    start = np.append(np.ones(len(prior.lowest)), 0.0)
    bounds = [*((low, None) for low in prior.lowest), (None, None)]
    return _least(lambda free: confidence_objective(free, features, right, prior.sd), start, bounds, len(right))


def _least(
    objective: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    bounds: Sequence[tuple[float | None, float | None]],
    n: int,
) -> tuple[Floats, float]:
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # threads that wait for a core which another process holds make so small a fit four times slower
        found = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 10_000, "maxfun": 20_000, "maxcor": 20, "ftol": 0.0, "gtol": 1e-10 * n},  # a total over n tickets
        )
    return np.asarray(found.x, dtype=np.float64), float(found.fun)


def linear(logs: Floats, log_slope: float, bias: Floats | None, matrix: Floats | None) -> Floats:
    """W z + b of each row."""
    after = math.exp(log_slope) * logs
    if matrix is not None:
        after += logs @ matrix.T
    if bias is not None:
        after += bias
    return after


def unpacked(free: Floats, k: int, prior: Prior) -> tuple[float, Floats | None, Floats | None]:
    """a, b and D out of one vector; None where they are not free."""
    bias = free[1 : k + 1] if prior.bias else None
    matrix = free[k + 1 :].reshape(k, k) if prior.matrix else None
    return float(free[0]), bias, matrix
