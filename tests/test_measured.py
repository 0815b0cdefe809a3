"""What was measured of a server is kept, found again, and never in the way."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtriage.measured import Measured, recall, remember

URL = "http://127.0.0.1:8000/v1"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, in a folder that is not there yet."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "measured.json"


def measured(speed: float | None = 12.5) -> Measured:
    """Something to keep."""
    return Measured(tickets_per_second=speed, prompt_ratio=None, output_tokens=9.0, when="2026-11-21T00:00:00Z", source="test")


def test_what_is_remembered_is_recalled_by_url_and_model() -> None:
    """Another URL or another model is another server; a slash at the end is not."""
    remember(URL, "m", measured())
    assert recall(URL, "m") == recall(f"{URL}/", "m") == measured()
    assert recall(URL, "n") is None
    assert recall("http://elsewhere/v1", "m") is None


def test_the_newest_counts_and_others_stay() -> None:
    """Each is replaced alone."""
    remember(URL, "m", measured(1.0))
    remember(URL, "n", measured(2.0))
    remember(URL, "m", measured(3.0))
    assert [recall(URL, model).tickets_per_second for model in "mn"] == [3.0, 2.0]  # type: ignore[union-attr]


def test_only_the_owner_reads_it_and_it_names_no_server(cache: Path) -> None:
    """Mode 0600, and a digest instead of the address."""
    remember("http://internal.example/v1", "secret-model", measured())
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    text = cache.read_text(encoding="utf-8")
    assert "internal" not in text
    assert "secret-model" not in text
    assert {path.name for path in cache.parent.iterdir()} == {"measured.json", "measured.json.lock"}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 9, "servers": {}}', '{"format": 1, "servers": []}', "\x00\xff", "[" * 100_000],
)
def test_a_broken_file_is_as_good_as_none_and_is_replaced(cache: Path, content: str) -> None:
    """It never stops a run."""
    cache.parent.mkdir()
    cache.write_text(content, encoding="latin-1")
    assert recall(URL, "m") is None
    remember(URL, "m", measured())
    assert recall(URL, "m") == measured()


@pytest.mark.parametrize("wrong", [{"when": 3}, {"tickets_per_second": "9"}, {"prompt_ratio": True}, {"output_tokens": -1}])
def test_a_broken_entry_is_as_good_as_none(cache: Path, wrong: dict[str, object]) -> None:
    """Whatever stands in it."""
    remember(URL, "m", measured())
    data = json.loads(cache.read_text(encoding="utf-8"))
    next(iter(data["servers"].values())).update(wrong)
    cache.write_text(json.dumps(data), encoding="utf-8")
    assert recall(URL, "m") is None


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A line in the log is all."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path / "file" / "below"))
    remember(URL, "m", measured())
    assert recall(URL, "m") is None
    assert "cannot be kept" in caplog.text


@given(st.lists(st.tuples(st.text(max_size=5), st.floats(min_value=0.001, max_value=1e6)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_last_word_on_each_model_is_the_one_recalled(calls: list[tuple[str, float]]) -> None:
    """For any names and any order."""
    for model, speed in calls:
        remember(URL, model, measured(speed))
    for model, speed in dict(calls).items():
        assert recall(URL, model) == measured(speed)
