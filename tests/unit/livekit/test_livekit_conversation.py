"""A call's owner with a conversation in a LiveKit room: a fake leg, a LiveKit server in memory, virtual time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.events import AgentMessage, SessionClosed
from agent.providers.fakes import FakeTTS
from agent.testing.virtual_clock import run_virtual
from gateway.calls.conversation import CallSide
from gateway.config import LiveKitSettings
from gateway.livekit.canned import CannedSpeech
from gateway.livekit.conversation import LiveKitConversation
from gateway.livekit.room_plan import caller_attributes, room_metadata, room_plan
from gateway.livekit.server_watch import LiveKitWatch
from gateway.record import CallClosed, Outcome
from telephony.call import EndedBy, LegHeld, LegResumed
from telephony.livekit.connection import Disconnected
from telephony.livekit.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable
from telephony.livekit.events import DtmfReceived, ParticipantKind, RemoteParticipant
from telephony.livekit.fakes import FakeConnection, FakeLiveKit
from telephony.livekit.room import LiveKitRoom
from telephony.livekit.verbs import DRAIN, HELD_ATTRIBUTE, LiveKitCallVerbs
from tests.unit.callworker.call_world import INFO, CallWorld, settings

SPEECH = b"\x00\x20" * 160


def livekit_settings(folder: Path, **changes: Any) -> LiveKitSettings:
    (folder / "key").write_text("key")
    (folder / "secret").write_text("s" * 32)
    keys = {name: {"file": str(folder / name.removeprefix("api_"))} for name in ("api_key", "api_secret")}
    return LiveKitSettings.model_validate({"url": "ws://fake", **keys, **changes})


class RoomWorld(CallWorld):
    """`server` is LiveKit; an agent comes with `agent()`."""

    def __init__(self, livekit: LiveKitSettings, **how: Any) -> None:
        super().__init__(**how)
        self.server = FakeLiveKit()
        self.livekit = livekit
        self.rooms: list[LiveKitRoom] = []
        self.voice = FakeTTS()

        def conversation(side: CallSide) -> LiveKitConversation:
            return LiveKitConversation(side, self.prepared, livekit, CannedSpeech(self.voice), self._make)

        self.owner = self.made(settings(), conversation)

    def _make(self, url: str, token: Callable[[], str], **more: Any) -> LiveKitRoom:
        token()  # as the SDK would need it
        me = RemoteParticipant(more["identity"], ParticipantKind.SIP, "", caller_attributes(INFO))
        return LiveKitRoom(url, token, connect=partial(FakeConnection, self.server, me), **more)

    async def agent(self, identity: str = "agent-1", place: bool = True) -> LiveKitRoom:
        room = self.server.room(identity, ParticipantKind.AGENT)
        self.rooms.append(room)
        if place:
            self.output = room.add_agent(identity).audio_output
        await room.join()
        return room

    @property
    def heard(self) -> list[bytes]:
        """The frames sent to the phone that are not silence."""
        frames = [bytes(self.leg.heard[at : at + 320]) for at in range(0, len(self.leg.heard), 320)]
        return [frame for frame in frames if frame.strip(b"\0")]


def call(
    tmp_path: Path, script: Callable[[RoomWorld], Awaitable[None]], livekit: dict[str, Any] | None = None, **how: Any
) -> RoomWorld:
    async def run() -> RoomWorld:
        world = RoomWorld(livekit_settings(tmp_path, **(livekit or {})), **how)
        running = asyncio.create_task(world.run(), name="call")
        await script(world)
        async with asyncio.timeout(3600):
            await running
        for room in world.rooms:
            await room.close()
        return world

    return run_virtual(run())


async def answered(world: RoomWorld) -> None:
    while world.leg.audio is None:
        await asyncio.sleep(0.01)


def test_the_agent_talks_and_hangs_up_after_its_last_word(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        room = await world.agent()
        await asyncio.sleep(0.1)
        now = asyncio.get_running_loop().time()
        for event, more in (
            (AgentMessage(now, "Hello", "Hello", False, now - 0.4, "greeting"), {}),
            (SessionClosed(now, "agent_ended"), {"tokens": [5, 2]}),
        ):
            body = json.dumps({**event.to_dict(), "unix_ms": time.time() * 1000, **more})
            await room.send_data(body.encode(), "trunkline.event")
        world.output.push(SPEECH * 50)
        await asyncio.sleep(0.9)
        await LiveKitCallVerbs(room, INFO).hang_up("agent_ended")

    world = call(tmp_path, script)
    assert world.outcome == ("answered", "agent", "agent_ended")
    assert world.heard.count(SPEECH) == 50
    assert world.types() == ["agent_message", "session_closed"]
    assert world.closed.tokens.prompt == 5
    message = world.events[0]
    assert message["at"] - message["started_at"] == pytest.approx(0.4)
    assert 0 <= message["t_ms"] < 1000
    assert not world.server.connections


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("room_deleted", ("answered", "agent", "room_deleted")),
        ("participant_removed", ("answered", "agent", "participant_removed")),
        ("duplicate_identity", ("answered", "system", "duplicate_identity")),
        ("leaves", ("answered", "agent", "agent_left")),
        ("caller", ("answered", "caller", "hung up")),
        ("gateway", ("answered", "system", "stopping")),
    ],
)
def test_whoever_ends_it_everything_ends_once(tmp_path: Path, how: str, outcome: tuple[str, str, str]) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        room = await world.agent()
        await asyncio.sleep(1)
        if how == "leaves":
            await room.close()
        elif how == "caller":
            world.leg.end(reason="hung up")
        elif how == "gateway":
            world.owner.end_now("stopping")
        else:
            world.server.put_out(f"sip_{INFO.caller}", how)

    world = call(tmp_path, script)
    assert world.outcome == outcome
    assert world.ended_after < 3
    assert world.done().count("hang_up") == (0 if how == "caller" else 1)


def test_without_an_agent_it_rings_then_says_so_and_ends(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)

    world = call(tmp_path, script, {"agent_timeout_s": 5.0, "agent_name": "desk"})
    outcome, by, reason = world.outcome
    assert (outcome, by) == ("answered", "system")
    assert reason.startswith("no_agent: no agent came within 5 s: no agent worker is registered as 'desk'")
    assert [alarm.kind for alarm in world.closed.media_alarms] == ["no_agent"]
    assert 5 < world.ended_after < 12
    assert len(world.heard) > 100  # 2 s of ringing, then the sentence


def test_a_key_that_was_pressed_early_reaches_the_agent_and_the_agents_the_phone(tmp_path: Path) -> None:
    got: list[str] = []

    async def script(world: RoomWorld) -> None:
        await answered(world)
        await asyncio.sleep(0.2)
        world.leg.press("4")
        world.leg.press("2")
        await asyncio.sleep(0.5)
        room = world.server.room("agent-1", ParticipantKind.AGENT)
        world.rooms.append(room)
        room.add_agent("agent-1")
        room.subscribe(lambda event: got.append(event.digit) if isinstance(event, DtmfReceived) else None)
        await room.join()
        await asyncio.sleep(0.2)
        world.leg.press("#")
        await room.send_digits("9")
        await asyncio.sleep(0.2)
        world.leg.end(reason="bye")

    world = call(tmp_path, script)
    assert got == ["4", "2", "#"]
    assert ("send_digits", "9") in [tuple(verb[:2]) for verb in world.leg.verbs]


def test_hold_is_told_to_the_room(tmp_path: Path) -> None:
    muted: list[tuple[bool, str | None]] = []

    async def script(world: RoomWorld) -> None:
        await answered(world)
        await world.agent()
        connection = world.server.connection(f"sip_{INFO.caller}")
        for held in (True, False):
            now = asyncio.get_running_loop().time()
            world.leg.inject(LegHeld(now) if held else LegResumed(now))
            await asyncio.sleep(0.1)
            muted.append((connection.muted, connection.attributes.get(HELD_ATTRIBUTE)))
        world.leg.end(reason="bye")

    call(tmp_path, script)
    assert muted == [(True, "true"), (False, None)]


def test_an_agent_that_knows_nothing_of_hold_does_not_keep_the_call_for_ever(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        await world.agent()
        world.leg.inject(LegHeld(asyncio.get_running_loop().time()))
        world.output.push(SPEECH * 50)

    world = call(tmp_path, script)
    assert world.outcome == ("answered", "agent", "held_too_long")
    assert world.ended_after == pytest.approx(600.0, abs=1.0)


def test_a_lost_server_is_told_to_the_caller_and_on_record(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        await world.agent()
        await asyncio.sleep(1)
        world.server.error = LiveKitUnreachable("away")
        world.server.connection(f"sip_{INFO.caller}").tell(
            Disconnected(asyncio.get_running_loop().time(), "signal_close")
        )

    world = call(tmp_path, script, {"resume_s": 4.0})
    _, by, reason = world.outcome
    assert by == "system" and reason.startswith("livekit_lost: the connection could not be resumed within 4 s")
    assert [alarm.kind for alarm in world.closed.media_alarms] == ["livekit_reconnecting", "livekit_lost"]
    assert world.heard
    assert 5 < world.ended_after < 10


def test_an_agent_that_crashed_may_come_back(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        room = await world.agent()
        await asyncio.sleep(1)
        world.server.connection("agent-1").leave("connection_timeout")
        await asyncio.sleep(4)
        again = await world.agent("agent-2")
        await asyncio.sleep(1)
        assert world.heard  # one moment, please
        await LiveKitCallVerbs(again, INFO).hang_up("agent_ended")
        del room

    assert call(tmp_path, script).outcome == ("answered", "agent", "agent_ended")


def test_an_agent_that_stays_away_ends_the_call(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        await world.agent()
        await asyncio.sleep(1)
        world.server.connection("agent-1").leave("connection_timeout")

    world = call(tmp_path, script, {"agent_return_s": 3.0})
    assert world.outcome[2] == "agent_lost: the agent has left and none came back within 3 s"


@pytest.mark.parametrize("helps", [True, False])
def test_a_drained_call_gets_its_goodbye_from_whoever_can_say_it(tmp_path: Path, helps: bool) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        room = await world.agent()

        async def drain(identity: str, payload: str) -> str:
            asyncio.get_running_loop().call_later(
                1.0, lambda: tasks.append(asyncio.ensure_future(LiveKitCallVerbs(room, INFO).hang_up("drained")))
            )
            return "{}"

        tasks: list[Any] = []
        if helps:
            room.serve(DRAIN, drain)
        await asyncio.sleep(1)
        world.owner.drain("the gateway is shutting down")

    world = call(tmp_path, script)
    assert world.outcome == ("answered", "agent", "drained")
    assert bool(world.heard) is not helps


@pytest.mark.parametrize(
    ("error", "status"),
    [(LiveKitRefused("keys"), 503), (LiveKitUnreachable("nobody"), 503), (LiveKitError("odd"), 500)],
)
def test_a_room_that_cannot_be_joined_refuses_the_call_and_says_why(
    tmp_path: Path, error: LiveKitError, status: int
) -> None:
    async def script(world: RoomWorld) -> None:
        world.server.error = error

    world = call(tmp_path, script)
    assert world.outcome == ("failed", "system", f"{type(error).__name__}: {error}")
    assert next(verb for verb in world.leg.verbs if verb[0] == "reject")[1] == status


def test_only_agents_hang_up_and_only_their_events_count(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        await world.agent()
        human = world.server.room("human")
        world.rooms.append(human)
        await human.join()
        with pytest.raises(LiveKitError, match="only agents"):
            await LiveKitCallVerbs(human, INFO).hang_up("no")
        await human.send_data(b'{"type": "session_closed", "unix_ms": 1}', "trunkline.event")
        for nonsense in (b"", b"[]", b"\xff", b'{"type": "x", "unix_ms": 1}', b'{"type": "agent_paused"}'):
            await world.rooms[0].send_data(nonsense, "trunkline.event")
        await asyncio.sleep(0.5)
        world.leg.end(reason="bye")

    world = call(tmp_path, script)
    assert [event["type"] for event in world.events] == ["leg_ended"]
    assert world.outcome == ("answered", "caller", "bye")


def test_the_room_says_all_about_the_call(tmp_path: Path) -> None:
    world = run_virtual(_made(tmp_path))
    metadata = json.loads(room_metadata(world.prepared))
    assert metadata["call"]["called"] == INFO.called
    assert set(metadata) == {"trunkline", "call", "persona", "rule", "session", "speech"}
    (dispatch,) = room_plan(world.prepared, "trunkline").dispatches
    assert (dispatch.agent_name, json.loads(dispatch.metadata)) == ("trunkline", metadata)
    assert room_plan(world.prepared, "").dispatches == []


async def _made(tmp_path: Path) -> RoomWorld:
    return RoomWorld(livekit_settings(tmp_path))


def test_trouble_of_the_last_call_is_a_warning_until_one_goes_well(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    now = [1000.0]
    watch = LiveKitWatch(livekit_settings(tmp_path), lambda: now[0])
    end = datetime.now(UTC)

    def closed(reason: str, answered: bool = True) -> CallClosed:
        return CallClosed(
            call_id="c", outcome=Outcome.ANSWERED, ended_by=EndedBy.SYSTEM, ended_at=end,
            answered_at=end if answered else None, end_reason=reason,
        )  # fmt: skip

    assert watch.warnings == ()
    watch.observe(closed("no_agent: nobody"))
    assert watch.warnings == ("the last call: no_agent: nobody",)
    watch.observe(closed("cancelled", answered=False))
    assert watch.warnings
    watch.observe(closed("hung up"))
    assert watch.warnings == ()
    watch.observe(closed("LiveKitRefused: keys"))
    now[0] += 200
    assert watch.warnings == ()
