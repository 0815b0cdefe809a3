"""From what an engine showed of its mind to a log-score for every category: arrays in, arrays out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, logsumexp

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

MASKED = -9000.0
"""Servers write -9999 for a token that a grammar forbids; nothing real is as small."""

_OVER_ONE = 0.02  # what rounding may add to a sum of probabilities
_POSITIVE = 1e-3  # what a server's own arithmetic may add to a logarithm of 1
_LEAST = 1e-6  # of the probability that is thought to be left for what is not listed


class Read(NamedTuple):
    """A distribution over the categories of a question.

    Attributes:
        values: Shape (K,), natural logarithms; exp sums to 1.
        missing: Shape (K,), true where nothing was seen and the value is a bound or a share.
        mass: The probability of all categories together before normalising, in [0, 1]; None where nothing tells.
    """

    values: Floats
    missing: Bools
    mass: float | None


class NoLabelError(ValueError):
    """Nothing was seen of any category."""


class NotProbabilitiesError(ValueError):
    """The numbers cannot be log-probabilities."""


def from_logprobs(found: Floats, *, listed: Floats, bound: float | None = None, renormalised: bool = False) -> Read:
    """Read the log-probabilities of one position.

    A category that was not listed gets the largest share that the others allow: no more than `bound`, and no
    more than its part of what the listed ones leave of 1. It is never zero.

    Args:
        found: Shape (K,), natural logarithms of the categories' probabilities; NaN where one was not listed. What is at or below
            `MASKED`, minus infinity included, counts as not listed.
        listed: Shape (n,), those of all tokens that the position listed, categories or not.
        bound: What no token exceeds that was not listed; None: the smallest value of `listed`.
        renormalised: The server masked tokens and normalised what it left, so the sum over the categories tells nothing.

    Raises:
        NoLabelError: No category was listed.
        NotProbabilitiesError: A logarithm is positive, or the probabilities sum to more than 1.
    """
    seen, real = found > MASKED, listed[listed > MASKED]  # NaN is neither
    if not seen.any():
        raise NoLabelError
    everything = np.concatenate([found[seen], real])
    if everything.max() > _POSITIVE:
        message = f"one is {everything.max():.3g}"
        raise NotProbabilitiesError(message)
    total = float(np.exp(found[seen]).sum())
    all_listed = max(total, float(np.exp(real).sum()))
    if all_listed > 1 + _OVER_ONE:
        message = f"they sum to {all_listed:.3g}"
        raise NotProbabilitiesError(message)
    values = np.where(seen, found, 0.0)
    if not seen.all():
        left = max(1 - all_listed, _LEAST) / int((~seen).sum())
        values[~seen] = min(float(everything.min()) if bound is None else bound, math.log(left))
    return Read(log_softmax(values), ~seen, None if renormalised else min(total, 1.0))


def from_votes(counts: Ints, *, unreadable: int = 0) -> Read:
    """Read sampled answers: the mean of the posterior under a Dirichlet prior of total weight 1 (Perks 1947), (n_k + 1/K) / (n + 1).

    Args:
        counts: Shape (K,), how often each category was named.
        unreadable: Answers that named none.

    Raises:
        NoLabelError: No answer named a category.
    """
    total = int(counts.sum())
    if not total:
        raise NoLabelError
    values = np.log((counts + 1 / len(counts)) / (total + 1))
    return Read(log_softmax(values), counts == 0, total / (total + unreadable))


def prior_of(rows: Floats, missing: Bools) -> Floats:
    """What is said of content-free texts, on average. A category that none of them showed counts as the rarest that they did show.

    Its own value is a bound, perhaps a millionth: divided by that, the least likely category of a ticket would be the first.

    Args:
        rows: Shape (m, K), log-scores, each row normalised.
        missing: Shape (m, K), which of them are bounds.
    """
    prior, unseen = averaged(rows), missing.all(axis=0)
    prior[unseen] = prior[~unseen].min()
    return prior


def without_prior(values: Floats, prior: Floats, missing: Bools) -> Floats:
    """Contextual calibration (Zhao et al. 2021, "Calibrate before use", arXiv 2102.09690): divide by what is said of empty texts.

    A category that was not seen stays no more likely than the least likely that was.

    Args:
        values: Shape (K,), log-scores of a ticket.
        prior: Shape (K,), those of content-free texts, as `prior_of` gives them.
        missing: Shape (K,), which of `values` are bounds; not all.
    """
    corrected = values - prior
    least = corrected[~missing].min()
    return np.asarray(log_softmax(np.where(missing, np.minimum(corrected, least), corrected)))


def averaged(rows: Floats) -> Floats:
    """The logarithm of the mean of several distributions.

    Args:
        rows: Shape (m, K), log-scores, each row normalised.
    """
    return np.asarray(log_softmax(logsumexp(rows, axis=0)))


def widened(values: Floats, kept: Ints, shares: Floats, left_out: float) -> Floats:
    """A distribution over a shortlist, spread over everything: what was left out keeps its share.

    Args:
        values: Shape (k,), log-scores of the shortlist, normalised.
        kept: Shape (k,), where the shortlist stands among all.
        shares: Shape (K,), positive weights by which what was left out is divided.
        left_out: The probability that the right one was left out, in (0, 1).
    """
    outside = np.ones(len(shares), dtype=np.bool_)
    outside[kept] = False
    whole = np.empty(len(shares))
    whole[kept] = values + math.log1p(-left_out)
    if outside.any():
        whole[outside] = math.log(left_out) + np.log(shares[outside] / shares[outside].sum())
    return np.asarray(log_softmax(whole))


def chance_left_out(hits: int, n: int) -> float:
    """The probability that a shortlist leaves out the right one, by the rule of succession: (n - hits + 1) / (n + 2).

    Args:
        hits: Labelled tickets whose category was on the list.
        n: Labelled tickets that were tried.
    """
    return (n - hits + 1) / (n + 2)


def tempered_log_loss(values: Floats, gold: Ints, folds: Ints) -> Floats:
    """The log loss of each ticket after one temperature was fitted on the tickets of the other folds.

    Args:
        values: Shape (n, K), log-scores.
        gold: Shape (n,), the true columns.
        folds: Shape (n,), to which fold each belongs; at least two.

    Returns:
        Shape (n,), in nats.
    """
    losses = np.empty(len(gold))
    for fold in np.unique(folds):
        inside = folds == fold
        slope = fitted_slope(values[~inside], gold[~inside])
        losses[inside] = _losses(values[inside], gold[inside], slope)
    return losses


def fitted_slope(values: Floats, gold: Ints) -> float:
    """One over the temperature that gives the least log loss (Guo et al. 2017, arXiv 1706.04599), within [0.05, 20].

    Args:
        values: Shape (n, K), log-scores.
        gold: Shape (n,), the true columns.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_slope: float) -> float:
        return float(_losses(values, gold, math.exp(log_slope)).mean())

    found = minimize_scalar(loss, bounds=(math.log(0.05), math.log(20.0)), method="bounded")
    return math.exp(float(found.x))


def _losses(values: Floats, gold: Ints, slope: float) -> Floats:
    return np.asarray(-log_softmax(slope * values, axis=1)[np.arange(len(gold)), gold])
