"""A phone's RTP (RFC 3550) with key presses (RFC 4733): what to send next, and what arrived. Pure."""

from __future__ import annotations

import struct
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from telephony.media.frames import FRAME_MS, FRAME_SAMPLES

__all__ = ["Clip", "Digit", "ReceivedPackets", "RtpPacket", "RtpSender", "parse_rtp"]

_EVENTS = "0123456789*#ABCD"  # RFC 4733 section 3.2
_VOLUME = 10  # dBm0 below zero
_END_COPIES = 3  # RFC 4733 section 2.5.1.4


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """A received packet. `at`: when the kernel received it, seconds of the monotonic clock (= loop clock)."""

    at: float
    sequence: int
    timestamp: int
    marker: bool
    payload_type: int
    payload: bytes


def parse_rtp(data: bytes) -> tuple[int, int, bool, int, bytes] | None:
    """(sequence, timestamp, marker, payload type, payload) of a packet; None if it is not RTP version 2."""
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    start = 12 + 4 * (data[0] & 15)
    if data[0] & 0x10 and len(data) >= start + 4:  # header extension
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data) - data[-1] if data[0] & 0x20 else len(data)  # padding
    if start > end:
        return None
    sequence, timestamp = struct.unpack_from("!HI", data, 2)
    return sequence, timestamp, bool(data[1] & 0x80), data[1] & 0x7F, data[start:end]


class ReceivedPackets:
    """All received packets, in order of arrival. Stored in columns: ten minutes take 7 MB and analysis is fast.

    Grows on the media thread; readers see only complete packets.
    """

    def __init__(self) -> None:
        self.at = array("d")
        self.sequence = array("H")
        self.timestamp = array("L")
        self.marker = array("B")
        self.payload_type = array("B")
        self.payload: list[bytes] = []

    def append(self, packet: RtpPacket) -> None:
        self.at.append(packet.at)
        self.sequence.append(packet.sequence)
        self.timestamp.append(packet.timestamp)
        self.marker.append(packet.marker)
        self.payload_type.append(packet.payload_type)
        self.payload.append(packet.payload)  # appended last: its length is the log's length

    def __len__(self) -> int:
        return len(self.payload)

    def __getitem__(self, index: int) -> RtpPacket:
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return RtpPacket(
            self.at[index],
            self.sequence[index],
            self.timestamp[index],
            bool(self.marker[index]),
            self.payload_type[index],
            self.payload[index],
        )

    def __iter__(self) -> Iterator[RtpPacket]:
        for index in range(len(self)):
            yield self[index]


@dataclass(eq=False, slots=True)
class Clip:
    """Audio to send: one payload per packet. `on_sent(first, last)` is called for each packet sent."""

    payloads: list[bytes]
    on_sent: Callable[[bool, bool], None]
    position: int = 0


@dataclass(eq=False, slots=True)
class Digit:
    """A key press to send, or a pause when `event` is None."""

    event: int | None
    packets: int  # 20 ms each
    on_sent: Callable[[], None] | None = None
    position: int = 0
    ends_sent: int = 0
    timestamp: int = 0

    @classmethod
    def press(cls, digit: str, ms: int) -> Digit:
        """Raises ValueError for an invalid DTMF digit."""
        return cls(_EVENTS.index(digit.upper()), max(1, round(ms / FRAME_MS)))

    @classmethod
    def pause(cls, ms: int) -> Digit:
        return cls(None, max(0, round(ms / FRAME_MS)))


@dataclass(slots=True)
class RtpSender:
    """Decides what to send every 20 ms: a key press first, then clips, then comfort silence (nothing with `dtx`).

    A key press delays clips but does not cut them. Calls to `next_packet` are 20 ms apart.
    """

    payload_type: int
    silence: bytes
    ssrc: int
    sequence: int
    timestamp: int
    dtx: bool = False
    event_payload_type: int = 101
    clips: deque[Clip] = field(default_factory=deque)
    digits: deque[Digit] = field(default_factory=deque)
    _talking: bool = False  # the first packet of a talkspurt has the marker bit

    def next_packet(self) -> tuple[bytes | None, Callable[[], None] | None]:
        """The packet for these 20 ms (or None), and the callbacks to run once it has been sent."""
        packet, told = self._event() if self.digits else (None, None)
        if packet is None:
            packet, told_of_audio = self._audio()
            told = _both(told, told_of_audio)
        self.timestamp = (self.timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        return packet, told

    def _packet(self, payload_type: int, marker: bool, timestamp: int, payload: bytes) -> bytes:
        header = struct.pack(
            "!BBHII", 0x80, payload_type | (0x80 if marker else 0), self.sequence, timestamp, self.ssrc
        )
        self.sequence = (self.sequence + 1) & 0xFFFF
        return header + payload

    def _audio(self) -> tuple[bytes | None, Callable[[], None] | None]:
        told: Callable[[], None] | None = None
        payload = self.silence
        while self.clips:
            try:
                clip = self.clips[0]
            except IndexError:  # just stopped from the loop
                break
            first = clip.position == 0
            payload = clip.payloads[clip.position]
            clip.position += 1
            last = clip.position == len(clip.payloads)
            if last:
                self._drop(clip)
            on_sent = clip.on_sent

            def told_of_clip(
                on_sent: Callable[[bool, bool], None] = on_sent, first: bool = first, last: bool = last
            ) -> None:
                on_sent(first, last)

            told = told_of_clip
            break
        if self.dtx and told is None:
            self._talking = False
            return None, None
        marker, self._talking = not self._talking, True
        return self._packet(self.payload_type, marker, self.timestamp, payload), told

    def _drop(self, clip: Clip) -> None:
        try:
            self.clips.remove(clip)
        except ValueError:
            pass

    def _event(self) -> tuple[bytes | None, Callable[[], None] | None]:
        """RFC 4733 section 2.5: constant timestamp, growing duration, the end sent three times."""
        digit = self.digits[0]
        if digit.position == 0:
            digit.timestamp = self.timestamp
        if digit.event is None:
            digit.position += 1
            if digit.position >= digit.packets:
                self.digits.popleft()
                return None, digit.on_sent
            return None, None
        marker = digit.position == 0
        if digit.position < digit.packets:
            digit.position += 1
        end = digit.position == digit.packets
        flags = (0x80 if end else 0) | _VOLUME
        payload = struct.pack("!BBH", digit.event, flags, min(0xFFFF, digit.position * FRAME_SAMPLES))
        told = None
        if end:
            digit.ends_sent += 1
            if digit.ends_sent == _END_COPIES:
                self.digits.popleft()
                told = digit.on_sent
        return self._packet(self.event_payload_type, marker, digit.timestamp, payload), told


def _both(first: Callable[[], None] | None, second: Callable[[], None] | None) -> Callable[[], None] | None:
    """One packet may end both a key and a clip."""
    if first is None or second is None:
        return first or second

    def tell() -> None:
        first()
        second()

    return tell
