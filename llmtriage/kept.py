"""What was found out about servers, kept as JSON in the cache folder so that it need not be found out again. No keys, no tickets."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmtriage.settings import default_cache_dir
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_log = logging.getLogger(__name__)

_MOST = 200  # entries that are remembered; the oldest go first


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of small records.

    Attributes:
        name: Of the file in the cache folder.
        format: A file of another one is not read.
    """

    name: str
    format: int

    def get(self, *key: str) -> dict[str, Any] | None:
        """What is kept under `key`; None where nothing is, or it cannot be read."""
        found = self._known().get(digest(list(key)))
        return found if isinstance(found, dict) else None

    def put(self, value: Mapping[str, Any], *key: str) -> None:
        """Keep `value` in place of what was known. A folder that cannot be written loses it, with a log line."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _alone(self._path):
                known = self._known()
                known.pop(digest(list(key)), None)
                known[digest(list(key))] = dict(value)
                kept = dict(list(known.items())[-_MOST:])
                _write(self._path, json.dumps({"format": self.format, "servers": kept}, indent=1, allow_nan=False))
        except OSError as error:
            _log.warning("what was found out cannot be kept in %s (%s)", self._path, error.strerror)

    @property
    def _path(self) -> Path:
        return default_cache_dir() / self.name

    def _known(self) -> dict[str, Any]:
        """All that is kept, the oldest first; empty where the file is missing, broken or of another format."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict) or found.get("format") != self.format or not isinstance(found.get("servers"), dict):
            return {}
        return dict(found["servers"])


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Until the block ends no other thread or process is in one with this file.

    Windows has no such lock, nor have some file systems of a network: a record may get lost there.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)  # NFS locks only what may be written
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)  # gone with the handle, also after a kill
        yield
    finally:
        os.close(handle)


def _write(path: Path, text: str) -> None:
    """All of it or nothing, readable by its owner alone."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise
