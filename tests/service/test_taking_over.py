"""A new taxonomy or calibration decides once it is known to fit, and the one before is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from serving import Served

from llmtriage.resources import shipped

Serve = Callable[..., Served]


def test_a_new_taxonomy_is_taken_over_and_given_back(serve: Serve, tmp_path: Path) -> None:
    """Every outcome names the version; a file that is broken changes nothing."""
    path = tmp_path / "taxonomy.yaml"
    sample = shipped("taxonomy.yaml").read_text(encoding="utf-8")
    path.write_text(sample, encoding="utf-8")
    client = serve(triage={"taxonomy": path}).client
    first = client.get("/versions").json()["current"]["id"]
    path.write_text(sample.replace("team:", "team: new-", 1), encoding="utf-8")
    changed = client.post("/versions/reload").json()
    assert changed["before"]["id"] == first
    assert changed["current"]["id"] != first
    assert client.post("/classify/single", json={"content": "where is my parcel"}).json()["version"] == changed["current"]["id"]
    path.write_text("categories: [", encoding="utf-8")
    broken = client.post("/versions/reload")
    assert broken.status_code == 422
    assert broken.headers["content-type"] == "application/problem+json"
    assert broken.json()["detail"].startswith("taxonomy.yaml:")
    assert str(tmp_path) not in broken.text
    assert client.get("/versions").json() == changed
    assert client.post("/versions/back").json()["current"]["id"] == first
    assert client.get("/versions").json()["before"]["id"] == changed["current"]["id"]


def test_a_taxonomy_that_only_says_what_was_is_taken_over_too(serve: Serve, tmp_path: Path) -> None:
    """It decides as before, and knows the labels of former categories."""
    path = tmp_path / "taxonomy.yaml"
    path.write_text("categories:\n- id: refund\n- id: parcel\n", encoding="utf-8")
    served = serve(triage={"taxonomy": path})
    path.write_text("categories:\n- id: refund\n  was: [money_back]\n- id: parcel\n", encoding="utf-8")
    told = served.client.post("/versions/reload").json()
    assert told["current"]["id"] == told["before"]["id"]
    assert served.service.taxonomy.carried("money_back") == "refund"


def test_there_is_nothing_before_the_first_version(serve: Serve) -> None:
    """And it is told."""
    reply = serve().client.post("/versions/back")
    assert reply.status_code == 409
    assert "no version before" in reply.json()["title"]
