"""Under which names the service is called, and from where: a page of another site must not reach the service of the person who reads it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmtriage.service import problems
from llmtriage.service.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Receive, Scope, Send

    from llmtriage.service.settings import ServiceSettings

_LONGEST_ADDRESS = 100  # characters
_OWN = ("127.0.0.1", "::1", "localhost")
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


class Hosts:
    """ASGI middleware: refuses requests for another host, which come from a page whose name was pointed here (DNS rebinding).

    An address that is not local has names that nobody told us; there all are taken unless some were named, and every call needs a key.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self._app = app
        own = {_bare(name) for name in (*_OWN, settings.host, *settings.hosts)}
        self._names = own if settings.is_local or settings.hosts else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or self._names is None:
            await self._app(scope, receive, send)
            return
        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(named) == 1 and host_name(named[0]) in self._names:
            await self._app(scope, receive, send)
            return
        status = 421 if len(named) == 1 else 400
        refused = Problem(status, "not a host of this service", "name it with llmtriage serve --allow-host")
        await problems.response(refused, scope.get("state", {}).get("id"))(scope, receive, send)


def host_name(host: str) -> str:
    """The name of a `Host` header, without its port; empty where it is none."""
    if "@" in host:
        return ""
    try:
        return _bare(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return ""


def check_origin(request: HTTPConnection) -> None:
    """Refuse what a browser sends for a page of another site. What is no browser says nothing of it. Raises Problem (403)."""
    if not _is_own_page(request):
        raise Problem(403, "a page of another site may not do this", "open the page of this service")


def _is_own_page(request: HTTPConnection) -> bool:
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or _place(origin.partition("://")[2]) == _place(request.headers.get("host", ""))


def is_trusted(request: HTTPConnection, settings: ServiceSettings) -> bool:
    """Whether who speaks to us is a reverse proxy whose headers are believed: the peer of the connection counts, no header."""
    try:
        peer = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    return any(peer in ipaddress.ip_network(one, strict=False) for one in settings.trusted_proxies)


def is_forwarded(request: HTTPConnection) -> bool:
    """Whether something stands between: then a local address says nothing of who calls."""
    return any(name in request.headers for name in _FORWARDED)


def is_https(request: HTTPConnection, settings: ServiceSettings) -> bool:
    """Whether the browser speaks https, to us or to a trusted proxy."""
    by_proxy = is_trusted(request, settings) and request.headers.get("x-forwarded-proto") == "https"
    return by_proxy or request.url.scheme == "https"


def address_of(request: HTTPConnection, settings: ServiceSettings) -> str:
    """Where a request comes from: behind a trusted proxy, what that says last."""
    told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    if told and is_trusted(request, settings):
        return told[:_LONGEST_ADDRESS]
    return request.client.host if request.client else ""


def _place(host: str) -> tuple[str, str]:
    """Name and port; a port that need not be written is none."""
    name, port = host_name(host), host.rpartition(":")[2]
    return name, port if port.isdecimal() and port not in ("80", "443") else ""


def _bare(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()
