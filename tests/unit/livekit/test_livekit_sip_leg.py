"""A phone that LiveKit SIP dials, as a leg; LiveKit in memory, virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from gateway.livekit.sip_leg import LiveKitSipLeg
from telephony.call import CallInfo, Direction, LegAcknowledged, LegAnswered, LegEnded, LegEvent, LegRinging
from telephony.errors import LegEndedError
from telephony.livekit.events import ParticipantKind
from telephony.livekit.fakes import FakeLiveKit
from telephony.livekit.liveness import Silence
from telephony.livekit.observing import ObserverPlace
from telephony.livekit.room import LiveKitRoom
from telephony.livekit.trunk.dialing import LiveKitSipTrunk
from telephony.livekit.trunk.errors import SipCredentialsWrong, SipDown
from telephony.livekit.trunk.fakes import FakeSipApi
from telephony.livekit.trunk.objects import Found, OutboundTrunk
from telephony.livekit.trunk.sip_api import DialFailed
from telephony.rooms.fakes import FakeRecorder

INFO = CallInfo("c1", Direction.OUTBOUND, "+15550123", "+15550100", "main")
PHONE = "sip_+15550123"
LOUD, LOUDER = b"\x00\x10" * 160, b"\x00\x20" * 160


@dataclass
class World:
    leg: LiveKitSipLeg
    api: FakeSipApi
    server: FakeLiveKit
    room: LiveKitRoom
    recorder: FakeRecorder
    events: list[LegEvent] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)

    async def phone(self) -> LiveKitRoom:
        """LiveKit SIP brings it in."""
        room = self.server.room(PHONE, ParticipantKind.SIP, {"sip.callStatus": "dialing"})
        await room.join()
        return room

    async def answer(self) -> None:
        self.room.record_to(self.recorder)
        await self.leg.answer(self.room.add_leg("keeper"))

    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]

    @property
    def end(self) -> tuple[bool, int, str]:
        (ended,) = (event for event in self.events if isinstance(event, LegEnded))
        return ended.by_peer, ended.sip_status, ended.reason


def livekit(script: Callable[[World], Awaitable[None]]) -> World:
    async def run() -> World:
        api = FakeSipApi((Found("ST1", True, OutboundTrunk("trunkline:outbound:main", "host", ("+15550100",))),))
        server = FakeLiveKit()
        room = server.room("keeper", ParticipantKind.AGENT, observes=PHONE)
        await room.join()
        left_alone: list[str] = []

        async def whose(_: str, __: str) -> Silence:
            return Silence.THEIRS

        dial = partial(LiveKitSipTrunk(api, "main").call, INFO.called, "room", PHONE)
        leg = LiveKitSipLeg(INFO, PHONE, lambda: room, dial, api, whose, left_alone.append)
        world = World(leg, api, server, room, FakeRecorder(), left_alone=left_alone)

        async def follow() -> None:
            async for event in leg.events():
                world.events.append(event)

        following = asyncio.create_task(follow())
        await script(world)
        async with asyncio.timeout(1):
            await following
        await room.close()
        return world

    return run_virtual(run())


def test_it_rings_is_answered_recorded_and_hung_up() -> None:
    async def script(world: World) -> None:
        world.api.hold.clear()
        answering = asyncio.create_task(world.answer())
        await asyncio.sleep(0)
        phone = await world.phone()
        place = phone.add_leg("phone")
        await phone.set_attributes({"sip.callStatus": "ringing"})
        await asyncio.sleep(1)
        world.api.hold.set()
        await answering
        await phone.set_attributes({"sip.callStatus": "active"})
        agent = world.server.room("agent-1", ParticipantKind.AGENT)
        said = agent.add_agent("agent").audio_output
        await agent.join()
        said.push(LOUDER * 10)
        for _ in range(20):
            place.push(LOUD, asyncio.get_running_loop().time())
            await asyncio.sleep(0.02)
        await world.leg.hang_up("agent_ended")
        await phone.close()
        await agent.close()

    world = livekit(script)
    assert world.kinds() == [LegRinging, LegAnswered, LegAcknowledged, LegEnded]
    assert world.end == (False, 200, "agent_ended")
    assert world.api.removed == [("room", PHONE)]
    assert world.recorder.caller.count(LOUD) >= 10, "the phone is its left channel"
    assert world.recorder.others.count(LOUDER) >= 5


@pytest.mark.parametrize(
    ("failed", "end"),
    [
        (DialFailed(486, "Busy Here"), (True, 486, "Busy Here")),
        (DialFailed(0, "nobody answered in time", gave_up=True), (False, 408, "nobody answered in time")),
    ],
)
def test_a_call_that_is_refused_or_rings_too_long(failed: DialFailed, end: Any) -> None:
    async def script(world: World) -> None:
        world.api.answers = [failed]
        await world.answer()

    world = livekit(script)
    assert world.end == end


@pytest.mark.parametrize(
    ("failed", "raised"),
    [
        (DialFailed(0, "LiveKit SIP has stopped"), SipDown),
        (SipCredentialsWrong("user and password"), SipCredentialsWrong),
    ],
)
def test_what_is_no_answer_of_the_phone_is_raised(failed: Exception, raised: type[Exception]) -> None:
    async def script(world: World) -> None:
        world.api.answers = [failed]  # type: ignore[list-item]
        with pytest.raises(raised):
            await world.answer()
        await world.leg.reject(503)

    world = livekit(script)
    assert world.end[0] is False


def test_a_ringing_call_that_is_cancelled_stops_ringing() -> None:
    async def script(world: World) -> None:
        world.api.hold.clear()
        answering = asyncio.create_task(world.answer())
        while not world.api.dialed:
            await asyncio.sleep(0.01)
        await world.leg.hang_up("cancelled")
        with pytest.raises(asyncio.CancelledError):
            await answering

    world = livekit(script)
    assert world.end == (False, 487, "cancelled")
    assert world.api.removed == [("room", PHONE)]


def test_a_call_that_was_ended_before_it_was_placed_is_not_placed() -> None:
    async def script(world: World) -> None:
        await world.leg.hang_up("too late")
        with pytest.raises(LegEndedError):
            await world.answer()

    assert livekit(script).api.dialed == []


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("client_initiated", (True, 200, "hung up")),
        ("participant_removed", (False, 200, "participant_removed")),
        ("room_deleted", (False, 200, "room_deleted")),
    ],
)
def test_who_ends_it(how: str, end: Any) -> None:
    async def script(world: World) -> None:
        await world.phone()
        await world.answer()
        world.server.connection(PHONE).leave(how)

    world = livekit(script)
    assert world.end == end and world.left_alone == []


def test_livekit_sip_dies() -> None:
    async def script(world: World) -> None:
        await world.phone()
        await world.answer()
        await asyncio.sleep(5)
        world.server.connection(PHONE).dead = True
        await asyncio.sleep(7)

    world = livekit(script)
    by_peer, _, reason = world.end
    assert not by_peer and reason.startswith("livekit_sip_lost: ")
    assert world.left_alone == ["room"], "and is told to hang up when it is back"


def test_a_place_without_a_recorder_keeps_nothing() -> None:
    place = ObserverPlace("keeper", PHONE, None)
    place.track_started("T", PHONE)
    place.heard("T", LOUD)
    assert place.pull(0.0) == bytes(320)
