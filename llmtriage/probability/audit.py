"""The audit: a running bet against the promise, on tickets that were accepted and that a person decided too.

Each accepted ticket is sent to a person with the same probability, drawn independently of everything. A gambler bets on each being wrong, at
odds that are fair if it is wrong with probability alpha: for an error rate r the capital is multiplied by r / alpha where it is wrong, else by
(1 - r) / (1 - alpha). For r > alpha no such bet gains on average as long as each ticket is wrong with probability at most alpha, given the
past. So the mean capital of six gamblers, with r of 1.25 to 6 times alpha, ever reaches 1 / delta with probability at most delta, however
often one looks.

Source: Ville's inequality; Waudby-Smith & Ramdas 2024, doi:10.1093/jrsssb/qkad009.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Floats = npt.NDArray[np.float64]
State = Literal["broken", "early", "open", "holds"]
"""broken: the bet has won, the promise does not hold. early: too few audits to say anything, even had none been wrong.
open: no alarm, but the upper bound is larger than what was promised. holds: it is not."""

_BETS, _LARGEST_BET = (1.25, 1.5, 2.0, 3.0, 4.0, 6.0), 0.95  # on error rates of so many times alpha
_HALVINGS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the audits so far say of a promise.

    Attributes:
        alpha: The largest share of wrong tickets among those accepted, as promised, in (0, 1/2].
        delta: The probability that the alarm is ever given though the promise holds, in (0, 1/2].
        errors: Audited tickets that were wrong.
        audits: Audited tickets.
        peak: The largest natural logarithm of the capital so far, at least 0: an alarm is not taken back by what comes after it.
    """

    alpha: float
    delta: float
    errors: int
    audits: int
    peak: float

    @classmethod
    def of(cls, wrong: ArrayLike, *, alpha: float, delta: float) -> Self:
        """The audit of accepted tickets.

        Args:
            wrong: Whether each was wrong, in the order in which they were drawn; none may be left out because of what was said of it.
            alpha: In (0, 1/2].
            delta: In (0, 1/2].

        Raises:
            InputError: Something else than right and wrong, or alpha or delta is out of range.

        Example:
            >>> found = Audit.of([False] * 40 + [True] * 10, alpha=0.05, delta=0.05)
            >>> found.errors, found.audits, found.state
            (10, 50, 'broken')
        """
        _check_levels(alpha, delta)
        losses = np.asarray(wrong, np.float64)
        if losses.ndim != 1 or not np.isin(losses, (0, 1)).all():
            raise InputError("audit: a loss is neither 0 nor 1", remedy="1 stands for a wrong answer, 0 for a right one")
        errors = np.cumsum(losses)
        capital = _log_capital(errors, np.arange(1, len(losses) + 1), alpha)
        peak = max(0.0, float(capital.max(initial=0.0)))
        return cls(alpha=alpha, delta=delta, errors=int(losses.sum()), audits=len(losses), peak=peak)

    @property
    def state(self) -> State:
        """Whether the promise still holds."""
        if self.peak >= -math.log(self.delta):
            return "broken"
        if self.audits < self.needed:
            return "early"
        return "holds" if self.limit <= self.alpha else "open"

    @property
    def needed(self) -> int:
        """Audits from which on something can be said, if none is wrong."""
        return audits_needed(self.alpha, self.delta)

    @property
    def limit(self) -> float:
        """The largest share of wrong tickets among those accepted that the audits allow, in (0, 1]: `audit_limit`."""
        return audit_limit(self.errors, self.audits, self.delta)


def audit_evidence(errors: int, audits: int, alpha: float) -> float:
    """How strongly audits of accepted tickets speak against the promise: the natural logarithm of the capital.

    Args:
        errors: Audited tickets that were wrong, 0..audits.
        audits: Audited tickets.
        alpha: In (0, 1/2].

    Raises:
        InputError: One of them is out of range.

    Example:
        >>> round(math.exp(audit_evidence(6, 50, 0.05)), 6)
        3.207137
    """
    _check_levels(alpha, 0.5)
    _check_counts(errors, audits)
    return float(_log_capital(np.array([errors]), np.array([audits]), alpha)[0])


def audit_limit(errors: int, audits: int, delta: float) -> float:
    """An upper bound of the share of wrong tickets among those accepted, that may be read after every audit, in (0, 1].

    At no time is it too low, with probability 1 - delta. It is the largest rate against which the same bets, on rates that are so many times
    smaller, have not reached 1 / delta; their capital rises with the rate. It is right at all times, and for that larger than `risk_limit`.
    Source: Waudby-Smith & Ramdas 2024, doi:10.1093/jrsssb/qkad009.

    Args:
        errors: Audited tickets that were wrong, 0..audits.
        audits: Audited tickets.
        delta: In (0, 1/2].

    Raises:
        InputError: One of them is out of range.
    """
    _check_levels(0.5, delta)
    _check_counts(errors, audits)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _log_capital_below(errors, audits, middle) >= -math.log(delta) else (middle, high)
    return high


@cache
def audits_needed(alpha: float, delta: float) -> int:
    """The fewest audits, none of them wrong, whose `audit_limit` is at most alpha.

    Args:
        alpha: In (0, 1/2].
        delta: In (0, 1/2].

    Raises:
        InputError: One of them is out of range.
    """
    _check_levels(alpha, delta)
    low, high = 0, 1
    while _log_capital_below(0, high, alpha) < -math.log(delta):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _log_capital_below(0, middle, alpha) >= -math.log(delta) else (middle, high)
    return high


def _log_capital(errors: npt.NDArray[Any], audits: npt.NDArray[Any], alpha: float) -> Floats:
    """After so many audits with so many errors, each of shape (n,)."""
    rates = np.array([rate for factor in _BETS if (rate := factor * alpha) < _LARGEST_BET])[:, None]
    logs = errors * np.log(rates / alpha) + (audits - errors) * (np.log1p(-rates) - math.log1p(-alpha))
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - math.log(len(rates)))


def _log_capital_below(errors: int, audits: int, rate: float) -> float:
    """The same of bets on rates that are smaller than `rate`, in (0, 1)."""
    factors = np.array(_BETS)
    logs = -errors * np.log(factors) + (audits - errors) * (np.log1p(-rate / factors) - math.log1p(-rate))
    return float(np.logaddexp.reduce(logs) - math.log(len(factors)))


def _check_counts(errors: int, audits: int) -> None:
    if not 0 <= errors <= audits:
        raise InputError(f"audit: {errors} errors among {audits}", remedy="0 <= errors <= audits")


def _check_levels(alpha: float, delta: float) -> None:
    for name, value in (("alpha", alpha), ("delta", delta)):
        if not 0 < value <= 0.5:
            raise InputError(f"audit: {name} is {value}", remedy="give a number above 0 and at most 0.5")
