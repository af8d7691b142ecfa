"""A phone that LiveKit SIP dials into a call's room, as a leg: LiveKit SIP has its SIP and its audio, and what becomes
of it is in LiveKit's answers and in the room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import structlog

from gateway.livekit.caller_watch import CallerWatch
from telephony.call import (
    CallInfo,
    CallOutcome,
    EndedBy,
    LegAcknowledged,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegRinging,
    MediaStatistics,
    OutcomeKind,
    TransferOutcome,
)
from telephony.errors import LegEndedError, TelephonyMisuse
from telephony.keys import DigitSource
from telephony.leg_events import LegEvents
from telephony.livekit.dtmf import check_way
from telephony.livekit.errors import LiveKitError
from telephony.livekit.events import AttributesChanged, LiveKitEvent
from telephony.livekit.liveness import Silence
from telephony.livekit.pacing import Pacer
from telephony.livekit.trunk.dialing import LONGEST_RINGING_S, transfer
from telephony.livekit.trunk.errors import SipDown
from telephony.livekit.trunk.sip_api import SipCalls
from telephony.rooms.protocol import LegAudio
from telephony.sip.causes import cause_of

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["LiveKitSipLeg"]

TRANSFERRED_LIMIT_S = 2.0
NOT_IN_TIME = 408  # what our edge answers when it stops the ringing
_MEANT = frozenset({"participant_removed", "room_deleted"})  # LiveKit's words for what an agent did
log = structlog.get_logger(__name__)


class LiveKitSipLeg:
    """Implements `telephony.call.Leg`. `answer` places the call, and returns when it is answered or refused."""

    suppresses_silence = False

    def __init__(
        self,
        info: CallInfo,
        phone: str,
        room: Callable[[], LiveKitRoom],
        dial: Callable[[], Awaitable[CallOutcome]],
        api: SipCalls,
        whose: Callable[[str, str], Awaitable[Silence]],
        left_alone: Callable[[str], None],
    ) -> None:
        """`phone`: its identity in the room. `dial()` is ended with its phone when cancelled. `whose`: as
        `telephony.livekit.api.whose_silence`. `left_alone(room)`: the phone could not be hung up."""
        self._info = info
        self._phone = phone
        self._room = room
        self._dial = dial
        self._api = api
        self._whose = whose
        self._left_alone = left_alone
        self._loop = asyncio.get_running_loop()
        self._events = LegEvents()
        self._dialling: asyncio.Future[CallOutcome] | None = None
        self._answered = False
        self._watch: CallerWatch | None = None
        self._clock: Pacer | None = None
        self._transferring: asyncio.Future[TransferOutcome] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def info(self) -> CallInfo:
        return self._info

    def events(self) -> AsyncIterator[LegEvent]:
        return aiter(self._events)

    async def statistics(self) -> MediaStatistics | None:
        """LiveKit SIP has them."""
        return None

    async def ring(self) -> None:
        """It is the other side that rings."""

    def press_by_info(self, digit: str, duration_ms: int) -> None:
        """LiveKit SIP reads them."""

    async def hold(self) -> None:
        """The room's routes say who hears whom; the phone is not asked."""

    async def resume(self) -> None:
        """As `hold`."""

    async def transfer(self, uri: str, ring_s: float) -> TransferOutcome:
        """By REFER of LiveKit SIP, which hangs up when the target has answered."""
        ring_s = min(max(ring_s, 1.0), LONGEST_RINGING_S)
        asked = transfer(self._api, self._room().name, self._phone, uri, ringing_timeout_s=ring_s)
        self._transferring = asyncio.ensure_future(asked)
        try:
            return await asyncio.shield(self._transferring)
        except (LiveKitError, TelephonyMisuse) as error:
            return TransferOutcome(OutcomeKind.FAILED, 0, str(error))

    def key_way(self, asked: DigitSource | None) -> DigitSource:
        """As `KnowsItsWays.key_way`."""
        check_way(asked)
        return DigitSource.RTP

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        await self._room().send_digits(digits, duration_ms=duration_ms, gap_ms=gap_ms, way=way)

    # --- its answer ----------------------------------------------------------------------------------------------

    async def answer(self, audio: LegAudio) -> None:
        """Raises LiveKitError when the call cannot be placed, LegEndedError."""
        if self._events.ended is not None:
            raise LegEndedError("the call was ended before it was placed")
        self._unsubscribe = self._room().subscribe(self._happened)
        self._dialling = asyncio.ensure_future(self._dial())
        outcome = await self._dialling
        if outcome.answered:
            self._was_answered(audio)
        elif outcome.kind is OutcomeKind.FAILED and not outcome.sip_status:
            raise SipDown(outcome.text)
        else:
            status = outcome.sip_status or NOT_IN_TIME
            ours = not outcome.sip_status  # LiveKit SIP has stopped the ringing at our limit
            self._end(
                LegEnded(self._loop.time(), not ours, status, outcome.text, None, cause=cause_of(status), gave_up=ours)
            )

    def _was_answered(self, audio: LegAudio) -> None:
        self._answered = True
        now = self._loop.time()
        self._events.post(LegAnswered(now))
        self._events.post(LegAcknowledged(now))
        self._clock = Pacer(self._loop, partial(_tick, audio))
        self._clock.start()
        room = self._room()
        caller = next((who for who in room.participants if who.identity == self._phone), None)
        if caller is None:
            self._gone("hung up", EndedBy.CALLER)
            return
        self._watch = CallerWatch(room, caller, lambda: None, self._gone, self._whose, of_livekit_sip=True)

    def _happened(self, event: LiveKitEvent) -> None:
        match event:
            case AttributesChanged(identity=self._phone, attributes={"sip.callStatus": "ringing"}):
                self._events.post(LegRinging(event.at, 180, early_media=False))
                self._unsubscribe()

    # --- its end -------------------------------------------------------------------------------------------------

    def _gone(self, reason: str, by: EndedBy) -> None:
        """LiveKit says who left, not who made it leave: what an agent did is not the phone's doing."""
        if self._transferring is not None and not self._transferring.done():
            self._loop.create_task(self._gone_by_transfer(self._transferring, reason, by), name="end of a transfer")
            return
        by_peer = by is EndedBy.CALLER and reason not in _MEANT
        self._end(LegEnded(self._loop.time(), by_peer, 200, reason, None))
        if by is EndedBy.SYSTEM:
            self._left_alone(self._room().name)  # LiveKit SIP may only hang, and would keep the phone on the line

    async def _gone_by_transfer(self, transferring: asyncio.Future[TransferOutcome], reason: str, by: EndedBy) -> None:
        """It leaves a moment before LiveKit says that the target has answered."""
        await asyncio.wait({transferring}, timeout=TRANSFERRED_LIMIT_S)
        self._transferring = None
        await asyncio.sleep(0)  # who waits for the outcome comes first
        self._gone(reason, by)

    async def reject(self, sip_status: int, reason: str = "") -> None:
        await self.hang_up(reason)

    async def hang_up(self, reason: str = "") -> None:
        if self._events.ended is not None:
            return
        if self._answered:
            await self._removed()
        elif self._dialling is not None:
            self._dialling.cancel()  # which stops the ringing
            await asyncio.wait({self._dialling})
        self._end(LegEnded(self._loop.time(), False, 200 if self._answered else 487, reason, None))

    async def _removed(self) -> None:
        room = self._room().name
        try:
            await self._api.remove(room, self._phone)
        except LiveKitError as error:
            log.error("not_hung_up", error=str(error))
            self._left_alone(room)

    def _end(self, ended: LegEnded) -> None:
        if self._events.post(ended):
            self._unsubscribe()
            if self._watch is not None:
                self._watch.close()
            if self._clock is not None:
                self._clock.stop()


def _tick(audio: LegAudio, at: float) -> None:
    """Of the recording."""
    audio.pull(at)
