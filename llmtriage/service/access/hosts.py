"""Under which names the service is called, and from where: a page of another site must not reach the service of the person who reads it."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmtriage.service import problems
from llmtriage.service.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Receive, Scope, Send

    from llmtriage.service.settings import ServiceSettings

_OWN = ("127.0.0.1", "::1", "localhost")
# Each proxy adds another one of them; what a name goes on with differs too: X-Forwarded-Port, X-Real-IP, CF-Connecting-IP.
_FORWARDED = (
    "forwarded",
    "via",
    "x-forwarded",
    "x-real-",
    "x-client-",
    "x-original-",
    "x-cluster-",
    "true-client-",
    "cf-connecting-",
)


class Hosts:
    """ASGI middleware: refuses requests for another host, which come from a page whose name was pointed here (DNS rebinding).

    An address that is not local has names that nobody told us; there all are taken unless some were named, and every call needs a key.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self._app = app
        own = {str(_address(name) or host_name(name)) for name in (*_OWN, settings.host, *settings.hosts)} - {""}
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
    return _is_proxy(_address(_peer(request)), settings)


def is_forwarded(request: HTTPConnection) -> bool:
    """Whether something stands between: then a local address says nothing of who calls."""
    return any(name.startswith(_FORWARDED) for name in request.headers)


def is_https(request: HTTPConnection, settings: ServiceSettings) -> bool:
    """Whether the browser speaks https, to us or to a trusted proxy."""
    by_proxy = is_trusted(request, settings) and _said(request, "x-forwarded-proto")[-1] == "https"
    return by_proxy or request.url.scheme == "https"


def network_of(request: HTTPConnection, settings: ServiceSettings) -> str:
    """Where a request comes from: behind trusted proxies, what they say. Of IPv6 the network, for who has one has all its addresses."""
    address = _address(_peer(request))
    for said in reversed(_said(request, "x-forwarded-for")):
        told = _address(said) if _is_proxy(address, settings) else None
        if told is None:
            break
        address = told
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address or _peer(request))


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _peer(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


def _said(request: HTTPConnection, header: str) -> list[str]:
    """What proxies said one after the other: each adds to the last line or writes one more, so the first ones may be the caller's own."""
    return [one.strip() for one in ",".join(request.headers.getlist(header)).split(",")]


def _address(text: str) -> _Address | None:
    """An address, also with a port; None where it is none. IPv4 within IPv6 is IPv4."""
    for one in (text, host_name(text)):
        with suppress(ValueError):
            found = ipaddress.ip_address(one)
            return getattr(found, "ipv4_mapped", None) or found
    return None


def _is_proxy(address: _Address | None, settings: ServiceSettings) -> bool:
    return address is not None and any(address in ipaddress.ip_network(one, strict=False) for one in settings.trusted_proxies)


def _place(host: str) -> tuple[str, str]:
    """Name and port; a port that need not be written is none."""
    name, port = host_name(host), host.rpartition(":")[2]
    return name, port if port.isdecimal() and port not in ("80", "443") else ""


def _bare(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()
