"""What the edge keeps up to date while it runs: where its trunks' names lead, and new connections' certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial

import structlog

from telephony.edge.certificates import Certificates
from telephony.edge.counters import EdgeCounters
from telephony.edge.names import Names, follow
from telephony.edge.settings import Trunk
from telephony.errors import TelephonyError
from telephony.sip.resolving import Place

__all__ = ["follow_certificates", "look_ups"]

log = structlog.get_logger(__name__)

_Found = Callable[[str, Sequence[Place]], None]  # trunk, places


def look_ups(
    trunks: Sequence[Trunk], names: Names, *, hosts: _Found, registrar: _Found
) -> Iterator[Coroutine[None, None, None]]:
    """Each resolves a trunk's hosts or its registrar, now and whenever an answer of the name service expires."""
    for trunk in trunks:
        if trunk.hosts:
            yield follow(names, trunk.hosts, partial(hosts, trunk.name))
        if trunk.register is not None:
            yield follow(names, (trunk.register.target,), partial(registrar, trunk.name))


async def follow_certificates(certificates: Certificates, every_s: float, counters: EdgeCounters) -> None:
    """Use changed files for new connections; existing ones stay."""
    while True:
        await asyncio.sleep(every_s)
        try:
            if await asyncio.to_thread(certificates.refresh):
                counters.add("tls.reloaded")
                log.info("certificates_reloaded", expiries=[str(e.expires_at) for e in certificates.expiries])
        except TelephonyError as error:
            counters.add("tls.not_reloaded")
            log.error("certificates_not_reloaded", error=str(error))
