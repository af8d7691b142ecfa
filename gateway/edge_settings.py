"""The edge's part of the settings, and this machine's addresses that no audio may be sent to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gateway.config import Settings
from telephony.edge import EdgeLimits, EdgeSettings, Trunk
from telephony.sip.media_policy import MediaPolicy, addresses

__all__ = ["edge_settings"]


def edge_settings(settings: Settings) -> EdgeSettings:
    sip = settings.sip
    limits = {name: getattr(sip.limits, name) for name in type(sip.limits).model_fields}
    return EdgeSettings(
        listen=tuple(str(address) for address in sip.listen),
        trunks=tuple(
            Trunk(
                trunk.name,
                tuple(map(str, trunk.allow)),
                called_from=trunk.called_from,
                trust_identity=trunk.trust_identity,
                media_networks=tuple(map(str, trunk.media_networks)),
            )
            for trunk in sip.trunks
        ),
        public_address=sip.public_address or "",
        limits=EdgeLimits(**limits),
        media=_media_policy(settings),
    )


def _media_policy(settings: Settings) -> MediaPolicy:
    sip, rtp = settings.sip, settings.rtp
    said = [address.host for address in sip.listen] + [sip.public_address or "", rtp.address or ""]
    ports = {address.port for address in sip.listen} | {settings.http.listen.port}
    return MediaPolicy(addresses([*_interfaces(), *said]), frozenset(ports), range(rtp.ports.first, rtp.ports.last + 1))


def _interfaces() -> list[str]:
    """IPv4 addresses of this machine, as the kernel's routes have them (psutil would cost a megabyte)."""
    found: list[str] = []
    with suppress(OSError):
        address = ""
        for line in Path("/proc/net/fib_trie").read_text().splitlines():
            branch, _, rest = line.partition("|-- ")
            if rest and not branch.strip():
                address = rest.strip()
            elif "/32 host LOCAL" in line:
                found.append(address)
    return found
