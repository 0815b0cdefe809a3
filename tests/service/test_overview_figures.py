"""How things stand, over HTTP: figures for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from decided import accepted, decision, pending, record, ticket
from overseen import accept_probes, decide_probes, promised, run_under
from serving import Served

from llmtriage.service.api.overview import OverviewOut

Serve = Callable[..., Served]


def told(served: Served) -> Any:
    """What the service says."""
    reply = served.client.get("/overview.json")
    assert reply.status_code == 200
    return reply.json()


def in_force(served: Served, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a calibration be in force that no engine was asked for."""
    calibration = promised()
    monkeypatch.setattr(served.service.versions.current.triage, "calibration", calibration)
    return calibration


def test_an_empty_store_has_figures_too(serve: Serve) -> None:
    """Without a calibration there is no promise to look at."""
    found = told(serve())
    assert (len(found["days"]), found["waiting"]["entries"], found["waiting"]["oldest"], found["promises"]) == (30, 0, None, None)
    assert found["agreement"]["blind"] == {"same": 0, "other": 0, "share": None}


def test_what_was_decided_is_told(serve: Serve) -> None:
    """Today's tickets, and what waits by lane and reason."""
    served = serve()
    record(served.store, decision(ticket("a", "T1"), accepted()), decision(ticket("b", "T2"), pending()))
    found = told(served)
    assert {**found["days"][-1], "day": None} == {"day": None, "accepted": 1, "pending": 1, "probes": 0}
    assert found["waiting"]["lanes"] == {"pending": 1}
    assert found["waiting"]["reasons"] == {"below_threshold": 1}
    assert found["categories"] == [{"category": "refund", "accepted": 1, "confirmed": 0, "corrected": 0}]


def test_a_broken_promise_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """In figures and in words, in the language of the service."""
    served = serve(language="zh")
    calibration = in_force(served, monkeypatch)
    (before,) = told(served)["promises"]
    assert (before["state"], before["probes"], before["needed"], before["limit"]) == ("early", 0, 90, 1.0)
    accept_probes(served.store, run_under(calibration), [f"P{n}" for n in range(10)])
    decide_probes(served.store, ["login"] * 8)
    (after,) = told(served)["promises"]
    assert (after["state"], after["probes"], after["wrong"]) == ("broken", 8, 8)
    assert "waiting" not in after  # else whoever answers the two that wait would know that they would be accepted
    assert after["words"].startswith("保证不再成立：8 张")


def test_the_example_is_one() -> None:
    """What the document shows is what is sent."""
    extra = OverviewOut.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    for example in extra["examples"]:  # type: ignore[union-attr]
        OverviewOut.model_validate(example)
