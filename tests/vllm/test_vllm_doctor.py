"""`llmtriage doctor` on a real server, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from local_vllm import Served
from served import TAXONOMY
from support import ROOT


def doctor(backend: str, cache: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Examine an engine."""
    command = [sys.executable, "-m", "llmtriage", "doctor", "--backend", backend, "--taxonomy", f"{TAXONOMY}", *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LLMTRIAGE_CACHE_DIR": str(cache)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_doctor_in_full(vllm_server: Served, tmp_path: Path) -> None:
    """It works; every line says what this server is and can do, and none wants anything mended but the context."""
    done = doctor(vllm_server.backend, tmp_path, "--json", "--repeat", "5")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    lines = {finding["check"]: (finding["code"], finding["line"]) for finding in found["findings"]}
    assert found["works"]
    assert "vLLM 0." in lines["reachable"][1]
    assert lines["model"][0] == "model.true"
    assert lines["model"][1].startswith(f"{vllm_server.model}; the server calls it ")
    assert lines["context"][0] == "context.small"  # for a ticket of 20,000 characters
    assert lines["json"][0] in ("json.schema", "json.chinese")  # the model knows no Chinese
    assert lines["thinking"][0] == "thinking.none"
    assert lines["logprobs"][0] == "logprobs.ok"
    assert "200 a token" in lines["logprobs"][1]
    assert lines["logprobs"][1].endswith("by token id: yes")
    assert lines["reading"][0] == "reading.token"
    assert "letters, listed by token number, at most 128 categories a question" in lines["reading"][1]
    assert lines["front"][0] == "front.refused"
    assert lines["answers"][0] == "answers.ok"
    assert lines["repeat"][0] == "repeat.same"
    assert found["load"]["repeats"]["asked"] == 10
    assert found["load"]["failed"] == {}
    identity = found["capabilities"]["identity"]
    assert (identity["server"], identity["context"], identity["name_checked"]) == ("vLLM", 4096, True)
    assert 'kind = "vllm"' in found["table"]
    assert "context = 4096" in found["table"]


def test_doctor_in_words(vllm_server: Served, tmp_path: Path) -> None:
    """What a person reads, in Chinese, of the decisions route; one more ticket than is needed to compare."""
    done = doctor(f"decisions:{vllm_server.model}@{vllm_server.url}", tmp_path, "--language", "zh", "--repeat", "2")
    assert done.returncode == 0, done.stderr
    assert f"以 systemone 形式应答，模型 {vllm_server.model}；10 个类别" in done.stdout
    assert 'dialect = "systemone"' in done.stdout


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_doctor_of_a_model_that_does_not_exist(vllm_server: Served, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Exit 4, and the models that there are."""
    done = doctor(f"vllm:nope@{vllm_server.url}", tmp_path, *flags)
    assert done.returncode == 4
    assert f"the server does not know this model; known: {vllm_server.model}" in done.stderr.splitlines()[-1]
