"""A call's LiveKit room with further legs and music; LiveKit in memory, virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from agent.testing.virtual_clock import run_virtual
from gateway.calls.session import AGENT, CUSTOMER
from gateway.livekit.call_room import CallRoom
from telephony.errors import DialRefused
from telephony.livekit.errors import LiveKitUnreachable
from telephony.livekit.events import ParticipantKind
from telephony.livekit.fakes import FakeLiveKit, FakeRoomApi
from telephony.livekit.places import LegPlace
from telephony.livekit.room import LiveKitRoom
from telephony.livekit.verbs import LEG_ATTRIBUTE
from telephony.media.frames import FRAME_BYTES
from telephony.rooms.fakes import FakeRecorder
from telephony.rooms.protocol import LegAudio, Participant

PHONE, HUMAN, MUSIC = "sip_1", "c1-2", "music"
SAYS = {CUSTOMER: 1, HUMAN: 10, AGENT: 100, "ann": 1000, MUSIC: 10000}  # sums tell who was heard


def constant(value: int) -> bytes:
    return np.full(FRAME_BYTES // 2, value, dtype="<i2").tobytes()


def value_of(pcm: bytes) -> int:
    return int(np.frombuffer(pcm, dtype="<i2")[-1])


class World:
    """The customer, whose audio is ours; an agent of somebody's; `call` is the room under test."""

    async def open(self) -> None:
        self.server = FakeLiveKit()
        self.api = FakeRoomApi(self.server)
        self.recorder = FakeRecorder()
        self.main = self.server.room(PHONE, ParticipantKind.SIP, api=self.api)
        self.main.record_to(self.recorder)
        place = self.main.add_leg(PHONE)
        assert isinstance(place, LegPlace)
        self.legs: dict[str, LegAudio] = {CUSTOMER: place}
        self.agents: dict[str, Participant] = {}
        self.frames: dict[str, list[bytes]] = {}
        self.rooms: list[LiveKitRoom] = []
        await self.main.join()
        await self.come(AGENT, ParticipantKind.AGENT)
        self.call = CallRoom(self.main, PHONE, place, self.connect)

    def connect(self, name: str) -> LiveKitRoom:
        return self.server.room(f"trunkline_{name}", ParticipantKind.SIP, {LEG_ATTRIBUTE: name})

    async def come(self, name: str, kind: ParticipantKind) -> None:
        room = self.server.room(f"{name}-1", kind)
        self.rooms.append(room)
        self.hear(name, room.add_agent(name))
        await room.join()

    def hear(self, name: str, place: Participant) -> None:
        self.agents[name] = place
        frames = self.frames[name] = []
        place.audio_input.subscribe(lambda frame: frames.append(frame.pcm))

    async def heard(self) -> dict[str, frozenset[str]]:
        """By whom who is heard, when all talk at once."""
        await self._talk(12)
        shares = await self._talk(4)
        totals = {**shares, **{name: value_of(frames[-1]) if frames else 0 for name, frames in self.frames.items()}}
        return {
            name: frozenset(who for who, value in SAYS.items() if total // value % 10) for name, total in totals.items()
        }

    async def _talk(self, frames: int) -> dict[str, int]:
        now = asyncio.get_running_loop().time
        shares: dict[str, int] = {}
        for name, agent in self.agents.items():
            agent.audio_output.clear()
            agent.audio_output.push(constant(SAYS[name]) * (frames + 2))
        for _ in range(frames):
            await asyncio.sleep(0.02)
            for name, leg in self.legs.items():
                leg.push(constant(SAYS[name]), now())
            shares = {name: value_of(leg.pull(now())) for name, leg in self.legs.items()}
            await asyncio.sleep(0)
        return shares

    async def close(self) -> None:
        await self.call.close()
        for room in (self.main, *self.rooms):
            await room.close()


def livekit(script: Callable[[World], Awaitable[None]]) -> World:
    async def run() -> World:
        world = World()
        await world.open()
        await script(world)
        await world.close()
        return world

    return run_virtual(run())


def test_a_further_leg_rings_unheard_is_joined_and_leaves() -> None:
    async def script(world: World) -> None:
        world.legs[HUMAN] = world.call.add_leg(HUMAN)
        await world.call.route({HUMAN: (), CUSTOMER: (AGENT,), AGENT: (CUSTOMER,)})
        assert await world.heard() == {CUSTOMER: {AGENT}, HUMAN: set(), AGENT: {CUSTOMER}}
        await world.call.route({HUMAN: (CUSTOMER,), CUSTOMER: (HUMAN,), AGENT: ()})
        assert await world.heard() == {CUSTOMER: {HUMAN}, HUMAN: {CUSTOMER}, AGENT: set()}
        del world.legs[HUMAN]
        world.call.remove(HUMAN)
        await world.call.route({CUSTOMER: None, AGENT: None})
        assert await world.heard() == {CUSTOMER: {AGENT}, AGENT: {CUSTOMER}}
        assert {each.me.identity for each in world.server.connections} == {PHONE, "agent-1"}

    livekit(script)


def test_who_waits_hears_music_which_nobody_else_does_and_no_recording_has() -> None:
    async def script(world: World) -> None:
        world.agents[MUSIC] = music = world.call.add_agent(MUSIC, recorded=False)
        await world.call.route({CUSTOMER: (MUSIC,), AGENT: (), MUSIC: ()})
        heard = await world.heard()
        assert (heard[CUSTOMER], heard[AGENT]) == ({MUSIC}, set())
        del world.agents[MUSIC]
        music.leave()
        await world.call.route({CUSTOMER: None, AGENT: None})
        assert (await world.heard())[CUSTOMER] == {AGENT}

    world = livekit(script)
    assert constant(SAYS[MUSIC]) not in bytes(world.recorder.others)


def test_an_agent_that_comes_later_is_routed_too_and_people_hear_everybody() -> None:
    async def script(world: World) -> None:
        await world.call.route({CUSTOMER: (), AGENT: ()})
        await world.come("ann", ParticipantKind.STANDARD)
        late = world.server.room("agent-2", ParticipantKind.AGENT)
        world.rooms.append(late)
        late.add_agent("late")
        await late.join()
        heard = await world.heard()
        assert (heard[CUSTOMER], heard[AGENT]) == (set(), set())
        assert heard["ann"] == {CUSTOMER, AGENT}
        tracks = world.server.connection("agent-2").unsubscribed
        assert f"TR_{PHONE}" in tracks and "TR_agent-1" in tracks
        await world.call.route({CUSTOMER: (AGENT,), AGENT: (CUSTOMER,)})
        assert (await world.heard())[CUSTOMER] == {AGENT, "ann"}

    livekit(script)


def test_a_leg_that_cannot_join_is_refused_before_it_is_dialled() -> None:
    async def script(world: World) -> None:
        world.server.error = LiveKitUnreachable("gone")
        world.call.add_leg(HUMAN)
        with pytest.raises(DialRefused, match="gone") as refused:
            await world.call.route({HUMAN: ()})
        assert refused.value.kind == "no_room"
        world.call.remove(HUMAN)

    livekit(script)


def test_a_phone_of_livekit_sip_hears_what_it_is_subscribed_to() -> None:
    """Its audio is not ours: music is a participant of its own."""

    async def script(world: World) -> None:
        keeper = world.server.room("keeper", ParticipantKind.AGENT, api=world.api, observes=PHONE)
        await keeper.join()
        call = CallRoom(keeper, PHONE, None, world.connect)
        world.agents[MUSIC] = call.add_agent(MUSIC, recorded=False)
        await call.route({CUSTOMER: (MUSIC,), AGENT: (), MUSIC: ()})
        heard = await world.heard()
        assert (heard[CUSTOMER], heard[AGENT]) == ({MUSIC}, set())
        assert ("sip_1", ("TR_agent-1",), False) in world.api.subscriptions
        world.agents.pop(MUSIC).leave()
        await call.route({CUSTOMER: None, AGENT: None})
        assert (await world.heard())[CUSTOMER] == {AGENT}
        await call.close()
        await keeper.close()

    livekit(script)


def test_an_agents_voice_beside_a_leg_is_heard_by_it_alone_until_it_is_joined() -> None:
    async def script(world: World) -> None:
        world.legs[HUMAN] = human = world.call.add_leg(HUMAN)
        await world.call.route({CUSTOMER: (MUSIC,), AGENT: (), HUMAN: ()})
        voice = world.call.add_beside(HUMAN, "agent to c1-2")
        heard: list[bytes] = []
        voice.audio_input.subscribe(lambda frame: heard.append(frame.pcm))
        customer, now = world.legs[CUSTOMER], asyncio.get_running_loop().time
        said = constant(40)

        async def tick() -> tuple[bytes, bytes]:
            await asyncio.sleep(0.02)
            human.push(constant(7), now())
            return customer.pull(now()), human.pull(now())

        voice.audio_output.push(said * 2)
        at_customer, at_human = await tick()
        assert at_human == said
        assert at_customer != said
        await tick()
        assert value_of(bytes(world.recorder.others[-FRAME_BYTES:])) == 47, "what is said apart is on the recording"
        await asyncio.sleep(0)
        assert heard[-1] == constant(7)
        await world.call.route({CUSTOMER: (HUMAN, "agent to c1-2"), HUMAN: (CUSTOMER, "agent to c1-2")})
        voice.audio_output.push(said)
        at_customer, at_human = await tick()
        assert min(value_of(at_customer), value_of(at_human)) >= 40, "both hear it once they are joined"
        voice.audio_output.push(said * 10)
        voice.audio_output.clear()
        assert max(value_of(pcm) for pcm in await tick()) < 40
        voice.leave()
        voice.audio_output.push(said)
        world.call.remove(HUMAN)
        del world.legs[HUMAN]

    livekit(script)


def test_the_agents_words_for_who_waits_are_heard_over_the_music() -> None:
    async def script(world: World) -> None:
        await world.call.route({CUSTOMER: (MUSIC, "agent to caller"), AGENT: (), MUSIC: ()})
        music = world.call.add_agent(MUSIC, recorded=False)
        words = world.call.add_agent("agent to caller")
        music.audio_output.push(constant(5) * 3)
        words.audio_output.push(constant(40))
        now = asyncio.get_running_loop().time
        assert value_of(world.legs[CUSTOMER].pull(now())) == 45
        assert value_of(world.legs[CUSTOMER].pull(now())) == 5
        words.leave()
        music.leave()

    livekit(script)
