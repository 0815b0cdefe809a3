"""`llmtriage doctor`: exit codes, both languages, JSON, and the example server as it is started by hand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from probed import Plays, Probed
from support import ROOT

pytestmark = pytest.mark.usefixtures("by_json")

if TYPE_CHECKING:
    from cli.conftest import Cli


Started = Callable[[Plays], Probed]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to the user's folder."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def example_server() -> Iterator[str]:
    """`python examples/server.py`, on a free port."""
    command = [sys.executable, str(ROOT / "examples" / "server.py"), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def test_the_example_server_is_healthy_and_says_honestly_what_it_lacks(cli: Cli, example_server: str) -> None:
    """It lists log-probabilities for codes alone and does not say how much fits; all else is ok."""
    done = cli("doctor", "--backend", f"openai:demo@{example_server}", "--repeat", 2)
    assert done.code == 0, done.err
    lines = [line for line in done.out.splitlines() if re.match(r"ok|warning|missing", line)]
    assert {line[12:30].strip() for line in lines if not line.startswith("ok")} == {"context", "log-probabilities"}
    assert len(lines) == 14
    assert "all 44 sample tickets" in done.out
    assert '[backends.NAME]\nkind = "openai"\nmodel = "demo"\n' in done.out


def test_the_example_server_works_in_chinese(cli: Cli, example_server: str) -> None:
    """With the Chinese prompt and Chinese sentences."""
    done = cli("doctor", "--backend", f"openai:demo@{example_server}", "--repeat", 1, "--language", "zh")
    assert done.code == 0, done.err
    assert "正常        连接" in done.out
    assert "缺少        对数概率" in done.out
    assert "建议：" in done.out
    assert "适合写入 llmtriage.toml 的配置" in done.out
    assert "将发送约八十个请求" in done.err
    assert not re.search(r"\b(ok|warning|missing|suggestion)\b", done.out)


def test_the_table_of_a_healthy_server(cli: Cli, started: Started) -> None:
    """Nothing but ok, and no suggestion."""
    done = cli("doctor", "--backend", f"vllm:m@{started(Plays()).url}", "--repeat", 2, "--quiet")
    assert (done.code, done.err) == (0, "")
    assert "warning" not in done.out
    assert "suggestion" not in done.out
    assert re.search(r"^ok +at once +32: [\d.,]+ tickets a second", done.out, flags=re.MULTILINE)


def test_warnings_are_no_failure_and_each_has_one_suggestion(cli: Cli, started: Started) -> None:
    """One line below the finding."""
    plays = Plays(kind="ollama", cut=2000, schema="ignored", logprobs="null")
    done = cli("doctor", "--backend", f"openai:m@{started(plays).url}", "--repeat", 2, "--quiet")
    assert done.code == 0
    lines = done.out.partition("\n\n")[0].splitlines()
    found = [bool(re.match(r"warning|missing", line)) for line in lines]
    suggested = ["suggestion: " in line for line in lines]
    assert sum(found) >= 4
    assert suggested == [False, *found[:-1]]


def test_json_has_stable_keys(cli: Cli, started: Started) -> None:
    """For scripts: every finding, what was seen, what was measured."""
    done = cli("doctor", "--backend", f"openai:m@{started(Plays(logprobs='empty')).url}", "--repeat", 2, "--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    data = json.loads(done.out)
    assert list(data) == ["backend", "works", "error", "findings", "capabilities", "decisions", "load", "table"]
    assert data["works"] is True
    assert {tuple(finding) for finding in data["findings"]} == {("check", "code", "state", "line", "suggestion")}
    assert data["capabilities"]["logprobs"]["state"] == "empty"
    assert data["capabilities"]["identity"]["context"] == 16384
    assert data["load"]["tickets_per_second"] > 0
    assert data["load"]["repeats"]["equal"] == 1
    assert data["load"]["failed"] == {}


def test_what_cannot_work_is_exit_code_4_and_one_line(cli: Cli, started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr, without the key."""
    monkeypatch.setenv("LLMTRIAGE_API_KEY", "sk-very-secret")
    done = cli("doctor", "--backend", f"openai:m@{started(Plays(key='other')).url}", "--quiet")
    assert (done.code, done.out) == (4, "")
    assert done.err.count("\n") == 1
    assert "refused the key" in done.err
    assert "very-secret" not in done.err


def test_what_cannot_work_is_told_in_json_too(cli: Cli, started: Started) -> None:
    """A script reads one document either way."""
    done = cli("doctor", "--backend", f"openai:m@{started(Plays(kind='html')).url}", "--json")
    assert done.code == 4
    data = json.loads(done.out)
    assert data["works"] is False
    assert "does not answer like an API" in data["error"]


def test_a_server_whose_answers_cannot_be_used_is_shown_and_is_exit_code_4(cli: Cli, started: Started) -> None:
    """What was found is shown before."""
    plays = Plays(schema="ignored", object="ignored", speaks_json=False)
    done = cli("doctor", "--backend", f"openai:m@{started(plays).url}", "--repeat", 1, "--quiet")
    assert done.code == 4
    assert re.search(r"^missing +answers +none of 42", done.out, flags=re.MULTILINE)
    assert done.err.startswith("llmtriage: ")
    assert "bad_response" in done.err


def test_a_server_that_cuts_the_list_of_categories_is_exit_code_4(cli: Cli, started: Started) -> None:
    """However well it answers."""
    done = cli("doctor", "--backend", f"openai:m@{started(Plays(cut=150)).url}", "--repeat", 1, "--quiet")
    assert done.code == 4
    assert "cuts the prompt even with a short ticket" in done.err


def test_wrong_usage(cli: Cli) -> None:
    """No backend, an unknown one, a number out of range."""
    assert cli("doctor").code == 2
    assert cli("doctor", "--backend", "openay:m").code == 2
    assert cli("doctor", "--backend", "lexical", "--repeat", 0).code == 2


def test_the_embedded_engine_needs_no_server(cli: Cli) -> None:
    """And nothing is said about requests."""
    done = cli("doctor", "--backend", "lexical", "--repeat", 2)
    assert (done.code, done.err) == (0, "")
    assert "lexical needs no server" in done.out
    assert "[backends" not in done.out
