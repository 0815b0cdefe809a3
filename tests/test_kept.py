"""Small records in the cache folder: found by their whole key, the oldest forgotten first."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmtriage.kept import Kept

KEPT = Kept("some.json", 1)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, in a folder that is not there yet."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "some.json"


def test_a_record_is_found_by_all_of_its_key() -> None:
    """Parts of a key do not run into each other."""
    KEPT.put({"n": 1}, "ab", "c")
    assert KEPT.get("ab", "c") == {"n": 1}
    assert KEPT.get("a", "bc") is KEPT.get("ab") is KEPT.get("c", "ab") is None


def test_files_are_apart() -> None:
    """Another name is another file, and another format is not read but replaced."""
    KEPT.put({"n": 1}, "a")
    Kept("other.json", 1).put({"n": 2}, "a")
    newer = Kept("some.json", 2)
    assert KEPT.get("a") == {"n": 1}
    assert newer.get("a") is None
    newer.put({"n": 3}, "b")
    assert KEPT.get("a") is None
    assert (newer.get("a"), newer.get("b")) == (None, {"n": 3})


def test_the_oldest_of_many_go_first(file: Path) -> None:
    """What is put again is new."""
    for number in range(200):
        KEPT.put({"n": number}, str(number))
    KEPT.put({"n": "again"}, "0")
    KEPT.put({"n": "new"}, "200")
    assert len(json.loads(file.read_text(encoding="utf-8"))["servers"]) == 200
    assert KEPT.get("1") is None
    assert [KEPT.get(key) for key in ("0", "2", "200")] == [{"n": "again"}, {"n": 2}, {"n": "new"}]


@pytest.mark.parametrize("value", [None, 3, "x", [1]])
def test_a_record_that_is_none_is_as_good_as_none(file: Path, value: object) -> None:
    """Others beside it are read."""
    KEPT.put({"n": 1}, "a")
    KEPT.put({"n": 2}, "b")
    data = json.loads(file.read_text(encoding="utf-8"))
    first, _ = data["servers"]
    data["servers"][first] = value
    file.write_text(json.dumps(data), encoding="utf-8")
    assert KEPT.get("a") is None
    assert KEPT.get("b") == {"n": 2}


def test_texts_of_any_kind_are_kept(file: Path) -> None:
    """Chinese, quotes, and what UTF-8 cannot write."""
    value = {"退款": ['say "hi"', "\ud800", "a\nb"]}
    KEPT.put(value, "a")
    assert KEPT.get("a") == value
    file.read_bytes().decode("ascii")


def test_what_several_keep_at_once_is_all_there() -> None:
    """Each reads what the others wrote before it writes."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: KEPT.put({"n": number}, str(number)), range(100)))
    assert [KEPT.get(str(number)) for number in range(100)] == [{"n": number} for number in range(100)]


@pytest.mark.skipif(sys.platform == "win32", reason="no such lock")
def test_a_file_system_without_locks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is kept there too; where there are locks, it is a file that may be written that is locked, its owner's alone."""
    import fcntl

    def refuse(handle: int, _: int) -> None:
        assert fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_RDWR
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    KEPT.put({"n": 1}, "退款")
    assert KEPT.get("退款") == {"n": 1}
    assert {one.name: stat.S_IMODE(one.stat().st_mode) for one in file.parent.iterdir()} == {
        "some.json": 0o600,
        "some.json.lock": 0o600,
    }
