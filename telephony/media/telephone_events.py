"""Key presses in telephone-event packets (RFC 4733): one press is one digit, however its packets look. Pure.

All packets of an event share an RTP timestamp, and that alone makes them one press (section 2.5.1.2). The rest
handles senders that deviate, and lines that lose, duplicate and reorder packets:

- a known timestamp whose duration starts over, with a marker or after a pause: a new press from a sender whose
  timestamps do not advance. (Without a pause it is an overtaken packet, whatever its sequence number.)
- a timestamp that advances with the duration while the key is down: a sender whose timestamps are wrong that way;
- an event longer than 0xFFFF ticks continues as a segment with its own timestamp (section 2.5.1.3), or its duration
  restarts from zero.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from telephony.media.rtp import RtpHeader

__all__ = ["KEYS", "KeyEvent", "PressLimit", "TelephoneEvents"]

KEYS = "0123456789*#ABCD"  # by event code, RFC 4733 section 3.2
_REMEMBERED = 16  # presses whose late packets are still known
_LONGEST = 0xFFFF  # largest value of the duration field
_PAUSE_S = 0.06  # between the end of a press and the first packet of the next: a gap of 40 ms, and 20 ms of key
_STANDS_STILL_S = 0.5  # no packet of an ended event arrives this much later: its copies follow within 60 ms
_SEGMENT_S = 1.0  # the next segment of a press follows its last packet within this
_REPEATED_END_S = 0.1  # the copies of an end packet whose timestamp advances arrive within this
_TICKS = 1 << 32
_SEQUENCES = 1 << 16
_NEAR = 400  # ticks: how far an advancing timestamp and a duration may differ, 50 ms at 8 kHz
_MOST_A_PACKET = 8  # events


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One event block of a packet. `timestamp` and `duration` are in ticks of the RTP clock."""

    code: int
    timestamp: int
    duration: int
    ended: bool
    marker: bool
    sequence: int


@dataclass(slots=True)
class _Press:
    code: int
    timestamp: int  # timestamp of its latest segment
    duration: int  # the longest seen in that segment
    ended_at: float | None  # seconds, as `at`
    sequence: int  # sequence number of its newest packet
    at: float  # when that packet arrived
    moving: bool = False  # its timestamp advances with its duration


class TelephoneEvents:
    """Turns the packets of one event stream into digits. The clock rate does not matter."""

    def __init__(self) -> None:
        self._source: int | None = None
        self._presses: deque[_Press] = deque(maxlen=_REMEMBERED)
        self._latest: _Press | None = None  # the one with the newest packet, which need not have arrived last

    def packet(self, packet: RtpHeader, at: float) -> str:
        """The digits that begin with this packet, usually none. `at`: arrival time, seconds."""
        if packet.source != self._source:
            self._source, self._latest = packet.source, None
            self._presses.clear()
        return "".join(self.event(event, at) for event in _events(packet))

    def event(self, event: KeyEvent, at: float) -> str:
        """The digit, if a press begins with this event."""
        if event.code >= len(KEYS):
            return ""  # not a key: flash, fax and modem tones
        press = self._press_of(event, at)
        if press is None:
            self._begin(event, at)
            return KEYS[event.code]
        if _newer(event.sequence, press.sequence):
            if event.timestamp != press.timestamp or event.duration > press.duration or _full(press):
                press.timestamp, press.duration = event.timestamp, event.duration
            press.sequence, press.at = event.sequence, at
        if event.ended and press.ended_at is None:
            press.ended_at = at
        return ""

    def _begin(self, event: KeyEvent, at: float) -> None:
        ended_at = at if event.ended else None
        press = _Press(event.code, event.timestamp, event.duration, ended_at, event.sequence, at)
        self._presses.append(press)
        if self._latest is None or not _newer(self._latest.sequence, event.sequence):
            self._latest = press

    def _press_of(self, event: KeyEvent, at: float) -> _Press | None:
        """The press that this event belongs to, if any."""
        latest = self._latest
        for press in reversed(self._presses):
            if press.code == event.code and press.timestamp == event.timestamp:
                if press is latest:
                    again = _begins_again(press, event, at)
                else:  # keys are pressed in sequence: a packet newer than the next key is not part of this press
                    again = latest is not None and _newer(event.sequence, latest.sequence)
                return None if again else press
        if latest is not None and latest.code == event.code and _goes_on(latest, event, at):
            return latest
        return None


def _events(packet: RtpHeader) -> list[KeyEvent]:
    """The events in a packet, each of which begins where the previous one ends (RFC 4733 section 2.5.1.5)."""
    events: list[KeyEvent] = []
    timestamp = packet.timestamp
    for place in range(0, min(len(packet.payload) // 4, _MOST_A_PACKET) * 4, 4):
        code, flags, duration = struct.unpack_from("!BBH", packet.payload, place)
        marker = packet.marker and not events
        events.append(KeyEvent(code, timestamp, duration, bool(flags & 0x80), marker, packet.sequence))
        timestamp = (timestamp + duration) % _TICKS
    return events


def _begins_again(press: _Press, event: KeyEvent, at: float) -> bool:
    """Whether this is a new press with the timestamp of the latest: its sender's timestamps do not advance."""
    if not _newer(event.sequence, press.sequence):
        return False
    if press.ended_at is not None and at - press.at > _STANDS_STILL_S:
        return True
    if event.duration >= press.duration or (press.ended_at is None and _full(press)):
        return event.marker and event.duration != press.duration and press.ended_at is not None
    return event.marker or at - (press.ended_at if press.ended_at is not None else press.at) >= _PAUSE_S


def _full(press: _Press) -> bool:
    """Whether the duration field is full, or nearly so: it may restart from zero while the key is down."""
    return press.duration >= _LONGEST - 4 * _NEAR


def _goes_on(press: _Press, event: KeyEvent, at: float) -> bool:
    """Whether an event with a new timestamp continues the latest press."""
    moved = (event.timestamp - press.timestamp) % _TICKS
    if not _newer(event.sequence, press.sequence) or moved >= _TICKS // 2:
        return False
    if press.ended_at is not None:
        repeated = event.ended and event.duration == press.duration and at - press.at < _REPEATED_END_S
        return press.moving and repeated
    if event.marker:
        return False
    if abs(moved - _LONGEST) <= _NEAR:
        return at - press.at < _SEGMENT_S
    grown = event.duration - press.duration
    # without a gap in the sequence numbers no end packet was missed
    next_one = press.moving or (event.sequence - press.sequence) % _SEQUENCES == 1
    if next_one and grown >= 0 and abs(moved - grown) <= _NEAR // 2 and moved <= 4 * _NEAR:
        press.moving = True
        return True
    return False


def _newer(sequence: int, than: int) -> bool:
    """Compares RTP sequence numbers, which wrap. An equal number is a duplicate."""
    return 0 < (sequence - than) % _SEQUENCES < _SEQUENCES // 2


class PressLimit:
    """Limits presses to the rate a person or a dialler can reach; the excess is counted and dropped."""

    def __init__(self, per_second: float = 15.0, burst: int = 20) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = float(burst)
        self._at: float | None = None
        self.dropped = 0

    def allows(self, at: float) -> bool:
        """Whether a press at this time, in seconds, is within the limit."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (at - self._at) * self._per_second)
        self._at = at
        if self._left < 1:
            self.dropped += 1
            return False
        self._left -= 1
        return True
