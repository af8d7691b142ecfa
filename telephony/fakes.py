"""A leg without SIP: records what is done to it; the test injects what happens to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from telephony.call import (
    CallInfo,
    DigitSource,
    Direction,
    FirstMedia,
    LegAcknowledged,
    LegAnswered,
    LegDigit,
    LegEnded,
    LegEvent,
    LegRinging,
    MediaStatistics,
)
from telephony.errors import LegEndedError, TelephonyMisuse
from telephony.keys import KeyTerms, SendByInfo
from telephony.leg_events import LegEvents
from telephony.media.frames import FRAME_BYTES, FRAME_MS, SILENCE
from telephony.media.key_string import read_keys
from telephony.media.sources import Network
from telephony.rooms.protocol import LegAudio
from telephony.sip.causes import cause_of

__all__ = ["FakeLeg", "statistics"]


def statistics(
    codec: str = "PCMU",
    *,
    packets_received: int = 0,
    packets_sent: int = 0,
    packets_rtcp: int = 0,
    packets_comfort_noise: int = 0,
) -> MediaStatistics:
    """Statistics of a clean line."""
    return MediaStatistics(
        codec=codec,
        packets_received=packets_received,
        packets_lost=0,
        packets_discarded=0,
        packets_reordered=0,
        packets_duplicated=0,
        packets_sent=packets_sent,
        remote_packets_lost=0,
        jitter_ms=0.0,
        jitter_max_ms=0.0,
        jitter_buffer_ms=20.0,
        jitter_buffer_max_ms=20.0,
        playout_empty=0,
        round_trip_ms=None,
        packets_rtcp=packets_rtcp,
        packets_comfort_noise=packets_comfort_noise,
    )


class FakeLeg:
    """Implements `telephony.call.Leg`.

    `verbs` lists the calls made, in order, as tuples: ("ring",), ("answer",), ("reject", 486, "Busy"),
    ("hang_up", "reason"), ("send_digits", "12") or, with a way, ("send_digits", "12", way). An exception in `failures`
    under a verb's name is raised by it once. `answer` posts LegAnswered and LegAcknowledged; `hang_up` and `reject`
    post LegEnded; all else is injected by the test.
    """

    def __init__(
        self,
        info: CallInfo | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._info = info or CallInfo("call-1", Direction.INBOUND, "+15550100", "+15550123", "test")
        self._now = now
        self._events = LegEvents()
        self.headers: Mapping[str, str] = headers if headers is not None else self._info.headers
        self.verbs: list[tuple[object, ...]] = []
        self.failures: dict[str, Exception] = {}
        self.audio: LegAudio | None = None
        self.answered = False
        self.acknowledges = True  # the peer sends an ACK, at once
        self.ended: LegEnded | None = None
        self.figures: MediaStatistics | None = None
        self.media_networks: tuple[Network, ...] = ()
        self.key_terms = KeyTerms()
        self.send_by_info: SendByInfo | None = None
        self.suppresses_silence = False
        self.heard = bytearray()  # all audio pulled: what the peer hears

    @property
    def info(self) -> CallInfo:
        return self._info

    def adopt(self, info: CallInfo) -> None:
        self._info = info

    def trust_media(self, networks: Iterable[Network]) -> None:
        self.media_networks = tuple(networks)

    def use_keys(self, terms: KeyTerms, send_by_info: SendByInfo | None = None) -> None:
        self.key_terms, self.send_by_info = terms, send_by_info

    async def ring(self) -> None:
        self._verb("ring")
        self._alive()

    async def answer(self, audio: LegAudio) -> None:
        self._verb("answer")
        self._alive()
        if self.answered:
            raise TelephonyMisuse("the leg is already answered")
        self.answered, self.audio, self.figures = True, audio, statistics()
        self.inject(LegAnswered(self._now()))
        if self.acknowledges:
            self.inject(LegAcknowledged(self._now()))

    async def reject(self, sip_status: int, reason: str = "") -> None:
        self._verb("reject", sip_status, reason)
        if self.answered:
            raise TelephonyMisuse("an answered leg cannot be refused")
        self.end(sip_status=sip_status, reason=reason, by_peer=False)

    async def hang_up(self, reason: str = "") -> None:
        self._verb("hang_up", reason)
        self.end(sip_status=200 if self.answered else 480, reason=reason, by_peer=False)

    async def hold(self) -> None:
        self._verb("hold")
        self._alive()

    async def resume(self) -> None:
        self._verb("resume")
        self._alive()

    def key_way(self, asked: DigitSource | None) -> DigitSource:
        """RFC 4733, unless its trunk has another way."""
        return asked or self.key_terms.way or DigitSource.RTP

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        read_keys(digits)
        self._verb("send_digits", digits, *(() if way is None else (way,)))
        self._alive()

    def events(self) -> AsyncIterator[LegEvent]:
        return aiter(self._events)

    async def statistics(self) -> MediaStatistics | None:
        return self.figures

    def press_by_info(self, digit: str, duration_ms: int) -> None:
        """As on a real leg, without its limit."""
        self.inject(LegDigit(digit, self._now(), DigitSource.INFO, duration_ms))

    def inject(self, event: LegEvent) -> None:
        """Post an event. Does nothing after LegEnded."""
        if self.ended is None:
            if isinstance(event, LegEnded):
                self.ended, self.audio = event, None
            self._events.post(event)

    def ringing(self, sip_status: int = 180, *, early_media: bool = False) -> None:
        """An outbound call rings at the peer."""
        self.inject(LegRinging(self._now(), sip_status, early_media))

    def media(self) -> None:
        """The first RTP packet arrived."""
        self.inject(FirstMedia(self._now()))

    def press(self, digits: str, source: DigitSource = DigitSource.RTP) -> None:
        for digit in digits:
            self.inject(LegDigit(digit, self._now(), source))

    def end(self, *, sip_status: int = 200, reason: str = "", by_peer: bool = True, cause: int = 0) -> None:
        """End the leg, once; by default the peer hangs up. `cause`: Q.850; 0: that of the status."""
        cause = cause or cause_of(sip_status)
        self.inject(LegEnded(self._now(), by_peer, sip_status, reason, self.figures, cause=cause))

    def tick(self, pcm: bytes = SILENCE, at: float | None = None) -> bytes:
        """One 20 ms tick of the media clock, in PJSIP's order: a frame is sent (and returned), then `pcm` is heard."""
        if self.audio is None:
            raise TelephonyMisuse("a leg has a clock only while it is answered")
        when = self._now() if at is None else at
        sent = self.audio.pull(when)
        self.heard += sent
        self.audio.push(pcm, when)
        return sent

    def say(self, pcm: bytes, at: float) -> bytes:
        """Hear `pcm` (whole frames) at the media clock's pace, the first frame at `at`; returns what was sent."""
        sent = bytearray()
        for index in range(0, len(pcm), FRAME_BYTES):
            sent += self.tick(pcm[index : index + FRAME_BYTES], at + index // FRAME_BYTES * FRAME_MS / 1000)
        return bytes(sent)

    def _verb(self, name: str, *arguments: object) -> None:
        self.verbs.append((name, *arguments))
        failure = self.failures.pop(name, None)
        if failure is not None:
            raise failure

    def _alive(self) -> None:
        if self.ended is not None:
            raise LegEndedError("the leg has ended")
