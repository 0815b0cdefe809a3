"""Every seam on one page: what a part must offer so that another can be put in its place."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from llmtriage.predictions import Example, Failure, Prediction, Question
    from llmtriage.remembering import Decision, Recalled
    from llmtriage.tickets import Ticket, TicketRow


@runtime_checkable
class Backend(Protocol):
    """Turns questions into predictions: an LLM, a lexical model, or a wrapper around another backend.

    One that shows `Question.examples` to a model says so with an attribute `reads_prompts = True`; for others none are chosen.
    One that answers many questions hardly slower than one says so with `answers_together = True`: the service then asks it for several callers at
    a time.
    One that must ask its server something before it knows its fingerprint has an async method `settle()`, which is called before that.
    """

    @property
    def name(self) -> str:
        """What people read: "vllm:Qwen/Qwen3-8B"."""

    def fingerprint(self) -> Mapping[str, str]:
        """All that its scores depend on, apart from taxonomy and preparation."""

    def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:
        """Answer each question, in their order.

        Questions are taken as they come; no more than a bounded number is held. A failure of one ticket is a `Failure`.

        Args:
            questions: Any number, also endless.
            online: Somebody waits for this one ticket: short deadline. Otherwise a batch that may wait.

        Raises:
            BackendError: The engine as a whole cannot work.
        """


@runtime_checkable
class Selector(Protocol):
    """Chooses the examples that stand in the prompt of one ticket, besides those shared by all tickets."""

    def fingerprint(self) -> Mapping[str, str]:
        """All that its choice depends on, apart from the ticket."""

    def examples_for(self, text: str) -> tuple[Example, ...]:
        """The examples for a prepared text, the one that tells most last: it stands directly before the ticket.

        Called in a thread of its own, for one ticket after another.
        """


class Store(Protocol):
    """Keeps what was decided, so that it outlives a run and nothing is asked twice. Called from several threads."""

    @property
    def name(self) -> str:
        """What people read."""

    def recall(self, tickets: Sequence[tuple[Ticket, str]]) -> Recalled:
        """What is known of tickets, each with its run (`Triage.run_of`), in their order. Raises StoreError."""

    def record(self, decisions: Sequence[Decision]) -> Future[Sequence[bool]]:
        """Keep decisions, all of them or none.

        The future is done when they outlive a kill, and says of each whether it may be told as it is. Else `recall` knows what is told: another
        outcome of this ticket, text and run was there first, or the text waits for a blind review. It may hold a StoreError.
        """

    def examples(self, name: str) -> Sequence[TicketRow]:
        """The tickets of a frozen set with their categories, always the same. Raises InputError, StoreError."""

    def draw(self, ticket: Ticket, name: str) -> float:
        """A number in [0, 1) that belongs to this ticket and this name, the same whenever it is asked for, and that nobody can foresee."""
