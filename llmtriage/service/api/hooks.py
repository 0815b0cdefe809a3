"""Tickets that other systems send: taken when they are on disk, decided a moment later."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal, cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from llmtriage.errors import UnknownNameError
from llmtriage.service.hooks.fields import UnusableError
from llmtriage.service.hooks.signing import RefusedError
from llmtriage.service.problems import Problem
from llmtriage.service.serving import service_of
from llmtriage.store import inbox

if TYPE_CHECKING:
    from llmtriage.service.hooks.running import Hooks

router = APIRouter(prefix="/hooks", tags=["hooks"])


_EXAMPLE = {"data": {"id": "T-1001", "title": "Parcel lost", "content": "My parcel never arrived.", "language": "en"}}


class TakenOut(BaseModel):
    """What became of a message."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "taken"}]})

    status: Literal["taken", "known"]


@router.post(
    "/{name}",
    status_code=202,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}}}
    },
    responses={
        200: {"model": TakenOut, "description": "The message came before; nothing happens a second time."},
        401: {"description": "The signature is not right, or the message is too old."},
        404: {"description": "There is no such hook."},
        422: {"description": "No ticket stands in the message."},
    },
)
async def receive(name: str, request: Request, response: Response) -> TakenOut:
    """Take a signed message of another system. The ticket is decided soon after; callbacks tell how."""
    hooks = hooks_of_app(request)
    hook = hooks.known.get(name)
    if hook is None:
        raise UnknownNameError("there is no such hook", remedy="name it in the settings file: [hooks.NAME]")
    body = await request.body()
    try:
        message = hook.verify(body, request.headers, time.time())
        ticket = hook.ticket(body)
    except RefusedError as error:
        raise Problem(401, "the message is not taken", str(error)) from None
    except UnusableError as error:
        raise Problem(422, "no ticket stands in the message", errors=error.errors) from None
    is_new = await asyncio.to_thread(inbox.put, service_of(request).store, name, message, ticket)
    hooks.working.wake()
    response.status_code = 202 if is_new else 200
    return TakenOut(status="taken" if is_new else "known")


def hooks_of_app(request: Request) -> Hooks:
    """The hooks and callbacks of the service that a request came to."""
    return cast("Hooks", request.app.state.hooks)
