"""Who hears whom, in both kinds of rooms: the same tests for the local room and for a LiveKit room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import numpy as np
import pytest

from agent.testing.virtual_clock import run_virtual
from telephony.errors import TelephonyMisuse
from telephony.livekit.errors import LiveKitUnreachable
from telephony.livekit.events import ParticipantKind
from telephony.livekit.fakes import FakeLiveKit, FakeRoomApi
from telephony.livekit.room import LiveKitRoom
from telephony.media.frames import FRAME_BYTES, FRAME_MS, AudioFrame
from telephony.rooms.fakes import FakeRecorder
from telephony.rooms.local import LocalRoom
from telephony.rooms.protocol import LegAudio, Participant
from telephony.rooms.routes import Rows

CUSTOMER, HUMAN, SUPERVISOR, AGENT, MUSIC = "customer", "human", "supervisor", "agent", "music"
SAYS = {CUSTOMER: 1, HUMAN: 10, SUPERVISOR: 100, AGENT: 1000, MUSIC: 10000}  # sums tell who was heard
LEGS, AGENTS = (CUSTOMER, HUMAN, SUPERVISOR), (AGENT, MUSIC)


def constant(value: int) -> bytes:
    return np.full(FRAME_BYTES // 2, value, dtype="<i2").tobytes()


def value_of(pcm: bytes) -> int:
    """The last sample: amid a fade they differ."""
    return int(np.frombuffer(pcm, dtype="<i2")[-1])


class World(Protocol):
    """Three phones, an agent and music in one room."""

    legs: dict[str, LegAudio]
    agents: dict[str, Participant]

    async def open(self) -> None: ...
    async def route(self, rows: Rows) -> None: ...
    async def close(self) -> None: ...


class LocalWorld:
    def __init__(self) -> None:
        self.recorder = FakeRecorder()

    async def open(self) -> None:
        self.room = LocalRoom("r", asyncio.get_running_loop(), self.recorder)
        self.legs = {name: self.room.add_leg(name) for name in LEGS}
        self.agents = {name: self.room.add_agent(name, recorded=name != MUSIC) for name in AGENTS}

    async def route(self, rows: Rows) -> None:
        await self.room.route(rows)

    async def close(self) -> None:
        await self.room.close()


class LiveKitWorld:
    """Each is a participant with its own connection; the agent, which may use the API, routes."""

    async def open(self) -> None:
        self.server = FakeLiveKit()
        self.api = FakeRoomApi(self.server)
        self.rooms: dict[str, LiveKitRoom] = {}
        self.legs, self.agents = {}, {}
        for name in LEGS:
            self.rooms[name] = self.server.room(name, ParticipantKind.SIP)
            self.legs[name] = self.rooms[name].add_leg("caller")
        for name in AGENTS:
            self.rooms[name] = self.server.room(name, ParticipantKind.AGENT, api=self.api)
            self.agents[name] = self.rooms[name].add_agent("agent")  # the place's own name; routes go by identity
        for room in self.rooms.values():
            await room.join()

    async def route(self, rows: Rows) -> None:
        await self.rooms[AGENT].route(rows)

    async def close(self) -> None:
        for room in self.rooms.values():
            await room.close()


class Hearing:
    """What each of them hears if all talk at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.frames: dict[str, list[AudioFrame]] = {name: [] for name in AGENTS}
        for name, agent in world.agents.items():
            agent.audio_input.subscribe(self.frames[name].append)

    async def heard(self) -> dict[str, frozenset[str]]:
        await self.talk(12)  # until what was under way has been heard
        for frames in self.frames.values():
            frames.clear()
        legs = await self.talk(4)
        agents = {name: value_of(frames[-1].pcm) for name, frames in self.frames.items()}
        return {name: frozenset(who for who, value in SAYS.items() if total // value % 10) for name, total in
                {**legs, **agents}.items()}  # fmt: skip

    async def talk(self, frames: int) -> dict[str, int]:
        loop = asyncio.get_running_loop()
        shares: dict[str, int] = {}
        for name, agent in self.world.agents.items():
            agent.audio_output.clear()
            agent.audio_output.push(constant(SAYS[name]) * (frames + 2))
        for _ in range(frames):
            await asyncio.sleep(FRAME_MS / 1000)
            for name, leg in self.world.legs.items():
                leg.push(constant(SAYS[name]), loop.time())
            for name, leg in self.world.legs.items():
                shares[name] = value_of(leg.pull(loop.time()))
            await asyncio.sleep(0)
        return shares


Script = Callable[[World, Hearing], Awaitable[None]]


@pytest.fixture(params=[LocalWorld, LiveKitWorld], ids=["local", "livekit"])
def play(request: pytest.FixtureRequest) -> Callable[[Script], World]:
    def run(script: Script) -> World:
        world: World = request.param()

        async def whole() -> None:
            await world.open()
            await script(world, Hearing(world))
            await world.close()

        run_virtual(whole())
        return world

    return run


def everybody_but(name: str) -> frozenset[str]:
    return frozenset(SAYS) - {name}


def test_everybody_hears_everybody_else(play: Callable[[Script], World]) -> None:
    async def script(world: World, hearing: Hearing) -> None:
        assert await hearing.heard() == {name: everybody_but(name) for name in SAYS}

    play(script)


def test_a_consultation_in_one_step_and_back(play: Callable[[Script], World]) -> None:
    async def script(world: World, hearing: Hearing) -> None:
        await world.route({CUSTOMER: {MUSIC}, HUMAN: {AGENT}, AGENT: {HUMAN}, MUSIC: set(), SUPERVISOR: {AGENT, HUMAN}})
        assert await hearing.heard() == {
            CUSTOMER: {MUSIC}, HUMAN: {AGENT}, AGENT: {HUMAN}, MUSIC: frozenset(), SUPERVISOR: {AGENT, HUMAN}
        }  # fmt: skip
        await world.route(dict.fromkeys(SAYS))
        assert await hearing.heard() == {name: everybody_but(name) for name in SAYS}

    play(script)


def test_a_row_replaces_only_itself(play: Callable[[Script], World]) -> None:
    async def script(world: World, hearing: Hearing) -> None:
        await world.route({CUSTOMER: {HUMAN}, HUMAN: {CUSTOMER, SUPERVISOR}})  # the supervisor whispers
        await world.route({CUSTOMER: {HUMAN, AGENT}})
        heard = await hearing.heard()
        assert heard[CUSTOMER] == {HUMAN, AGENT}
        assert heard[HUMAN] == {CUSTOMER, SUPERVISOR}
        assert heard[SUPERVISOR] == everybody_but(SUPERVISOR)

    play(script)


def test_sources_are_heard_apart_as_far_as_the_routes_allow(play: Callable[[Script], World]) -> None:
    async def script(world: World, hearing: Hearing) -> None:
        agent = world.agents[AGENT]
        apart: dict[str, list[AudioFrame]] = {name: [] for name in (CUSTOMER, HUMAN, MUSIC)}
        for name, frames in apart.items():
            assert agent.hear_apart(name) is agent.hear_apart(name)
            agent.hear_apart(name).subscribe(frames.append)
        await hearing.heard()
        assert {name: value_of(frames[-1].pcm) for name, frames in apart.items()} == {
            name: SAYS[name] for name in apart
        }
        await world.route({AGENT: {CUSTOMER, HUMAN}})
        mixed = await hearing.heard()
        assert mixed[AGENT] == {CUSTOMER, HUMAN}
        assert {name: value_of(frames[-1].pcm) for name, frames in apart.items()} == {
            CUSTOMER: SAYS[CUSTOMER], HUMAN: SAYS[HUMAN], MUSIC: 0
        }  # fmt: skip
        assert apart[MUSIC][-1].at == apart[HUMAN][-1].at  # silence keeps the time axis

    play(script)


def test_several_listen_to_one_input_and_stop_by_themselves(play: Callable[[Script], World]) -> None:
    async def script(world: World, hearing: Hearing) -> None:
        more: list[AudioFrame] = []
        unsubscribe = world.agents[AGENT].audio_input.subscribe(more.append)
        await hearing.heard()
        first = hearing.frames[AGENT]
        assert more[-1] is first[-1]
        unsubscribe()
        heard_before = len(more)
        await hearing.heard()
        assert len(more) == heard_before and hearing.frames[AGENT]

    play(script)


def test_gain_holds_for_what_is_said_from_then_on(play: Callable[[Script], World]) -> None:
    async def script(world: World, hearing: Hearing) -> None:
        await world.route({CUSTOMER: {MUSIC}})
        assert (await hearing.talk(16))[CUSTOMER] == SAYS[MUSIC]
        world.agents[MUSIC].audio_output.set_gain(0.1)
        assert (await hearing.talk(16))[CUSTOMER] == SAYS[MUSIC] // 10
        world.agents[MUSIC].audio_output.set_gain(1.0)
        assert (await hearing.talk(16))[CUSTOMER] == SAYS[MUSIC]
        with pytest.raises(ValueError, match=r"gain 5\.0"):
            world.agents[MUSIC].audio_output.set_gain(5.0)

    play(script)


def test_the_recording_has_everybody_but_the_caller_on_the_right_and_no_hold_music() -> None:
    world = LocalWorld()

    async def script() -> None:
        await world.open()
        await world.route({CUSTOMER: {MUSIC}, HUMAN: {AGENT}, AGENT: {HUMAN}})
        await Hearing(world).talk(5)

    run_virtual(script())
    assert value_of(bytes(world.recorder.caller[-FRAME_BYTES:])) == SAYS[CUSTOMER]
    assert value_of(bytes(world.recorder.others[-FRAME_BYTES:])) == SAYS[HUMAN] + SAYS[SUPERVISOR] + SAYS[AGENT]


def test_livekit_who_comes_later_is_routed_too() -> None:
    async def script() -> None:
        world = LiveKitWorld()
        await world.open()
        await world.route({CUSTOMER: {AGENT}, "late": set()})
        late = world.server.room("late", ParticipantKind.SIP)
        world.rooms["late"], world.legs["late"] = late, late.add_leg("late")
        await late.join()
        await asyncio.sleep(0.1)
        assert world.server.connection("late").unsubscribed == {f"TR_{name}" for name in SAYS}
        assert "TR_late" in world.server.connection(CUSTOMER).unsubscribed
        assert "TR_late" not in world.server.connection(HUMAN).unsubscribed
        await world.close()

    run_virtual(script())


def test_livekit_rows_of_others_need_an_api_and_its_failures_are_told() -> None:
    async def script() -> None:
        world = LiveKitWorld()
        await world.open()
        with pytest.raises(TelephonyMisuse, match="cannot route"):
            await world.rooms[HUMAN].route({CUSTOMER: set()})
        await world.rooms[HUMAN].route({HUMAN: {CUSTOMER}})  # one's own row needs none
        world.api.error = LiveKitUnreachable("gone")
        with pytest.raises(LiveKitUnreachable):
            await world.route({CUSTOMER: set()})
        await world.close()

    run_virtual(script())
