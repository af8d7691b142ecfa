"""A call that we place, on virtual time: the agent does not talk before the answer, and each end is an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from agent import Agent
from agent.testing.virtual_clock import run_virtual
from gateway.calls.call import Call
from gateway.calls.conversation import CallSide, Conversation
from gateway.calls.journal import Journal
from gateway.calls.leg_to_place import LegToPlace
from gateway.calls.recording import CallRecording
from gateway.config import Settings
from telephony.call import Direction, LegAcknowledged, LegAnswered, LegEnded
from telephony.errors import CallLimitReached, DigitsNotSent, LegEndedError
from telephony.fakes import FakeLeg, statistics
from telephony.rooms.protocol import LegAudio
from telephony.sip.causes import cause_of
from tests.unit.callworker.call_world import INFO, CallWorld

OUT = replace(INFO, direction=Direction.OUTBOUND, variables={"name": "Ada"})


class OutboundWorld(CallWorld):
    placed_at: float | None = None
    fails: Exception | None = None
    extension = ""

    def made(self, of: Settings, conversation: Callable[[CallSide], Conversation]) -> Call:
        self.leg = FakeLeg(OUT, now=self.loop.time)
        journal = Journal(OUT.call_id, self._take, self.loop.time)
        recording = CallRecording("", of.recordings)
        leg = LegToPlace(OUT, self._place)
        return Call(leg, "call-1-1", OUT, journal, recording, conversation, of.calls, extension=self.extension)

    async def _place(self, audio: LegAudio) -> FakeLeg:
        if self.fails is not None:
            raise self.fails
        self.placed_at = self.now
        self.leg.audio, self.leg.figures = audio, statistics()
        return self.leg

    def picks_up(self) -> None:
        self.leg.answered = True
        self.leg.inject(LegAnswered(self.loop.time()))
        self.leg.inject(LegAcknowledged(self.loop.time()))

    def said(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == "agent_message"]


def call(
    script: Callable[[OutboundWorld], Awaitable[None]], kind: type[OutboundWorld] = OutboundWorld, **how: Any
) -> OutboundWorld:
    async def run() -> OutboundWorld:
        world = kind(**how)
        running = asyncio.create_task(world.run(), name="call")
        await script(world)
        async with asyncio.timeout(3600):
            await running
        return world

    return run_virtual(run())


def test_it_is_dialled_at_once_and_greets_who_answers() -> None:
    started: list[str] = []

    async def script(world: OutboundWorld) -> None:
        async def slowly() -> None:
            await asyncio.sleep(1.0)

        world.providers.warming = slowly
        await asyncio.sleep(0.5)
        assert world.placed_at == 0.0  # providers are warmed while it rings
        world.leg.ringing(183, early_media=True)
        await asyncio.sleep(8)
        started.extend(world.types())
        world.picks_up()
        await asyncio.sleep(6)
        world.leg.end(reason="Normal call clearing")

    world = call(script)
    assert started == ["ringing"]  # nothing was said into early media
    assert world.said()[0]["kind"] == "greeting"
    assert world.outcome == ("answered", "caller", "Normal call clearing")


@pytest.mark.parametrize(("media_after_s", "sent_after_s"), [(2.0, 2.0), (None, 3.0)])
def test_an_extension_is_dialled_once_there_is_audio_and_before_the_greeting(
    media_after_s: float | None, sent_after_s: float
) -> None:
    picked_up: list[float] = []

    class Switchboard(OutboundWorld):
        extension = "WW1234#"

    async def script(world: OutboundWorld) -> None:
        await asyncio.sleep(3)
        world.picks_up()
        picked_up.append(world.loop.time())
        if media_after_s is not None:
            world.loop.call_later(media_after_s, world.leg.media)
        await asyncio.sleep(9)
        world.leg.end()

    world = call(script, Switchboard, media=False)
    assert ("send_digits", "WW1234#") in world.leg.verbs
    sent = next(event for event in world.events if event["type"] == "digits_sent")
    spoke = next(event for event in world.events if event["type"] == "agent_started_speaking")
    assert sent["at"] - picked_up[0] == pytest.approx(sent_after_s, abs=0.05)
    assert sent["count"] == 5 and spoke["at"] >= sent["at"]


def test_an_extension_that_cannot_be_dialled_does_not_end_the_call() -> None:
    class Switchboard(OutboundWorld):
        extension = "1"

    async def script(world: OutboundWorld) -> None:
        world.leg.failures["send_digits"] = DigitsNotSent("refused", "no", sip_status=415)
        await asyncio.sleep(3)
        world.picks_up()
        await asyncio.sleep(6)
        world.leg.end()

    world = call(script, Switchboard)
    assert [event["error"] for event in world.events if event["type"] == "digits_failed"] == ["refused"]
    assert world.said()[0]["kind"] == "greeting"


def test_a_leg_that_ends_while_its_extension_is_dialled_ends_the_call() -> None:
    class Switchboard(OutboundWorld):
        extension = "1"

    async def script(world: OutboundWorld) -> None:
        world.leg.failures["send_digits"] = LegEndedError("the leg has ended")
        await asyncio.sleep(3)
        world.picks_up()
        await asyncio.sleep(1)
        world.leg.end()

    world = call(script, Switchboard)
    assert world.said() == []


def test_the_greeting_waits_for_the_first_packet_but_not_for_ever() -> None:
    greeted_after: list[float] = []

    async def script(media_after_s: float | None, world: OutboundWorld) -> None:
        await asyncio.sleep(3)
        world.picks_up()
        picked_up = world.loop.time()
        if media_after_s is not None:
            world.loop.call_later(media_after_s, world.leg.media)
        await asyncio.sleep(8)
        spoke = next(event["at"] for event in world.events if event["type"] == "agent_started_speaking")
        greeted_after.append(spoke - picked_up)
        world.leg.end()

    for media_after_s in (0.3, None):
        call(partial(script, media_after_s), media=False)
    assert 0.3 <= greeted_after[0] < 0.4
    assert 1.0 <= greeted_after[1] < 1.1


@pytest.mark.parametrize(
    ("persona", "session", "least_s"),
    [
        ({}, {"greet": "on_answer"}, 0.0),
        ({"greet": "on_answer"}, {}, 0.0),
        ({}, {"greet_limit_ms": 300}, 0.3),
        ({"greet_limit_ms": 2000}, {"greet_limit_ms": 300}, 2.0),
        ({"greet": "on_media"}, {"greet": "on_answer", "greet_limit_ms": 500}, 0.5),
    ],
)
def test_when_it_greets_is_the_personas_or_the_sessions_to_say(
    monkeypatch: pytest.MonkeyPatch, persona: dict[str, Any], session: dict[str, Any], least_s: float
) -> None:
    for name, value in persona.items():
        monkeypatch.setattr(Agent, name, value)
    waited: list[float] = []

    async def script(world: OutboundWorld) -> None:
        await asyncio.sleep(3)
        world.picks_up()
        picked_up = world.loop.time()
        await asyncio.sleep(6)
        spoke = next(event["at"] for event in world.events if event["type"] == "agent_started_speaking")
        waited.append(spoke - picked_up)
        world.leg.end()

    call(script, media=False, session=session)
    assert least_s <= waited[0] < least_s + 0.1


@pytest.mark.parametrize(
    ("sip_status", "outcome"),
    [
        *((486, "busy"), (600, "busy"), (603, "rejected"), (480, "no_answer"), (408, "no_answer")),
        *((404, "invalid_number"), (484, "invalid_number"), (302, "redirected"), (503, "failed")),
    ],
)
def test_who_does_not_answer(sip_status: int, outcome: str) -> None:
    async def script(world: OutboundWorld) -> None:
        world.leg.ringing()
        await asyncio.sleep(5)
        world.leg.end(sip_status=sip_status, reason="No")

    world = call(script)
    assert (world.closed.outcome, world.closed.sip_status, world.said()) == (outcome, sip_status, [])
    assert world.closed.q850_cause == cause_of(sip_status)
    assert world.closed.answered_at is None


def test_a_call_that_rings_can_be_cancelled() -> None:
    async def script(world: OutboundWorld) -> None:
        world.leg.ringing()
        await asyncio.sleep(5)
        world.owner.hang_up("ended over the API", goodbye=False)

    world = call(script)
    assert ("hang_up", "ended over the API") in world.leg.verbs
    assert world.outcome == ("cancelled", "system", "ended over the API")


def test_a_call_that_cannot_be_dialled_has_failed() -> None:
    async def run() -> OutboundWorld:
        world = OutboundWorld()
        world.fails = CallLimitReached("no slot")
        await world.run()
        return world

    world = run_virtual(run())
    assert world.closed.outcome == "failed"
    assert "no slot" in world.closed.end_reason


def test_a_persona_that_cannot_be_made_ends_the_ringing() -> None:
    async def script(world: OutboundWorld) -> None:
        await asyncio.sleep(1)

    world = call(script, persona="Unmakeable")
    assert world.closed.outcome == "failed"
    assert "hang_up" in world.done()


async def test_a_leg_that_was_ended_first_is_never_dialled() -> None:
    placed: list[LegAudio] = []

    async def place(audio: LegAudio) -> FakeLeg:
        placed.append(audio)
        return FakeLeg(OUT)

    leg = LegToPlace(OUT, place)
    await leg.hang_up("changed our mind")
    with pytest.raises(LegEndedError):
        await leg.answer(None)  # type: ignore[arg-type]
    events = [event async for event in leg.events()]
    assert (placed, len(events)) == ([], 1)


def test_a_call_that_the_gateway_gives_up_was_not_answered_and_not_ended_by_the_callee() -> None:
    async def script(world: OutboundWorld) -> None:
        world.leg.ringing()
        await asyncio.sleep(5)
        text = "the call was not answered in time"
        world.leg.inject(LegEnded(world.loop.time(), False, 408, text, None, cause=19, gave_up=True))

    assert call(script).outcome == ("no_answer", "system", "the call was not answered in time")
