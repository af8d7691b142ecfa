"""Who may speak to a leg: the two UDP ports that PJSIP has for it, each shared with two sockets of ours.

```
 RTP port   --source, payload type-->  PJSIP's socket: the peer's audio, into the jitter buffer
 RTCP port  --source--------------->   our socket: key presses, comfort noise, payload types nobody agreed on, RTCP
                                       strangers: counted, and read by nobody but for that
```

The kernel sorts (`packet_filter`), so a stranger's flood costs no Python and takes no room in PJSIP's queue. With SRTP
key presses and RTCP can be read by PJSIP only, and go to it. PJSIP sends its audio where the last packet that it got
came from, which is the peer then.
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

_STRANGERS_BYTES = 4096  # of queue: the kernel counts what does not fit
_SO_MEMINFO = 55
_DROPS_AT = 8 * 4  # SK_MEMINFO_DROPS
_MOST_READ = 64  # at once


@dataclass(slots=True)
class Arrived:
    """What has come to our sockets. Written on the loop, read anywhere."""

    packets: int = 0  # of RTP, from the peer
    rtcp: int = 0
    comfort_noise: int = 0
    unknown_payload: int = 0
    presses_dropped: int = 0
    strangers: int = 0  # those that the loop has read


@dataclass(frozen=True, slots=True)
class Agreed:
    """What offer and answer say about the peer's packets."""

    rtp: Source | None  # None: no address (hold)
    rtcp: Source | None
    audio_type: int
    event_type: int | None
    secure: bool = False  # SRTP: only PJSIP can read it


class PortGroup:
    """One UDP port: PJSIP's socket, and two of ours that joined it."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor`: of PJSIP's socket. Raises OSError."""
        theirs = socket.socket(fileno=os.dup(descriptor))
        with theirs:
            address: Source = theirs.getsockname()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.port = address[1]
            self.ours = _joined(address)
            attach(self.ours, rtcp_program((), to_pjsip=False))  # nobody may speak yet
        self.strangers = _joined(address)
        self.strangers.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _STRANGERS_BYTES)
        self._drained = 0

    def let(self, program: bytes) -> None:
        attach(self.ours, program)

    def from_strangers(self, admitted: tuple[Source, ...]) -> int:
        """How many packets of strangers have come that nobody else has read. On the PJSIP thread."""
        if self.strangers.fileno() < 0:
            return self._drained
        with suppress(OSError):
            for _ in range(_MOST_READ):
                self._drained += self.strangers.recvfrom(1)[1] not in admitted
        return self._drained + _drops(self.strangers)

    def close(self) -> None:
        """The drops are forgotten: what was counted is to be read before."""
        self.ours.close()
        self.strangers.close()


class Gate:
    """Both ports of a leg. On the PJSIP thread, but for `arrived` and `close`, which are the loop's."""

    def __init__(self, rtp_descriptor: int, rtcp_descriptor: int) -> None:
        """Raises PjsipError where the kernel can't sort packets."""
        try:
            self.rtp, self.rtcp = PortGroup(rtp_descriptor), PortGroup(rtcp_descriptor)
        except OSError as error:
            raise PjsipError("open the media gate", error.errno or 0, str(error)) from None
        self.arrived = Arrived()
        self.agreed: Agreed | None = None
        self._rtp = SourceLatch()
        self._rtcp = SourceLatch()

    def succeed(self, other: Gate) -> None:
        """Go on with the counts of the gate before."""
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
        """Whose RTP counts."""
        return self._rtp.admitted

    @property
    def strangers(self) -> int:
        """Packets from elsewhere so far."""
        return (
            self.arrived.strangers
            + self.rtp.from_strangers(self._rtp.admitted)
            + self.rtcp.from_strangers(self._rtcp.admitted)
        )

    def offer(self, agreed: Agreed, networks: Iterable[Network]) -> None:
        """Of a new offer and answer. `networks`: where the trunk's media comes from."""
        self.agreed = agreed
        self._rtp.offer(agreed.rtp, networks)
        self._sort()
        self._offer_rtcp()

    def heard_rtp(self) -> None:
        """PJSIP has got something since the offer: the peer is where it was said to be."""
        self._rtp.heard()

    def heard_rtcp(self) -> None:
        self._rtcp.heard()

    def stranger(self, source: Source) -> bool:
        """RTP came from another source; whether it is the peer's from now on."""
        if not self._rtp.stranger(source):
            return False
        self._sort()
        self._offer_rtcp()
        return True

    def rtcp_stranger(self, source: Source) -> bool:
        """The same for RTCP, whose source is any port of where the RTP comes from."""
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
    """Packets that found no room in a socket's queue."""
    figures = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
    return int(struct.unpack_from("=I", figures, _DROPS_AT)[0]) if len(figures) >= _DROPS_AT + 4 else 0
