"""Write docs/openapi.json: the document of the API, from the routes themselves."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from llmtriage import Triage
from llmtriage.service.app import create_app
from llmtriage.service.serving import Service
from llmtriage.service.settings import ServiceSettings
from llmtriage.service.versions import Versions
from llmtriage.store import SqlStore

PAGE = Path(__file__).with_name("openapi.json")


def page() -> str:
    """The whole document."""
    with tempfile.TemporaryDirectory() as folder, SqlStore(Path(folder) / "service.db") as store:
        app = create_app(Service(ServiceSettings(), store, Versions(Triage)))
    return json.dumps(app.openapi(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
