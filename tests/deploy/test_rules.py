"""What Prometheus is to watch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from deploy.deployed import loaded
from support import ROOT

RULES: list[dict[str, Any]] = [rule for group in loaded("prometheus-rules.yaml")["groups"] for rule in group["rules"]]
_OF_A_HISTOGRAM = re.compile("_(bucket|count|sum)$")


def test_every_expression_can_be_read() -> None:
    """By a parser of Prometheus' language."""
    parser = pytest.importorskip("promql_parser")
    for rule in RULES:
        parser.parse(rule["expr"])


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
    for rule in RULES:
        for name in re.findall(r"\bllmtriage_\w+", rule["expr"]):
            assert _OF_A_HISTOGRAM.sub("", name) in told, f"{rule['alert']}: {name}"
        assert set(re.findall(r'route="([^"]+)"', rule["expr"])) <= routes


def test_the_page_says_what_to_do_at_each() -> None:
    """In the order of the file."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(Llmtriage\w+)` \| [^|]+ \|$", page, flags=re.MULTILINE) == [rule["alert"] for rule in RULES]
