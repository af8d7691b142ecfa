"""Is RTP coming in? A pure machine: facts and times in, findings out.

A caller who says nothing still sends packets; a call without packets is a dead line. The first packet is missed
after `alarm_s` (an alarm, the call goes on) and given up after `first_limit_s`; later a gap of `gap_limit_s`
ends the call, except while it is on hold.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "MediaAlarm", "MediaLost", "MediaWatch"]


@dataclass(frozen=True, slots=True)
class Finding:
    at: float  # seconds, loop clock
    text: str


@dataclass(frozen=True, slots=True)
class MediaAlarm(Finding):
    """Something to put on record."""


@dataclass(frozen=True, slots=True)
class MediaLost(Finding):
    """The call is to be ended."""


class MediaWatch:
    def __init__(self, alarm_s: float, first_limit_s: float, gap_limit_s: float) -> None:
        self._alarm_s = alarm_s
        self._first_limit_s = first_limit_s
        self._gap_limit_s = gap_limit_s
        self._answered_at: float | None = None
        self._heard_at: float | None = None
        self._received = 0
        self._on_hold = False
        self._alarmed = False
        self._lost = False

    def answered(self, at: float) -> None:
        self._answered_at = at

    def first_media(self, at: float) -> None:
        self._heard_at = at

    def held(self, at: float) -> None:
        self._on_hold = True

    def resumed(self, at: float) -> None:
        self._on_hold = False
        self._heard_at = at

    def poll(self, packets_received: int, now: float) -> tuple[Finding, ...]:
        """`packets_received`: since answer. Each finding is made once."""
        if self._answered_at is None or self._lost:
            return ()
        if packets_received > self._received:
            self._received = packets_received
            self._heard_at = now
            self._alarmed = False
            return ()
        if self._on_hold:
            return ()
        since = now - (self._heard_at if self._heard_at is not None else self._answered_at)
        limit_s = self._first_limit_s if self._heard_at is None else self._gap_limit_s
        what = "no RTP packet has come" if self._heard_at is None else "RTP packets stopped coming"
        if since >= limit_s:
            self._lost = True
            return (MediaLost(now, f"{what} for {since:.0f} s"),)
        if since >= self._alarm_s and not self._alarmed:
            self._alarmed = True
            return (MediaAlarm(now, f"{what} for {since:.0f} s"),)
        return ()
