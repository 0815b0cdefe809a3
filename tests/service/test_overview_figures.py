"""How things stand, over HTTP: figures for programs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from decided import accepted, decision, pending, record, rows, ticket
from overseen import accept_probes, answer_twice, decide_probes, promised, run_under
from serving import Served

from llmtriage.service.access import Caller
from llmtriage.service.access.callers import caller_of
from llmtriage.service.api.overview import OverviewOut
from llmtriage.store import schema
from llmtriage.store.reading import moment

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
    assert before["since"] is None
    accept_probes(served.store, run_under(calibration), [f"P{n}" for n in range(10)])
    decide_probes(served.store, ["login"] * 8)
    (after,) = told(served)["promises"]
    assert (after["state"], after["probes"], after["wrong"]) == ("broken", 8, 8)
    (run,) = rows(served.store, schema.run)
    assert datetime.fromisoformat(after["since"]) == moment(run.started_at)
    assert "waiting" not in after  # else whoever answers the two that wait would know that they would be accepted
    assert after["words"].startswith("保证不再成立：8 张")


def test_how_far_people_agree_is_told(serve: Serve) -> None:
    """Numbers from ten pairs on; and what they differ in, page by page, to who may change what decides."""
    served = serve(second=1.0)
    one, other = (leaf.id for leaf in served.service.taxonomy.leaves[:2])
    answer_twice(served, [(one, one)] * 6 + [(one, other)] * 3)
    found = told(served)["opinions"]
    assert (found["pairs"], found["same"], found["share"], found["low"], found["kappa"]) == (9, 6, None, None, None)
    answer_twice(served, [(other, other)], start=9)
    found = told(served)["opinions"]
    assert (found["pairs"], found["same"], found["share"]) == (10, 7, 0.7)
    assert 0.3 < found["low"] < 0.7 < found["high"] < 1
    assert 0 < found["kappa"] < 0.7
    assert found["disputed"] == [{"one": min(one, other), "other": max(one, other), "pairs": 3}]
    page = served.client.get("/disagreements", params={"limit": 2}).json()
    rest = served.client.get("/disagreements", params={"before": page["next"]}).json()
    assert [item["ticket_id"] for item in page["items"] + rest["items"]] == ["P8", "P7", "P6"]
    assert (page["items"][0]["first"], page["items"][0]["second"], rest["next"]) == (one, other, None)
    served.client.app.dependency_overrides[caller_of] = lambda: Caller("key", "crm", frozenset({"review"}))  # type: ignore[attr-defined]
    assert served.client.get("/disagreements").status_code == 403


def test_the_example_is_one() -> None:
    """What the document shows is what is sent."""
    extra = OverviewOut.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    for example in extra["examples"]:  # type: ignore[union-attr]
        OverviewOut.model_validate(example)
