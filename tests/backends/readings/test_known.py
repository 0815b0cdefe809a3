"""What was found out about a model is found again as it was, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmtriage.backends.dialect import Dialect
from llmtriage.backends.readings.known import Known, forget, recall, remember
from llmtriage.backends.readings.one_token import Lists

URL = "http://127.0.0.1:8000/v1"
LEAST = Known(dialect=Dialect())
MOST = Known(
    dialect=Dialect(json="object", limit="max_completion_tokens", switch="chat_template", temperature=False, system=False, thinks=True, swapped=True),
    began=Dialect(limit="max_completion_tokens"),
    lists=Lists(form="ids", most=128),
    tokens={"A": (32,), " A": (362,), "退款": (1, 2, 3), 'say "hi"': ()},
    model="m-2026",
    server="vLLM",
    version="0.32.0",
)  # fmt: skip


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, in a folder that is not there yet."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "capabilities.json"


@pytest.mark.parametrize("known", [LEAST, MOST])
def test_what_is_remembered_is_recalled(known: Known) -> None:
    """With its types: what is compared later must be equal."""
    remember(URL, "m", known)
    assert recall(URL, "m") == recall(f"{URL}/", "m") == known
    assert recall(URL, "n") is recall("http://elsewhere/v1", "m") is None


def test_what_is_forgotten_is_found_out_anew() -> None:
    """Of one model; others stay. Nothing need be known."""
    remember(URL, "m", MOST)
    remember(URL, "n", LEAST)
    forget(f"{URL}/", "m")
    forget(URL, "never known")
    assert recall(URL, "m") is recall(URL, "never known") is None
    assert recall(URL, "n") == LEAST


def test_the_file_names_no_server_and_no_key(file: Path) -> None:
    """A digest stands for the address and the model."""
    remember("http://user:secret@internal.example/v1", "own-model", LEAST)
    text = file.read_text(encoding="utf-8")
    assert not any(word in text for word in ("internal", "secret", "own-model"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"dialect": None},
        {"dialect": {"json": "xml"}},
        {"lists": {"form": "ids"}},
        {"lists": {"form": "other", "most": 3}},
        {"lists": 3},
        {"tokens": {"A": ["x"]}},
        {"tokens": ["A"]},
        {"tokens": None},
        {"version": 3},
        {"model": None},
    ],
)
def test_what_cannot_be_read_is_found_out_anew(file: Path, wrong: dict[str, Any]) -> None:
    """A broken cache never stops a run."""
    remember(URL, "m", MOST)
    data = json.loads(file.read_text(encoding="utf-8"))
    next(iter(data["servers"].values())).update(wrong)
    file.write_text(json.dumps(data), encoding="utf-8")
    assert recall(URL, "m") is None
    remember(URL, "m", LEAST)
    assert recall(URL, "m") == LEAST
