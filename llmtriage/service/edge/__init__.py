"""What every request goes through before a route sees it and after it has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtriage.service.edge.arriving import Arriving
from llmtriage.service.edge.idempotency import KeptReplies, Replayed, replay
from llmtriage.service.edge.in_flight import InFlight
from llmtriage.service.edge.observing import Observing
from llmtriage.store.requests import Requests

if TYPE_CHECKING:
    from fastapi import FastAPI

    from llmtriage.service.serving import Service

__all__ = ["install"]


def install(app: FastAPI, service: Service) -> None:
    """Put it around the app; what is added last sees a request first."""
    settings = service.settings
    app.add_exception_handler(Replayed, replay)
    app.add_middleware(KeptReplies, requests=Requests(service.store.database))
    app.add_middleware(InFlight, most=settings.in_flight)
    app.add_middleware(Arriving, settings=settings)
    app.add_middleware(Observing, metrics=service.metrics)
