"""A call on hold, or from a phone that suppresses silence, as its owner sees it."""

from __future__ import annotations

import asyncio

import pytest
from call_world import CallWorld, call

from telephony.call import LegHeld, LegResumed
from telephony.fakes import statistics


async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


def said(world: CallWorld) -> list[str]:
    return [event["kind"] for event in world.events if event["type"] == "agent_message"]


def test_a_caller_who_holds_for_a_minute_is_neither_silent_nor_lost():
    async def script(world: CallWorld) -> None:
        await wait(4)
        world.leg.inject(LegHeld(world.loop.time()))
        world.stop_media()  # who holds sends nothing, as a rule
        await wait(70)
        world.leg.inject(LegResumed(world.loop.time()))
        await wait(3)
        world.leg.end()

    world = call(script)
    assert world.outcome == ("answered", "caller", "hung up")
    assert said(world) == ["greeting", "canned"]
    kinds = [event["type"] for event in world.events]
    assert kinds.index("leg_held") < kinds.index("caller_held") < kinds.index("leg_resumed")
    [back] = [event for event in world.events if event["type"] == "caller_back"]
    assert back["held_ms"] == pytest.approx(70_000, abs=1)


def test_a_call_that_is_answered_on_hold_is_greeted_afterwards():
    async def script(world: CallWorld) -> None:
        while world.leg.audio is None:
            await wait(0.01)
        world.leg.inject(LegHeld(world.loop.time()))
        await wait(20)
        assert said(world) == []
        world.leg.inject(LegResumed(world.loop.time()))
        await wait(3)
        world.leg.end()

    assert said(call(script)) == ["greeting"]


def test_who_never_comes_back_is_given_up_by_the_settings():
    async def script(world: CallWorld) -> None:
        await wait(4)
        world.leg.inject(LegHeld(world.loop.time()))

    world = call(script, more="session: {max_hold_s: 60}")
    assert world.outcome == ("answered", "agent", "held_too_long")
    assert world.ended_after == pytest.approx(64.0, abs=0.2)


def test_a_phone_that_sends_rtcp_but_no_rtp_is_alive_and_the_record_says_so():
    async def script(world: CallWorld) -> None:
        await wait(4)
        world.stop_media()
        received = world.leg.figures.packets_received
        for second in range(40):  # media_timeout_s is 5 here
            await wait(1)
            world.leg.figures = statistics(packets_received=received, packets_rtcp=second + 1)
        world.leg.end()

    world = call(script, session={"away_ms": 60_000})
    assert world.outcome == ("answered", "caller", "hung up")
    assert world.closed.media_alarms == ()
    [note] = [event for event in world.events if event["type"] == "silence_suppressed"]
    assert note["detail"].endswith("RTCP arrives")


def test_a_phone_that_announced_it_is_alive_without_any_packet():
    async def script(world: CallWorld) -> None:
        await wait(4)
        world.stop_media()
        await wait(40)
        world.leg.end()

    world = call(script, session={"away_ms": 60_000})
    assert world.outcome[:2] == ("answered", "system")
    world = call(script, session={"away_ms": 60_000}, suppresses_silence=True)
    assert world.outcome == ("answered", "caller", "hung up")
    assert world.closed.media_alarms == ()
