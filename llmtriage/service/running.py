"""The service as a process: from settings to a server that listens."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from llmtriage.errors import InputError
from llmtriage.service.app import create_app
from llmtriage.service.edge.log_lines import LogLines
from llmtriage.service.serving import Service
from llmtriage.service.versions import Versions
from llmtriage.store import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llmtriage.service.metrics import Metrics
    from llmtriage.service.settings import ServiceSettings
    from llmtriage.store import SqlStore
    from llmtriage.triage import Triage

_log = logging.getLogger("llmtriage.service")
_LET_FINISH = 30  # seconds for what is under way when the service is told to stop


def serve(
    settings: ServiceSettings, store: SqlStore, build: Callable[[], Triage], *, tell: Callable[[str, Triage], None]
) -> None:
    """Listen until told to stop, and answer what is under way; to be called in the main thread, which gets the signals.

    Args:
        settings: Where, and how it behaves.
        store: What it works on.
        build: Makes a `Triage`; called again for each new version.
        tell: Is given the address once it listens, and what decides.

    Raises:
        InputError: A file cannot be used, or it cannot listen there.
        CalibrationError: The calibration was made under something else.
        BackendError: The engine cannot work.
        KeyboardInterrupt: It was stopped from the keyboard, and all is answered.
    """
    _must_have_key(settings, store)
    service = Service(settings, store, Versions(build))
    with _logging(service.metrics):
        asyncio.run(_serve(service, tell))
        _log.info("llmtriage: stopped")


async def _serve(service: Service, tell: Callable[[str, Triage], None]) -> None:
    settings = service.settings
    decides = await service.versions.take_over()  # what cannot work stops here, with its own error
    try:
        app, listening = create_app(service), _listen(settings.host, settings.port)
    except BaseException:
        await service.versions.aclose()
        raise
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_LET_FINISH,
    )
    with listening:
        host, port = listening.getsockname()[:2]
        tell(f"http://{f'[{host}]' if ':' in host else host}:{port}", decides.triage)
        server = uvicorn.Server(config)
        signal.signal(signal.SIGTERM, server.handle_exit)  # uvicorn raises it anew at the end, when nothing is left to do
        await server.serve(sockets=[listening])


def _must_have_key(settings: ServiceSettings, store: SqlStore) -> None:
    if not settings.is_local and not any(key.is_usable for key in keys.listed(store.database)):
        problem = f"{settings.host} is not this machine alone, and there is no key"
        raise InputError(problem, field="--host", remedy="make one with: llmtriage keys create")


@contextmanager
def _logging(metrics: Metrics) -> Iterator[None]:
    """One line of JSON a request goes to stderr, and beside it what else the log says."""
    lines = LogLines(sys.stderr.fileno(), metrics.dropped)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    _log.setLevel(logging.INFO)
    _log.propagate = False
    logs = [log for log in (_log, logging.getLogger()) if not log.handlers]  # with --debug there is one
    for log in logs:
        log.addHandler(lines)
    try:
        yield
    finally:
        for log in logs:
            log.removeHandler(lines)
        lines.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024)
    except OSError as error:
        problem = f"cannot listen on {host}:{port} ({os.strerror(error.errno) if error.errno and error.errno > 0 else error})"
        raise InputError(problem, field="--port", remedy="stop what listens there, or choose another port") from None
    # Connections inherit it: an answer's second packet does not wait for a receipt of the first. asyncio sees to it only where the protocol is named.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
