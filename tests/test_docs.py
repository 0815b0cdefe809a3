"""What the documentation shows is what the program does."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest
from support import ROOT

import llmtriage

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a page in `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def demo_server() -> Iterator[str]:
    """The example server, on a free port."""
    handler = runpy.run_path(str(ROOT / "examples" / "server.py"))["Handler"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"openai:demo@http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def commands() -> list[str]:
    """The `llmtriage` commands of the README that end by themselves; tests/deploy runs the one that serves."""
    lines = [line for block in blocks(README, "bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("llmtriage ") and not line.startswith("llmtriage serve")]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_command_of_the_readme_works(tmp_path: Path, demo_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, in a folder with `examples/` in it; the example server stands for the LLMs."""
    monkeypatch.delenv("LLMTRIAGE_NO_STORE")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shown = commands()
    assert len(shown) >= 10
    program = f"{sys.executable} -m llmtriage"
    for line in shown:
        command = re.sub(r"--backend \S+", f"--backend {demo_server}", line).replace("llmtriage", program, 1)
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S602
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout + done.stderr


def test_the_python_of_the_readme_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "taxonomy.yaml").symlink_to(ROOT / "taxonomy.yaml")
    monkeypatch.chdir(tmp_path)
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_what_the_page_on_privacy_shows_is_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Its ticket with placeholders, and its Python."""
    from llmtriage.prepare import Preparation, prepare

    text = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    command, *_, shown = blocks(text, "console")[0].splitlines()
    assert prepare(llmtriage.Ticket(content=command.split('"')[1]), Preparation()).text == shown
    for block in blocks(text, "python"):
        exec(compile(block, "privacy.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out == "[PHONE_1] 138-0013-8000\n[PHONE_2] 13900139000\n"


def test_the_first_two_commands_are_demo_and_test() -> None:
    """They need nothing done before."""
    lines = [line.split("#")[0].strip() for block in blocks(README, "bash") for line in block.splitlines()]
    assert lines[:2] == ["make demo", "make test"]


def test_the_page_of_commands_is_the_one_generated() -> None:
    """`make docs` writes it anew."""
    page = runpy.run_path(str(ROOT / "docs" / "make_cli_page.py"))["page"]
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == page()


def test_the_page_of_commands_names_every_column_and_figure() -> None:
    """In their order."""
    from llmtriage.evaluation import Judged, evaluate
    from llmtriage.evaluation.baselines import baseline_accuracies
    from llmtriage.evaluation.figures import figures, lower_is_better
    from llmtriage.outcomes import Pending
    from llmtriage.runner import COLUMNS

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    columns, measured = (page.partition(f"## What {what}")[2].partition("\n## ")[0] for what in ("classify", "evaluate"))
    assert tuple(re.findall(r"^\| (\w+) \| [^|]+ \|$", columns, flags=re.MULTILINE)[1:]) == COLUMNS
    judged = [Judged(gold="a", outcome=Pending(suggestion=None, reasons=()), text="")]
    report = evaluate(judged, llmtriage.Taxonomy.from_labels(["a", "b"]), baselines=baseline_accuracies((), []))
    names = {re.sub(r"(?<=reasons\.).*", "CODE", name) for name in figures(report)}
    names = {re.sub(r"(?<=auroc\.|aught\.).*", "SIGNAL", name) for name in names}
    rows = dict(re.findall(r"^\| ([\w.]+) \| ?(\w*) \| [^|]+ \|$", measured, flags=re.MULTILINE))
    assert rows.keys() - {"figure"} == names
    assert {name for name, better in rows.items() if better == "lower"} == {name for name in names if lower_is_better(name)}


def test_the_batch_example_says_what_it_needs(tmp_path: Path) -> None:
    """Without arguments."""
    command = [sys.executable, str(ROOT / "examples" / "batch.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: python examples/batch.py IN.csv OUT.csv\n")


def test_the_taxonomy_of_the_docs_loads_and_has_no_error(tmp_path: Path) -> None:
    """And the page lists every lint rule."""
    from llmtriage.lint import RULES, lint

    text = (ROOT / "docs" / "taxonomy.md").read_text(encoding="utf-8")
    path = tmp_path / "t.yaml"
    path.write_text(blocks(text, "yaml")[0], encoding="utf-8")
    assert [finding for finding in lint(llmtriage.Taxonomy.load(path)) if finding.severity == "error"] == []
    assert re.findall(r"^\| (T\d+) \| (\w+)", text, flags=re.MULTILINE) == [(code, rule.severity) for code, rule in RULES.items()]


def test_the_settings_of_the_docs_load() -> None:
    """Flags and engines."""
    from llmtriage.settings import load_settings

    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    settings = load_settings(tomllib.loads(blocks(text, "toml")[0]))
    assert settings.backends["qwen"].concurrency == 64


def test_every_dependency_has_a_reason_and_a_lower_bound() -> None:
    """The page, pyproject.toml and the pins of the environment with vLLM name the same packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    assert all(">=" in requirement for requirement in listed)
    names = {re.split(r"[\[>]", requirement)[0] for requirement in listed}
    pins = (ROOT / "tests" / "vllm" / "requirements.txt").read_text(encoding="utf-8")
    names |= set(re.findall(r"^([\w-]+)==", pins, flags=re.MULTILINE))
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]+) \|(?: ([^|]+) \|)? [^|]+ \|$", page, flags=re.MULTILINE)
    shown = {name.strip() for first, second in cells for name in (second or first).split(",")}
    assert shown - {"package"} == names


def test_version_and_changelog_agree() -> None:
    """The newest entry is this version."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, flags=re.MULTILINE)
    assert newest
    assert newest[1] == llmtriage.__version__ == version("llmtriage")


def test_links_between_pages_lead_somewhere() -> None:
    """No page names a file that is not there."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


# `server.py` runs until it is stopped; the demo with a real model has a test in tests/vllm, `local_vllm.py` installs what that needs.
_NOT_ALONE = ("server.py", "demo_llm.py", "local_vllm.py")
SCRIPTS = sorted(path.name for path in (ROOT / "examples").glob("*.py") if path.name not in _NOT_ALONE)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_example_runs(tmp_path: Path, script: str) -> None:
    """From another folder, in seconds."""
    arguments = {"batch.py": [str(ROOT / "examples" / "tickets.csv"), "out.csv"]}.get(script, [])
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    command = [sys.executable, str(ROOT / "examples" / script), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
