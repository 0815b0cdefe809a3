"""What every test stands on: a clean environment, no network beyond this machine, small taxonomies."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Iterator
from typing import Any

import hypothesis
import pytest
from probed import Plays, Probed

import llmtriage
from llmtriage import Category, Taxonomy

_LOCAL = ("127.0.0.1", "::1", "localhost")

# scikit-learn's own checks of inputs that are no texts: data frames and arrays of other libraries. And systemd, which not every Linux has.
_MAY_SKIP = ("SCIPY_ARRAY_API is not set", "pandas is not installed", "no systemd here")
# What `.ci/run` says it could not install, with the beginning of the reason for a skip.
_MAY_BE_MISSING = {"NO_CHROMIUM": "no Chromium here", "NO_POSTGRESQL": "no PostgreSQL here", "NO_PROMTOOL": "no promtool here"}


# A machine that does other work too is no reason to fail; a law is what is tested.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


def pytest_configure() -> None:
    """Coverage stays in this process, and `make test-wheel` tests what is installed, not the sources beside the tests.

    Programs that tests start take twice as long under coverage, and one that is interrupted while coverage holds its lock never ends.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # itself a program that is started, and measured
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    if os.environ.get("EXPECT_WHEEL") and "site-packages" not in llmtriage.__file__:
        pytest.exit(f"the tests would run on {llmtriage.__file__}, not on the wheel", returncode=4)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI everything a test needs is there: a skip is a failure."""
    report = yield
    may = (*_MAY_SKIP, *(reason for name, reason in _MAY_BE_MISSING.items() if os.environ.get(name)))
    if report.skipped and os.environ.get("CI") and not any(reason in str(report.longrepr) for reason in may):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No key, setting or proxy of this machine reaches a test."""
    for name in os.environ:
        if name.startswith(("LLMTRIAGE_", "OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("LLMTRIAGE_NO_STORE", "1")  # a test that wants a store says so: else the next run would ask nothing


@pytest.fixture
def by_json(monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> None:
    """Chat models are read by JSON, as in the tests of what servers do to any request: each ticket is one request, and no other."""
    monkeypatch.setenv("LLMTRIAGE_READING", "json")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that would leave this machine fails the test."""
    connect = socket.socket.connect
    look_up = socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOCAL:
            pytest.fail(f"a test tried to connect to {address[0]}")
        connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in (*_LOCAL, None):
            pytest.fail(f"a test tried to look up {host}")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture
def shop() -> Taxonomy:
    """A small tree: two departments and a catch-all without a team."""
    return Taxonomy(
        categories=(
            Category(
                id="sales",
                name={"en": "Sales", "zh": "售后"},
                team="sales",
                children=(Category(id="refund", name={"en": "Refund", "zh": "退款"}), Category(id="parcel", team="logistics")),
            ),
            Category(id="technical", team="tech", children=(Category(id="login"), Category(id="privacy", always_review=True))),
            Category(id="other", catch_all=True),
        )
    )


@pytest.fixture
def started() -> Iterator[Callable[[Plays], Probed]]:
    """Start chat servers that play their parts; all are stopped at the end."""
    servers: list[Probed] = []

    def start(plays: Plays) -> Probed:
        servers.append(Probed(plays))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
