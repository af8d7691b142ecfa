"""Where we may be told to send audio: a pure policy over offers and answers.

The sender of an INVITE chooses the address that our audio goes to, before anyone there has shown that they want it. So
it is checked against the trunk's networks; addresses that no phone would use are refused with a Warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from telephony.sip.sdp import Direction, IpAddress, Media, SdpNotAcceptable, SessionDescription
from telephony.sip.srtp import Srtp

__all__ = ["MediaPolicy", "Network", "TrunkMedia", "addresses"]

Network = IPv4Network | IPv6Network

_NO_MULTICAST = 330  # RFC 3261 section 20.43
_OTHER = 399
_FIRST_PORT = 1024  # below are services
_BROADCAST = IPv4Address("255.255.255.255")
_HOLD = {  # RFC 2543: an all-zero address means "send nothing"
    Direction.SENDRECV: Direction.SENDONLY,
    Direction.RECVONLY: Direction.INACTIVE,
}


@dataclass(frozen=True, slots=True)
class TrunkMedia:
    """`networks`: those of a trunk's signalling, always accepted. `media_networks`: the only others accepted; empty:
    any public address."""

    networks: tuple[Network, ...]
    media_networks: tuple[Network, ...] = ()
    srtp: Srtp = Srtp.OFFERED
    keys_over_plain_sip: bool = False  # accepted when SRTP is required
    codecs: tuple[str, ...] = ()  # voice codecs, in order ("pcma"); none: all
    behind_nat: bool = False  # phones: a private address that is not the source's means the source

    def holds(self, address: IpAddress) -> bool:
        return any(
            address.version == network.version and address in network
            for network in (*self.networks, *self.media_networks)
        )


@dataclass(frozen=True, slots=True)
class MediaPolicy:
    """Our own addresses, where no audio may be sent: it would come back, or reach our own servers."""

    own_addresses: frozenset[IpAddress] = frozenset()  # loopback counts without being named
    own_ports: frozenset[int] = frozenset()  # SIP and HTTP
    rtp_ports: range = field(default_factory=lambda: range(0))

    def apply(self, description: SessionDescription, trunk: TrunkMedia, source: str) -> SessionDescription:
        """The description that a worker may act on. `source`: the address that it came from. A private address behind
        NAT is replaced by the source, and an all-zero one (hold) by the source and a direction. Raises SdpNotAcceptable
        for addresses that we don't send to."""
        sender = ip_address(source)
        return SessionDescription(
            description.origin, tuple(self._stream(media, trunk, sender) for media in description.media)
        )

    def _stream(self, media: Media, trunk: TrunkMedia, source: IpAddress) -> Media:
        if media.address is None or not media.port:
            return media
        if media.address.is_unspecified:
            direction = _HOLD.get(media.direction, media.direction)
            return replace(media, address=source, direction=direction, rtcp=None)
        address = self._address(media.address, trunk, source)
        self._check_port(address, media.port)
        rtcp = media.rtcp
        if rtcp is not None:
            where = rtcp.address or media.address
            if where != media.address and self._address(where, trunk, source) != address:
                self._check_port(where, rtcp.port)
            elif rtcp.address is not None:
                rtcp = replace(rtcp, address=None)
            self._check_port(address, rtcp.port)
        if address == media.address and rtcp is media.rtcp:
            return media
        return replace(media, address=address, rtcp=rtcp)

    def _address(self, address: IpAddress, trunk: TrunkMedia, source: IpAddress) -> IpAddress:
        if address.is_multicast:
            raise SdpNotAcceptable(f"media address {address} is a multicast address", _NO_MULTICAST)
        if address == _BROADCAST or (isinstance(address, IPv4Address) and address.is_reserved):
            raise SdpNotAcceptable(f"media address {address} is not assigned", _OTHER)
        if trunk.behind_nat and not address.is_global and (source.is_global or not trunk.holds(address)):
            return source
        if address == source or trunk.holds(address):
            return address
        if not address.is_global:
            if source.is_global:
                return source
            raise SdpNotAcceptable(f"media address {address} is not within the trunk's networks", _OTHER)
        if trunk.media_networks:
            raise SdpNotAcceptable(f"media address {address} is not within the trunk's media networks", _OTHER)
        return address

    def _check_port(self, address: IpAddress, port: int) -> None:
        if port < _FIRST_PORT:
            raise SdpNotAcceptable(f"media port {port} is a port of a service", _OTHER)
        ours = port in self.own_ports or port in self.rtp_ports
        if ours and (address in self.own_addresses or address.is_loopback):
            raise SdpNotAcceptable(f"media address {address}:{port} is our own", _OTHER)


def addresses(texts: Iterable[str]) -> frozenset[IPv4Address | IPv6Address]:
    """The texts that are valid and specified addresses."""
    found: set[IPv4Address | IPv6Address] = set()
    for text in texts:
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            continue
        if not address.is_unspecified:
            found.add(address)
    return frozenset(found)
