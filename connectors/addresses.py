"""Where a host name given by a user may lead: looked up once, so that what was checked is what gets connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from sync.base.errors import ConfigurationError, Transient

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def resolve(host: str, port: int, *, private: bool) -> list[Address]:
    """Addresses of `host` that may be connected to, in the resolver's order.

    Without `private` only public ones. Errors: ConfigurationError if none is allowed; Transient if there is none now.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Transient(f"{host} has no address now: {error}") from error
    addresses = [ipaddress.ip_address(str(item[4][0]).partition("%")[0]) for item in found]
    allowed = [address for address in addresses if private or address.is_global]
    if not allowed:
        raise ConfigurationError(
            f"{host} is an address inside a private network; only the operator may connect an account there.",
            code="private_address",
        )
    return allowed
