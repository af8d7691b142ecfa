"""Decides who may speak to a leg. PJSIP's two UDP ports for the leg are each shared with two sockets of ours.

```
 RTP port   --source, payload type-->  PJSIP's socket: the peer's audio, into the jitter buffer
 RTCP port  --source--------------->   our socket: key presses, comfort noise, payload types nobody agreed on, RTCP
                                       strangers: only counted
```

The kernel sorts packets (`packet_filter`), so strangers cost neither Python time nor room in PJSIP's queue. With SRTP
only PJSIP can read key presses and RTCP, so they go to it. PJSIP sends its audio to the source of the last packet it
received, which is then always the peer.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network

from telephony.errors import PjsipError
from telephony.media.sources import Network, Source, SourceLatch
from telephony.pjsua.packet_filter import attach, rtcp_program, rtp_program

__all__ = ["Agreed", "Arrived", "Gate", "PortGroup"]

_STRANGERS_BYTES = 4096  # queue size: the kernel counts what does not fit
_SO_MEMINFO = 55
_DROPS_AT = 8 * 4  # SK_MEMINFO_DROPS
_MOST_READ = 64  # at once


@dataclass(slots=True)
class Arrived:
    """Counts of what our sockets received. Written on the loop, read anywhere."""

    packets: int = 0  # RTP, from the peer
    rtcp: int = 0
    comfort_noise: int = 0
    unknown_payload: int = 0
    presses_dropped: int = 0
    strangers: int = 0  # the ones that the loop has read


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the offer and answer say about the peer's packets."""

    rtp: Source | None  # None: no address (hold)
    rtcp: Source | None
    audio_type: int
    event_type: int | None
    secure: bool = False  # SRTP: only PJSIP can read it


class PortGroup:
    """One UDP port: PJSIP's socket, and two of ours bound to the same port."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor`: PJSIP's socket. Raises OSError."""
        theirs = socket.socket(fileno=os.dup(descriptor))
        with theirs:
            address: Source = theirs.getsockname()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.port = address[1]
            self.ours = _joined(address)
            attach(self.ours, rtcp_program((), to_pjsip=False))  # let nobody in yet
        self.strangers = _joined(address)
        self.strangers.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _STRANGERS_BYTES)
        self._drained = 0

    def let(self, program: bytes) -> None:
        attach(self.ours, program)

    def from_strangers(self, admitted: tuple[Source, ...]) -> int:
        """How many strangers' packets arrived and were never read. On the PJSIP thread."""
        if self.strangers.fileno() < 0:
            return self._drained
        with suppress(OSError):
            for _ in range(_MOST_READ):
                self._drained += self.strangers.recvfrom(1)[1] not in admitted
        return self._drained + _drops(self.strangers)

    def close(self) -> None:
        """Resets the drop count; read it first."""
        self.ours.close()
        self.strangers.close()


class Gate:
    """Both ports of a leg. On the PJSIP thread, except `arrived` and `close`, which run on the loop."""

    def __init__(self, rtp_descriptor: int, rtcp_descriptor: int) -> None:
        """Raises PjsipError if the kernel can't filter packets."""
        try:
            self.rtp, self.rtcp = PortGroup(rtp_descriptor), PortGroup(rtcp_descriptor)
        except OSError as error:
            raise PjsipError("open the media gate", error.errno or 0, str(error)) from None
        self.arrived = Arrived()
        self.agreed: Agreed | None = None
        self._rtp = SourceLatch()
        self._rtcp = SourceLatch()

    def succeed(self, other: Gate) -> None:
        """Continue the counts of the previous gate."""
        self.arrived = other.arrived
        self.arrived.strangers = other.strangers

    def belongs_to(self, rtp_descriptor: int) -> bool:
        """Whether this socket of PJSIP's is still the one that the gate was opened for."""
        return self.rtp.port == _port(rtp_descriptor)

    def open_at(self, group: PortGroup) -> bool:
        """Whether a stranger at this port may still turn out to be the peer."""
        return (self._rtp if group is self.rtp else self._rtcp).open

    @property
    def admitted(self) -> tuple[Source, ...]:
        """The sources whose RTP is accepted."""
        return self._rtp.admitted

    @property
    def strangers(self) -> int:
        """Packets from strangers so far."""
        return (
            self.arrived.strangers
            + self.rtp.from_strangers(self._rtp.admitted)
            + self.rtcp.from_strangers(self._rtcp.admitted)
        )

    def offer(self, agreed: Agreed, networks: Iterable[Network]) -> None:
        """Apply a new offer and answer. `networks`: where the trunk's media comes from."""
        self.agreed = agreed
        self._rtp.offer(agreed.rtp, networks)
        self._sort()
        self._offer_rtcp()

    def heard_rtp(self) -> None:
        """PJSIP has received a packet since the offer: the peer is at the address in its SDP."""
        self._rtp.heard()

    def heard_rtcp(self) -> None:
        self._rtcp.heard()

    def stranger(self, source: Source) -> bool:
        """RTP came from another source. Returns whether that source counts as the peer from now on."""
        if not self._rtp.stranger(source):
            return False
        self._sort()
        self._offer_rtcp()
        return True

    def rtcp_stranger(self, source: Source) -> bool:
        """The same for RTCP, which may come from any port of the RTP source's address."""
        if not self._rtcp.stranger(source):
            return False
        self._sort_rtcp()
        return True

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()

    def _sort(self) -> None:
        agreed = self.agreed
        if agreed is None:
            return
        types = {agreed.audio_type}
        if agreed.secure and agreed.event_type is not None:
            types.add(agreed.event_type)
        self.rtp.let(rtp_program(self._rtp.admitted, types))

    def _offer_rtcp(self) -> None:
        if self.agreed is not None:
            self._rtcp.offer(self.agreed.rtcp, [IPv4Network(address) for address, _ in self._rtp.admitted])
            self._sort_rtcp()

    def _sort_rtcp(self) -> None:
        secure = self.agreed is not None and self.agreed.secure
        self.rtcp.let(rtcp_program(self._rtcp.admitted, to_pjsip=secure))


def _port(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return int(sock.getsockname()[1])


def _joined(address: Source) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _drops(sock: socket.socket) -> int:
    """Packets that did not fit into a socket's queue."""
    figures = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
    return int(struct.unpack_from("=I", figures, _DROPS_AT)[0]) if len(figures) >= _DROPS_AT + 4 else 0
