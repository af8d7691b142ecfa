"""Keeps webhooks out of private networks, whatever the host name (SSRF). A name is looked up once, by this resolver,
and the connection goes to one of the allowed addresses, so a name whose address changes between check and use (DNS
rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

__all__ = ["ForbiddenTarget", "PublicResolver", "is_public", "refuse_private_literal"]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052


class ForbiddenTarget(OSError):
    """The target is inside a private network."""


def is_public(address: str) -> bool:
    """For an IP address. IPv6 addresses that embed an IPv4 address are as public as that."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def refuse_private_literal(url: str) -> None:
    """For URLs with an address in place of a name, which no resolver sees. Raises ForbiddenTarget."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # invalid address in brackets
        raise ForbiddenTarget("its host is neither a name nor an address") from None
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761
        raise ForbiddenTarget(f"{host} leads into a private network (allow_private)")
    try:
        public = is_public(host)
    except ValueError:  # a name
        return
    if not public:
        raise ForbiddenTarget(f"{host} is in a private network (allow_private)")


class OwnThreads(AbstractResolver):
    """Looks up names in its own threads: a hanging name server must not use up the gateway's shared ones."""

    def __init__(self, threads: int = 4) -> None:
        self._threads = ThreadPoolExecutor(threads, "names of webhooks")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=protocol, flags=numeric
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class PublicResolver(AbstractResolver):
    """Raises ForbiddenTarget for names that lead into private networks only."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or OwnThreads()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [each for each in found if is_public(each["host"])]
        if found and not public:
            raise ForbiddenTarget(f"{host} leads into a private network (allow_private)")
        return public

    async def close(self) -> None:
        await self._inner.close()
