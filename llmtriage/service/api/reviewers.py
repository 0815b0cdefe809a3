"""Who answers, as it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmtriage.errors import InputError
from llmtriage.reviewing import reviewer_name

if TYPE_CHECKING:
    from llmtriage.service.access import Caller

ReviewerIn = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=80,
        description="The person, as the calling system knows them. "
        "It is kept behind the name of the key: crm/王芳, without it crm/. Who is signed in answers in their own name.",
    ),
]


def answering(caller: Caller, reviewer: str | None) -> str:
    """The name under which an answer is kept: the caller's, with that of the person behind it.

    What a caller says of a person is that caller's word alone, so it never passes as the word of a person who signed in, or of another caller:
    in the name of a key or of a person no "/" stands.

    Raises:
        InputError: It is no visible text on one line, or somebody who is signed in speaks for another one.
    """
    if caller.kind == "person" and reviewer not in (None, caller.name):
        raise InputError("who is signed in answers in their own name", field="reviewer", remedy="leave it out")
    if caller.kind == "person" or (caller.kind == "local" and reviewer is None):
        return caller.name
    return reviewer_name(f"{caller.name}/{(reviewer or '').strip()}", field="reviewer")
