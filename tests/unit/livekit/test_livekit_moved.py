"""A participant is moved to another room. The open-source LiveKit server cannot do it (docs/livekit.md), LiveKit Cloud
can: so the server is the fake one here. tests/integration/livekit/test_room_moved.py gives the SDK its events."""

from __future__ import annotations

import asyncio
from pathlib import Path

from livekit import api

from agent.testing.virtual_clock import run_virtual
from telephony.livekit import events as ev
from telephony.livekit.connection import Disconnected
from telephony.livekit.events import ParticipantKind
from telephony.livekit.fakes import FakeLiveKit
from tests.unit.callworker.call_world import INFO
from tests.unit.livekit.test_livekit_conversation import RoomWorld, answered, livekit_settings
from tests.unit.livekit.virtually import virtual

PHONE = f"sip_{INFO.caller}"
LOUD = b"\x00\x20" * 160


@virtual
async def test_a_room_that_we_were_moved_to_has_its_own_people() -> None:
    reception, office = FakeLiveKit("reception"), FakeLiveKit("office")
    phone, agent, ann = reception.room("sip_1", ParticipantKind.SIP), reception.room("agent-1"), office.room("ann")
    leg = phone.add_leg("sip_1")
    said = ann.add_agent("ann").audio_output
    for room in (phone, agent, ann):
        await room.join()
    told: list[ev.LiveKitEvent] = []
    phone.subscribe(told.append)
    reception.move("sip_1", office)
    assert phone.name == "office"
    assert [who.identity for who in phone.participants] == ["ann"]
    assert phone.speaking_tracks == {"ann"}
    assert (agent.participants, [who.identity for who in ann.participants]) == ((), ["sip_1"])
    assert [type(event).__name__ for event in told] == [
        "TrackStopped", "ParticipantLeft", "ParticipantJoined", "RoomMoved", "TrackStarted",
    ]  # fmt: skip
    said.push(LOUD * 5)
    pulled = []
    for _ in range(10):
        await asyncio.sleep(0.02)
        leg.push(LOUD, asyncio.get_running_loop().time())
        pulled.append(leg.pull(asyncio.get_running_loop().time()))
    assert pulled.count(LOUD) == 5, "the newcomer is heard"
    for room in (phone, agent, ann):
        await room.close()


def test_a_call_goes_on_in_the_room_that_it_was_moved_to_and_is_joined_anew_there(tmp_path: Path) -> None:
    async def run() -> RoomWorld:
        world = RoomWorld(livekit_settings(tmp_path, agent_return_s=3.0))
        running = asyncio.create_task(world.run(), name="call")
        await answered(world)
        await world.agent()
        await asyncio.sleep(1)
        office = FakeLiveKit("office")
        ann = office.room("ann")
        ann.add_agent("ann")
        await ann.join()
        world.server.move(PHONE, office)
        await asyncio.sleep(10)
        assert not running.done(), "there is somebody to talk to, although it is no agent"
        assert not world.heard, "and the caller was told nothing of it"
        connection = office.connection(PHONE)
        connection.leave("signal_close")
        connection.tell(Disconnected(connection.now(), "signal_close"))
        await asyncio.sleep(1)
        rooms = [_room_of(each.token) for each in world.server.connections if each.me.identity == PHONE]
        assert rooms == ["office"], "its new token is for the room that it was in"
        world.leg.end(reason="bye")
        await running
        for room in (*world.rooms, ann):
            await room.close()
        return world

    world = run_virtual(run())
    assert world.outcome == ("answered", "caller", "bye")
    assert [alarm.kind for alarm in world.closed.media_alarms] == ["livekit_reconnecting"]


def _room_of(token: str) -> str:
    claims = api.TokenVerifier("key", "s" * 32).verify(token)
    assert claims.video is not None
    return claims.video.room
