"""What the plots of an evaluation are drawn from: plain data, no drawing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llmtriage.evaluation.judging import Judged, Row, Tickets
from llmtriage.evaluation.report import Confusion, Report
from llmtriage.outcomes import Pending
from llmtriage.predictions import Floats

if TYPE_CHECKING:
    from llmtriage.calibration import Calibration
    from llmtriage.taxonomy import Taxonomy

Bools = npt.NDArray[np.bool_]

_OPEN = frozenset({"below_threshold", "uncalibrated"})
"""Reasons that a higher number would have taken away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Answers with their numbers.

    Attributes:
        confidence: How sure the engine is of each, in [0, 1].
        right: Whether it is right.
    """

    confidence: Floats
    right: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What was accepted of the evaluated tickets.

    Attributes:
        share: Of all tickets, in [0, 1].
        error: The share of wrong ones among them.
    """

    share: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How a promise was decided; see `llmtriage.calibration.Promise`.

    Attributes:
        alpha: The largest share of wrong tickets among those accepted.
        delta: The probability over labelled samples that the promise does not hold.
        n: Labelled tickets that were certified.
        accepted: Of these, those accepted.
        errors: Of those accepted, the wrong ones.
        need: `need[j]` is the number of accepted tickets from which j errors are tolerated; empty: the threshold was fixed beforehand.
        wrong_at: Where wrong ones stand in the order of confidence, from 1; as many as could be tolerated at all, and one more.
        about: The answers that it is about; empty: all.
    """

    alpha: float
    delta: float
    n: int
    accepted: int
    errors: int
    need: tuple[int, ...]
    wrong_at: tuple[int, ...]
    about: tuple[str, ...] = ()

    @property
    def walk(self) -> tuple[list[int], list[int]]:
        """The corners of the count of errors, a line that rises only at them: tickets taken, and errors among these.

        It ends with the last error that was kept, but not before the tickets that are accepted.
        """
        known_to = max([self.accepted, *self.wrong_at[-1:]])
        return [0, *self.wrong_at, known_to], [0, *range(1, len(self.wrong_at) + 1), len(self.wrong_at)]

    @property
    def boundary(self) -> tuple[list[int], list[int]]:
        """The corners of what is tolerated, a line of the same kind, from the first ticket on at which none is tolerated."""
        return ([*self.need, self.n], [*range(len(self.need)), len(self.need) - 1]) if self.need else ([], [])

    @property
    def tolerated(self) -> int | None:
        """Errors that were tolerated among the accepted ones; None: the threshold was fixed beforehand."""
        return bisect_right(self.need, self.accepted) - 1 if self.need else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """What the plots are drawn from.

    Attributes:
        told: What is offered for each ticket that has a number; what the calibration figures of a `Report` are about.
        offered: Of these, what would be accepted if the number were high enough.
        held: Tickets that no number would let through: a gate or a rule holds them, or there is no answer or no number.
        routed: None: nothing was accepted.
        confusions: The most frequent ones, most frequent first.
        wrong: All answers with the wrong leaf, also those that `confusions` leaves out.
        decisions: One for each promise.
    """

    told: Numbers
    offered: Numbers
    held: int
    routed: Routed | None
    confusions: tuple[Confusion, ...]
    wrong: int
    decisions: tuple[Decision, ...] = ()


def measured_curves(
    judged: Sequence[Judged],
    taxonomy: Taxonomy,
    report: Report,
    *,
    calibration: Calibration | None = None,
    none_label: str | None = None,
) -> Curves:
    """What the plots show of judged tickets.

    Args:
        judged: The tickets of the report.
        taxonomy: What the engine chose among.
        report: What `evaluate` says of them.
        calibration: What they were routed with.
        none_label: As for `evaluate`.

    Raises:
        InputError: As `evaluate`.
    """
    tickets = Tickets(judged, taxonomy, calibration, none_label=none_label)
    offers = [_offer(row) for row in tickets.rows]
    accepted = report.accepted
    return Curves(
        told=_numbers([(row.confidence, row.offer_right) for row in tickets.rows if row.confidence is not None]),
        offered=_numbers([offer for offer in offers if offer is not None]),
        held=sum(offer is None for offer in offers),
        routed=None if accepted.error is None else Routed(share=accepted.share, error=accepted.error),
        confusions=report.confusions,
        wrong=sum(row.predicted is not None and not row.right for row in tickets.rows),
        decisions=_decisions(calibration),
    )


def _numbers(pairs: Sequence[tuple[float, bool]]) -> Numbers:
    confidence, right = zip(*pairs, strict=True) if pairs else ((), ())
    return Numbers(confidence=np.array(confidence, np.float64), right=np.array(right, np.bool_))


def _offer(row: Row) -> tuple[float, bool] | None:
    """The number of what could be accepted of a ticket, and whether that is right; None: nothing could be."""
    outcome = row.judged.outcome
    if row.confidence is None or (isinstance(outcome, Pending) and any(reason.code not in _OPEN for reason in outcome.reasons)):
        return None
    return row.confidence, row.offer_right


def _decisions(calibration: Calibration | None) -> tuple[Decision, ...]:
    promises = calibration.promises if calibration else ()
    return tuple(
        Decision(
            alpha=promise.alpha,
            delta=promise.delta,
            n=promise.n,
            accepted=promise.accepted,
            errors=promise.errors,
            need=promise.need,
            wrong_at=promise.wrong_at,
            about=promise.categories if len(promises) > 1 else (),
        )
        for promise in promises
    )
