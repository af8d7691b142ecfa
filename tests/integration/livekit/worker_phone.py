"""The caller's end of a room that `trunkline worker` serves."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from rooms import MediaClock, a_room, access_of, loud

from telephony.livekit.access import Dispatch, RoomPlan
from telephony.livekit.events import DataReceived, LiveKitEvent, RoomClosed
from telephony.media.frames import FRAME_BYTES
from telephony.media.wav import read_wav

SPEECH = Path(__file__).parents[2] / "fixtures/audio/plain_booking/appointment.wav"


def speech() -> bytes:
    """A sentence, and a second of silence, in whole frames."""
    pcm = read_wav(SPEECH)
    return pcm + bytes(-len(pcm) % FRAME_BYTES + 16000)


class Phone:
    """The caller's end of a room: what it sees and hears."""

    def __init__(self, clock: MediaClock, room: Any) -> None:
        self.clock = clock
        self.room = room
        self.events: list[LiveKitEvent] = []
        room.subscribe(self.events.append)

    def hears(self) -> bool:
        """Just now."""
        return any(loud(pcm) for _, pcm in self.clock.heard[-5:])

    def heard_since(self, at: float) -> float | None:
        """When it first heard something after `at`."""
        return next((when for when, pcm in self.clock.heard if when > at and loud(pcm)), None)

    @property
    def agents(self) -> list[str]:
        return [who.identity for who in self.room.participants if who.kind == "agent"]

    @property
    def closed(self) -> bool:
        return any(isinstance(event, RoomClosed) for event in self.events)

    def packets(self) -> list[dict[str, Any]]:
        return [json.loads(event.payload) for event in self.events if isinstance(event, DataReceived)]


@contextlib.asynccontextmanager
async def calling(
    stack: Any,
    agent_name: str,
    *,
    called: str = "+15550100",
    metadata: str = "",
    dispatch: bool = True,
    **attributes: str,
) -> AsyncIterator[Phone]:
    """A phone in a room of its own, as LiveKit SIP brings it in. `attributes`: more of them, without `sip.`"""
    name = f"room-{uuid.uuid4().hex[:8]}"
    attributes = {
        "sip.callID": f"SCL_{name}", "sip.callStatus": "active", "sip.trunkID": "ST_test", "sip.ruleID": "SDR_1",
        "sip.trunkPhoneNumber": called, "sip.phoneNumber": "+15550111",
        **{f"sip.{name}": value for name, value in attributes.items()},
    }  # fmt: skip
    plan = RoomPlan(metadata=metadata, dispatches=[Dispatch(agent_name, metadata)] if dispatch else [])
    room = a_room(access_of(stack), name, "sip_caller", kind="sip", plan=plan, attributes=attributes)
    clock = MediaClock(room.add_leg("caller")).start()
    try:
        phone = Phone(clock, room)
        await room.join()
        yield phone
    finally:
        clock.stop()
        await room.close()
