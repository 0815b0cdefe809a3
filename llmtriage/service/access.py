"""Who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Depends, Request

if TYPE_CHECKING:
    from collections.abc import Callable

Scope = Literal["classify", "review", "admin"]
SCOPES: tuple[Scope, ...] = ("classify", "review", "admin")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        name: Of the key, or of the person.
        scopes: What the caller may do.
    """

    name: str
    scopes: frozenset[str]


def caller_of(request: Request) -> Caller:  # noqa: ARG001
    """Who calls the API."""
    return Caller("local", frozenset(SCOPES))


def may(scope: Scope) -> Callable[..., Caller]:
    """A dependency: the caller, who may do this. Raises Problem (401, 403)."""

    def check(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        assert scope in caller.scopes  # noqa: S101
        return caller

    return check
