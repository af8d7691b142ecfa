"""Decides which packets are the peer's: a pure state machine, one per port of a leg.

The address and port in the peer's session description are (`expected`). A peer behind NAT sends from elsewhere: the
first other source within its trunk's networks is accepted instead, once per offer, and only while nothing has come
from the expected address.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network

__all__ = ["Network", "Source", "SourceLatch"]

Source = tuple[str, int]  # IPv4 address, port
Network = IPv4Network | IPv6Network


class SourceLatch:
    def __init__(self) -> None:
        self._networks: tuple[Network, ...] = ()
        self._expected: Source | None = None
        self._latched: Source | None = None
        self._open = False  # another source may still be accepted

    @property
    def admitted(self) -> tuple[Source, ...]:
        """The sources that may be heard now."""
        return tuple(source for source in (self._expected, self._latched) if source is not None)

    @property
    def open(self) -> bool:
        """Whether a stranger may still turn out to be the peer."""
        return self._open

    def offer(self, expected: Source | None, networks: Iterable[Network]) -> None:
        """The address in a new offer or answer; None: none (hold by 0.0.0.0, no audio). The same address again keeps
        the source accepted for it, but allows another one: the peer's NAT binding may have expired."""
        self._networks = tuple(networks)
        if expected is None:
            return
        if expected != self._expected:
            self._latched = None
        self._expected = expected
        self._open = True

    def heard(self) -> None:
        """A packet has arrived from one of `admitted`."""
        self._open = False

    def stranger(self, source: Source) -> bool:
        """A packet has arrived from another source. Returns whether that source is the peer from now on."""
        if not self._open:
            return False
        address = IPv4Address(source[0])
        if not any(network.version == 4 and address in network for network in self._networks):
            return False
        self._latched = source
        self._open = False
        return True
