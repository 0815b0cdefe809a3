"""The texts that someone wrote who had not seen the rules: what is found in them is what the pages say."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from support import ROOT

from llmtriage.prepare import Redaction
from llmtriage.prepare.personal import CUED, FORMATTED
from llmtriage.prepare.redaction import Place, find

FROZEN = ROOT / "tests" / "prepare" / "frozen.jsonl"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`benchmarks/redaction.py`."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("redaction")


def test_the_set_is_frozen(script: Any) -> None:
    """Byte for byte: who mends a text that the rules do not find measures nothing. It holds values and traps enough, in both languages."""
    assert hashlib.sha256(FROZEN.read_bytes()).hexdigest() == "fe17048e7b9b3f8f90ac102eeced0657eafcbc5911bf8a67873779444225afb6"
    cases = script.read_cases(FROZEN)
    values = Counter(value.kind for case in cases for value in case.true)
    assert values.keys() == {*FORMATTED, *CUED}
    assert values.total() >= 300
    assert sum(case.trap for case in cases) >= 100
    assert {case.language for case in cases if case.true} == {"en", "zh", "mixed"}


def test_kinds_with_a_format_are_found_in_it_and_nothing_else_is(script: Any) -> None:
    """At least 95 in 100 of each kind, and at least 95 in 100 of what is hidden as it."""
    cases = script.read_cases(FROZEN)
    done = script.score([(case, find(case.text, Redaction())) for case in cases])
    for kind in FORMATTED:
        counts = done.kinds[kind]
        assert counts.found >= 0.95 * counts.values
        assert counts.right >= 0.95 * (counts.right + counts.alarms)


def test_the_pages_are_those_of_the_script(script: Any) -> None:
    """`--write` writes both anew."""
    cases = script.read_cases(FROZEN)
    found = [find(case.text, Redaction()) for case in cases]
    assert script.PAGE.read_text(encoding="utf-8").endswith(script.page(cases, found))
    assert script.table(script.score(zip(cases, found, strict=True))) in script.PRIVACY.read_text(encoding="utf-8")
    assert f"on {len(cases)} texts" in script.PRIVACY.read_text(encoding="utf-8")


def test_the_score_counts_what_it_says(script: Any) -> None:
    """A value that is found, one under another name, one in part, one not at all, and two false alarms, one of them in a trap."""
    text = "0123456789"
    values = (Place(0, 2, "phone"), Place(3, 5, "phone"), Place(6, 8, "phone"), Place(9, 10, "name"))
    case = script.Case("a", "en", text, values, trap=False)
    trap = script.Case("b", "en", text, (), trap=True)
    hidden = [Place(0, 3, "phone"), Place(3, 5, "name"), Place(7, 8, "phone")]
    done = script.score([(case, hidden), (trap, [Place(0, 1, "url")])])
    assert done.kinds["phone"] == script.Counts(values=3, found=1, otherwise=1, right=2, numbers=3, digitless=2)
    assert done.kinds["name"] == script.Counts(values=1, alarms=1)
    assert done.kinds["url"] == script.Counts(alarms=1)
    assert (done.sprung, done.characters, done.needless) == ({"b"}, 7, 2)
    assert [(name, what, shown) for name, _, what, shown in done.faults] == [
        ("a", "as another kind", "34"),
        ("a", "visible", "67"),
        ("a", "visible", "9"),
        ("a", "false alarm", "34"),
        ("b", "false alarm", "0"),
    ]
    assert "| phone | 3 | 1 | 1 | 1 | 0.333 | 0 | 1.000 |" in script.table(done)


def test_the_script_runs() -> None:
    """By itself, and names the faults on demand."""
    command = [sys.executable, str(ROOT / "benchmarks" / "redaction.py"), str(FROZEN), "--show"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "| **with a format** |" in done.stdout
    assert "\tvisible\t" in done.stdout
