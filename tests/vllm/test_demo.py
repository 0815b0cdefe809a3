"""`make demo-llm`: says what comes before it does anything, and shows a real model at work."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from local_vllm import NoVllmError, Served
from support import ROOT

SCRIPT = ROOT / "examples" / "demo_llm.py"


@pytest.fixture
def demo() -> ModuleType:
    """The script as a module."""
    return importlib.import_module("demo_llm")


class Terminal:
    """Somebody at a terminal, and what they do when they are asked."""

    def __init__(self, does: str) -> None:
        """What they type; "^C" for Ctrl-C."""
        self._does = does

    def isatty(self) -> bool:
        """They see the question."""
        return True

    def readline(self) -> str:
        """What they type."""
        if self._does == "^C":
            raise KeyboardInterrupt
        return self._does


@pytest.mark.parametrize(("does", "goes_on"), [("\n", True), ("", False), ("^C", False)])
def test_somebody_at_a_terminal_is_told_and_asked_before_anything_is_installed(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], does: str, *, goes_on: bool
) -> None:
    """Enter goes on; the end of the input and Ctrl-C leave."""

    def missing() -> None:
        raise NoVllmError("it is missing")

    installs: list[str] = []

    def install() -> None:
        installs.append(capsys.readouterr().out)
        raise NoVllmError("there is no such platform")

    monkeypatch.setattr(demo, "installed", missing)
    monkeypatch.setattr(demo, "install", install)
    monkeypatch.setattr(sys, "stdin", Terminal(does))
    monkeypatch.setattr(sys, "argv", ["demo_llm.py"])
    with pytest.raises(SystemExit, match="there is no such platform" if goes_on else "nothing was installed or started"):
        demo.main()
    told = installs[0] if goes_on else capsys.readouterr().out
    assert len(installs) == goes_on
    assert "about 3 GB in .venv-vllm" in told
    assert "starts        a vLLM server" in told
    assert "ten English domains" in told
    assert "Enter goes on" in told


def test_the_demo_shows_tickets_and_what_a_reading_costs(vllm_server: Served, tmp_path: Path) -> None:
    """On the shared server; where nobody sits at a terminal it does not wait."""
    command = [sys.executable, str(SCRIPT), "--url", vllm_server.url]
    done = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("id "))
    rows = [line.split() for line in lines[start + 1 : start + 17]]
    assert all(row[0].startswith("V") for row in rows)
    assert [line.split() for line in lines if line.startswith("JSON ")]
