"""What an agent in a LiveKit room may do with its call, however the phone joined."""

from __future__ import annotations

import asyncio
import json

from telephony.call import CallInfo
from telephony.keys import DigitSource
from telephony.livekit.api import RoomApi
from telephony.livekit.errors import LiveKitError, LiveKitRefused
from telephony.livekit.events import (
    AttributesChanged,
    LiveKitEvent,
    ParticipantKind,
    ParticipantLeft,
    RemoteParticipant,
    TrackStarted,
)
from telephony.livekit.room import LiveKitRoom

__all__ = [
    "ASIDE_ATTRIBUTE",
    "CALL_ATTRIBUTE",
    "DRAIN",
    "FINISH_SPEAKING",
    "HANG_UP",
    "HELD",
    "HELD_ATTRIBUTE",
    "KEEPER_ATTRIBUTE",
    "LEG_ATTRIBUTE",
    "MUTED_ATTRIBUTE",
    "SAY",
    "TAKE_BACK",
    "LiveKitCallVerbs",
    "caller_in",
    "keeper_of",
]

HANG_UP = "trunkline.hang_up"  # RPC; payload {"reason": text}; answered when the call is over or about to end
DRAIN = "trunkline.drain"  # RPC of the call worker to the agent; payload {"reason": text}: say goodbye and hang up
SAY = "trunkline.say"  # the same; payload {"text", "allow_interruptions"}: to be said after the current speech
FINISH_SPEAKING = "trunkline.finish_speaking"  # {"announce", "limit_s"}: say that, and answer once all is said
TAKE_BACK = "trunkline.take_back"  # {"words", "note"}: the caller is the agent's again; a canned phrase, for the model
CALL_ATTRIBUTE = "trunkline.callID"  # set on a phone that a Trunkline call worker bridges in, or has had dialled
KEEPER_ATTRIBUTE = "trunkline.keeper"  # set on a phone of LiveKit SIP that a call worker has had dialled: its identity
LEG_ATTRIBUTE = "trunkline.legID"  # set on a further phone of the call, which is nobody's customer
HELD_ATTRIBUTE = "trunkline.held"  # set on such a phone while it has put us on hold and hears nothing
ASIDE_ATTRIBUTE = "trunkline.aside"  # of the call worker: the caller waits, or is with somebody else
MUTED_ATTRIBUTE = "trunkline.muted"  # of the call worker: the agent is kept from hearing the caller
HELD = "true"
HANG_UP_LIMIT_S = 10.0
GONE_LIMIT_S = 2.0
SPEAKS_LIMIT_S = 2.0  # LiveKit SIP publishes a phone's track within 0.1 s of its joining


class LiveKitCallVerbs:
    """Implements `CallVerbs`. `api` is needed to hang up phones of LiveKit SIP; None without keys."""

    def __init__(self, room: LiveKitRoom, info: CallInfo, api: RoomApi | None = None) -> None:
        self._room = room
        self._info = info
        self._api = api

    @property
    def info(self) -> CallInfo:
        return self._info

    async def hang_up(self, reason: str = "") -> None:
        """Hang up the phone; returns when it has left, or after 2 s. Idempotent.

        Raises LiveKitRefused if that is impossible.
        """
        caller = caller_in(self._room)
        if caller is None:
            return
        gone = asyncio.Event()

        def note(event: LiveKitEvent) -> None:
            match event:
                case ParticipantLeft(participant=who) if who.identity == caller.identity:
                    gone.set()
                case AttributesChanged(identity=identity, attributes={"sip.callStatus": "hangup"}):
                    if identity == caller.identity:
                        gone.set()  # the call worker stays until the conversation's last events

        unsubscribe = self._room.subscribe(note)
        try:
            await self._end(caller, reason)
            async with asyncio.timeout(GONE_LIMIT_S):
                await gone.wait()
        except TimeoutError:
            pass
        finally:
            unsubscribe()

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        await self._room.send_digits(digits, duration_ms=duration_ms, gap_ms=gap_ms, way=way)

    async def _end(self, caller: RemoteParticipant, reason: str) -> None:
        if CALL_ATTRIBUTE in caller.attributes:
            try:
                await self._room.call(keeper_of(caller), HANG_UP, json.dumps({"reason": reason}), HANG_UP_LIMIT_S)
                return
            except LiveKitError:
                if caller_in(self._room) is None:
                    return  # it had left already
                if self._api is None:
                    raise
        if self._api is None:
            raise LiveKitRefused("hanging up a call of LiveKit SIP goes through the API, which needs keys")
        if caller.attributes.get("sip.callStatus") != "active":
            await self._until_it_speaks(caller.identity)
        await self._api.remove_participant(self._room.name, caller.identity)

    async def _until_it_speaks(self, identity: str) -> None:
        """A phone removed before its track is published would ring on: LiveKit SIP (1.8) does not notice while it is
        connecting (5 s) or publishing (10 s)."""
        speaks = asyncio.Event()

        def note(event: LiveKitEvent) -> None:
            match event:
                case TrackStarted(identity=who) | ParticipantLeft(participant=RemoteParticipant(identity=who)):
                    if who == identity:
                        speaks.set()

        unsubscribe = self._room.subscribe(note)
        try:
            if identity not in self._room.speaking_tracks:
                async with asyncio.timeout(SPEAKS_LIMIT_S):
                    await speaks.wait()
        except TimeoutError:
            pass
        finally:
            unsubscribe()


def keeper_of(caller: RemoteParticipant) -> str:
    """The identity of the call worker that keeps this phone's call: itself, if it brings the phone in."""
    return caller.attributes.get(KEEPER_ATTRIBUTE) or caller.identity


def caller_in(room: LiveKitRoom) -> RemoteParticipant | None:
    """The phone: one that Trunkline bridges, else the first of LiveKit SIP."""
    there = [who for who in room.participants if who.kind is ParticipantKind.SIP]
    phones = [who for who in there if LEG_ATTRIBUTE not in who.attributes]
    return next((who for who in phones if CALL_ATTRIBUTE in who.attributes), phones[0] if phones else None)
