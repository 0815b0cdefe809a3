"""A service in the process of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from fastapi.testclient import TestClient

from llmtriage import Triage
from llmtriage.service.app import create_app
from llmtriage.service.serving import Service
from llmtriage.service.settings import ServiceSettings
from llmtriage.service.versions import Versions
from llmtriage.store import SqlStore

URL = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Served:
    """A running service, and who calls it."""

    client: TestClient
    service: Service
    store: SqlStore


@contextmanager
def listening(service: Service) -> Iterator[int]:
    """The port of a real server in front of a service, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(service), log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@cache
def _new_store() -> bytes:
    """A store in which nothing is: making its tables takes most of the time of a start."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        SqlStore(path).close()
        return path.read_bytes()


@contextmanager
def started(
    folder: Path, *, triage: dict[str, Any] | None = None, store: dict[str, Any] | None = None, **settings: Any
) -> Iterator[Served]:
    """A service on `folder`/service.db, or where `store` says, that ends with the block. Second opinions, which are drawn, only for who asks."""
    wanted = ServiceSettings(**{"second": 0.0, **settings})
    file = folder / "service.db"
    if not file.exists():
        file.write_bytes(_new_store())
        file.chmod(0o600)
    place = {"where": file, "newest_waits": True, "second": wanted.second, **(store or {})}
    with SqlStore(**place) as kept:
        versions = Versions(lambda: Triage(**{"store": kept, "cache_dir": folder.parent / "fitted", **(triage or {})}))
        asyncio.run(versions.take_over())
        service = Service(wanted, kept, versions)
        with TestClient(create_app(service), base_url=URL, raise_server_exceptions=False) as client:
            yield Served(client, service, kept)
