"""The phone in a job's room: when it is answered, and when and why it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from telephony.call import EndedBy
from telephony.livekit.events import (
    AttributesChanged,
    LiveKitEvent,
    ParticipantJoined,
    ParticipantKind,
    ParticipantLeft,
    Reconnected,
    RemoteParticipant,
    TrackStarted,
)
from telephony.livekit.liveness import ALIVE, EVERY_S, NO_SERVER, Silence, liveness_of, until_silent
from telephony.livekit.verbs import CALL_ATTRIBUTE, HELD, HELD_ATTRIBUTE

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["REJOINED", "SIP_LOST", "CallerWatch"]

ANSWER_LIMIT_S = 5.0  # LiveKit SIP answers an incoming call at most 1 s after someone listens to it
RINGING_LIMIT_S = 85.0  # of a call that it dials: LiveKit server waits 80 s for an answer
RETURN_S = 5.0  # a participant missing after our connection broke may be rejoining as well
SIP_LOST = "livekit_sip_lost: LiveKit SIP no longer answers, or has ended the call unnoticed"
REJOINED = "the call had been answered before LiveKit server went away, and its conversation is over"
NOT_BACK = "the caller was gone after the connection to LiveKit broke"
_NOBODYS_WISH = frozenset({"connection_timeout", "media_failure", "sip_trunk_failure"})  # LiveKit's disconnect reasons
log = structlog.get_logger(__name__)


class CallerWatch:
    def __init__(
        self,
        room: LiveKitRoom,
        caller: RemoteParticipant,
        answered: Callable[[], None],
        gone: Callable[[str, EndedBy], None],
        whose: Callable[[str, str], Awaitable[Silence]],
        held: Callable[[bool], None] = lambda held: None,
        *,
        of_livekit_sip: bool | None = None,
    ) -> None:
        """`answered()` and `gone(reason, by)` are called on the loop, the latter once. `whose(room, identity)`: what
        the server says of a silence (`telephony.livekit.api.whose_silence`); one that does not answer loses the
        room. `held(True)`: the caller has put us on hold, which only a phone that Trunkline bridges in can tell.
        `of_livekit_sip`: whether to look after the LiveKit SIP that has it; None: as its attributes say."""
        self._room = room
        self._whose = whose
        self._identity = caller.identity
        self._answered = answered
        self._gone = gone
        self._held = held
        self._missing = False
        self._over = False
        self._is_answered = False
        self._inbound = "sip.ruleID" in caller.attributes
        self._bridged = CALL_ATTRIBUTE in caller.attributes
        self._loop = asyncio.get_running_loop()
        self._return_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self.rejoined = False  # also reported as an answer: someone is on the line
        self._unsubscribe = room.subscribe(self._happened)
        self._asking: asyncio.Task[None] | None = None
        if caller.attributes.get(HELD_ATTRIBUTE) == HELD:
            held(True)
        if caller.attributes.get("sip.callStatus", "active") == "active":
            self._answer()
        elif self._identity in room.speaking_tracks:
            self._heard()
        if of_livekit_sip or (of_livekit_sip is None and caller.kind is ParticipantKind.SIP and not self._bridged):
            # LiveKit server holds on to the calls of a LiveKit SIP that has died for 20 s.
            self._asking = self._loop.create_task(self._livekit_sip_dies(), name="caller watch")

    def close(self) -> None:
        self._over = True
        self._unsubscribe()
        for timer in (self._return_timer, self._answer_timer):
            if timer is not None:
                timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    async def _livekit_sip_dies(self) -> None:
        silence = await until_silent(
            lambda: liveness_of(self._room.call(self._identity, ALIVE, "", EVERY_S)),
            lambda: self._whose(self._room.name, self._identity),
        )
        if silence is Silence.OURS:
            self._room.lose(NO_SERVER)
            return
        log.error("livekit_sip_lost", caller=self._identity)
        self._is_gone(SIP_LOST, EndedBy.SYSTEM)

    def _happened(self, event: LiveKitEvent) -> None:
        match event:
            case AttributesChanged(identity=identity, attributes=attributes) if identity == self._identity:
                status = attributes.get("sip.callStatus", "")
                self._held(attributes.get(HELD_ATTRIBUTE) == HELD)
                if status == "active":
                    self._answer()
                elif status == "hangup":
                    self._is_gone("hung up", EndedBy.CALLER)
            case ParticipantJoined(participant=who) if who.identity == self._identity:
                self._missing = False
            case TrackStarted(identity=identity) if identity == self._identity:
                self._heard()
            case ParticipantLeft(participant=who, reason=reason) if who.identity == self._identity:
                self._left(reason)
            case Reconnected():
                if self._missing and self._return_timer is None:
                    self._return_timer = self._loop.call_later(RETURN_S, self._not_back)

    def _answer(self) -> None:
        self._is_answered = True
        self._answered()

    def _heard(self) -> None:
        """It may also be a dialled phone that is ringing, for as long as our gateway lets it."""
        if not self._is_answered and not self._bridged and self._answer_timer is None:
            limit_s = ANSWER_LIMIT_S if self._inbound else RINGING_LIMIT_S
            self._answer_timer = self._loop.call_later(limit_s, self._has_rejoined)

    def _has_rejoined(self) -> None:
        """LiveKit SIP comes back into the rooms of a server that was away, with the attributes that it first came with,
        and never corrects them."""
        if not self._is_answered:
            self.rejoined = True
            self._answer()

    def _left(self, reason: str) -> None:
        if reason == "connection_lost" or not (reason or self._room.live):
            self._missing = True  # our own connection has broken, so everyone appears to be gone
        elif reason in ("", "client_initiated"):
            self._is_gone("hung up", EndedBy.CALLER)
        else:
            self._is_gone(reason, EndedBy.SYSTEM if reason in _NOBODYS_WISH else EndedBy.CALLER)

    def _not_back(self) -> None:
        self._return_timer = None
        if self._missing:
            self._is_gone(NOT_BACK, EndedBy.SYSTEM)

    def _is_gone(self, reason: str, by: EndedBy) -> None:
        if not self._over:
            self._over = True
            self._gone(reason, by)
