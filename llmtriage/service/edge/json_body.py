"""JSON that means one thing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from fastapi import Request
from fastapi.routing import APIRoute

from llmtriage.service.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import Response

_TITLE = "the body is not JSON"


class JsonRoute(APIRoute):
    """A route that takes over what was read before it, for long bodies: they are read once, and beside the loop."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route, with requests that are read."""
        handle = super().get_route_handler()

        async def given(request: Request) -> Response:
            return await handle(_Read(request.scope, request.receive))

        return given


class _Read(Request):
    async def json(self) -> Any:
        return self.scope["state"]["json"]


def read(body: bytes) -> Any:
    """What it says, if that is one thing only: of a name that comes twice two programs may take different values. Raises Problem."""
    try:
        return json.loads(body, object_pairs_hook=_named_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise Problem(400, _TITLE, f"it cannot be read from character {error.pos} on") from None
    except UnicodeDecodeError:
        raise Problem(400, _TITLE, "it is not UTF-8") from None
    except RecursionError:
        raise Problem(400, _TITLE, "it is nested too deeply") from None
    except ValueError:  # Python refuses to read numbers of thousands of digits
        raise Problem(400, _TITLE, "a number in it is too long") from None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Problem(400, _TITLE, "an object in it has a name twice")
    return found


def _no_number(_: str) -> NoReturn:
    raise Problem(400, _TITLE, "NaN and Infinity are no numbers in JSON")
