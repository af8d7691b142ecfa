"""Whose packets are a peer's: a pure machine, one for each port of a leg.

The address and port of the peer's session description are (`expected`). A peer behind NAT sends from elsewhere: the
first other source within its trunk's networks is taken in its place, once for each offer, and only while nothing has
come from where it was expected.
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
        self._open = False  # another source may still be taken

    @property
    def admitted(self) -> tuple[Source, ...]:
        """Who may be heard now."""
        return tuple(source for source in (self._expected, self._latched) if source is not None)

    @property
    def open(self) -> bool:
        """Whether a stranger may still turn out to be the peer."""
        return self._open

    def offer(self, expected: Source | None, networks: Iterable[Network]) -> None:
        """What a new offer or answer says; None: nothing (hold by 0.0.0.0, no audio). The same address again keeps
        the source that was taken for it, but allows another one: the peer's NAT may have forgotten it."""
        self._networks = tuple(networks)
        if expected is None:
            return
        if expected != self._expected:
            self._latched = None
        self._expected = expected
        self._open = True

    def heard(self) -> None:
        """A packet has come from one of `admitted`."""
        self._open = False

    def stranger(self, source: Source) -> bool:
        """A packet has come from another source; whether that is the peer from now on."""
        if not self._open:
            return False
        address = IPv4Address(source[0])
        if not any(network.version == 4 and address in network for network in self._networks):
            return False
        self._latched = source
        self._open = False
        return True
