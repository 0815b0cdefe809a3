"""A service in this process, on the embedded engine and a new store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving import Served, started

from llmtriage.store import accounts

Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a service: settings of `ServiceSettings` by name, arguments of `Triage` as `triage={...}`, of the store as `store={...}`."""
    with ExitStack() as ends:

        def start(**options: Any) -> Served:
            return ends.enter_context(started(tmp_path, **options))

        yield start


@pytest.fixture
def client(serve: Serve) -> TestClient:
    """Calls a service with the usual settings, in which no ticket is accepted."""
    return serve().client


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time: `tests/cli/test_keys_command.py` sees that they take some."""
    monkeypatch.setattr(accounts, "_N", 16)
    monkeypatch.setattr(accounts, "_NOBODY", accounts._written(bytes(16), bytes(32)))
