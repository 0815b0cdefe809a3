"""Where the files that ship with the package are: prompt templates and the sample taxonomy."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(name: str) -> Path:
    """Path of the shipped file or folder `name` ("taxonomy.yaml", "prompts").

    A wheel carries them in `llmtriage/data`; in a checkout (editable install) they stand beside the package.
    """
    packaged = _PACKAGE / "data" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name
