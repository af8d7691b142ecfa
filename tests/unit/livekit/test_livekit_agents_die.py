"""Agents whose program dies without LiveKit server noticing. A LiveKit server in memory, virtual time."""

from __future__ import annotations

import asyncio

from agent.testing.virtual_clock import run_virtual
from gateway.livekit.agents import AgentWatch
from telephony.livekit.events import ParticipantKind
from telephony.livekit.fakes import FakeLiveKit
from telephony.livekit.room import LiveKitRoom


class World:
    def __init__(self) -> None:
        self.server = FakeLiveKit()
        self.died: list[tuple[float, str]] = []
        self.asked: list[tuple[str, str]] = []

    async def begin(self) -> AgentWatch:
        self.phone = self.server.room("sip_1", ParticipantKind.SIP)
        watch = AgentWatch(self.phone, self._note, self._silent)
        await self.phone.join()
        return watch

    async def agent(self) -> LiveKitRoom:
        room = self.server.room("agent-1", ParticipantKind.AGENT)
        await room.join()
        return room

    def _note(self, identity: str) -> None:
        self.died.append((asyncio.get_running_loop().time(), identity))

    async def _silent(self, room: str, identity: str) -> bool:
        self.asked.append((room, identity))
        return True


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
        assert identity == "agent-1" and 3.5 < at - died_at < 6.5
        assert world.asked == [("room", "agent-1")], "the server was asked, too, and once"
        watch.close()

    run_virtual(scenario())


def test_an_agent_that_is_back_in_time_is_not_missed() -> None:
    """Its worker gives the job to another process, which comes in under the same identity."""

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
