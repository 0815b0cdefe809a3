"""What Prometheus is to watch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.deployed import DEPLOY, loaded
from support import ROOT

RULES: list[dict[str, Any]] = [rule for group in loaded("prometheus-rules.yaml")["groups"] for rule in group["rules"]]
_OF_A_HISTOGRAM = re.compile("_(bucket|count|sum)$")


DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8"))
EXPRESSIONS = {
    **{rule["alert"]: rule["expr"] for rule in RULES},
    **{f"{panel['title']} {target['refId']}": target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]},
}


def test_every_expression_can_be_read() -> None:
    """By a parser of Prometheus' language."""
    parser = pytest.importorskip("promql_parser")
    for expression in EXPRESSIONS.values():
        parser.parse(expression)


def test_the_dashboard_has_a_place_for_each_panel() -> None:
    """None lies on another; all read the source that is chosen."""
    panels = DASHBOARD["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    [source] = DASHBOARD["templating"]["list"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${" + source["name"] + "}"}


_WEEK = 7 * 24 * 2  # looks, one in half an hour; shorter series have one a minute
_USUAL, _SUDDEN = f"0+30x{_WEEK}", f"0+30x{_WEEK - 6} {30 * (_WEEK - 6) + 180}+180x5"
_TICKETS = 'llmtriage_tickets_total{outcome="%s",reason=""}'
_BUCKET = 'llmtriage_http_request_duration_seconds_bucket{route="/classify/single",le="%s"}'
_REQUESTS = 'llmtriage_http_requests_total{status="%s"}'
_GIVEN_UP = 'llmtriage_deliveries_total{callback="crm",result="given_up"}'

Series = dict[str, str]
CASES: dict[str, list[tuple[Series, Series]]] = {
    "LlmtriageDown": [({'up{job="llmtriage"}': "0x30"}, {'up{job="llmtriage"}': "1x30"})],
    "LlmtriageStoreDown": [
        ({"llmtriage_store_up": "0x30"}, {"llmtriage_store_up": "1x30"}),
        ({"llmtriage_store_up": "1x3 0x1 _x20"}, {"llmtriage_store_up": "1x3 0x1 1x20"}),  # it told so, and then nothing more
    ],
    "LlmtriageBackendDown": [({"llmtriage_backend_up": "0x30"}, {"llmtriage_backend_up": "1x30"})],
    "LlmtriageErrors": [
        ({_REQUESTS % 503: "0+2x30", _REQUESTS % 200: "0+98x30"}, {_REQUESTS % 503: "0x30", _REQUESTS % 200: "0+98x30"})
    ],
    "LlmtriageSlow": [
        (
            {_BUCKET % "0.5": "0+90x30", _BUCKET % "1.0": "0+100x30", _BUCKET % "+Inf": "0+100x30"},
            {_BUCKET % "0.5": "0+100x30", _BUCKET % "1.0": "0+100x30", _BUCKET % "+Inf": "0+100x30"},
        )
    ],
    "LlmtriageLowConfidence": [
        (
            {"llmtriage_low_confidence_tickets_total": _SUDDEN, "llmtriage_confidence_tickets_total": f"0+300x{_WEEK}"},
            {"llmtriage_low_confidence_tickets_total": _USUAL, "llmtriage_confidence_tickets_total": f"0+300x{_WEEK}"},
        )
    ],
    "LlmtriagePendingJump": [
        (
            {_TICKETS % "pending": _SUDDEN, _TICKETS % "accepted": f"0+120x{_WEEK}"},
            {_TICKETS % "pending": _USUAL, _TICKETS % "accepted": f"0+120x{_WEEK}"},
        )
    ],
    "LlmtriageQueueOld": [
        ({"llmtriage_queue_oldest_age_seconds": "90000x30"}, {"llmtriage_queue_oldest_age_seconds": "3600x30"})
    ],
    "LlmtriagePromiseBroken": [({"llmtriage_promise_alarm": "1x30"}, {"llmtriage_promise_alarm": "0x30"})],
    "LlmtriageDeliveriesGivenUp": [
        ({_GIVEN_UP: "0x20 1x10"}, {_GIVEN_UP: "1x90"}),
        ({_GIVEN_UP: "_x20 1x10"}, {_GIVEN_UP: "_x30"}),  # told of from the first one on: it is not there before
    ],
}


@pytest.mark.slow
def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    """By Prometheus' own program, which is no package of Python's: where it is not installed, only the language is checked."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: install prometheus")
    assert CASES.keys() == {rule["alert"] for rule in RULES}
    tests = [
        _case(alert, series, fires=fires)
        for alert, cases in CASES.items()
        for case in cases
        for series, fires in zip(case, (True, False), strict=True)
    ]
    for every in ("1m", "30m"):
        path = tmp_path / f"{every}.yaml"
        some = [test for test in tests if test["interval"] == every]
        rules = str(DEPLOY / "prometheus-rules.yaml")
        path.write_text(yaml.safe_dump({"rule_files": [rules], "evaluation_interval": every, "tests": some}), encoding="utf-8")
        done = subprocess.run([promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout


def _case(alert: str, series: Series, *, fires: bool) -> dict[str, Any]:
    end = max(
        sum(int(part.rpartition("x")[2]) + 1 if "x" in part else 1 for part in values.split()) for values in series.values()
    )
    [rule] = [rule for rule in RULES if rule["alert"] == alert]
    labels = {**rule["labels"], **_labels(series)} if fires else None
    told = [{"exp_labels": labels, "exp_annotations": rule["annotations"]}] if fires else []
    return {
        "interval": "30m" if end > 100 else "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{end - 2}m" if end <= 100 else f"{30 * (end - 2)}m", "alertname": alert, "exp_alerts": told}
        ],
    }


def _labels(series: Series) -> dict[str, str]:
    """Those that an alert about one series keeps; a sum has none."""
    return dict(re.findall(r'(\w+)="([^"]*)"', next(iter(series)))) if len(series) == 1 else {}


def test_every_rule_says_how_bad_it_is_and_what_it_means() -> None:
    """In a sentence; names are Prometheus' own kind."""
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert re.fullmatch("Llmtriage[A-Za-z]+", rule["alert"])
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}


def test_every_figure_is_one_that_the_service_tells(tmp_path: Path) -> None:
    """And so is every route in them."""
    from serving import started

    with started(tmp_path) as served:
        reply = served.client.get("/metrics")
        routes = served.client.get("/openapi.json").json()["paths"].keys()
    if reply.status_code == 404:
        pytest.skip("the service tells no figures yet")
    told = set(re.findall(r"^# TYPE (\w+)", reply.text, flags=re.MULTILINE))
    for title, expression in EXPRESSIONS.items():
        for name in re.findall(r"\bllmtriage_\w+", expression):
            assert _OF_A_HISTOGRAM.sub("", name) in told, f"{title}: {name}"
        assert set(re.findall(r'route="([^"]+)"', expression)) <= routes


def test_the_page_says_what_to_do_at_each() -> None:
    """In the order of the file."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(Llmtriage\w+)` \| [^|]+ \|$", page, flags=re.MULTILINE) == [rule["alert"] for rule in RULES]
