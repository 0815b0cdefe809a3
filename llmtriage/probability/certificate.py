"""The promise: among accepted tickets at most a share alpha is wrong, with probability 1 - delta over the labelled sample.

The theorem, its proof and its limits are in docs/guarantees.md. In short: order the labelled tickets by score and count the errors
among the first k of them. If every ticket were wrong with probability alpha, that count would be a random walk; a boundary which that walk goes
below with probability at most delta is gone below by any other world in which a bad threshold passes with probability at most delta, too. So every
threshold that passes is safe, and the lowest of them may be chosen after looking.

Relatives: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404; Berk & Jones 1979, doi:10.1007/BF00533250; equal local levels:
Gontscharuk, Landwehr & Finner 2016, arXiv:1603.05461.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, betaincinv

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

Floats = npt.NDArray[np.float64]

_LEVELS, _PER_HALF = 1024, 64  # the local levels that are tried: delta * 2 ** (-i / 64)
_TAIL = 1e-18  # what is cut from the far end of the walk is counted as crossed, so the sum stays an upper bound


@dataclass(frozen=True, slots=True)
class Boundary:
    """How many errors are tolerated among the first k labelled tickets, for every k.

    Attributes:
        need: `need[j]` is the smallest k at which j errors are tolerated, not falling; empty: nothing can be accepted.
        crossing: The exact probability, in [0, 1], that a walk of errors with probability alpha each goes below the boundary.
    """

    need: tuple[int, ...]
    crossing: float

    def tolerated(self, accepted: int) -> int:
        """Errors that are tolerated among `accepted` tickets; -1: not even none."""
        return int(np.searchsorted(self.need, accepted, side="right")) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What may be accepted, and the evidence.

    Attributes:
        alpha: The largest share of wrong tickets among the accepted ones.
        delta: The probability over labelled samples that the promise does not hold.
        n: Labelled tickets.
        threshold: The least score that is accepted; minus infinity: every ticket that no gate stops; infinity: none is.
        accepted: Labelled tickets with at least that score.
        errors: Those of them that are wrong.
        wrong_at: Where the wrong ones stand in the order of scores, from 1, best first and of equal ones first; as many as could be tolerated at
            all, and one more. With the boundary, this is how it was decided.
        boundary: The rule that decided.
        limit: The one-sided Clopper-Pearson bound of the share of wrong tickets at this threshold, at 1 - delta. It describes what was seen; it
            is not the promise, for the threshold was chosen by looking. None: nothing is accepted.
    """

    alpha: float
    delta: float
    n: int
    threshold: float
    accepted: int
    errors: int
    wrong_at: tuple[int, ...]
    boundary: Boundary
    limit: float | None

    @property
    def holds(self) -> bool:
        """Whether anything may be accepted."""
        return self.accepted > 0


def certify(
    score: ArrayLike, loss: ArrayLike, alpha: float, delta: float = 0.1, *, boundary: Boundary | None = None
) -> Certificate:
    """The lowest threshold on `score` that keeps the promise.

    The labelled tickets are to be a uniform random sample of those that will be routed, and neither the scores nor the boundary may have been
    made with these labels. No part is split off, and nothing is assumed about how the risk depends on the score.

    Args:
        score: Shape (n,), larger is surer. Minus infinity: a gate or a rule stops the ticket, it is never accepted.
        loss: Shape (n,), 1 where accepting the ticket's answer would be wrong, else 0.
        alpha: In (0, 1/2].
        delta: In (0, 1/2].
        boundary: Another than the default one; it must have been fixed without looking at this sample.

    Raises:
        InputError: Empty or unequal arrays, a score that is no number, a loss besides 0 and 1, or alpha or delta out of range.

    Example:
        >>> found = certify([0.9] * 25 + [0.5] * 5, [0] * 25 + [1] * 5, alpha=0.2)
        >>> found.threshold, found.accepted, found.errors, found.boundary.need
        (0.9, 25, 0, (13, 22, 29))
    """
    _checked_levels(alpha, delta)
    scores, losses = _checked(score, loss)
    n = len(scores)
    rule = boundary or equal_levels(n, alpha, delta)
    order = np.lexsort((-losses, -scores))
    ordered, errors = scores[order], np.cumsum(losses[order])
    ranks = _ends_of_ties(ordered)
    wrong_at = (np.flatnonzero(losses[order][: ranks[-1] if ranks else 0])[: len(rule.need) + 1] + 1).tolist()
    found = Certificate(
        alpha=alpha,
        delta=delta,
        n=n,
        threshold=math.inf,
        accepted=0,
        errors=0,
        wrong_at=tuple(wrong_at),
        boundary=rule,
        limit=None,
    )
    passing = [k for k in ranks if errors[k - 1] <= rule.tolerated(k)]
    if not passing:
        return found
    k = passing[-1]
    wrong = int(errors[k - 1])
    threshold = -math.inf if k == ranks[-1] else float(ordered[k - 1])
    return replace(found, threshold=threshold, accepted=k, errors=wrong, limit=risk_limit(wrong, k, delta))


def certify_at(score: ArrayLike, loss: ArrayLike, threshold: float, delta: float = 0.1) -> Certificate:
    """What can be promised at a threshold that was fixed beforehand, for example because people can read so many tickets a day.

    There is no search, so one Clopper-Pearson bound is exact at the full delta (`risk_limit`).

    Args:
        score: As in `certify`.
        loss: As in `certify`.
        threshold: Of the score; fixed without looking at these labels.
        delta: In (0, 1/2].

    Returns:
        A certificate whose alpha is that bound, in [0, 1], and whose boundary tolerates nothing else; nothing is accepted where no labelled
        ticket reaches the threshold.

    Raises:
        InputError: As `certify`.
    """
    _checked_levels(0.5, delta)
    scores, losses = _checked(score, loss)
    order = np.lexsort((-losses, -scores))
    accepted = int(((scores >= threshold) & (scores > -math.inf)).sum())
    errors = int(losses[order][:accepted].sum())
    limit = risk_limit(errors, accepted, delta) if accepted else None
    return Certificate(
        alpha=1.0 if limit is None else limit,
        delta=delta,
        n=len(scores),
        threshold=threshold if accepted else math.inf,
        accepted=accepted,
        errors=errors,
        wrong_at=tuple((np.flatnonzero(losses[order][:accepted]) + 1).tolist()),
        boundary=Boundary((), delta),
        limit=limit,
    )


def _ends_of_ties(ordered: Floats) -> list[int]:
    """The numbers of tickets, best first, after which a threshold can lie: never between two equal scores, never below a gate."""
    open_to_all = int((ordered > -math.inf).sum())
    falls = np.flatnonzero(ordered[: open_to_all - 1] > ordered[1:open_to_all]) + 1 if open_to_all else np.empty(0, np.int64)
    return [*falls.tolist(), open_to_all] if open_to_all else []


# -- boundaries ------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def equal_levels(n: int, alpha: float, delta: float) -> Boundary:
    """The default boundary: j errors are tolerated from the k on at which that few have probability at most lam, the same lam for all k.

    lam is the largest of delta * 2^(-i/64), i = 0, 1, ..., whose boundary is crossed with probability at most delta.

    Args:
        n: Labelled tickets.
        alpha: In (0, 1/2].
        delta: In (0, 1/2].

    Raises:
        InputError: n is 0, or alpha or delta is out of range.
    """
    _checked_levels(alpha, delta)
    if n < 1:
        raise InputError("certificate: there are no labelled tickets", remedy="give at least one")
    low, high = 0, _LEVELS - 1
    while low < high:
        middle = (low + high) // 2
        need = steps(n, alpha, delta * 2 ** (-middle / _PER_HALF))
        low, high = (low, middle) if crossing(need, alpha) <= delta else (middle + 1, high)
    need = steps(n, alpha, delta * 2 ** (-low / _PER_HALF))
    return Boundary(tuple(need.tolist()), crossing(need, alpha))


def steps(n: int, alpha: float, level: float) -> npt.NDArray[np.int64]:
    """For 0, 1, ... errors the smallest k <= n at which so few have probability at most `level` if each ticket is wrong with probability alpha."""
    errors = np.arange(int(alpha * n) + 1)
    low, high = errors + 1, np.full(len(errors), n + 1)  # n + 1: at none
    while (low < high).any():
        middle = (low + high) // 2
        enough = (middle <= n) & (bdtr(errors, middle, alpha) <= level)
        low, high = np.where(enough | (low >= high), low, middle + 1), np.where(enough, middle, high)
    found: npt.NDArray[np.int64] = high[high <= n]
    return found


def crossing(need: Sequence[int] | npt.NDArray[np.int64], rate: float) -> float:
    """The probability that, for some j, at most j of the first `need[j]` independent trials are errors, each with probability `rate`.

    Exact up to rounding (about 1e-14), and never too small by what is left out.

    Args:
        need: Not falling, each at least 1.
        rate: In [0, 1].
    """

    @cache
    def errors_in(trials: int) -> Floats:
        return _binomial(trials, rate)

    walk, at, crossed = np.ones(1), 0, 0.0  # walk[i]: not crossed yet, and i errors more than the last step tolerated
    for k in need:
        walk = np.convolve(walk, errors_in(int(k) - at))
        at = int(k)
        crossed += walk[0]
        walk = walk[1:]
        cut = len(walk) - int(np.searchsorted(walk[::-1].cumsum(), _TAIL, side="right"))
        crossed += float(walk[cut:].sum())
        walk = walk[:cut]
        if not cut:
            break
    return float(min(crossed, 1.0))


def _binomial(trials: int, rate: float) -> Floats:
    """P(j errors in `trials`), j = 0..trials."""
    if rate in (0.0, 1.0):
        return np.asarray(np.eye(trials + 1)[0 if rate == 0.0 else trials], np.float64)
    j = np.arange(trials)
    logs = np.concatenate([[0.0], np.cumsum(np.log((trials - j) / (j + 1)))])
    count = np.arange(trials + 1)
    return np.asarray(np.exp(logs + count * math.log(rate) + (trials - count) * math.log1p(-rate)))


# -- what else holds -------------------------------------------------------------------------------


def risk_limit(errors: int, accepted: int, delta: float) -> float:
    """The upper end of the one-sided Clopper-Pearson interval of the share of wrong tickets, in [0, 1].

    With `errors` among `accepted` labelled tickets, at a threshold that was fixed without looking at their labels, the share of wrong tickets
    among all that are accepted is at most this, with probability 1 - delta. No search, so no correction.
    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404

    Args:
        errors: 0..accepted.
        accepted: At least 1.
        delta: In (0, 1).

    Raises:
        InputError: One of them is out of range.

    Example:
        >>> round(risk_limit(7, 240, 0.1), 6)
        0.048558
    """
    if accepted < 1 or not 0 <= errors <= accepted or not 0 < delta < 1:
        raise InputError(
            f"limit: {errors} errors among {accepted}, delta {delta}",
            remedy="0 <= errors <= accepted, 1 <= accepted, 0 < delta < 1",
        )
    return 1.0 if errors == accepted else float(betaincinv(errors + 1, accepted - errors, 1 - delta))


def labels_needed(alpha: float, delta: float = 0.1, errors: int = 0) -> int:
    """The fewest accepted labelled tickets that allow a promise with so many errors, were the threshold fixed beforehand.

    Every promise needs at least as many, whatever the model: with no error, ln(delta) / ln(1 - alpha), rounded up. Only tickets that would be
    accepted count.

    Args:
        alpha: In (0, 1/2].
        delta: In (0, 1/2].
        errors: At least 0.

    Raises:
        InputError: One of them is out of range.

    Example:
        >>> labels_needed(0.05), labels_needed(0.05, errors=2)
        (45, 105)
    """
    _checked_levels(alpha, delta)
    if errors < 0:
        raise InputError(f"labels needed: {errors} errors", remedy="give 0 or more")
    low, high = errors + 1, 2 * (errors + 1)
    while bdtr(errors, high, alpha) > delta:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if bdtr(errors, middle, alpha) <= delta else (middle + 1, high)
    return low


def shared_delta(delta: float, parts: int) -> float:
    """What each of several independent promises may spend so that all of them hold together with probability 1 - delta.

    Source: Sidak 1967, doi:10.1080/01621459.1967.10482935: 1 - (1 - delta)^(1/parts).

    Args:
        delta: In (0, 1/2].
        parts: At least 1.

    Raises:
        InputError: One of them is out of range.
    """
    _checked_levels(0.5, delta)
    if parts < 1:
        raise InputError(f"promises: {parts} parts", remedy="give 1 or more")
    return -math.expm1(math.log1p(-delta) / parts)


def delta_of_look(delta: float, look: int | None) -> float:
    """What one of any number of looks at the same labels may spend, so that all of them together spend delta: 6 delta / (pi^2 look^2).

    Args:
        delta: In (0, 1/2].
        look: From 1; None: there is one look only, which may spend all of it.

    Raises:
        InputError: One of them is out of range.

    Example:
        >>> [round(delta_of_look(0.1, look), 4) for look in (None, 1, 2, 3)]
        [0.1, 0.0608, 0.0152, 0.0068]
    """
    _checked_levels(0.5, delta)
    if look is None:
        return delta
    if look < 1:
        raise InputError(f"look {look}", remedy="the first look is number 1")
    return 6 * delta / (math.pi * look) ** 2


def certify_groups(
    score: ArrayLike, loss: ArrayLike, group: Sequence[str], alpha: float | Mapping[str, float], delta: float = 0.1
) -> dict[str, Certificate]:
    """A promise for each group; all of them hold together with probability 1 - delta.

    What a ticket's group is must be known without its label: its language, its channel, its predicted category. Groups with too few labelled
    tickets to accept anything spend nothing.

    Args:
        score: Shape (n,), as in `certify`.
        loss: Shape (n,).
        group: n of them.
        alpha: One for all, or one for each group.
        delta: Shared by all.

    Returns:
        By group, in the order of their first tickets; those that are too small accept nothing.

    Raises:
        InputError: As `certify`; or a group has no alpha.
    """
    scores, losses = _checked(score, loss)
    if len(group) != len(scores):
        raise InputError(f"certificate: {len(scores)} scores and {len(group)} groups", remedy="give one group for each ticket")
    members: dict[str, list[int]] = {}
    for place, name in enumerate(group):
        members.setdefault(name, []).append(place)
    limits = dict(alpha) if isinstance(alpha, Mapping) else dict.fromkeys(members, alpha)
    missing = [name for name in members if name not in limits]
    if missing:
        raise InputError(f"certificate: no alpha for the group {missing[0]!r}", remedy="give one for each group")
    part = _part_of_each({name: len(places) for name, places in members.items()}, limits, delta)
    return {name: certify(scores[places], losses[places], limits[name], part) for name, places in members.items()}


def _part_of_each(sizes: Mapping[str, int], limits: Mapping[str, float], delta: float) -> float:
    """The delta of each group, shared among those that can accept anything with it."""
    able = list(sizes)
    while able:
        part = shared_delta(delta, len(able))
        fewer = [name for name in able if sizes[name] >= labels_needed(limits[name], part)]
        if len(fewer) == len(able):
            return part
        able = fewer
    return delta


# -- input -----------------------------------------------------------------------------------------


def _checked_levels(alpha: float, delta: float) -> None:
    for name, value in (("alpha", alpha), ("delta", delta)):
        if not 0 < value <= 0.5:
            raise InputError(f"certificate: {name} is {value}", remedy="give a number above 0 and at most 0.5")


def _checked(score: ArrayLike, loss: ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    scores, losses = np.asarray(score, np.float64), np.asarray(loss, np.float64)
    if scores.ndim != 1 or scores.shape != losses.shape:
        raise InputError(
            f"certificate: scores of shape {scores.shape}, losses of {losses.shape}", remedy="give two arrays of one length"
        )
    if not len(scores):
        raise InputError("certificate: there are no labelled tickets", remedy="give at least one")
    if np.isnan(scores).any() or (scores == math.inf).any():
        raise InputError("certificate: a score is no number", remedy="minus infinity stands for a ticket that a gate stops")
    if not np.isin(losses, (0, 1)).all():
        raise InputError("certificate: a loss is neither 0 nor 1", remedy="1 stands for a wrong answer, 0 for a right one")
    return scores, losses.astype(np.int64)
