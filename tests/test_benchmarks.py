"""The benchmarks run: what they measure is not tested, that they measure is."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from support import ROOT

from llmtriage import Settings

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "benchmarks" / "clients.py"
SMALL = ["--n", "24", "--warm-up", "8", "--in-flight", "4", "--rounds", "1"]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """The script, on a few tickets."""
    command = [sys.executable, str(SCRIPT), *SMALL, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, cwd=ROOT)


def rows(page: str) -> dict[str, list[str]]:
    """The cells of the tables by their first."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in cells}


def test_every_client_that_needs_no_packages_of_its_own_is_measured() -> None:
    """Ours, whole and in parts, and the openai package both ways; each got the answer to every ticket, else the script fails."""
    done = run("--contestants", "ours", "ours-backend", "create", "parse", "parts")
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    clients = [row for row in found.values() if len(row) == 5]
    assert len(clients) == 1 + 4  # the head too
    for lowest, middle, ratio, rate, packages in clients[1:]:
        assert 0 < float(lowest) == float(middle) < 1000
        assert float(ratio) > 0
        assert float(rate.replace(",", "")) > 0
        assert "openai " in packages
    assert found["`openai` `create` + pydantic"][2] == "1.00"
    assert float(found["preparation"][0]) > 0
    assert float(found["`post` of the openai client"][0]) > float(found["gates and routing"][0])


def test_a_row_that_cannot_be_measured_says_why() -> None:
    """The reply cache, as long as there is no such setting."""
    done = run("--contestants", "ours-cache")
    assert done.returncode == 0, done.stderr
    there = "reply_cache" in Settings.model_fields
    assert ("asked before (reply cache) |" in done.stdout) == there
    assert ("Not run: ours-cache: this llmtriage has no Settings(reply_cache=...)." in done.stdout) != there


async def test_a_client_that_gets_other_answers_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are quick; a benchmark that counted them would praise them."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    common = importlib.import_module("contestants.common")
    data = {"system": "", "users": [], "options": {}, "categories": [], "tickets": [], "texts": []}
    task = common.Task(url="http://127.0.0.1:1/v1", in_flight=2, warm_up=1, answer="退款", **data)

    async def one(item: int) -> str:
        return "退款" if item < 3 else "other"

    assert (await common.clocked(task, common.each(one, 2), range(3)))["per_second"] > 0
    with pytest.raises(RuntimeError, match="2 of 3 tickets got their answer"):
        await common.clocked(task, common.each(one, 2), range(4))


def test_the_page_has_the_columns_and_parts_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last measured tables were written by this script, not by an older one."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script = importlib.import_module("clients")
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.HEADER in page
    assert all(f"\n| {title} | " in page for title, _ in script.SUMS.values())


def test_both_sides_take_all_steps_on_a_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and scikit-learn's agree where they compute the same, and each row has its seconds."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script = importlib.import_module("scale")
    small = ["--n", "4000", "--k", "5", "--labels", "400", "--certified", "2000", "--runs", "1"]
    command = [sys.executable, str(ROOT / "benchmarks" / "scale.py"), *small]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert f"python benchmarks/scale.py {' '.join(small)} --write" in done.stdout
    assert str(ROOT) not in done.stdout
    found = rows(done.stdout)
    for title in script.STEPS.values():
        ours, plain, ratio = found[title.format(labels=400, certified=2000)]
        assert float(ours) >= 0
        assert (plain == "-") == (ratio == "-") == (title == script.STEPS["more"])
    assert 50 < float(found["peak memory, MiB"][0].replace(",", "")) < 1000
    for ours, plain in (found[title] for title, _ in script.OUTCOMES.values()):
        assert float(ours.rstrip("%")) == pytest.approx(float(plain.rstrip("%")), rel=0.2, abs=0.02)


def test_what_scikit_learn_cannot_fit_is_said_before_anything_is_measured() -> None:
    """A category without a label."""
    command = [sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--n", "500", "--k", "77", "--labels", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, cwd=ROOT)
    assert done.returncode == 1
    assert (
        done.stderr
        == "a category has no ticket to calibrate with, and scikit-learn's calibrator cannot be fitted: more --labels\n"
    )
