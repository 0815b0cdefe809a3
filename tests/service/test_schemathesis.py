"""Every call of the API, with what schemathesis makes of its document."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import listening, started
from support import ROOT

from llmtriage.service.access import SCOPES
from llmtriage.store import keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """Where a service listens for all calls, and the header by which it knows who may make them."""
    with started(tmp_path_factory.mktemp("service"), triage={"threshold": 0.2}) as served, listening(served.service) as port:
        key = keys.create(served.store.database, "schemathesis", SCOPES)
        yield f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key.secret}"}


_KEY, _NUMBERS = re.compile("[!-~]{1,200}"), itertools.count()
_schema = schemathesis.openapi.from_dict(json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")))


@_schema.parametrize()
@settings(max_examples=25, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_schemathesis_finds_nothing(case: Any, place: tuple[str, dict[str, str]]) -> None:
    """With the same calls each time: statuses, kinds and bodies are those of the document, and nothing is a fault."""
    if _KEY.fullmatch((case.headers or {}).get("Idempotency-Key", "")):
        case.headers["Idempotency-Key"] = f"call-{next(_NUMBERS)}"  # one that was of another call is refused
    url, headers = place
    # A category that is none, or nothing to take back, is no fault of the form.
    meaning = [positive_data_acceptance] if case.path.startswith(("/queue", "/reviews")) else []
    case.call_and_validate(base_url=url, headers=headers, excluded_checks=meaning)
