"""LiveKitRoom on a server in memory, on virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from telephony.call import CallInfo, Direction
from telephony.errors import TelephonyMisuse
from telephony.livekit import events as ev
from telephony.livekit.connection import Disconnected
from telephony.livekit.errors import LiveKitRefused, LiveKitUnreachable, NotInRoom, connect_error, without_tokens
from telephony.livekit.events import ParticipantKind
from telephony.livekit.fakes import FakeLiveKit, FakeRoomApi
from telephony.livekit.room import LiveKitRoom
from telephony.livekit.verbs import CALL_ATTRIBUTE, HANG_UP, LEG_ATTRIBUTE, LiveKitCallVerbs, caller_in
from telephony.media.frames import SILENCE
from telephony.rooms.fakes import FakeRecorder

INFO = CallInfo("c1", Direction.INBOUND, "+15550100", "+15550111", "trunk")
LOUD = b"\x00\x20" * 160
BRIDGED = {CALL_ATTRIBUTE: "c1"}


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[[], None]:
    """On a clock that jumps."""

    def run() -> None:
        run_virtual(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def noted(room: LiveKitRoom) -> list[Any]:
    events: list[Any] = []
    room.subscribe(events.append)
    return events


def names(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual
async def test_a_leg_and_an_agent_hear_each_other() -> None:
    server = FakeLiveKit()
    phone, agent = server.room("sip_1", ParticipantKind.SIP), server.room("agent-1", ParticipantKind.AGENT)
    recorder = FakeRecorder()
    phone.record_to(recorder)
    leg, place = phone.add_leg("sip_1"), agent.add_agent("agent-1")
    heard: list[bytes] = []
    place.audio_input.subscribe(lambda frame: heard.append(frame.pcm))
    await phone.join()
    await agent.join()
    place.audio_output.push(LOUD * 3)
    pulled = []
    for _ in range(8):
        await asyncio.sleep(0.02)
        leg.push(LOUD, now())
        pulled.append(leg.pull(now()))
    assert heard.count(LOUD) >= 6
    assert pulled.count(LOUD) == 3
    assert recorder.others.count(LOUD) >= 1 and recorder.caller.startswith(LOUD)
    assert len(recorder.caller) == len(recorder.others) == 8 * 320
    await agent.close()
    await phone.close()


@virtual
async def test_a_leg_that_does_not_push_is_silent_and_not_gone() -> None:
    server = FakeLiveKit()
    phone = server.room("sip_1", ParticipantKind.SIP)
    leg = phone.add_leg("sip_1")
    await phone.join()
    await asyncio.sleep(1.0)
    played = server.connection("sip_1").played
    assert 45 <= len(played) <= 51 and set(played) == {SILENCE}
    played.clear()
    for _ in range(50):
        await asyncio.sleep(0.02)
        leg.push(LOUD, now())
    assert 48 <= len(played) <= 54  # nothing is put between what it says
    await phone.close()


@virtual
async def test_speech_is_played_at_its_pace_and_positions_stand_still_without_a_connection() -> None:
    server = FakeLiveKit()
    agent = server.room("agent-1", ParticipantKind.AGENT)
    output = agent.add_agent("agent-1").audio_output
    await agent.join()
    output.push(LOUD * 100)  # 2 s
    began = now()
    await output.wait_played(1000)
    assert now() - began == pytest.approx(1.0, abs=0.05)
    connection = server.connection("agent-1")
    connection.tell(ev.Reconnecting(now()))
    await asyncio.sleep(0.5)
    assert output.played_ms == pytest.approx(1500, abs=40)  # signaling may be resumed before anybody misses it
    connection.tell(ev.Reconnected(now()))
    connection.tell(ev.Reconnecting(now()))
    await asyncio.sleep(1.0)
    stood_still_at = output.played_ms
    output.push(LOUD * 50)  # 1 s
    await asyncio.sleep(3)
    assert output.played_ms == stood_still_at == pytest.approx(2000, abs=520)
    connection.tell(ev.Reconnected(now()))
    await output.drained()
    assert output.played_ms == 3000
    output.push(LOUD * 100)
    await asyncio.sleep(0.5)
    assert output.clear() == pytest.approx(3500, abs=40)
    await agent.close()


@virtual
async def test_several_voices_are_mixed_for_an_agent() -> None:
    server = FakeLiveKit()
    agent = server.room("agent-1", ParticipantKind.AGENT)
    heard: list[bytes] = []
    agent.add_agent("agent-1").audio_input.subscribe(lambda frame: heard.append(frame.pcm))
    phones = [server.room(f"sip_{n}", ParticipantKind.SIP) for n in range(2)]
    legs = [phone.add_leg(phone.identity) for phone in phones]
    for room in (agent, *phones):
        await room.join()
    for _ in range(10):
        await asyncio.sleep(0.02)
        for leg in legs:
            leg.push(LOUD, now())
    assert b"\x00\x40" * 160 in heard
    for room in (agent, *phones):
        await room.close()


@virtual
async def test_a_broken_connection_that_is_resumed_is_told_once() -> None:
    server = FakeLiveKit()
    room = server.room("sip_1")
    events = noted(room)
    await room.join()
    connection = server.connection("sip_1")
    for _ in range(2):
        connection.tell(ev.Reconnecting(now()))
    assert not room.live
    with pytest.raises(NotInRoom):
        await room.send_data(b"x", "topic")
    await asyncio.sleep(5)
    connection.tell(ev.Reconnected(now()))
    await asyncio.sleep(60)
    assert names(events) == ["RoomJoined", "Reconnecting", "Reconnected"]
    assert room.live
    await room.close()


@virtual
async def test_a_connection_that_the_sdk_gave_up_is_made_anew() -> None:
    server = FakeLiveKit()
    room, other = server.room("sip_1"), server.room("agent-1", ParticipantKind.AGENT)
    await other.join()
    room.serve("method", _answer)
    await room.join()
    events = noted(room)
    await room.set_attributes({"sip.callStatus": "active"})
    server.error = LiveKitUnreachable("not yet")
    connection = server.connection("sip_1")
    connection.leave("signal_close")
    connection.tell(Disconnected(now(), "signal_close"))
    await asyncio.sleep(2)
    server.error = None
    await asyncio.sleep(1)
    assert names(events) == [
        "Reconnecting", "TrackStopped", "ParticipantLeft", "TrackStarted", "Reconnected", "ParticipantJoined",
    ]  # fmt: skip
    assert events[4].rejoined
    assert server.connection("sip_1").attributes["sip.callStatus"] == "active"
    assert await other.call("sip_1", "method", "x") == "x!"
    await room.close()
    await other.close()


async def _answer(identity: str, payload: str) -> str:
    return payload + "!"


@virtual
async def test_what_is_not_resumed_in_time_is_lost_and_nobody_waits_for_playout() -> None:
    server = FakeLiveKit()
    room = server.room("agent-1", ParticipantKind.AGENT)
    output = room.add_agent("agent-1").audio_output
    await room.join()
    events = noted(room)
    output.push(LOUD * 1000)
    waiting = asyncio.ensure_future(output.drained())
    server.error = LiveKitUnreachable("away")
    began = now()
    server.connection("agent-1").tell(Disconnected(now(), "server_shutdown"))
    await waiting
    assert now() - began == pytest.approx(10.0, abs=0.1)
    assert names(events) == ["Reconnecting", "RoomLost"]
    await asyncio.sleep(30)
    assert len(events) == 2
    await room.close()


@virtual
async def test_keys_that_are_refused_meanwhile_are_lost_at_once() -> None:
    server = FakeLiveKit()
    room = server.room("sip_1")
    await room.join()
    events = noted(room)
    server.error = LiveKitRefused("the API key is gone")
    server.connection("sip_1").tell(Disconnected(now(), "state_mismatch"))
    await asyncio.sleep(0.1)
    assert names(events) == ["Reconnecting", "RoomLost"]
    assert events[-1].reason == "the API key is gone"
    await room.close()


@pytest.mark.parametrize("reason", ["room_deleted", "participant_removed", "duplicate_identity", "room_closed"])
def test_who_is_put_out_does_not_come_back(reason: str) -> None:
    async def put_out() -> None:
        server = FakeLiveKit()
        room = server.room("sip_1")
        await room.join()
        events = noted(room)
        server.put_out("sip_1", reason)
        await asyncio.sleep(60)
        assert [(type(event), event.reason) for event in events] == [(ev.RoomClosed, reason)]
        assert server.joins == 1
        await room.close()

    run_virtual(put_out())


@virtual
async def test_a_join_that_fails_can_be_tried_again() -> None:
    server = FakeLiveKit()
    server.error = LiveKitUnreachable("away")
    room = server.room("sip_1")
    with pytest.raises(LiveKitUnreachable):
        await room.join()
    server.error = None
    await room.join()
    assert room.live
    with pytest.raises(TelephonyMisuse):
        await room.join()
    await room.close()
    with pytest.raises(TelephonyMisuse):
        room.add_leg("sip_1")


@virtual
async def test_one_place_a_room() -> None:
    room = FakeLiveKit().room("sip_1")
    room.add_leg("sip_1")
    with pytest.raises(TelephonyMisuse, match="sip_1 already has our place"):
        room.add_agent("agent-1")
    room.remove("sip_1")
    room.add_agent("agent-1").leave()
    room.add_leg("sip_1")
    await room.close()


@virtual
async def test_the_announcer_is_heard_by_the_leg_alone_also_when_the_room_is_lost() -> None:
    server = FakeLiveKit()
    phone, agent = server.room("sip_1"), server.room("agent-1", ParticipantKind.AGENT)
    leg = phone.add_leg("sip_1")
    heard: list[bytes] = []
    agent.add_agent("agent-1").audio_input.subscribe(lambda frame: heard.append(frame.pcm))
    await phone.join()
    await agent.join()
    assert phone.announcer is not None
    phone.announcer.push(LOUD)
    assert leg.pull(now()) == LOUD
    server.put_out("sip_1")
    phone.announcer.push(LOUD)
    assert leg.pull(now()) == LOUD
    assert LOUD not in heard
    await phone.close()
    assert leg.pull(now()) == SILENCE
    await agent.close()


@virtual
async def test_played_out_waits_for_the_last_word_and_not_for_ever() -> None:
    server = FakeLiveKit()
    phone, agent = server.room("sip_1"), server.room("agent-1", ParticipantKind.AGENT)
    leg, output = phone.add_leg("sip_1"), agent.add_agent("agent-1").audio_output
    await phone.join()
    await agent.join()

    async def media() -> None:
        while True:
            await asyncio.sleep(0.02)
            leg.push(SILENCE, now())
            leg.pull(now())

    clock = asyncio.ensure_future(media())
    for spoken_ms, at_least, at_most in ((300, 0.44, 0.6), (5000, 1.0, 1.1)):
        output.push(LOUD * (spoken_ms // 20))
        await asyncio.sleep(0.05)
        began = now()
        await phone.played_out(1.0)
        assert at_least <= now() - began + 0.05 <= at_most + 0.05
    clock.cancel()
    await phone.close()
    await agent.close()


@virtual
async def test_hanging_up_asks_our_call_worker_or_removes_the_phone_of_livekit_sip() -> None:
    for attributes, removed in ((BRIDGED, []), ({"sip.callID": "S"}, [("room", "sip_1")])):
        server = FakeLiveKit()
        phone = server.room("sip_1", ParticipantKind.SIP, attributes)
        agent = server.room("agent-1", ParticipantKind.AGENT)
        asked: list[str] = []
        leaving: list[asyncio.Future[None]] = []

        async def hang_up(identity: str, payload: str) -> str:
            asked.append(json.loads(payload)["reason"])  # noqa: B023
            leaving.append(asyncio.ensure_future(phone.close()))  # noqa: B023
            return "{}"

        phone.serve(HANG_UP, hang_up)
        await phone.join()
        await agent.join()
        api = FakeRoomApi(server)
        verbs = LiveKitCallVerbs(agent, INFO, api)
        began = now()
        await verbs.hang_up("bye")
        assert now() - began < 0.1
        assert api.removed == removed
        assert asked == ([] if removed else ["bye"])
        await verbs.hang_up("again")  # idempotent
        assert len(asked) <= 1
        with pytest.raises(TelephonyMisuse):
            await verbs.send_digits("12x")
        await agent.close()


@virtual
async def test_a_further_phone_of_the_call_is_not_its_caller() -> None:
    server = FakeLiveKit()
    agent = server.room("agent-1", ParticipantKind.AGENT)
    await agent.join()
    await server.room("trunkline_c1-2", ParticipantKind.SIP, {LEG_ATTRIBUTE: "c1-2"}).join()
    assert caller_in(agent) is None
    await server.room("sip_1", ParticipantKind.SIP, {"sip.callID": "S"}).join()
    caller = caller_in(agent)
    assert caller is not None and caller.identity == "sip_1"
    await agent.close()


@virtual
async def test_a_phone_that_has_not_published_yet_is_removed_once_it_has() -> None:
    for publish_s, removed_after_s in ((0.3, 0.3), (60.0, 2.0)):
        server = FakeLiveKit()
        agent = server.room("agent-1", ParticipantKind.AGENT)
        await agent.join()
        server.publish_s = publish_s
        joining = asyncio.ensure_future(server.room("sip_1", ParticipantKind.SIP, {"sip.callStatus": "ringing"}).join())
        await asyncio.sleep(0)
        api, began = FakeRoomApi(server), now()
        await LiveKitCallVerbs(agent, INFO, api).hang_up()
        assert api.removed == [("room", "sip_1")]
        assert now() - began == pytest.approx(removed_after_s)
        joining.cancel()
        await agent.close()


@pytest.mark.parametrize(
    ("said", "kind", "advice"),
    [
        (
            "engine: signal failure: client error: 401 Unauthorized - invalid API key: k",
            LiveKitRefused,
            "livekit.api_key",
        ),
        ("401 Unauthorized - error: token signature is invalid", LiveKitRefused, "livekit.api_secret"),
        ("token has invalid claims: token is expired", LiveKitRefused, "clocks agree"),
        ("token is not valid yet", LiveKitRefused, "clocks agree"),
        ("IO error: Connection refused (os error 111)", LiveKitUnreachable, "is LiveKit server running"),
        ("failed to lookup address information", LiveKitUnreachable, "cannot be resolved"),
        ("failed to parse the url: relative URL", LiveKitUnreachable, "ws(s)://"),
        ("404 - requested room does not exist", LiveKitRefused, "auto_create"),
    ],
)
def test_failures_say_what_to_do(said: str, kind: type, advice: str) -> None:
    error = connect_error("ws://h:1", said)
    assert isinstance(error, kind)
    assert advice in str(error) and "ws://h:1" in str(error)


def test_tokens_are_never_shown() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.s3cret_-x"
    said = without_tokens(f"invalid token: {token}, error at wss://h/rtc?access_token={token}&x=1")
    assert token not in said and "s3cret" not in said
    assert said.endswith("x=1")
