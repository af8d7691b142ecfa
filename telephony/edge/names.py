"""Resolves the names of trunks' hosts with the system's name servers. The only importer of dnspython, which is loaded
at the first lookup."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from telephony.sip.name_cache import NameCache
from telephony.sip.resolving import (
    Address,
    Answer,
    Naptr,
    Place,
    Question,
    Record,
    Resolved,
    SipTransport,
    Srv,
    Target,
    plan,
)
from telephony.sip.uri import as_ip

__all__ = ["DnsService", "NameService", "Names", "follow"]

log = structlog.get_logger(__name__)

_LIFETIME_S = 4.0  # for one question, over all name servers
_LEAST_WAIT_S = 5.0
_LONGEST_WAIT_S = 3600.0


class NameService(Protocol):
    async def ask(self, question: Question) -> Answer:
        """Never raises: a failed lookup is an answer with `failed` set."""


class DnsService:
    """`nameservers`: (IP address, port); none: the system's."""

    def __init__(self, nameservers: Sequence[tuple[str, int]] = ()) -> None:
        self._nameservers = tuple(nameservers)
        self._resolver: Any = None

    async def ask(self, question: Question) -> Answer:
        import dns.exception
        import dns.resolver

        try:
            answer = await self._opened().resolve(question.name, question.kind, lifetime=_LIFETIME_S, search=False)
        except dns.resolver.NXDOMAIN as error:
            return Answer((), _negative_ttl(next(iter(error.kwargs.get("responses", {}).values()), None)))
        except dns.resolver.NoAnswer as error:
            return Answer((), _negative_ttl(error.kwargs.get("response")))
        except (dns.exception.DNSException, OSError, ValueError, KeyError) as error:
            log.warning("name_lookup_failed", name=question.name, kind=question.kind, error=type(error).__name__)
            return Answer(failed=True)
        return Answer(tuple(_record(question, item) for item in answer), float(answer.rrset.ttl))

    def _opened(self) -> Any:
        if self._resolver is None:
            import dns.asyncresolver
            import dns.nameserver

            self._resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                self._resolver.nameservers = [dns.nameserver.Do53Nameserver(ip, port) for ip, port in self._nameservers]
        return self._resolver


def _record(question: Question, item: Any) -> Record:
    if question.kind == "NAPTR":
        flags, service = item.flags.decode("latin-1"), item.service.decode("latin-1")
        return Naptr(item.order, item.preference, flags, service, item.replacement.to_text())
    if question.kind == "SRV":
        return Srv(item.priority, item.weight, item.port, item.target.to_text())
    return Address(item.address)


def _negative_ttl(response: Any) -> float:
    """As the zone's SOA says (RFC 2308 section 5)."""
    import dns.rdatatype

    for rrset in () if response is None else response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return float(min(rrset.ttl, rrset[0].minimum))
    return 60.0


class Names:
    """Places of targets by RFC 3263, from a cache while its entries are valid."""

    def __init__(
        self,
        service: NameService,
        transports: Sequence[SipTransport],
        random: Callable[[], float],
        cache: NameCache | None = None,
    ) -> None:
        self._service = service
        self._transports = tuple(transports)
        self._random = random
        self._cache = NameCache() if cache is None else cache

    async def places(self, target: Target) -> Resolved:
        going = plan(target, self._transports, self._random)
        loop = asyncio.get_running_loop()
        try:
            question = next(going)
            while True:
                answer = self._cache.get(question, loop.time())
                if answer is None:
                    answer = self._cache.put(question, await self._service.ask(question), loop.time())
                question = going.send(answer)
        except StopIteration as end:
            resolved: Resolved = end.value
            return resolved


async def follow(names: Names, targets: Sequence[Target], found: Callable[[Sequence[Place]], None]) -> None:
    """Report the places of all targets, in order, and again whenever an answer expires. Returns when all are literals.
    While the name service does not answer, earlier results are kept."""
    before: tuple[Place, ...] = ()
    while True:
        resolved = [await names.places(target) for target in targets]
        places = tuple(dict.fromkeys(place for one in resolved for place in one.places))
        if places or not any(one.failed for one in resolved):
            before = places
        found(before)
        if all(as_ip(target.host) is not None for target in targets):
            return
        ttl_s = min(one.ttl_s for one in resolved)
        await asyncio.sleep(min(max(ttl_s, _LEAST_WAIT_S), _LONGEST_WAIT_S))
