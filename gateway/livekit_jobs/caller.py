"""The phone in a job's room: when it is answered, and when it has gone, by whomever's doing."""

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
)
from telephony.livekit.pulse import ALIVE, EVERY_S, pulse_of, until_silent
from telephony.livekit.verbs import CALL_ATTRIBUTE

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["SIP_LOST", "CallerWatch"]

RETURN_S = 5.0  # who was there before our connection broke, and not after, may be on the way back as well
SIP_LOST = "livekit_sip_lost: LiveKit SIP, which brought the call, does not answer any more, or has ended it unnoticed"
NOT_BACK = "the caller was not there any more after the connection to LiveKit had broken"
_NOBODYS_WISH = frozenset({"connection_timeout", "media_failure", "sip_trunk_failure"})  # LiveKit's disconnect reasons
log = structlog.get_logger(__name__)


class CallerWatch:
    def __init__(
        self,
        room: LiveKitRoom,
        caller: RemoteParticipant,
        answered: Callable[[], None],
        gone: Callable[[str, EndedBy], None],
        silent: Callable[[str, str], Awaitable[bool]],
    ) -> None:
        """`answered()` and `gone(reason, by)` are called on the loop, the latter once. `silent(room, identity)`: what
        the server finds (`telephony.livekit.api.server_finds_silent`)."""
        self._room = room
        self._silent = silent
        self._identity = caller.identity
        self._answered = answered
        self._gone = gone
        self._missing = False
        self._over = False
        self._loop = asyncio.get_running_loop()
        self._return_timer: asyncio.TimerHandle | None = None
        self._unsubscribe = room.subscribe(self._happened)
        self._asking: asyncio.Task[None] | None = None
        if caller.attributes.get("sip.callStatus", "active") == "active":
            answered()
        if caller.kind is ParticipantKind.SIP and CALL_ATTRIBUTE not in caller.attributes:
            # LiveKit server holds on to the calls of a LiveKit SIP that has died for 20 s.
            self._asking = self._loop.create_task(self._livekit_sip_dies(), name="caller watch")

    def close(self) -> None:
        self._over = True
        self._unsubscribe()
        if self._return_timer is not None:
            self._return_timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    async def _livekit_sip_dies(self) -> None:
        await until_silent(
            lambda: pulse_of(self._room.call(self._identity, ALIVE, "", EVERY_S)),
            lambda: self._silent(self._room.name, self._identity),
        )
        log.error("livekit_sip_lost", caller=self._identity)
        self._is_gone(SIP_LOST, EndedBy.SYSTEM)

    def _happened(self, event: LiveKitEvent) -> None:
        match event:
            case AttributesChanged(identity=identity, attributes=attributes) if identity == self._identity:
                status = attributes.get("sip.callStatus", "")
                if status == "active":
                    self._answered()
                elif status == "hangup":
                    self._is_gone("hung up", EndedBy.CALLER)
            case ParticipantJoined(participant=who) if who.identity == self._identity:
                self._missing = False
            case ParticipantLeft(participant=who, reason=reason) if who.identity == self._identity:
                self._left(reason)
            case Reconnected():
                if self._missing and self._return_timer is None:
                    self._return_timer = self._loop.call_later(RETURN_S, self._not_back)

    def _left(self, reason: str) -> None:
        if reason == "connection_lost" or not (reason or self._room.live):
            self._missing = True  # it is our own connection that has broken: everybody has gone, as seen from here
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
