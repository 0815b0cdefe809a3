"""Where in a message the ticket stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from llmtriage.errors import UnknownNameError
from llmtriage.service.api.models import TicketIn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.tickets import Ticket

Paths = dict[str, tuple[str, ...]]
"""For each field of a ticket the places where it may stand, as names with dots; the first that is there counts."""

_OWN = ("id", "title", "content", "channel", "language", "customer")
_METADATA = "metadata."
MAPS: Mapping[str, Paths] = {
    "standard": {name: (f"data.{name}", name) for name in _OWN},
    # The event "Ticket created" has it in `detail`; what a trigger sends is written by its owner, in `ticket` as docs/webhooks.md shows.
    "zendesk": {
        "id": ("detail.id", "ticket.id"),
        "title": ("detail.subject", "ticket.subject"),
        "content": ("detail.description", "ticket.description"),
        "channel": ("detail.via.channel", "ticket.channel"),
        "language": ("detail.locale", "ticket.locale"),
        "customer": ("detail.requester_id", "ticket.requester"),
    },
}


class UnusableError(Exception):
    """A message in which no ticket stands.

    Args:
        errors: What is wrong with which field; nothing of the message.
    """

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("no ticket")
        self.errors = errors


def paths(kind: str, own: Mapping[str, str], *, hook: str) -> Paths:
    """The map of a kind of hook, with what its settings say otherwise. Raises UnknownNameError."""
    for name in own:
        if name not in _OWN and not (name.startswith(_METADATA) and name != _METADATA):
            known = (*_OWN, f"{_METADATA}NAME")
            raise UnknownNameError.among("field of a ticket", name, known, field=f"hooks.{hook}.fields")
    return {**MAPS[kind], **{name: (path,) for name, path in own.items()}}


def ticket_in(body: bytes, where: Paths) -> Ticket:
    """The ticket that a message holds. Raises UnusableError."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise UnusableError([{"place": "body", "problem": "not JSON in UTF-8"}]) from None
    found = {name: _found(message, name, places) for name, places in where.items()}
    found = {name: text for name, text in found.items() if text is not None}
    metadata = {name.removeprefix(_METADATA): text for name, text in found.items() if name.startswith(_METADATA)}
    try:
        ticket = TicketIn.model_validate({**{name: found[name] for name in _OWN if name in found}, "metadata": metadata})
    except ValidationError as error:
        told = [{"place": _place(one["loc"], where), "problem": one["msg"]} for one in error.errors()[:5]]
        raise UnusableError(told) from None
    return ticket.to_ticket()


def _found(message: Any, name: str, places: tuple[str, ...]) -> str | None:
    for place in places:
        value = _at(message, place)
        if isinstance(value, bool | dict | list | float):
            raise UnusableError([{"place": place, "problem": f"{name} must be a text or a whole number"}])
        if value is not None:
            return str(value)
    return None


def _at(message: Any, place: str) -> Any:
    for key in place.split("."):
        if not isinstance(message, dict):
            return None
        message = message.get(key)
    return message


def _place(location: tuple[int | str, ...], where: Paths) -> str:
    """Where the sender has to look: a field's places in the message."""
    name = ".".join(map(str, location))
    return " or ".join(where.get(name, (name,)))
