"""The media of one line: its gate, its stream, its packet statistics. On the PJSIP thread.

PJSIP makes a new stream for most offers; the gate lives as long as the call's sockets do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from telephony.call import DigitSource, LegDigit, MediaStatistics
from telephony.media.sources import Network, Source
from telephony.media.telephone_events import KEYS, KeyEvent, PressLimit, TelephoneEvents
from telephony.pjsua._api import Call, Error
from telephony.pjsua.arrivals import HeardPacket
from telephony.pjsua.gate import Agreed, Gate
from telephony.pjsua.native import media_sockets, note_received, pause_sending, resume_sending
from telephony.pjsua.statistics import combine, read_stream

__all__ = ["LineMedia"]

log = logging.getLogger(__name__)

_SEQUENCES = 1 << 16
_TICKS_A_MS = 8  # PJSIP gives event times in milliseconds


class LineMedia:
    """`watch` is called when a gate is opened, and again after each offer."""

    def __init__(self, slot: int) -> None:
        self.networks: tuple[Network, ...] = ()  # where the trunk's media may come from
        self.watch: Callable[[Gate], None] = lambda gate: None
        self._slot = slot
        self._gate: Gate | None = None
        self._index: int | None = None  # stream index; None: no stream
        self._stream = 0  # its address
        self._paused = False
        self._at_offer = 0  # packets received when the last offer came
        self._encrypted: bool | None = None  # every stream so far; None: there has been none
        self._finished: MediaStatistics | None = None  # totals of the streams that have ended
        self._keys = TelephoneEvents()  # for SRTP, whose events only PJSIP can read
        self._key_limit = PressLimit()
        self._key_packets = 0

    @property
    def index(self) -> int | None:
        return self._index

    def use_slot(self, slot: int) -> None:
        """PJSIP has placed the call."""
        self._slot = slot

    def open(self) -> None:
        """Called before any answer: from now on only admitted sources are heard. Raises PjsipError."""
        sockets = media_sockets(self._slot, 0)
        if sockets is not None:
            self._open(sockets.rtp, sockets.rtcp)

    def _open(self, rtp: int, rtcp: int) -> Gate:
        gate = Gate(rtp, rtcp)
        if self._gate is not None:
            gate.succeed(self._gate)
        self._gate = gate
        self.watch(gate)
        return gate

    def created(self, index: int, stream: int) -> None:
        self._stream = stream
        if self._paused:
            pause_sending(stream)

    def agreed(self, call: Call, index: int) -> None:
        """An offer and its answer are in effect. Raises Error when the stream is gone."""
        if not self._stream:  # on hold from the start: PJSIP creates no stream
            return
        self._index = index
        sockets = media_sockets(self._slot, index)
        if sockets is None:
            return
        info = call.getStreamInfo(index)
        gate = self._gate
        if gate is None or not gate.belongs_to(sockets.rtp):
            gate = self._open(sockets.rtp, sockets.rtcp)
        rtp = _source(info.remoteRtpAddress)
        rtcp = _source(info.remoteRtcpAddress) or (rtp and (rtp[0], min(rtp[1] + 1, 65535)))
        event_type = info.audRxEventPt if info.audRxEventPt > 0 else None
        self._at_offer = self._received(call)
        self._encrypted = sockets.secure and self._encrypted is not False
        gate.offer(Agreed(rtp, rtcp, info.rxPt, event_type, sockets.secure), self.networks)
        self.watch(gate)

    def ends(self, call: Call, index: int) -> None:
        """The stream is about to be destroyed."""
        if index == self._index:
            self._finished = self._of_streams(call)
            self._index = None
            self._stream = 0

    def pause(self) -> None:
        """Send nothing."""
        if not self._paused:
            self._paused = True
            if self._stream:
                pause_sending(self._stream)

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._stream:
                resume_sending(self._stream)

    def heard(self, rtp: list[HeardPacket], rtcp: list[bytes]) -> None:
        if self._gate is not None and rtcp:
            self._gate.heard_rtcp()
        if self._stream:
            note_received(self._stream, rtp, rtcp)

    def stranger(self, call: Call, source: Source, *, rtcp: bool) -> bool:
        gate = self._gate
        if gate is None:
            return False
        if rtcp:
            return gate.rtcp_stranger(source)
        if self.has_received(call):
            return False
        return gate.stranger(source)

    def answered(self, call: Call) -> None:
        """What has arrived before was early media, maybe of somebody else."""
        self._at_offer = self._received(call)

    def has_received(self, call: Call) -> bool:
        """Whether a packet from the peer has arrived since the last offer, or the answer."""
        received = self._received(call) > self._at_offer
        if received and self._gate is not None:
            self._gate.heard_rtp()
        return received

    def statistics(self, call: Call | None) -> MediaStatistics | None:
        """The leg's statistics so far; `call` is None once it has ended."""
        figures = self._of_streams(call)
        gate = self._gate
        if figures is None or gate is None:
            return figures
        if call is not None:
            self.has_received(call)
        arrived = gate.arrived
        return replace(
            figures,
            packets_comfort_noise=arrived.comfort_noise,
            packets_rtcp=max(arrived.rtcp, figures.packets_rtcp),  # with SRTP only PJSIP can read it
            packets_unknown_payload=arrived.unknown_payload,
            packets_from_strangers=gate.strangers,
            presses_dropped=arrived.presses_dropped + self._key_limit.dropped,
            encrypted=self._encrypted is True,
        )

    def secure_key(self, digit: str, timestamp_ms: int, duration_ms: int, *, ended: bool, at: float) -> LegDigit | None:
        """A key event that PJSIP has decrypted. On the media thread."""
        code = KEYS.find(digit.upper()) if digit else -1
        if code < 0:
            return None
        self._key_packets = (self._key_packets + 1) % _SEQUENCES
        duration = min(duration_ms * _TICKS_A_MS, 0xFFFF)
        event = KeyEvent(code, timestamp_ms * _TICKS_A_MS, duration, ended, False, self._key_packets)
        found = self._keys.event(event, at)
        return LegDigit(found, at, DigitSource.RTP) if found and self._key_limit.allows(at) else None

    def _received(self, call: Call) -> int:
        figures = self._of_streams(call)
        return figures.packets_received if figures is not None else 0

    def _of_streams(self, call: Call | None) -> MediaStatistics | None:
        if call is None or self._index is None:
            return self._finished
        try:
            return combine(self._finished, read_stream(call, self._slot, self._index))
        except Error:
            return self._finished


def _source(text: str) -> Source | None:
    """ "192.0.2.1:4000" as address and port; None if empty or 0.0.0.0 (hold, RFC 2543)."""
    address, _, port = text.rpartition(":")
    if not port.isdigit() or not int(port) or address in ("", "0.0.0.0"):  # noqa: S104
        return None
    return (address, int(port))
