"""A call worker and the job of its agent: LiveKit in memory, virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.conversation import NotTalking
from gateway.calls.verbs import VerbRefused
from gateway.livekit.agent_commands import AgentCommands
from gateway.livekit_jobs.keeper_link import KeeperLink
from telephony.livekit.errors import RpcFailed
from telephony.livekit.events import ParticipantKind
from telephony.livekit.fakes import FakeLiveKit
from telephony.livekit.verbs import DRAIN
from telephony.media.g711 import decode_ulaw, encode_ulaw
from telephony.media.tones import tone


class Conversation:
    """The job's. `speaks_s`: how long it is still saying something."""

    def __init__(self) -> None:
        self.begun = True
        self.speaks_s = 0.0
        self.told: list[tuple[Any, ...]] = []

    async def say(self, text: str, *, allow_interruptions: bool) -> None:
        if not self.begun:
            raise NotTalking("The conversation has not begun yet.")
        self.told.append(("say", text, allow_interruptions))

    async def collect(self, order: CollectOrder) -> Collected:
        await asyncio.sleep(30)
        if order.prompt == "busy":
            raise VerbRefused("collecting", "The caller is being asked something already.")
        self.told.append(("collect", order))
        return Collected("4711", "full")

    async def finish_speaking(self, announce: str, limit_s: float) -> None:
        await asyncio.sleep(min(self.speaks_s, limit_s))
        self.told.append(("finished", announce))

    def set_aside(self) -> None:
        self.told.append(("aside",))

    def take_back(self, *, words: str = "", note: str = "") -> None:
        self.told.append(("back", words, note))

    def mute_caller(self, muted: bool) -> None:
        self.told.append(("muted", muted))

    async def voiced(self, text: str) -> bytes:
        self.told.append(("voiced", text))
        return tone(440, 3000) if text else b""

    async def briefing(self) -> str:
        return "Ada asks about her invoice."


class World:
    async def open(self) -> None:
        self.server = FakeLiveKit()
        self.keeper = self.server.room("sip_1", ParticipantKind.SIP)
        self.agent = self.server.room("agent-1", ParticipantKind.AGENT)
        self.drained: list[str] = []
        await self.keeper.join()
        await self.agent.join()
        self.conversation = Conversation()
        self.link = KeeperLink(self.agent, "sip_1", self.drained.append)
        self.commands = AgentCommands(lambda: self.keeper, self.keeper.set_attributes)


def room(script: Callable[[World], Awaitable[None]]) -> World:
    async def run() -> World:
        world = World()
        await world.open()
        await script(world)
        world.link.close()
        world.commands.close()
        await world.agent.close()
        await world.keeper.close()
        return world

    return run_virtual(run())


def test_the_agent_asks_for_digits_for_as_long_as_it_takes() -> None:
    order = CollectOrder("Your PIN, please.", 4, 4, secret=True)

    async def script(world: World) -> None:
        with pytest.raises(VerbRefused) as refused:
            await world.commands.collect(order)
        assert refused.value.kind == "not_talking"
        world.link.use(world.conversation)
        assert await world.commands.collect(order) == Collected("4711", "full")
        assert await world.commands.collect(replace(order, limit_s=2)) == Collected(None, "too_late")
        with pytest.raises(VerbRefused) as refused:
            await world.commands.collect(replace(order, prompt="busy"))
        assert refused.value.kind == "collecting"

    world = room(script)
    assert world.conversation.told == [("collect", order)]


def test_another_program_s_agent_asks_for_no_digits() -> None:
    async def script(world: World) -> None:
        other = world.server.room("agent-0", ParticipantKind.AGENT)
        world.link.close()
        await world.agent.close()
        await other.join()
        with pytest.raises(VerbRefused) as refused:
            await world.commands.collect(CollectOrder("Digits?", 1, 4))
        assert refused.value.kind == "not_possible"
        await other.close()

    room(script)


def test_the_agent_finishes_stands_still_and_is_back() -> None:
    async def script(world: World) -> None:
        world.link.use(world.conversation)
        world.conversation.speaks_s = 3.0
        began = asyncio.get_running_loop().time()
        await world.commands.finish_speaking("One moment.", 15.0)
        assert asyncio.get_running_loop().time() - began == pytest.approx(3.0)
        world.commands.set_aside()
        await asyncio.sleep(1)
        world.commands.mute_caller(True)
        await asyncio.sleep(1)
        world.commands.take_back("welcome_back", "for the model")
        world.commands.mute_caller(False)
        await asyncio.sleep(1)
        assert await world.commands.drain("stopping")

    world = room(script)
    assert world.conversation.told == [
        ("finished", "One moment."),
        ("aside",),
        ("muted", True),
        ("back", "welcome_back", "for the model"),
        ("muted", False),
    ]
    assert len(world.drained) == 1


def test_an_agent_that_comes_while_the_caller_waits_begins_aside() -> None:
    async def script(world: World) -> None:
        world.commands.set_aside()
        await asyncio.sleep(1)
        world.conversation.begun = False
        world.link.use(world.conversation)
        world.link.apply()
        assert world.conversation.told == []
        world.conversation.begun = True
        world.link.apply()
        world.link.apply()

    assert room(script).conversation.told == [("aside",)]


def test_what_cannot_be_said_is_refused_with_its_reason() -> None:
    async def script(world: World) -> None:
        async def kind() -> str:
            with pytest.raises(VerbRefused) as refused:
                await world.commands.say("Hello.", allow_interruptions=True)
            return refused.value.kind

        assert await kind() == "not_talking"  # no conversation yet
        world.link.use(world.conversation)
        world.conversation.begun = False
        assert await kind() == "not_talking"
        world.conversation.begun = True
        await world.commands.say("Hello.", allow_interruptions=False)
        world.server.hangs = True
        assert await kind() == "no_answer"
        world.server.hangs = False
        world.server.connection("agent-1").methods.clear()  # as another program's
        assert await kind() == "not_possible"
        await world.agent.close()
        assert await kind() == "not_talking"  # nobody is there

    assert room(script).conversation.told == [("say", "Hello.", False)]


def test_nobody_else_in_the_room_commands_the_agent() -> None:
    async def script(world: World) -> None:
        ann = world.server.room("ann")
        await ann.join()
        with pytest.raises(RpcFailed, match="ann may not command"):
            await ann.call("agent-1", DRAIN, "{}")
        await ann.close()

    assert room(script).drained == []


def test_words_for_a_human_are_made_by_the_agents_job_and_fetched_in_pieces() -> None:
    async def script(world: World) -> None:
        world.link.use(world.conversation)
        assert await world.commands.briefing() == "Ada asks about her invoice."
        assert await world.commands.voiced("Ada calls.") == decode_ulaw(encode_ulaw(tone(440, 3000)))
        assert await world.commands.voiced("") == b""

    assert room(script).conversation.told == [("voiced", "Ada calls."), ("voiced", "")], "each is made once"


def test_an_agent_of_somebody_elses_makes_no_words() -> None:
    async def script(world: World) -> None:
        world.link.close()
        stranger = world.server.room("agent-2", ParticipantKind.AGENT)
        await world.agent.close()
        await stranger.join()
        assert await world.commands.voiced("Ada calls.") == b""
        assert await world.commands.briefing() == ""
        await stranger.close()

    room(script)
