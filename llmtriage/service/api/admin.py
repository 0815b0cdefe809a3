"""Which version decides."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, JsonValue

from llmtriage.service.access import Caller, may
from llmtriage.service.edge.idempotency import once
from llmtriage.service.problems import Problem
from llmtriage.service.serving import Service, service_of
from llmtriage.service.versions import Version

router = APIRouter(prefix="/versions", tags=["versions"])


_VERSION: JsonValue = {
    "id": "8c1f0e2d7a6b5c43",
    "since": "2026-01-31T08:00:00Z",
    "backend": "lexical",
    "taxonomy": "1f6c2f7d0c9b4a55",
    "calibration": None,
}


class VersionOut(BaseModel):
    """What decides, in short."""

    id: str
    since: datetime
    backend: str
    taxonomy: str
    calibration: str | None

    @classmethod
    def of(cls, version: Version) -> VersionOut:
        """A version for a caller."""
        triage = version.triage
        return cls(
            id=version.id,
            since=version.since,
            backend=triage.backend.name,
            taxonomy=triage.taxonomy.hash,
            calibration=triage.calibration.hash if triage.calibration else None,
        )


class VersionsOut(BaseModel):
    """What decides now, and what decided before."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"current": _VERSION, "before": None}]})

    current: VersionOut
    before: VersionOut | None


@router.get("", summary="What decides now, and what decided before")
def versions(request: Request, _: Annotated[Caller, Depends(may("classify"))]) -> VersionsOut:
    """What decides now, and what decided before."""
    return _told(service_of(request))


@router.post("/reload", summary="Take taxonomy, calibration and examples over anew")
async def reload(request: Request, _: Annotated[Caller, Depends(once("admin"))]) -> VersionsOut:
    """Read taxonomy, calibration and examples anew. They decide once they are known to fit each other; else everything stays."""
    service = service_of(request)
    await service.versions.take_over()
    return _told(service)


@router.post("/back", summary="Put the version before in place again")
async def back(request: Request, _: Annotated[Caller, Depends(once("admin"))]) -> VersionsOut:
    """Put the version before in place again."""
    service = service_of(request)
    if service.versions.before is None:
        raise Problem(409, "there is no version before this one", "it is kept from the first change on")
    await service.versions.back()
    return _told(service)


def _told(service: Service) -> VersionsOut:
    before = service.versions.before
    return VersionsOut(current=VersionOut.of(service.versions.current), before=before and VersionOut.of(before))
