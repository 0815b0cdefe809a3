"""The document of the API (OpenAPI), as the page `/docs` shows it and as it stands in `docs/openapi.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

_SUMMARY = "Sorts support tickets; what it cannot prove waits for a person."
_REF = "#/components/schemas/{model}"


class WrongPart(BaseModel):
    """A part of a request that cannot be used."""

    place: str
    problem: str


class ProblemOut(BaseModel):
    """Why a request was not answered as asked (RFC 9457). Nothing of what was sent stands in it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "the request is not what is wanted",
                    "status": 422,
                    "instance": "urn:request:5f0c6c5b7b0e4a3f9a3f6a1f2d1c0b9a",
                    "errors": [{"place": "body/content", "problem": "Field required"}],
                }
            ]
        }
    )

    type: str
    title: Annotated[str, Field(description="The same for each problem of a kind.")]
    status: int
    detail: Annotated[str, Field(description="How to mend it.")] = ""
    instance: Annotated[str, Field(description="The request, as the log names it.")] = ""
    errors: list[WrongPart] = []


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model="ProblemOut")}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": _problem("The request cannot be answered as it is."),
    "5XX": _problem("The service cannot work now; with Retry-After where it is worth trying again."),
}
"""What every call may answer."""


def install(app: FastAPI) -> None:
    """Have the app show its document with the problems in it."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _examples(kind: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """The examples of our own models, as they stand there: FastAPI leaves out what is null in them."""
    for one in kind.__subclasses__():
        extra = one.model_config.get("json_schema_extra")
        if one.__module__.startswith("llmtriage.service") and isinstance(extra, dict) and "examples" in extra:
            yield one.__name__, extra["examples"]
        yield from _examples(one)


def _document(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, summary=_SUMMARY, routes=app.routes)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    own = ProblemOut.model_json_schema(ref_template=_REF)
    for name, schema in own.pop("$defs").items():
        schemas[name] = schema
    schemas["ProblemOut"] = own
    for name, examples in _examples(BaseModel):
        if name in schemas:
            schemas[name]["examples"] = examples
    found["components"]["schemas"] = dict(sorted(schemas.items()))
    return found
