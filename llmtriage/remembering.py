"""What a `Triage` does with a store: it asks nothing twice, and tells an outcome when it is kept. With it the blind review by chance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from llmtriage.errors import InputError
from llmtriage.outcomes import Outcome, blind

if TYPE_CHECKING:
    from llmtriage.protocols import Store
    from llmtriage.tickets import Ticket


@dataclass(frozen=True, slots=True)
class Run:
    """What the outcomes of a run depend on.

    Attributes:
        id: Its fingerprint in short.
        backend: The engine's name.
        fingerprint: All of it; no keys, no ticket text.
    """

    id: str
    backend: str
    fingerprint: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """One ticket as it was decided.

    Attributes:
        ticket: As received.
        outcome: What routing said, also of a probe.
        run: What decided.
        run_key: What the outcome depends on besides the text: `Triage.run_of`.
        probe: The probability with which the ticket was drawn for a blind review; None where it was not drawn.
    """

    ticket: Ticket
    outcome: Outcome
    run: Run
    run_key: str
    probe: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a store knows about a ticket.

    Attributes:
        outcome: What routing said of the same text in the same run.
        own: Whether of this very ticket as it is now: nothing is to be kept. Else another one has this text, or its fields have changed.
        probed: Whether this very ticket waits for a blind review, whichever run drew it.
    """

    outcome: Outcome
    own: bool
    probed: bool = False

    @property
    def told(self) -> Outcome:
        """What may be told of it."""
        return blind(self.outcome) if self.probed else self.outcome


class Recalled(NamedTuple):
    """What a store knows of several tickets.

    Attributes:
        known: Of each; None where it knows nothing.
        as_of: The number of its last event then: `Ticket.as_of` of those that it is to keep.
    """

    known: Sequence[Known | None]
    as_of: int


class Memory:
    """A store, and the share of tickets that are drawn for a blind review."""

    def __init__(self, store: Store, probe: float | None = None, *, close: Callable[[], None] | None = None) -> None:
        """Use `store`.

        Args:
            store: Where outcomes are kept.
            probe: The share of all tickets that a person decides blind, in (0, 1]; None: none.
            close: What closes the store, where it was opened for this alone.

        Raises:
            InputError: `probe` is no such share.
        """
        if probe is not None and not 0 < probe <= 1:
            raise InputError(f"{probe} is no share above 0", field="probe", remedy="give one like 0.02, or leave it out")
        self.store, self.probe, self._close = store, probe, close

    async def aclose(self) -> None:
        """Close the store, if it was opened for this alone. Used again, it opens its connections again."""
        if self._close is not None:
            await asyncio.to_thread(self._close)

    def fingerprint(self) -> Mapping[str, str]:
        """What outcomes depend on because of it."""
        return {} if self.probe is None else {"probe": f"{self.probe:g}"}

    async def recall(self, tickets: Sequence[Ticket], texts: Sequence[str], run_keys: Sequence[str]) -> Recalled:
        """What is known of each ticket, whose prepared texts are `texts`. Raises StoreError."""
        pairs = list(zip(tickets, run_keys, strict=True))
        known, as_of = await asyncio.to_thread(self.store.recall, pairs)
        own = [one and replace(one, outcome=replace(one.outcome, text=text)) for one, text in zip(known, texts, strict=True)]
        return Recalled(own, as_of)

    def drawn(self, ticket: Ticket) -> float | None:
        """The probability with which a ticket was drawn for a blind review; None where it was not drawn."""
        if self.probe is None or self.store.draw(ticket, "probe") >= self.probe:
            return None
        return self.probe

    async def record(self, decisions: Sequence[Decision]) -> list[Outcome]:
        """Keep decisions; they are on disk when it returns. Raises StoreError.

        Returns:
            What is told of them: where another process was first, its own outcome; of a ticket that waits for a blind review nothing; where
            the ticket was erased meanwhile, what was decided.
        """
        if not decisions:
            return []
        stands = await asyncio.wrap_future(self.store.record(decisions))
        late = [one for one, is_new in zip(decisions, stands, strict=True) if not is_new]
        if not late:
            return [one.outcome for one in decisions]
        keys = [one.run_key for one in late]
        known, _ = await self.recall([one.ticket for one in late], [one.outcome.text for one in late], keys)
        others = iter(known)
        found = (None if is_new else next(others) for is_new in stands)
        return [one.outcome if other is None else other.told for one, other in zip(decisions, found, strict=True)]
