"""The asyncio side of a leg: commands go to the PJSIP thread, events come from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

from telephony.call import CallInfo, DigitSource, LegDigit, LegEnded, LegEvent, MediaStatistics
from telephony.errors import DigitsNotSent, LegEndedError, TelephonyMisuse
from telephony.keys import KeyTerms, KeyWays, SendByInfo
from telephony.leg_events import LegEvents
from telephony.media.dtmf import dtmf
from telephony.media.frames import FRAME_BYTES
from telephony.media.key_string import read_keys
from telephony.media.presses import OnePress
from telephony.media.sources import Network
from telephony.media.telephone_events import PressLimit
from telephony.pjsua.arrivals import Arrivals, GateKeeper
from telephony.pjsua.gate import Gate
from telephony.pjsua.in_band import InBandKeys
from telephony.pjsua.request import IncomingRequest
from telephony.rooms.protocol import LegAudio

__all__ = ["IncomingLeg", "PjsipLeg", "PjsipLine"]

_CONFIRMATION_S = 2.0
_LEAST_DIGIT_MS = 40  # ITU-T Q.24: shorter presses are not recognised
_MOST_DIGIT_MS = 8000  # the RFC 4733 duration field holds 8.19 s at 8 kHz


class PjsipLine(GateKeeper, Protocol):
    """What a leg needs of its line; called on the PJSIP thread."""

    post: Callable[[LegEvent], None]  # from any thread

    @property
    def media(self) -> LineNetworks: ...

    def ring(self) -> None: ...
    def answer(self, audio: LegAudio) -> None: ...
    def end(self, sip_status: int, reason: str) -> None: ...
    def dial(self, key: str, duration_ms: int) -> None: ...
    def put_on_hold(self, held: bool) -> None: ...
    def statistics(self) -> MediaStatistics | None: ...
    def finish(self, sip_status: int, reason: str) -> None: ...


class LineNetworks(Protocol):
    networks: tuple[Network, ...]


class Perform(Protocol):
    """Runs a command on the PJSIP thread."""

    def __call__(self, command: Callable[[], object], /) -> Awaitable[object]: ...


class PjsipLeg:
    """What inbound and outbound legs share: events, digits, the end, and packets on their own sockets."""

    def __init__(self, line: PjsipLine, perform: Perform, submit: Callable[[Callable[[], object]], None]) -> None:
        """`submit`: like `perform`, without waiting."""
        self._line = line
        self._perform = perform
        self._submit = submit
        self._gate: Gate | None = None
        self._arrivals: Arrivals | None = None
        self._info: CallInfo | None = None
        self._events = LegEvents()
        self._over = asyncio.Event()
        self._hanging_up: asyncio.Task[None] | None = None
        self._statistics: MediaStatistics | None = None
        self._info_presses = PressLimit()
        self._presses = OnePress()
        self.keys = KeyWays()  # on the loop
        self._send_by_info: SendByInfo | None = None
        self._sending = asyncio.Lock()  # one string of keys at a time
        self.in_band = InBandKeys(self._heard_in_band)

    @property
    def info(self) -> CallInfo:
        """Raises TelephonyMisuse before `adopt`."""
        if self._info is None:
            raise TelephonyMisuse("the leg has not been adopted, so its call is not known yet")
        return self._info

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    def trust_media(self, networks: Iterable[Network]) -> None:
        """Before the answer: the networks from which a peer behind NAT may send audio. Otherwise only the address in
        its SDP is heard."""
        self._line.media.networks = tuple(networks)

    def use_keys(self, terms: KeyTerms, send_by_info: SendByInfo | None = None) -> None:
        """What is known about its trunk's keys, and who sends an INFO within its dialog; None: nobody can."""
        self.keys.terms = terms
        self._send_by_info = send_by_info
        self.in_band.listens = self.keys.listens_in_band

    def watch(self, gate: Gate) -> None:
        """On the loop: the line has opened its gate, or applied a new offer to it."""
        if gate.agreed is not None:
            self.keys.describe(agreed=gate.agreed.event_type is not None)
            self.in_band.listens = self.keys.listens_in_band
        if self.ended:
            gate.close()
        elif self._arrivals is not None and self._gate is gate:
            self._arrivals.look()
        else:
            if self._arrivals is not None:
                self._arrivals.close()
            self._gate = gate
            self._arrivals = Arrivals(gate, self._line, self._submit, self.deliver)

    async def hang_up(self, reason: str = "") -> None:
        await self._end(0, reason)

    async def hold(self) -> None:
        await self._on_line(partial(self._line.put_on_hold, True))

    async def resume(self) -> None:
        await self._on_line(partial(self._line.put_on_hold, False))

    def key_way(self, asked: DigitSource | None) -> DigitSource:
        """As `KnowsItsWays.key_way`."""
        return self.keys.sends_by(asked)

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        """Returns when the last digit has been sent. Raises LegEndedError if the leg ends first, TelephonyMisuse,
        DigitsNotSent."""
        keys = read_keys(digits)
        if not _LEAST_DIGIT_MS <= duration_ms <= _MOST_DIGIT_MS or gap_ms < 0:
            raise TelephonyMisuse(f"a digit lasts {_LEAST_DIGIT_MS}-{_MOST_DIGIT_MS} ms; a gap must not be negative")
        async with self._sending:
            if self.ended:
                raise LegEndedError("the leg has ended")
            chosen = self.keys.sends_by(way)
            self.in_band.sent.silence(True)
            try:
                if chosen is DigitSource.INBAND:
                    await self._sound(dtmf(digits, on_ms=duration_ms, off_ms=gap_ms))
                    return
                press = self._by_event if chosen is DigitSource.RTP else self._by_info
                for key in keys:
                    if isinstance(key, float):
                        await asyncio.sleep(key)
                    else:
                        await press(key, duration_ms, gap_ms)
            finally:
                self.in_band.sent.silence(False)

    async def _by_event(self, key: str, duration_ms: int, gap_ms: int) -> None:
        await self._on_line(partial(self._line.dial, key, duration_ms))
        await asyncio.sleep((duration_ms + gap_ms) / 1000)

    async def _by_info(self, key: str, duration_ms: int, gap_ms: int) -> None:
        if self.ended:
            raise LegEndedError("the leg has ended")
        if self._send_by_info is None:
            raise DigitsNotSent("not_possible", "nobody sends INFO for this leg")
        await self._send_by_info(key, duration_ms)
        await asyncio.sleep(gap_ms / 1000)

    async def _sound(self, pcm: bytes) -> None:
        """Tones in place of the room's audio. The line's clock plays them, at the pace of its packets."""
        loop, sounded = asyncio.get_running_loop(), asyncio.Event()

        def done() -> None:
            """On the media thread."""
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(sounded.set)

        self.in_band.sent.play(pcm + bytes(-len(pcm) % FRAME_BYTES), done)
        either = [asyncio.ensure_future(event.wait()) for event in (sounded, self._over)]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.in_band.sent.stop()
            for waiting in either:
                waiting.cancel()
        if not sounded.is_set():
            raise LegEndedError("the leg has ended")

    def events(self) -> AsyncIterator[LegEvent]:
        """Raises TelephonyMisuse for a second consumer."""
        return aiter(self._events)

    async def statistics(self) -> MediaStatistics | None:
        if not self.ended:
            found: list[MediaStatistics | None] = []
            await self._perform(lambda: found.append(self._line.statistics()))
            if not self.ended:
                return self._with_keys(found[0])
        return self._statistics

    def press_by_info(self, digit: str, duration_ms: int) -> None:
        """The peer pressed a key, and its phone said so by INFO, which PJSIP has not seen. More than a hand can press
        are dropped, and counted in the statistics. `duration_ms` 0: not said."""
        at = asyncio.get_running_loop().time()
        if self._info_presses.allows(at):
            self.deliver(LegDigit(digit, at, DigitSource.INFO, duration_ms))

    def _heard_in_band(self, digit: str, at: float) -> None:
        """On the media thread."""
        self._line.post(LegDigit(digit, at, DigitSource.INBAND))

    def _with_keys(self, figures: MediaStatistics | None) -> MediaStatistics | None:
        if figures is None:
            return None
        dropped = figures.presses_dropped + self._info_presses.dropped
        return replace(figures, presses_dropped=dropped, keys=self.keys.figures)

    def deliver(self, event: LegEvent) -> None:
        """On the loop: an event from the line."""
        if self.ended:
            return
        if isinstance(event, LegDigit):
            self.keys.came(event.source)
            self.in_band.listens = self.keys.listens_in_band
            if not self._presses.is_new(event.digit, event.source, event.at):
                return
        if isinstance(event, LegEnded):
            event = replace(event, statistics=self._with_keys(event.statistics))
        self._events.post(event)
        if isinstance(event, LegEnded):
            self._statistics = event.statistics
            if self._arrivals is not None:
                self._arrivals.close()
            self._over.set()

    async def _on_line(self, command: Callable[[], object]) -> None:
        if self.ended:
            raise LegEndedError("the leg has ended")
        await self._perform(command)

    async def _end(self, sip_status: int, reason: str) -> None:
        if self.ended:
            return
        if self._hanging_up is None:
            self._hanging_up = asyncio.create_task(self._end_and_wait(sip_status, reason))
        await asyncio.shield(self._hanging_up)  # cancelling the wait does not stop the BYE

    async def _end_and_wait(self, sip_status: int, reason: str) -> None:
        try:
            await self._perform(partial(self._line.end, sip_status, reason))
        except BaseException:
            self._hanging_up = None  # allow another attempt
            raise
        try:
            async with asyncio.timeout(_CONFIRMATION_S):
                await self._over.wait()
        except TimeoutError:
            await self._perform(partial(self._line.finish, 408, "the peer did not confirm the end"))
            await self._over.wait()


class IncomingLeg(PjsipLeg):
    """An incoming INVITE; implements `telephony.call.Leg`. Only its owner answers it.

    `request` is what the INVITE says. Whoever knows the call sets its `info` with `adopt`.
    """

    def __init__(
        self,
        request: IncomingRequest,
        line: PjsipLine,
        perform: Perform,
        submit: Callable[[Callable[[], object]], None],
    ) -> None:
        super().__init__(line, perform, submit)
        self.request = request

    @property
    def headers(self) -> Mapping[str, str]:
        """The INVITE's X-… header fields; names are case-insensitive."""
        return self.request.headers

    @property
    def suppresses_silence(self) -> bool:
        return self.request.suppresses_silence

    @property
    def sip_call_id(self) -> str:
        return self.request.sip_call_id

    def adopt(self, info: CallInfo) -> None:
        """Say what call this leg is."""
        self._info = info

    async def ring(self) -> None:
        await self._on_line(self._line.ring)

    async def answer(self, audio: LegAudio) -> None:
        """Raises LegEndedError if the caller has given up, MediaPortsExhausted or PjsipError if PJSIP cannot answer."""
        await self._on_line(partial(self._line.answer, self.in_band.over(audio)))

    async def reject(self, sip_status: int, reason: str = "") -> None:
        """`sip_status` is 300-699. Has no effect on a leg that has ended."""
        if not 300 <= sip_status <= 699:
            raise TelephonyMisuse(f"{sip_status} is not a final error status (300-699)")
        await self._end(sip_status, reason)
