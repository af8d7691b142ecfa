"""The phone in a job's room as a leg. LiveKit SIP, or the call worker that bridges it, carries its audio and has
answered it; what becomes of it is seen in the room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from gateway.livekit.caller_watch import CallerWatch
from gateway.livekit_jobs.job_records import LEFT_ALONE
from telephony.call import (
    CallInfo,
    DigitSource,
    Direction,
    EndedBy,
    LegAcknowledged,
    LegAnswered,
    LegDigit,
    LegEnded,
    LegEvent,
    LegHeld,
    LegResumed,
    MediaStatistics,
)
from telephony.leg_events import LegEvents
from telephony.livekit.access import LiveKitAccess
from telephony.livekit.api import LiveKitApi, whose_silence
from telephony.livekit.dtmf import check_way
from telephony.livekit.errors import LiveKitError
from telephony.livekit.events import (
    DtmfReceived,
    LiveKitEvent,
    ParticipantKind,
    RemoteParticipant,
    RoomClosed,
    RoomLost,
)
from telephony.livekit.verbs import CALL_ATTRIBUTE, LiveKitCallVerbs, keeper_of
from telephony.rooms.protocol import LegAudio

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["PhoneLeg"]

HANG_UP_LIMIT_S = 4.5  # its owner waits for 5 s
_NOT_KNOWN = CallInfo("", Direction.INBOUND, "", None, "")  # until the call is known
log = structlog.get_logger(__name__)


class PhoneLeg:
    """Implements `telephony.call.Leg`."""

    suppresses_silence = False

    def __init__(
        self,
        room: LiveKitRoom,
        caller: RemoteParticipant,
        access: LiveKitAccess,
        send: Callable[[Mapping[str, Any]], None],
        answered_at: float | None = None,
    ) -> None:
        """`send`: to the job's main process. `answered_at`: of a resumed call."""
        self._room = room
        self._caller = caller
        self._api = LiveKitApi(access)
        self._send = send
        self._answered_at = answered_at
        self._info = _NOT_KNOWN
        self._events = LegEvents()
        self._loop = asyncio.get_running_loop()
        self._held = False
        self._hanging_up: asyncio.Task[None] | None = None
        self.answered = asyncio.Event()
        self.over = asyncio.Event()
        self.taken_over = False  # another process has the call: don't hang up or record it here
        self.why: tuple[EndedBy, str] | None = None  # it is over
        self._unsubscribe = room.subscribe(self._happened)
        whose = partial(whose_silence, access)
        self._watch = CallerWatch(room, caller, self._was_answered, self._missed, whose, self._holds)

    @property
    def identity(self) -> str:
        return self._caller.identity

    @property
    def keeper(self) -> str:
        """The identity of the call worker that keeps the record, if one does."""
        return keeper_of(self._caller)

    @property
    def attributes(self) -> Mapping[str, str]:
        """As received."""
        return self._caller.attributes

    @property
    def rejoined(self) -> bool:
        """It had been answered before LiveKit server went away."""
        return self._watch.rejoined

    async def close(self) -> None:
        self._watch.close()
        self._unsubscribe()
        await self._api.close()

    # --- what happens to it --------------------------------------------------------------------------------------

    def _was_answered(self) -> None:
        if not self.answered.is_set():
            self.answered.set()
            at = self._loop.time() if self._answered_at is None else self._answered_at
            self._events.post(LegAnswered(at))
            self._events.post(LegAcknowledged(at))

    def _holds(self, held: bool) -> None:
        if held != self._held:
            self._held = held
            self._events.post(LegHeld(self._loop.time()) if held else LegResumed(self._loop.time()))

    def _missed(self, reason: str, by: EndedBy) -> None:
        """The phone no longer answers, or has left. If it is still in the room, it is removed: its carrier may only be
        hanging, and must not keep it on the line after recovering."""
        if by is EndedBy.SYSTEM and self._is_there:
            self._begin_hang_up(reason)
        else:
            self._gone(reason, by)

    def _gone(self, reason: str, by: EndedBy) -> None:
        if not self.over.is_set():
            self.why = (by, reason)
            self._events.post(LegEnded(self._loop.time(), by is EndedBy.CALLER, 0, reason, None))
            self.over.set()

    def _happened(self, event: LiveKitEvent) -> None:
        match event:
            case DtmfReceived(digit=digit, at=at, identity=identity) if identity in (None, self.identity):
                self._events.post(LegDigit(digit, at, DigitSource.RTP))
            case RoomClosed(reason=reason):
                self.taken_over = self.taken_over or reason == "duplicate_identity"
                self._gone(reason, EndedBy.SYSTEM)
            case RoomLost(reason=reason):
                if self._is_phone and CALL_ATTRIBUTE not in self._caller.attributes and not self.taken_over:
                    self._send(LEFT_ALONE)
                self._gone(f"livekit_lost: {reason}", EndedBy.SYSTEM)

    # --- Leg -----------------------------------------------------------------------------------------------------

    @property
    def info(self) -> CallInfo:
        return self._info

    def adopt(self, info: CallInfo) -> None:
        """Say what call this leg is."""
        self._info = info

    async def ring(self) -> None:
        """It rings, or has been answered."""

    async def answer(self, audio: LegAudio) -> None:
        """The carrier of its audio has answered it."""

    async def hold(self) -> None:
        """The room's routes say who hears whom; its phone is not asked."""

    async def resume(self) -> None:
        """As `hold`."""

    async def reject(self, sip_status: int, reason: str = "") -> None:
        """It counts as answered, even if something fails here."""
        await self.hang_up(reason)

    async def hang_up(self, reason: str = "") -> None:
        if self.over.is_set():
            return
        await asyncio.shield(self._begin_hang_up(reason))

    def _begin_hang_up(self, reason: str) -> asyncio.Task[None]:
        if self._hanging_up is None:
            self._hanging_up = asyncio.create_task(self._hang_up(reason), name="hang up")
        return self._hanging_up

    def key_way(self, asked: DigitSource | None) -> DigitSource:
        """As `KnowsItsWays.key_way`."""
        check_way(asked)
        return DigitSource.RTP

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        await self._room.send_digits(digits, duration_ms=duration_ms, gap_ms=gap_ms, way=way)

    def events(self) -> AsyncIterator[LegEvent]:
        return aiter(self._events)

    async def statistics(self) -> MediaStatistics | None:
        """The carrier of its audio has them."""
        return None

    async def _hang_up(self, reason: str) -> None:
        """Leave no phone alone, unless another process has taken the call over. Participants that are not phones
        stay."""
        if self._is_phone and self._is_there and not self.taken_over:
            try:
                async with asyncio.timeout(HANG_UP_LIMIT_S):
                    await LiveKitCallVerbs(self._room, self._info, self._api).hang_up(reason)
            except (LiveKitError, TimeoutError) as error:
                log.error("not_hung_up", error=str(error))
                self._send(LEFT_ALONE)
        self._gone(reason or "hung up", EndedBy.SYSTEM)

    @property
    def _is_there(self) -> bool:
        return self._room.live and self.identity in {who.identity for who in self._room.participants}

    @property
    def _is_phone(self) -> bool:
        return self._caller.kind is ParticipantKind.SIP
