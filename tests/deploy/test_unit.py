"""The unit of systemd. No systemd runs here: it is asked what it thinks of the file."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deploy.deployed import DEPLOY, check_command

UNIT = DEPLOY / "llmtriage.service"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    path = tmp_path / "llmtriage.service"
    text = UNIT.read_text(encoding="utf-8")
    path.write_text(text.replace("/opt/llmtriage/bin/llmtriage", sys.executable), encoding="utf-8")
    return path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze."""
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("no systemd here")
    return subprocess.run([found, *map(str, words)], capture_output=True, text=True, check=False)


def test_systemd_finds_no_fault(unit: Path) -> None:
    """Not even a remark."""
    done = analyze("verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_little_is_open_to_it(unit: Path) -> None:
    """By its own measure, from 0 to 10: below 2 it says OK."""
    done = analyze("security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout


def test_it_writes_only_what_is_its_own() -> None:
    """And starts again after a failure that another start may mend."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    service = parser["Service"]
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["Restart"] == "on-failure"
    assert service["SuccessExitStatus"] == "130"
    assert "ReadWritePaths" not in service
    text = UNIT.read_text(encoding="utf-8")
    assert re.findall(r"^Environment=(\w+)=(\S+)$", text, flags=re.MULTILINE) == [
        ("PGPASSFILE", f"%t/{service['RuntimeDirectory']}/pgpass"),
        ("LLMTRIAGE_STORE", f"/var/lib/{service['StateDirectory']}/llmtriage.db"),
        ("LLMTRIAGE_CACHE_DIR", f"/var/cache/{service['CacheDirectory']}"),
    ]
    assert service["LoadCredential"] == "pgpass:/etc/llmtriage/pgpass"
    assert service["SetCredential"] == "pgpass:#"  # without the file it starts all the same
    copied = "/usr/bin/install -m 0600 ${CREDENTIALS_DIRECTORY}/pgpass %t/llmtriage/pgpass"
    assert (service["ExecStartPre"], service["RuntimeDirectoryMode"]) == (copied, "0700")
    assert service.keys() >= {"MemoryMax", "TasksMax"}
    check_command(service["ExecStart"].split()[1:])
