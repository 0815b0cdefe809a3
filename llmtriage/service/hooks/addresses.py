"""Where a callback may lead: a name that leads into the own network must not make this service call there."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses in their last 32 bits


class ForbiddenAddressError(Exception):
    """A name leads to no public address."""


async def resolved(host: str, port: int, *, private: bool) -> str:
    """The address to connect to: looked up once, so that nobody can change it between the check and the call.

    Args:
        host: A name or an address.
        port: The port.
        private: Whether it may lie in a private network.

    Raises:
        OSError: The name is not known.
        ForbiddenAddressError: It leads to no address that may be called.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(one[4][0]) for one in found]
    allowed = [one for one in addresses if private or is_public(one)]
    if not allowed:
        raise ForbiddenAddressError
    return allowed[0]


def is_public(address: str) -> bool:
    """Whether an address belongs to the internet: not this machine, a private network, or one inside of the other kind of address."""
    found = _inner(ipaddress.ip_address(address.partition("%")[0]))
    return found.is_global and not found.is_multicast and not found.is_reserved


def _inner(address: _Address) -> _Address:
    """The IPv4 address that stands in an IPv6 one, if one does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address
