"""The benchmarks run: what they measure is not tested, that they measure is."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import ROOT

from llmtriage import Settings

pytestmark = pytest.mark.slow

SMALL = ["--n", "24", "--warm-up", "8", "--in-flight", "4", "--rounds", "1"]


def script(name: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """A script, run to its end."""
    command = [sys.executable, str(ROOT / "benchmarks" / name), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, cwd=ROOT)


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """What clients cost, on a few tickets."""
    return script("clients.py", *SMALL, *options)


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
    script = imported("clients", monkeypatch)
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.HEADER in page
    assert all(f"\n| {title} | " in page for title, _ in script.SUMS.values())


def test_both_sides_take_all_steps_on_a_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and scikit-learn's agree where they compute the same, and each row has its seconds."""
    script = imported("scale", monkeypatch)
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


# -- the service -----------------------------------------------------------------------------------


def test_a_service_under_load_loses_nothing(tmp_path: Path) -> None:
    """Every figure is there for both services, and every ticket that was answered is in the store."""
    small = ["--calls", "60", "--many", "40", "--seconds", "0.5"]
    command = [sys.executable, str(ROOT / "benchmarks" / "service.py"), *small]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert found["not answered with 200"] == ["0", "0", "-"]
    assert all(float(figure.replace(",", "")) > 0 for name, row in found.items() if "ms" in name for figure in row)
    assert all(50 < float(mib) < 1000 for mib in found["MiB in memory, SQLite"])
    assert tuple(found["SQLite"]) == (f"{200 + 60 + 50 + 4_000 + 40:,}", "0")


# -- promises on made-up outputs -------------------------------------------------------------------


def imported(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script as a module, under a name that no package of tests has."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def write(path: Path, head: list[str], rows: list[list[Any]]) -> None:
    """A CSV file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Two models with scores of six options, and one with a confidence alone."""
    rng = np.random.default_rng(0)
    for name, pull in (("sure", 3.0), ("unsure", 1.0)):
        gold = rng.integers(0, 6, 400)
        logits = rng.normal(0, 1, (400, 6)) + pull * np.eye(6)[gold]
        rows = [["ABCDEF"[true], *map(str, row)] for true, row in zip(gold, logits, strict=True)]
        write(tmp_path / "outputs" / "options" / f"{name}.csv", ["gold", *(f"logit_{letter}" for letter in "ABCDEF")], rows)
    confidence = rng.random(300)
    judged = [[int(rng.random() < chance), chance] for chance in confidence]
    write(tmp_path / "outputs" / "choices" / "plain.csv", ["correct", "confidence"], judged)
    return tmp_path / "outputs"


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A set of three categories in two departments, and tickets that belong nowhere."""
    rng = np.random.default_rng(1)
    words = {
        "refund": "money back paid twice",
        "parcel": "box late lost street",
        "login": "password code account",
        "oos": "weather song joke",
    }
    for name, n in (("train", 80), ("dev", 240)):
        rows = []
        for number in range(n):
            category = list(words)[number % 4]
            told = category if rng.random() < 0.8 else str(rng.choice(list(words)))
            rows.append([f"{' '.join(rng.choice(words[told].split(), 3))} {number}", category])
        write(tmp_path / "shop" / f"{name}.csv", ["text", "category"], rows)
    departments = {"sales": ["refund", "parcel"], "tech": ["login"]}
    (tmp_path / "shop" / "domains.json").write_text(json.dumps(departments), encoding="utf-8")
    return tmp_path / "shop"


class TakesTheUpperHalf:
    """MAPIE's controller, as far as it is used here: every threshold from one half on is valid."""

    def __init__(self, _: Any, risk: str, *, target_level: float, confidence_level: float) -> None:
        self.told = (risk, target_level, confidence_level)

    def calibrate(self, scores: Any, right: Any) -> None:
        assert self.told == ("precision", 0.8, 0.9)
        assert scores.shape == (100, 1)
        assert set(right) <= {0, 1}
        self.valid_predict_params = np.array([0.9, 0.5])


def test_methods_are_compared_on_the_same_draws(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MAPIE takes part in the first twenty of them; against it only these count."""
    guarantee = imported("guarantee", monkeypatch)
    monkeypatch.setitem(sys.modules, "mapie.risk_control", SimpleNamespace(BinaryClassificationController=TakesTheUpperHalf))
    files = [guarantee.read(path) for path in sorted(outputs.rglob("*.csv"))]
    assert [file.name for file in files] == ["choices/plain", "options/sure", "options/unsure"]
    assert [len(file.score) for file in files] == [300, 400, 400]
    options = SimpleNamespace(draws=22, sizes=[100, 1000], alphas=[0.2], seed=0, mapie=True)
    found = guarantee.measured(files, options)
    assert {n for _, n, _, _ in found} == {100}  # the others are too small for more
    theirs = found["mapie", 100, 0.2, "options/sure"]
    assert len(theirs.coverage) == 20
    assert set(theirs.coverage) == {float((files[1].score >= 0.5).mean())}
    assert len(found["ours", 100, 0.2, "options/sure"].coverage) == 22
    assert len(list(guarantee.table(found, files, 100, options))) == 2 + len(guarantee.METHODS) + 2
    *table, blank, chance = guarantee.against(found)
    assert [line.split(" | ")[0] for line in table][2:] == [
        f"| {title}" for title in ("SGR", "LTT, 20 quantiles, Bonferroni", "LTT, split, fixed sequence", guarantee.MAPIE)
    ]
    assert blank == ""
    assert chance.startswith(
        "Of 3 cells without any difference about 0 would be worse by two standard errors by chance alone. Ours is worse"
    )
    page = guarantee.PAGE.read_text(encoding="utf-8")
    assert "cells without any difference about " in page


def test_rules_for_the_parts_are_measured(outputs: Path, labelled: Path) -> None:
    """Every rule on both halves; the one in use does not differ from itself, and a file with a confidence alone is left out."""
    sizes = ["--draws", "2", "--world-draws", "1", "--sizes", "60", "120", "--alphas", "0.2"]
    done = script("parts.py", outputs, labelled, *sizes)
    assert done.returncode == 0, done.stderr
    assert "chosen on: sure; shop, few examples; shop, many examples." in done.stdout.lower()
    assert "confirmed on: unsure." in done.stdout.lower()
    own = [line for line in done.stdout.splitlines() if line.startswith("| **llmtriage** | ")]
    assert own[0].split(" | ")[1:3] == ["+0.000 ± 0.000"] * 2
    assert len(own) == 1 + 2 * 4
    assert "nan" not in done.stdout


def test_second_steps_are_measured(outputs: Path, labelled: Path) -> None:
    """Every rule for models and for the embedded engine; shares lie in [0, 1]."""
    done = script("shown.py", outputs, labelled, "--draws", "1", "--sizes", "60", "120")
    assert done.returncode == 0, done.stderr
    cells = [line.strip("|").split("|") for line in done.stdout.splitlines() if "%;" in line]
    assert len(cells) == 2 * 5
    assert [row[0].strip() for row in cells[:2]] == ["none", "**llmtriage** (beta-narrow)"]
    for told in (cell for row in cells for cell in row[1:]):
        ece, agrees, brier, log_loss = told.replace("%", "").replace(";", ",").split(",")
        assert 0 <= float(ece) <= 1
        assert 0 <= float(agrees) <= 100
        assert 0 < float(brier) < float(log_loss)


def test_calibrate_and_evaluate_are_measured_as_users_type_them(labelled: Path) -> None:
    """A row for few and for all examples, leaf and department; and what calibrate says of each."""
    done = script("datasets.py", labelled, "--labelled", "160", "--draws", "1", "--shots", "3", "--alphas", "0.2")
    assert done.returncode == 0, done.stderr
    cells = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| shop | ")]
    cells = cells[: len(cells) // 2]  # they are printed as they come, and again in the table
    assert [row[1:4] for row in cells] == [[shots, answer, "0.2"] for shots in ("3", "all") for answer in ("leaf", "department")]
    said = [line for line in done.stdout.splitlines() if line.startswith("- shop, ")]
    assert len(said) == len(cells)
    assert " are within their limit" in done.stdout
    for row, sentence in zip(cells, said, strict=True):
        assert ("accepts" in sentence) == (row[4] == "1 of 1")
        assert (row[5] == "-") == (row[4] == "0 of 1")
        assert ("no promise with these 160 labels" in sentence) == (row[4] == "0 of 1")


def test_tickets_that_belong_nowhere_are_told_and_counted(labelled: Path) -> None:
    """Without and with a catch-all, which has a signal of its own; each draw of halves keeps a promise or makes none."""
    done = script("outside.py", labelled, "--shots", "5", "0", "--draws", "2")
    assert done.returncode == 0, done.stderr
    assert "240 tickets, 60 of which belong to none of the" in done.stdout
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if " a catch-all |" in line
    ]
    signals, promises = cells[:6], cells[6:]
    names = [f"{shots}, {how} a catch-all" for shots in ("5", "all") for how in ("without", "with")]
    assert [row[0] for row in signals] == [name for name in names for _ in range(1 + name.count(", with a"))]
    assert all(0.5 < float(auroc) <= 1 and 0 <= float(caught) <= 1 for _, _, auroc, caught in signals)
    assert [row[0] for row in promises] == names
    for _, kept, *shares in promises:
        assert kept in {"0 of 2", "1 of 2", "2 of 2"}
        assert all((share == "-") == (kept == "0 of 2") for share in shares)


def test_what_a_store_costs_is_measured() -> None:
    """Each part on a few tickets, in SQLite: rates and times are there, and a rate of the end beside one of the beginning."""
    done = script("store.py", "--tickets", "2000", "--rows", "512")
    assert done.returncode == 0, done.stderr
    measured = rows(done.stdout)
    assert all(float(cell.replace(",", "")) > 0 for group in ("1", "16", "256") for cell in measured[group])
    assert float(measured["every outcome stored, 2,000 tickets"][2]) > 0
    assert float(measured["first page, oldest first"][0]) > 0


@pytest.mark.parametrize("name", ["parts", "datasets", "scale", "outside", "shown", "store", "service"])
def test_the_pages_were_written_by_these_scripts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last measured tables have the rows and columns of the script."""
    module = imported(name, monkeypatch)
    page = module.PAGE.read_text(encoding="utf-8")
    assert all(f"\n| {rule} | " in page for rule in getattr(module, "RULES", ()))
    assert getattr(module, "HEADER", "") in page
