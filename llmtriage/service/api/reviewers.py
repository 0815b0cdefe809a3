"""Who answers, as it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmtriage.reviewing import reviewer_name

if TYPE_CHECKING:
    from llmtriage.service.access import Caller

ReviewerIn = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=80,
        description="The person, as the calling system knows them. Kept behind the caller's own name: crm/王芳. Without it the caller answers.",
    ),
]


def answering(caller: Caller, reviewer: str | None) -> str:
    """The name under which an answer is kept: the caller's, with that of the person behind it.

    What a caller says of a person is that caller's word alone, so it never passes as the word of a person who signed in, or of another caller.

    Raises:
        InputError: It is no visible text on one line.
    """
    return reviewer_name(caller.name if reviewer is None else f"{caller.name}/{reviewer.strip()}", field="reviewer")
