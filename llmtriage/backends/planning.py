"""A request before it is sent, as plain data: for estimates, and to show."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What an engine would send for one question.

    Attributes:
        url: Where to.
        model: Whom it would ask.
        shared: The text that is the same for every ticket, in the order of the request.
        own: The text of this ticket alone.
        output_tokens: Tokens of a usual answer, estimated.
        known: Whether the reply cache has the answer.
        calls: Requests like this one for a ticket, about.
    """

    url: str
    model: str
    shared: str = field(repr=False)
    own: str = field(repr=False)
    output_tokens: int
    known: bool = False
    calls: int = 1

    @property
    def text(self) -> str:
        """All of it, as it would be sent."""
        return f"{self.shared}\n{self.own}"
