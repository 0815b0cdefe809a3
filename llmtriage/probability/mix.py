"""The mix of categories in new tickets without labels, and probabilities corrected for it.

Both assume that only the mix has moved, not what the tickets of a category look like: a flood of tickets that belong nowhere breaks
that. Plain expectation maximisation drives rare categories to zero and harms where little has moved; pseudo-tickets of the reference
mix (a Dirichlet prior) hold it back. Correcting changes which tickets are accepted, so a certificate is void until made anew.

Sources: Saerens, Latinne & Decaestecker 2002, doi:10.1162/089976602753284446; with a Dirichlet prior, Storkey 2009, "When training
and test sets are different", in Quiñonero-Candela et al., "Dataset Shift in Machine Learning".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmtriage.errors import InputError
from llmtriage.probability.scores import Floats, distributions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

PSEUDO_TICKETS = 200.0
"""How many tickets of the reference mix are thought to be among the new ones."""

_STEPS = 10_000
_MOVED = 1e-12  # the largest change of a step that counts as none


def reference_mix(probabilities: ArrayLike) -> Floats:
    """The mean calibrated probabilities of the calibration tickets, shape (K,).

    Not the shares of their labels: a calibrator that is held back by priors differs from these.

    Args:
        probabilities: Shape (n, K), calibrated, rows that sum to 1 within 0.01.

    Raises:
        InputError: No tickets, one category, or a row is no distribution.
    """
    return np.asarray(distributions("mix", probabilities).mean(axis=0))


def estimated_mix(probabilities: ArrayLike, reference: ArrayLike, *, pseudo_tickets: float = PSEUDO_TICKETS) -> Floats:
    """The mix of the tickets behind these probabilities, shape (K,), summing to 1.

    Args:
        probabilities: Shape (m, K), calibrated under the reference mix, of tickets without labels.
        reference: Shape (K,), positive: see `reference_mix`.
        pseudo_tickets: How many tickets of the reference mix to add, at least 0; 0: plain expectation maximisation.

    Raises:
        InputError: No tickets, one category, a row is no distribution, or the reference or the pseudo-tickets are out of range.

    Example:
        >>> estimated_mix([[0.9, 0.1]] * 20, [0.5, 0.5], pseudo_tickets=20).round(3).tolist()
        [0.73, 0.27]
    """
    rows = distributions("mix", probabilities)
    before = _mix("reference mix", reference, rows.shape[1], least=np.finfo(np.float64).tiny)
    if not 0 <= pseudo_tickets < np.inf:
        raise InputError(f"mix: {pseudo_tickets} pseudo-tickets", remedy="give 0 or more")
    likelihood, mix = rows / before, before
    for _ in range(_STEPS):
        shares = 1 / (likelihood @ mix)
        new = (mix * (shares @ likelihood) + pseudo_tickets * before) / (len(rows) + pseudo_tickets)
        if np.abs(new - mix).max() <= _MOVED:
            break
        mix = new
    return new


def corrected(probabilities: ArrayLike, reference: ArrayLike, mix: ArrayLike) -> Floats:
    """Probabilities as they are under another mix: each times mix over reference, made to sum to 1.

    Args:
        probabilities: Shape (n, K), calibrated under the reference mix.
        reference: Shape (K,), positive.
        mix: Shape (K,), not negative.

    Raises:
        InputError: No tickets, one category, a row is no distribution, a mix is none, or a ticket has all its probability where the
            mix has none.

    Example:
        >>> corrected([[0.5, 0.5]], [0.5, 0.5], [0.8, 0.2]).tolist()
        [[0.8, 0.2]]
    """
    rows = distributions("mix", probabilities)
    before = _mix("reference mix", reference, rows.shape[1], least=np.finfo(np.float64).tiny)
    moved = rows * (_mix("mix", mix, rows.shape[1]) / before)
    sums = moved.sum(axis=1, keepdims=True)
    if not (sums > 0).all():
        raise InputError("mix: a ticket has all its probability where the mix has none", remedy="use more pseudo-tickets")
    return np.asarray(moved / sums)


def _mix(what: str, values: ArrayLike, k: int, *, least: float = 0.0) -> Floats:
    # A copy: the mix is returned where it has not moved.
    shares: Floats = distributions(what, np.array(values, dtype=np.float64)[None])[0]
    if len(shares) != k or shares.min() < least:
        raise InputError(f"{what} of {len(shares)} categories for {k}, or a share too small", remedy="one share each, positive")
    return shares
