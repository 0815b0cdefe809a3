"""The commands of a page, run as they stand, beside a real `llmtriage serve`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from support import ROOT

ADDRESS = "http://127.0.0.1:8080"
STOPPED = 0  # the exit code of a service that was told to stop


def sections(page: str) -> dict[str, list[str]]:
    """The blocks of shell commands of a page, by their heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    parts = re.split(r"^##+ (.+)$", text, flags=re.MULTILINE)
    blocks = re.compile(r"^ *```bash\n(.*?)^ *```$", flags=re.MULTILINE | re.DOTALL)
    return {title: blocks.findall(body) for title, body in zip(parts[1::2], parts[2::2], strict=True)}


class Shell:
    """Runs blocks in a folder. A line that starts with `llmtriage serve` is started on a free port and goes on, in place of the one before.

    Attributes:
        address: Where it listens.
        said: What it said until then.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        """Run nothing yet; `variables` are those of the environment."""
        self._folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        self._environment.pop("LLMTRIAGE_NO_STORE", None)
        self._served: subprocess.Popen[str] | None = None
        self.address, self.said = ADDRESS, ""

    def run(self, block: str, *, typed: str = "") -> str:
        """What a block writes to standard output, given what somebody types. Fails with the block and what it said on standard error."""
        said, lines = "", ""
        for line in [*block.splitlines(), ""]:
            if line and not line.startswith("llmtriage serve"):
                lines += f"{line}\n"
                continue
            said, lines = said + self._bash(lines, typed), ""
            if line:
                self._serve(line)
        return said

    def _bash(self, block: str, typed: str) -> str:
        program = f'llmtriage() {{ "{sys.executable}" -m llmtriage "$@"; }}\n'
        script = program + block.replace(ADDRESS, self.address)
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        return done.stdout

    def _serve(self, line: str) -> None:
        self.stop()
        command = [sys.executable, "-m", *line.split(), "--port", "0"]
        self._served = subprocess.Popen(command, cwd=self._folder, env=self._environment, stderr=subprocess.PIPE, text=True)
        assert self._served.stderr is not None
        said = ""
        for said_line in self._served.stderr:
            said += said_line
            if found := re.search(r"llmtriage serves (http://\S+)", said_line):
                self.address, self.said = found[1], said
                return
        raise AssertionError(f"{line}\n{said}")

    def stop(self) -> None:
        """End what is served, as an administrator would. Fails where it does not end well."""
        if self._served is not None:
            self._served.terminate()
            _, said = self._served.communicate(timeout=40)
            assert self._served.returncode == STOPPED, said
            self._served = None
