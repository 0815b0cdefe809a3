"""What the rules remember while the service runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from llmtriage.service.access.hosts import Hosts
from llmtriage.service.access.rate import Attempts, Rates
from llmtriage.service.access.remembered import Remembered

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import HTTPConnection

    from llmtriage.service.serving import Service


@dataclass(frozen=True, slots=True)
class Access:
    """In this process.

    Attributes:
        rates: Requests of callers.
        attempts: Sign-ins that failed.
        remembered: What the store said of keys.
    """

    rates: Rates
    attempts: Attempts = field(default_factory=Attempts)
    remembered: Remembered = field(default_factory=Remembered)


def install(app: FastAPI, service: Service) -> None:
    """Have an app keep the rules that hold for every request."""
    app.state.access = Access(Rates(service.settings.per_minute))
    app.add_middleware(Hosts, settings=service.settings)


def access_of(connection: HTTPConnection) -> Access:
    """What is remembered by the service that a request came to."""
    return cast("Access", connection.app.state.access)
