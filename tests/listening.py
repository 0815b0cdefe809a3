"""A service that listens on a port of this machine, in a thread of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from llmtriage import Triage
from llmtriage.service.app import create_app
from llmtriage.service.serving import Service
from llmtriage.service.settings import ServiceSettings
from llmtriage.service.versions import Versions
from llmtriage.store import SqlStore


@dataclass(frozen=True)
class House:
    """A service that listens.

    Attributes:
        url: Where.
        service: What runs.
        store: What it works on.
    """

    url: str
    service: Service
    store: SqlStore

    def enqueue(self, *tickets: dict[str, str]) -> None:
        """Decide on tickets, so that they wait where none is accepted."""
        for ticket in tickets:
            httpx2.post(f"{self.url}/classify/single", json=ticket, timeout=60).raise_for_status()


@contextmanager
def listening(folder: Path, *, triage: dict[str, Any] | None = None, **settings: Any) -> Iterator[House]:
    """A service on `folder`/service.db that ends with the block."""
    with SqlStore(folder / "service.db", newest_waits=True) as store, socket.create_server(("127.0.0.1", 0)) as place:
        versions = Versions(lambda: Triage(**{"store": store, **(triage or {})}))
        service = Service(ServiceSettings(**settings), store, versions)
        server = uvicorn.Server(uvicorn.Config(create_app(service), log_config=None, access_log=False))

        async def serve() -> None:  # not in the test's own thread: playwright's loop runs there
            await versions.take_over()
            await server.serve(sockets=[place])

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        try:
            yield House(f"http://127.0.0.1:{place.getsockname()[1]}", service, store)
        finally:
            server.should_exit = True
            thread.join(timeout=20)
