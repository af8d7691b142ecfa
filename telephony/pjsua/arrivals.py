"""What arrives on a leg's own sockets, on the loop: key presses, comfort noise, RTCP, and strangers' packets."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Protocol

from telephony.call import DigitSource, LegDigit
from telephony.media.rtp import RtpHeader, is_rtcp, read_rtp
from telephony.media.sources import Source
from telephony.media.telephone_events import PressLimit, TelephoneEvents
from telephony.pjsua.gate import Gate, PortGroup

__all__ = ["Arrivals", "GateKeeper", "HeardPacket"]

log = logging.getLogger(__name__)

_MOST_READ = 32  # packets per wake-up
_MOST_BYTES = 2048
_COMFORT_NOISE = 13  # RFC 3389 section 4
_LOOK_AGAIN_S = 0.02  # check strangers again, while one of them may be the peer

HeardPacket = tuple[int, int, int]  # sequence number, timestamp, bytes of payload


class GateKeeper(Protocol):
    """Runs commands on the PJSIP thread, in order; failures are logged there."""

    def heard(self, rtp: list[HeardPacket], rtcp: list[bytes]) -> None:
        """Hands the peer's packets to PJSIP's statistics."""

    def stranger(self, source: Source, *, rtcp: bool) -> bool:
        """Whether this source counts as the peer from now on."""


class Arrivals:
    def __init__(
        self, gate: Gate, keeper: GateKeeper, submit: Callable[[Callable[[], object]], None],
        deliver: Callable[[LegDigit], None],
    ) -> None:  # fmt: skip
        """`submit` runs a command on the PJSIP thread."""
        self._gate = gate
        self._keeper = keeper
        self._submit = submit
        self._deliver = deliver
        self._events = TelephoneEvents()
        self._limit = PressLimit()
        self._loop = asyncio.get_running_loop()
        self._looking: asyncio.TimerHandle | None = None
        # By number: for a socket that is new to it, the loop would make the text of an error that nobody sees.
        self._loop.add_reader(gate.rtp.ours.fileno(), self._rtp_came)
        self._loop.add_reader(gate.rtcp.ours.fileno(), self._rtcp_came)
        self.look()

    def look(self) -> None:
        """After each offer: check strangers' packets while one of them may be the peer."""
        self._looking = None
        for group in (self._gate.rtp, self._gate.rtcp):
            if group.strangers.fileno() >= 0 and self._gate.open_at(group):
                self._loop.add_reader(group.strangers.fileno(), self._stranger_came, group)

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        for group in (self._gate.rtp, self._gate.rtcp):
            for sock in (group.ours, group.strangers):
                if sock.fileno() >= 0:
                    self._loop.remove_reader(sock.fileno())
        self._gate.close()

    def _rtp_came(self) -> None:
        heard: list[HeardPacket] = []
        rtcp: list[bytes] = []
        at = monotonic()
        for data in _waiting(self._gate.rtp.ours):
            if is_rtcp(data):
                rtcp.append(data)
            elif (packet := read_rtp(data)) is not None:
                self._packet(packet, at)
                heard.append((packet.sequence, packet.timestamp, len(packet.payload)))
        self._heard(heard, rtcp)

    def _rtcp_came(self) -> None:
        self._heard([], [data for data in _waiting(self._gate.rtcp.ours) if is_rtcp(data)])

    def _heard(self, rtp: list[HeardPacket], rtcp: list[bytes]) -> None:
        if rtp or rtcp:
            self._gate.arrived.packets += len(rtp)
            self._gate.arrived.rtcp += len(rtcp)
            self._submit(lambda: self._keeper.heard(rtp, rtcp))

    def _packet(self, packet: RtpHeader, at: float) -> None:
        arrived, agreed = self._gate.arrived, self._gate.agreed
        if packet.payload_type == _COMFORT_NOISE:
            arrived.comfort_noise += 1
        elif agreed is None or packet.payload_type != agreed.event_type:
            arrived.unknown_payload += 1
        else:
            for digit in self._events.packet(packet, at):
                if self._limit.allows(at):
                    self._deliver(LegDigit(digit, at, DigitSource.RTP))
            arrived.presses_dropped = self._limit.dropped

    def _stranger_came(self, group: PortGroup) -> None:
        """Check one packet of each source for being the peer's, then pause: it may be a flood."""
        self._loop.remove_reader(group.strangers)
        if self._looking is None:
            self._looking = self._loop.call_later(_LOOK_AGAIN_S, self.look)
        rtcp = group is self._gate.rtcp
        asked: set[Source] = set()
        with suppress(OSError):
            for _ in range(_MOST_READ):
                data, source = group.strangers.recvfrom(_MOST_BYTES)
                if not rtcp and source in self._gate.admitted:
                    continue  # arrived before the kernel filter was in place
                self._gate.arrived.strangers += 1
                if source not in asked and (is_rtcp(data) if rtcp else read_rtp(data) is not None):
                    asked.add(source)
                    self._ask(source, data if rtcp else None)

    def _ask(self, source: Source, report: bytes | None) -> None:
        def answer() -> None:
            if self._keeper.stranger(source, rtcp=report is not None):
                log.info("media source is now %s:%d", *source)
                self._loop.call_soon_threadsafe(self._was_the_peer, report)

        self._submit(answer)

    def _was_the_peer(self, report: bytes | None) -> None:
        self._gate.arrived.strangers -= 1
        if report is not None:
            self._heard([], [report])


def _waiting(sock: socket.socket) -> list[bytes]:
    found: list[bytes] = []
    with suppress(OSError):
        for _ in range(_MOST_READ):
            found.append(sock.recv(_MOST_BYTES))
    return found
