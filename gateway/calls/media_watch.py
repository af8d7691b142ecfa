"""Whether the caller's side is alive. A pure machine: facts and times in, findings out.

RTP is the usual sign of life. A phone that suppresses silence sends none while its caller listens: then RTCP is the
sign (RFC 3550 section 6). If the last packet was comfort noise (RFC 3389: one may last long), or the SDP announces
suppression (a=silenceSupp, CN), that is believed for `SAID_SO_S`. A call without any sign is a dead line.

Missing RTP is an alarm after `alarm_s`, unless something indicates silence suppression; the call continues. Without any
sign it ends: after `first_limit_s` if there never was one, later after `gap_limit_s`. Nothing counts on hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.call import MediaStatistics

__all__ = ["Arrivals", "Finding", "MediaAlarm", "MediaLost", "MediaWatch", "SilenceSuppressed"]

SAID_SO_S = 600.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Packets from the peer since the answer; `rtp` counts all except `rtcp`."""

    rtp: int = 0
    comfort_noise: int = 0
    rtcp: int = 0

    @classmethod
    def of(cls, statistics: MediaStatistics | None) -> Arrivals:
        if statistics is None:
            return cls()
        return cls(statistics.packets_received, statistics.packets_comfort_noise, statistics.packets_rtcp)


@dataclass(frozen=True, slots=True)
class Finding:
    at: float  # seconds, loop clock
    text: str


@dataclass(frozen=True, slots=True)
class MediaAlarm(Finding):
    """Something to put on record."""


@dataclass(frozen=True, slots=True)
class SilenceSuppressed(Finding):
    """There is no RTP, which is fine. Once per call."""


@dataclass(frozen=True, slots=True)
class MediaLost(Finding):
    """The call must be ended."""


class MediaWatch:
    def __init__(
        self, alarm_s: float, first_limit_s: float, gap_limit_s: float, *, suppresses_silence: bool = False
    ) -> None:
        """`suppresses_silence`: the peer's SDP says so."""
        self._alarm_s = alarm_s
        self._first_limit_s = first_limit_s
        self._gap_limit_s = gap_limit_s
        self._said_so = suppresses_silence
        self._answered_at: float | None = None
        self._rtp_at: float | None = None
        self._rtcp_at: float | None = None
        self._noise_at: float | None = None
        self._arrived = Arrivals()
        self._on_hold = False
        self._alarmed = False
        self._excused = False
        self._lost = False

    def answered(self, at: float) -> None:
        self._answered_at = at

    def first_media(self, at: float) -> None:
        self._rtp_at = at

    def held(self, at: float) -> None:
        self._on_hold = True

    def resumed(self, at: float) -> None:
        self._on_hold = False
        self._rtp_at = at

    def poll(self, arrived: Arrivals, now: float) -> tuple[Finding, ...]:
        """Each finding is returned once; an alarm again after RTP has come back."""
        if self._answered_at is None or self._lost:
            return ()
        before, self._arrived = self._arrived, arrived
        if arrived.rtcp > before.rtcp:
            self._rtcp_at = now
        noise = arrived.comfort_noise > before.comfort_noise
        if noise:
            self._noise_at = now
        if noise or arrived.rtp > before.rtp:
            self._rtp_at = now
            self._alarmed = False
            return ()
        if self._on_hold:
            return ()
        return self._without_rtp(self._answered_at, now)

    def _without_rtp(self, answered_at: float, now: float) -> tuple[Finding, ...]:
        sign_at = max((at for at in (self._rtp_at, self._rtcp_at) if at is not None), default=None)
        silent_s = now - (answered_at if self._rtp_at is None else self._rtp_at)
        dead_s = now - (answered_at if sign_at is None else sign_at)
        what = "no RTP packet has arrived" if self._rtp_at is None else "RTP packets have been missing"
        if dead_s >= self._limit_s(sign_at):
            self._lost = True
            return (MediaLost(now, f"{what} for {silent_s:.0f} s{self._about_rtcp(now)}"),)
        if silent_s < self._alarm_s:
            return ()
        excuse = self._excuse(now)
        if excuse and not self._excused:
            self._excused = True
            return (SilenceSuppressed(now, f"{what} for {silent_s:.0f} s: {excuse}"),)
        if not excuse and not self._alarmed:
            self._alarmed = True
            return (MediaAlarm(now, f"{what} for {silent_s:.0f} s{self._about_rtcp(now)}"),)
        return ()

    def _limit_s(self, sign_at: float | None) -> float:
        if sign_at is None:
            return self._first_limit_s
        return max(self._gap_limit_s, SAID_SO_S) if self._said_so or self._in_noise else self._gap_limit_s

    @property
    def _in_noise(self) -> bool:
        """The last packet was comfort noise."""
        return self._noise_at is not None and self._noise_at == self._rtp_at

    def _excuse(self, now: float) -> str:
        """Why it may be only silence; empty: no known reason."""
        if self._rtcp_at is not None and now - self._rtcp_at < self._gap_limit_s:
            return "the phone suppresses silence, RTCP arrives"
        if self._in_noise:
            return "the phone suppresses silence, the last packet was comfort noise"
        if self._said_so and self._rtp_at is not None:
            return "the phone suppresses silence according to its SDP"
        return ""

    def _about_rtcp(self, now: float) -> str:
        return "" if self._rtcp_at is None else f", no RTCP for {now - self._rtcp_at:.0f} s"
