"""A dialog's owner: who may send in it, and where its requests may go. Pure.

A dialog belongs to the trunk that its INVITE came from. Its tags alone prove too little, since anybody on the path can
read them; and an address in a Contact or Route is only a claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network

from telephony.edge.admission import TrunkTable
from telephony.edge.dialogs import Dialog
from telephony.edge.hops import Hop
from telephony.sip.uri import Uri, as_ip

__all__ = ["Trust", "is_private"]

_PRIVATE = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)


class Trust:
    """`is_own` says whether an address and port is ours or a worker's."""

    def __init__(self, trunks: TrunkTable, is_own: Callable[[str, int], bool]) -> None:
        self._trunks = trunks
        self._is_own = is_own

    def may_speak(self, dialog: Dialog, hop: Hop) -> bool:
        """Whether a message with the dialog's tags that came from `hop` is the dialog's: from its flow, or from
        another address of its trunk (a second proxy, a NAT that has changed its mapping)."""
        if self._trunks.needs_certificate(dialog.trunk):
            return hop.trunk == dialog.trunk
        return hop.ip == dialog.public.hop.ip or self.is_of_trunk(hop.ip, dialog.trunk)

    def is_of_trunk(self, ip: str, trunk: str) -> bool:
        return trunk in self._trunks.trunks_of(ip)

    def way_to_public(self, dialog: Dialog, target: Uri | None) -> Hop:
        """Where to send a request meant for the caller. `target` is the topmost Route, else the Contact."""
        return self.way(dialog.public.hop, dialog.trunk, target)

    def way(self, flow: Hop, trunk: str, target: Uri | None) -> Hop:
        """The same for the peer at `flow`, which belongs to the trunk. A TLS connection that has to be made is the
        trunk's, and so are the certificates.

        The target is obeyed (RFC 3261 section 12.2.1.1) if it names the address that the caller's messages come from,
        or one of its trunk's networks. Otherwise the dialog's flow is used: a caller behind a NAT writes an address
        that only its own network knows, host names are not looked up, and no one may direct us at a third party.
        """
        if flow.transport == "tls" and not flow.trunk:
            flow = replace(flow, trunk=trunk)
        address = as_ip(target.host) if target is not None else None
        if target is None or address is None:
            return flow
        ip, port = str(address), target.port or (5061 if flow.transport == "tls" else 5060)
        source = as_ip(flow.ip)
        if address == source:
            return replace(flow, port=port, fallback=0)
        behind_nat = source is not None and is_private(address) and not is_private(source)
        if behind_nat or self._is_own(ip, port) or not self.is_of_trunk(ip, trunk):
            return flow
        return replace(flow, ip=ip, port=port, connection=0, fallback=flow.connection, chosen=False)


def is_private(address: IPv4Address | IPv6Address) -> bool:
    """Addresses that mean something within one network only (RFC 1918, 6598, 3927, 4193): `ipaddress.is_private` also
    includes documentation addresses, which tests use as public ones."""
    return any(address in network for network in _PRIVATE if network.version == address.version)
