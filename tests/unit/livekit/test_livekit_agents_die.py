"""Agents whose program dies unnoticed by LiveKit server. A LiveKit server in memory, virtual time."""

from __future__ import annotations

import asyncio

from agent.testing.virtual_clock import run_virtual
from gateway.livekit.agent_watch import BACK_S, AgentWatch
from telephony.livekit.events import LiveKitEvent, ParticipantKind, RoomLost
from telephony.livekit.fakes import FakeLiveKit
from telephony.livekit.liveness import NO_SERVER, Silence
from telephony.livekit.room import LiveKitRoom


class World:
    def __init__(self) -> None:
        self.server = FakeLiveKit()
        self.died: list[tuple[float, str]] = []
        self.lost: list[tuple[float, str]] = []
        self.asked: list[tuple[str, str]] = []

    async def begin(self) -> AgentWatch:
        self.phone = self.server.room("sip_1", ParticipantKind.SIP)
        self.phone.subscribe(self._event)
        watch = AgentWatch(self.phone, self._note, self._whose)
        await self.phone.join()
        return watch

    async def agent(self) -> LiveKitRoom:
        room = self.server.room("agent-1", ParticipantKind.AGENT)
        await room.join()
        return room

    def _note(self, identity: str) -> None:
        self.died.append((asyncio.get_running_loop().time(), identity))

    def _event(self, event: LiveKitEvent) -> None:
        if isinstance(event, RoomLost):
            self.lost.append((asyncio.get_running_loop().time(), event.reason))

    async def _whose(self, room: str, identity: str) -> Silence:
        self.asked.append((room, identity))
        if self.server.hangs:
            await asyncio.sleep(1.25)
            return Silence.OURS if self.server.hangs else Silence.NONE
        if not self.server.connection(identity).dead:
            return Silence.NONE
        await asyncio.sleep(1.0)  # so long the server waits for their answer
        return Silence.THEIRS


def test_an_agent_that_dies_is_missed_and_people_are_not_asked() -> None:
    async def scenario() -> None:
        world = World()
        watch = await world.begin()
        await world.agent()
        person = world.server.room("ann")
        await person.join()
        await asyncio.sleep(30)
        world.server.connection("ann").dead = True
        world.server.connection("agent-1").dead = True
        died_at = asyncio.get_running_loop().time()
        await asyncio.sleep(30)
        ((at, identity),) = world.died
        assert identity == "agent-1" and BACK_S - 2.0 <= at - died_at <= BACK_S
        assert world.asked == [("room", "agent-1")], "the server was asked, too, and once"
        assert world.lost == []
        watch.close()

    run_virtual(scenario())


def test_an_agent_that_is_back_in_time_is_not_missed() -> None:
    """Its worker gives the job to another process, which joins with the same identity."""

    async def scenario() -> None:
        world = World()
        watch = await world.begin()
        await world.agent()
        await asyncio.sleep(10)
        world.server.connection("agent-1").dead = True
        await asyncio.sleep(3)
        world.server.put_out("agent-1", "duplicate_identity")
        await world.agent()
        await asyncio.sleep(60)
        assert world.died == []
        watch.close()

    run_virtual(scenario())


def test_an_agent_whose_worker_takes_six_seconds_to_replace_it_is_not_missed() -> None:
    """A job process that hangs instead of dying."""

    async def scenario() -> None:
        for begun in (0.0, 0.5, 1.0, 1.5):
            world = World()
            watch = await world.begin()
            await world.agent()
            await asyncio.sleep(10.0 + begun)
            world.server.connection("agent-1").dead = True
            await asyncio.sleep(BACK_S - 2.0)
            world.server.put_out("agent-1", "duplicate_identity")
            await world.agent()
            await asyncio.sleep(60)
            assert world.died == []
            watch.close()

    run_virtual(scenario())


def test_a_server_that_hangs_loses_the_room_within_seven_seconds() -> None:
    async def scenario(kind: ParticipantKind) -> None:
        world = World()
        watch = await world.begin()
        await world.server.room("other", kind).join()
        await asyncio.sleep(11)
        world.server.hangs = True
        hung_at = asyncio.get_running_loop().time()
        await asyncio.sleep(30)
        ((at, reason),) = world.lost
        assert reason == NO_SERVER and at - hung_at < 7.0
        assert world.died == [] and not world.phone.live
        watch.close()

    run_virtual(scenario(ParticipantKind.AGENT))
    run_virtual(scenario(ParticipantKind.STANDARD))


def test_a_server_that_stalls_for_a_few_seconds_loses_nothing() -> None:
    async def scenario() -> None:
        for begun in (0.0, 0.5, 1.0, 1.5):
            world = World()
            watch = await world.begin()
            await world.agent()
            await asyncio.sleep(10.0 + begun)
            world.server.hangs = True
            await asyncio.sleep(4.5)
            world.server.hangs = False
            await asyncio.sleep(60)
            assert world.died == world.lost == []
            watch.close()

    run_virtual(scenario())


def test_a_person_who_is_silent_is_let_be() -> None:
    """A browser's tab may sleep."""

    async def scenario() -> None:
        world = World()
        watch = await world.begin()
        await world.server.room("ann").join()
        await asyncio.sleep(10)
        world.server.connection("ann").dead = True
        await asyncio.sleep(60)
        assert world.asked and world.died == world.lost == []
        await world.agent()
        await asyncio.sleep(10)
        world.asked.clear()
        await asyncio.sleep(60)
        assert world.asked == [], "with an agent there, people are not asked"
        watch.close()

    run_virtual(scenario())


def test_an_agent_that_stalls_and_answers_at_last_is_not_missed() -> None:
    async def scenario() -> None:
        world = World()
        watch = await world.begin()
        await world.agent()
        await asyncio.sleep(10.5)
        agent = world.server.connection("agent-1")
        agent.dead = True
        asyncio.get_running_loop().call_later(5.5, setattr, agent, "dead", False)
        await asyncio.sleep(60)
        assert world.asked and world.died == []
        watch.close()

    run_virtual(scenario())
