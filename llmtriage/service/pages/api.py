"""The page of the API: each call as the document tells it, and a form that makes it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from llmtriage.service.access.people import signed_in
from llmtriage.service.pages.faults import PageRoute
from llmtriage.service.pages.rendering import page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_DEEP = 3  # names within names that are shown


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is sent: a parameter, or a field of the body.

    Attributes:
        name: Of a field within another one with dots: filters.lane.
        place: "path", "query", "header" or "body".
        kind: What it may be.
        required: Whether it must be there.
        description: What it means.
    """

    name: str
    place: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it is shown.

    Attributes:
        method: Of HTTP.
        path: With names in braces.
        group: What it belongs to.
        summary: In few words.
        description: In more.
        parameters: What is sent beside the body.
        fields: What is sent in it.
        body: An example of it, as JSON; empty where none is sent.
        reply: An example of the answer.
    """

    method: str
    path: str
    group: str
    summary: str
    description: str
    parameters: tuple[Part, ...]
    fields: tuple[Part, ...]
    body: str
    reply: str

    def curl(self, base: str) -> str:
        """The call as a command."""
        sent = f" \\\n  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(self.body)}" if self.body else ""
        return f'curl -sS -X {self.method} {shlex.quote(base + self.path)} \\\n  -H "Authorization: Bearer $KEY"{sent}'


@router.get("/docs")
def docs(request: Request) -> Response:
    """Every call of the API, to be read and to be tried."""
    groups = [(name, list(calls)) for name, calls in groupby(calls_of(request.app.openapi()), key=lambda one: one.group)]
    base = str(request.base_url).rstrip("/")
    return page(request, "api.html.j2", person=signed_in(request), groups=groups, base=base)


def calls_of(document: Mapping[str, Any]) -> list[Call]:
    """The calls of a document of OpenAPI, by group."""
    models = document["components"]["schemas"]
    found = [_call(path, method, told, models) for path, methods in document["paths"].items() for method, told in methods.items()]
    return sorted(found, key=lambda one: one.group)


def _call(path: str, method: str, told: Mapping[str, Any], models: Mapping[str, Any]) -> Call:
    sent = _content(told.get("requestBody", {}))
    replies = [_content(reply) for status, reply in told["responses"].items() if status.startswith("2")]
    return Call(
        method=method.upper(),
        path=path,
        group=told.get("tags", [""])[0],
        summary=told["summary"],
        description=told.get("description", ""),
        parameters=tuple(_part(one["name"], one["in"], one["schema"], models, one) for one in told.get("parameters", [])),
        fields=tuple(_fields(sent.get("schema", {}), models)),
        body=_example(sent, models),
        reply=_example(replies[0], models),
    )


def _content(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said of a body; the kinds of content differ by name alone."""
    return next(iter(told.get("content", {}).values()), {})


def _example(content: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    if not content:
        return ""
    found = content["example"] if "example" in content else _model(content["schema"], models).get("examples", [""])[0]
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, indent=2)


def _fields(schema: Mapping[str, Any], models: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[Part]:
    """The fields of an object, each before those within it."""
    model = _model(schema, models)
    for name, told in model.get("properties", {}).items():
        yield _part(before + name, "body", told, models, {"required": name in model.get("required", ()), **told})
        if depth < _DEEP:
            yield from _fields(told.get("items", told), models, f"{before}{name}.", depth + 1)


def _part(name: str, place: str, schema: Mapping[str, Any], models: Mapping[str, Any], said: Mapping[str, Any]) -> Part:
    return Part(name, place, _kind(schema, models), said.get("required") is True, said.get("description", ""))


def _kind(schema: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """What a value may be, in the words of JSON."""
    told = _model(schema, models)
    if "anyOf" in told:
        return " | ".join(dict.fromkeys(_kind(one, models) for one in told["anyOf"]))
    if "enum" in told or "const" in told:
        return " | ".join(json.dumps(one) for one in told.get("enum", [told.get("const")]))
    if told.get("type") == "array":
        return f"[{_kind(told.get('items', {}), models)}]"
    return str(told.get("format", told.get("type", "any")))


def _model(schema: Mapping[str, Any], models: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = models[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found
