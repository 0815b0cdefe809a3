"""Hooks as they are set up: who may send, and where the ticket stands."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmtriage.service.hooks.fields import paths, ticket_in
from llmtriage.service.hooks.signing import Standard, Zendesk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llmtriage.service.hooks.fields import Paths
    from llmtriage.service.hooks.signing import Verifier
    from llmtriage.settings import HookSettings
    from llmtriage.tickets import Ticket

_KINDS: Mapping[str, Callable[..., Verifier]] = {"standard": Standard, "zendesk": Zendesk}


@dataclass(frozen=True, slots=True)
class Hook:
    """A place to which another system sends tickets.

    Attributes:
        verify: Knows the sender.
        where: Where in a message the ticket stands.
        prefix: Stands before the ticket's id.
    """

    verify: Verifier
    where: Paths
    prefix: str = ""

    def ticket(self, body: bytes) -> Ticket:
        """The ticket that a message holds. Raises UnusableError."""
        found = ticket_in(body, self.where)
        return found if found.id is None else replace(found, id=self.prefix + found.id)


def hooks_of(settings: Mapping[str, HookSettings]) -> dict[str, Hook]:
    """The hooks by their names. Raises InputError where a secret is missing or a field does not exist."""
    return {name: _hook(name, one) for name, one in settings.items()}


def _hook(name: str, settings: HookSettings) -> Hook:
    verify = _KINDS[settings.kind](os.environ.get(settings.secret_env, ""), variable=settings.secret_env)
    return Hook(verify, paths(settings.kind, settings.fields, hook=name), settings.id_prefix)
