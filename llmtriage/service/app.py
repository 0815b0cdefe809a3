"""The app: routes, what every request goes through, and what runs beside them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from llmtriage import __version__
from llmtriage.service import pages, problems
from llmtriage.service.api import admin, classify, health, overview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from llmtriage.service.serving import Service


def create_app(service: Service) -> FastAPI:
    """An ASGI app around a service, whose first version was taken over."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.versions.aclose()

    app = FastAPI(title="llmtriage", version=__version__, lifespan=lifespan)
    app.state.service = service
    problems.install(app)
    for part in (health, classify, admin, overview, pages):
        app.include_router(part.router)
    return app
