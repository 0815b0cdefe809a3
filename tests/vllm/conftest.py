"""A real vLLM server for the tests that ask for one.

It is started on this machine's CPU, or LLMTRIAGE_VLLM_URL names one that runs. A test that asks for a fixture of this file gets the marker
`vllm` by itself, and time for a server to start.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from local_vllm import MODEL, NoVllmError, Served, Server, installed

_URL = os.environ.get("LLMTRIAGE_VLLM_URL")  # read now: a test's environment has it no more
_FIXTURES = {"vllm_python", "vllm_server", "start_vllm"}
_SECONDS = 600


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of a real vLLM, and put those last that start servers of their own: the shared one is stopped for them."""
    for item in items:
        if _FIXTURES & _asked(item):
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.timeout(_SECONDS))
    items.sort(key=_turn)


def _asked(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


def _turn(item: pytest.Item) -> tuple[bool, bool]:
    """Tests without a server of their own, then those with both, then those with only their own."""
    asked = _asked(item)
    own = "start_vllm" in asked
    return own, own and "vllm_server" not in asked


if _URL:

    @pytest.fixture(autouse=True)
    def no_network() -> None:
        """The server that was named may stand anywhere."""


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The Python of the environment that has vLLM; without one, the test is skipped and the reason told."""
    try:
        return installed()
    except NoVllmError as error:
        pytest.skip(f"no vLLM here: {error}")


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The one server of a run, not started."""
    server = Server(log=tmp_path_factory.mktemp("vllm") / "server.log")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def vllm_server(request: pytest.FixtureRequest) -> Served:
    """The model behind the one server that the tests of a run share: `url`, `model`, and `backend` for `Triage`."""
    return Served(_URL) if _URL else _started(request.getfixturevalue("_shared"), request)


@pytest.fixture(scope="module")
def start_vllm(
    request: pytest.FixtureRequest, _shared: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Start servers of this module's own, with more flags; they can be stopped by a signal and started again.

    The shared one is stopped first, unless the module's first test with servers of its own asks for that too.
    """
    if "vllm_server" not in request.fixturenames:
        _shared.stop()
    folder, numbers = tmp_path_factory.mktemp("vllm"), itertools.count(1)
    with ExitStack() as stack:

        def start(*flags: str) -> Server:
            server = Server(*flags, log=folder / f"vllm-{next(numbers)}.log")
            stack.callback(server.stop)
            return _started(server, request)

        yield start


def _started(server: Server, request: pytest.FixtureRequest) -> Server:
    request.getfixturevalue("vllm_python")
    if not MODEL.exists():
        pytest.skip(f"no vLLM here: there is no model in {MODEL}")
    try:
        server.start()
    except NoVllmError as error:
        pytest.skip(f"no vLLM here: {error}")
    return server
