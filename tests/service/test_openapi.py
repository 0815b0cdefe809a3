"""The document of the API says what the API does."""

from __future__ import annotations

import html
import json
import runpy
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from serving import started
from support import ROOT

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
CALLS = {
    f"{method.upper()} {path}": call
    for path, methods in DOCUMENT["paths"].items()
    for method, call in methods.items()
    if method != "parameters"
}
# Asked again it gives the same tickets anyway.
NOT_KEPT = {"POST /queue/claim"}


def test_the_document_is_the_one_generated() -> None:
    """`make docs` writes it anew."""
    page = runpy.run_path(str(ROOT / "docs" / "make_openapi.py"))["page"]
    assert (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", CALLS)
def test_each_call_is_told_with_examples(name: str) -> None:
    """In words, of what is sent and what comes back, and that all else is a problem."""
    call = CALLS[name]
    assert call["summary"]
    assert call["description"]
    for said in (call.get("requestBody"), call["responses"].get("200")):
        for content in said["content"].values() if said and "content" in said else ():
            schema = _followed(content["schema"])
            examples = [*schema.get("examples", []), *([content["example"]] if "example" in content else [])]
            assert examples, name
            for example in examples:
                jsonschema_rs.validate({**schema, "components": DOCUMENT["components"]}, example)
    for statuses in ("4XX", "5XX"):
        assert "application/problem+json" in call["responses"][statuses]["content"]


@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith("POST ") and "/hooks/" not in name])
def test_each_post_takes_an_idempotency_key(name: str) -> None:
    """Where its reply may be kept."""
    names = [one["name"] for one in CALLS[name].get("parameters", [])]
    assert ("Idempotency-Key" in names) == (name not in NOT_KEPT)


@pytest.mark.parametrize("name", CALLS)
def test_a_reply_that_may_be_kept_holds_no_text(name: str) -> None:
    """Of the ticket, nor of the customer: what is kept for a day would stand beside the store's own text."""
    if "Idempotency-Key" in (one["name"] for one in CALLS[name].get("parameters", [])):
        replies = [one for status, one in CALLS[name]["responses"].items() if status.startswith("2")]
        assert not set(_fields(replies)) & {"title", "content", "note", "customer", "metadata"}


def _fields(schema: Any) -> Iterator[str]:
    """The names of all fields in it."""
    if isinstance(schema, list):
        for one in schema:
            yield from _fields(one)
    elif isinstance(schema, dict):
        followed = _followed(schema)
        yield from followed.get("properties", {})
        for one in followed.values() if followed is schema else [followed]:
            yield from _fields(one)


def _followed(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def test_a_client_of_a_served_document_sees_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    """And a page on which it can be read."""
    with started(tmp_path_factory.mktemp("service")) as served:
        assert served.client.get("/openapi.json").json() == DOCUMENT
        page = html.unescape(served.client.get("/docs?lang=zh").text)
        for name, call in CALLS.items():
            assert f"<code>{name}</code>" in page
            assert call["description"] in page
        assert "<code>filters.ticket_language</code>" in page
        assert "<code>string | null</code>" in page
        assert "调用以您的身份进行" in page
