"""The app: routes, what every request goes through, and what runs beside them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from llmtriage import __version__
from llmtriage.service import access, document, edge, pages, problems
from llmtriage.service.access.headers import Headers
from llmtriage.service.api import admin, classify, health, hooks, metrics, overview, queue, reviews, tickets
from llmtriage.service.edge.idempotency import forget_old
from llmtriage.service.hooks.running import Hooks
from llmtriage.service.readiness import Readiness
from llmtriage.store.requests import Requests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from llmtriage.service.serving import Service


class _App(FastAPI):
    """With the headers around everything: the answer to a fault of this program is made outside of all middleware that is added."""

    def build_middleware_stack(self) -> ASGIApp:
        return Headers(super().build_middleware_stack())


def create_app(service: Service) -> FastAPI:
    """An ASGI app around a service, whose first version was taken over. Raises InputError where a hook or callback cannot work."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        forgetting = asyncio.create_task(forget_old(Requests(service.store.database)))
        async with app.state.hooks.beside():
            yield
        forgetting.cancel()
        await service.versions.aclose()

    app = _App(
        title="llmtriage", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, responses=document.PROBLEMS
    )
    app.state.service = service
    app.state.readiness = Readiness(service.store)
    app.state.hooks = Hooks(service, service.metrics.delivered)
    problems.install(app)
    pages.install(app)
    access.install(app, service)
    edge.install(app, service)
    for part in (health, classify, queue, tickets, reviews, overview, hooks, admin, metrics, pages):
        app.include_router(part.router)
    document.install(app)
    return app
