"""What an agent's job asks its call worker over the room; LiveKit in memory, virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from gateway.livekit.asking import RoomAnswers, RoomQuestions
from telephony.errors import DialRefused
from telephony.livekit.events import ParticipantKind
from telephony.livekit.fakes import FakeLiveKit


class World:
    def __init__(self) -> None:
        self.server = FakeLiveKit()
        self.keeper = self.server.room("keeper", ParticipantKind.SIP)
        self.agent = self.server.room("agent-1", ParticipantKind.AGENT)
        self.asked: list[Mapping[str, Any]] = []
        self.given_up = False

    async def open(self) -> None:
        await self.keeper.join()
        await self.agent.join()
        self.answers = RoomAnswers(
            self.keeper, lambda who: who.startswith("agent"), {"dial": self._dial, "hang": self._hang}
        )
        self.questions = RoomQuestions(self.agent, "keeper")

    async def _dial(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(body)
        if body["to"] == "closed":
            raise DialRefused("closed_destination", "not there", retryable=True)
        await asyncio.sleep(float(body["rings_s"]))
        return {"leg_id": "c1-2"}

    async def _hang(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.given_up = True
            raise
        return {}


def room(script: Callable[[World], Awaitable[None]]) -> World:
    async def run() -> World:
        world = World()
        await world.open()
        await script(world)
        world.questions.close()
        world.answers.close()
        await world.agent.close()
        await world.keeper.close()
        return world

    return run_virtual(run())


def test_an_answer_may_take_minutes() -> None:
    async def script(world: World) -> None:
        answers = await asyncio.gather(
            *(world.questions.ask("dial", {"to": "+1", "rings_s": rings_s}) for rings_s in (300, 1))
        )
        assert answers == [{"leg_id": "c1-2"}] * 2

    assert len(room(script).asked) == 2


@pytest.mark.parametrize(
    ("what", "body", "kind"),
    [
        ("dial", {"to": "closed"}, "closed_destination"),
        ("dial", {"nothing": 1}, "failed"),
        ("sing", {}, "failed"),
    ],
)
def test_a_refusal_is_typed(what: str, body: Mapping[str, Any], kind: str) -> None:
    async def script(world: World) -> None:
        with pytest.raises(DialRefused) as refused:
            await world.questions.ask(what, body)
        assert refused.value.kind == kind

    room(script)


def test_who_is_cancelled_takes_the_question_back() -> None:
    async def script(world: World) -> None:
        asking = asyncio.create_task(world.questions.ask("hang", {}))
        await asyncio.sleep(1)
        asking.cancel()
        await asyncio.sleep(1)

    assert room(script).given_up


def test_the_end_of_the_call_is_an_answer() -> None:
    async def script(world: World) -> None:
        asking = asyncio.create_task(world.questions.ask("hang", {}))
        await asyncio.sleep(1)
        world.questions.close()
        with pytest.raises(DialRefused, match="the call has ended"):
            await asking

    room(script)


def test_people_may_not_ask_and_a_worker_that_does_not_serve_it_says_so() -> None:
    async def script(world: World) -> None:
        ann = world.server.room("ann")
        await ann.join()
        with pytest.raises(DialRefused, match="ann is no agent") as refused:
            await RoomQuestions(ann, "keeper").ask("dial", {"to": "+1", "rings_s": 1})
        assert refused.value.kind == "failed"
        with pytest.raises(DialRefused) as refused:
            await RoomQuestions(world.agent, "ann").ask("dial", {})
        assert refused.value.kind == "no_room"
        await ann.close()

    assert room(script).asked == []
